//! Notifications: what a provider tells unasked becomes durable before it is acknowledged.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::create::unreachable_store;
use super::{Engine, Inner};
use crate::domain::channel::ProviderId;
use crate::domain::ids::{ChannelNo, Pid};
use crate::domain::order::{Event, Order, Receipt, Said};
use crate::domain::refund::PaymentRole;
use crate::domain::time::{MINUTE_MS, Millis};
use crate::error::{Error, Kind};
use crate::provider::{Call, Notice, NoticeError, PaidTrade, Provider};

/// A provider waits 5 s for an answer (WeChat Pay V3, payment notification): what is asked of it
/// to verify its own notification takes less.
const NOTICE: Duration = Duration::from_secs(3);

/// Where a notification came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) provider: &'a dyn Provider,
    pub(super) pid: &'a Pid,
}

impl Engine {
    /// Takes a notification of `provider` to the merchant `pid`: the headers and the body's raw
    /// bytes. When it returns `Ok`, everything that follows from it is durable, and the provider
    /// may be told so.
    ///
    /// # Errors
    ///
    /// Nothing is acknowledged then: [`Kind::Unverifiable`] for what is not verifiably the
    /// provider's, [`Kind::NoSuchOrder`], [`Kind::Mismatched`] for a payment that does not fit
    /// its order, any other when it could not be recorded.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may leave it unread; the provider sends it again.
    pub async fn notify(
        &self,
        provider: ProviderId,
        pid: &Pid,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(), Error> {
        let merchant = self.0.provider(pid, provider);
        let merchant = merchant.ok_or_else(|| Error::new(Kind::NoSuchOrder))?.clone();
        let call = Call { timeout: NOTICE, ..self.0.call(self.0.budget())? };
        let notice = merchant.notified(headers, &body, call).await;
        let notice = notice.map_err(|error| self.0.unverifiable(provider, &error))?;
        let place = Place { provider: merchant.as_ref(), pid };
        match notice {
            Notice::Payment { channel_no, trade } => {
                self.paid(place, &channel_no, &trade, true).await
            }
            Notice::ForeignPayment { channel_no, trade, currency } => {
                tracing::error!(%channel_no, currency, "a payment in another currency");
                self.paid(place, &channel_no, &trade, false).await
            }
            Notice::Refund(refund) => self.returned(place, refund).await,
            Notice::Other { event } => {
                tracing::debug!(%provider, event, "a notification without consequence");
                Ok(())
            }
        }
    }

    pub(super) async fn paid(
        &self,
        place: Place<'_>,
        channel_no: &ChannelNo,
        trade: &PaidTrade,
        is_cny: bool,
    ) -> Result<(), Error> {
        let order = self.0.order_of(place, channel_no).await?;
        let order = self.0.take_payment(place, order, (channel_no, trade), is_cny).await?;
        self.0.end_others(&order);
        let known = order.payments.iter().find(|it| it.transaction_id == trade.transaction_id);
        match known.map(|it| it.role) {
            Some(PaymentRole::Mismatch) | None => Err(Error::new(Kind::Mismatched)),
            Some(PaymentRole::Winning | PaymentRole::Duplicate | PaymentRole::Late) => Ok(()),
        }
    }
}

impl Inner {
    /// The order that a provider's number belongs to.
    pub(super) async fn order_of(
        &self,
        place: Place<'_>,
        channel_no: &ChannelNo,
    ) -> Result<Order, Error> {
        let id = place.provider.id();
        let found = self.store.find_channel(id, place.pid, channel_no).await;
        let Some(no) = found.map_err(|error| unreachable_store(&error))? else {
            tracing::error!(%channel_no, provider = %id, "a notification for an unknown order");
            return Err(Error::new(Kind::NoSuchOrder));
        };
        self.load(&no).await
    }

    /// Records a payment, unless it is known already.
    pub(super) async fn take_payment(
        &self,
        place: Place<'_>,
        order: Order,
        (channel_no, trade): (&ChannelNo, &PaidTrade),
        is_cny: bool,
    ) -> Result<Order, Error> {
        if order.payments.iter().any(|it| it.transaction_id == trade.transaction_id) {
            return Ok(order);
        }
        let id = place.provider.id();
        let sharing = || {
            let attempts = order.attempts.iter().rev();
            attempts.filter(|it| it.way.provider() == id && it.channel_no == *channel_no)
        };
        let own = sharing().find(|it| place.provider.is_of(it, &trade.message));
        let Some(attempt) = own.or_else(|| sharing().next()) else {
            let no = order.out_trade_no();
            tracing::error!(%no, %channel_no, "a payment of an attempt that never left");
            return Err(Error::new(Kind::Mismatched));
        };
        let receipt = Receipt {
            transaction_id: trade.transaction_id.clone(),
            total_fee: trade.total_fee,
            paid_at: trade.paid_at.unwrap_or_else(|| self.clock.now()),
            openid: trade.openid.clone(),
            fits: is_cny && own.is_some(),
            returns: self.settings.returns,
            message: trade.message.clone(),
        };
        let (n, at) = (attempt.n, self.clock.now());
        self.record(order, Event::Asked { n, at, said: Said::Paid(receipt) }).await
    }

    /// Logged here, where it is handled; a stranger learns nothing of why, and does not fill the
    /// log: forgeries are told once a minute.
    fn unverifiable(&self, provider: ProviderId, error: &NoticeError) -> Error {
        match error {
            NoticeError::Forged { why } => {
                if let Some(count) = self.forgeries.count(self.clock.now()) {
                    tracing::warn!(%provider, why, count, "forged notifications");
                }
            }
            NoticeError::Unreadable { why } => {
                tracing::error!(%provider, why, "a genuine notification that cannot be read");
            }
        }
        Error::new(Kind::Unverifiable)
    }
}

/// How many forged notifications came since they were told last.
#[derive(Debug, Default)]
pub(super) struct Forgeries(Mutex<(Option<Millis>, u64)>);

impl Forgeries {
    /// One more; how many, when they are to be told.
    fn count(&self, now: Millis) -> Option<u64> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.1 = held.1.saturating_add(1);
        if held.0.is_some_and(|told| now.since(told) < MINUTE_MS) {
            return None;
        }
        held.0 = Some(now);
        Some(std::mem::take(&mut held.1))
    }
}

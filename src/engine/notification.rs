//! Notifications: what a provider tells unasked becomes durable before it is acknowledged.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::circuit_breaker::Operation;
use super::create::unreachable_store;
use super::{Engine, Inner};
use crate::domain::channel::ProviderId;
use crate::domain::ids::{ChannelNo, OutTradeNo, Pid};
use crate::domain::order::attempt::{Attempt, AttemptState, Params};
use crate::domain::order::payment::PaymentRole;
use crate::domain::order::{Order, Receipt, TradeUpdate, Transition};
use crate::domain::time::{MINUTE_MS, Millis};
use crate::domain::unmatched::UnmatchedPayment;
use crate::error::{Error, Kind};
use crate::provider::{Call, Notification, NotificationError, PaidTrade, Provider, TradeState};

/// A provider waits 5 s for an answer (WeChat Pay V3, payment notification): what is asked of it
/// to verify its own notification takes less.
const NOTICE: Duration = Duration::from_secs(3);

/// Where a notification came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotificationTarget<'a> {
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
        let notification = merchant.notified(headers, &body, call).await;
        let notification = notification.map_err(|error| self.0.unverifiable(provider, &error))?;
        let place = NotificationTarget { provider: merchant.as_ref(), pid };
        match notification {
            Notification::Payment { channel_no, trade } => {
                self.paid(
                    place,
                    VerifiedPayment { channel_no: &channel_no, trade: &trade, currency: None },
                )
                .await
            }
            Notification::ForeignPayment { channel_no, trade, currency } => {
                tracing::error!(%channel_no, currency, "a payment in another currency");
                let currency = Some(currency.as_str());
                self.paid(
                    place,
                    VerifiedPayment { channel_no: &channel_no, trade: &trade, currency },
                )
                .await
            }
            Notification::Refund(refund) => self.returned(place, refund).await,
            Notification::Other { event } => {
                tracing::debug!(%provider, event, "a notification without consequence");
                Ok(())
            }
        }
    }

    /// Records a payment that a provider tells of, and ends what else of its order could be paid.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchOrder`] when it is no order's: it is recorded as unmatched then.
    pub(super) async fn paid(
        &self,
        place: NotificationTarget<'_>,
        verified: VerifiedPayment<'_>,
    ) -> Result<(), Error> {
        let Some(order) = self.0.order_of(place, verified.channel_no).await? else {
            return self.0.unmatched_payment(place, verified).await;
        };
        let order = self.0.take_payment(place, order, verified).await?;
        self.0.settle_leftovers(&order);
        let known =
            order.payments.iter().find(|it| it.transaction_id == verified.trade.transaction_id);
        match known.map(|it| it.role) {
            // No account of this merchant's: it is no order's either.
            None => self.0.unmatched_payment(place, verified).await,
            Some(PaymentRole::Mismatch) => Err(Error::new(Kind::Mismatched)),
            Some(PaymentRole::Winning | PaymentRole::Duplicate | PaymentRole::Late) => Ok(()),
        }
    }
}

impl Inner {
    /// The order that a provider's number belongs to: the one of an attempt, or else the one with
    /// this very number, which may have been ordered before the order was known here.
    pub(super) async fn order_of(
        &self,
        place: NotificationTarget<'_>,
        channel_no: &ChannelNo,
    ) -> Result<Option<Order>, Error> {
        let id = place.provider.id();
        let found = self.store.find_channel(id, place.pid, channel_no).await;
        if let Some(out_trade_no) = found.map_err(|error| unreachable_store(&error))? {
            return self.load(&out_trade_no).await.map(Some);
        }
        let Some(out_trade_no) = OutTradeNo::parse(channel_no.as_str()) else { return Ok(None) };
        let found =
            self.store.load(&out_trade_no).await.map_err(|error| unreachable_store(&error))?;
        Ok(found.filter(|it| it.terms.pid == *place.pid))
    }

    /// Records a payment, unless it is known already. Nobody's turn is waited for: whoever else
    /// changes the order meanwhile finds another version, and goes on with that. Where an earlier
    /// verified message about the same payment said something else, the provider is asked.
    ///
    /// # Errors
    ///
    /// [`Kind::Unverifiable`] for a message in another version of the provider's protocol than the
    /// trade was opened in: its attempt is not believed to be paid by it.
    pub(super) async fn take_payment(
        &self,
        place: NotificationTarget<'_>,
        order: Order,
        verified: VerifiedPayment<'_>,
    ) -> Result<Order, Error> {
        if verified.is_of_another_version(place, &order) {
            let out_trade_no = order.out_trade_no();
            tracing::error!(%out_trade_no, "a payment told in another version than its trade was opened in");
            return Err(Error::new(Kind::Unverifiable));
        }
        let order = self.record_if(order, |order| self.payment(place, order, verified)).await?;
        match verified.disputes(place, &order) {
            true => self.settle_dispute(place, order, verified).await,
            false => Ok(order),
        }
    }

    /// What a payment means to `order`; `None` when it is known.
    fn payment(
        &self,
        place: NotificationTarget<'_>,
        order: &Order,
        verified: VerifiedPayment<'_>,
    ) -> Option<Transition> {
        let trade = verified.trade;
        if order.payments.iter().any(|it| it.transaction_id == trade.transaction_id) {
            return None;
        }
        let at = self.clock.now();
        let receipt = |matches_order| Receipt {
            transaction_id: trade.transaction_id.clone(),
            total_fee: trade.total_fee,
            paid_at: trade.paid_at.unwrap_or(at),
            openid: trade.openid.clone(),
            matches_order,
            refunded: false,
            auto_refund: self.settings.auto_refund,
            message: trade.message.clone(),
        };
        if let Some((attempt, is_own)) = verified.attempt(place, order) {
            if !is_own && let Some(adopted) = self.of_another_account(place, order, verified) {
                let attempt = Box::new(adopted);
                return Some(Transition::Adopted { attempt, at, receipt: receipt(false) });
            }
            let receipt = receipt(is_own && verified.currency.is_none());
            return Some(Transition::TradeQueried {
                n: attempt.n,
                at,
                said: TradeUpdate::Paid(receipt),
            });
        }
        let attempt = Box::new(self.adopted(place, order, verified)?);
        Some(Transition::Adopted { attempt, at, receipt: receipt(verified.currency.is_none()) })
    }

    /// The attempt that stands for a trade of another of the merchant's accounts under the same
    /// number: what the order's own account has there is not paid by it.
    fn of_another_account(
        &self,
        place: NotificationTarget<'_>,
        order: &Order,
        verified: VerifiedPayment<'_>,
    ) -> Option<Attempt> {
        let (attempt, _) = verified.attempt(place, order)?;
        let ours = attempt.account.as_ref()?;
        let adopted = place.provider.adopt(verified.channel_no, verified.trade, "")?;
        (!ours.shares_numbers(&adopted.account)).then(|| self.adopted(place, order, verified))?
    }

    /// The attempt that stands for a trade which none of the order's attempts made. `None` when
    /// the trade is not of this merchant's account.
    fn adopted(
        &self,
        place: NotificationTarget<'_>,
        order: &Order,
        verified: VerifiedPayment<'_>,
    ) -> Option<Attempt> {
        let (out_trade_no, provider) = (order.out_trade_no(), place.provider.id());
        let attempt = self.stand_in(place, order.latest().n.saturating_add(1), verified);
        match &attempt {
            Some(_) => {
                tracing::warn!(%out_trade_no, %provider, "a payment of a trade that no attempt made");
            }
            None => {
                tracing::error!(%out_trade_no, %provider, "a payment by an account of nobody here");
            }
        }
        attempt
    }

    /// An attempt by which its provider can be asked about a trade that was not opened here.
    fn stand_in(
        &self,
        place: NotificationTarget<'_>,
        n: u32,
        verified: VerifiedPayment<'_>,
    ) -> Option<Attempt> {
        let adopted = place.provider.adopt(verified.channel_no, verified.trade, "")?;
        let (method, account) = (adopted.method, Some(adopted.account));
        let notify_url = self.notify_url(method.pay_type, place.pid);
        let opened = verified.trade.paid_at.unwrap_or_else(|| self.clock.now());
        Some(Attempt {
            n,
            params: Params { notify_url, ..adopted.params },
            method,
            channel_no: verified.channel_no.clone(),
            expires_at: opened,
            opened_at: opened,
            state: AttemptState::Prepared,
            last_queried_at: None,
            superseded: true,
            handed_out: true,
            close_intended: false,
            account,
        })
    }

    /// Asks the provider about a payment of which two verified messages say different things, and
    /// puts its answer in the place of what was recorded.
    async fn settle_dispute(
        &self,
        place: NotificationTarget<'_>,
        order: Order,
        verified: VerifiedPayment<'_>,
    ) -> Result<Order, Error> {
        let (out_trade_no, id) = (order.out_trade_no(), &verified.trade.transaction_id);
        let transaction_id = &*id.0;
        tracing::error!(%out_trade_no, transaction_id, "two verified messages disagree about a payment");
        let Some((attempt, _)) = verified.attempt(place, &order) else { return Ok(order) };
        let n = attempt.n;
        let at = self.provider_of(&order, n)?;
        let asked = at.provider.query(at.attempt, self.call_within(self.budget(), NOTICE)?);
        let trade = self.guarded(at.account, Operation::Query, asked).await;
        let trade = trade.map_err(|failure| failure.query_error())?;
        match self.to_update(&trade) {
            TradeUpdate::Paid(receipt) if receipt.transaction_id == *id => {
                self.record(order, Transition::Corrected { n, receipt }).await
            }
            _ => Err(Error::new(Kind::OutcomeUnknown)),
        }
    }

    /// Records a payment of no order that is known here, and tells the shop of it: as its provider
    /// answers, where it can be asked, since another message may say something else of it.
    ///
    /// # Errors
    ///
    /// Always: it is not acknowledged, so that it comes again should its order be restored.
    async fn unmatched_payment(
        &self,
        place: NotificationTarget<'_>,
        verified: VerifiedPayment<'_>,
    ) -> Result<(), Error> {
        let attempt = self.stand_in(place, 1, verified);
        let account = attempt.as_ref().and_then(|it| it.account.clone());
        let answer = match (&attempt, &account) {
            (Some(attempt), Some(account)) => {
                let call = self.call_within(self.budget(), NOTICE)?;
                let asked = place.provider.query(attempt, call);
                self.guarded(account.clone(), Operation::Query, asked).await.ok()
            }
            _ => None,
        };
        let id = &verified.trade.transaction_id;
        let trade = match &answer {
            Some(TradeState::Paid(paid)) if paid.transaction_id == *id => paid,
            _ => verified.trade,
        };
        self.record_unmatched(UnmatchedPayment {
            provider: place.provider.id(),
            pid: place.pid.clone(),
            account: account.map(|it| it.to_string()).unwrap_or_default(),
            channel_no: verified.channel_no.clone(),
            transaction_id: trade.transaction_id.clone(),
            total_fee: trade.total_fee,
            currency: verified.currency.map(str::to_owned),
            paid_at: trade.paid_at,
            discovered_at: self.clock.now(),
            message: verified.trade.message.to_string(),
        })
        .await?;
        Err(Error::new(Kind::NoSuchOrder))
    }

    /// Logged here, where it is handled; a stranger learns nothing of why, and does not fill the
    /// log: forgeries are told once a minute.
    fn unverifiable(&self, provider: ProviderId, error: &NotificationError) -> Error {
        match error {
            NotificationError::Forged { why } => {
                if let Some(count) = self.rejected.count(self.clock.now()) {
                    tracing::warn!(%provider, why, count, "forged notifications");
                }
            }
            NotificationError::Unreadable { why } => {
                tracing::error!(%provider, why, "a genuine notification that cannot be read");
            }
        }
        Error::new(Kind::Unverifiable)
    }
}

/// A payment as a verified notification, or an answer, tells of it.
#[derive(Clone, Copy)]
pub(super) struct VerifiedPayment<'a> {
    /// The number that the provider knows its trade by.
    pub(super) channel_no: &'a ChannelNo,
    pub(super) trade: &'a PaidTrade,
    /// If it is not CNY.
    pub(super) currency: Option<&'a str>,
}

impl VerifiedPayment<'_> {
    /// Whether the attempts under its number were opened in another version of the provider's
    /// protocol than it is told in.
    fn is_of_another_version(&self, place: NotificationTarget<'_>, order: &Order) -> bool {
        let version = place.provider.version();
        let is_other = |it: &Attempt| it.account.as_ref().is_some_and(|it| it.version != version);
        let mut sharing = self.sharing(place, order).peekable();
        sharing.peek().is_some() && sharing.all(is_other)
    }

    /// The attempts of `order` under its number, the latest first.
    fn sharing<'o>(
        &self,
        place: NotificationTarget<'_>,
        order: &'o Order,
    ) -> impl Iterator<Item = &'o Attempt> {
        let (id, number) = (place.provider.id(), self.channel_no.clone());
        let attempts = order.attempts.iter().rev();
        attempts.filter(move |it| it.method.provider() == id && it.channel_no == number)
    }

    /// The attempt of `order` that made the trade, or another one under its number, and whether
    /// the app and the merchants are that attempt's.
    fn attempt<'o>(
        &self,
        place: NotificationTarget<'_>,
        order: &'o Order,
    ) -> Option<(&'o Attempt, bool)> {
        let sharing = || self.sharing(place, order);
        let own = sharing().find(|it| place.provider.is_of(it, &self.trade.message));
        own.map(|it| (it, true)).or_else(|| sharing().next().map(|it| (it, false)))
    }

    /// Whether what is recorded of this payment is not what this message says.
    fn disputes(&self, place: NotificationTarget<'_>, order: &Order) -> bool {
        let id = &self.trade.transaction_id;
        let Some(known) = order.payments.iter().find(|it| it.transaction_id == *id) else {
            return false;
        };
        let is_own = self.attempt(place, order).is_some_and(|(_, is_own)| is_own);
        let matches_order = is_own && self.currency.is_none();
        let is_price = self.trade.total_fee == order.terms.total_fee;
        let was_refused = known.role == PaymentRole::Mismatch;
        known.total_fee != self.trade.total_fee
            || (was_refused && matches_order && is_price)
            || (!was_refused && !matches_order)
    }
}

/// How many forged notifications came since they were told last.
#[derive(Debug, Default)]
pub(super) struct RejectedNotifications(Mutex<(Option<Millis>, u64)>);

impl RejectedNotifications {
    /// One more; how many, when they are to be told.
    fn count(&self, now: Millis) -> Option<u64> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.1 = held.1.saturating_add(1);
        if held.0.is_some_and(|last| now.since(last) < MINUTE_MS) {
            return None;
        }
        held.0 = Some(now);
        Some(std::mem::take(&mut held.1))
    }
}

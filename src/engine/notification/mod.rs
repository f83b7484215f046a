//! Notifications: what a provider reports becomes durable before paygate acknowledges it.

mod adopt;
mod unmatched_payment;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tracing::Instrument as _;

use super::commit::Report;
use super::failures::store_unreachable;
use super::order_log::{name_account, order_span};
use super::parts::{Engine, EngineParts};
use super::verified_payment::{NotificationTarget, VerifiedPayment};
use crate::domain::channel::ProviderId;
use crate::domain::ids::{ChannelNo, OutTradeNo, Pid};
use crate::domain::order::payment::PaymentRole;
use crate::domain::order::{Order, Receipt, TradeUpdate};
use crate::error::{Error, Kind};
use crate::provider::{Notification, NotificationError};

/// The longest that paygate queries a provider about the provider's own notification: the provider
/// waits 5 s for the acknowledgement (WeChat Pay V3, payment notification).
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(3);

impl Engine {
    /// Records a notification of `provider` to the merchant `pid`, given its headers and the raw
    /// bytes of its body. When it returns `Ok`, everything that follows from it is durable, and
    /// the provider may be acknowledged.
    ///
    /// # Errors
    ///
    /// The provider must not be acknowledged then: [`Kind::Unverifiable`] for a message that is
    /// not verifiably the provider's, [`Kind::NoSuchOrder`], [`Kind::Mismatched`] for a payment
    /// that does not match its order, any other when it could not be recorded.
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
        let _operation = self.begin_operation()?;
        let merchant = self.0.providers.provider(pid, provider);
        let merchant = merchant.ok_or_else(|| self.0.unknown_merchant(provider, pid))?;
        let providers = &self.0.providers;
        let call = providers.call_within(QUERY_TIMEOUT)?;
        let notification = merchant.read_notification(headers, &body, call).await;
        let notification = notification.map_err(|error| self.0.unverifiable(provider, &error))?;
        let target = NotificationTarget { provider: merchant.as_ref(), pid };
        match notification {
            Notification::Payment { channel_no, trade } => {
                let payment = VerifiedPayment::new(target, &channel_no, &trade);
                self.0.record_payment(payment).await
            }
            Notification::OtherCurrencyPayment { channel_no, trade, currency } => {
                let payment = VerifiedPayment::new(target, &channel_no, &trade);
                self.0.record_payment(payment.in_currency(&currency)).await
            }
            Notification::Refund(refund) => Box::pin(self.0.record_refund(target, refund)).await,
            Notification::Other { event } => {
                tracing::debug!(%provider, event, "a notification changes nothing");
                Ok(())
            }
        }
    }
}

impl EngineParts {
    /// Records a payment, and closes whatever else of its order could be paid.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchOrder`] when it belongs to no order: it is recorded as unmatched then;
    /// [`Kind::Mismatched`].
    pub(super) async fn record_payment(
        self: &Arc<Self>,
        payment: VerifiedPayment<'_>,
    ) -> Result<(), Error> {
        let found = self.order_of(payment.target, payment.channel_no).await?;
        let Some(order) = found else { return self.record_unmatched_payment(payment).await };
        let span = order_span(order.out_trade_no());
        Box::pin(self.record_payment_of(order, payment)).instrument(span).await
    }

    /// As [`EngineParts::record_payment`], of a known order.
    async fn record_payment_of(
        self: &Arc<Self>,
        order: Order,
        payment: VerifiedPayment<'_>,
    ) -> Result<(), Error> {
        name_account(&order);
        if let Some(currency) = payment.currency {
            tracing::error!(currency, "a buyer paid in another currency than CNY");
        }
        let order = Box::pin(self.apply_payment(order, payment)).await?;
        self.settle_leftovers(&order);
        match order.payment(&payment.trade.transaction_id).map(|known| known.role) {
            // The account is none of this merchant's: the payment belongs to no order either.
            None => self.record_unmatched_payment(payment).await,
            Some(PaymentRole::Mismatch) => Err(Error::new(Kind::Mismatched)),
            Some(PaymentRole::Winning | PaymentRole::Duplicate | PaymentRole::Late) => Ok(()),
        }
    }

    /// The order that a provider's number belongs to: the one of an attempt, or else the one with
    /// this very number, which another program may have opened at the provider.
    pub(super) async fn order_of(
        &self,
        target: NotificationTarget<'_>,
        channel_no: &ChannelNo,
    ) -> Result<Option<Order>, Error> {
        let id = target.provider.id();
        let found = self.store.find_channel(id, target.pid, channel_no).await;
        if let Some(out_trade_no) = found.map_err(|error| store_unreachable(&error))? {
            return self.commits.load(&out_trade_no).await.map(Some);
        }
        let Some(out_trade_no) = OutTradeNo::parse(channel_no.as_str()) else { return Ok(None) };
        let found = self.commits.find(&out_trade_no).await?;
        Ok(found.filter(|order| order.terms.pid == *target.pid))
    }

    /// Records a payment of `order`, unless it is known, without the order's lock: whoever changes
    /// the order meanwhile finds another version, and goes on with that. When an earlier verified
    /// message about the same payment disagrees, the provider is queried.
    ///
    /// # Errors
    ///
    /// [`Kind::Unverifiable`] for a message in another version of the provider's protocol than the
    /// one that opened the trade.
    pub(super) async fn apply_payment(
        &self,
        order: Order,
        payment: VerifiedPayment<'_>,
    ) -> Result<Order, Error> {
        if payment.is_of_another_version(&order) {
            let out_trade_no = order.out_trade_no();
            tracing::error!(
                %out_trade_no,
                "the provider notified of a payment in another protocol version than the trade's"
            );
            return Err(Error::new(Kind::Unverifiable));
        }
        let decide = |order: &Order| self.payment_report(order, payment);
        let order = self.commits.report_if(order, decide).await?;
        match payment.disputes(&order) {
            true => self.settle_dispute(order, payment).await,
            false => Ok(order),
        }
    }

    /// What a payment means to `order`; [`None`] when it is known.
    fn payment_report(&self, order: &Order, payment: VerifiedPayment<'_>) -> Option<Report> {
        let trade = payment.trade;
        if order.payment(&trade.transaction_id).is_some() {
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
        let is_cny = payment.currency.is_none();
        let Some((attempt, is_own)) = payment.attempt(order) else {
            let adopted = self.adopted_attempt(order, payment)?;
            return Some(Report::adopted(adopted, at, receipt(is_cny)));
        };
        if !is_own && let Some(adopted) = self.attempt_of_another_account(order, payment) {
            return Some(Report::adopted(adopted, at, receipt(false)));
        }
        Some(Report::trade(attempt.n, at, TradeUpdate::Paid(receipt(is_own && is_cny))))
    }

    /// Queries the provider about a payment that two verified messages disagree about, and records
    /// its answer in place of the first message.
    async fn settle_dispute(
        &self,
        order: Order,
        payment: VerifiedPayment<'_>,
    ) -> Result<Order, Error> {
        let (out_trade_no, id) = (order.out_trade_no(), &payment.trade.transaction_id);
        let transaction_id = &*id.0;
        tracing::error!(
            %out_trade_no,
            transaction_id,
            "two verified messages disagree about a payment"
        );
        let Some((attempt, _)) = payment.attempt(&order) else { return Ok(order) };
        let n = attempt.n;
        let context = self.providers.context(&order, n)?;
        let call = self.providers.call_within(QUERY_TIMEOUT)?;
        let trade = self.providers.query_trade(context, call).await;
        let trade = trade.map_err(|failure| failure.call_error())?;
        match self.providers.trade_update(&trade) {
            TradeUpdate::Paid(receipt) if receipt.transaction_id == *id => {
                let is_orders = !payment.is_of_another_account(&order);
                let matches_order = receipt.matches_order && is_orders;
                let receipt = Receipt { matches_order, ..receipt };
                self.commits.report(order, Report::corrected(n, receipt)).await
            }
            _ => Err(Error::new(Kind::OutcomeUnknown)),
        }
    }

    /// The error of a notification for a merchant that the configuration does not have. Anybody
    /// can send one, so that it is logged once a minute.
    fn unknown_merchant(&self, provider: ProviderId, pid: &Pid) -> Error {
        if let Some(count) = self.unaddressed.count(self.clock.now()) {
            let pid = pid.as_str();
            tracing::warn!(%provider, pid, count, "notifications came for an unknown merchant");
        }
        Error::new(Kind::NoSuchOrder)
    }

    /// The error of a notification that paygate does not act upon. A stranger learns nothing of
    /// the reason, and does not fill the log: forgeries are logged once a minute.
    fn unverifiable(&self, provider: ProviderId, error: &NotificationError) -> Error {
        match error {
            NotificationError::Forged { why } => {
                let [wxpay, alipay] = &self.forged;
                let forged = match provider {
                    ProviderId::Wxpay => wxpay,
                    ProviderId::Alipay => alipay,
                };
                if let Some(count) = forged.count(self.clock.now()) {
                    tracing::warn!(%provider, why, count, "paygate rejected forged notifications");
                }
            }
            NotificationError::Unreadable { why } => {
                tracing::error!(%provider, why, "paygate cannot read a genuine notification");
            }
        }
        Error::new(Kind::Unverifiable)
    }
}

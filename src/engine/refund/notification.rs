//! Notifications of refunds: paygate's own, and those made in the provider's console.

use std::sync::Arc;

use tracing::Instrument as _;

use crate::domain::money::Fen;
use crate::domain::order::Order;
use crate::domain::order::attempt::Attempt;
use crate::domain::order::payment::Payment;
use crate::domain::order::refund::{ExternalRefund, Refund, RefundStatus, RefundUpdate};
use crate::engine::commit::Report;
use crate::engine::order_log::{name_account, order_span};
use crate::engine::parts::EngineParts;
use crate::engine::verified_payment::{NotificationTarget, VerifiedPayment};
use crate::error::{Error, Kind};
use crate::provider::{RefundFee, RefundNotification, TradeState};

impl EngineParts {
    /// Records what a provider notifies of a refund. It may notify of the payment first here.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchOrder`]; any other when it could not be recorded.
    pub(in crate::engine) async fn record_refund(
        self: &Arc<Self>,
        target: NotificationTarget<'_>,
        notification: RefundNotification,
    ) -> Result<(), Error> {
        if let Some(trade) = &notification.trade {
            let payment = VerifiedPayment::new(target, &notification.channel_no, trade);
            match self.record_payment(payment).await {
                Err(error) if error.kind() != Kind::Mismatched => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let found = self.order_of(target, &notification.channel_no).await?;
        let order = found.ok_or_else(|| {
            let (channel_no, provider) = (&notification.channel_no, target.provider.id());
            tracing::error!(%channel_no, %provider, "a provider refunded an unknown order");
            Error::new(Kind::NoSuchOrder)
        })?;
        let span = order_span(order.out_trade_no());
        let recorded = async {
            name_account(&order);
            let order = self.with_payment(target, order, &notification).await?;
            Box::pin(self.apply_refund(order, notification)).await
        };
        Box::pin(recorded).instrument(span).await
    }

    /// The order, after its provider was queried for the refunded payment, if that is unknown.
    async fn with_payment(
        &self,
        target: NotificationTarget<'_>,
        order: Order,
        notification: &RefundNotification,
    ) -> Result<Order, Error> {
        if order.payment(&notification.transaction_id).is_some() {
            return Ok(order);
        }
        let (channel_no, id) = (&notification.channel_no, target.provider.id());
        let is_its = |attempt: &&Attempt| {
            attempt.method.provider() == id && attempt.channel_no == *channel_no
        };
        let attempt = order.attempts.iter().rev().find(is_its);
        let n = attempt.ok_or_else(|| Error::new(Kind::NoSuchOrder))?.n;
        let context = self.providers.context(&order, n)?;
        let call = self.providers.next_call(self.providers.budget())?;
        let order = match self.providers.query_trade(context, call).await {
            Ok(TradeState::Paid(trade)) => {
                let payment = VerifiedPayment::new(target, channel_no, &trade);
                // The payment is compared with its order by its message, as in a notification.
                let payment = match trade.matches_order {
                    true => payment,
                    false => payment.in_currency("another"),
                };
                Box::pin(self.apply_payment(order, payment)).await?
            }
            Ok(_) => return Err(Error::new(Kind::NoSuchOrder)),
            Err(failure) => return Err(failure.call_error()),
        };
        match order.payment(&notification.transaction_id) {
            Some(_) => Ok(order),
            None => Err(Error::new(Kind::NoSuchOrder)),
        }
    }

    /// Records a refund that a provider reports, and the payment's total that it reports with it.
    async fn apply_refund(
        &self,
        order: Order,
        notification: RefundNotification,
    ) -> Result<(), Error> {
        let id = notification.transaction_id.clone();
        let number = notification.out_refund_no.clone();
        if let Some(number) = number.filter(|number| order.refund(number).is_some()) {
            let update = RefundUpdate::Status(refund_status(&notification));
            let report = Report::refund(number, self.clock.now(), update);
            return self.commits.report(order, report).await.map(drop);
        }
        let (order, own_fee) = match notification.refund_fee {
            RefundFee::Total(_) => {
                // The total may hold some of what is pending here.
                let order = self.query_pending_refunds(order, &id).await?;
                let fee = self.providers.query_external_refund(&order, &notification).await?;
                (order, fee)
            }
            RefundFee::This(fee) => (order, Some(fee)),
            RefundFee::Unknown => (order, None),
        };
        if order.payment(&id).is_none() {
            return Err(Error::new(Kind::NoSuchOrder));
        }
        let total = notification.refund_fee.total();
        let refund = match (own_fee, total) {
            (Some(fee), total) => {
                ExternalRefund::Known { refund: self.console_refund(&notification, fee), total }
            }
            (None, Some(total)) => {
                let refund = self.console_refund(&notification, total);
                ExternalRefund::RunningTotal { refund, total }
            }
            (None, None) => ExternalRefund::UnknownAmount,
        };
        let at = self.clock.now();
        let report = Report::external_refund(id.clone(), refund, at);
        let order = self.commits.report(order, report).await?;
        // The provider would have notified of an earlier refund in the console before this one.
        match order.payment(&id).and_then(Payment::unidentified_due) {
            Some(_) => {
                let report = Report::external_refund(id, ExternalRefund::UnknownAmount, at);
                self.commits.report(order, report).await.map(drop)
            }
            None => Ok(()),
        }
    }

    /// A refund under a number that is not known here, with its amount, or with the payment's
    /// total where its own amount is not reported.
    fn console_refund(&self, notification: &RefundNotification, fee: Fen) -> Refund {
        let now = self.clock.now();
        let number = notification.out_refund_no.clone().or_else(|| notification.refund_id.clone());
        let number = number
            .unwrap_or_else(|| format!("console-{}-{}", notification.transaction_id.0, fee.fen()));
        Refund {
            refund_id: notification.refund_id.clone(),
            state: notification.state,
            last_queried_at: Some(now),
            refunded_at: notification.refunded_at,
            ..Refund::pending(number, fee, notification.refunded_at.unwrap_or(now))
        }
    }
}

fn refund_status(notification: &RefundNotification) -> RefundStatus {
    RefundStatus {
        refund_id: notification.refund_id.clone(),
        state: notification.state,
        refund_fee: None,
        refunded_total: notification.refund_fee.total(),
        cash_refund_fee: None,
        refunded_at: notification.refunded_at,
        message: notification.message.clone(),
    }
}

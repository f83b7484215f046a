//! Notifications of refunds: ours, and those that were made in the provider's console.

use crate::domain::money::Fen;
use crate::domain::order::attempt::Attempt;
use crate::domain::order::payment::{
    ExternalRefund, Payment, Refund, RefundState, RefundStatus, RefundUpdate,
};
use crate::domain::order::{Order, Transition};
use crate::engine::circuit_breaker::Operation;
use crate::engine::notification::{NotificationTarget, VerifiedPayment};
use crate::engine::{Engine, Inner};
use crate::error::{Error, Kind};
use crate::provider::{RefundFee, RefundNotification, TradeState};

impl Engine {
    /// Records what a provider tells of a refund. The payment may be heard of first here.
    pub(in crate::engine) async fn returned(
        &self,
        place: NotificationTarget<'_>,
        notification: RefundNotification,
    ) -> Result<(), Error> {
        if let Some(trade) = &notification.trade {
            let status =
                VerifiedPayment { channel_no: &notification.channel_no, trade, currency: None };
            match self.paid(place, status).await {
                Err(error) if error.kind() != Kind::Mismatched => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let found = self.0.order_of(place, &notification.channel_no).await?;
        let order = found.ok_or_else(|| {
            let (number, provider) = (&notification.channel_no, place.provider.id());
            tracing::error!(%number, %provider, "a refund of an unknown order");
            Error::new(Kind::NoSuchOrder)
        })?;
        let order = self.0.with_payment(place, order, &notification).await?;
        self.0.take_refund(order, notification).await
    }
}

impl Inner {
    /// The order, after its provider was asked for the payment, if that is not known yet.
    async fn with_payment(
        &self,
        place: NotificationTarget<'_>,
        order: Order,
        notification: &RefundNotification,
    ) -> Result<Order, Error> {
        if order.payment(Some(&notification.transaction_id)).is_some() {
            return Ok(order);
        }
        let (out_trade_no, id) = (&notification.channel_no, place.provider.id());
        let is_its = |it: &&Attempt| it.method.provider() == id && it.channel_no == *out_trade_no;
        let attempt = order.attempts.iter().rev().find(is_its);
        let n = attempt.ok_or_else(|| Error::new(Kind::NoSuchOrder))?.n;
        let at = self.provider_of(&order, n)?;
        let asked = at.provider.query(at.attempt, self.call(self.budget())?);
        let order = match self.guarded(at.account, Operation::Query, asked).await {
            Ok(TradeState::Paid(trade)) => {
                // What does not fit is found so by its message, as in a notification.
                let currency = (!trade.matches_order).then_some("another");
                self.take_payment(
                    place,
                    order,
                    VerifiedPayment { channel_no: out_trade_no, trade: &trade, currency },
                )
                .await?
            }
            Ok(_) => return Err(Error::new(Kind::NoSuchOrder)),
            Err(failure) => return Err(failure.query_error()),
        };
        match order.payment(Some(&notification.transaction_id)) {
            Some(_) => Ok(order),
            None => Err(Error::new(Kind::NoSuchOrder)),
        }
    }

    /// Records a refund that a provider tells of, and what it says went back in all.
    async fn take_refund(
        &self,
        order: Order,
        notification: RefundNotification,
    ) -> Result<(), Error> {
        let id = &notification.transaction_id;
        let all = match notification.refund_fee {
            RefundFee::All(all) => Some(all),
            RefundFee::This(_) | RefundFee::Unknown => None,
        };
        let known = notification.out_refund_no.as_ref().filter(|it| order.refund(it).is_some());
        if let Some(number) = known {
            let status = RefundStatus { refunded_total: all, ..refund_status(&notification) };
            let (out_refund_no, said) = (number.clone(), RefundUpdate::Status(status));
            let event = Transition::RefundQueried { out_refund_no, at: self.clock.now(), said };
            return self.record(order, event).await.map(drop);
        }
        let (order, own) = match all {
            Some(_) => {
                // What went back in all may hold some of what is pending here.
                let order = self.query_pending_refunds(order, id).await?;
                let own = self.query_external_refund(&order, &notification).await?;
                (order, own)
            }
            None => (order, None),
        };
        if order.payment(Some(id)).is_none() {
            return Err(Error::new(Kind::NoSuchOrder));
        }
        let refund = match (own, notification.refund_fee) {
            (Some(fee), _) | (None, RefundFee::This(fee)) => {
                Some(Box::new(self.external(&notification, (fee, false))))
            }
            (None, RefundFee::All(all)) => {
                Some(Box::new(self.external(&notification, (all, true))))
            }
            (None, RefundFee::Unknown) if notification.state == RefundState::Success => None,
            (None, RefundFee::Unknown) => return Ok(()),
        };
        let transaction_id = id.clone();
        let at = self.clock.now();
        let event = Transition::RefundedExternally { transaction_id, refund, all, at };
        let order = self.record(order, event).await?;
        // An earlier refund in the console would have been told before this one.
        match order.payment(Some(id)).and_then(Payment::unidentified_due) {
            Some(_) => self.record(order, self.unseen(id.clone())).await.map(drop),
            None => Ok(()),
        }
    }

    /// A refund under a number that is not known here, with its amount, or with what went back in
    /// all where its own amount is not told.
    fn external(
        &self,
        notification: &RefundNotification,
        (fee, is_rest): (Fen, bool),
    ) -> ExternalRefund {
        let now = self.clock.now();
        let number = notification.out_refund_no.clone().or_else(|| notification.refund_id.clone());
        let number = number
            .unwrap_or_else(|| format!("console-{}-{}", notification.transaction_id.0, fee.fen()));
        let requested_at = notification.refunded_at.unwrap_or(now);
        let refund = Refund {
            refund_id: notification.refund_id.clone(),
            state: notification.state,
            last_queried_at: Some(now),
            refunded_at: notification.refunded_at,
            ..Refund::pending(number, fee, requested_at)
        };
        ExternalRefund { refund, is_rest }
    }
}

fn refund_status(notification: &RefundNotification) -> RefundStatus {
    RefundStatus {
        refund_id: notification.refund_id.clone(),
        state: notification.state,
        refund_fee: None,
        refunded_total: None,
        cash_refund_fee: None,
        refunded_at: notification.refunded_at,
        message: notification.message.clone(),
    }
}

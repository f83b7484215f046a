//! Notifications of refunds: ours, and those that were made in the provider's console.

use crate::domain::money::Fen;
use crate::domain::order::attempt::Attempt;
use crate::domain::order::payment::{
    ExternalRefund, Payment, Refund, RefundSaid, RefundState, RefundTold,
};
use crate::domain::order::{Event, Order};
use crate::engine::circuit_breaker::Operation;
use crate::engine::notification::{Place, VerifiedPayment};
use crate::engine::{Engine, Inner};
use crate::error::{Error, Kind};
use crate::provider::{RefundFee, RefundNotice, Trade};

impl Engine {
    /// Records what a provider tells of a refund. The payment may be heard of first here.
    pub(in crate::engine) async fn returned(
        &self,
        place: Place<'_>,
        notice: RefundNotice,
    ) -> Result<(), Error> {
        if let Some(trade) = &notice.trade {
            let status = VerifiedPayment { channel_no: &notice.channel_no, trade, currency: None };
            match self.paid(place, status).await {
                Err(error) if error.kind() != Kind::Mismatched => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let found = self.0.order_of(place, &notice.channel_no).await?;
        let order = found.ok_or_else(|| {
            let (number, provider) = (&notice.channel_no, place.provider.id());
            tracing::error!(%number, %provider, "a refund of an unknown order");
            Error::new(Kind::NoSuchOrder)
        })?;
        let order = self.0.with_payment(place, order, &notice).await?;
        self.0.take_refund(order, notice).await
    }
}

impl Inner {
    /// The order, after its provider was asked for the payment, if that is not known yet.
    async fn with_payment(
        &self,
        place: Place<'_>,
        order: Order,
        notice: &RefundNotice,
    ) -> Result<Order, Error> {
        if order.payment(Some(&notice.transaction_id)).is_some() {
            return Ok(order);
        }
        let (no, id) = (&notice.channel_no, place.provider.id());
        let is_its = |it: &&Attempt| it.way.provider() == id && it.channel_no == *no;
        let attempt = order.attempts.iter().rev().find(is_its);
        let n = attempt.ok_or_else(|| Error::new(Kind::NoSuchOrder))?.n;
        let at = self.provider_of(&order, n)?;
        let asked = at.provider.query(at.attempt, self.call(self.budget())?);
        let order = match self.guarded(at.account, Operation::Query, asked).await {
            Ok(Trade::Paid(trade)) => {
                // What does not fit is found so by its message, as in a notification.
                let currency = (!trade.fits).then_some("another");
                self.take_payment(
                    place,
                    order,
                    VerifiedPayment { channel_no: no, trade: &trade, currency },
                )
                .await?
            }
            Ok(_) => return Err(Error::new(Kind::NoSuchOrder)),
            Err(failure) => return Err(failure.query_error()),
        };
        match order.payment(Some(&notice.transaction_id)) {
            Some(_) => Ok(order),
            None => Err(Error::new(Kind::NoSuchOrder)),
        }
    }

    /// Records a refund that a provider tells of, and what it says went back in all.
    async fn take_refund(&self, order: Order, notice: RefundNotice) -> Result<(), Error> {
        let id = &notice.transaction_id;
        let all = match notice.refund_fee {
            RefundFee::All(all) => Some(all),
            RefundFee::This(_) | RefundFee::Unknown => None,
        };
        let known = notice.out_refund_no.as_ref().filter(|it| order.refund(it).is_some());
        if let Some(number) = known {
            let status = RefundTold { all, ..refund_status(&notice) };
            let (out_refund_no, said) = (number.clone(), RefundSaid::Told(status));
            let event = Event::RefundAsked { out_refund_no, at: self.clock.now(), said };
            return self.record(order, event).await.map(drop);
        }
        let (order, own) = match all {
            Some(_) => {
                // What went back in all may hold some of what is pending here.
                let order = self.ask_pending(order, id).await?;
                let own = self.ask_foreign(&order, &notice).await?;
                (order, own)
            }
            None => (order, None),
        };
        if order.payment(Some(id)).is_none() {
            return Err(Error::new(Kind::NoSuchOrder));
        }
        let refund = match (own, notice.refund_fee) {
            (Some(fee), _) | (None, RefundFee::This(fee)) => {
                Some(Box::new(self.external(&notice, (fee, false))))
            }
            (None, RefundFee::All(all)) => Some(Box::new(self.external(&notice, (all, true)))),
            (None, RefundFee::Unknown) if notice.state == RefundState::Success => None,
            (None, RefundFee::Unknown) => return Ok(()),
        };
        let transaction_id = id.clone();
        let at = self.clock.now();
        let event = Event::RefundedElsewhere { transaction_id, refund, all, at };
        let order = self.record(order, event).await?;
        // An earlier refund in the console would have been told before this one.
        match order.payment(Some(id)).and_then(Payment::unseen_due) {
            Some(_) => self.record(order, self.unseen(id.clone())).await.map(drop),
            None => Ok(()),
        }
    }

    /// A refund under a number that is not known here, with its amount, or with what went back in
    /// all where its own amount is not told.
    fn external(&self, notice: &RefundNotice, (fee, is_rest): (Fen, bool)) -> ExternalRefund {
        let now = self.clock.now();
        let number = notice.out_refund_no.clone().or_else(|| notice.refund_id.clone());
        let number =
            number.unwrap_or_else(|| format!("console-{}-{}", notice.transaction_id.0, fee.fen()));
        let asked_at = notice.refunded_at.unwrap_or(now);
        let refund = Refund {
            refund_id: notice.refund_id.clone(),
            state: notice.state,
            looked: Some(now),
            refunded_at: notice.refunded_at,
            ..Refund::pending(number, fee, asked_at)
        };
        ExternalRefund { refund, is_rest }
    }
}

fn refund_status(notice: &RefundNotice) -> RefundTold {
    RefundTold {
        refund_id: notice.refund_id.clone(),
        state: notice.state,
        cash_refund_fee: None,
        refunded_at: notice.refunded_at,
        all: None,
        message: notice.message.clone(),
    }
}

//! Notifications of refunds: ours, and those that were made in the provider's console.

use super::ask::untold;
use super::notify::Place;
use super::{Engine, Inner};
use crate::domain::order::{Event, Order};
use crate::domain::refund::{Refund, RefundSaid, RefundState, RefundTold};
use crate::error::{Error, Kind};
use crate::provider::{RefundFee, RefundNotice, Trade};

impl Engine {
    /// Records what a provider tells of a refund. The payment may be heard of first here.
    pub(super) async fn returned(
        &self,
        place: Place<'_>,
        notice: RefundNotice,
    ) -> Result<(), Error> {
        if let Some(trade) = &notice.trade {
            match self.paid(place, &notice.channel_no, trade, true).await {
                Err(error) if error.kind() != Kind::Mismatched => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let order = self.0.order_of(place, &notice.channel_no).await?;
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
        let call = self.call(self.budget())?;
        let no = &notice.channel_no;
        let attempt = order.attempts.iter().rev().find(|it| it.channel_no == *no);
        let attempt = attempt.ok_or_else(|| Error::new(Kind::NoSuchOrder))?;
        let asked = place.provider.query(attempt, call).await;
        let order = match asked {
            Ok(Trade::Paid(trade)) => {
                self.take_payment(place, order, (no, &trade), trade.fits).await?
            }
            Ok(_) => return Err(Error::new(Kind::NoSuchOrder)),
            Err(failure) => return Err(untold(&failure)),
        };
        match order.payment(Some(&notice.transaction_id)) {
            Some(_) => Ok(order),
            None => Err(Error::new(Kind::NoSuchOrder)),
        }
    }

    async fn take_refund(&self, order: Order, notice: RefundNotice) -> Result<(), Error> {
        let id = &notice.transaction_id;
        let known = notice.out_refund_no.as_ref().filter(|it| order.refund(it).is_some());
        let (order, refund_fee) = match (known, notice.refund_fee) {
            (None, RefundFee::All(all)) => {
                // What went back in all may hold some of what is pending here.
                let order = self.ask_pending(order, id).await?;
                let own = self.ask_foreign(&order, &notice).await?;
                (order, own.map_or(RefundFee::All(all), RefundFee::This))
            }
            (_, refund_fee) => (order, refund_fee),
        };
        if order.payment(Some(id)).is_none() {
            return Err(Error::new(Kind::NoSuchOrder));
        }
        let event = match known {
            Some(number) => Event::RefundAsked {
                out_refund_no: number.clone(),
                at: self.clock.now(),
                said: RefundSaid::Told(told(&notice)),
            },
            None => match self.elsewhere(&notice, refund_fee) {
                Elsewhere::Known => return Ok(()),
                Elsewhere::Refund(refund) => {
                    let all = match refund_fee {
                        RefundFee::All(all) => Some(all),
                        RefundFee::This(_) | RefundFee::Unknown => None,
                    };
                    let (transaction_id, refund) = (id.clone(), Some(refund));
                    Event::RefundedElsewhere { transaction_id, refund, all }
                }
                Elsewhere::Unknown => {
                    let transaction_id = id.clone();
                    Event::RefundedElsewhere { transaction_id, refund: None, all: None }
                }
            },
        };
        self.record(order, event).await.map(drop)
    }

    /// What a refund under a number that is not known here means to its payment.
    fn elsewhere(&self, notice: &RefundNotice, refund_fee: RefundFee) -> Elsewhere {
        let now = self.clock.now();
        let refund_fee = match refund_fee {
            // Of everything that went back, what is known is taken off when it is recorded.
            RefundFee::This(fee) | RefundFee::All(fee) => Some(fee),
            RefundFee::Unknown => None,
        };
        let number = notice.out_refund_no.clone().or_else(|| notice.refund_id.clone());
        match (refund_fee, number) {
            (Some(refund_fee), number) => Elsewhere::Refund(Box::new(Refund {
                out_refund_no: number.unwrap_or_else(|| {
                    format!("console-{}-{}", notice.transaction_id.0, refund_fee.fen())
                }),
                refund_id: notice.refund_id.clone(),
                refund_fee,
                refund_desc: None,
                state: notice.state,
                cash_refund_fee: None,
                asked_at: notice.refunded_at.unwrap_or(now),
                looked: Some(now),
                refunded_at: notice.refunded_at,
                automatic: false,
            })),
            (None, _) if notice.state == RefundState::Success => Elsewhere::Unknown,
            (None, _) => Elsewhere::Known,
        }
    }
}

/// A refund that was not sent from here.
enum Elsewhere {
    /// Nothing that is not known.
    Known,
    /// This one.
    Refund(Box<Refund>),
    /// One of an unknown amount.
    Unknown,
}

fn told(notice: &RefundNotice) -> RefundTold {
    RefundTold {
        refund_id: notice.refund_id.clone(),
        state: notice.state,
        cash_refund_fee: None,
        refunded_at: notice.refunded_at,
        message: notice.message.clone(),
    }
}

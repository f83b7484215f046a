//! Money back: the intent is durable before anything is sent, the same number is the same refund,
//! and what is recorded is finished.

pub(super) mod execute;
pub(super) mod notification;

use super::close::LOCK_TIMEOUT;
use super::create::unreachable_store;
use super::{Engine, Inner};
use crate::domain::ids::{OutTradeNo, Pid, TransactionId};
use crate::domain::money::Fen;
pub use crate::domain::order::payment::RefundRequest;
use crate::domain::order::payment::{Payment, Refund, RefundState};
use crate::domain::order::{Order, Transition};
use crate::domain::time::SECOND_MS;
use crate::error::{Code, Error, Kind, Text, Violation};

/// A refund as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Refunded {
    /// The order.
    pub out_trade_no: OutTradeNo,
    /// The payment it is of.
    pub transaction_id: TransactionId,
    /// The refund.
    pub refund: Refund,
}

/// Every refund of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Refunds {
    /// Each of them, in the order in which they became known.
    pub refunds: Vec<Refunded>,
    /// What went back in all, in fen.
    pub refund_fee: u64,
    /// Whether something went back that nobody here knows the amount of.
    pub refund_unknown: bool,
}

/// A pending refund that is asked for again is looked at, at most once in so long.
const LOOK_MS: i64 = 5 * SECOND_MS;

impl Engine {
    /// Returns a payment, or a part of it. Once it is recorded it is finished under its number,
    /// however long its provider takes: until then it is `PROCESSING`.
    ///
    /// The same `out_refund_no` again is the same refund: asking twice returns nothing twice, and
    /// the second answer comes from the store at once.
    /// Without one everything that is left goes back, under a number that follows from the payment,
    /// so that a repeat after a lost answer is a replay too.
    ///
    /// ```
    /// # use paygate::{Engine, Error};
    /// use paygate::domain::ids::OutTradeNo;
    /// use paygate::domain::money::Fen;
    /// use paygate::domain::order::payment::RefundState;
    /// use paygate::engine::RefundRequest;
    ///
    /// /// Gives 0.30 yuan back; `true` when the buyer has it, `false` when it is on its way.
    /// async fn give_back(engine: &Engine, order: OutTradeNo) -> Result<bool, Error> {
    ///     let wanted = RefundRequest {
    ///         out_trade_no: order,
    ///         out_refund_no: Some("return-1".to_owned()),
    ///         refund_fee: Fen::new(30),
    ///         refund_desc: Some("one cup broke".to_owned()),
    ///         transaction_id: None,
    ///     };
    ///     let refunded = engine.refund(wanted).await?;
    ///     Ok(refunded.refund.state == RefundState::Success)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchOrder`] also for a `transaction_id` that is no payment of the order,
    /// [`Kind::NotPaid`], [`Kind::RefundExceeds`], [`Kind::Different`] for
    /// a known number with another amount, [`Kind::TooSoon`] while the order is busy: nothing was
    /// recorded then. [`Kind::ProviderRefused`] when it is final: the refund is `CLOSED`, and its
    /// number may be sent again.
    ///
    /// # Cancel safety
    ///
    /// A dropped future stops nothing that was begun.
    pub async fn refund(&self, request: RefundRequest) -> Result<Refunded, Error> {
        let known = self.0.load(&request.out_trade_no).await?;
        if let Some(recorded) = recorded(&known, &request)? {
            return Ok(recorded);
        }
        let turn = self.0.locks.lock(&request.out_trade_no, LOCK_TIMEOUT).await;
        let lead = turn.ok_or_else(|| Error::new(Kind::TooSoon))?;
        let engine = self.0.clone();
        let (done, refunded) = tokio::sync::oneshot::channel();
        self.0.tasks.spawn(async move {
            lead.claimed(&known.fingerprint);
            let result = engine.refund_order(&request).await;
            drop(lead);
            // Who asked may have left.
            drop(done.send(result));
        });
        refunded.await.unwrap_or_else(|_| Err(Error::new(Kind::OutcomeUnknown)))
    }

    /// The refund with this number, of whichever merchant. One that is pending is asked about at
    /// its provider, at most once in 5 s.
    ///
    /// ```
    /// # use paygate::{Engine, Error};
    /// use paygate::domain::order::payment::RefundState;
    /// use paygate::error::Kind;
    ///
    /// /// Whether the buyer has it back; `None` when nobody was refunded under this number.
    /// async fn arrived(engine: &Engine, out_refund_no: &str) -> Result<Option<bool>, Error> {
    ///     match engine.query_refund(out_refund_no).await {
    ///         Ok(found) => Ok(Some(found.refund.state == RefundState::Success)),
    ///         Err(error) if error.kind() == Kind::NotRefunded => Ok(None),
    ///         Err(error) => Err(error),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Kind::NotRefunded`] when there is none; [`Kind::NotSent`] when the store cannot tell.
    ///
    /// # Cancel safety
    ///
    /// A dropped future stops no call that was begun.
    pub async fn query_refund(&self, out_refund_no: &str) -> Result<Refunded, Error> {
        for pid in self.0.merchants.keys() {
            let found = self.0.find_refund(pid, out_refund_no).await?;
            if let Some(order) = found {
                let order = self.with_queried_refund(order, out_refund_no).await?;
                return refunded(&order, out_refund_no);
            }
        }
        Err(Error::new(Kind::NotRefunded))
    }

    /// Every refund of an order, as it is known here: no provider is asked.
    ///
    /// ```
    /// # use paygate::{Engine, Error, domain::ids::OutTradeNo};
    /// /// What the buyer of this order has back, in fen; `None` when only a person can tell.
    /// async fn returned(engine: &Engine, order: &OutTradeNo) -> Result<Option<u64>, Error> {
    ///     let refunds = engine.query_refunds(order).await?;
    ///     Ok((!refunds.refund_unknown).then_some(refunds.refund_fee))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchOrder`]; [`Kind::NotRefunded`] when nothing was; [`Kind::NotSent`] when the
    /// store cannot tell.
    pub async fn query_refunds(&self, out_trade_no: &OutTradeNo) -> Result<Refunds, Error> {
        let order = self.0.load(out_trade_no).await?;
        let of = |payment: &Payment| -> Vec<Refunded> {
            let id = &payment.transaction_id;
            payment.refunds.iter().map(|it| one(out_trade_no, id, it)).collect()
        };
        let refunds: Vec<Refunded> = order.payments.iter().flat_map(of).collect();
        let refund_unknown = order.payments.iter().any(Payment::has_unknown_refund);
        if refunds.is_empty() && !refund_unknown {
            return Err(Error::new(Kind::NotRefunded));
        }
        let refund_fee = order.payments.iter().map(Payment::returned).sum();
        Ok(Refunds { refunds, refund_fee, refund_unknown })
    }

    /// The order, after the provider was asked about a pending refund of it.
    async fn with_queried_refund(&self, order: Order, out_refund_no: &str) -> Result<Order, Error> {
        let now = self.0.clock.now();
        let is_stale = order.refund(out_refund_no).is_some_and(|(_, it)| {
            let looked = it.last_queried_at.unwrap_or(it.requested_at);
            it.state == RefundState::Processing && now.since(looked) >= LOOK_MS
        });
        let out_trade_no = order.out_trade_no().clone();
        let Some(lead) = self.0.locks.try_lock(&out_trade_no).filter(|_| is_stale) else {
            return Ok(order);
        };
        let (engine, refund_no) = (self.0.clone(), out_refund_no.to_owned());
        let (done, looked) = tokio::sync::oneshot::channel();
        self.0.tasks.spawn(async move {
            lead.claimed(&order.fingerprint);
            let order = match engine.load(&out_trade_no).await {
                Ok(order) => engine.finish(order, &refund_no, engine.budget()).await,
                Err(error) => Err(error),
            };
            drop(lead);
            drop(done.send(order.map(|(order, _)| order)));
        });
        looked.await.unwrap_or_else(|_| Err(Error::new(Kind::OutcomeUnknown)))
    }
}

impl Inner {
    async fn refund_order(&self, request: &RefundRequest) -> Result<Refunded, Error> {
        let order = self.load(&request.out_trade_no).await?;
        if let Some(recorded) = recorded(&order, request)? {
            return Ok(recorded);
        }
        let payment = refunded_payment(&order, request)?;
        let refund = self.wanted(&order, payment, request).await?;
        let number = refund.out_refund_no.clone();
        let order = self.want(order.clone(), payment.transaction_id.clone(), refund).await?;
        // Recorded is recorded: whatever comes of the sending, it is finished under its number.
        match self.finish(order.clone(), &number, self.budget()).await {
            Ok((_, Some(refusal))) => Err(refusal),
            Ok((order, None)) => refunded(&order, &number),
            Err(_) => refunded(&order, &number),
        }
    }

    /// The refund that `request` is about: a refused one anew, or a new one.
    async fn wanted(
        &self,
        order: &Order,
        payment: &Payment,
        request: &RefundRequest,
    ) -> Result<Refund, Error> {
        let number = refund_number(order, payment, request);
        let now = self.clock.now();
        let has_room = |fee: Fen| fee.fen() <= payment.left() && !payment.has_unknown_refund();
        if let Some((_, refused)) = order.refund(&number) {
            if !has_room(refused.refund_fee) {
                return Err(Error::new(Kind::RefundExceeds));
            }
            return Ok(Refund {
                state: RefundState::Processing,
                requested_at: now,
                last_queried_at: None,
                refused_at: None,
                ..refused.clone()
            });
        }
        if self.find_refund(&order.terms.pid, &number).await?.is_some() {
            return Err(different("out_trade_no"));
        }
        let refund_fee = match request.refund_fee {
            Some(fee) => Some(fee),
            None => Fen::positive(payment.left()),
        };
        let refund_fee = refund_fee.filter(|it| has_room(*it));
        let refund_fee = refund_fee.ok_or_else(|| Error::new(Kind::RefundExceeds))?;
        Ok(Refund {
            refund_desc: request.refund_desc.clone(),
            notify_url: self.refund_notify_url(order, payment),
            ..Refund::pending(number, refund_fee, now)
        })
    }

    /// Where a refund of `payment` is reported: to where the payment was.
    pub(super) fn refund_notify_url(&self, order: &Order, payment: &Payment) -> Option<String> {
        let attempt = order.attempt(payment.attempt)?;
        Some(self.notify_url(attempt.method.pay_type, &order.terms.pid))
    }

    /// Makes the wish durable. Nothing was sent when it fails.
    pub(super) async fn want(
        &self,
        order: Order,
        transaction_id: TransactionId,
        refund: Refund,
    ) -> Result<Order, Error> {
        let number = refund.out_refund_no.clone();
        let event = Transition::RefundRequested { transaction_id, refund: Box::new(refund) };
        if order.apply(event.clone()).is_none() {
            return Err(Error::new(Kind::RefundExceeds));
        }
        let (out_trade_no, pid) = (order.out_trade_no().clone(), order.terms.pid.clone());
        let Ok(order) = self.record(order, event).await else {
            // Another order may have taken the number a moment ago.
            return match self.find_refund(&pid, &number).await {
                Ok(Some(other)) if *other.out_trade_no() != out_trade_no => {
                    Err(different("out_trade_no"))
                }
                _ => Err(Error::new(Kind::NotSent)),
            };
        };
        match order.refund(&number) {
            Some(_) => Ok(order),
            None => Err(Error::new(Kind::RefundExceeds)),
        }
    }

    /// The order that a refund's number belongs to.
    pub(super) async fn find_refund(
        &self,
        pid: &Pid,
        number: &str,
    ) -> Result<Option<Order>, Error> {
        let found = self.store.find_refund(pid, number).await;
        match found.map_err(|error| unreachable_store(&error))? {
            Some(out_trade_no) => self.load(&out_trade_no).await.map(Some),
            None => Ok(None),
        }
    }
}

/// The refund that `request` repeats, as it is recorded: it needs nobody's turn, and is finished
/// under its number. `None` when nothing is recorded under its number but a refusal.
///
/// # Errors
///
/// 4102 when the number is a refund of another amount or payment.
fn recorded(order: &Order, request: &RefundRequest) -> Result<Option<Refunded>, Error> {
    let Ok(payment) = refunded_payment(order, request) else { return Ok(None) };
    let number = refund_number(order, payment, request);
    let Some((of, known)) = order.refund(&number) else { return Ok(None) };
    if request.refund_fee.is_some_and(|it| it != known.refund_fee) {
        return Err(different("refund_fee"));
    }
    if request.transaction_id.as_ref().is_some_and(|it| *it != of.transaction_id) {
        return Err(different("transaction_id"));
    }
    match known.state {
        RefundState::Closed => Ok(None),
        _ => refunded(order, &number).map(Some),
    }
}

fn refunded_payment<'a>(order: &'a Order, request: &RefundRequest) -> Result<&'a Payment, Error> {
    let payment = order.payment(request.transaction_id.as_ref());
    payment.ok_or_else(|| match request.transaction_id {
        Some(_) => Error::new(Kind::NoSuchOrder),
        None => Error::new(Kind::NotPaid),
    })
}

fn refund_number(order: &Order, payment: &Payment, request: &RefundRequest) -> String {
    let derived = || payment.derived_refund_no(order.out_trade_no());
    request.out_refund_no.clone().unwrap_or_else(derived)
}

fn refunded(order: &Order, number: &str) -> Result<Refunded, Error> {
    let (payment, refund) = order.refund(number).ok_or_else(|| Error::new(Kind::NotRefunded))?;
    Ok(one(order.out_trade_no(), &payment.transaction_id, refund))
}

fn one(out_trade_no: &OutTradeNo, id: &TransactionId, refund: &Refund) -> Refunded {
    let (out_trade_no, transaction_id) = (out_trade_no.clone(), id.clone());
    Refunded { out_trade_no, transaction_id, refund: refund.clone() }
}

/// 4102: the number is another refund's.
fn different(field: &str) -> Error {
    let text = |zh: &str, en: &str| Text::new(format!("{zh}：{field}"), format!("{en}: {field}"));
    Error::new(Kind::Different)
        .text(text(
            "同一 out_refund_no 的参数不一致",
            "the same out_refund_no with other parameters",
        ))
        .violations_of(vec![Violation {
            code: Code::Different,
            path: format!("/{field}"),
            rule: "same",
            message: Text::new("与该退款号首次请求的值不同", "differs from the first request's"),
        }])
}

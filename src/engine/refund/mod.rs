//! Refunds: the intent is durable before anything is sent, the same number is the same refund, and
//! paygate finishes what it recorded.

mod context;
mod notification;
mod retry;
mod send;

use super::failures::store_unreachable;
use super::locked::{LOCK_TIMEOUT, LockedWork, Wait};
use super::parts::{Engine, EngineParts};
use crate::domain::ids::{OutTradeNo, Pid, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::payment::{Payment, is_derived_refund_no};
use crate::domain::order::refund::{Refund, RefundRequest, RefundState};
use crate::domain::order::{Order, Transition};
use crate::domain::time::SECOND_MS;
use crate::error::{Code, Error, Kind, Text, Violation};

/// A refund as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Refunded {
    /// The order.
    pub out_trade_no: OutTradeNo,
    /// Its payment.
    pub transaction_id: TransactionId,
    /// The refund.
    pub refund: Refund,
}

/// Every refund of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Refunds {
    /// Each of them, in the order in which they became known.
    pub refunds: Vec<Refunded>,
    /// How much they returned together, in fen.
    pub refund_fee: u64,
    /// Whether a provider reports a refund whose amount nobody here knows.
    pub refund_unknown: bool,
}

/// A query for a pending refund reaches the provider at most once in so long.
const STALE_MS: i64 = 5 * SECOND_MS;

impl Engine {
    /// Refunds a payment, or a part of it. Paygate finishes a recorded refund under its number,
    /// however long the provider takes: until then it is `PROCESSING`.
    ///
    /// The same `out_refund_no` again is the same refund: it is sent once, and the second answer
    /// comes from the store at once. Without a number paygate refunds everything that is left,
    /// under a number derived from the payment, so that a repeat after a lost answer is a replay
    /// too.
    ///
    /// ```
    /// # use paygate::{Engine, Error};
    /// use paygate::domain::{OutTradeNo, Fen, RefundState};
    /// use paygate::engine::RefundRequest;
    ///
    /// /// Refunds 0.30 yuan; `true` when the buyer has it, `false` while it is pending.
    /// async fn refund_cup(engine: &Engine, order: OutTradeNo) -> Result<bool, Error> {
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
        let _operation = self.begin_operation()?;
        let known = self.0.commits.load(&request.out_trade_no).await?;
        if let Some(recorded) = recorded(&known, &request)? {
            return Ok(recorded);
        }
        let refunded = self.0.exclusively(
            known.out_trade_no(),
            Wait::AtMost(LOCK_TIMEOUT),
            |locked, order| async move { Box::pin(locked.refund_order(order, &request)).await },
        );
        refunded.await?.ok_or_else(|| Error::new(Kind::TooSoon))
    }

    /// The refund with this number, of whichever merchant. Paygate queries the provider about a
    /// pending one, at most once in 5 s.
    ///
    /// ```
    /// # use paygate::{Engine, Error};
    /// use paygate::domain::RefundState;
    /// use paygate::error::Kind;
    ///
    /// /// Whether the buyer has it; `None` when no refund has this number.
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
        let _operation = self.begin_operation()?;
        for pid in self.0.providers.merchants.keys() {
            let found = self.0.find_refund(pid, out_refund_no).await?;
            if let Some(order) = found {
                let order = self.with_queried_refund(order, out_refund_no).await?;
                return refunded(&order, out_refund_no);
            }
        }
        Err(Error::new(Kind::NotRefunded))
    }

    /// Every refund of an order, as the store holds it: no provider is queried.
    ///
    /// ```
    /// # use paygate::{Engine, Error};
    /// # use paygate::domain::OutTradeNo;
    /// /// How much the buyer of this order got back, in fen; `None` when an operator must look.
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
        let _operation = self.begin_operation()?;
        let order = self.0.commits.load(out_trade_no).await?;
        let refunds_of = |payment: &Payment| -> Vec<Refunded> {
            let refunds = payment.refunds.iter();
            refunds.map(|refund| Refunded::new(out_trade_no, payment, refund)).collect()
        };
        let refunds: Vec<Refunded> = order.payments.iter().flat_map(refunds_of).collect();
        let refund_unknown = order.payments.iter().any(Payment::has_unknown_refund);
        if refunds.is_empty() && !refund_unknown {
            return Err(Error::new(Kind::NotRefunded));
        }
        let refund_fee = order.payments.iter().map(Payment::refunded).sum();
        Ok(Refunds { refunds, refund_fee, refund_unknown })
    }

    /// The order, after the provider was queried about its pending refund.
    async fn with_queried_refund(&self, order: Order, out_refund_no: &str) -> Result<Order, Error> {
        let now = self.0.clock.now();
        let is_stale = order.refund(out_refund_no).is_some_and(|(_, refund)| {
            let queried_at = refund.last_queried_at.unwrap_or(refund.requested_at);
            refund.state == RefundState::Processing && now.since(queried_at) >= STALE_MS
        });
        if !is_stale {
            return Ok(order);
        }
        let number = out_refund_no.to_owned();
        let out_trade_no = order.out_trade_no().clone();
        let sent = self.0.exclusively(&out_trade_no, Wait::No, |locked, order| async move {
            Box::pin(locked.send_refund(order, &number)).await.map(|(order, _)| order)
        });
        Ok(sent.await?.unwrap_or(order))
    }
}

impl LockedWork {
    async fn refund_order(&self, order: Order, request: &RefundRequest) -> Result<Refunded, Error> {
        if let Some(recorded) = recorded(&order, request)? {
            return Ok(recorded);
        }
        let payment = refunded_payment(&order, request)?;
        let refund = self.engine.planned_refund(&order, payment, request).await?;
        let number = refund.out_refund_no.clone();
        let payment = payment.transaction_id.clone();
        let order = self.record_refund_request(order, payment, refund).await?;
        // Whatever comes of the sending, paygate finishes the recorded refund under its number.
        match Box::pin(self.send_refund(order.clone(), &number)).await {
            Ok((_, Some(refusal))) => Err(refusal),
            Ok((order, None)) => refunded(&order, &number),
            Err(_) => refunded(&order, &number),
        }
    }

    /// Makes a refund request durable. Nothing was sent when it fails.
    ///
    /// # Errors
    ///
    /// [`Kind::RefundExceeds`], [`Kind::Different`] when another order has the number,
    /// [`Kind::NotSent`] when it could not be recorded.
    async fn record_refund_request(
        &self,
        order: Order,
        transaction_id: TransactionId,
        refund: Refund,
    ) -> Result<Order, Error> {
        let number = refund.out_refund_no.clone();
        let exceeds = |order: &Order, id: &TransactionId| match order.payment(id) {
            Some(payment) => Err(exceeds(payment)),
            None => Err(Error::new(Kind::NoSuchOrder)),
        };
        let requested = Transition::RefundRequested {
            transaction_id: transaction_id.clone(),
            refund: Box::new(refund),
        };
        if order.apply(requested.clone()).is_none() {
            return exceeds(&order, &transaction_id);
        }
        let (out_trade_no, pid) = (order.out_trade_no().clone(), order.terms.pid.clone());
        let Ok(order) = self.record(order, requested).await else {
            // Another order may have got the number a moment ago.
            return match self.engine.find_refund(&pid, &number).await {
                Ok(Some(other)) if *other.out_trade_no() != out_trade_no => {
                    Err(different_refund("out_trade_no"))
                }
                _ => Err(Error::new(Kind::NotSent)),
            };
        };
        match order.refund(&number) {
            Some(_) => Ok(order),
            None => exceeds(&order, &transaction_id),
        }
    }
}

impl EngineParts {
    /// The refund that `request` asks for: a refused one anew, or a new one.
    async fn planned_refund(
        &self,
        order: &Order,
        payment: &Payment,
        request: &RefundRequest,
    ) -> Result<Refund, Error> {
        let number = refund_number(order, payment, request);
        let now = self.clock.now();
        let has_room =
            |fee: Fen| fee.fen() <= payment.refundable() && !payment.has_unknown_refund();
        if let Some((_, refused)) = order.refund(&number) {
            if !has_room(refused.refund_fee) {
                return Err(exceeds(payment));
            }
            return Ok(refused.clone().requested_again(now));
        }
        // Another payment's refund of everything that is left may need it.
        let derived = payment.derived_refund_no(order.out_trade_no());
        if is_derived_refund_no(&number) && number != derived {
            return Err(different_refund("transaction_id"));
        }
        if self.find_refund(&order.terms.pid, &number).await?.is_some() {
            return Err(different_refund("out_trade_no"));
        }
        let refund_fee = request.refund_fee.or_else(|| Fen::positive(payment.refundable()));
        let refund_fee = refund_fee.filter(|fee| has_room(*fee));
        let refund_fee = refund_fee.ok_or_else(|| exceeds(payment))?;
        Ok(Refund {
            refund_desc: request.refund_desc.clone(),
            notify_url: self.providers.refund_notify_url(order, payment),
            ..Refund::pending(number, refund_fee, now)
        })
    }

    /// The order that a refund's number belongs to.
    async fn find_refund(&self, pid: &Pid, number: &str) -> Result<Option<Order>, Error> {
        let found = self.store.find_refund(pid, number).await;
        match found.map_err(|error| store_unreachable(&error))? {
            Some(out_trade_no) => self.commits.load(&out_trade_no).await.map(Some),
            None => Ok(None),
        }
    }
}

/// The recorded refund that `request` repeats: it needs no lock, and paygate finishes it under its
/// number. [`None`] when the store holds nothing under its number but a refusal.
///
/// # Errors
///
/// 4102 when the number is a refund of another amount or payment.
fn recorded(order: &Order, request: &RefundRequest) -> Result<Option<Refunded>, Error> {
    let Ok(payment) = refunded_payment(order, request) else { return Ok(None) };
    let number = refund_number(order, payment, request);
    let Some((paid, known)) = order.refund(&number) else { return Ok(None) };
    if request.refund_fee.is_some_and(|fee| fee != known.refund_fee) {
        return Err(different_refund("refund_fee"));
    }
    if payment.transaction_id != paid.transaction_id {
        return Err(different_refund("transaction_id"));
    }
    match known.state {
        RefundState::Closed => Ok(None),
        _ => refunded(order, &number).map(Some),
    }
}

fn refunded_payment<'a>(order: &'a Order, request: &RefundRequest) -> Result<&'a Payment, Error> {
    let payment = match &request.transaction_id {
        Some(id) => order.payment(id),
        None => order.winning_payment(),
    };
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
    Ok(Refunded::new(order.out_trade_no(), payment, refund))
}

impl Refunded {
    fn new(out_trade_no: &OutTradeNo, payment: &Payment, refund: &Refund) -> Refunded {
        let (out_trade_no, transaction_id) = (out_trade_no.clone(), payment.transaction_id.clone());
        Refunded { out_trade_no, transaction_id, refund: refund.clone() }
    }
}

/// 4106, with what is left of the payment.
fn exceeds(payment: &Payment) -> Error {
    let left = payment.refundable();
    let text = if payment.has_unknown_refund() {
        Text::new(
            "支付平台处有金额未知的退款，无法确定剩余可退金额",
            "the provider has a refund of an unknown amount, so that what is left is not known",
        )
    } else {
        Text::new(
            format!("退款金额超出可退金额：剩余可退 {left} 分"),
            format!("the refund exceeds what is left of the payment: {left} fen are left"),
        )
    };
    Error::new(Kind::RefundExceeds).text(text)
}

/// 4102: the number belongs to a refund with another value.
fn different_refund(field: &str) -> Error {
    Error::new(Kind::Different)
        .text(Text::new(
            format!("同一 out_refund_no 的参数与首次请求不一致：{field}"),
            format!("the same out_refund_no came with other parameters before: {field}"),
        ))
        .violations_of(vec![Violation {
            code: Code::Different,
            path: format!("/{field}"),
            rule: "same",
            message: Text::new(
                format!("{field} 与该退款号首次请求的值不同"),
                format!("{field} differs from the first request's"),
            ),
        }])
}

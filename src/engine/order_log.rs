//! What the log has of orders: a span that names the order in every line about it, and one line
//! for each change of an order that its shop notices.

use tracing::Span;
use tracing::field::Empty;

use crate::domain::event::{Effect, EventType};
use crate::domain::ids::OutTradeNo;
use crate::domain::order::attempt::Attempt;
use crate::domain::order::{Order, Transition};
use crate::domain::request::CreateRequest;

/// The span of work on an order. [`name_account`] completes it. Its level is ERROR, so that every
/// line has it that a log may have.
pub(super) fn order_span(out_trade_no: &OutTradeNo) -> Span {
    tracing::error_span!("order", %out_trade_no, provider = Empty, pid = Empty)
}

/// As [`order_span`], of a request for an order that may not be stored yet.
pub(super) fn request_span(request: &CreateRequest) -> Span {
    let (out_trade_no, pid) = (&request.terms.out_trade_no, request.terms.pid.as_str());
    tracing::error_span!("order", %out_trade_no, provider = request.provider.name(), pid)
}

/// Names the account that the order is paid to, in the span of the work on it. Once for each span:
/// a second value would stand beside the first.
pub(super) fn name_account(order: &Order) {
    let span = Span::current();
    span.record("pid", order.terms.pid.as_str());
    if let Some(attempt) = order.attempts.last() {
        span.record("provider", attempt.method.provider().name());
    }
}

/// Logs a change of an order that was made durable.
pub(super) fn changed(after: &Order, cause: &Transition, effects: &[Effect]) {
    match cause {
        Transition::Answered { n, .. } => opened(after, *n),
        Transition::Closed => {
            let (out_trade_no, total_fee) = (after.out_trade_no(), after.terms.total_fee.fen());
            tracing::info!(%out_trade_no, total_fee, "paygate closed an order");
        }
        _ => {}
    }
    effects.iter().for_each(|effect| happened(after, effect));
}

/// Logs that attempt `n` became payable.
fn opened(order: &Order, n: u32) {
    let Some(attempt) = order.attempt(n) else { return };
    let (out_trade_no, pid) = (order.out_trade_no(), order.terms.pid.as_str());
    let (provider, pay_type) = (attempt.method.provider().name(), attempt.method.pay_type.name());
    let total_fee = order.terms.total_fee.fen();
    tracing::info!(
        %out_trade_no, provider, pid, pay_type, n, total_fee, "paygate opened a payment"
    );
}

/// Logs what the shop gets an event of.
fn happened(order: &Order, effect: &Effect) {
    let payment = order.payments.iter().find(|it| it.transaction_id == effect.transaction_id);
    let attempt = payment.and_then(|payment| order.attempt(payment.attempt));
    let provider = attempt.map(|attempt: &Attempt| attempt.method.provider().name());
    let refund = effect
        .out_refund_no
        .as_deref()
        .and_then(|number| payment?.refunds.iter().find(|refund| refund.out_refund_no == number));
    let (out_trade_no, pid) = (order.out_trade_no(), order.terms.pid.as_str());
    let (event, transaction_id) = (effect.event.name(), &*effect.transaction_id.0);
    let paid_fee = payment.map(|payment| payment.total_fee.fen());
    let refunds_by_itself = payment.is_some_and(|payment| payment.auto_refund);
    let out_refund_no = effect.out_refund_no.as_deref();
    let refund_fee = refund.map(|refund| refund.refund_fee.fen());
    match effect.event {
        EventType::PaymentSucceeded => tracing::info!(
            event, %out_trade_no, provider, pid, transaction_id, paid_fee,
            "a buyer paid an order"
        ),
        EventType::PaymentDuplicate | EventType::PaymentLate if !refunds_by_itself => {
            tracing::error!(
                event, %out_trade_no, provider, pid, transaction_id, paid_fee,
                "a buyer paid a paid or closed order: it is for an operator to refund that"
            )
        }
        EventType::PaymentDuplicate => tracing::warn!(
            event, %out_trade_no, provider, pid, transaction_id, paid_fee,
            "a buyer paid a paid order again"
        ),
        EventType::PaymentLate => tracing::warn!(
            event, %out_trade_no, provider, pid, transaction_id, paid_fee,
            "a buyer paid a closed order"
        ),
        EventType::PaymentMismatch => tracing::error!(
            event, %out_trade_no, provider, pid, transaction_id, paid_fee,
            "a buyer paid another amount than the order's"
        ),
        EventType::RefundSucceeded | EventType::DuplicateRefunded | EventType::LateRefunded => {
            tracing::info!(
                event, %out_trade_no, provider, pid, transaction_id, out_refund_no, refund_fee,
                "a provider refunded a buyer"
            )
        }
        EventType::RefundAbnormal => tracing::error!(
            event, %out_trade_no, provider, pid, transaction_id, out_refund_no, refund_fee,
            "a refund needs an operator"
        ),
        EventType::RefundClosed => tracing::warn!(
            event, %out_trade_no, provider, pid, transaction_id, out_refund_no, refund_fee,
            "a refund ended, and the buyer got no money"
        ),
        // It belongs to no order: the engine logs it where it records it.
        EventType::PaymentUnmatched => {}
    }
}

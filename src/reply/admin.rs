//! The bodies that only the admin listener answers with.

use serde::Serialize;

use crate::domain::channel::ProviderId;
use crate::domain::event::{DeliveryState, OutboxEvent};
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::order::refund::Refund;
use crate::domain::time::Millis;
use crate::domain::unmatched::UnmatchedPayment;

/// The body of an operation that answers nothing but its success.
#[derive(Serialize)]
pub(crate) struct OkBody {
    pub(crate) code: u16,
}

/// `refund`, and `queryRefund` by the refund's number.
#[derive(Serialize)]
pub(crate) struct RefundReplyBody<'a> {
    pub(crate) code: u16,
    #[serde(flatten)]
    pub(crate) refund: RefundBody<'a>,
}

/// `queryRefund` by the order's number.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundListBody<'a> {
    pub(crate) code: u16,
    pub(crate) refund_list: Vec<RefundBody<'a>>,
    /// The sum of the known amounts, in fen.
    pub(crate) refund_fee: u64,
    /// Whether a refund's amount is unknown.
    #[serde(rename = "refund_unknown", skip_serializing_if = "is_false")]
    pub(crate) refund_unknown: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A refund, by vk-uni-pay's names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundBody<'a> {
    out_trade_no: &'a str,
    transaction_id: &'a str,
    out_refund_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<&'a str>,
    refund_fee: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cash_refund_fee: Option<u64>,
    refund_status: &'static str,
}

impl<'a> RefundBody<'a> {
    /// `refund`, of the payment `transaction_id` of the order `out_trade_no`.
    pub(crate) fn new(
        out_trade_no: &'a OutTradeNo,
        transaction_id: &'a TransactionId,
        refund: &'a Refund,
    ) -> RefundBody<'a> {
        RefundBody {
            out_trade_no: out_trade_no.as_str(),
            transaction_id: &transaction_id.0,
            out_refund_no: &refund.out_refund_no,
            refund_id: refund.refund_id.as_deref(),
            refund_fee: refund.refund_fee.fen(),
            cash_refund_fee: refund.cash_refund_fee.map(|fee| fee.fen()),
            refund_status: refund.state.name(),
        }
    }
}

/// `closePayment`.
#[derive(Serialize)]
pub(crate) struct ClosedBody<'a> {
    pub(crate) code: u16,
    pub(crate) out_trade_no: &'a str,
    pub(crate) status: i8,
}

/// `GET webhooks`.
#[derive(Serialize)]
pub(crate) struct WebhookListBody<'a> {
    pub(crate) code: u16,
    pub(crate) webhooks: Vec<WebhookEventBody<'a>>,
}

/// An event in the outbox.
#[derive(Serialize)]
pub(crate) struct WebhookEventBody<'a> {
    id: &'a str,
    r#type: &'static str,
    out_trade_no: &'a str,
    state: &'static str,
    tries: u32,
    next: Option<String>,
}

impl WebhookEventBody<'_> {
    pub(crate) fn new(event: &OutboxEvent) -> WebhookEventBody<'_> {
        let is_pending = event.state == DeliveryState::Pending;
        WebhookEventBody {
            id: event.id.as_str(),
            r#type: event.event.name(),
            out_trade_no: event.out_trade_no.as_str(),
            state: event.state.name(),
            tries: event.tries,
            next: is_pending.then(|| event.next_at.to_rfc3339()),
        }
    }
}

/// `GET payments`.
#[derive(Serialize)]
pub(crate) struct PaymentListBody<'a> {
    pub(crate) code: u16,
    pub(crate) payments: Vec<UnmatchedPaymentBody<'a>>,
}

/// A payment of no order.
#[derive(Serialize)]
pub(crate) struct UnmatchedPaymentBody<'a> {
    state: &'static str,
    provider: ProviderId,
    pid: &'a str,
    account: &'a str,
    channel_trade_no: &'a str,
    transaction_id: &'a str,
    total_fee: u64,
    currency: Option<&'a str>,
    pay_date: Option<Millis>,
    known: Millis,
}

impl UnmatchedPaymentBody<'_> {
    pub(crate) fn new(unmatched: &UnmatchedPayment) -> UnmatchedPaymentBody<'_> {
        UnmatchedPaymentBody {
            state: "unmatched",
            provider: unmatched.provider,
            pid: unmatched.pid.as_str(),
            account: &unmatched.account,
            channel_trade_no: unmatched.channel_no.as_str(),
            transaction_id: &unmatched.transaction_id.0,
            total_fee: unmatched.total_fee.fen(),
            currency: unmatched.currency.as_deref(),
            pay_date: unmatched.paid_at,
            known: unmatched.discovered_at,
        }
    }
}

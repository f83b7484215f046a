//! An order as the cashier's pages show it.

use serde_json::{Value, json};

use super::qr_code;
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::Millis;
use crate::mock::world::order::{SimulatedOrder, State};
use crate::mock::world::payment::SimulatedPayment;
use crate::mock::world::refund::SimulatedRefund;

/// An order at `now`, with its payment, its refunds and the notifications of them.
pub(super) fn order(order: &SimulatedOrder, now: Millis) -> Value {
    let terms = &order.terms;
    let state = state(order, now);
    json!({
        "provider": order.provider,
        "provider_words": provider_words(order.provider),
        "merchant": order.merchant,
        "out_trade_no": order.out_trade_no,
        "product": terms.product,
        "product_words": product_words(terms.product),
        "subject": terms.subject,
        "yuan": yuan(order),
        "state": state,
        "state_words": state_words(state),
        "created": order.created,
        "expires": terms.expires,
        "is_payable": is_payable(order, now),
        "has_code": qr_code::code(order).is_some(),
        "code_at": order.payment_codes.last().map(|code| code.issued),
        "transaction_id": order.transaction_id,
        "payment": order.payments.first().map(payment),
    })
}

/// Whether a buyer can pay the order at `now`.
pub(super) fn is_payable(order: &SimulatedOrder, now: Millis) -> bool {
    matches!(order.state, State::Offered | State::Unpaid) && now < order.terms.expires
}

/// How much was paid, or else how much is to be paid.
pub(super) fn yuan(order: &SimulatedOrder) -> String {
    order.payments.first().map_or(order.terms.amount, |payment| payment.amount).to_yuan()
}

/// The state of the order: also whether it has expired, or is refunded, in part or in full.
pub(super) fn state(order: &SimulatedOrder, now: Millis) -> &'static str {
    match order.state {
        State::Offered | State::Unpaid if order.terms.expires <= now => "expired",
        State::Offered => "offered",
        State::Unpaid => "unpaid",
        State::Closed => "closed",
        State::Paid => match order.payments.first() {
            Some(payment) if payment.is_fully_refunded() => "refunded",
            Some(payment) if payment.refunded_fen() > 0 => "part",
            _ => "paid",
        },
    }
}

pub(super) fn provider_words(provider: ProviderId) -> &'static str {
    match provider {
        ProviderId::Wxpay => "微信支付 WeChat Pay",
        ProviderId::Alipay => "支付宝 Alipay",
    }
}

pub(super) fn product_words(product: Product) -> &'static str {
    match product {
        Product::Jsapi => "小程序/公众号 JSAPI",
        Product::App | Product::AppPay => "App",
        Product::H5 => "手机浏览器 H5",
        Product::Native => "扫码 Native",
        Product::Create => "小程序 Mini program",
        Product::Precreate => "扫码 QR code",
        Product::WapPay => "手机网页 Wap page",
        Product::PagePay => "电脑网页 PC page",
    }
}

pub(super) fn state_words(state: &str) -> &'static str {
    match state {
        "offered" | "unpaid" => "待支付 Waiting",
        "paid" => "已支付 Paid",
        "closed" => "已关闭 Closed",
        "expired" => "已过期 Expired",
        "part" => "部分退款 Partly refunded",
        _ => "已退款 Refunded",
    }
}

fn payment(payment: &SimulatedPayment) -> Value {
    let refunds: Vec<Value> = payment.refunds.iter().map(refund).collect();
    json!({
        "yuan": payment.amount.to_yuan(),
        "payer": payment.payer,
        "paid_at": payment.paid_at,
        "notice": payment.notification,
        "left": Fen::new(payment.refundable_fen()).map(Fen::to_yuan),
        "refunds": refunds,
    })
}

fn refund(refund: &SimulatedRefund) -> Value {
    json!({
        "out_refund_no": refund.out_refund_no,
        "yuan": refund.amount.to_yuan(),
        "state": refund.state,
        "notice": refund.notification,
    })
}

//! `payOrder`: an order as a row of vk-uni-pay's `vk-pay-orders`, by its field names.
//!
//! The row leaves out the columns that an order has no value for: statistics, the raw
//! notification, and a service provider's token, which is a secret. paygate adds `payments`: a
//! refund can name any of them.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::domain::json::RawJson;
use crate::domain::order::Order;
use crate::domain::order::attempt::Attempt;
use crate::domain::order::payment::{Payment, PaymentRole};
use crate::domain::order::refund::{Refund, RefundState};
use crate::domain::product::Product;

/// The row of `order`, whose payment's event the shop has accepted or not.
pub(crate) fn pay_order_row(order: &Order, user_order_success: Option<bool>) -> Box<RawValue> {
    let winning = order.winning_payment();
    let paid_by = winning.and_then(|payment| order.attempt(payment.attempt));
    let attempt = paid_by.unwrap_or_else(|| order.current());
    let refunds: Vec<&Refund> = winning
        .into_iter()
        .flat_map(|payment| &payment.refunds)
        .filter(|refund| refund.state == RefundState::Success)
        .collect();
    let row = PayOrderRow {
        user_order_success,
        transaction_id: winning.map(|payment| &*payment.transaction_id.0),
        openid: winning
            .and_then(|payment| payment.openid.as_deref())
            .or(attempt.method.openid.as_deref()),
        pay_date: winning.map(|payment| payment.paid_at.0),
        notify_date: winning.map(|payment| payment.discovered_at.0),
        refund_fee: refunds.iter().map(|refund| refund.refund_fee.fen()).sum(),
        refund_num: refunds.len(),
        refund_list: refunds.into_iter().map(PayOrderRefund::of).collect(),
        ..PayOrderRow::unpaid(order, attempt)
    };
    to_raw_value(&row).expect("a row has string keys and no failing part")
}

#[derive(Serialize)]
struct PayOrderRow<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    out_trade_no: &'a str,
    transaction_id: Option<&'a str>,
    status: i8,
    #[serde(rename = "type")]
    kind: &'a str,
    pid: &'a str,
    provider: &'static str,
    pay_type: &'static str,
    provider_pay_method: Product,
    provider_appid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mch_id: Option<&'a str>,
    platform: &'a str,
    uni_platform: &'a str,
    description: &'a str,
    total_fee: u64,
    refund_fee: u64,
    refund_num: usize,
    refund_list: Vec<PayOrderRefund<'a>>,
    user_order_success: Option<bool>,
    user_id: Option<&'a str>,
    nickname: Option<&'a str>,
    openid: Option<&'a str>,
    device_id: Option<&'a str>,
    client_ip: Option<&'a str>,
    appid: Option<&'a str>,
    custom: Option<Box<RawValue>>,
    notify_url: &'a str,
    create_date: i64,
    pay_date: Option<i64>,
    notify_date: Option<i64>,
    payments: Vec<PayOrderPayment<'a>>,
}

impl<'a> PayOrderRow<'a> {
    fn unpaid(order: &'a Order, attempt: &'a Attempt) -> PayOrderRow<'a> {
        let (terms, client) = (&order.terms, &order.client);
        PayOrderRow {
            id: terms.out_trade_no.as_str(),
            out_trade_no: terms.out_trade_no.as_str(),
            transaction_id: None,
            status: order.status.number(),
            kind: &terms.kind,
            pid: terms.pid.as_str(),
            provider: attempt.method.provider().name(),
            pay_type: attempt.method.pay_type.name(),
            provider_pay_method: attempt.method.product,
            provider_appid: &attempt.method.app_id,
            mch_id: attempt.mch_id(),
            platform: &client.platform,
            uni_platform: client.uni_platform(),
            description: terms.description(),
            total_fee: terms.total_fee.fen(),
            refund_fee: 0,
            refund_num: 0,
            refund_list: Vec::new(),
            user_order_success: None,
            user_id: terms.user_id.as_deref(),
            nickname: client.nickname.as_deref(),
            openid: attempt.method.openid.as_deref(),
            device_id: client.device_id.as_deref(),
            client_ip: client.client_ip.as_deref(),
            appid: client.app_id.as_deref(),
            custom: terms.custom.as_ref().map(as_written),
            notify_url: &attempt.params.notify_url,
            create_date: order.created_at.0,
            pay_date: None,
            notify_date: None,
            payments: order.payments.iter().map(PayOrderPayment::of).collect(),
        }
    }
}

fn as_written(custom: &RawJson) -> Box<RawValue> {
    RawValue::from_string(custom.as_str().to_owned()).expect("it was scanned as JSON")
}

/// A successful refund.
#[derive(Serialize)]
struct PayOrderRefund<'a> {
    refund_date: i64,
    refund_fee: u64,
    out_refund_no: &'a str,
    refund_desc: Option<&'a str>,
}

impl PayOrderRefund<'_> {
    fn of(refund: &Refund) -> PayOrderRefund<'_> {
        PayOrderRefund {
            refund_date: refund.requested_at.0,
            refund_fee: refund.refund_fee.fen(),
            out_refund_no: &refund.out_refund_no,
            refund_desc: refund.refund_desc.as_deref(),
        }
    }
}

/// A payment, whatever its role.
#[derive(Serialize)]
struct PayOrderPayment<'a> {
    transaction_id: &'a str,
    total_fee: u64,
    pay_date: i64,
    role: PaymentRole,
}

impl PayOrderPayment<'_> {
    fn of(payment: &Payment) -> PayOrderPayment<'_> {
        PayOrderPayment {
            transaction_id: &payment.transaction_id.0,
            total_fee: payment.total_fee.fen(),
            pay_date: payment.paid_at.0,
            role: payment.role,
        }
    }
}

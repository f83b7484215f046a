//! What WeChat Pay V3 answers: orders, certificates, refusals.

use serde_json::{Value, json};

use super::route::Place;
use crate::domain::product::Product;
use crate::mock::world::NotWritten;
use crate::mock::world::ledger::{Order, Payment, State};
use crate::mock::{keys, sign};

/// A refusal: HTTP status, code, message, and which field it is about.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::mock) struct Refusal {
    pub(in crate::mock) status: u16,
    pub(in crate::mock) body: Value,
}

impl Refusal {
    pub(in crate::mock) fn new(status: u16, code: &str, message: &str) -> Refusal {
        Refusal { status, body: json!({ "code": code, "message": message }) }
    }

    /// `PARAM_ERROR` about one field of the body.
    pub(in crate::mock) fn parameter(pointer: &str, value: &Value, issue: &str) -> Refusal {
        let body = json!({
            "code": "PARAM_ERROR",
            "message": format!("参数错误: {pointer} {issue}"),
            "detail": { "location": "body", "field": pointer, "value": value, "issue": issue },
        });
        Refusal { status: 400, body }
    }
}

impl From<NotWritten> for Refusal {
    fn from(_: NotWritten) -> Refusal {
        Refusal::new(500, "SYSTEM_ERROR", "系统错误")
    }
}

/// The order as a query tells it. What only a payment brings is absent before it.
pub(in crate::mock) fn told(order: &Order, place: Place) -> Value {
    let (trade_state, description) = match order.state {
        // After the first refund, be it of a part (V3, "query order", `trade_state`).
        State::Paid if order.payments.iter().any(Payment::is_refunded) => ("REFUND", "转入退款"),
        State::Paid => ("SUCCESS", "支付成功"),
        State::Closed => ("CLOSED", "订单已关闭"),
        State::Offered | State::Unpaid => ("NOTPAY", "订单未支付"),
    };
    let mut told = json!({
        "out_trade_no": order.out_trade_no,
        "trade_state": trade_state,
        "trade_state_desc": description,
    });
    let names: &[&str] = match place {
        Place::Direct => &["appid", "mchid", "attach"],
        Place::Partner => &["sp_appid", "sp_mchid", "sub_appid", "sub_mchid", "attach"],
    };
    for name in names {
        if let Some(value) = order.terms.request.get(name) {
            told[name] = value.clone();
        }
    }
    if let Some(payment) = order.payments.first() {
        told["transaction_id"] = json!(payment.transaction_id);
        told["trade_type"] = json!(match order.terms.product {
            Product::Native => "NATIVE",
            Product::App => "APP",
            Product::H5 => "MWEB",
            _ => "JSAPI",
        });
        told["bank_type"] = json!("OTHERS");
        told["success_time"] = json!(payment.paid_at.to_rfc3339_beijing());
        let payer = if place == Place::Direct { "openid" } else { "sp_openid" };
        told["payer"] = json!({ payer: payment.payer });
        let fen = payment.amount;
        told["amount"] =
            json!({ "total": fen, "payer_total": fen, "currency": "CNY", "payer_currency": "CNY" });
    }
    told
}

/// The platform certificate, encrypted ("downloading platform certificates").
pub(in crate::mock) fn certificates() -> Value {
    let (nonce, nonce_bytes) = sign::nonce();
    json!({ "data": [{
        "serial_no": keys::WXPAY_PLATFORM_SERIAL_NO,
        "effective_time": "2015-01-01T08:00:00+08:00",
        "expire_time": "2115-01-01T08:00:00+08:00",
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": "certificate",
            "ciphertext": sign::encrypt(nonce_bytes, "certificate", keys::WXPAY_PLATFORM_CERT_PEM),
        },
    }]})
}

/// There is no such order.
pub(in crate::mock) fn not_found() -> Refusal {
    Refusal::new(404, "ORDER_NOT_EXIST", "订单不存在")
}

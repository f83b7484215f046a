//! WeChat Pay V3's responses: orders, certificates, errors.

use serde_json::{Value, json};

use super::route::MerchantRole;
use crate::domain::product::Product;
use crate::mock::world::NotWritten;
use crate::mock::world::order::{SimulatedOrder, State};
use crate::mock::world::payment::SimulatedPayment;
use crate::mock::{keys, sign};

/// An error: the HTTP status, and the body with the code, the message and the field.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WxpayApiError {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl WxpayApiError {
    pub(super) fn new(status: u16, code: &str, message: &str) -> WxpayApiError {
        WxpayApiError { status, body: json!({ "code": code, "message": message }) }
    }

    /// `PARAM_ERROR` for one field of the body.
    pub(super) fn parameter(pointer: &str, value: &Value, issue: &str) -> WxpayApiError {
        let body = json!({
            "code": "PARAM_ERROR",
            "message": format!("参数错误：{pointer} {issue}"),
            "detail": { "location": "body", "field": pointer, "value": value, "issue": issue },
        });
        WxpayApiError { status: 400, body }
    }
}

impl From<NotWritten> for WxpayApiError {
    fn from(_: NotWritten) -> WxpayApiError {
        WxpayApiError::new(500, "SYSTEM_ERROR", "系统错误")
    }
}

/// The order in a query's response. Before the payment it has no field of the payment.
pub(super) fn trade_response(order: &SimulatedOrder, role: MerchantRole) -> Value {
    let (trade_state, description) = match order.state {
        // From the first refund on, also of a part (V3, "query order", `trade_state`).
        State::Paid if order.payments.iter().any(SimulatedPayment::has_refund) => {
            ("REFUND", "转入退款")
        }
        State::Paid => ("SUCCESS", "支付成功"),
        State::Closed => ("CLOSED", "订单已关闭"),
        State::Offered | State::Unpaid => ("NOTPAY", "订单未支付"),
    };
    let mut response = json!({
        "out_trade_no": order.out_trade_no,
        "trade_state": trade_state,
        "trade_state_desc": description,
    });
    let names: &[&str] = match role {
        MerchantRole::Direct => &["appid", "mchid", "attach"],
        MerchantRole::Partner => &["sp_appid", "sp_mchid", "sub_appid", "sub_mchid", "attach"],
    };
    for name in names {
        if let Some(value) = order.terms.request.get(name) {
            response[name] = value.clone();
        }
    }
    if let Some(payment) = order.payments.first() {
        response["transaction_id"] = json!(payment.transaction_id);
        response["trade_type"] = json!(match order.terms.product {
            Product::Native => "NATIVE",
            Product::App => "APP",
            Product::H5 => "MWEB",
            _ => "JSAPI",
        });
        response["bank_type"] = json!("OTHERS");
        response["success_time"] = json!(payment.paid_at.to_rfc3339_beijing());
        let payer = if role == MerchantRole::Direct { "openid" } else { "sp_openid" };
        response["payer"] = json!({ payer: payment.payer });
        let (fen, currency) = (payment.amount, payment.currency.as_deref().unwrap_or("CNY"));
        response["amount"] = json!({
            "total": fen, "payer_total": fen, "currency": currency, "payer_currency": currency,
        });
    }
    response
}

/// The platform certificate, encrypted ("downloading platform certificates").
pub(super) fn certificates() -> Value {
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
pub(super) fn not_found() -> WxpayApiError {
    WxpayApiError::new(404, "ORDER_NOT_EXIST", "订单不存在")
}

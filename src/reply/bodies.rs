//! The JSON bodies of the public operations. The order of the fields is the order on the wire.

use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub(super) struct CreatedBody<'a> {
    pub(super) code: u16,
    pub(super) msg: &'static str,
    #[serde(rename = "orderInfo")]
    pub(super) order_info: &'a RawValue,
    pub(super) out_trade_no: &'a str,
    pub(super) provider: &'static str,
    pub(super) pay_type: &'static str,
    #[serde(rename = "needQRcode")]
    pub(super) need_qrcode: bool,
    #[serde(rename = "qrcodeImage", skip_serializing_if = "Option::is_none")]
    pub(super) qrcode_image: Option<&'a str>,
    pub(super) total_fee: u64,
    pub(super) platform: &'static str,
    #[serde(rename = "requestId")]
    pub(super) request_id: &'a str,
}

#[derive(Serialize)]
pub(super) struct RefusalBody<'a> {
    pub(super) code: i64,
    pub(super) msg: &'a str,
    pub(super) error: &'static str,
    #[serde(rename = "requestId")]
    pub(super) request_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<ViolationBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider: Option<ProviderErrorBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<i8>,
}

#[derive(Serialize)]
pub(super) struct ViolationBody<'a> {
    pub(super) path: &'a str,
    pub(super) rule: &'static str,
    pub(super) message: &'a str,
}

#[derive(Serialize)]
pub(super) struct ProviderErrorBody<'a> {
    pub(super) code: &'a str,
    pub(super) message: &'a str,
}

#[derive(Serialize)]
pub(super) struct PaidBody<'a> {
    pub(super) code: u16,
    pub(super) msg: &'static str,
    #[serde(rename = "orderPaid")]
    pub(super) order_paid: bool,
    pub(super) user_order_success: Option<bool>,
    pub(super) out_trade_no: &'a str,
    pub(super) transaction_id: &'a str,
    pub(super) status: i8,
    #[serde(rename = "payOrder", skip_serializing_if = "Option::is_none")]
    pub(super) pay_order: Option<&'a RawValue>,
    #[serde(rename = "requestId")]
    pub(super) request_id: &'a str,
}

#[derive(Serialize)]
pub(super) struct UnpaidBody<'a> {
    pub(super) code: u16,
    pub(super) msg: &'static str,
    #[serde(rename = "orderPaid")]
    pub(super) order_paid: bool,
    pub(super) out_trade_no: &'a str,
    pub(super) status: i8,
    pub(super) trade_state: &'a str,
    #[serde(rename = "payOrder", skip_serializing_if = "Option::is_none")]
    pub(super) pay_order: Option<&'a RawValue>,
    #[serde(rename = "requestId")]
    pub(super) request_id: &'a str,
}

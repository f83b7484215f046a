//! WeChat Pay V3's rules for the fields of an order and of a refund.
//!
//! From the parameter tables of "JSAPI order", "APP order", "H5 order", "Native order" and "refund
//! request", direct and partner.

use std::net::IpAddr;

use serde_json::{Value, json};
use url::Url;

use super::responses::WxpayApiError;
use super::route::MerchantRole;
use crate::domain::channel::PayType;
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::Millis;
use crate::mock::keys;

/// The type and the size of a field.
#[derive(Clone, Copy)]
enum WxpayFieldType {
    /// Text of at least one and at most so many characters.
    Chars(usize),
    /// Text of at least one and at most so many bytes of UTF-8.
    Bytes(usize),
    /// A JSON integer of at least this.
    Integer(u64),
    Flag,
    Texts,
    Object,
}

/// A field by its JSON pointer, and whether its parent needs it.
type WxpayFieldRule = (&'static str, WxpayFieldType, bool);

const EVERY_ORDER: &[WxpayFieldRule] = &[
    ("/description", WxpayFieldType::Bytes(127), true),
    ("/out_trade_no", WxpayFieldType::Chars(32), true),
    ("/time_expire", WxpayFieldType::Chars(64), false),
    ("/attach", WxpayFieldType::Chars(128), false),
    ("/notify_url", WxpayFieldType::Chars(255), true),
    ("/goods_tag", WxpayFieldType::Chars(32), false),
    ("/support_fapiao", WxpayFieldType::Flag, false),
    ("/limit_pay", WxpayFieldType::Texts, false),
    ("/amount", WxpayFieldType::Object, true),
    ("/amount/total", WxpayFieldType::Integer(1), true),
    ("/amount/currency", WxpayFieldType::Chars(16), false),
    ("/detail", WxpayFieldType::Object, false),
    ("/detail/cost_price", WxpayFieldType::Integer(0), false),
    ("/detail/invoice_id", WxpayFieldType::Chars(32), false),
    ("/scene_info", WxpayFieldType::Object, false),
    ("/scene_info/payer_client_ip", WxpayFieldType::Chars(45), true),
    ("/scene_info/device_id", WxpayFieldType::Chars(32), false),
    ("/scene_info/store_info", WxpayFieldType::Object, false),
    ("/scene_info/store_info/id", WxpayFieldType::Chars(32), true),
    ("/scene_info/store_info/name", WxpayFieldType::Chars(256), false),
    ("/scene_info/store_info/area_code", WxpayFieldType::Chars(32), false),
    ("/scene_info/store_info/address", WxpayFieldType::Chars(512), false),
    ("/settle_info", WxpayFieldType::Object, false),
    ("/settle_info/profit_sharing", WxpayFieldType::Flag, false),
];
const DIRECT: &[WxpayFieldRule] =
    &[("/appid", WxpayFieldType::Chars(32), true), ("/mchid", WxpayFieldType::Chars(32), true)];
const PARTNER: &[WxpayFieldRule] = &[
    ("/sp_appid", WxpayFieldType::Chars(32), true),
    ("/sp_mchid", WxpayFieldType::Chars(32), true),
    ("/sub_appid", WxpayFieldType::Chars(32), false),
    ("/sub_mchid", WxpayFieldType::Chars(32), true),
];
const JSAPI: &[WxpayFieldRule] = &[("/payer", WxpayFieldType::Object, true)];
const JSAPI_DIRECT: &[WxpayFieldRule] = &[("/payer/openid", WxpayFieldType::Chars(128), true)];
const JSAPI_PARTNER: &[WxpayFieldRule] = &[
    ("/payer/sp_openid", WxpayFieldType::Chars(128), false),
    ("/payer/sub_openid", WxpayFieldType::Chars(128), false),
];
const H5: &[WxpayFieldRule] = &[
    ("/scene_info", WxpayFieldType::Object, true),
    ("/scene_info/h5_info", WxpayFieldType::Object, true),
    ("/scene_info/h5_info/type", WxpayFieldType::Chars(32), true),
    ("/scene_info/h5_info/app_name", WxpayFieldType::Chars(64), false),
    ("/scene_info/h5_info/app_url", WxpayFieldType::Chars(128), false),
    ("/scene_info/h5_info/bundle_id", WxpayFieldType::Chars(128), false),
    ("/scene_info/h5_info/package_name", WxpayFieldType::Chars(128), false),
];

const REFUND: &[WxpayFieldRule] = &[
    ("/sub_mchid", WxpayFieldType::Chars(32), false),
    ("/transaction_id", WxpayFieldType::Chars(32), false),
    ("/out_trade_no", WxpayFieldType::Chars(32), false),
    ("/out_refund_no", WxpayFieldType::Chars(64), true),
    ("/reason", WxpayFieldType::Bytes(80), false),
    ("/notify_url", WxpayFieldType::Chars(256), false),
    ("/funds_account", WxpayFieldType::Chars(32), false),
    ("/amount", WxpayFieldType::Object, true),
    ("/amount/refund", WxpayFieldType::Integer(1), true),
    ("/amount/total", WxpayFieldType::Integer(1), true),
    // Optional in an order, required here.
    ("/amount/currency", WxpayFieldType::Chars(16), true),
];

/// Checks an order's body and reports the first broken rule, as WeChat Pay does.
pub(super) fn check(
    body: &Value,
    product: Product,
    role: MerchantRole,
) -> Result<(), WxpayApiError> {
    if !body.is_object() {
        return Err(WxpayApiError::parameter("", body, "must be a JSON object"));
    }
    check_characters(body)?;
    let own = if role == MerchantRole::Direct { DIRECT } else { PARTNER };
    check_table(body, own)?;
    check_table(body, EVERY_ORDER)?;
    match (product, role) {
        (Product::Jsapi, MerchantRole::Direct) => check_tables(body, [JSAPI, JSAPI_DIRECT])?,
        (Product::Jsapi, MerchantRole::Partner) => check_tables(body, [JSAPI, JSAPI_PARTNER])?,
        (Product::H5, _) => check_table(body, H5)?,
        _ => {}
    }
    check_merchant(body, product, role)?;
    check_number(body)?;
    check_notify_url(body)?;
    check_scene(body)?;
    let detail_bytes = body.get("detail").map_or(0, |detail| detail.to_string().len());
    refuse_if(detail_bytes > 6144, body, "/detail", "at most 6144 bytes")?;
    let total = body.pointer("/amount/total").and_then(Value::as_u64);
    let is_valid = total.and_then(Fen::new).is_some();
    refuse_if(!is_valid, body, "/amount/total", "exceeds the limit")?;
    let currency = text(body, "/amount/currency").unwrap_or("CNY");
    refuse_if(currency != "CNY", body, "/amount/currency", "must be CNY")?;
    let expiry = text(body, "/time_expire").is_none_or(|text| Millis::from_rfc3339(text).is_some());
    refuse_if(!expiry, body, "/time_expire", "must be RFC 3339 with an offset")
}

/// Checks a refund's body, except the payment that it names ("refund request").
pub(super) fn check_refund(body: &Value) -> Result<(), WxpayApiError> {
    if !body.is_object() {
        return Err(WxpayApiError::parameter("", body, "must be a JSON object"));
    }
    check_characters(body)?;
    check_table(body, REFUND)?;
    let number = text(body, "/out_refund_no").unwrap_or_default();
    let plain = number.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-|*@".contains(&b));
    refuse_if(!plain, body, "/out_refund_no", "1 to 64 of 0-9A-Za-z_-|*@")?;
    if body.get("notify_url").is_some() {
        check_notify_url(body)?;
    }
    let account = text(body, "/funds_account").unwrap_or("AVAILABLE");
    let known = matches!(account, "AVAILABLE" | "UNSETTLED");
    refuse_if(!known, body, "/funds_account", "must be AVAILABLE or UNSETTLED")?;
    for pointer in ["/amount/refund", "/amount/total"] {
        let fen = body.pointer(pointer).and_then(Value::as_u64);
        refuse_if(fen.and_then(Fen::new).is_none(), body, pointer, "exceeds the limit")?;
    }
    let currency = text(body, "/amount/currency");
    refuse_if(currency != Some("CNY"), body, "/amount/currency", "must be CNY")
}

/// The text at `pointer`.
pub(super) fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer).and_then(Value::as_str)
}

fn check_tables<const N: usize>(
    body: &Value,
    tables: [&[WxpayFieldRule]; N],
) -> Result<(), WxpayApiError> {
    tables.into_iter().try_for_each(|table| check_table(body, table))
}

fn check_table(body: &Value, table: &[WxpayFieldRule]) -> Result<(), WxpayApiError> {
    for (pointer, field_type, is_required) in table {
        let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        match body.pointer(pointer) {
            Some(value) if has_type(value, *field_type) => {}
            Some(_) => return Err(broken(body, pointer, "has the wrong type or length")),
            None if *is_required && body.pointer(parent).is_some() => {
                return Err(broken(body, pointer, "is required"));
            }
            None => {}
        }
    }
    Ok(())
}

fn has_type(value: &Value, field_type: WxpayFieldType) -> bool {
    match (field_type, value) {
        (WxpayFieldType::Chars(max), Value::String(text)) => {
            (1..=max).contains(&text.chars().count())
        }
        (WxpayFieldType::Bytes(max), Value::String(text)) => (1..=max).contains(&text.len()),
        // `1.0` is no integer here.
        (WxpayFieldType::Integer(min), Value::Number(number)) => {
            number.as_u64().is_some_and(|value| value >= min)
        }
        (WxpayFieldType::Flag, Value::Bool(_)) | (WxpayFieldType::Object, Value::Object(_)) => true,
        (WxpayFieldType::Texts, Value::Array(items)) => items.iter().all(Value::is_string),
        _ => false,
    }
}

/// The merchant and the app: `appid` must be bound to `mchid` and of the product's kind.
fn check_merchant(body: &Value, product: Product, role: MerchantRole) -> Result<(), WxpayApiError> {
    let (app, mch) = match role {
        MerchantRole::Direct => ("/appid", "/mchid"),
        MerchantRole::Partner => ("/sp_appid", "/sp_mchid"),
    };
    let mch_id = text(body, mch).unwrap_or_default();
    refuse_if(mch_id != keys::MCH_ID, body, mch, "differs from the Authorization's mchid")?;
    let app_id = text(body, app).unwrap_or_default();
    let Some((serves, _)) = keys::WXPAY_APPS.into_iter().find(|(_, id)| *id == app_id) else {
        return Err(WxpayApiError::new(400, "APPID_MCHID_NOT_MATCH", "商户号mchid与appid不匹配"));
    };
    let kind_fits = match (product, role) {
        (Product::Jsapi, MerchantRole::Direct) => {
            matches!(serves, PayType::WxpayMpWeixin | PayType::WxpayH5Weixin)
        }
        (Product::App, MerchantRole::Direct) => serves == PayType::WxpayAppPlus,
        _ => true,
    };
    refuse_if(!kind_fits, body, app, "is not an app of this product's kind")?;
    if role == MerchantRole::Partner && product == Product::Jsapi {
        let sub_without_app =
            text(body, "/payer/sub_openid").is_some() && text(body, "/sub_appid").is_none();
        refuse_if(sub_without_app, body, "/sub_appid", "is required with sub_openid")?;
        let has_no_payer =
            text(body, "/payer/sp_openid").or(text(body, "/payer/sub_openid")).is_none();
        refuse_if(has_no_payer, body, "/payer", "needs sp_openid or sub_openid")?;
    }
    Ok(())
}

fn check_number(body: &Value) -> Result<(), WxpayApiError> {
    let number = text(body, "/out_trade_no").unwrap_or_default();
    let plain = number.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-|*".contains(&b));
    refuse_if(number.len() < 6 || !plain, body, "/out_trade_no", "6 to 32 of 0-9A-Za-z_-|*")
}

/// `notify_url`: https and without parameters ("JSAPI order", `notify_url`). The mock accepts plain
/// http for loopback: there everything runs on one machine.
fn check_notify_url(body: &Value) -> Result<(), WxpayApiError> {
    let url = text(body, "/notify_url").and_then(|text| Url::parse(text).ok());
    let good = url.is_some_and(|url| {
        let loopback = match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback);
        scheme && url.query().is_none() && url.fragment().is_none()
    });
    refuse_if(!good, body, "/notify_url", "must be an https address without a query")
}

fn check_scene(body: &Value) -> Result<(), WxpayApiError> {
    if let Some(ip) = text(body, "/scene_info/payer_client_ip") {
        let pointer = "/scene_info/payer_client_ip";
        refuse_if(ip.parse::<IpAddr>().is_err(), body, pointer, "must be an IP address")?;
    }
    let kind = text(body, "/scene_info/h5_info/type").unwrap_or("Wap");
    let known = matches!(kind, "Wap" | "iOS" | "Android");
    refuse_if(!known, body, "/scene_info/h5_info/type", "must be Wap, iOS or Android")
}

/// WeChat Pay accepts characters of at most 3 bytes of UTF-8 (V3, "basic rules": character set).
fn check_characters(value: &Value) -> Result<(), WxpayApiError> {
    let bad = |text: &str| text.chars().any(|c| c.len_utf8() > 3);
    match value {
        Value::String(text) if bad(text) => {
            Err(WxpayApiError::parameter("", &json!(null), "has a character of 4 bytes"))
        }
        Value::Array(items) => items.iter().try_for_each(check_characters),
        Value::Object(map) => map.values().try_for_each(check_characters),
        _ => Ok(()),
    }
}

fn refuse_if(broke: bool, body: &Value, pointer: &str, issue: &str) -> Result<(), WxpayApiError> {
    if broke { Err(broken(body, pointer, issue)) } else { Ok(()) }
}

fn broken(body: &Value, pointer: &str, issue: &str) -> WxpayApiError {
    WxpayApiError::parameter(pointer, body.pointer(pointer).unwrap_or(&Value::Null), issue)
}

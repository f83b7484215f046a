//! WeChat Pay V3's rules for the fields of an order and of a refund.
//!
//! From the parameter tables of "JSAPI order", "APP order", "H5 order", "Native order" and "refund
//! request", direct and partner.

use std::net::IpAddr;

use serde_json::{Value, json};
use url::Url;

use super::responses::Refusal;
use super::route::Place;
use crate::domain::channel::PayType;
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::Millis;
use crate::mock::keys;

/// What a field must be.
#[derive(Clone, Copy)]
enum Shape {
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
type Rule = (&'static str, Shape, bool);

const EVERY_ORDER: &[Rule] = &[
    ("/description", Shape::Bytes(127), true),
    ("/out_trade_no", Shape::Chars(32), true),
    ("/time_expire", Shape::Chars(64), false),
    ("/attach", Shape::Chars(128), false),
    ("/notify_url", Shape::Chars(255), true),
    ("/goods_tag", Shape::Chars(32), false),
    ("/support_fapiao", Shape::Flag, false),
    ("/limit_pay", Shape::Texts, false),
    ("/amount", Shape::Object, true),
    ("/amount/total", Shape::Integer(1), true),
    ("/amount/currency", Shape::Chars(16), false),
    ("/detail", Shape::Object, false),
    ("/detail/cost_price", Shape::Integer(0), false),
    ("/detail/invoice_id", Shape::Chars(32), false),
    ("/scene_info", Shape::Object, false),
    ("/scene_info/payer_client_ip", Shape::Chars(45), true),
    ("/scene_info/device_id", Shape::Chars(32), false),
    ("/scene_info/store_info", Shape::Object, false),
    ("/scene_info/store_info/id", Shape::Chars(32), true),
    ("/scene_info/store_info/name", Shape::Chars(256), false),
    ("/scene_info/store_info/area_code", Shape::Chars(32), false),
    ("/scene_info/store_info/address", Shape::Chars(512), false),
    ("/settle_info", Shape::Object, false),
    ("/settle_info/profit_sharing", Shape::Flag, false),
];
const DIRECT: &[Rule] = &[("/appid", Shape::Chars(32), true), ("/mchid", Shape::Chars(32), true)];
const PARTNER: &[Rule] = &[
    ("/sp_appid", Shape::Chars(32), true),
    ("/sp_mchid", Shape::Chars(32), true),
    ("/sub_appid", Shape::Chars(32), false),
    ("/sub_mchid", Shape::Chars(32), true),
];
const JSAPI: &[Rule] = &[("/payer", Shape::Object, true)];
const JSAPI_DIRECT: &[Rule] = &[("/payer/openid", Shape::Chars(128), true)];
const JSAPI_PARTNER: &[Rule] = &[
    ("/payer/sp_openid", Shape::Chars(128), false),
    ("/payer/sub_openid", Shape::Chars(128), false),
];
const H5: &[Rule] = &[
    ("/scene_info", Shape::Object, true),
    ("/scene_info/h5_info", Shape::Object, true),
    ("/scene_info/h5_info/type", Shape::Chars(32), true),
    ("/scene_info/h5_info/app_name", Shape::Chars(64), false),
    ("/scene_info/h5_info/app_url", Shape::Chars(128), false),
    ("/scene_info/h5_info/bundle_id", Shape::Chars(128), false),
    ("/scene_info/h5_info/package_name", Shape::Chars(128), false),
];

const REFUND: &[Rule] = &[
    ("/sub_mchid", Shape::Chars(32), false),
    ("/transaction_id", Shape::Chars(32), false),
    ("/out_trade_no", Shape::Chars(32), false),
    ("/out_refund_no", Shape::Chars(64), true),
    ("/reason", Shape::Bytes(80), false),
    ("/notify_url", Shape::Chars(256), false),
    ("/funds_account", Shape::Chars(32), false),
    ("/amount", Shape::Object, true),
    ("/amount/refund", Shape::Integer(1), true),
    ("/amount/total", Shape::Integer(1), true),
    // Optional in an order, required here.
    ("/amount/currency", Shape::Chars(16), true),
];

/// Checks an order's body. The first broken rule is told, as WeChat Pay does.
pub(in crate::mock) fn check(body: &Value, product: Product, place: Place) -> Result<(), Refusal> {
    if !body.is_object() {
        return Err(Refusal::parameter("", body, "must be a JSON object"));
    }
    check_characters(body)?;
    let own = if place == Place::Direct { DIRECT } else { PARTNER };
    check_table(body, own)?;
    check_table(body, EVERY_ORDER)?;
    match (product, place) {
        (Product::Jsapi, Place::Direct) => check_tables(body, [JSAPI, JSAPI_DIRECT])?,
        (Product::Jsapi, Place::Partner) => check_tables(body, [JSAPI, JSAPI_PARTNER])?,
        (Product::H5, _) => check_table(body, H5)?,
        _ => {}
    }
    check_place(body, product, place)?;
    check_number(body)?;
    check_notify_url(body)?;
    check_scene(body)?;
    let detail_bytes = body.get("detail").map_or(0, |detail| detail.to_string().len());
    refuse_if(detail_bytes > 6144, body, "/detail", "at most 6144 bytes")?;
    let total = body.pointer("/amount/total").and_then(Value::as_u64);
    let matches_order = total.and_then(Fen::new).is_some();
    refuse_if(!matches_order, body, "/amount/total", "exceeds the limit")?;
    let currency = text(body, "/amount/currency").unwrap_or("CNY");
    refuse_if(currency != "CNY", body, "/amount/currency", "must be CNY")?;
    let expiry = text(body, "/time_expire").is_none_or(|it| Millis::from_rfc3339(it).is_some());
    refuse_if(!expiry, body, "/time_expire", "must be RFC 3339 with an offset")
}

/// Checks a refund's body, but which payment it names ("refund request").
pub(in crate::mock) fn check_refund(body: &Value) -> Result<(), Refusal> {
    if !body.is_object() {
        return Err(Refusal::parameter("", body, "must be a JSON object"));
    }
    check_characters(body)?;
    check_table(body, REFUND)?;
    let no = text(body, "/out_refund_no").unwrap_or_default();
    let plain = no.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-|*@".contains(&b));
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
pub(in crate::mock) fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer).and_then(Value::as_str)
}

fn check_tables<const N: usize>(body: &Value, tables: [&[Rule]; N]) -> Result<(), Refusal> {
    tables.into_iter().try_for_each(|table| check_table(body, table))
}

fn check_table(body: &Value, table: &[Rule]) -> Result<(), Refusal> {
    for (pointer, shape, needed) in table {
        let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        match body.pointer(pointer) {
            Some(value) if matches_order(value, *shape) => {}
            Some(_) => return Err(broken(body, pointer, "has the wrong type or length")),
            None if *needed && body.pointer(parent).is_some() => {
                return Err(broken(body, pointer, "is required"));
            }
            None => {}
        }
    }
    Ok(())
}

fn matches_order(value: &Value, shape: Shape) -> bool {
    match (shape, value) {
        (Shape::Chars(max), Value::String(it)) => (1..=max).contains(&it.chars().count()),
        (Shape::Bytes(max), Value::String(it)) => (1..=max).contains(&it.len()),
        // `1.0` is no integer here.
        (Shape::Integer(min), Value::Number(it)) => it.as_u64().is_some_and(|it| it >= min),
        (Shape::Flag, Value::Bool(_)) | (Shape::Object, Value::Object(_)) => true,
        (Shape::Texts, Value::Array(items)) => items.iter().all(Value::is_string),
        _ => false,
    }
}

/// Who is paid and by which app: `appid` must be bound to `mchid` and of the product's kind.
fn check_place(body: &Value, product: Product, place: Place) -> Result<(), Refusal> {
    let (app, mch) = match place {
        Place::Direct => ("/appid", "/mchid"),
        Place::Partner => ("/sp_appid", "/sp_mchid"),
    };
    let mch_id = text(body, mch).unwrap_or_default();
    refuse_if(mch_id != keys::MCH_ID, body, mch, "differs from the Authorization's mchid")?;
    let app_id = text(body, app).unwrap_or_default();
    let Some((serves, _)) = keys::WXPAY_APPS.into_iter().find(|(_, id)| *id == app_id) else {
        return Err(Refusal::new(400, "APPID_MCHID_NOT_MATCH", "商户号mchid与appid不匹配"));
    };
    let kind_fits = match (product, place) {
        (Product::Jsapi, Place::Direct) => {
            matches!(serves, PayType::WxpayMpWeixin | PayType::WxpayH5Weixin)
        }
        (Product::App, Place::Direct) => serves == PayType::WxpayAppPlus,
        _ => true,
    };
    refuse_if(!kind_fits, body, app, "is not an app of this product's kind")?;
    if place == Place::Partner && product == Product::Jsapi {
        let sub_without_app =
            text(body, "/payer/sub_openid").is_some() && text(body, "/sub_appid").is_none();
        refuse_if(sub_without_app, body, "/sub_appid", "is required with sub_openid")?;
        let nobody = text(body, "/payer/sp_openid").or(text(body, "/payer/sub_openid")).is_none();
        refuse_if(nobody, body, "/payer", "needs sp_openid or sub_openid")?;
    }
    Ok(())
}

fn check_number(body: &Value) -> Result<(), Refusal> {
    let no = text(body, "/out_trade_no").unwrap_or_default();
    let plain = no.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-|*".contains(&b));
    refuse_if(no.len() < 6 || !plain, body, "/out_trade_no", "6 to 32 of 0-9A-Za-z_-|*")
}

/// `notify_url`: https and without parameters ("JSAPI order", `notify_url`). Plain http passes
/// for loopback, which stands in for the public address when everything runs on one machine.
fn check_notify_url(body: &Value) -> Result<(), Refusal> {
    let url = text(body, "/notify_url").and_then(|it| Url::parse(it).ok());
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

fn check_scene(body: &Value) -> Result<(), Refusal> {
    if let Some(ip) = text(body, "/scene_info/payer_client_ip") {
        let pointer = "/scene_info/payer_client_ip";
        refuse_if(ip.parse::<IpAddr>().is_err(), body, pointer, "must be an IP address")?;
    }
    let kind = text(body, "/scene_info/h5_info/type").unwrap_or("Wap");
    let known = matches!(kind, "Wap" | "iOS" | "Android");
    refuse_if(!known, body, "/scene_info/h5_info/type", "must be Wap, iOS or Android")
}

/// Text has characters of at most 3 bytes of UTF-8 (V3, "basic rules": character set).
fn check_characters(value: &Value) -> Result<(), Refusal> {
    let bad = |text: &str| text.chars().any(|c| c.len_utf8() > 3);
    match value {
        Value::String(text) if bad(text) => {
            Err(Refusal::parameter("", &json!(null), "has a character of 4 bytes"))
        }
        Value::Array(items) => items.iter().try_for_each(check_characters),
        Value::Object(map) => map.values().try_for_each(check_characters),
        _ => Ok(()),
    }
}

fn refuse_if(broke: bool, body: &Value, pointer: &str, issue: &str) -> Result<(), Refusal> {
    if broke { Err(broken(body, pointer, issue)) } else { Ok(()) }
}

fn broken(body: &Value, pointer: &str, issue: &str) -> Refusal {
    Refusal::parameter(pointer, body.pointer(pointer).unwrap_or(&Value::Null), issue)
}

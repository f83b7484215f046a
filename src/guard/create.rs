//! Reads a `createPayment` request from bytes: scan, schema, the rules that no schema can state,
//! types.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value};
use url::Url;

use crate::caller::claims_from_json;
use crate::domain::caller::ClientClaims;
use crate::domain::channel::ProviderId;
use crate::domain::ids::{OutTradeNo, Pid};
use crate::domain::json::{Json, RawJson, Unreadable, scan};
use crate::domain::money::Fen;
use crate::domain::request::{AppAuthToken, CreateRequest, NeedQrcode, OrderTerms};
use crate::domain::time::Millis;
use crate::error::{Error, Kind, Text};

use super::fields::{self, Violations};
use super::schema;

static CREATE_PAYMENT: LazyLock<Validator> =
    LazyLock::new(|| schema::compile("create-payment").expect("the schema is embedded"));

/// Compiles the schema once.
pub(super) fn prepare() {
    LazyLock::force(&CREATE_PAYMENT);
}

/// Reads the body of a `createPayment` request. Pure: the engine checks whether `pid` is a
/// merchant, `openid` is needed, and `time_expire` is too near.
///
/// # Errors
///
/// [`Kind::BodyUnreadable`] for bytes that are not JSON, or JSON that can be read in two ways;
/// [`Kind::Invalid`] with every field that breaks its rule; [`Kind::CallerNotAllowed`] when
/// the only violation is a `quote` that is not a string.
pub fn read_create(bytes: &[u8]) -> Result<CreateRequest, Error> {
    let document = scan(bytes).map_err(unreadable)?;
    read_complete(document.member("data"), &schema::body_instance(document))
}

/// Reads a complete request from `instance`, which the schema checks, and `data` as written.
///
/// # Errors
///
/// [`Kind::Invalid`], or [`Kind::CallerNotAllowed`] as [`read_create`].
pub(super) fn read_complete(
    data: Option<Json<'_>>,
    instance: &Value,
) -> Result<CreateRequest, Error> {
    check_schema(&CREATE_PAYMENT, instance, Violations::of(&fields::CREATE))?;
    // The schema has required every part: a missing one is a bug here, and the request is refused.
    decode(data, instance).ok_or_else(|| Error::new(Kind::BodyUnreadable))
}

/// Checks a document by its schema, and by the rules that no schema can state.
pub(super) fn check_schema(
    schema: &Validator,
    instance: &Value,
    mut violations: Violations,
) -> Result<(), Error> {
    for error in schema::broken_rules(schema, instance) {
        violations.add_broken(&error);
    }
    check_texts(instance, &mut violations);
    violations.into_result()
}

pub(super) fn unreadable(why: Unreadable) -> Error {
    let text = match why {
        Unreadable::NotUtf8 => Text::new("请求体不是 UTF-8", "the body is not UTF-8"),
        Unreadable::Syntax => Text::new("请求体不是 JSON", "the body is not JSON"),
        Unreadable::TooDeep => {
            Text::new("请求体嵌套超过 32 层", "the body is nested deeper than 32 levels")
        }
        Unreadable::DuplicateKey => {
            Text::new("请求体中有重复的键", "a key stands twice in one object of the body")
        }
        Unreadable::ReservedKey => Text::new("请求体中有保留的键", "a key of the body is reserved"),
    };
    Error::new(Kind::BodyUnreadable).text(text)
}

/// The rules that no schema can state: lengths in bytes, characters by their width, URLs.
fn check_texts(instance: &Value, violations: &mut Violations) {
    let provider = instance.as_object().and_then(decode_provider);
    let description_bytes_max = provider.and_then(ProviderId::description_bytes_max);
    let text = |path: &str| instance.pointer(path).and_then(Value::as_str);
    for path in ["/data/subject", "/data/body"] {
        let Some((text, bytes_max)) = text(path).zip(description_bytes_max) else { continue };
        if text.chars().any(|c| c.len_utf8() == 4) {
            violations.add(path.to_owned(), "pattern");
        } else if text.len() > bytes_max {
            violations.add(path.to_owned(), "maxLength");
        }
    }
    let path = "/data/return_url";
    if text(path).is_some_and(|url| !url.is_empty() && !is_web_url(url)) {
        violations.add(path.to_owned(), "format");
    }
}

fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn decode(written: Option<Json<'_>>, instance: &Value) -> Option<CreateRequest> {
    let root = instance.as_object()?;
    let data = root.get("data")?.as_object()?;
    Some(CreateRequest {
        provider: decode_provider(root)?,
        is_pc: decode_is_pc(root),
        need_qrcode: decode_need_qrcode(root),
        terms: decode_terms(written?, data)?,
        openid: text(data, "openid"),
        time_expire: data.get("time_expire").and_then(Value::as_i64).map(Millis),
        nickname: text(data, "nickname"),
        return_url: text(data, "return_url"),
        claims: decode_claims(root),
        quote: text(root, "quote"),
    })
}

pub(super) fn decode_provider(root: &Map<String, Value>) -> Option<ProviderId> {
    ProviderId::parse(root.get("provider")?.as_str()?)
}

pub(super) fn decode_is_pc(root: &Map<String, Value>) -> Option<bool> {
    root.get("isPC").and_then(Value::as_bool)
}

pub(super) fn decode_need_qrcode(root: &Map<String, Value>) -> NeedQrcode {
    match root.get("needQRcode") {
        Some(Value::Bool(true)) => NeedQrcode::Yes,
        Some(Value::String(it)) if it == "image" => NeedQrcode::Image,
        _ => NeedQrcode::No,
    }
}

fn decode_terms(written: Json<'_>, data: &Map<String, Value>) -> Option<OrderTerms> {
    let raw = |name| data.get(name)?.as_object().and(written.member(name)).map(RawJson::from);
    // Exact: the instance holds a whole number unchanged.
    let total_fee = data.get("total_fee")?.as_i64()?;
    Some(OrderTerms {
        out_trade_no: OutTradeNo::parse(data.get("out_trade_no")?.as_str()?)?,
        total_fee: Fen::new(u64::try_from(total_fee).ok()?)?,
        subject: text(data, "subject")?,
        body: text(data, "body"),
        kind: text(data, "type")?,
        pid: text(data, "pid").map_or_else(Pid::default, |pid| Pid::new(&pid)),
        user_id: text(data, "user_id"),
        custom: raw("custom"),
        other: raw("other"),
        sub_appid: text(data, "sub_appid"),
        sub_mchid: text(data, "sub_mchid"),
        app_auth_token: text(data, "app_auth_token").map(AppAuthToken),
        profit_sharing: data.get("profit_sharing").and_then(Value::as_bool),
    })
}

/// The client's description of itself in `context`, completed from `clientInfo`.
pub(super) fn decode_claims(root: &Map<String, Value>) -> ClientClaims {
    let claims = |name| root.get(name).map(claims_from_json).unwrap_or_default();
    let (first, second) = (claims("context"), claims("clientInfo"));
    ClientClaims {
        platform: first.platform.or(second.platform),
        os: first.os.or(second.os),
        app_id: first.app_id.or(second.app_id),
        device_id: first.device_id.or(second.device_id),
        locale: first.locale.or(second.locale),
        device_type: first.device_type.or(second.device_type),
        client_ip: first.client_ip.or(second.client_ip),
        user_agent: first.user_agent.or(second.user_agent),
    }
}

/// The text called `name`; `null` and `""` count as absent.
pub(super) fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::json::visits;

    /// A body is scanned once; a value inside `data` is passed over some times more.
    const VISITS_MAX: usize = 8;

    /// The visits for each byte of an order with `custom` in it.
    fn visits_per_byte(custom: &str) -> usize {
        let body = format!(
            r#"{{"provider": "wxpay", "needQRcode": true, "data": {{
                "out_trade_no": "2107151010101541001", "total_fee": 1, "subject": "tea",
                "type": "goods", "custom": {{"a": {custom}}}}}}}"#
        );
        visits::take();
        let read = read_create(body.as_bytes());
        assert!(read.is_ok(), "{read:?}");
        visits::take() / body.len()
    }

    #[test]
    fn the_work_of_reading_a_body_is_linear_in_its_length_whatever_its_shape() {
        let shapes: [(&str, &str, &str); 7] = [
            ("[", "1,", "1]"),
            ("[", "1.5e3,", "0]"),
            ("[", "[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]],", "0]"),
            ("[", "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}},", "0]"),
            ("\"", "x", "\""),
            ("\"", "\\u0061", "\""),
            ("[", "\"\\\"\",", "0]"),
        ];
        for (start, piece, end) in shapes {
            for size in [2_000, 16_000, 60_000] {
                let custom = format!("{start}{}{end}", piece.repeat(size / piece.len()));
                let visits = visits_per_byte(&custom);
                assert!(
                    visits <= VISITS_MAX,
                    "{visits} visits of each byte: {piece}, {size} bytes"
                );
            }
        }
        let keys: String = (0..5_000).map(|n| format!("\"k{n}\":1,")).collect();
        let visits = visits_per_byte(&format!("{{{keys}\"last\":1}}"));
        assert!(visits <= VISITS_MAX, "{visits} visits of each byte: many keys");
    }
}

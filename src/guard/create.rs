//! From bytes to a `createPayment` request: scan, schema, what a schema cannot say, types.

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

/// Compiles the schema, unless that was done.
pub(super) fn prepare() {
    LazyLock::force(&CREATE_PAYMENT);
}

/// Reads the body of a `createPayment` request. Pure: whether `pid` is a merchant, `openid` is
/// needed and `time_expire` is near is judged where that is known.
///
/// # Errors
///
/// [`Kind::BodyUnreadable`] for what is no JSON, or JSON that can be read in two ways;
/// [`Kind::Invalid`] with every field that breaks its rule; [`Kind::CallerNotAllowed`] when
/// nothing is wrong but that `quote` is no string.
pub fn read_create(bytes: &[u8]) -> Result<CreateRequest, Error> {
    let document = scan(bytes).map_err(unreadable)?;
    read_whole(document.member("data"), &schema::instance(document))
}

/// Reads a whole request: what the schema judges of it, and its `data` as it was written.
///
/// # Errors
///
/// [`Kind::Invalid`], or [`Kind::CallerNotAllowed`] as [`read_create`].
pub(super) fn read_whole(data: Option<Json<'_>>, instance: &Value) -> Result<CreateRequest, Error> {
    judge(&CREATE_PAYMENT, instance, Violations::of(&fields::CREATE))?;
    // The schema has said that every part is there: a gap would be a fault of ours, and refuses.
    decode(data, instance).ok_or_else(|| Error::new(Kind::BodyUnreadable))
}

/// Judges a document by its schema, and by what no schema can say.
pub(super) fn judge(
    schema: &Validator,
    instance: &Value,
    mut violations: Violations,
) -> Result<(), Error> {
    for error in schema.iter_errors(instance) {
        violations.add_broken(&error);
    }
    judge_texts(instance, &mut violations);
    violations.into_result()
}

pub(super) fn unreadable(why: Unreadable) -> Error {
    let text = match why {
        Unreadable::NotUtf8 => Text::new("请求体不是UTF-8", "the body is not UTF-8"),
        Unreadable::Syntax => Text::new("请求体不是JSON", "the body is not JSON"),
        Unreadable::TooDeep => {
            Text::new("请求体嵌套超过32层", "the body is nested deeper than 32 levels")
        }
        Unreadable::DuplicateKey => {
            Text::new("请求体中有重复的键", "a key stands twice in one object of the body")
        }
        Unreadable::ReservedKey => Text::new("请求体中有保留的键", "a key of the body is reserved"),
    };
    Error::new(Kind::BodyUnreadable).text(text)
}

/// What a schema cannot say: lengths in bytes, characters by their width, URLs.
fn judge_texts(instance: &Value, violations: &mut Violations) {
    let provider = instance.as_object().and_then(decode_provider);
    let description_bytes_max = provider.and_then(ProviderId::description_bytes_max);
    let text = |path: &str| instance.pointer(path).and_then(Value::as_str);
    for path in ["/data/subject", "/data/body"] {
        let Some((text, bytes_max)) = text(path).zip(description_bytes_max) else { continue };
        if text.chars().any(|it| it.len_utf8() == 4) {
            violations.add(path.to_owned(), "pattern");
        } else if text.len() > bytes_max {
            violations.add(path.to_owned(), "maxLength");
        }
    }
    let path = "/data/return_url";
    if text(path).is_some_and(|it| !it.is_empty() && !is_web_url(it)) {
        violations.add(path.to_owned(), "format");
    }
}

fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|it| matches!(it.scheme(), "http" | "https") && it.has_host())
}

fn decode(written: Option<Json<'_>>, instance: &Value) -> Option<CreateRequest> {
    let root = instance.as_object()?;
    let data = root.get("data")?.as_object()?;
    Some(CreateRequest {
        provider: decode_provider(root)?,
        is_pc: decode_is_pc(root),
        need_qrcode: decode_need_qrcode(root),
        terms: decode_facts(written?, data)?,
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

fn decode_facts(written: Json<'_>, data: &Map<String, Value>) -> Option<OrderTerms> {
    let raw = |name| data.get(name)?.as_object().and(written.member(name)).map(RawJson::from);
    // Exact: the instance holds a whole number as itself.
    let total_fee = data.get("total_fee")?.as_i64()?;
    Some(OrderTerms {
        out_trade_no: OutTradeNo::parse(data.get("out_trade_no")?.as_str()?)?,
        total_fee: Fen::new(u64::try_from(total_fee).ok()?)?,
        subject: text(data, "subject")?,
        body: text(data, "body"),
        kind: text(data, "type")?,
        pid: text(data, "pid").map_or_else(Pid::default, |it| Pid::new(&it)),
        user_id: text(data, "user_id"),
        custom: raw("custom"),
        other: raw("other"),
        sub_appid: text(data, "sub_appid"),
        sub_mchid: text(data, "sub_mchid"),
        app_auth_token: text(data, "app_auth_token").map(AppAuthToken),
        profit_sharing: data.get("profit_sharing").and_then(Value::as_bool),
    })
}

/// What `context` does not tell, `clientInfo` may.
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

/// A text that is there: `null` and `""` count as absent.
pub(super) fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned)
}

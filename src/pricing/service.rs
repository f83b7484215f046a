//! The question and its answer as the shop's own service speaks them: JSON over HTTP.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{NoPrice, Operation, Price, Question};
use crate::domain::json::{Json, RawJson, Shape, Whole, scan};
use crate::domain::request::NeedQrcode;

/// The body of the question.
///
/// # Errors
///
/// [`NoPrice`], as no question of a valid request does.
pub(crate) fn question_json(question: &Question) -> Result<Vec<u8>, NoPrice> {
    let caller = &question.context;
    let (operation, purchase) = match question.operation {
        Operation::CreatePayment { provider, need_qrcode } => {
            let need_qrcode = match need_qrcode {
                NeedQrcode::No => Wanted::Plain(false),
                NeedQrcode::Yes => Wanted::Plain(true),
                NeedQrcode::Image => Wanted::Picture("image"),
            };
            let provider = provider.name();
            ("createPayment", Some(Purchase { provider, is_pc: caller.is_pc, need_qrcode }))
        }
        Operation::QueryPayment => ("queryPayment", None),
    };
    let body = Body {
        operation,
        purchase,
        data: RawValue::from_string(question.data.as_str().to_owned())?,
        context: Context {
            client_ip: caller.client_ip.map(|it| it.to_string()),
            user_agent: &caller.user_agent,
            platform: caller.platform.name(),
            os: caller.os.as_deref(),
            app_id: caller.app_id.as_deref(),
            device_id: caller.device_id.as_deref(),
            locale: caller.locale.as_deref(),
            source: caller.source,
            request_id: &caller.request_id,
        },
    };
    Ok(serde_json::to_vec(&body)?)
}

/// What the service answered to `operation`: `{"data": {…}}`, or a 4xx with `code` and `msg`.
/// An object with another `code` than 0 is no yes, whatever its status. Whether somebody may ask
/// needs no `data`.
///
/// # Errors
///
/// [`NoPrice`]: the service's refusal, or that anything else is no answer.
pub(crate) fn read_answer(
    operation: Operation,
    status: u16,
    body: &[u8],
) -> Result<Price, NoPrice> {
    let json = scan(body);
    match (status, json) {
        (200..300, Ok(answer)) => consent(operation, answer),
        (400..500, Ok(answer)) => Err(refusal(status, answer)),
        (200..300 | 400..500, Err(why)) => {
            Err(NoPrice::unavailable(format_args!("status {status}, and the answer is {why}")))
        }
        _ => Err(NoPrice::unavailable(format_args!("status {status}"))),
    }
}

fn consent(operation: Operation, answer: Json<'_>) -> Result<Price, NoPrice> {
    let code = answer.member("code");
    let agrees = code.is_none_or(|it| it.whole() == Some(Whole::Exact(0)));
    match (answer.shape(), answer.member("data"), operation) {
        (Shape::Object(_), ..) if !agrees => {
            Err(NoPrice::unavailable("a success whose code is not 0"))
        }
        (Shape::Object(_), Some(data), _) => Price::of_json(RawJson::from(data)),
        (Shape::Object(_), None, Operation::QueryPayment) => Ok(Price::allow()),
        (Shape::Object(_), None, Operation::CreatePayment { .. }) => {
            Err(NoPrice::unavailable("the answer has no data"))
        }
        _ => Err(NoPrice::unavailable("the answer is no object")),
    }
}

fn refusal(status: u16, answer: Json<'_>) -> NoPrice {
    let code = answer.member("code").and_then(Json::whole);
    match (code, answer.member("msg").map(Json::shape)) {
        (Some(Whole::Exact(code)), Some(Shape::String(msg))) => NoPrice::refused(status, code, msg),
        _ => NoPrice::unavailable(format_args!("status {status} without code and msg")),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    operation: &'static str,
    #[serde(flatten)]
    purchase: Option<Purchase>,
    data: Box<RawValue>,
    context: Context<'a>,
}

#[derive(Serialize)]
struct Purchase {
    provider: &'static str,
    #[serde(rename = "isPC")]
    is_pc: bool,
    #[serde(rename = "needQRcode")]
    need_qrcode: Wanted,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Wanted {
    Plain(bool),
    Picture(&'static str),
}

/// uniCloud's `context`.
#[derive(Serialize)]
struct Context<'a> {
    #[serde(rename = "CLIENTIP", skip_serializing_if = "Option::is_none")]
    client_ip: Option<String>,
    #[serde(rename = "CLIENTUA")]
    user_agent: &'a str,
    #[serde(rename = "PLATFORM")]
    platform: &'static str,
    #[serde(rename = "OS", skip_serializing_if = "Option::is_none")]
    os: Option<&'a str>,
    #[serde(rename = "APPID", skip_serializing_if = "Option::is_none")]
    app_id: Option<&'a str>,
    #[serde(rename = "DEVICEID", skip_serializing_if = "Option::is_none")]
    device_id: Option<&'a str>,
    #[serde(rename = "LOCALE", skip_serializing_if = "Option::is_none")]
    locale: Option<&'a str>,
    #[serde(rename = "SOURCE")]
    source: &'static str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
}

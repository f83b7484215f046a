//! The price query and its answer as JSON, for the shop's pricing service over HTTP.

use serde::Serialize;
use serde_json::value::RawValue;

use super::callback::{Price, PricingError};
use super::price_query::{PriceOperation, PriceQuery};
use crate::domain::json::{Json, RawJson, Shape, Whole, scan};
use crate::domain::request::NeedQrcode;

/// The body of a request for `query`.
///
/// # Errors
///
/// [`PricingError`], which a valid request never causes.
pub(crate) fn price_request_body(query: &PriceQuery) -> Result<Vec<u8>, PricingError> {
    let caller = &query.context;
    let (operation, purchase) = match query.operation {
        PriceOperation::CreatePayment { provider, need_qrcode } => {
            let need_qrcode = match need_qrcode {
                NeedQrcode::No => NeedQrcodeValue::Plain(false),
                NeedQrcode::Yes => NeedQrcodeValue::Plain(true),
                NeedQrcode::Image => NeedQrcodeValue::Picture("image"),
            };
            let provider = provider.name();
            ("createPayment", Some(PurchaseFields { provider, is_pc: caller.is_pc, need_qrcode }))
        }
        PriceOperation::QueryPayment => ("queryPayment", None),
    };
    let body = PriceRequestBody {
        operation,
        purchase,
        data: RawValue::from_string(query.data.as_str().to_owned())?,
        context: ContextBody {
            client_ip: caller.client_ip.map(|ip| ip.to_string()),
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

/// Parses the service's answer to `operation`: `{"data": {…}}`, or a 4xx with `code` and `msg`.
/// An object with another `code` than 0 permits nothing, whatever its status. `queryPayment` needs
/// no `data`.
///
/// # Errors
///
/// [`PricingError`] with the service's refusal, or with the reason why the answer is invalid.
pub(crate) fn parse_price_response(
    operation: PriceOperation,
    status: u16,
    body: &[u8],
) -> Result<Price, PricingError> {
    let json = scan(body);
    match (status, json) {
        (200..300, Ok(answer)) => parse_approval(operation, answer),
        (400..500, Ok(answer)) => Err(parse_refusal(status, answer)),
        (200..300 | 400..500, Err(why)) => {
            Err(PricingError::unavailable(format_args!("status {status}, and the answer is {why}")))
        }
        _ => Err(PricingError::unavailable(format_args!("status {status}"))),
    }
}

fn parse_approval(operation: PriceOperation, answer: Json<'_>) -> Result<Price, PricingError> {
    let code = answer.member("code");
    let agrees = code.is_none_or(|code| code.whole() == Some(Whole::Exact(0)));
    match (answer.shape(), answer.member("data"), operation) {
        (Shape::Object(_), ..) if !agrees => {
            Err(PricingError::unavailable("a success whose code is not 0"))
        }
        (Shape::Object(_), Some(data), _) => Price::of_json(RawJson::from(data)),
        (Shape::Object(_), None, PriceOperation::QueryPayment) => Ok(Price::allow()),
        (Shape::Object(_), None, PriceOperation::CreatePayment { .. }) => {
            Err(PricingError::unavailable("the answer has no data"))
        }
        _ => Err(PricingError::unavailable("the answer is no object")),
    }
}

fn parse_refusal(status: u16, answer: Json<'_>) -> PricingError {
    let code = answer.member("code").and_then(Json::whole);
    match (code, answer.member("msg").map(Json::shape)) {
        (Some(Whole::Exact(code)), Some(Shape::String(msg))) => {
            PricingError::refused(status, code, msg)
        }
        _ => PricingError::unavailable(format_args!("status {status} without code and msg")),
    }
}

#[derive(Serialize)]
struct PriceRequestBody<'a> {
    operation: &'static str,
    #[serde(flatten)]
    purchase: Option<PurchaseFields>,
    data: Box<RawValue>,
    context: ContextBody<'a>,
}

#[derive(Serialize)]
struct PurchaseFields {
    provider: &'static str,
    #[serde(rename = "isPC")]
    is_pc: bool,
    #[serde(rename = "needQRcode")]
    need_qrcode: NeedQrcodeValue,
}

#[derive(Serialize)]
#[serde(untagged)]
enum NeedQrcodeValue {
    Plain(bool),
    Picture(&'static str),
}

/// uniCloud's `context`.
#[derive(Serialize)]
struct ContextBody<'a> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::channel::ProviderId;
    use crate::domain::request::NeedQrcode;

    /// How an answer with the status 200 is read.
    fn parsed(operation: PriceOperation, body: &str) -> Result<String, String> {
        let price = parse_price_response(operation, 200, body.as_bytes());
        price.map(|price| format!("{price:?}")).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn an_answer_without_data_permits_a_query_and_sets_no_price() {
        let query = || PriceOperation::QueryPayment;
        let create = || PriceOperation::CreatePayment {
            provider: ProviderId::Wxpay,
            need_qrcode: NeedQrcode::default(),
        };
        let allowed = Ok(format!("{:?}", Price::allow()));
        for body in ["{}", r#"{"code":0}"#, r#"{"code":0,"msg":"ok"}"#] {
            assert_eq!(parsed(query(), body), allowed, "{body}");
            let refused = Err("Unavailable(the answer has no data)".to_owned());
            assert_eq!(parsed(create(), body), refused, "{body}");
        }
        for body in [r#"{"code":1}"#, "[]", "null", ""] {
            assert!(parsed(query(), body).is_err(), "{body}");
        }
    }

    #[test]
    fn the_log_has_why_an_answer_is_unreadable() {
        let why = parsed(PriceOperation::QueryPayment, "canary");
        let expected = "Unavailable(status 200, and the answer is not JSON)";
        assert_eq!(why, Err(expected.to_owned()));
    }
}

//! Parses WeChat Pay's response to an order.

use http::StatusCode;
use serde::Deserialize;

use super::client::ApiResponse;
use super::refusal::ApiRefusal;
use crate::domain::order::attempt::Material;
use crate::domain::product::Product;
use crate::provider::Failure;

/// The material in the response to an order of `product`.
///
/// # Errors
///
/// [`Failure::Throttled`] for too many calls, [`Failure::Refused`] only for a code that is about
/// the request itself, [`Failure::NumberInUse`] for one that is about the number. Any other
/// response than a signed success leaves the outcome unknown: [`Failure::OutcomeUnknown`].
pub(super) fn parse_order_response(
    product: Product,
    response: ApiResponse,
) -> Result<Material, Failure> {
    match response {
        ApiResponse::Verified { status: StatusCode::OK, body } => parse_material(product, &body)
            .ok_or_else(|| Failure::unknown("a signed answer without what the buyer pays with")),
        ApiResponse::Verified { status, .. } => Err(Failure::unknown(format!("HTTP {status}"))),
        ApiResponse::Refused(refusal) if refusal.is_throttled() => Err(refusal.into_failure()),
        ApiResponse::Refused(refusal) if is_number_in_use(&refusal) => {
            Err(refusal.into_number_in_use())
        }
        ApiResponse::Refused(refusal) if is_final(&refusal) => Err(refusal.into_refused()),
        ApiResponse::Refused(refusal) => Err(refusal.into_unknown()),
    }
}

fn parse_material(product: Product, body: &[u8]) -> Option<Material> {
    #[derive(Deserialize)]
    struct OrderResponse {
        prepay_id: Option<String>,
        code_url: Option<String>,
        h5_url: Option<String>,
    }
    let body: OrderResponse = serde_json::from_slice(body).ok()?;
    match product {
        Product::Jsapi | Product::App => {
            let prepay_id = printable(body.prepay_id?)?;
            Some(Material::Prepay { prepay_id })
        }
        Product::Native => {
            let code_url = printable(body.code_url?)?;
            Some(Material::QrCode { code_url, msg: None })
        }
        Product::H5 => {
            let h5_url = printable(body.h5_url?)?;
            Some(Material::H5 { h5_url })
        }
        Product::AppPay
        | Product::Create
        | Product::Precreate
        | Product::WapPay
        | Product::PagePay => None,
    }
}

/// A text that can stand in a signed line and in a QR code: `prepay_id` has at most 64
/// characters, the URLs at most 512 (WeChat Pay V3, answers of the orders).
fn printable(text: String) -> Option<String> {
    let is_printable =
        (1..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_printable.then_some(text)
}

/// Whether WeChat Pay reports that it has an order under this number already: paid, closed, of
/// another product or with other parameters. Pages and FAQ disagree about the code (WeChat Pay V3,
/// JSAPI order, error codes; FAQ "201 商户订单号重复").
fn is_number_in_use(refusal: &ApiRefusal) -> bool {
    let names_number = match refusal.bare_code().as_str() {
        "OUTTRADENOUSED" | "ORDERPAID" | "ORDERCLOSED" => true,
        "PARAMERROR" | "INVALIDREQUEST" => is_about_a_repeat(&refusal.message),
        _ => false,
    };
    names_number && refusal.status.is_client_error()
}

/// Whether the refusal is about the request itself, so that WeChat Pay made no order of it.
///
/// It is unsigned and decides about no money: the engine queries the number before it does
/// anything else under it. A code that asks for another try, a refused time, and a code that is
/// not known here are not final.
fn is_final(refusal: &ApiRefusal) -> bool {
    let is_client_error = refusal.status.is_client_error();
    match refusal.bare_code().as_str() {
        // A wrong clock of ours is no fault of the order's.
        "SIGNERROR" => is_client_error && !refusal.is_about_time(),
        "PARAMERROR" | "INVALIDREQUEST" | "APPIDMCHIDNOTMATCH" | "MCHNOTEXISTS" | "NOAUTH"
        | "RULELIMIT" | "TRADEERROR" | "ACCOUNTERROR" | "RESOURCENOTEXISTS" => is_client_error,
        // These two come with 500 (WeChat Pay V3, JSAPI order, error codes).
        "OPENIDMISMATCH" | "INVALIDTRANSACTIONID" => true,
        _ => false,
    }
}

/// Whether `message` reports a repeated number: WeChat Pay also answers a known number with other
/// parameters by `INVALID_REQUEST` and `PARAM_ERROR` (V3 FAQ: "201 商户订单号重复",
/// "订单重入校验失败，请确认参数值与原请求一致").
///
/// A text that only names the field `商户订单号` is about its form, not about a repeat.
fn is_about_a_repeat(message: &str) -> bool {
    let numbered =
        message.strip_prefix("201").is_some_and(|rest| !rest.starts_with(char::is_numeric));
    let used = message.contains("商户订单号") && message.contains('已');
    numbered
        || used
        || ["重复", "重入", "与原请求"].iter().any(|word| message.contains(word))
        || message.to_ascii_lowercase().contains("duplicate")
}

//! What WeChat Pay's answer to an order means.

use http::StatusCode;
use serde::Deserialize;

use super::client::{Refusal, Reply, unknown};
use crate::domain::channel::Product;
use crate::domain::order::attempt::Material;
use crate::provider::Failure;

/// The material that an order's answer hands out.
///
/// # Errors
///
/// [`Failure::Throttled`] for too many calls, [`Failure::Refused`] only for a code that is about
/// the request itself, [`Failure::Taken`] for one that is about the number. Whatever else was said
/// instead of a signed success leaves the outcome [`Failure::Unknown`].
pub(super) fn opened(product: Product, reply: Reply) -> Result<Material, Failure> {
    match reply {
        Reply::Verified { status: StatusCode::OK, body } => material(product, &body)
            .ok_or_else(|| unknown("a signed answer without what the buyer pays with")),
        Reply::Verified { status, .. } => Err(unknown(format!("HTTP {status}"))),
        Reply::Refused(refusal) if refusal.is_throttled() => Err(refusal.failure()),
        Reply::Refused(refusal) if is_taken(&refusal) => Err(refusal.taken()),
        Reply::Refused(refusal) if is_final(&refusal) => Err(refusal.refused()),
        Reply::Refused(refusal) => Err(refusal.unknown()),
    }
}

fn material(product: Product, body: &[u8]) -> Option<Material> {
    #[derive(Deserialize)]
    struct Body {
        prepay_id: Option<String>,
        code_url: Option<String>,
        h5_url: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    match product {
        Product::Jsapi | Product::App => {
            let prepay_id = graphic(body.prepay_id?)?;
            Some(Material::Prepay { prepay_id })
        }
        Product::Native => {
            let code_url = graphic(body.code_url?)?;
            Some(Material::QrCode { code_url, msg: None })
        }
        Product::H5 => {
            let h5_url = graphic(body.h5_url?)?;
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
fn graphic(text: String) -> Option<String> {
    let matches_order =
        (1..=512).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic());
    matches_order.then_some(text)
}

/// Whether the refusal says that there is an order under this number already: paid, closed, of
/// another product or with other parameters. Pages and FAQ disagree about the code (WeChat Pay V3,
/// JSAPI order, error codes; FAQ "201 商户订单号重复").
fn is_taken(refusal: &Refusal) -> bool {
    let says_so = match refusal.bare_code().as_str() {
        "OUTTRADENOUSED" | "ORDERPAID" | "ORDERCLOSED" => true,
        "PARAMERROR" | "INVALIDREQUEST" => is_about_a_repeat(&refusal.message),
        _ => false,
    };
    says_so && refusal.status.is_client_error()
}

/// Whether the refusal is about the request itself, so that no order came of it.
///
/// It is unsigned and decides about no money: before anything else is done under this number,
/// WeChat Pay is asked for it. A code that asks for another try, a time that was refused, and a
/// code that is not known here are not final.
fn is_final(refusal: &Refusal) -> bool {
    let is_client_error = refusal.status.is_client_error();
    match refusal.bare_code().as_str() {
        // What our clock did is no fault of the order's.
        "SIGNERROR" => is_client_error && !refusal.is_about_time(),
        "PARAMERROR" | "INVALIDREQUEST" | "APPIDMCHIDNOTMATCH" | "MCHNOTEXISTS" | "NOAUTH"
        | "RULELIMIT" | "TRADEERROR" | "ACCOUNTERROR" | "RESOURCENOTEXISTS" => is_client_error,
        // These two come with 500 (WeChat Pay V3, JSAPI order, error codes).
        "OPENIDMISMATCH" | "INVALIDTRANSACTIONID" => true,
        _ => false,
    }
}

/// `INVALID_REQUEST` and `PARAM_ERROR` are also what a known number is answered with whose
/// parameters differ (V3 FAQ: "201 商户订单号重复", "订单重入校验失败，请确认参数值与原请求一致").
///
/// A text that only names the field `商户订单号` is about its form, not about a repeat.
fn is_about_a_repeat(message: &str) -> bool {
    let numbered = message.strip_prefix("201").is_some_and(|it| !it.starts_with(char::is_numeric));
    let used = message.contains("商户订单号") && message.contains('已');
    numbered
        || used
        || ["重复", "重入", "与原请求"].iter().any(|it| message.contains(it))
        || message.to_ascii_lowercase().contains("duplicate")
}

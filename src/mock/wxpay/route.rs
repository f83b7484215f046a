//! What a path of WeChat Pay V3 names.

use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::domain::product::Product;
use crate::mock::world::faults::Operation;

/// A direct merchant, or a partner for a sub-merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mock) enum Place {
    Direct,
    Partner,
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mock) enum Route {
    Create(Product, Place),
    ByNumber(String, Place),
    ByTransaction(String, Place),
    Close(String, Place),
    Refund,
    RefundByNumber(String),
    Certificates,
}

impl Route {
    /// The merchant's number that a call with this `body` is about.
    pub(in crate::mock) fn number(&self, body: &[u8]) -> Option<String> {
        match self {
            Route::ByNumber(no, _) | Route::Close(no, _) => Some(no.clone()),
            Route::Create(..) | Route::Refund => {
                let body: Value = serde_json::from_slice(body).ok()?;
                Some(body.get("out_trade_no")?.as_str()?.to_owned())
            }
            Route::ByTransaction(..) | Route::RefundByNumber(_) | Route::Certificates => None,
        }
    }

    /// Reads a path of V3 and says which method it takes.
    pub(in crate::mock) fn parse(path: &str) -> Option<(Method, Route)> {
        if path == "/v3/certificates" {
            return Some((Method::GET, Route::Certificates));
        }
        if let Some(rest) = path.strip_prefix("/v3/refund/domestic/refunds") {
            return match rest.strip_prefix('/') {
                None => rest.is_empty().then_some((Method::POST, Route::Refund)),
                Some(no) if no.contains('/') => None,
                Some(no) => Some((Method::GET, Route::RefundByNumber(decoded(no)?))),
            };
        }
        let rest = path.strip_prefix("/v3/pay/")?;
        let (place, rest) = match rest.strip_prefix("partner/") {
            Some(rest) => (Place::Partner, rest),
            None => (Place::Direct, rest),
        };
        let segments: Vec<&str> = rest.strip_prefix("transactions/")?.split('/').collect();
        match segments.as_slice() {
            ["jsapi"] => Some((Method::POST, Route::Create(Product::Jsapi, place))),
            ["app"] => Some((Method::POST, Route::Create(Product::App, place))),
            ["h5"] => Some((Method::POST, Route::Create(Product::H5, place))),
            ["native"] => Some((Method::POST, Route::Create(Product::Native, place))),
            ["out-trade-no", no] => Some((Method::GET, Route::ByNumber(decoded(no)?, place))),
            ["out-trade-no", no, "close"] => {
                Some((Method::POST, Route::Close(decoded(no)?, place)))
            }
            ["id", id] => Some((Method::GET, Route::ByTransaction(decoded(id)?, place))),
            _ => None,
        }
    }

    /// What the call is for.
    pub(in crate::mock) fn operation(&self) -> Operation {
        match self {
            Route::Create(..) => Operation::Create,
            Route::ByNumber(..) | Route::ByTransaction(..) => Operation::Query,
            Route::Close(..) => Operation::Close,
            Route::Refund => Operation::Refund,
            Route::RefundByNumber(_) => Operation::RefundQuery,
            Route::Certificates => Operation::Certificates,
        }
    }
}

fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

//! The paths of WeChat Pay V3.

use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::domain::product::Product;
use crate::mock::world::faults::ProviderOperation;

/// The merchant that calls: a direct merchant, or a partner for a sub-merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MerchantRole {
    Direct,
    Partner,
}

/// The interface that a path names, with the numbers in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WxpayRoute {
    Create(Product, MerchantRole),
    ByNumber(String, MerchantRole),
    ByTransaction(String, MerchantRole),
    Close(String, MerchantRole),
    Refund,
    RefundByNumber(String),
    Certificates,
}

impl WxpayRoute {
    /// The merchant's order number in the path or in `body`.
    pub(super) fn order_number(&self, body: &[u8]) -> Option<String> {
        match self {
            WxpayRoute::ByNumber(number, _) | WxpayRoute::Close(number, _) => Some(number.clone()),
            WxpayRoute::Create(..) | WxpayRoute::Refund => {
                let body: Value = serde_json::from_slice(body).ok()?;
                Some(body.get("out_trade_no")?.as_str()?.to_owned())
            }
            WxpayRoute::ByTransaction(..)
            | WxpayRoute::RefundByNumber(_)
            | WxpayRoute::Certificates => None,
        }
    }

    /// Parses a path of V3, and returns the HTTP method that it takes.
    pub(super) fn parse(path: &str) -> Option<(Method, WxpayRoute)> {
        if path == "/v3/certificates" {
            return Some((Method::GET, WxpayRoute::Certificates));
        }
        if let Some(rest) = path.strip_prefix("/v3/refund/domestic/refunds") {
            return match rest.strip_prefix('/') {
                None => rest.is_empty().then_some((Method::POST, WxpayRoute::Refund)),
                Some(number) if number.contains('/') => None,
                Some(number) => Some((Method::GET, WxpayRoute::RefundByNumber(decoded(number)?))),
            };
        }
        let rest = path.strip_prefix("/v3/pay/")?;
        let (role, rest) = match rest.strip_prefix("partner/") {
            Some(rest) => (MerchantRole::Partner, rest),
            None => (MerchantRole::Direct, rest),
        };
        let segments: Vec<&str> = rest.strip_prefix("transactions/")?.split('/').collect();
        match segments.as_slice() {
            ["jsapi"] => Some((Method::POST, WxpayRoute::Create(Product::Jsapi, role))),
            ["app"] => Some((Method::POST, WxpayRoute::Create(Product::App, role))),
            ["h5"] => Some((Method::POST, WxpayRoute::Create(Product::H5, role))),
            ["native"] => Some((Method::POST, WxpayRoute::Create(Product::Native, role))),
            ["out-trade-no", number] => {
                Some((Method::GET, WxpayRoute::ByNumber(decoded(number)?, role)))
            }
            ["out-trade-no", number, "close"] => {
                Some((Method::POST, WxpayRoute::Close(decoded(number)?, role)))
            }
            ["id", id] => Some((Method::GET, WxpayRoute::ByTransaction(decoded(id)?, role))),
            _ => None,
        }
    }

    /// The operation that the call requests.
    pub(super) fn operation(&self) -> ProviderOperation {
        match self {
            WxpayRoute::Create(..) => ProviderOperation::Create,
            WxpayRoute::ByNumber(..) | WxpayRoute::ByTransaction(..) => ProviderOperation::Query,
            WxpayRoute::Close(..) => ProviderOperation::Close,
            WxpayRoute::Refund => ProviderOperation::Refund,
            WxpayRoute::RefundByNumber(_) => ProviderOperation::RefundQuery,
            WxpayRoute::Certificates => ProviderOperation::Certificates,
        }
    }
}

fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

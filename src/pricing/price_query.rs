//! The question that a price callback receives.

use http::{Extensions, HeaderMap, HeaderValue};

use crate::domain::caller::CallerContext;
use crate::domain::channel::ProviderId;
use crate::domain::ids::OutTradeNo;
use crate::domain::json::RawJson;
use crate::domain::request::NeedQrcode;

/// A request for an order's price, or for the permission to query it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PriceQuery {
    /// The operation that the client requests.
    pub operation: PriceOperation,
    /// The order's number, as the client sent it. The shop knows whether the order is the client's.
    pub out_trade_no: OutTradeNo,
    /// The request's `data` as the client wrote it. The guard has validated it; it decides nothing.
    pub data: RawJson,
    /// The client: its address, whether it sits at a PC, its platform.
    pub context: CallerContext,
    /// The request's `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// The request's `Cookie`.
    pub cookie: Option<HeaderValue>,
    /// The request's headers that [`Pricing::with_headers`](super::Pricing::with_headers) names.
    pub headers: HeaderMap,
    /// The request's extensions: what the layers around paygate's put there, for example the
    /// buyer's session.
    pub extensions: Extensions,
}

/// The operation that a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PriceOperation {
    /// `createPayment`: the callback answers with the price.
    CreatePayment {
        /// The provider that the buyer pays through.
        provider: ProviderId,
        /// `needQRcode`: whether the client wants a QR code on any platform.
        need_qrcode: NeedQrcode,
    },
    /// `queryPayment`: any [`Price`](super::Price) permits the query;
    /// [`Price::allow`](super::Price::allow) is the shortest.
    QueryPayment,
}

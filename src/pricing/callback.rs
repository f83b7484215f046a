//! Asks the shop for an order's price, or whether a caller may query an order.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;

use super::permission_cache::{CallerDigest, PermissionCache};
use super::price_fields::{QuoteError, check_complete};
use super::price_query::PriceQuery;
use crate::domain::json::{Json, RawJson, Shape};
use crate::domain::time::Millis;
use crate::error::{Error, Kind, ShopRefusal, Text};

/// The priced fields of `data`.
#[derive(Clone, Debug, PartialEq)]
pub struct Price(RawJson);

impl Price {
    /// These fields, as vk-uni-pay's `createPayment` calls them: `out_trade_no`, `total_fee`,
    /// `subject` and `type` at least. A field that is not among them is absent from the order; only
    /// the buyer's `openid` may come from the client instead.
    ///
    /// # Errors
    ///
    /// [`PricingError`], which is 503 for the client, for fields that are not a JSON object.
    pub fn of(fields: &impl Serialize) -> Result<Price, PricingError> {
        let text = serde_json::to_string(fields)?;
        RawJson::parse(&text).map_err(PricingError::unavailable).and_then(Price::of_json)
    }

    /// The answer to [`PriceOperation::QueryPayment`](super::PriceOperation::QueryPayment) that
    /// permits the query. It is not a price: for `createPayment` it is 503 for the client.
    #[must_use]
    pub fn allow() -> Price {
        Price(RawJson::parse("{}").expect("an empty object is JSON"))
    }

    pub(super) fn of_json(fields: RawJson) -> Result<Price, PricingError> {
        match fields.json().shape() {
            Shape::Object(_) => Ok(Price(fields)),
            _ => Err(PricingError::unavailable("the priced fields are no object")),
        }
    }
}

/// The reason why the shop sets no price. `?` converts any error into one: the client gets 503, and
/// the log the reason.
pub struct PricingError(PricingFailure);

enum PricingFailure {
    Refused(ShopRefusal),
    Unavailable(String),
}

impl PricingError {
    /// The client is refused, with this HTTP status, `code` and `msg`. A status that does not
    /// blame the client (400 to 499), or the code 0, which means success, is 503 for it.
    pub fn refused(status: u16, code: i64, msg: impl Into<String>) -> PricingError {
        if !(400..500).contains(&status) || code == 0 {
            return PricingError::unavailable(format_args!(
                "a refusal with {status} and code {code}"
            ));
        }
        PricingError(PricingFailure::Refused(ShopRefusal { status, code, msg: msg.into() }))
    }

    /// The shop cannot answer at the moment: the client gets 503 with code 5001, the log `why`.
    pub fn unavailable(why: impl fmt::Display) -> PricingError {
        PricingError(PricingFailure::Unavailable(why.to_string()))
    }
}

impl<E: std::error::Error> From<E> for PricingError {
    fn from(error: E) -> PricingError {
        PricingError::unavailable(error)
    }
}

impl fmt::Debug for PricingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            PricingFailure::Refused(refusal) => refusal.fmt(f),
            PricingFailure::Unavailable(why) => write!(f, "Unavailable({why})"),
        }
    }
}

type PriceFuture = Pin<Box<dyn Future<Output = Result<Price, PricingError>> + Send>>;

/// The shop's callback, and the permissions that it gave.
#[derive(Clone)]
pub(crate) struct PriceCallback {
    callback: Arc<dyn Fn(PriceQuery) -> PriceFuture + Send + Sync>,
    permissions: Arc<PermissionCache>,
    header_names: Arc<[HeaderName]>,
}

impl PriceCallback {
    pub(super) fn new<F, A>(callback: F) -> PriceCallback
    where
        F: Fn(PriceQuery) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Price, PricingError>> + Send + 'static,
    {
        let callback = Arc::new(move |query| -> PriceFuture { Box::pin(callback(query)) });
        PriceCallback { callback, permissions: Arc::default(), header_names: Arc::default() }
    }

    pub(super) fn with_headers(self, names: impl IntoIterator<Item = HeaderName>) -> PriceCallback {
        PriceCallback { header_names: names.into_iter().collect(), ..self }
    }

    /// The headers that the app asked for, never to be printed.
    pub(crate) fn named_headers(&self, headers: &HeaderMap) -> HeaderMap {
        let values = self.header_names.iter().flat_map(|name| {
            headers.get_all(name).iter().map(move |value| (name.clone(), sensitive(value.clone())))
        });
        values.collect()
    }

    /// The fields of `data` that the shop sets.
    ///
    /// # Errors
    ///
    /// [`Kind::ShopRefused`] with the shop's refusal; [`Kind::NotSent`] for an answer that is not
    /// the price of this order.
    pub(crate) async fn price(&self, query: PriceQuery) -> Result<RawJson, Error> {
        let number = query.out_trade_no.clone();
        let why = match (self.callback)(query).await {
            Ok(Price(fields)) => match check_complete(fields.json(), &number) {
                Ok(()) => return Ok(fields),
                Err(QuoteError::Missing(name)) => format!("the answer lacks {name}"),
                Err(QuoteError::OtherOrder) => "the answer is for another order".to_owned(),
            },
            Err(PricingError(PricingFailure::Refused(refusal))) => {
                return Err(Error::shop_refused(refusal));
            }
            Err(PricingError(PricingFailure::Unavailable(why))) => why,
        };
        tracing::warn!(out_trade_no = %number, why, "the shop's callback set no price");
        Err(Error::new(Kind::NotSent))
    }

    /// Checks that the caller may query the order of `query`. The permission of a caller with a
    /// credential is valid for a minute, so that a page that polls every other second does not call
    /// the shop as often.
    ///
    /// # Errors
    ///
    /// [`Kind::ShopRefused`] with the shop's refusal; [`Kind::NotSent`] for an answer that neither
    /// permits nor refuses.
    pub(crate) async fn may_query(&self, query: PriceQuery, now: Millis) -> Result<(), Error> {
        let caller = CallerDigest::of(&query);
        if caller.is_some_and(|caller| self.permissions.is_valid(&caller, now)) {
            return Ok(());
        }
        let number = query.out_trade_no.clone();
        let why = match (self.callback)(query).await {
            Ok(Price(fields)) => match fields.json().member("out_trade_no").map(Json::shape) {
                Some(Shape::String(other)) if other != number.as_str() => {
                    "the answer is for another order".to_owned()
                }
                _ => {
                    if let Some(caller) = caller {
                        self.permissions.remember(caller, now);
                    }
                    return Ok(());
                }
            },
            Err(PricingError(PricingFailure::Refused(refusal))) => {
                return Err(Error::shop_refused(refusal));
            }
            Err(PricingError(PricingFailure::Unavailable(why))) => why,
        };
        tracing::warn!(
            out_trade_no = %number,
            why,
            "the shop's callback neither permitted nor refused a query"
        );
        Err(Error::new(Kind::NotSent))
    }
}

/// The `Authorization` and the `Cookie` of a request, never to be printed. HTTP/2 may split a
/// cookie into several headers (RFC 9113 section 8.2.3).
///
/// # Errors
///
/// [`Kind::CallerNotAllowed`] for two `Authorization` headers: two servers could each read
/// another one.
pub(crate) fn credentials(
    headers: &HeaderMap,
) -> Result<(Option<HeaderValue>, Option<HeaderValue>), Error> {
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let authorization = authorizations.next().cloned();
    if authorizations.next().is_some() {
        let text = Text::new(
            "请求中有多个 Authorization 请求头",
            "the request has more than one Authorization header",
        );
        return Err(Error::new(Kind::CallerNotAllowed).text(text));
    }
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let cookie = match cookies.as_slice() {
        [] => None,
        cookies => HeaderValue::from_bytes(&cookies.join(&b"; "[..])).ok(),
    };
    Ok((authorization.map(sensitive), cookie.map(sensitive)))
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_whole_and_never_printed() {
        let mut headers = HeaderMap::new();
        assert_eq!(credentials(&headers).unwrap(), (None, None));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer hunter2"));
        headers.append(COOKIE, HeaderValue::from_static("a=hunter2"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        let (authorization, cookie) = credentials(&headers).unwrap();
        assert_eq!(authorization.as_ref().unwrap(), "Bearer hunter2");
        assert_eq!(cookie.as_ref().unwrap(), "a=hunter2; b=2");
        assert!(!format!("{authorization:?} {cookie:?}").contains("hunter2"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert_eq!(credentials(&headers).unwrap_err().kind(), Kind::CallerNotAllowed);
    }

    #[test]
    fn a_refusal_blames_the_client_and_is_no_success() {
        let refused = |status, code| {
            matches!(PricingError::refused(status, code, "").0, PricingFailure::Refused(_))
        };
        assert!(refused(400, 1) && refused(404, -1) && refused(499, 4005));
        for (status, code) in [(200, 1), (302, 1), (399, 1), (500, 1), (0, 1), (403, 0)] {
            assert!(!refused(status, code), "{status} {code}");
        }
    }

    #[test]
    fn a_price_is_an_object() {
        for none in [serde_json::json!([]), serde_json::json!("x"), serde_json::json!(null)] {
            assert!(Price::of(&none).is_err(), "{none}");
        }
        assert!(Price::of(&serde_json::json!({"total_fee": 1})).is_ok());
    }
}

//! A price that the shop sets, or a caller that it lets ask, when it is asked: the question, and
//! what may be answered.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;

use super::allowed::{Allowed, Asker};
use super::{Gap, check_whole};
use crate::domain::caller::CallerContext;
use crate::domain::channel::ProviderId;
use crate::domain::ids::OutTradeNo;
use crate::domain::json::{Json, RawJson, Shape};
use crate::domain::request::NeedQrcode;
use crate::domain::time::Millis;
use crate::error::{Error, Kind, ShopRefusal};

/// What the shop is asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Question {
    /// What the client wants to do.
    pub operation: Operation,
    /// With which order. The client says so: whether the order is the client's, the shop knows.
    pub out_trade_no: OutTradeNo,
    /// The request's `data` as the client wrote it, to look into: it was validated, and decides
    /// nothing.
    pub data: RawJson,
    /// The client: its address, whether it sits at a PC, its platform.
    pub context: CallerContext,
    /// The request's `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// The request's `Cookie`.
    pub cookie: Option<HeaderValue>,
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// To pay.
    CreatePayment {
        /// Who is to be paid through.
        provider: ProviderId,
        /// Whether a QR code is wanted whatever the platform.
        need_qrcode: NeedQrcode,
    },
    /// To know whether the order is paid. Any [`Price`] is a yes, [`Price::allow`] the shortest.
    QueryPayment,
}

/// The priced fields of `data`.
#[derive(Clone, Debug, PartialEq)]
pub struct Price(RawJson);

impl Price {
    /// These fields, as vk-uni-pay's `createPayment` calls them: `out_trade_no`, `total_fee`,
    /// `subject` and `type` at least. Whatever is not among them the order does not have; only
    /// the buyer's `openid` may come from the client instead.
    ///
    /// # Errors
    ///
    /// [`NoPrice`], which is 503 for the client, for what is no JSON object.
    pub fn of(fields: &impl Serialize) -> Result<Price, NoPrice> {
        let text = serde_json::to_string(fields)?;
        RawJson::parse(&text).map_err(NoPrice::unavailable).and_then(Price::of_json)
    }

    /// The answer to [`Operation::QueryPayment`] that lets the caller ask. It is no price of an
    /// order: to another question it is 503 for the client.
    #[must_use]
    pub fn allow() -> Price {
        Price(RawJson::parse("{}").expect("an empty object is JSON"))
    }

    pub(super) fn of_json(fields: RawJson) -> Result<Price, NoPrice> {
        match fields.json().shape() {
            Shape::Object(_) => Ok(Price(fields)),
            _ => Err(NoPrice::unavailable("the priced fields are no object")),
        }
    }
}

/// Why the shop sets no price. Any error becomes one by `?`: the client is told 503, the log why.
pub struct NoPrice(Reason);

enum Reason {
    Refused(ShopRefusal),
    Unavailable(String),
}

impl NoPrice {
    /// The client is refused, with this HTTP status, `code` and `msg`. A status that does not
    /// blame the client (400 to 499), or the code 0, which means success, is 503 for it.
    pub fn refused(status: u16, code: i64, msg: impl Into<String>) -> NoPrice {
        if !(400..500).contains(&status) || code == 0 {
            return NoPrice::unavailable(format_args!("a refusal with {status} and code {code}"));
        }
        NoPrice(Reason::Refused(ShopRefusal { status, code, msg: msg.into() }))
    }

    /// The shop cannot tell at the moment: 503, code 5001, and `why` in the log only.
    pub fn unavailable(why: impl fmt::Display) -> NoPrice {
        NoPrice(Reason::Unavailable(why.to_string()))
    }
}

impl<E: std::error::Error> From<E> for NoPrice {
    fn from(error: E) -> NoPrice {
        NoPrice::unavailable(error)
    }
}

impl fmt::Debug for NoPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Refused(refusal) => refusal.fmt(f),
            Reason::Unavailable(why) => write!(f, "Unavailable({why})"),
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Price, NoPrice>> + Send>>;

/// The shop, to be asked.
#[derive(Clone)]
pub(crate) struct Ask {
    ask: Arc<dyn Fn(Question) -> Answer + Send + Sync>,
    allowed: Arc<Allowed>,
}

impl Ask {
    pub(super) fn new<F, A>(ask: F) -> Ask
    where
        F: Fn(Question) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Price, NoPrice>> + Send + 'static,
    {
        let ask = Arc::new(move |question| -> Answer { Box::pin(ask(question)) });
        Ask { ask, allowed: Arc::default() }
    }

    /// The fields of `data` that the shop sets.
    ///
    /// # Errors
    ///
    /// The shop's refusal; 5001 for an answer that is no price of the order asked for.
    pub(crate) async fn price(&self, question: Question) -> Result<RawJson, Error> {
        let number = question.out_trade_no.clone();
        let why = match (self.ask)(question).await {
            Ok(Price(fields)) => match check_whole(fields.json(), &number) {
                Ok(()) => return Ok(fields),
                Err(Gap::Lacks(name)) => format!("the answer lacks {name}"),
                Err(Gap::OtherOrder) => "the answer is for another order".to_owned(),
            },
            Err(NoPrice(Reason::Refused(refusal))) => return Err(Error::shop_refused(refusal)),
            Err(NoPrice(Reason::Unavailable(why))) => why,
        };
        tracing::warn!(out_trade_no = %number, why, "the shop set no price");
        Err(Error::new(Kind::NotSent))
    }

    /// Lets a caller ask for the order of `question` or not. A yes holds for a minute, so that a
    /// page that asks every other second does not become as many questions to the shop.
    ///
    /// # Errors
    ///
    /// The shop's refusal; 5001 for an answer that is neither.
    pub(crate) async fn allows(&self, question: Question, now: Millis) -> Result<(), Error> {
        let asker = Asker::of(&question);
        if self.allowed.holds(&asker, now) {
            return Ok(());
        }
        let number = question.out_trade_no.clone();
        let why = match (self.ask)(question).await {
            Ok(Price(fields)) => match fields.json().member("out_trade_no").map(Json::shape) {
                Some(Shape::String(other)) if other != number.as_str() => {
                    "the answer is for another order".to_owned()
                }
                _ => {
                    self.allowed.remember(asker, now);
                    return Ok(());
                }
            },
            Err(NoPrice(Reason::Refused(refusal))) => return Err(Error::shop_refused(refusal)),
            Err(NoPrice(Reason::Unavailable(why))) => why,
        };
        tracing::warn!(out_trade_no = %number, why, "the shop did not say who may ask");
        Err(Error::new(Kind::NotSent))
    }
}

/// The `Authorization` and the `Cookie` of a request, never to be printed. HTTP/2 may split a
/// cookie into several headers (RFC 9113 section 8.2.3).
///
/// # Errors
///
/// 4005 for two `Authorization`s: two readers could take each a different one.
pub(crate) fn credentials(
    headers: &HeaderMap,
) -> Result<(Option<HeaderValue>, Option<HeaderValue>), Error> {
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let authorization = authorizations.next().cloned();
    if authorizations.next().is_some() {
        return Err(Error::new(Kind::CallerNotAllowed));
    }
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let cookie = match cookies.as_slice() {
        [] => None,
        cookies => HeaderValue::from_bytes(&cookies.join(&b"; "[..])).ok(),
    };
    let sensitive = |mut value: HeaderValue| {
        value.set_sensitive(true);
        value
    };
    Ok((authorization.map(sensitive), cookie.map(sensitive)))
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
        let refused =
            |status, code| matches!(NoPrice::refused(status, code, "").0, Reason::Refused(_));
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

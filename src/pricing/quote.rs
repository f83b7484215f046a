//! A price that the shop signed and the client brings: a JWT in compact form (RFC 7515, RFC 7519),
//! HS256 only.
//!
//! The signature is judged before anything of it is read, and always by HS256 and the one key: a
//! header can make a quote invalid, never choose how it is judged (RFC 8725 section 3.1).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Gap, Pricing, check_whole};
use crate::domain::ids::OutTradeNo;
use crate::domain::json::{Json, RawJson, Shape, scan};
use crate::domain::time::{MINUTE_MS, Millis};
use crate::error::{Error, Kind, Text};

/// What quotes are signed with.
#[derive(Clone)]
pub(crate) struct QuoteKey(Arc<hmac::Key>);

impl QuoteKey {
    pub(super) fn new(secret: &[u8]) -> Result<QuoteKey, WeakSecret> {
        if secret.len() < Pricing::QUOTE_SECRET_BYTES_MIN {
            return Err(WeakSecret);
        }
        Ok(QuoteKey(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }

    /// The fields of `data` that `quote` sets for the order `number` at `now`.
    ///
    /// # Errors
    ///
    /// 4005 for what is no quote of this order that is in force.
    pub(crate) fn price(
        &self,
        quote: Option<&str>,
        number: &OutTradeNo,
        now: Millis,
    ) -> Result<RawJson, Error> {
        let claims = self.claims(quote)?;
        check_time(claims.json(), now)?;
        let price = without_registered(claims.json()).ok_or(Fault::Invalid)?;
        check_whole(price.json(), number).map_err(Fault::from)?;
        if price.json().member("app_auth_token").is_some() {
            return Err(Fault::Readable.into());
        }
        Ok(price)
    }

    /// The order that `quote` is for, also after its time: who may pay an order may ask for it.
    ///
    /// # Errors
    ///
    /// 4005 for what is no quote.
    pub(crate) fn order(&self, quote: Option<&str>, now: Millis) -> Result<OutTradeNo, Error> {
        let claims = self.claims(quote)?;
        match check_time(claims.json(), now) {
            Ok(()) | Err(Fault::Expired) => {}
            Err(fault) => return Err(fault.into()),
        }
        let number = claims.json().member("out_trade_no").map(Json::shape);
        let Some(Shape::String(number)) = number else {
            return Err(Fault::Lacks("out_trade_no").into());
        };
        let number = OutTradeNo::parse(&number).ok_or(Fault::OtherOrder)?;
        check_whole(claims.json(), &number).map_err(Fault::from)?;
        Ok(number)
    }

    fn claims(&self, quote: Option<&str>) -> Result<RawJson, Fault> {
        self.open(quote.ok_or(Fault::Missing)?).ok_or(Fault::Invalid)
    }

    /// The claims of a quote that the shop signed, whatever their time: an object.
    fn open(&self, quote: &str) -> Option<RawJson> {
        if quote.len() > QUOTE_BYTES_MAX {
            return None;
        }
        let (signed, signature) = quote.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        // In a time that does not tell how much of it is right.
        hmac::verify(&self.0, signed.as_bytes(), &decoded(signature)?).ok()?;
        let header = decoded(header)?;
        if !is_ours(scan(&header).ok()?) {
            return None;
        }
        let payload = decoded(payload)?;
        let claims = scan(&payload).ok()?;
        matches!(claims.shape(), Shape::Object(_)).then(|| claims.into())
    }
}

/// Base64url without padding and without spare bits: one spelling for every value.
fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// Whether a header says HS256, and demands nothing that is not understood here (RFC 7515
/// section 4.1.11). Another `typ` or a `cty` is a token for another purpose (RFC 8725 section
/// 3.11).
fn is_ours(header: Json<'_>) -> bool {
    let text = |name| match header.member(name).map(Json::shape) {
        Some(Shape::String(text)) => Some(text),
        _ => None,
    };
    let is_jwt = header.member("typ").is_none()
        || text("typ").is_some_and(|it| it.eq_ignore_ascii_case("JWT"));
    text("alg").is_some_and(|it| it == "HS256")
        && is_jwt
        && header.member("cty").is_none()
        && header.member("crit").is_none()
}

/// `exp` must be there and ahead, `nbf` must not be ahead (RFC 7519 sections 4.1.4 and 4.1.5).
fn check_time(claims: Json<'_>, now: Millis) -> Result<(), Fault> {
    let expires = claims.member("exp").and_then(time).ok_or(Fault::Invalid)?;
    if now >= expires {
        return Err(Fault::Expired);
    }
    match claims.member("nbf").map(time) {
        None => Ok(()),
        Some(Some(begins)) if now.plus(CLOCKS_APART_MS_MAX) >= begins => Ok(()),
        Some(_) => Err(Fault::Invalid),
    }
}

/// A `NumericDate`: seconds since 1970, which need not be whole.
fn time(json: Json<'_>) -> Option<Millis> {
    if !matches!(json.shape(), Shape::Number) {
        return None;
    }
    let seconds: f64 = json.as_str().parse().ok()?;
    // A float's cast ends at the ends of its type.
    seconds.is_finite().then_some(Millis((seconds * 1000.0) as i64))
}

/// The claims that are fields of `data`.
fn without_registered(claims: Json<'_>) -> Option<RawJson> {
    let Shape::Object(members) = claims.shape() else { return None };
    let mut text = String::with_capacity(claims.as_str().len());
    for (name, value) in members.filter(|(name, _)| !REGISTERED.contains(&&**name)) {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&serde_json::to_string(&name).ok()?);
        text.push(':');
        text.push_str(value.as_str());
    }
    text.push_str(if text.is_empty() { "{}" } else { "}" });
    RawJson::parse(&text).ok()
}

/// The claims of RFC 7519 section 4.1.
const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// As many as a whole request may have by default.
const QUOTE_BYTES_MAX: usize = 64 * 1024;

/// The shop's clock may be ahead of ours by this much. A quote's end is not moved by it.
const CLOCKS_APART_MS_MAX: i64 = MINUTE_MS;

/// Why a quote sets no price.
enum Fault {
    Missing,
    Invalid,
    Expired,
    OtherOrder,
    Lacks(&'static str),
    Readable,
}

impl From<Gap> for Fault {
    fn from(gap: Gap) -> Fault {
        match gap {
            Gap::Lacks(name) => Fault::Lacks(name),
            Gap::OtherOrder => Fault::OtherOrder,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let text = match fault {
            Fault::Missing => Text::new("缺少报价quote", "there is no quote"),
            Fault::Invalid => Text::new("报价quote无效", "the quote is not valid"),
            Fault::Expired => Text::new("报价quote已过期", "the quote has expired"),
            Fault::OtherOrder => {
                Text::new("报价quote属于其他订单", "the quote is for another order")
            }
            Fault::Lacks(name) => {
                Text::new(format!("报价quote缺少{name}"), format!("the quote lacks {name}"))
            }
            Fault::Readable => Text::new(
                "报价quote可被买家读取,不能包含app_auth_token",
                "the buyer can read the quote: it must not hold app_auth_token",
            ),
        };
        Error::new(Kind::CallerNotAllowed).text(text)
    }
}

/// A secret that could be guessed from a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakSecret;

impl fmt::Display for WeakSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = Pricing::QUOTE_SECRET_BYTES_MIN;
        write!(f, "the secret that quotes are signed with has at least {least} bytes")
    }
}

impl std::error::Error for WeakSecret {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 7515 appendix A.1: the key, and a JWT that it signed.
    const KEY: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75\
                       aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    const TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                         eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                         cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                         dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn key() -> QuoteKey {
        QuoteKey::new(&decoded(KEY).unwrap()).unwrap()
    }

    #[test]
    fn the_standards_own_example_is_read() {
        let claims = key().open(TOKEN).unwrap();
        assert_eq!(
            claims.canonical(),
            RawJson::parse(r#"{"iss":"joe","exp":1300819380,"http://example.com/is_root":true}"#)
                .unwrap()
                .canonical()
        );
        let at = |ms| check_time(claims.json(), Millis(ms)).is_ok();
        assert!(at(1_300_819_379_999) && !at(1_300_819_380_000), "it ends with its last second");
        let price = without_registered(claims.json()).unwrap();
        assert_eq!(price.as_str(), r#"{"http://example.com/is_root":true}"#);
    }

    #[test]
    fn any_other_byte_is_another_quote() {
        for at in 0..TOKEN.len() {
            for byte in [b'A', b'B', b'.', b'=', b'-', b' '] {
                let mut token = TOKEN.as_bytes().to_vec();
                let was = std::mem::replace(&mut token[at], byte);
                let token = String::from_utf8(token).unwrap();
                assert!(was == byte || key().open(&token).is_none(), "{token}");
            }
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(QuoteKey::new(&[0; 31]).err(), Some(WeakSecret));
        assert!(QuoteKey::new(&[0; 32]).is_ok());
    }

    #[test]
    fn times_are_numbers_of_seconds_and_need_not_be_whole() {
        let time = |text: &str| time(RawJson::parse(text).unwrap().json()).map(|it| it.0);
        assert_eq!(time("1300819380.5"), Some(1_300_819_380_500));
        assert_eq!(time("1.3e9"), Some(1_300_000_000_000));
        assert_eq!(time("1e300"), Some(i64::MAX));
        for none in ["1e400", r#""1300819380""#, "null", "[1]", "true"] {
            assert_eq!(time(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic(text in "[a-zA-Z0-9_.=-]{0,200}|\\PC{0,50}") {
            prop_assert!(key().open(&text).is_none());
        }

        #[test]
        fn any_signed_bytes_are_judged_without_panic(
            header in "\\PC{0,40}|\\{\"alg\":\"HS256\"\\}",
            payload in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let signed = format!("{}.{}", part(header.as_bytes()), part(&payload));
            let tag = hmac::sign(&key().0, signed.as_bytes());
            let quote = format!("{signed}.{}", part(tag.as_ref()));
            let number = OutTradeNo::parse("abc123").unwrap();
            prop_assert!(key().price(Some(&quote), &number, Millis(0)).is_err());
        }
    }
}

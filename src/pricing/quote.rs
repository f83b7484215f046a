//! A price that the shop signed and the client brings: a JWT in compact form (RFC 7515, RFC 7519),
//! HS256 only.
//!
//! The signature is verified before the claims are read, and always by HS256 and the one key: a
//! header can make a quote invalid, never choose the algorithm (RFC 8725 section 3.1). A JWT
//! library is not used: the claims stay raw JSON, with exact numbers and unique keys.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::price_fields::{QuoteError, check_complete};
use crate::domain::ids::OutTradeNo;
use crate::domain::json::{Json, RawJson, Shape, scan};
use crate::domain::time::{DAY_MS, MINUTE_MS, Millis};
use crate::error::debug_like_display;
use crate::error::{Error, Kind, Text};

/// The key that verifies quotes.
#[derive(Clone)]
pub(crate) struct QuoteKey(Arc<hmac::Key>);

impl QuoteKey {
    pub(super) fn new(secret: &[u8]) -> Result<QuoteKey, SecretTooShort> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(SecretTooShort);
        }
        Ok(QuoteKey(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }

    /// The fields of `data` that `quote` sets for the order `number` at `now`.
    ///
    /// # Errors
    ///
    /// [`Kind::CallerNotAllowed`] unless the quote is valid, unexpired, and for this order.
    pub(crate) fn price(
        &self,
        quote: Option<&str>,
        number: &OutTradeNo,
        now: Millis,
    ) -> Result<RawJson, Error> {
        let claims = self.claims(quote)?;
        check_time(claims.json(), now)?;
        let price = priced_claims(claims.json()).ok_or(InvalidQuote::Malformed)?;
        check_complete(price.json(), number).map_err(InvalidQuote::from)?;
        if price.json().member("app_auth_token").is_some() {
            return Err(InvalidQuote::HoldsSecret.into());
        }
        Ok(price)
    }

    /// The refusal of a quote that is for another order than the one requested.
    pub(crate) fn other_order() -> Error {
        InvalidQuote::OtherOrder.into()
    }

    /// The order that `quote` is for, also in the week after the quote's expiry: a client that
    /// could pay an order may query it.
    ///
    /// # Errors
    ///
    /// [`Kind::CallerNotAllowed`] for an invalid quote.
    pub(crate) fn order(&self, quote: Option<&str>, now: Millis) -> Result<OutTradeNo, Error> {
        let claims = self.claims(quote)?;
        match check_time(claims.json(), now) {
            Ok(()) => {}
            Err(InvalidQuote::Expired { ago_ms }) if ago_ms <= QUERY_AFTER_EXPIRY_MS_MAX => {}
            Err(fault) => return Err(fault.into()),
        }
        let number = claims.json().member("out_trade_no").map(Json::shape);
        let Some(Shape::String(number)) = number else {
            return Err(InvalidQuote::MissingField("out_trade_no").into());
        };
        let number = OutTradeNo::parse(&number).ok_or(InvalidQuote::OtherOrder)?;
        check_complete(claims.json(), &number).map_err(InvalidQuote::from)?;
        Ok(number)
    }

    fn claims(&self, quote: Option<&str>) -> Result<RawJson, InvalidQuote> {
        self.open(quote.ok_or(InvalidQuote::Absent)?).ok_or(InvalidQuote::Malformed)
    }

    /// The claims of a quote that the shop signed, expired or not: an object.
    fn open(&self, quote: &str) -> Option<RawJson> {
        if quote.len() > QUOTE_BYTES_MAX {
            return None;
        }
        let (signed, signature) = quote.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        // In constant time.
        hmac::verify(&self.0, signed.as_bytes(), &decoded(signature)?).ok()?;
        let header = decoded(header)?;
        if !is_hs256_jwt(scan(&header).ok()?) {
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

/// Whether a header names HS256, and no extension, of which none is supported (RFC 7515 section
/// 4.1.11). Another `typ` or a `cty` is a token for another purpose (RFC 8725 section
/// 3.11).
fn is_hs256_jwt(header: Json<'_>) -> bool {
    let text = |name| match header.member(name).map(Json::shape) {
        Some(Shape::String(text)) => Some(text),
        _ => None,
    };
    let is_jwt = header.member("typ").is_none()
        || text("typ").is_some_and(|typ| typ.eq_ignore_ascii_case("JWT"));
    text("alg").is_some_and(|alg| alg == "HS256")
        && is_jwt
        && header.member("cty").is_none()
        && header.member("crit").is_none()
}

/// `exp` must be there and ahead, `nbf` must not be ahead (RFC 7519 sections 4.1.4 and 4.1.5).
fn check_time(claims: Json<'_>, now: Millis) -> Result<(), InvalidQuote> {
    let expires = claims.member("exp").and_then(numeric_date).ok_or(InvalidQuote::Malformed)?;
    if now >= expires {
        return Err(InvalidQuote::Expired { ago_ms: now.since(expires) });
    }
    if expires.since(now) > EXPIRY_AHEAD_MS_MAX {
        return Err(InvalidQuote::TooFarAhead("exp"));
    }
    match claims.member("nbf").map(numeric_date) {
        None => Ok(()),
        Some(Some(begins)) if now.plus(CLOCKS_APART_MS_MAX) >= begins => Ok(()),
        Some(Some(begins)) if begins.since(now) > EXPIRY_AHEAD_MS_MAX => {
            Err(InvalidQuote::TooFarAhead("nbf"))
        }
        Some(Some(_)) => Err(InvalidQuote::NotYet),
        Some(None) => Err(InvalidQuote::Malformed),
    }
}

/// A `NumericDate`: seconds since 1970, which need not be whole.
fn numeric_date(json: Json<'_>) -> Option<Millis> {
    if !matches!(json.shape(), Shape::Number) {
        return None;
    }
    let seconds: f64 = json.as_str().parse().ok()?;
    // A cast from a float saturates.
    seconds.is_finite().then_some(Millis((seconds * 1000.0) as i64))
}

/// The claims that are fields of `data`.
fn priced_claims(claims: Json<'_>) -> Option<RawJson> {
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

/// As many bytes as SHA-256 has (RFC 7518 section 3.2).
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// The claims of RFC 7519 section 4.1.
const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// As many as a whole request may have by default.
const QUOTE_BYTES_MAX: usize = 64 * 1024;

/// The shop's clock may be ahead of this machine's by so many ms. A quote's expiry does not move.
const CLOCKS_APART_MS_MAX: i64 = MINUTE_MS;

/// No shop signs a price for longer; a time in milliseconds lies thousands of years ahead.
const EXPIRY_AHEAD_MS_MAX: i64 = 400 * DAY_MS;

/// So long after its expiry a quote serves queries.
const QUERY_AFTER_EXPIRY_MS_MAX: i64 = 7 * DAY_MS;

/// The reason why a quote sets no price.
enum InvalidQuote {
    Absent,
    Malformed,
    Expired {
        ago_ms: i64,
    },
    /// The claim that is so far ahead.
    TooFarAhead(&'static str),
    NotYet,
    OtherOrder,
    MissingField(&'static str),
    HoldsSecret,
}

impl From<QuoteError> for InvalidQuote {
    fn from(gap: QuoteError) -> InvalidQuote {
        match gap {
            QuoteError::Missing(name) => InvalidQuote::MissingField(name),
            QuoteError::OtherOrder => InvalidQuote::OtherOrder,
        }
    }
}

impl From<InvalidQuote> for Error {
    fn from(fault: InvalidQuote) -> Error {
        let text = match fault {
            InvalidQuote::Absent => Text::new("请求缺少报价 quote", "the request has no quote"),
            InvalidQuote::Malformed => Text::new(
                "报价 quote 必须是业务系统用 PAYGATE_QUOTE_SECRET 以 HS256 签名的 JWT",
                "the quote must be a JWT that the shop signed with PAYGATE_QUOTE_SECRET by HS256",
            ),
            InvalidQuote::Expired { .. } => {
                Text::new("报价 quote 已过期（exp）", "the quote has expired (exp)")
            }
            InvalidQuote::TooFarAhead(claim) => Text::new(
                format!("报价 quote 的 {claim} 在 400 天之后：单位应为秒，而不是毫秒"),
                format!(
                    "{claim} of the quote is over 400 days ahead: it counts seconds, not \
                     milliseconds"
                ),
            ),
            InvalidQuote::NotYet => {
                Text::new("报价 quote 尚未生效（nbf）", "the quote is not valid yet (nbf)")
            }
            InvalidQuote::OtherOrder => {
                Text::new("报价 quote 属于其他订单", "the quote is for another order")
            }
            InvalidQuote::MissingField(name) => {
                Text::new(format!("报价 quote 缺少 {name}"), format!("the quote lacks {name}"))
            }
            InvalidQuote::HoldsSecret => Text::new(
                "报价 quote 可被买家读取，不能包含 app_auth_token",
                "the buyer can read the quote: it must not hold app_auth_token",
            ),
        };
        Error::new(Kind::CallerNotAllowed).text(text)
    }
}

/// The error of a quote secret that is short enough to guess.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretTooShort;

impl fmt::Display for SecretTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret that signs quotes needs at least {SECRET_BYTES_MIN} bytes")
    }
}

debug_like_display!(SecretTooShort);

impl std::error::Error for SecretTooShort {}

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
        let price = priced_claims(claims.json()).unwrap();
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
    fn a_quote_of_more_than_64_kib_is_not_read() {
        let signed = |spaces: usize, header: &str| {
            let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
            let payload = format!("{{{}}}", " ".repeat(spaces));
            let signed = format!("{}.{}", part(header), part(&payload));
            let tag = hmac::sign(&key().0, signed.as_bytes());
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
        };
        let of_length = |length: usize| {
            let headers = [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256"} "#, r#"{"alg":"HS256"}  "#];
            let quotes = headers.into_iter().flat_map(|header| {
                (length * 3 / 4 - 80..length * 3 / 4).map(move |spaces| (spaces, header))
            });
            let mut quotes = quotes.map(|(spaces, header)| signed(spaces, header));
            quotes.find(|quote| quote.len() == length).unwrap()
        };
        assert!(key().open(&of_length(64 * 1024)).is_some());
        assert!(key().open(&of_length(64 * 1024 + 1)).is_none());
    }

    #[test]
    fn a_quote_begins_at_most_400_days_ahead() {
        let judged = |ahead_s: i64| {
            let claims = format!(r#"{{"exp":1,"nbf":{ahead_s}}}"#);
            check_time(RawJson::parse(&claims).unwrap().json(), Millis(0)).err()
        };
        let last = 400 * 86_400;
        assert!(matches!(judged(last), Some(InvalidQuote::NotYet)));
        assert!(matches!(judged(last + 1), Some(InvalidQuote::TooFarAhead("nbf"))));
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(QuoteKey::new(&[0; 31]).err(), Some(SecretTooShort));
        assert!(SecretTooShort.to_string().contains("32"), "{SecretTooShort}");
        assert!(QuoteKey::new(&[0; 32]).is_ok());
    }

    #[test]
    fn times_are_numbers_of_seconds_and_need_not_be_whole() {
        let numeric_date =
            |text: &str| numeric_date(RawJson::parse(text).unwrap().json()).map(|time| time.0);
        assert_eq!(numeric_date("1300819380.5"), Some(1_300_819_380_500));
        assert_eq!(numeric_date("1.3e9"), Some(1_300_000_000_000));
        assert_eq!(numeric_date("1e300"), Some(i64::MAX));
        for none in ["1e400", r#""1300819380""#, "null", "[1]", "true"] {
            assert_eq!(numeric_date(none), None, "{none}");
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

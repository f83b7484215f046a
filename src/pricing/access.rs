//! Callers whose whole body is trusted: by a token, by their address, or all of them.

use std::fmt;
use std::net::IpAddr;

use http::HeaderMap;

use crate::error::debug_like_display;
use crate::error::{Error, Kind, Text};
use crate::secret::{Secret, bearer_token};

/// The callers that may name the price.
#[derive(Clone)]
pub(crate) enum Access {
    /// Callers with this bearer token.
    Token(Secret),
    /// Callers on this machine.
    Loopback,
    /// Every caller.
    Everyone,
}

impl Access {
    pub(super) fn token(token: String) -> Result<Access, TokenTooShort> {
        if token.chars().count() < TOKEN_CHARS_MIN {
            return Err(TokenTooShort);
        }
        Ok(Access::Token(Secret::new(token)))
    }

    /// Checks that the caller may name the price.
    ///
    /// # Errors
    ///
    /// [`Kind::CallerNotAllowed`] for any other caller.
    pub(crate) fn authorize(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<(), Error> {
        let allowed = match self {
            Access::Everyone => true,
            Access::Loopback => peer.is_some_and(|ip| ip.to_canonical().is_loopback()),
            Access::Token(token) => bearer_token(headers).is_some_and(|given| token.matches(given)),
        };
        if allowed { Ok(()) } else { Err(Error::new(Kind::CallerNotAllowed).text(self.advice())) }
    }
}

impl Access {
    /// What an allowed caller has.
    fn advice(&self) -> Text {
        match self {
            Access::Token(_) => Text::new(
                "调用方没有权限：请求头 Authorization 必须是 Bearer 加 PAYGATE_CALLER_TOKEN 的值",
                "the caller is not allowed: the header Authorization must be Bearer and the value \
                 of PAYGATE_CALLER_TOKEN",
            ),
            Access::Loopback | Access::Everyone => Text::new(
                "调用方没有权限：没有设置 PAYGATE_PRICING 时，只有本机可以调用",
                "the caller is not allowed: without PAYGATE_PRICING only this machine may ask",
            ),
        }
    }
}

/// The fewest characters of a caller's token.
pub(super) const TOKEN_CHARS_MIN: usize = 32;

/// The error of a caller's token that is short enough to guess.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenTooShort;

impl fmt::Display for TokenTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a caller's token has at least {} characters", TOKEN_CHARS_MIN)
    }
}

debug_like_display!(TokenTooShort);

impl std::error::Error for TokenTooShort {}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;
    use crate::pricing::Pricing;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn admits(authorization: &[&str], peer: &str) -> bool {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        let access = Access::token(TOKEN.to_owned()).unwrap();
        access.authorize(&headers, peer.parse().ok()).is_ok()
    }

    #[test]
    fn only_the_token_lets_in_and_loopback_is_no_token() {
        assert!(admits(&[&format!("Bearer {TOKEN}")], "8.8.8.8"));
        assert!(admits(&[&format!("bearer {TOKEN}")], "127.0.0.1"));
        for wrong in [&[][..], &["Bearer "], &["Bearer x"], &["Basic abc"], &[TOKEN]] {
            assert!(!admits(wrong, "127.0.0.1"), "{wrong:?}");
        }
        let twice = format!("Bearer {TOKEN}");
        assert!(!admits(&[&twice, "Bearer x"], "127.0.0.1"), "two headers are ambiguous");
    }

    #[test]
    fn a_short_token_is_refused_when_the_layer_is_built() {
        assert_eq!(Pricing::caller_token("short").err(), Some(TokenTooShort));
        assert!(TokenTooShort.to_string().contains("characters"), "{TokenTooShort}");
    }

    #[test]
    fn loopback_means_a_known_loopback_peer() {
        let admits = |peer: &str| Access::Loopback.authorize(&HeaderMap::new(), peer.parse().ok());
        assert!(admits("127.0.0.1").is_ok());
        assert!(admits("::ffff:127.0.0.1").is_ok());
        assert!(admits("::1").is_ok());
        assert!(admits("10.0.0.1").is_err());
        assert!(admits("unknown").is_err());
    }

    #[test]
    fn a_token_is_never_printed() {
        let pricing = Pricing::caller_token(TOKEN).unwrap();
        assert!(!format!("{pricing:?}").contains(TOKEN));
    }
}

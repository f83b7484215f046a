//! Callers that are believed: by a token, by where they are, or all of them.

use std::fmt;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Pricing;
use crate::error::{Error, Kind};
use crate::secret::Secret;

/// Whose whole body is believed.
#[derive(Clone)]
pub(crate) enum Access {
    /// Whoever shows this token.
    Token(Secret),
    /// Whoever is on this machine.
    Loopback,
    /// Everybody.
    Everyone,
}

impl Access {
    pub(super) fn token(token: String) -> Result<Access, WeakToken> {
        if token.chars().count() < Pricing::TOKEN_CHARS_MIN {
            return Err(WeakToken);
        }
        Ok(Access::Token(Secret::new(token)))
    }

    /// Lets a request through or not.
    ///
    /// # Errors
    ///
    /// 4005 for a caller who may not ask.
    pub(crate) fn admit(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<(), Error> {
        let allowed = match self {
            Access::Everyone => true,
            Access::Loopback => peer.is_some_and(|ip| ip.to_canonical().is_loopback()),
            Access::Token(token) => bearer(headers).is_some_and(|it| token.matches(it)),
        };
        if allowed { Ok(()) } else { Err(Error::new(Kind::CallerNotAllowed)) }
    }
}

/// The bearer token of exactly one `Authorization` header (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// A caller's token that could be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakToken;

impl fmt::Display for WeakToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a caller's token has at least {} characters", Pricing::TOKEN_CHARS_MIN)
    }
}

impl std::error::Error for WeakToken {}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn admits(authorization: &[&str], peer: &str) -> bool {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        let access = Access::token(TOKEN.to_owned()).unwrap();
        access.admit(&headers, peer.parse().ok()).is_ok()
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
        assert_eq!(Pricing::caller_token("short").err(), Some(WeakToken));
    }

    #[test]
    fn loopback_means_a_known_loopback_peer() {
        let admits = |peer: &str| Access::Loopback.admit(&HeaderMap::new(), peer.parse().ok());
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

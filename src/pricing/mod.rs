//! Decides which callers may ask for payments and where the price comes from: a browser must not
//! name its own.
//!
//! Either the caller is the shop's backend, sends a token, and its whole body is trusted; or any
//! client may call and the shop sets the price, in a quote that it signed or by a callback. Then a
//! client names the order and itself, and cannot change the rest.
//!
//! ```
//! use paygate::Pricing;
//! use paygate::pricing::{PricingError, Price, PriceQuery};
//! use serde_json::json;
//!
//! async fn price_of(question: PriceQuery) -> Result<Price, PricingError> {
//!     if question.cookie.is_none() {
//!         return Err(PricingError::refused(403, 10_001, "log in first"));
//!     }
//!     let number = question.out_trade_no.as_str();
//!     // An error of the database, by `?`, is 503 for the client: nothing was sent.
//!     let total_fee: u64 = "100".parse()?;
//!     Price::of(&json!({
//!         "out_trade_no": number, "total_fee": total_fee, "subject": "tea", "type": "goods",
//!     }))
//! }
//!
//! let asked = Pricing::callback(price_of);
//! let signed = Pricing::quote("0123456789abcdef0123456789abcdef")?;
//! assert!(Pricing::quote("too short").is_err());
//! # Ok::<(), paygate::pricing::SecretTooShort>(())
//! ```

mod access;
mod callback;
mod permission_cache;
mod price_fields;
mod price_query;
mod quote;
mod service;

use std::fmt;
use std::future::Future;

use http::HeaderName;

pub(crate) use access::Access;
pub use access::TokenTooShort;
pub use callback::{Price, PricingError};
pub(crate) use callback::{PriceCallback, credentials};
pub use price_query::{PriceOperation, PriceQuery};
pub(crate) use quote::QuoteKey;
pub use quote::SecretTooShort;
pub(crate) use service::{parse_price_response, price_request_body};

/// The rule for which callers may ask for payments, and for the source of the price.
#[derive(Clone)]
pub struct Pricing(PriceSource);

/// The source of the price.
#[derive(Clone)]
pub(crate) enum PriceSource {
    /// The caller, if it has access: its whole body is trusted.
    Caller(Access),
    /// The shop, by a quote that it signed.
    Quote(QuoteKey),
    /// The shop, by a callback.
    Callback(PriceCallback),
}

impl Pricing {
    /// The fewest characters of a caller's token.
    pub const TOKEN_CHARS_MIN: usize = access::TOKEN_CHARS_MIN;
    /// The fewest bytes of the secret that quotes are signed with: as many as SHA-256 has
    /// (RFC 7518 section 3.2).
    pub const QUOTE_SECRET_BYTES_MIN: usize = quote::SECRET_BYTES_MIN;

    /// Every request carries `Authorization: Bearer <token>`, whatever its address: it comes from
    /// the shop's own backend, and its whole body is trusted.
    ///
    /// # Errors
    ///
    /// [`TokenTooShort`] for a token under [`Pricing::TOKEN_CHARS_MIN`] characters.
    pub fn caller_token(token: impl Into<String>) -> Result<Pricing, TokenTooShort> {
        Access::token(token.into()).map(|access| Pricing(PriceSource::Caller(access)))
    }

    /// Every request brings its price as `quote`, beside `provider`: a JWT (RFC 7519) that the
    /// shop signed with `secret` by HS256, whose claims are the fields of `data` and `exp`.
    /// `out_trade_no`, `total_fee`, `subject` and `type` must be among them. The buyer can read a
    /// quote: it must not hold `app_auth_token`.
    ///
    /// # Errors
    ///
    /// [`SecretTooShort`] for a secret under [`Pricing::QUOTE_SECRET_BYTES_MIN`] bytes.
    pub fn quote(secret: impl AsRef<[u8]>) -> Result<Pricing, SecretTooShort> {
        QuoteKey::new(secret.as_ref()).map(|key| Pricing(PriceSource::Quote(key)))
    }

    /// Calls `callback` on every `createPayment`, repeats included, with the client's request and
    /// credentials. The callback answers with the priced fields of `data`, among them
    /// `out_trade_no`, `total_fee`, `subject` and `type`; or refuses; or fails, and then nothing is
    /// sent to a provider. It should return within seconds: the client waits for it.
    ///
    /// On `queryPayment` the callback decides whether this client may query this order
    /// ([`PriceOperation::QueryPayment`]); its permission is valid for a minute for the same
    /// credentials, address and client, and for this once where there are no credentials.
    ///
    /// [`PriceQuery::extensions`] has what outer layers put into the request, such as a session:
    ///
    /// ```
    /// use paygate::{Price, PriceQuery, Pricing, PricingError};
    ///
    /// /// What the app's own session layer, outside of paygate's, puts into every request.
    /// #[derive(Clone)]
    /// struct Session { buyer: u64 }
    ///
    /// let pricing = Pricing::callback(|query: PriceQuery| async move {
    ///     let Some(Session { buyer }) = query.extensions.get() else {
    ///         return Err(PricingError::refused(401, 10_001, "log in first"));
    ///     };
    ///     Price::of(&serde_json::json!({
    ///         "out_trade_no": query.out_trade_no.as_str(), "total_fee": 100, "subject": "tea",
    ///         "type": "goods", "user_id": buyer.to_string(),
    ///     }))
    /// });
    /// # let _ = pricing;
    /// ```
    pub fn callback<F, A>(callback: F) -> Pricing
    where
        F: Fn(PriceQuery) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Price, PricingError>> + Send + 'static,
    {
        Pricing(PriceSource::Callback(PriceCallback::new(callback)))
    }

    /// Gives the [callback](Pricing::callback) these headers of the request, too
    /// ([`PriceQuery::headers`]). They count as credentials: name every header, besides
    /// `Authorization` and `Cookie`, by which the app or a layer outside of paygate's knows the
    /// buyer. Other pricing ignores it.
    #[must_use]
    pub fn with_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Pricing {
        match self.0 {
            PriceSource::Callback(callback) => {
                Pricing(PriceSource::Callback(callback.with_headers(names)))
            }
            other @ (PriceSource::Caller(_) | PriceSource::Quote(_)) => Pricing(other),
        }
    }

    /// Every caller may name any price: right only where the app has already authorised the
    /// request and compared its amount.
    #[must_use]
    pub fn danger_trust_every_caller() -> Pricing {
        Pricing(PriceSource::Caller(Access::Everyone))
    }

    /// Every caller on this machine may name any price: mock mode, where no money moves.
    pub(crate) fn loopback() -> Pricing {
        Pricing(PriceSource::Caller(Access::Loopback))
    }

    /// The source of the price.
    pub(crate) fn source(&self) -> &PriceSource {
        &self.0
    }

    /// Whether the caller is the shop's backend, whose body states the buyer's address.
    pub(crate) fn trusts_client_context(&self) -> bool {
        matches!(self.0, PriceSource::Caller(Access::Token(_)))
    }

    /// Whether the shop's callback receives the credentials of a page.
    pub(crate) fn forwards_credentials(&self) -> bool {
        matches!(self.0, PriceSource::Callback(_))
    }
}

impl fmt::Debug for Pricing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            PriceSource::Caller(Access::Token(_)) => "Pricing(caller token)",
            PriceSource::Caller(Access::Loopback) => "Pricing(loopback)",
            PriceSource::Caller(Access::Everyone) => "Pricing(every caller)",
            PriceSource::Quote(_) => "Pricing(quote)",
            PriceSource::Callback(_) => "Pricing(callback)",
        })
    }
}

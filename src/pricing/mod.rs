//! Who may ask, and so who sets the price: a browser must not name its own.
//!
//! Either the caller is the shop itself, shows a token, and its whole body is believed; or
//! anybody may call and the shop sets the price, in a quote that it signed or when it is asked.
//! Then a client names the order and itself, and cannot change the rest.
//!
//! ```
//! use paygate::Pricing;
//! use paygate::pricing::{NoPrice, Price, Question};
//! use serde_json::json;
//!
//! async fn price_of(question: Question) -> Result<Price, NoPrice> {
//!     if question.cookie.is_none() {
//!         return Err(NoPrice::refused(403, 10_001, "log in first"));
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
//! # Ok::<(), paygate::pricing::WeakSecret>(())
//! ```

mod access;
mod allowed;
mod callback;
mod quote;
mod service;

use std::fmt;
use std::future::Future;

pub(crate) use access::Access;
pub use access::WeakToken;
pub(crate) use callback::{Ask, credentials};
pub use callback::{NoPrice, Operation, Price, Question};
pub(crate) use quote::QuoteKey;
pub use quote::WeakSecret;
pub(crate) use service::{question_json, read_answer};

use crate::domain::ids::OutTradeNo;
use crate::domain::json::{Json, Shape};

/// Who may ask for payments, and who names their price.
#[derive(Clone)]
pub struct Pricing(Authority);

/// Whose word on the price counts.
#[derive(Clone)]
pub(crate) enum Authority {
    /// The caller's, if it may ask: its whole body is believed.
    Caller(Access),
    /// The shop's, in a quote that it signed.
    Quote(QuoteKey),
    /// The shop's, which is asked.
    Callback(Ask),
}

impl Pricing {
    /// The fewest characters of a caller's token.
    pub const TOKEN_CHARS_MIN: usize = 32;
    /// The fewest bytes of the secret that quotes are signed with: as many as SHA-256 has
    /// (RFC 7518 section 3.2).
    pub const QUOTE_SECRET_BYTES_MIN: usize = 32;

    /// Every request carries `Authorization: Bearer <token>`, from whatever address: it comes from
    /// the shop's own backend, and its whole body is believed.
    ///
    /// # Errors
    ///
    /// [`WeakToken`] for a token under [`Pricing::TOKEN_CHARS_MIN`] characters.
    pub fn caller_token(token: impl Into<String>) -> Result<Pricing, WeakToken> {
        Access::token(token.into()).map(|access| Pricing(Authority::Caller(access)))
    }

    /// Every request brings its price as `quote`, beside `provider`: a JWT (RFC 7519) that the
    /// shop signed with `secret` by HS256, whose claims are the fields of `data` and `exp`.
    /// `out_trade_no`, `total_fee`, `subject` and `type` must be among them. The buyer can read a
    /// quote: it must not hold `app_auth_token`.
    ///
    /// # Errors
    ///
    /// [`WeakSecret`] for a secret under [`Pricing::QUOTE_SECRET_BYTES_MIN`] bytes.
    pub fn quote(secret: impl AsRef<[u8]>) -> Result<Pricing, WeakSecret> {
        QuoteKey::new(secret.as_ref()).map(|key| Pricing(Authority::Quote(key)))
    }

    /// `ask` is asked on every `createPayment`, repeats included, with what the client sent and
    /// who it says it is. It answers with the priced fields of `data`, among them `out_trade_no`,
    /// `total_fee`, `subject` and `type`; or refuses; or fails, and then nothing is sent to a
    /// provider. It should end by itself within seconds: the client waits for it.
    ///
    /// It is asked on `queryPayment`, too, whether this client may ask for this order
    /// ([`Operation::QueryPayment`]); its yes holds for a minute for the same credentials.
    pub fn callback<F, A>(ask: F) -> Pricing
    where
        F: Fn(Question) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Price, NoPrice>> + Send + 'static,
    {
        Pricing(Authority::Callback(Ask::new(ask)))
    }

    /// Whoever reaches this layer may name any price: right only where the app has authorised the
    /// request, and compared its amount, before.
    #[must_use]
    pub fn danger_trust_every_caller() -> Pricing {
        Pricing(Authority::Caller(Access::Everyone))
    }

    /// Everybody on this machine: mock mode, where no money moves.
    pub(crate) fn loopback() -> Pricing {
        Pricing(Authority::Caller(Access::Loopback))
    }

    /// Whose word on the price counts.
    pub(crate) fn authority(&self) -> &Authority {
        &self.0
    }

    /// Whether the caller is the shop's backend, whose word on the buyer's address counts.
    pub(crate) fn believes_context(&self) -> bool {
        matches!(self.0, Authority::Caller(Access::Token(_)))
    }

    /// Whether a page's own credentials say who is asking.
    pub(crate) fn takes_credentials(&self) -> bool {
        matches!(self.0, Authority::Callback(_))
    }
}

impl fmt::Debug for Pricing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Authority::Caller(Access::Token(_)) => "Pricing(caller token)",
            Authority::Caller(Access::Loopback) => "Pricing(loopback)",
            Authority::Caller(Access::Everyone) => "Pricing(every caller)",
            Authority::Quote(_) => "Pricing(quote)",
            Authority::Callback(_) => "Pricing(callback)",
        })
    }
}

/// Why priced fields are not the price of an order.
enum Gap {
    /// A field without which there is no order.
    Lacks(&'static str),
    /// They price another order.
    OtherOrder,
}

/// Whether `price`, an object, is the whole price of the order `number`.
fn check_whole(price: Json<'_>, number: &OutTradeNo) -> Result<(), Gap> {
    for name in ["out_trade_no", "total_fee", "subject", "type"] {
        let there = price.member(name).is_some_and(|it| !matches!(it.shape(), Shape::Null));
        if !there {
            return Err(Gap::Lacks(name));
        }
    }
    match price.member("out_trade_no").map(Json::shape) {
        Some(Shape::String(text)) if text == number.as_str() => Ok(()),
        _ => Err(Gap::OtherOrder),
    }
}

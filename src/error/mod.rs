//! The errors of payment operations.
//!
//! An [`Error`] has a kind to branch on, which also implies whose fault it is, and the state of the
//! money ([`Error::money`]). Only the `reply` module gives it an HTTP status.
//!
//! ```
//! use paygate::error::{Error, Kind};
//!
//! let error = Error::new(Kind::NoSuchOrder);
//! assert_eq!(error.to_string(), "there is no such order (code 2001)");
//! assert_eq!((error.kind(), error.code()), (Kind::NoSuchOrder, 2001));
//! ```

mod startup;
mod texts;

use std::fmt;

pub(crate) use self::startup::debug_like_display;

/// vk-uni-pay's numbers, and paygate's from 4000 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Code {
    /// `data.out_trade_no` is missing or invalid.
    OutTradeNo = 1001,
    /// `data.type`.
    Type = 1002,
    /// `data.total_fee`.
    TotalFee = 1003,
    /// `data.subject`.
    Subject = 1004,
    /// `provider`.
    Provider = 1005,
    /// `data.openid`.
    Openid = 1006,
    /// Any other field, or the body as a whole.
    Body = 4000,
    /// A key of `data.custom` that is taken.
    CustomKey = 4001,
    /// A key of `data.other` that paygate computes.
    OtherKey = 4002,
    /// `data.pid` names no configured merchant.
    Pid = 4003,
    /// This pay type is not possible here.
    PayType = 4004,
    /// The same number with other parameters.
    Different = 4102,
}

impl Code {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// The kind of an error.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no such path, and no upstream.
    NotFound,
    /// The request line or a header is invalid, or `Host` is missing or doubled.
    BadRequest,
    /// Not POST.
    MethodNotAllowed,
    /// Not `application/json`, or any `Content-Encoding`.
    UnsupportedMediaType,
    /// More bytes than `PAYGATE_BODY_MAX`.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// Not JSON, not UTF-8, too deep, or a key twice.
    BodyUnreadable,
    /// Fields break their rules; [`Error::violations`] lists them, the first one gives the code.
    Invalid,
    /// The caller is not authorised, or its quote is invalid.
    CallerNotAllowed,
    /// The shop's callback refused; [`Error::shop_refusal`] is its answer.
    ShopRefused,
    /// This pay type is not possible here.
    PayTypeNotPossible,
    /// This pay type needs the buyer's public address, which is unknown or private.
    BuyerAddressUnknown,
    /// The order was paid.
    AlreadyPaid,
    /// The same number with other parameters; the violations name the fields.
    Different,
    /// Not now: another request works on the order, the provider allows no close yet, the buyer is
    /// paying, or no time is left. Nothing was changed; repeat later.
    Busy,
    /// The request has another payment method, which the order does not switch to.
    SwitchRejected,
    /// The order was closed.
    Closed,
    /// The provider refused the request.
    ProviderRefused,
    /// paygate sent nothing to the provider; it is safe to repeat.
    NotSent,
    /// The provider's outcome is unknown; repeat with the same number.
    OutcomeUnknown,
    /// There is no such order, or it is another caller's: the answer is the same.
    NoSuchOrder,
    /// The order is not paid.
    NotPaid,
    /// There is no such refund.
    NotRefunded,
    /// Another request holds the order: paygate recorded nothing and will send nothing.
    TooSoon,
    /// The refund exceeds the part of the payment that is not refunded.
    RefundExceeds,
    /// A notification that cannot be verified as the provider's.
    Unverifiable,
    /// A verified payment that does not match its order: recorded, and not acknowledged.
    Mismatched,
}

/// The state of the money after an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyState {
    /// This request moved no money.
    Untouched,
    /// The provider may have acted.
    Unknown,
}

/// A text for the client in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Chinese, as vk-uni-pay answers.
    pub zh: String,
    /// English, where `Accept-Language` prefers it.
    pub en: String,
}

impl Text {
    /// A text in both languages.
    #[must_use]
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Text {
        Text { zh: zh.into(), en: en.into() }
    }
}

/// A field that breaks a rule. It never holds the field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The vk-uni-pay or paygate number of this violation.
    pub code: Code,
    /// A JSON pointer to the field, or to the place of a missing one.
    pub path: String,
    /// The broken rule's name, by the schema's keyword if it has one (`minimum`, `required`).
    pub rule: &'static str,
    /// The text of the rule.
    pub message: Text,
}

/// The shop's refusal, which is the client's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopRefusal {
    /// The HTTP status: 400 to 499.
    pub status: u16,
    /// The shop's code.
    pub code: i64,
    /// The shop's message, in the shop's language.
    pub msg: String,
}

/// A failed payment operation.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    text: Option<Box<Text>>,
    violations: Vec<Violation>,
    provider: Option<Box<(String, String)>>,
    shop: Option<Box<ShopRefusal>>,
    status: Option<i8>,
    retry_after_s: Option<u32>,
}

impl Error {
    /// An error of `kind` with the kind's default text.
    #[must_use]
    pub fn new(kind: Kind) -> Error {
        Error {
            kind,
            text: None,
            violations: Vec::new(),
            provider: None,
            shop: None,
            status: None,
            retry_after_s: None,
        }
    }

    /// An error of fields that break their rules. The first violation decides the code.
    #[must_use]
    pub fn invalid(violations: Vec<Violation>) -> Error {
        Error { violations, ..Error::new(Kind::Invalid) }
    }

    /// An error with the shop's refusal, which is the client's answer.
    #[must_use]
    pub fn shop_refused(refusal: ShopRefusal) -> Error {
        Error { shop: Some(Box::new(refusal)), ..Error::new(Kind::ShopRefused) }
    }

    /// The same error with another kind, and that kind's default text.
    #[must_use]
    pub fn into_kind(self, kind: Kind) -> Error {
        Error { kind, text: None, ..self }
    }

    /// Replaces the kind's default text.
    #[must_use]
    pub fn text(self, text: Text) -> Error {
        Error { text: Some(Box::new(text)), ..self }
    }

    /// With a list of the fields concerned.
    #[must_use]
    pub fn violations_of(self, violations: Vec<Violation>) -> Error {
        Error { violations, ..self }
    }

    /// With the provider's own code and message.
    #[must_use]
    pub fn provider_error(self, code: &str, message: &str) -> Error {
        Error { provider: Some(Box::new((code.to_owned(), message.to_owned()))), ..self }
    }

    /// With vk-uni-pay's status number of the order.
    #[must_use]
    pub fn order_status(self, status: i8) -> Error {
        Error { status: Some(status), ..self }
    }

    /// With the seconds after which the client may repeat the request.
    #[must_use]
    pub fn retry_after_s(self, seconds: u32) -> Error {
        Error { retry_after_s: Some(seconds), ..self }
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The state of the money.
    #[must_use]
    pub fn money(&self) -> MoneyState {
        match self.kind {
            Kind::OutcomeUnknown => MoneyState::Unknown,
            _ => MoneyState::Untouched,
        }
    }

    /// The code on the wire: the shop's, the first violation's, or the kind's.
    #[must_use]
    pub fn code(&self) -> i64 {
        match (&self.shop, self.first_invalid()) {
            (Some(shop), _) => shop.code,
            (None, Some(violation)) => violation.code.number().into(),
            (None, None) => self.kind.number().into(),
        }
    }

    /// The text for the client, in Chinese and in English. The shop's own is in its language.
    #[must_use]
    pub fn texts(&self) -> (&str, &str) {
        if let Some(shop) = &self.shop {
            return (&shop.msg, &shop.msg);
        }
        let own = self.text.as_deref().or(self.first_invalid().map(|violation| &violation.message));
        own.map_or_else(|| self.kind.texts(), |text| (&text.zh, &text.en))
    }

    fn first_invalid(&self) -> Option<&Violation> {
        self.violations.first().filter(|_| self.kind == Kind::Invalid)
    }

    /// The fields concerned.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The provider's own code and message.
    #[must_use]
    pub fn provider(&self) -> Option<(&str, &str)> {
        self.provider.as_deref().map(|(code, message)| (code.as_str(), message.as_str()))
    }

    /// The shop's own answer.
    #[must_use]
    pub fn shop_refusal(&self) -> Option<&ShopRefusal> {
        self.shop.as_deref()
    }

    /// vk-uni-pay's status number of the order.
    #[must_use]
    pub fn status(&self) -> Option<i8> {
        self.status
    }

    /// The seconds after which the client may repeat the request.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after_s
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {}", self.texts().1, self.code())?;
        match self.provider() {
            Some((code, message)) => write!(f, ", the provider's {code}: {message})"),
            None => f.write_str(")"),
        }
    }
}

impl std::error::Error for Error {}

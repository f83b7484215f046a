//! Every way a payment operation can fail.
//!
//! An [`Error`] says its kind (to branch on), whose fault it is (the kind tells), and what is
//! known about the money ([`Error::money`]). `reply.rs` alone turns it into a status and a text.

use std::fmt;

/// vk-uni-pay's numbers, and paygate's from 4000 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Code {
    /// `data.out_trade_no` is missing or ill formed.
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
    /// A key of `data.other` that is paygate's.
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

/// What went wrong.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No such path (and no upstream).
    NotFound,
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
    /// The caller may not ask.
    CallerNotAllowed,
    /// The shop was asked for the price and refused; [`Error::shop_refusal`] is its answer.
    ShopRefused,
    /// This pay type is not possible here.
    PayTypeNotPossible,
    /// The order was paid.
    AlreadyPaid,
    /// The same number with other parameters; the violations name the fields.
    Different,
    /// Busy; the same request later.
    Busy,
    /// Another way to pay was asked for and is not opened.
    SwitchRejected,
    /// The order was closed.
    Closed,
    /// The provider refused.
    ProviderRefused,
    /// Nothing was sent; safe to repeat.
    NotSent,
    /// The outcome is unknown; repeat with the same number.
    OutcomeUnknown,
    /// No such order, or none of the caller's: the same for both.
    NoSuchOrder,
    /// The order is not paid.
    NotPaid,
    /// There is no such refund.
    NotRefunded,
    /// The order is busy: nothing was recorded, nothing will be sent.
    TooSoon,
    /// More is to go back than is left.
    RefundExceeds,
    /// A notification that is not verifiably the provider's.
    Unverifiable,
    /// A genuine payment that does not fit its order: recorded, and not acknowledged.
    Mismatched,
}

/// What is known about the money when an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Money {
    /// This request moved nothing.
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

/// One field that breaks a rule. Never holds the field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The vk-uni-pay or paygate number of this violation.
    pub code: Code,
    /// A JSON pointer to the field; for a missing one, to where it should stand.
    pub path: String,
    /// The broken rule's name, as the schema calls it where one says it (`minimum`, `required`).
    pub rule: &'static str,
    /// The rule in words.
    pub message: Text,
}

/// The shop's own answer to a client that it sets no price for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopRefusal {
    /// The HTTP status: 400 to 499.
    pub status: u16,
    /// The shop's number.
    pub code: i64,
    /// The shop's words, whatever language the client prefers.
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
    /// An error of `kind`, told in the kind's own words.
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

    /// The fields that break their rules. The contract's table order decides the code.
    #[must_use]
    pub fn invalid(violations: Vec<Violation>) -> Error {
        Error { violations, ..Error::new(Kind::Invalid) }
    }

    /// The shop refused to set a price, and this is what the client is told.
    #[must_use]
    pub fn shop_refused(refusal: ShopRefusal) -> Error {
        Error { shop: Some(Box::new(refusal)), ..Error::new(Kind::ShopRefused) }
    }

    /// The same of another kind, with that kind's own words.
    #[must_use]
    pub fn into_kind(self, kind: Kind) -> Error {
        Error { kind, text: None, ..self }
    }

    /// With other words than the kind's own.
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
    pub fn provider_said(self, code: &str, message: &str) -> Error {
        let said = (code.to_owned(), message.to_owned());
        Error { provider: Some(Box::new(said)), ..self }
    }

    /// With vk-uni-pay's status number of the order.
    #[must_use]
    pub fn order_status(self, status: i8) -> Error {
        Error { status: Some(status), ..self }
    }

    /// With the seconds after which repeating makes sense.
    #[must_use]
    pub fn retry_after_s(self, seconds: u32) -> Error {
        Error { retry_after_s: Some(seconds), ..self }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is known about the money.
    #[must_use]
    pub fn money(&self) -> Money {
        match self.kind {
            Kind::OutcomeUnknown => Money::Unknown,
            _ => Money::Untouched,
        }
    }

    /// Words that replace the kind's own.
    #[must_use]
    pub fn own_text(&self) -> Option<&Text> {
        self.text.as_deref()
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

    /// The seconds after which repeating makes sense.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after_s
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        match &self.text {
            Some(text) => write!(f, ": {}", text.en),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

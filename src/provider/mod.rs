//! Payment providers: what the engine asks of them, and how they answer.
//!
//! A provider is split into pure codecs (bytes in, bytes out) and one [`Transport`]. The engine
//! knows only [`Provider`]; every call carries a [`Call`], which has the transport, the clock and
//! the time that is left.

#[cfg(feature = "alipay")]
pub mod alipay;
pub mod keys;
pub mod refund;
pub mod transport;
#[cfg(feature = "wxpay")]
pub mod wxpay;
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(crate) mod clock_skew;
pub mod notification;

use std::fmt::Debug;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::domain::order::refund::RefundStatus;
pub use notification::{Notification, NotificationError, RefundFee, RefundNotification};
pub use refund::RefundCall;

use crate::clock::Clock;
use crate::domain::channel::{AlipayChoice, PayType, PaymentMethod, Product, ProviderId};
use crate::domain::ids::{ChannelNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::attempt::{Account, ApiVersion, Attempt, Material, Params};
use crate::domain::request::OrderTerms;
use crate::domain::time::Millis;
use crate::error::Text;

/// A boxed future, as the traits of the rim return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One merchant at one provider.
pub trait Provider: Send + Sync + Debug {
    /// Which provider this is.
    fn id(&self) -> ProviderId;

    /// The pay types this merchant is configured for.
    fn pay_types(&self) -> Vec<PayType>;

    /// Which of Alipay's products this merchant chose; the default for WeChat Pay.
    fn alipay_choice(&self) -> AlipayChoice {
        AlipayChoice::default()
    }

    /// The app that pays for `pay_type`: `sub_appid` where the order names one, else the
    /// configured one. `None` when the pay type is not configured.
    fn app_id(&self, pay_type: PayType, terms: &OrderTerms) -> Option<String>;

    /// The version of the provider's API that this merchant speaks. A notification to it is
    /// believed only of attempts that were opened with it.
    fn version(&self) -> ApiVersion;

    /// Who is paid when an attempt opens by `pay_type`. `None` when the pay type is not configured.
    fn account(&self, pay_type: PayType, terms: &OrderTerms) -> Option<Account>;

    /// Whom `attempt` pays: as it was stored, or in older records as its parameters tell. `None`
    /// when they are not of this version.
    fn account_of(&self, attempt: &Attempt) -> Option<Account>;

    /// Whether this merchant is still configured with what calls about `account` need.
    fn holds(&self, account: &Account) -> bool;

    /// Lays down what will be sent for a new attempt. Pure: nothing is sent, nothing is drawn at
    /// random, no time is read.
    ///
    /// # Errors
    ///
    /// Words for the client when this order cannot be paid this way.
    fn plan(&self, plan: &AttemptRequest<'_>) -> Result<Params, Text>;

    /// Opens `attempt` at the provider with exactly its stored parameters.
    fn open<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Material, Failure>>;

    /// The client's payment parameters for `material`, as JSON text whose keys stand in the
    /// documented order; what carries a time is signed at `now` with `nonce`. Local: no call.
    ///
    /// # Errors
    ///
    /// Words for the operator when the attempt cannot be presented with the present
    /// configuration (its pay type was removed).
    fn present(&self, attempt: &Attempt, stamp: SigningContext<'_>) -> Result<String, String>;

    /// Asks the provider what became of `attempt`.
    fn query<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<TradeState, Failure>>;

    /// Closes `attempt` at the provider.
    fn close<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<CloseOutcome, Failure>>;

    /// Sends a refund under its number. The same number again is the same refund, executed once.
    ///
    /// [`Failure::NotSent`] also means that the provider did nothing yet and asks for the same
    /// refund later; [`Failure::Refused`] is final, and nothing went back under this number.
    fn refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        plan: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<RefundStatus, Failure>>;

    /// Asks what became of a refund. `None`: the provider knows of none under this number, or it
    /// failed there; it may be sent again, under the same number only. Never
    /// [`Failure::Refused`]: a refused question says nothing about the refund.
    fn query_refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        plan: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Option<RefundStatus>, Failure>>;

    /// Reads a notification: `headers` and the body's raw bytes, whatever pay type's address it
    /// came to. Nothing of it is believed before its signature was verified.
    ///
    /// No call is made, except in WeChat Pay's certificate mode to learn a serial number that is
    /// unknown and plausible: at most once a minute, however many notifications name one.
    ///
    /// # Errors
    ///
    /// [`NotificationError::Forged`] and [`NotificationError::Unreadable`]; neither is to be acknowledged.
    fn notified<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Notification, NotificationError>>;

    /// Whether the `message` of a payment or refund that [`Provider::notified`] read names the
    /// number, the app and the merchants that `attempt` was opened with.
    fn is_of(&self, attempt: &Attempt, message: &Value) -> bool;

    /// What an attempt of a payment holds that none was opened for here: by the verified message
    /// of `trade`, which was paid under `channel_no`. Such an attempt can be asked about, closed
    /// and refunded, and never opened. Pure.
    ///
    /// `None` when the message is about another number, or no call about the payment can be made:
    /// it is not in an account of this merchant's, or it is one of a merchant whose
    /// `app_auth_token` only the shop has.
    fn adopt(
        &self,
        channel_no: &ChannelNo,
        trade: &PaidTrade,
        notify_url: &str,
    ) -> Option<AdoptedAttempt>;
}

/// What an attempt of a payment holds that none was opened for here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedAttempt {
    /// How the buyer paid, as far as the message and the configuration tell.
    pub method: PaymentMethod,
    /// What calls about it read, in place of what was sent.
    pub params: Params,
    /// Whom the buyer paid.
    pub account: Account,
}

/// What an attempt is made from.
#[derive(Clone, Copy, Debug)]
pub struct AttemptRequest<'a> {
    /// What is bought.
    pub terms: &'a OrderTerms,
    /// vk-uni-pay's pay type.
    pub pay_type: PayType,
    /// The provider's product.
    pub product: Product,
    /// The number the provider will know it by.
    pub channel_no: &'a ChannelNo,
    /// The buyer, where the product names one.
    pub openid: Option<&'a str>,
    /// The buyer's address, if known.
    pub client_ip: Option<IpAddr>,
    /// The `User-Agent`: WeChat Pay H5 wants the phone's system.
    pub user_agent: &'a str,
    /// The attempt's absolute expiry.
    pub expires_at: Millis,
    /// Where the provider reports the payment.
    pub notify_url: &'a str,
    /// Where Alipay's pages lead back to.
    pub return_url: Option<&'a str>,
}

/// When and with what nonce client parameters are signed.
#[derive(Clone, Copy, Debug)]
pub struct SigningContext<'a> {
    /// What the buyer pays with.
    pub material: &'a Material,
    /// The time that is signed.
    pub now: Millis,
    /// The nonce that is signed.
    pub nonce: &'a str,
}

/// What one provider call may use.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The wire.
    pub transport: &'a dyn Transport,
    /// The time of day: signatures carry it, and replies are compared with it.
    pub clock: &'a dyn Clock,
    /// The longest this call may take, in wall time.
    pub timeout: Duration,
}

/// Sends one HTTP request and returns the whole response.
///
/// It alone knows whether a failed request can have reached the provider.
pub trait Transport: Send + Sync + Debug {
    /// Sends `request` within `timeout`. The response's body is at most 1 MiB.
    fn send<'a>(
        &'a self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<http::Response<Bytes>, TransportFailure>>;
}

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportFailure {
    /// No byte of it left: no connection, no TLS.
    NotSent(String),
    /// It may have arrived.
    OutcomeUnknown(String),
}

/// Why a provider call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The provider refused, and its signature (or its nature, for a query) makes that final.
    Refused {
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// The provider did not take an order because it has a trade under its number: paid, closed,
    /// or with other parameters. Ask.
    NumberInUse {
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// The provider got too many calls and did not execute this one. Nobody signs that, so that
    /// an attempt whose call was throttled is still asked about before it is sent again. Of
    /// refunds this is [`Failure::NotSent`].
    Throttled {
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// Nothing was sent, or nothing was done yet (a refund); safe to repeat.
    NotSent(String),
    /// The provider may have acted: ask first. Holds the provider's unsigned code and message,
    /// where it gave some.
    OutcomeUnknown {
        /// What happened, for the operator.
        reason: String,
        /// What an unsigned answer said, for the client.
        said: Option<(String, String)>,
    },
}

impl From<TransportFailure> for Failure {
    fn from(failure: TransportFailure) -> Failure {
        match failure {
            TransportFailure::NotSent(reason) => Failure::NotSent(reason),
            TransportFailure::OutcomeUnknown(reason) => {
                Failure::OutcomeUnknown { reason, said: None }
            }
        }
    }
}

/// What a provider knows of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TradeState {
    /// The provider has no trade under this number. For Alipay's QR, app, wap and page products
    /// that is so until the buyer acts: it may still be paid.
    NotFound {
        /// The provider's own time: the `Date` of the answer that says so, which nobody signs.
        date: Option<Millis>,
    },
    /// Not paid.
    Unpaid {
        /// The provider's own word for it (`NOTPAY`, `WAIT_BUYER_PAY`).
        trade_state: String,
    },
    /// Closed, and never paid.
    Closed,
    /// Paid (and perhaps refunded since).
    Paid(PaidTrade),
}

/// A payment as the provider tells it. The merchant was compared by the codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidTrade {
    /// The provider's number.
    pub transaction_id: TransactionId,
    /// The order's amount at the provider, in fen.
    pub total_fee: Fen,
    /// Whether app, merchants and currency are the attempt's; of a notification, whether the
    /// currency is CNY: [`Provider::is_of`] tells the rest. Where the currency is another one,
    /// `total_fee` counts its smallest units.
    pub matches_order: bool,
    /// Whether something of it went back since.
    pub refunded: bool,
    /// When it was paid, if told.
    pub paid_at: Option<Millis>,
    /// The payer, if told.
    pub openid: Option<String>,
    /// The verified message.
    pub message: Arc<Value>,
}

/// How a close ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseOutcome {
    /// It can no longer be paid.
    Closed,
    /// The provider has no such trade, so there is nothing to close (Alipay: it stays payable
    /// until its expiry).
    NotFound,
    /// It was paid: ask.
    Paid,
    /// Too early, or the buyer is paying.
    TooEarly,
}

/// A text of the wire's that is fit for a log and a client.
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(crate) fn tidied(text: &str, chars_max: usize) -> String {
    text.chars().filter(|it| !it.is_control()).take(chars_max).collect()
}

/// The most characters of a provider's code that are repeated.
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(crate) const CODE_CHARS_MAX: usize = 64;

/// The most characters of a provider's message that are repeated.
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(crate) const MESSAGE_CHARS_MAX: usize = 256;

//! Payment providers: the calls that the engine makes, and the provider's answers.
//!
//! A provider consists of pure codecs (bytes in, bytes out) and one [`Transport`]. The engine knows
//! only [`Provider`]; every call carries a [`Call`], which has the transport, the clock and the
//! time that is left. Facts that hold for every merchant of a provider stand in the tables of
//! [`ProviderId`], [`ApiVersion`] and [`Product`].

#[cfg(feature = "alipay")]
pub mod alipay;
pub(crate) mod call;
pub(crate) mod certificate;
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(crate) mod clock_skew;
pub(crate) mod key_form;
pub(crate) mod keys;
pub(crate) mod merchant_error;
pub(crate) mod mock_keys;
pub(crate) mod notification;
pub(crate) mod outcome;
pub(crate) mod refund;
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(crate) mod text;
pub(crate) mod transport;
#[cfg(feature = "wxpay")]
pub mod wxpay;

use std::fmt::Debug;
use std::net::IpAddr;

use http::HeaderMap;
use serde_json::Value;

pub use call::{BoxFuture, Call, Transport, TransportFailure};
pub use key_form::{KeyError, RSA_BITS_MIN};
pub use keys::{SigningKey, VerifyingKey};
pub use merchant_error::MerchantError;
pub use notification::{Notification, NotificationError, RefundFee, RefundNotification};
pub use outcome::{CloseOutcome, Failure, PaidTrade, TradeState};
pub use refund::RefundCall;
pub use transport::{BODY_BYTES_MAX, Http, USER_AGENT};

use crate::domain::caller::CallerContext;
use crate::domain::channel::{ApiVersion, PayType, ProviderId};
use crate::domain::ids::ChannelNo;
use crate::domain::order::attempt::{Account, Attempt, Material, Params};
use crate::domain::order::refund::RefundStatus;
use crate::domain::product::{PaymentMethod, Product};
use crate::domain::request::OrderTerms;
use crate::domain::time::Millis;
use crate::error::Text;

/// One merchant at one provider.
pub trait Provider: Send + Sync + Debug {
    /// Which provider this is.
    fn id(&self) -> ProviderId;

    /// The pay types this merchant is configured for.
    fn pay_types(&self) -> Vec<PayType>;

    /// The pay type and product that pay on the caller's platform, configured or not: the QR code
    /// where the caller asks for one (`qrcode`). `None` where this provider cannot be paid.
    fn select(&self, caller: &CallerContext, qrcode: bool) -> Option<(PayType, Product)>;

    /// For the client that left out the `openid` that its product needs.
    fn missing_openid(&self) -> Text;

    /// The app that pays for `pay_type`: `sub_appid` where the order names one, else the
    /// configured one. `None` when the pay type is not configured.
    fn app_id(&self, pay_type: PayType, terms: &OrderTerms) -> Option<String>;

    /// The version of the provider's API that this merchant uses. The engine applies a notification
    /// to it only to attempts that were opened with the same version.
    fn version(&self) -> ApiVersion;

    /// The account that an attempt by `pay_type` pays. `None` when the pay type is not configured.
    fn account(&self, pay_type: PayType, terms: &OrderTerms) -> Option<Account>;

    /// The account that `attempt` pays: the stored one, or in older records the one in its
    /// parameters. `None` when the parameters are not of this version.
    fn account_of(&self, attempt: &Attempt) -> Option<Account>;

    /// Whether this merchant has the keys of the simulated providers, which only an engine with
    /// [`simulated`](crate::engine::Builder::simulated) takes. `None`, the default, for a provider
    /// whose keys paygate does not know.
    fn has_mock_keys(&self) -> Option<bool> {
        None
    }

    /// Whether this merchant is still configured with the keys and apps that calls about `account`
    /// need.
    fn has_account(&self, account: &Account) -> bool;

    /// The parameters of a new attempt, which the engine stores before it sends them. Pure: sends
    /// nothing, draws nothing at random, reads no time.
    ///
    /// # Errors
    ///
    /// A text for the client when this order cannot be paid this way.
    fn plan(&self, request: &AttemptRequest<'_>) -> Result<Params, Text>;

    /// Opens `attempt` at the provider with exactly its stored parameters.
    fn open<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Material, Failure>>;

    /// The client's payment parameters for the context's material, as JSON text whose keys stand in
    /// the documented order, signed with the context's time and nonce where they carry a time.
    /// Local: makes no call.
    ///
    /// # Errors
    ///
    /// A text for the operator when today's configuration cannot sign for the attempt (its pay type
    /// was removed).
    fn present(&self, attempt: &Attempt, context: SigningContext<'_>) -> Result<String, String>;

    /// Queries `attempt` at the provider.
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

    /// Sends a refund under its number. The provider executes a number once, however often it is
    /// sent.
    ///
    /// [`Failure::NotSent`] also means that the provider did nothing yet and asks for the same
    /// refund later; [`Failure::Refused`] is final: the provider refunds nothing under this number.
    fn refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        refund_call: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<RefundStatus, Failure>>;

    /// Queries a refund. `None`: the provider has none under this number, or failed to execute it;
    /// the engine may send it again, under the same number only. Never [`Failure::Refused`]: a
    /// refused query states nothing about the refund.
    fn query_refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        refund_call: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Option<RefundStatus>, Failure>>;

    /// Verifies a notification's signature and parses it: its `headers` and the body's raw bytes,
    /// whatever pay type's address it was sent to.
    ///
    /// Makes no call, except in WeChat Pay's certificate mode to download the certificate of an
    /// unknown serial number: at most once a minute, however many notifications name one.
    ///
    /// # Errors
    ///
    /// [`NotificationError::Forged`] and [`NotificationError::Unreadable`]; the engine must
    /// acknowledge neither.
    fn read_notification<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Notification, NotificationError>>;

    /// Whether the verified `message` of a payment or refund names the number, the app and the
    /// merchants that `attempt` was opened with.
    fn matches_attempt(&self, attempt: &Attempt, message: &Value) -> bool;

    /// Makes an attempt of a payment that none of our attempts made: from the verified message of
    /// `trade`, which was paid under `channel_no`. The engine can query, close and refund such an
    /// attempt, and never opens it. Pure.
    ///
    /// `None` when the message is about another number, or no call about the payment is possible:
    /// it is not in an account of this merchant's, or it is in one of another merchant whose
    /// `app_auth_token` only the shop has.
    fn adopt(
        &self,
        channel_no: &ChannelNo,
        trade: &PaidTrade,
        notify_url: &str,
    ) -> Option<AdoptedAttempt>;
}

/// The parts of an attempt that [`Provider::adopt`] makes of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedAttempt {
    /// How the buyer paid, as far as the message and the configuration show.
    pub method: PaymentMethod,
    /// The parameters that calls about it read: nothing was sent.
    pub params: Params,
    /// The account that the buyer paid.
    pub account: Account,
}

/// The request that a new attempt's parameters are made from.
#[derive(Clone, Copy, Debug)]
pub struct AttemptRequest<'a> {
    /// The order's terms.
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
    /// The buyer's `User-Agent`: WeChat Pay H5 requires the phone's system.
    pub user_agent: &'a str,
    /// The attempt's absolute expiry.
    pub expires_at: Millis,
    /// The URL of the payment's notification.
    pub notify_url: &'a str,
    /// The page that Alipay's pages return the buyer to.
    pub return_url: Option<&'a str>,
}

/// The material, the time and the nonce that client parameters are signed with.
#[derive(Clone, Copy, Debug)]
pub struct SigningContext<'a> {
    /// The material that the provider returned for the attempt.
    pub material: &'a Material,
    /// The time that is signed.
    pub now: Millis,
    /// The nonce that is signed.
    pub nonce: &'a str,
}

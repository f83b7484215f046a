//! The rules of orders: terms, attempts, payments, refunds, and the events that follow.
//!
//! **Architecture invariant:** nothing here performs IO, awaits, reads a clock or draws a random
//! number; time is an argument. So each decision can be tested as a table.
#![deny(
    clippy::float_arithmetic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm
)]

pub(crate) mod address;
pub(crate) mod caller;
pub(crate) mod channel;
pub(crate) mod charset;
pub(crate) mod event;
pub(crate) mod ids;
pub(crate) mod json;
pub(crate) mod money;
pub(crate) mod nearest;
pub(crate) mod notify_url;
pub(crate) mod order;
pub(crate) mod parse_error;
pub(crate) mod platform;
pub(crate) mod product;
pub(crate) mod request;
pub(crate) mod time;
pub(crate) mod unmatched;
mod variant_names;

pub use caller::{Browser, CallerContext, ClientClaims};
pub use channel::{ApiVersion, NotificationReply, NumberScope, PayType, ProviderId};
pub use event::{DeliveryState, Effect, EventId, EventType, OutboxEvent};
pub use ids::{ChannelNo, OrderNumber, OutTradeNo, Pid, TransactionId};
pub use json::RawJson;
pub use money::Fen;
pub use notify_url::MountPath;
pub use order::admission::{Admission, judge};
pub use order::attempt::{Account, Attempt, AttemptState, Material, Params, valid_until};
pub use order::next_attempt::NextAttempt;
pub use order::open_outcome::{AfterOpen, OpenOutcome, SentBefore, after_open};
pub use order::payment::{Payment, PaymentRole};
pub use order::record::{RECORD_VERSION, RecordError, decode_record, encode_record};
pub use order::refund::{
    ExternalRefund, Refund, RefundRequest, RefundState, RefundStatus, RefundUpdate,
};
pub use order::unknown_members::UnknownMembers;
pub use order::{
    AutoRefundPolicy, Flags, Order, OrderClient, OrderStatus, Receipt, TradeUpdate, Transition,
};
pub use parse_error::ParseError;
pub use platform::Platform;
pub use product::{AlipayChoice, PaymentMethod, Product};
pub use request::{AppAuthToken, CreateRequest, Fingerprint, NeedQrcode, OrderTerms};
pub use time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, SECOND_MS};
pub use unmatched::UnmatchedPayment;

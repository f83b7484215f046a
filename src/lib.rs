//! vk-uni-pay's `createPayment` as Rust middleware: a tower layer for a hyper or axum app, and a
//! sidecar for services in any other language. One `out_trade_no` is paid once; where a provider
//! makes a second payment unpreventable, it is found and refunded.
//!
//! A client POSTs `{provider, data: {out_trade_no, total_fee, subject, type, …}}` to
//! `/pay/createPayment` and gets what it needs to pay by WeChat Pay or Alipay on its platform. The
//! same `out_trade_no` again gets the same answer, without a second order at the provider. When the
//! buyer has paid, the shop gets the event at least once, by a webhook or a handler.
//!
//! # Quick start
//!
//! ```no_run
//! # #[cfg(all(feature = "wxpay", feature = "sqlite"))]
//! # mod shop {
//! use std::fs::read_to_string;
//!
//! use paygate::wxpay::V3;
//! use paygate::{
//!     Engine, EventType, OrderEvent, PaymentLayer, Pricing, Sqlite, WxpayCredentials,
//!     WxpayMerchant,
//! };
//!
//! pub async fn start() -> Result<(Engine, PaymentLayer), Box<dyn std::error::Error>> {
//!     let merchant = WxpayMerchant::new(WxpayCredentials {
//!         mch_id: "1900000001",
//!         app_id: "wxd678efh567hg6787",
//!         private_key: &read_to_string("apiclient_key.pem")?,
//!         cert: &read_to_string("apiclient_cert.pem")?,
//!         api_v3_key: &read_to_string("api_v3_key.txt")?,
//!         ..WxpayCredentials::default()
//!     })?;
//!     let engine = Engine::builder()
//!         .store(Sqlite::open("paygate.db")?)
//!         .provider(V3::new(merchant)?)
//!         .public_url("https://shop.example.com".parse()?)
//!         // It comes again, with the same id, until this returns without an error.
//!         .on_any(EventType::PaymentSucceeded, |paid: OrderEvent| async move {
//!             println!("ship {}: {} fen", paid.out_trade_no(), paid.total_fee().fen());
//!         })
//!         .start()
//!         .await?;
//!     let pricing = Pricing::caller_token(read_to_string("caller_token.txt")?.trim())?;
//!     // let app = axum::Router::new().route("/", get(home)).layer(payments);
//!     let payments = PaymentLayer::new(engine.clone(), pricing);
//!     Ok((engine, payments))
//! }
//! # }
//! ```
//!
//! Or all of it from the environment, with the variables of the sidecar, and handlers in code:
//! [`Config::start_with`].
//!
//! A server that ends calls [`Engine::stop_waiting`] at the signal, and [`Engine::shutdown`] after
//! its last request. For the shop's operators there are [`Engine::query`], [`Engine::close`],
//! [`Engine::refund`], [`Engine::query_refund`], [`Engine::events`] and [`Engine::retry_event`].
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `sidecar` (default) | the program, and everything below |
//! | `wxpay`, `alipay` | the providers |
//! | `sqlite` | the store in one file |
//! | `mock` | simulated WeChat Pay and Alipay, with real signatures |
//!
//! A feature adds API; it never changes behaviour. A library wants
//! `default-features = false, features = ["wxpay", "alipay", "sqlite"]`.
//!
//! # The manual
//!
//! The [`manual`] describes every operation, the configuration, the runbook, and how paygate is
//! built.

mod assemble;
mod caller;
mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod error;
mod guard;
mod layer;
pub mod manual;
mod merchant;
#[cfg(feature = "mock")]
pub mod mock;
pub mod pricing;
pub mod provider;
mod reply;
mod secret;
#[cfg(feature = "sidecar")]
#[doc(hidden)]
pub mod sidecar;
pub mod store;
#[doc(hidden)]
pub mod testing;

pub use assemble::AssembleError;
pub use caller::{CallerContext, TrustedProxies, TrustedProxiesError, observe as observe_caller};
pub use clock::{Clock, SystemClock};
#[cfg(feature = "alipay")]
pub use config::AlipayCredentials;
#[cfg(feature = "wxpay")]
pub use config::WxpayCredentials;
pub use config::{Config, CredentialErrors};
pub use domain::{
    DeliveryState, EventId, EventType, Fen, OrderNumber, OrderStatus, OutTradeNo, PayType, Pid,
    ProviderId, RefundRequest, RefundState, TransactionId,
};
pub use engine::{Builder as EngineBuilder, Engine, OrderEvent, Queried, Query, StartError};
pub use error::{Error, Kind};
pub use guard::read_create;
pub use layer::{PaymentLayer, PaymentService, ResponseBody, ResponseFuture};
pub use merchant::webhook::{Webhook, WebhookUrlError};
pub use pricing::{Price, PriceOperation, PriceQuery, Pricing, PricingError};
#[cfg(feature = "alipay")]
pub use provider::alipay::{self, AlipayMerchant};
#[cfg(feature = "wxpay")]
pub use provider::wxpay::{self, WxpayMerchant};
pub use secret::Secret;
#[cfg(feature = "sqlite")]
pub use store::Sqlite;
pub use store::{Memory, StoreMode};

/// README's Rust is compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

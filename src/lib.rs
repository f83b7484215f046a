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
//! # #[cfg(all(feature = "mock", feature = "sqlite"))]
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! use paygate::domain::EventType;
//! use paygate::engine::OrderEvent;
//! use paygate::store::Sqlite;
//! use paygate::{Engine, PaymentLayer, Pricing};
//! use paygate::provider::wxpay;
//! # let merchant = wxpay::WxpayMerchant::default();
//! # let token = "0123456789abcdef0123456789abcdef";
//!
//! let engine = Engine::builder()
//!     .store(Sqlite::open("paygate.db")?)
//!     .provider(wxpay::V3::new(merchant)?)
//!     .public_url("https://shop.example.com".parse()?)
//!     // It comes again, with the same id, until this returns without an error.
//!     .on(EventType::PaymentSucceeded, "goods", |paid: OrderEvent| async move {
//!         println!("ship {}", paid.out_trade_no);
//!     })
//!     .start()
//!     .await?;
//! let payments = PaymentLayer::new(engine.clone(), Pricing::caller_token(token)?);
//! // let app = axum::Router::new().route("/", get(home)).layer(payments);
//! # let _ = payments;
//! engine.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Or all of it from the environment: `Config::from_env()?.start().await?`. For the shop's
//! operators there are [`Engine::query`], [`Engine::close`], [`Engine::refund`],
//! [`Engine::query_refund`], [`Engine::events`] and [`Engine::retry_event`].
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
pub use config::Config;
pub use engine::Engine;
pub use error::Error;
pub use guard::read_create;
pub use layer::{PaymentLayer, PaymentService, ResponseBody, ResponseFuture};
pub use merchant::webhook::{Webhook, WebhookUrlError};
pub use pricing::Pricing;
pub use secret::Secret;

/// README's Rust is compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

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
//! Or all of it from the environment, with the variables of the sidecar ([`Config`]):
//! `let (engine, payments) = Config::from_env()?.start().await?;`.
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
//! # The life of a payment
//!
//! 1. `guard` reads the path: it finds a payment operation, refuses a look-alike, and lets `layer`
//!    forward everything else.
//! 2. It refuses what is cheap to refuse: method, type, size, JSON, schema.
//! 3. [`pricing`] decides whether this caller may name a price, or fetches the shop's price.
//! 4. `caller` derives the caller's context: address, platform, PC or phone.
//! 5. [`engine`] finds the pay type and the merchant, then the order. [`domain::judge`] decides
//!    about a known order: conflict, paid, closed, a replay, or work to do.
//! 6. The [`store`] claims a new order with its first attempt, in one durable statement.
//! 7. The [`provider`] gets the attempt's stored parameters, and the outcome becomes durable. The
//!    engine queries an unknown outcome and never guesses it; before another payment method opens,
//!    it closes what was handed out.
//! 8. The engine signs the material for the client and keeps the answer for repeats; `reply`
//!    writes it.
//! 9. The provider notifies, or the engine queries it. [`domain::Order::apply`] decides what the
//!    payment is to its order (the one that pays it, a duplicate, late, a mismatch), and one commit
//!    stores the order together with the events for the shop. Then the provider is acknowledged.
//! 10. The engine's outbox sends each event until the shop accepts it, by a handler or the
//!     [`Webhook`].
//! 11. The engine stores a refund request before it sends it, and finishes it under its own number.
//!     It refunds duplicates and late payments without a request.
//! 12. In the background the engine's reconciler queries what no request queries: what a crash
//!     interrupted, what can be paid and should not be, what expired, and pending refunds.
//!
//! # Invariants
//!
//! 1. [`domain`] is pure: no `async`, clock, randomness, IO or floats. Time is an argument.
//! 2. Only [`config`] reads the environment, only `clock` the wall clock; only `reply` names the
//!    statuses of payment operations.
//! 3. An order is durable before a byte of it goes to a provider, and the outcome before the caller
//!    is answered.
//! 4. An order changes only through [`domain::Order::apply`] (and [`domain::Order::restored`], when
//!    its store was restored from a copy), and is committed by
//!    compare-and-set on its version, under the store's fence.
//! 5. No store transaction is open across a network call.
//! 6. After an unknown outcome the engine queries the provider before it sends anything again. It
//!    opens no new number for the same payment method, and repeats a refund only under the same
//!    number. Beside an attempt that was handed out and whose outcome is unknown it opens nothing
//!    anywhere; an attempt that was never handed out holds nothing back.
//! 7. The engine finishes and records a call that it sent even when the client leaves;
//!    [`Engine::shutdown`] awaits every task that it spawned.
//! 8. There is no unverified path: no null verifier, no skip flag. The mock signs for real.
//! 9. Nothing in the client's request decides which merchant is paid, where notifications go, or
//!    the client's own address.
//! 10. Secrets have no `Display` and no `Serialize`, and `Debug` prints `***`.
//! 11. Rows that guard a number are never deleted: providers never forget a number.
//!
//! # Where things are
//!
//! Every import points inward: `domain` imports itself; `guard`, `caller`, `pricing` and `reply`
//! import `domain`; `engine` knows `domain` and the traits of `provider` and `store`; `layer`
//! connects the engine with the edge; `merchant` is HTTP to the merchant's own services: the
//! pricing service and the webhook endpoint; `assemble` names every concrete type; `sidecar` is
//! the program; `mock` simulates the providers and knows neither engine nor store.
//!
//! | to find | look into |
//! | --- | --- |
//! | what may happen to an order | `domain/order/transition`, `domain/order/apply*` |
//! | whether a buyer may hold material | `domain/order/handed_out` |
//! | what a repeat gets | `domain/order/admission`, `engine/create` |
//! | what an opened attempt's outcome means | `domain/order/open_outcome` |
//! | the one place that changes orders | `engine/commit` |
//! | who may work on an order | `engine/order_lock`, `engine/locked` |
//! | calls to providers | `engine/providers`, `provider` |
//! | a provider's facts | `domain/channel`, `domain/product`, `provider/wxpay`, `provider/alipay` |
//! | records and migrations | `domain/order/record`, `store/sqlite/migrations` |

mod assemble;
mod caller;
mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod error;
mod guard;
mod layer;
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
pub use engine::{Engine, OrderEvent, Queried, Query, StartError};
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

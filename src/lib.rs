//! vk-uni-pay's `createPayment` as Rust middleware: a tower layer for a hyper or axum app, and a
//! sidecar for services in any other language. One `out_trade_no` is paid once; where a provider
//! makes a second payment unpreventable, it is found and refunded.
//!
//! A client POSTs `{provider, data: {out_trade_no, total_fee, subject, type, …}}` to
//! `/pay/createPayment` and gets what it needs to pay by WeChat Pay or Alipay on its platform. The
//! same `out_trade_no` again gets the same answer, without a second order at the provider. When the
//! buyer has paid, the shop is told at least once, by a webhook or a handler.
//!
//! # Quick start
//!
//! ```no_run
//! # #[cfg(all(feature = "mock", feature = "sqlite"))]
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! use paygate::domain::event::EventType;
//! use paygate::engine::OrderEvent;
//! use paygate::store::sqlite::Sqlite;
//! use paygate::{Engine, PaymentLayer, Pricing, provider::wxpay};
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
//! # The life of a payment
//!
//! 1. [`layer`] finds that the path is a payment operation; anything else goes on untouched.
//! 2. [`guard`] refuses what is cheap to refuse: method, type, size, JSON, schema.
//! 3. [`pricing`] asks whether this caller may name a price, or what price the shop sets.
//! 4. [`caller`] derives who is asking: address, platform, PC or phone.
//! 5. [`engine`] finds the pay type and the merchant, then the order. A known order is judged by
//!    [`domain::admission`]: other parameters, paid, closed, a replay, or work to do.
//! 6. A new order is claimed in the [`store`], with its first attempt, in one durable statement.
//! 7. [`provider`] sends the attempt's stored parameters; the outcome is made durable.
//!    An unknown outcome is asked about, never guessed; another way ends what was handed out.
//! 8. The material is signed for the client, remembered for repeats, and [`reply`] writes it.
//! 9. The provider notifies, or is asked: [`domain::order`] says what the payment is to its order
//!    (the one that pays it, a duplicate, late, a mismatch), and [`domain::outbox`] what the shop
//!    is told. Order and events are committed in one step, then the provider is acknowledged.
//! 10. The outbox tells the shop until it accepts, by a handler or a [`webhook`].
//! 11. Money goes back by [`domain::refund`]: the intent is durable first, and finished under its
//!     own number. Duplicates and late payments go back by themselves.
//! 12. In the background the reconciler asks about what nobody asks about any more: what a crash
//!     left, what can be paid and should not, what lapsed, what is on its way back.
//!
//! # Invariants
//!
//! 1. [`domain`] is pure: no `async`, clock, randomness, IO or floats. Time is an argument.
//! 2. Only [`config`] reads the environment, only [`clock`] the time; only [`reply`] names the
//!    statuses of payment operations.
//! 3. A row is durable before a byte goes to a provider, and the outcome before the caller is
//!    answered.
//! 4. An order changes only through [`domain::order::Order::apply`], and is committed by
//!    compare-and-set on its version, under the store's fence.
//! 5. No store transaction is open across a network call.
//! 6. After an unknown outcome nothing is created again at that provider before it was asked, never
//!    under a new number for the same way to pay, and nothing is returned again except under the
//!    same number. Beside an attempt that was handed out and whose outcome is unknown nothing opens
//!    anywhere; what was handed out to nobody holds nothing back.
//! 7. A call that was sent is finished and recorded even when its client leaves; nothing is
//!    spawned that [`Engine::shutdown`] does not await.
//! 8. There is no unverified path: no null verifier, no skip flag. The mock signs for real.
//! 9. What the client wrote never decides who is paid, where notifications go, or its own address.
//! 10. Secrets have no `Display` and no `Serialize`, and `Debug` prints `***`.
//! 11. Rows that guard a number are never deleted: providers never forget a number.
//!
//! # Where things are
//!
//! Every arrow points inward: `domain` imports itself; `guard`, `caller`, `pricing` and `reply`
//! import `domain`; `engine` knows `domain` and the traits of `provider` and `store`; `layer` puts
//! engine and edge together; `shop` is HTTP to the shop's own services, and [`webhook`] tells it
//! events; `wire` names every concrete type; `sidecar` runs it; `mock` plays the providers and
//! knows neither engine nor store.

pub mod layer;
pub mod guard;
pub mod caller;
pub mod pricing;
pub mod reply;
pub mod domain;
pub mod engine;
pub mod provider;
pub mod store;
pub mod clock;
pub mod secret;
pub mod error;
pub mod config;
#[cfg(feature = "sidecar")]
pub mod sidecar;
#[cfg(feature = "mock")]
pub mod mock;
pub mod assemble;
mod merchant;

pub use caller::CallerContext;
pub use config::Config;
pub use engine::Engine;
pub use error::Error;
pub use layer::PaymentLayer;
pub use merchant::webhook::Webhook;
pub use pricing::Pricing;

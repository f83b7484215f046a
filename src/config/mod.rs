//! Configuration: environment variables only, and everything that is wrong told in one run.
//!
//! ```
//! use std::collections::BTreeMap;
//! use paygate::config::Config;
//!
//! let set = |vars: &[(&str, &str)]| -> BTreeMap<String, String> {
//!     vars.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
//! };
//! # #[cfg(feature = "mock")]
//! let config = Config::read(&set(&[("PAYGATE_MODE", "mock")])).expect("mock mode needs no more");
//! # #[cfg(feature = "mock")]
//! assert_eq!(config.mount, "/pay");
//!
//! let problems = Config::read(&set(&[("PAYGATE_MODE", "mock"), ("PAYGATE_BODY_MAX", "64")]));
//! assert!(problems.unwrap_err().to_string().contains("PAYGATE_BODY_MAX: has no unit"));
//! ```
#![cfg_attr(
    not(all(feature = "wxpay", feature = "alipay")),
    allow(
        dead_code,
        unused_imports,
        unused_mut,
        unused_variables,
        reason = "the whole table is read in builds that have one provider, too"
    )
)]

mod file;
pub mod help;
mod merchants;
mod parse;
mod problem;
mod reader;
mod values;
mod commands;
mod cross_checks;
mod show;
mod source;
mod suggest;
pub mod table;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::caller::TrustedProxies;
use crate::domain::channel::{PayType, ProviderId};
use crate::domain::ids::Pid;
use crate::domain::product::AlipayChoice;
use crate::secret::Secret;
pub use crate::store::StoreMode as Mode;
pub use commands::{MockAlone, health_address, mock_alone};
pub use problem::{Problem, Problems};
pub use source::{Strings, environment};

/// A whole and valid configuration.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Real providers or simulated ones.
    pub mode: Mode,
    /// The public address.
    pub listen: SocketAddr,
    /// The admin address, unless it is off.
    pub admin_listen: Option<SocketAddr>,
    /// The bearer token of admin operations; without it they are forbidden.
    pub admin_token: Option<Secret>,
    /// The simulated providers' address.
    pub mock_listen: SocketAddr,
    /// Whether mock mode may listen beyond loopback.
    pub mock_expose: bool,
    /// The path prefix of the payment operations: starts with `/`, does not end with one.
    pub mount: String,
    /// Where other requests go: scheme, host and port.
    pub upstream: Option<Url>,
    /// Where providers reach us; `None` in mock mode only, and then it is [`Config::listen`].
    pub public_url: Option<Url>,
    /// The proxies whose forwarded headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// The most bytes of a payment request's body.
    pub body_bytes_max: usize,
    /// The origins that may call from a browser, as browsers send them.
    pub cors_origins: Vec<String>,
    /// Where orders are kept.
    pub store: StoreChoice,
    /// How long recent results are kept in memory.
    pub replay_ttl: Duration,
    /// How many recent results are kept in memory.
    pub replay_max: usize,
    /// The expiry of an order that names none.
    pub order_ttl: Duration,
    /// The longest that one provider call may take.
    pub call_timeout: Duration,
    /// The longest that all provider calls of one request may take.
    pub call_budget: Duration,
    /// How long one of several processes owns an order it works on.
    pub lease: Duration,
    /// How long a stop waits for what is in flight.
    pub shutdown_grace: Duration,
    /// What another way to pay does to an order that is not paid.
    pub switch: Switch,
    /// What becomes of a second payment of a paid order.
    pub duplicate: Repayment,
    /// What becomes of a payment of a closed order.
    pub late: Repayment,
    /// Who sets the price.
    pub pricing: PricingChoice,
    /// Where events go.
    pub webhook: Option<Webhook>,
    /// What is logged: levels, for everything or for a target.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Every merchant. In mock mode none of them has keys: each one pays with the mock's.
    pub merchants: Vec<Merchant>,
    /// What the operator should know, one sentence each.
    pub warnings: Vec<String>,
    effective: Vec<show::Effective>,
}

/// Where orders are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreChoice {
    /// In an SQLite file that one process owns.
    Sqlite(PathBuf),
    /// In memory, until the process ends.
    Memory,
}

/// Who sets the price.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PricingChoice {
    /// Callers that show this token.
    CallerToken(Secret),
    /// The shop, in quotes that it signs with this secret.
    Quote(Secret),
    /// The shop's service at this URL, which is asked.
    Callback(Url),
    /// Every caller on loopback: mock mode without `PAYGATE_PRICING`.
    EverybodyOnLoopback,
}

impl fmt::Debug for PricingChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL's query may be a secret.
        f.write_str(match self {
            PricingChoice::CallerToken(_) => "CallerToken(***)",
            PricingChoice::Quote(_) => "Quote(***)",
            PricingChoice::Callback(_) => "Callback(***)",
            PricingChoice::EverybodyOnLoopback => "EverybodyOnLoopback",
        })
    }
}

/// What another way to pay does to an order that is not paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Closes the old way first.
    Close,
    /// Is rejected.
    Reject,
}

/// What becomes of money that should not have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repayment {
    /// It is returned, and the shop is told.
    Refund,
    /// The shop is told.
    Alert,
}

/// How it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text.
    Text,
    /// JSON.
    Json,
}

/// Where events go.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The shop's endpoint; `{type}` in its path or query stands for the order's type.
    pub url: String,
    /// The key that events are signed with.
    pub key: Vec<u8>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(***)")
    }
}

/// One merchant: what `data.pid` names.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Merchant {
    /// `default`, or a document's `_id`.
    pub pid: Pid,
    /// Which of Alipay's products it chose.
    pub choice: AlipayChoice,
    /// What it takes WeChat Pay with; `None` in mock mode.
    #[cfg(feature = "wxpay")]
    pub wxpay: Option<crate::provider::wxpay::WxpayMerchant>,
    /// What it takes Alipay with; `None` in mock mode.
    #[cfg(feature = "alipay")]
    pub alipay: Option<crate::provider::alipay::AlipayMerchant>,
}

impl Merchant {
    fn new(pid: Pid, choice: AlipayChoice) -> Merchant {
        Merchant {
            pid,
            choice,
            #[cfg(feature = "wxpay")]
            wxpay: None,
            #[cfg(feature = "alipay")]
            alipay: None,
        }
    }

    /// The pay types it has keys for.
    #[must_use]
    pub fn pay_types(&self) -> Vec<PayType> {
        let mut pay_types = Vec::new();
        #[cfg(feature = "wxpay")]
        pay_types.extend(self.wxpay.iter().flat_map(|it| it.apps.keys().copied()));
        #[cfg(feature = "alipay")]
        pay_types.extend(self.alipay.iter().flat_map(|it| it.apps.keys().copied()));
        pay_types
    }

    /// The providers it has keys for.
    #[must_use]
    pub fn providers(&self) -> Vec<ProviderId> {
        let mut providers: Vec<_> = self.pay_types().iter().map(|it| it.provider()).collect();
        providers.dedup();
        providers
    }
}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    ///
    /// See [`Config::read`].
    pub fn from_env() -> Result<Config, Problems> {
        Config::read(&environment())
    }

    /// Reads variables, and the files they name. Nothing is bound or created.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, in the order of the table of variables.
    pub fn read(strings: &dyn Strings) -> Result<Config, Problems> {
        let mut reader = reader::Reader::new(strings);
        reader.check_names();
        let mut config = values::read(&mut reader);
        cross_checks::check(&mut reader, &config);
        let findings = reader.finish()?;
        config.effective = show::effective(config.mode, &findings.sources);
        config.warnings = findings.warnings;
        Ok(config)
    }

    /// Every effective value and where it is from, one a line, then the merchants and the
    /// warnings. Secrets and what stands in URLs for them are `***`.
    #[must_use]
    pub fn describe(&self) -> String {
        show::text(self)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

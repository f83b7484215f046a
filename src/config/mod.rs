//! Configuration: environment variables only, with every problem reported in one run.
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

mod certificates;
mod cross_checks;
mod file;
pub(crate) mod help;
mod merchants;
mod mock_and_health;
mod parse;
mod problem;
mod reader;
mod settings;
mod show;
mod source;
mod suggest;
pub(crate) mod table;
mod values;

use std::fmt;

use crate::clock::{Clock as _, SystemClock};
use crate::domain::time::Millis;
#[cfg(feature = "sidecar")]
use crate::store::KnownAccounts;

#[cfg(feature = "alipay")]
pub use merchants::given::AlipayCredentials;
pub use merchants::given::CredentialErrors;
#[cfg(feature = "wxpay")]
pub use merchants::given::WxpayCredentials;
pub use mock_and_health::{
    MockCommandConfig, MockResetConfig, StoreCommandConfig, health_address, mock_client_address,
    mock_command_config, mock_reset_config, store_command_config, test_alert_config,
};
pub use problem::{Problem, Problems};
pub use settings::{
    AlertConfig, AlertFormat, Config, EdgeLimits, LogFormat, MerchantConfig, Mode, PricingChoice,
    StoreChoice, SwitchChoice, WebhookConfig,
};
#[cfg(feature = "sidecar")]
pub(crate) use source::inherited_sockets;
pub use source::{VariableSource, environment};

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    ///
    /// See [`Config::read`].
    pub fn from_env() -> Result<Config, Problems> {
        Config::read(&environment())
    }

    /// Reads variables, and the files they name. It binds no port and creates no file.
    ///
    /// # Errors
    ///
    /// All problems, in the order of the table of variables.
    pub fn read(source: &dyn VariableSource) -> Result<Config, Problems> {
        let mut reader = reader::Reader::new(source);
        reader.check_names();
        let mut config = values::read_config(&mut reader);
        cross_checks::check(&mut reader, &config);
        let read = reader.finish()?;
        config.effective = show::effective_values(config.mode, &read.values);
        config.warnings = read.warnings;
        let now = SystemClock.now();
        config.warnings.extend(read.certificates.iter().filter_map(|one| one.warning(now)));
        config.certificates = read.certificates;
        Ok(config)
    }

    /// Every effective value and its origin, one a line, then the merchants and the warnings.
    /// Secrets, also those inside URLs, are `***`.
    #[must_use]
    pub fn describe(&self) -> String {
        show::describe(self)
    }

    /// The warnings about certificates that have ended by `now`, or end within two weeks. The
    /// sidecar logs them once a day; an app in Rust may ask as often.
    #[must_use]
    pub fn urgent_warnings(&self, now: Millis) -> Vec<String> {
        let urgent = self.certificates.iter().filter(|certificate| certificate.is_urgent(now));
        urgent.filter_map(|certificate| certificate.warning(now)).collect()
    }

    /// The accounts that a store knows and no merchant has, in a sentence each.
    #[cfg(feature = "sidecar")]
    pub(crate) fn stranded_accounts(&self, accounts: &KnownAccounts) -> Vec<String> {
        show::stranded(self, accounts)
    }

    /// The accounts that a store knows, one a line, and which of them no merchant has.
    #[cfg(feature = "sidecar")]
    pub(crate) fn describe_stored(&self, accounts: &KnownAccounts) -> String {
        show::describe_stored(self, accounts)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

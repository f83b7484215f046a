//! The configuration of the commands that need a few variables only: `paygate mock`, `health`,
//! `test-alert`, `backup` and `restore`.

use std::net::SocketAddr;

use super::problem::Problems;
use super::reader::Reader;
use super::settings::{AlertConfig, LogFormat, Mode, StoreChoice};
use super::source::VariableSource;
use super::{cross_checks, parse, values};
use crate::domain::address::reachable;

/// The configuration of `paygate mock`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MockCommandConfig {
    /// The simulated providers' address.
    pub listen: SocketAddr,
    /// The log levels, for everything or for a target.
    pub log: String,
    /// The form of log lines.
    pub log_format: LogFormat,
}

/// Reads the configuration of `paygate mock`.
///
/// # Errors
///
/// All problems of these variables.
pub fn mock_command_config(source: &dyn VariableSource) -> Result<MockCommandConfig, Problems> {
    let mut reader = Reader::new(source);
    reader.check_names();
    let config = MockCommandConfig {
        listen: reader.value("PAYGATE_MOCK_LISTEN", parse::address),
        log: reader.value("PAYGATE_LOG", parse::log_filter),
        log_format: values::read_log_format(&mut reader),
    };
    if !reader.value("PAYGATE_MOCK_EXPOSE", parse::boolean) {
        cross_checks::refuse_exposure(&mut reader, "PAYGATE_MOCK_LISTEN", config.listen);
    }
    reader.finish().map(|_| config)
}

/// The address by which programs on this machine reach `paygate mock`.
///
/// # Errors
///
/// The address is invalid, or names no port.
pub fn mock_client_address(source: &dyn VariableSource) -> Result<SocketAddr, Problems> {
    let mut reader = Reader::new(source);
    let listen = reader.value("PAYGATE_MOCK_LISTEN", parse::address);
    if listen.port() == 0 {
        reader.report("PAYGATE_MOCK_LISTEN", "names any free port, so that no address is known");
    }
    reader.finish().map(|_| reachable(listen))
}

/// The configuration of `paygate mock --reset`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MockResetConfig {
    /// The store of the sidecar in mock mode.
    pub store: StoreChoice,
}

/// Reads the configuration of `paygate mock --reset`.
///
/// # Errors
///
/// The store is invalid, or the mode is live.
pub fn mock_reset_config(source: &dyn VariableSource) -> Result<MockResetConfig, Problems> {
    const MODE: &str = "PAYGATE_MODE";
    let mut reader = Reader::new(source);
    reader.check_names();
    if reader.is_set(MODE) && values::read_mode(&mut reader) == Mode::Live {
        reader.report(MODE, "is live, and --reset removes nothing but mock mode's files");
    }
    let store = values::read_store(&mut reader, Mode::Mock);
    reader.finish().map(|_| MockResetConfig { store })
}

/// The configuration of `paygate backup` and `paygate restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreCommandConfig {
    /// Whether the store's money is real.
    pub mode: Mode,
    /// The store: a file.
    pub store: StoreChoice,
}

/// Reads the configuration of `paygate backup` and `paygate restore`.
///
/// # Errors
///
/// The mode or the store is invalid, or the store is no file of paygate's.
pub fn store_command_config(source: &dyn VariableSource) -> Result<StoreCommandConfig, Problems> {
    const STORE: &str = "PAYGATE_STORE";
    let mut reader = Reader::new(source);
    reader.check_names();
    let mode = values::read_mode(&mut reader);
    let is_postgres = |text: &String| text.starts_with("postgres");
    if reader.text(STORE).as_ref().is_some_and(is_postgres) {
        let reason = "is PostgreSQL: copy it with pg_dump, and restore it with pg_restore";
        reader.report(STORE, reason);
        return reader.finish().map(|_| StoreCommandConfig { mode, store: StoreChoice::Memory });
    }
    let is_memory = reader.text(STORE).as_deref() == Some("memory:");
    let store = values::read_store(&mut reader, mode);
    if is_memory && mode == Mode::Mock {
        reader.report(STORE, "is memory, of which no copy is made");
    }
    reader.finish().map(|_| StoreCommandConfig { mode, store })
}

/// Reads the configuration of `paygate test-alert`.
///
/// # Errors
///
/// A variable of the alerts is invalid, or no receiver is set.
pub fn test_alert_config(source: &dyn VariableSource) -> Result<AlertConfig, Problems> {
    let mut reader = Reader::new(source);
    reader.check_names();
    reader.require("PAYGATE_ALERT_URL", "is not set, so that there is no receiver of alerts");
    let alerts = values::read_alerts(&mut reader);
    reader.finish()?;
    Ok(alerts.unwrap_or_else(|| unreachable!("its absence was reported")))
}

/// The address that `paygate health` asks: the admin address, or loopback where that is every
/// address of this machine.
///
/// # Errors
///
/// The admin address is invalid or off.
pub fn health_address(source: &dyn VariableSource) -> Result<SocketAddr, Problems> {
    let mut reader = Reader::new(source);
    let listen = reader.value("PAYGATE_ADMIN_LISTEN", parse::address_or_off);
    if listen.is_none() {
        reader.report("PAYGATE_ADMIN_LISTEN", "is off, so that there is nothing to ask");
    }
    reader.finish()?;
    Ok(reachable(listen.unwrap_or_else(|| unreachable!("off was reported"))))
}

//! The configuration of `paygate mock` and `paygate health`, which need a few variables only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::problem::Problems;
use super::reader::Reader;
use super::settings::LogFormat;
use super::source::VariableSource;
use super::{cross_checks, parse, values};

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
    let mut address = listen.unwrap_or_else(|| unreachable!("off was reported"));
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

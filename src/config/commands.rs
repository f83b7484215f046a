//! The parts of a configuration that a command needs which does not run the whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::problem::Problems;
use super::reader::Reader;
use super::source::Strings;
use super::{LogFormat, cross_checks, parse, values};

/// What `paygate mock` needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MockAlone {
    /// The simulated providers' address.
    pub listen: SocketAddr,
    /// What is logged: levels, for everything or for a target.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// Reads what `paygate mock` needs.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn mock_alone(strings: &dyn Strings) -> Result<MockAlone, Problems> {
    let mut reader = Reader::new(strings);
    reader.check_names();
    let alone = MockAlone {
        listen: reader.value("PAYGATE_MOCK_LISTEN", parse::address),
        log: reader.value("PAYGATE_LOG", parse::log_filter),
        log_format: values::log_format(&mut reader),
    };
    if !reader.value("PAYGATE_MOCK_EXPOSE", parse::boolean) {
        cross_checks::refuse_exposure(&mut reader, "PAYGATE_MOCK_LISTEN", alone.listen);
    }
    reader.finish().map(|_| alone)
}

/// Where `paygate health` asks: the admin address; where that is every address, loopback.
///
/// # Errors
///
/// When the admin address is ill or off.
pub fn health_address(strings: &dyn Strings) -> Result<SocketAddr, Problems> {
    let mut reader = Reader::new(strings);
    let listen = reader.value("PAYGATE_ADMIN_LISTEN", parse::address_or_off);
    if listen.is_none() {
        reader.wrong("PAYGATE_ADMIN_LISTEN", "is off, so that there is nothing to ask");
    }
    reader.finish()?;
    let mut address = listen.unwrap_or_else(|| unreachable!("off was complained about"));
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

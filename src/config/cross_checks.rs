//! Checks between variables.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

use super::reader::Reader;
use super::settings::{Config, MerchantConfig, Mode, PricingChoice};
use super::values::NO_NOTIFY_URL;
use crate::domain::address::is_public;
use crate::domain::notify_url::{self, MountPath, NOTIFY_URL_BYTES_MAX};

/// Checks the rules that need more than one variable.
pub(super) fn check(reader: &mut Reader<'_>, config: &Config) {
    check_times(reader, config);
    check_secrets(reader);
    check_listeners(reader, config);
    if !config.cors_origins.is_empty() && matches!(config.pricing, PricingChoice::CallerToken(_)) {
        let reason = "cannot be used with PAYGATE_PRICING=trusted: no page may hold the token";
        reader.report("PAYGATE_CORS_ORIGINS", reason);
    }
    match config.mode {
        Mode::Live => check_live(reader, config),
        Mode::Mock => check_mock(reader, config),
    }
}

fn check_times(reader: &mut Reader<'_>, config: &Config) {
    if config.call_budget < config.call_timeout {
        reader.report("PAYGATE_CALL_BUDGET", "is shorter than PAYGATE_CALL_TIMEOUT");
    }
    if config.shutdown_grace < config.call_budget {
        reader.warn(
            "PAYGATE_SHUTDOWN_GRACE is shorter than PAYGATE_CALL_BUDGET: a stop may cut a call to \
             a provider, and paygate asks for its outcome at the next start",
        );
    }
    // The other stores belong to one process alone: they have no leases.
    let leases = reader.starts_with("PAYGATE_STORE", "postgres");
    if leases && config.lease < config.call_budget.saturating_add(Duration::from_secs(10)) {
        reader.report("PAYGATE_LEASE", "is shorter than PAYGATE_CALL_BUDGET and 10s");
    }
}

/// Whoever holds one secret must not hold another by it.
fn check_secrets(reader: &mut Reader<'_>) {
    for (name, first) in reader.repeated_secrets() {
        let reason = if name == first {
            "holds one secret twice".to_owned()
        } else {
            format!("is the same secret as {first}: each needs one of its own")
        };
        reader.report(name, reason);
    }
}

fn check_listeners(reader: &mut Reader<'_>, config: &Config) {
    let mock = (config.mode == Mode::Mock).then_some(config.mock_listen);
    let is_shared = |address: &Option<SocketAddr>, others: &[Option<SocketAddr>]| {
        address.is_some_and(|address| address.port() != 0) && others.contains(address)
    };
    if is_shared(&config.admin_listen, &[Some(config.listen)]) {
        reader.report("PAYGATE_ADMIN_LISTEN", "is the same address as PAYGATE_LISTEN");
    }
    if let Some(url) = &config.upstream {
        check_upstream(
            reader,
            url,
            &[
                (Some(config.listen), "is PAYGATE_LISTEN: requests would go in a circle"),
                (config.admin_listen, "is PAYGATE_ADMIN_LISTEN, which strangers must not reach"),
                (mock, "is PAYGATE_MOCK_LISTEN, which strangers must not reach"),
            ],
        );
    }
    if is_shared(&mock, &[Some(config.listen), config.admin_listen]) {
        reader.report("PAYGATE_MOCK_LISTEN", "is the address of another listener");
    }
}

/// Refuses an upstream that is one of these listeners.
fn check_upstream(
    reader: &mut Reader<'_>,
    url: &Url,
    listeners: &[(Option<SocketAddr>, &'static str)],
) {
    let own = listeners.iter().find(|(listen, _)| listen.is_some_and(|listen| is_own(url, listen)));
    if let Some((_, reason)) = own {
        reader.report("PAYGATE_UPSTREAM", *reason);
    }
}

/// Whether `url` leads to the listener at `listen`. A name of this machine, or another address of
/// it, is found at the first request.
fn is_own(url: &Url, listen: SocketAddr) -> bool {
    let address = match url.host() {
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(ip.to_canonical()),
        Some(Host::Domain(_)) | None => None,
    };
    // A connection to the unspecified address is one to this machine.
    let is_local = notify_url::is_loopback(url) || address.is_some_and(|ip| ip.is_unspecified());
    let listens_there = address == Some(listen.ip().to_canonical());
    let is_reached =
        listens_there || (is_local && (listen.ip().is_loopback() || listen.ip().is_unspecified()));
    is_reached && url.port_or_known_default() == Some(listen.port())
}

fn check_mock(reader: &mut Reader<'_>, config: &Config) {
    if !cfg!(feature = "mock") {
        let reason = "is mock, and this build is without the feature `mock`: add it to paygate's \
                      features in Cargo.toml";
        reader.report("PAYGATE_MODE", reason);
    }
    let listeners = [
        ("PAYGATE_LISTEN", Some(config.listen)),
        ("PAYGATE_ADMIN_LISTEN", config.admin_listen),
        ("PAYGATE_MOCK_LISTEN", Some(config.mock_listen)),
    ];
    for (name, address) in listeners {
        if let Some(address) = address
            && !config.mock_expose
        {
            refuse_exposure(reader, name, address);
        }
    }
}

/// Refuses an address beyond loopback: in mock mode every client may spend play money.
pub(super) fn refuse_exposure(reader: &mut Reader<'_>, name: &str, address: SocketAddr) {
    if !address.ip().to_canonical().is_loopback() {
        let reason = "is beyond loopback, which mock mode refuses without PAYGATE_MOCK_EXPOSE=true";
        reader.report(name, reason);
    }
}

fn check_live(reader: &mut Reader<'_>, config: &Config) {
    let reason = format!("is required in live mode ({NO_NOTIFY_URL})");
    reader.require("PAYGATE_PUBLIC_URL", reason);
    if let Some(url) = &config.public_url {
        check_notify_urls(reader, config, url);
        warn_of_unreachable(reader, config, url);
    }
    if config.merchants.iter().all(|merchant| merchant.providers().is_empty()) {
        report_no_provider(reader);
    }
    if reader.is_set("PAYGATE_MOCK_EXPOSE") || reader.is_set("PAYGATE_MOCK_LISTEN") {
        reader.warn("PAYGATE_MOCK_LISTEN and PAYGATE_MOCK_EXPOSE have no effect in live mode");
    }
}

/// Reports that no provider is configured, unless one is and has problems of its own.
fn report_no_provider(reader: &mut Reader<'_>) {
    let is_of_provider = |name: &str| {
        name.starts_with("PAYGATE_WXPAY_")
            || name.starts_with("PAYGATE_ALIPAY_")
            || name == "PAYGATE_MERCHANTS"
    };
    if !reader.has_problem(is_of_provider) {
        let reason = "is required in live mode, or Alipay's variables, or PAYGATE_MERCHANTS: \
                     without a merchant nobody can be paid";
        reader.report("PAYGATE_WXPAY_MCH_ID", reason);
    }
}

/// Warns of a public URL that the providers surely do not reach.
fn warn_of_unreachable(reader: &mut Reader<'_>, config: &Config, public_url: &Url) {
    let is_inner_name = |name: &str| {
        let name = name.trim_end_matches('.');
        !name.contains('.') || INNER_DOMAINS.iter().any(|domain| name.ends_with(domain))
    };
    let is_unreachable = match public_url.host() {
        Some(Host::Domain(name)) => is_inner_name(name),
        Some(Host::Ipv4(ip)) => !is_public(ip.into()),
        Some(Host::Ipv6(ip)) => !is_public(ip.into()),
        None => false,
    };
    let (Ok(mount), true) = (MountPath::parse(&config.mount), is_unreachable) else { return };
    let base = notify_url::notify_base(public_url, &mount);
    let first = config.merchants.iter().find_map(|merchant| {
        Some(notify_url::notify_url(&base, *merchant.pay_types().first()?, &merchant.pid))
    });
    reader.warn(format!(
        "PAYGATE_PUBLIC_URL is an address inside your network: no provider reaches {}, and \
         paygate learns of a payment only when it asks",
        first.unwrap_or(base)
    ));
}

/// Checks the length of every merchant's notify URLs.
fn check_notify_urls(reader: &mut Reader<'_>, config: &Config, public_url: &Url) {
    let Ok(mount) = MountPath::parse(&config.mount) else { return };
    let base = notify_url::notify_base(public_url, &mount);
    for MerchantConfig { pid, .. } in &config.merchants {
        if let Err(length) = notify_url::check_length(&base, pid) {
            let reason = format!(
                "makes notify URLs of {length} bytes with PAYGATE_MOUNT and the merchant {pid}, \
                 and providers take {NOTIFY_URL_BYTES_MAX} ({NO_NOTIFY_URL})"
            );
            reader.report("PAYGATE_PUBLIC_URL", reason);
        }
    }
}

/// The ends of names that only a machine or a private network resolves (RFC 6761, 6762, 8375; the
/// last two by custom and by ICANN's resolution of 2024).
const INNER_DOMAINS: [&str; 6] =
    [".localhost", ".local", ".test", ".home.arpa", ".lan", ".internal"];

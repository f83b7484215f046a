//! Rules between variables.

use std::net::SocketAddr;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::parse;
use super::reader::Reader;
use super::values::NO_NOTIFY_URL;
use super::{Config, Merchant, Mode, PricingChoice};

/// Checks what no variable can tell alone.
pub(super) fn check(reader: &mut Reader<'_>, config: &Config) {
    times(reader, config);
    listeners(reader, config);
    if !config.cors_origins.is_empty() && matches!(config.pricing, PricingChoice::CallerToken(_)) {
        let wrong = "cannot be used with PAYGATE_PRICING=trusted: no page may hold the token";
        reader.wrong("PAYGATE_CORS_ORIGINS", wrong);
    }
    match config.mode {
        Mode::Live => live(reader, config),
        Mode::Mock => mock(reader, config),
    }
}

fn times(reader: &mut Reader<'_>, config: &Config) {
    if config.call_budget < config.call_timeout {
        reader.wrong("PAYGATE_CALL_BUDGET", "is shorter than PAYGATE_CALL_TIMEOUT");
    }
    if config.shutdown_grace < config.call_budget {
        reader.warn(
            "PAYGATE_SHUTDOWN_GRACE is shorter than PAYGATE_CALL_BUDGET: a stop may cut a call to \
             a provider, which is then asked what became of it at the next start",
        );
    }
    // One process alone owns the other stores: they have no leases.
    let leases = reader.starts_with("PAYGATE_STORE", "postgres");
    if leases && config.lease < config.call_budget.saturating_add(Duration::from_secs(10)) {
        reader.wrong("PAYGATE_LEASE", "is shorter than PAYGATE_CALL_BUDGET and 10s");
    }
}

fn listeners(reader: &mut Reader<'_>, config: &Config) {
    let mock = (config.mode == Mode::Mock).then_some(config.mock_listen);
    let taken = |address: &Option<SocketAddr>, others: &[Option<SocketAddr>]| {
        address.is_some_and(|it| it.port() != 0) && others.contains(address)
    };
    if taken(&config.admin_listen, &[Some(config.listen)]) {
        reader.wrong("PAYGATE_ADMIN_LISTEN", "is the same address as PAYGATE_LISTEN");
    }
    if config.upstream.as_ref().is_some_and(|url| is_own(url, config.listen)) {
        reader.wrong("PAYGATE_UPSTREAM", "is PAYGATE_LISTEN: requests would go in a circle");
    }
    if taken(&mock, &[Some(config.listen), config.admin_listen]) {
        reader.wrong("PAYGATE_MOCK_LISTEN", "is the address of another listener");
    }
}

fn is_own(url: &Url, listen: SocketAddr) -> bool {
    let local = listen.ip().is_loopback() || listen.ip().is_unspecified();
    local && parse::is_loopback(url) && url.port_or_known_default() == Some(listen.port())
}

fn mock(reader: &mut Reader<'_>, config: &Config) {
    if !cfg!(feature = "mock") {
        reader.wrong("PAYGATE_MODE", "is mock, and this build has no simulated providers");
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

/// Mock mode pays with play money that anybody who can connect may spend.
pub(super) fn refuse_exposure(reader: &mut Reader<'_>, name: &str, address: SocketAddr) {
    if !address.ip().to_canonical().is_loopback() {
        let wrong = "is beyond loopback, which mock mode refuses without PAYGATE_MOCK_EXPOSE=true";
        reader.wrong(name, wrong);
    }
}

fn live(reader: &mut Reader<'_>, config: &Config) {
    let wrong = format!("is required in live mode ({NO_NOTIFY_URL})");
    reader.require("PAYGATE_PUBLIC_URL", wrong);
    if let Some(url) = &config.public_url {
        notify_urls(reader, config, url);
    }
    if config.merchants.iter().all(|it| it.providers().is_empty()) {
        no_provider(reader);
    }
    if reader.given("PAYGATE_MOCK_EXPOSE") || reader.given("PAYGATE_MOCK_LISTEN") {
        reader.warn("PAYGATE_MOCK_LISTEN and PAYGATE_MOCK_EXPOSE have no effect in live mode");
    }
}

/// A provider that is configured and ill was complained about already.
fn no_provider(reader: &mut Reader<'_>) {
    let tried = |name: &str| {
        name.starts_with("PAYGATE_WXPAY_")
            || name.starts_with("PAYGATE_ALIPAY_")
            || name == "PAYGATE_MERCHANTS"
    };
    if !reader.complained_of(tried) {
        let wrong = "is required in live mode, or Alipay's variables, or PAYGATE_MERCHANTS: \
                     without a merchant nobody can be paid";
        reader.wrong("PAYGATE_WXPAY_MCH_ID", wrong);
    }
}

/// Both providers take a notify URL of at most 255 bytes (WeChat Pay V3, JSAPI order,
/// `notify_url`; Alipay allows one more).
fn notify_urls(reader: &mut Reader<'_>, config: &Config, public_url: &Url) {
    let base = public_url.as_str().trim_end_matches('/').len() + config.mount.len();
    for Merchant { pid, .. } in &config.merchants {
        let pid_length = utf8_percent_encode(pid.as_str(), NON_ALPHANUMERIC).to_string().len();
        let length = base + "/notify/alipay/alipay_mp-alipay/".len() + pid_length;
        if length > NOTIFY_URL_BYTES_MAX {
            let wrong = format!(
                "makes notify URLs of {length} bytes with PAYGATE_MOUNT and the merchant {pid}, \
                 and providers take {NOTIFY_URL_BYTES_MAX} ({NO_NOTIFY_URL})"
            );
            reader.wrong("PAYGATE_PUBLIC_URL", wrong);
        }
    }
}

const NOTIFY_URL_BYTES_MAX: usize = 255;

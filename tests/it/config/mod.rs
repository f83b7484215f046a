//! Configuration: accepted and refused values, and secrets that no output shows.
#![cfg(all(feature = "wxpay", feature = "alipay", feature = "sqlite"))]
#![cfg_attr(
    not(feature = "mock"),
    allow(unused_imports, dead_code, reason = "mock mode needs the feature")
)]

mod files;
mod key_forms;
pub(crate) mod kit;
pub(crate) mod library;
mod live;
mod merchants;
#[cfg(feature = "mock")]
mod mock;
mod table;

use kit::{live, live_alipay, mock, problems, refused, with};
use paygate::config::{
    Config, Mode, PricingChoice, StoreChoice, health_address, mock_command_config,
};

#[test]
fn without_any_variable_both_ways_to_start_are_shown() {
    let text = problems(&with(&[])).to_string();
    for expected in
        ["PAYGATE_MODE=mock paygate", "PAYGATE_STORE", "PAYGATE_PUBLIC_URL", "PAYGATE_MERCHANTS"]
    {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
    let text = problems(&with(&[("PAYGATE_LOG", "info")])).to_string();
    assert!(!text.contains("two ways"), "{text}");
}

#[cfg(feature = "mock")]
#[test]
fn every_problem_is_reported_at_once_with_the_accepted_form_and_an_example() {
    let text = problems(&with(&[
        ("PAYGATE_MODE", "mock"),
        ("PAYGATE_CALL_TIMEOUT", "8"),
        ("PAYGATE_BODY_MAX", "huge"),
        ("PAYGATE_LISTN", "127.0.0.1:1"),
    ]))
    .to_string();
    for expected in [
        "3 problems",
        "PAYGATE_CALL_TIMEOUT: has no unit",
        "accepted: a whole number with a unit: ms, s, m, h or d",
        "example:  PAYGATE_CALL_TIMEOUT=8s",
        "PAYGATE_BODY_MAX",
        "PAYGATE_LISTN: is no variable of ours; did you mean PAYGATE_LISTEN?",
    ] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
}

#[cfg(feature = "mock")]
#[test]
fn mock_mode_needs_nothing_else() {
    let config = Config::read(&mock(&[])).unwrap();
    assert_eq!(config.mode, Mode::Mock);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8787");
    assert_eq!(config.store, StoreChoice::Sqlite("paygate-mock.db".into()));
    assert_eq!(config.pricing, PricingChoice::Loopback);
    assert_eq!(config.body_bytes_max, 65_536);
    assert_eq!(config.order_ttl.as_secs(), 1_800);
    assert_eq!(config.merchants.len(), 1);
    assert_eq!(config.merchants[0].pid.as_str(), "default");
}

#[cfg(feature = "mock")]
#[test]
fn an_empty_text_counts_as_not_set_and_is_mentioned() {
    let config = Config::read(&mock(&[("PAYGATE_UPSTREAM", " "), ("PAYGATE_CALLER_TOKEN", "")]));
    let config = config.unwrap();
    assert_eq!(config.upstream, None);
    assert!(config.warnings.iter().any(|it| it.contains("PAYGATE_UPSTREAM is empty")));
}

#[cfg(feature = "mock")]
#[cfg(feature = "mock")]
#[test]
fn a_port_that_kubernetes_never_sets_is_warned_about_with_the_variable_that_is_meant() {
    for (port, is_warned) in [
        ("8080", true),
        (" 80 ", true),
        ("tcp://10.0.0.1:8787", false),
        ("udp://10.0.0.1:8787", false),
        ("", false),
    ] {
        let config = Config::read(&mock(&[("PAYGATE_PORT", port)])).unwrap();
        let warnings = config.warnings.join("\n");
        assert_eq!(
            warnings.contains("PAYGATE_PORT has no effect"),
            is_warned,
            "{port}: {warnings}"
        );
        assert_eq!(
            warnings.contains("set PAYGATE_LISTEN, as PAYGATE_LISTEN="),
            is_warned,
            "{warnings}"
        );
    }
}

#[test]
fn kubernetes_variables_are_ignored_and_other_unknown_names_are_not() {
    Config::read(&mock(&[
        ("PAYGATE_SERVICE_HOST", "10.0.0.1"),
        ("PAYGATE_PORT_8787_TCP_ADDR", "10.0.0.1"),
        ("PAYGATE_PORT", "tcp://10.0.0.1:8787"),
    ]))
    .unwrap();
    for name in ["PAYGATE_", "PAYGATE_MODUS", "PAYGATE_MODE_FILE", "PAYGATE_listen"] {
        refused(&mock(&[(name, "x")]), name, "did you mean");
    }
}

#[test]
fn every_effective_value_is_described_with_its_source() {
    let config = Config::read(&live(&[("PAYGATE_UPSTREAM", "http://127.0.0.1:3000")])).unwrap();
    let text = config.describe();
    let line = |name: &str| {
        let start = format!("{name}=");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("PAYGATE_MODE"), "PAYGATE_MODE=live (default)");
    assert_eq!(line("PAYGATE_UPSTREAM"), "PAYGATE_UPSTREAM=http://127.0.0.1:3000 (environment)");
    assert_eq!(line("PAYGATE_CALLER_TOKEN"), "PAYGATE_CALLER_TOKEN=*** (environment)");
    assert_eq!(line("PAYGATE_ADMIN_TOKEN"), "PAYGATE_ADMIN_TOKEN= (not set)");
    assert!(text.contains("merchant default: wxpay_mp-weixin, "), "{text}");
    // What an operator compares with the providers' consoles.
    let account = |pay_type: &str| {
        let start = format!("  {pay_type}: ");
        text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default()
    };
    let wxpay = account("wxpay_mp-weixin");
    assert!(wxpay.starts_with("app wx") && wxpay.contains(", account 19"), "{text}");
    assert!(wxpay.contains(", verified by platform certificates, "), "{text}");
    let notified = "/pay/notify/wxpay/wxpay_mp-weixin/default";
    assert!(wxpay.contains(", notified at https://") && wxpay.ends_with(notified), "{text}");
    let text = Config::read(&live_alipay(&[])).unwrap().describe();
    let alipay = "app 2014072300007148, verified by Alipay's public key, notified at \
                  https://pay.example.com/pay/notify/alipay/alipay_";
    assert!(text.contains(alipay), "{text}");
}

#[test]
fn the_simulated_providers_alone_need_an_address_only() {
    let config = mock_command_config(&with(&[])).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8789");
    let exposed = [("PAYGATE_MOCK_LISTEN", "0.0.0.0:8789")];
    assert!(mock_command_config(&with(&exposed)).is_err());
    let exposed = [exposed[0], ("PAYGATE_MOCK_EXPOSE", "true")];
    assert!(mock_command_config(&with(&exposed)).is_ok());
    assert!(mock_command_config(&with(&[("PAYGATE_LOGS", "info")])).is_err());
}

#[test]
fn health_asks_the_admin_address_and_cannot_when_it_is_off() {
    for (set, expected) in [
        ("127.0.0.1:8788", "127.0.0.1:8788"),
        ("0.0.0.0:9000", "127.0.0.1:9000"),
        ("[::]:9000", "[::1]:9000"),
        ("10.0.0.7:9000", "10.0.0.7:9000"),
    ] {
        let address = health_address(&with(&[("PAYGATE_ADMIN_LISTEN", set)])).unwrap();
        assert_eq!(address.to_string(), expected);
    }
    let off = health_address(&with(&[("PAYGATE_ADMIN_LISTEN", "off")])).unwrap_err();
    assert!(off.to_string().contains("PAYGATE_ADMIN_LISTEN: is off"));
}

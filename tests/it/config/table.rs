//! The table of variables: each one is read, explained, and refuses invalid values.

use std::collections::BTreeSet;

use paygate::config::Config;
use paygate::testing::config::help;
use paygate::testing::config::table::{DefaultValue, VARIABLES};

use super::kit::{PROVIDER, SHOP, live, live_alipay, mock, problems};

/// For every variable, values that it refuses.
const INVALID: &[(&str, &[&str])] = &[
    ("PAYGATE_MODE", &["prod", "LIVE"]),
    ("PAYGATE_LISTEN", &["8787", "localhost:8787"]),
    ("PAYGATE_ADMIN_LISTEN", &["on", "127.0.0.1"]),
    ("PAYGATE_ADMIN_TOKEN", &["short", "a token with spaces in it, which no header can hold"]),
    ("PAYGATE_MOCK_LISTEN", &["8789"]),
    ("PAYGATE_MOCK_EXPOSE", &["yes", "1"]),
    ("PAYGATE_MOUNT", &["pay", "/", "/pay/"]),
    (
        "PAYGATE_UPSTREAM",
        &["127.0.0.1:3000", "https://a.b", "http://a.b/x", "http://u:p@a.b", "http://169.254.0.1"],
    ),
    ("PAYGATE_PUBLIC_URL", &["http://a.b", "https://a.b?x", "pay.example.com"]),
    ("PAYGATE_TRUSTED_PROXIES", &["10.0.0.0/40", "proxy"]),
    ("PAYGATE_BODY_MAX", &["65536", "257KiB", "64KB"]),
    ("PAYGATE_HEAD_TIMEOUT", &["10", "0s"]),
    ("PAYGATE_IDLE_TIMEOUT", &["75", "0s"]),
    ("PAYGATE_STALL_TIMEOUT", &["60", "0s"]),
    ("PAYGATE_BODY_RATE", &["1024", "0B", "17MiB"]),
    ("PAYGATE_UPSTREAM_TIMEOUT", &["60", "0s"]),
    ("PAYGATE_TUNNEL_TIMEOUT", &["1", "0h"]),
    ("PAYGATE_KEEPALIVE", &["60", "500ms", "10h"]),
    ("PAYGATE_CONNECTIONS_MAX", &["0", "10k"]),
    ("PAYGATE_CORS_ORIGINS", &["*", "shop.example.com", "https://a.b/x"]),
    ("PAYGATE_STORE", &["paygate.db", "sqlite:", "sqlite::memory:", "sqlite://x", "redis://x"]),
    ("PAYGATE_REPLAY_TTL", &["5", "0s"]),
    ("PAYGATE_REPLAY_MAX", &["0", "100k"]),
    ("PAYGATE_ORDER_TTL", &["30", "4m", "8d"]),
    ("PAYGATE_CALL_TIMEOUT", &["8", "8 s"]),
    ("PAYGATE_CALL_BUDGET", &["20", "1s"]),
    ("PAYGATE_LEASE", &["30"]),
    ("PAYGATE_SHUTDOWN_GRACE", &["25"]),
    ("PAYGATE_SWITCH", &["open"]),
    ("PAYGATE_DUPLICATE", &["ignore"]),
    ("PAYGATE_LATE", &["ignore"]),
    ("PAYGATE_PRICING", &["none", "Trusted"]),
    ("PAYGATE_CALLER_TOKEN", &["0123456789012345678901234567890"]),
    ("PAYGATE_QUOTE_SECRET", &["0123456789012345678901234567890"]),
    ("PAYGATE_PRICING_URL", &["/price", "ftp://a.b", "http://169.254.169.254/", "http://u:p@a.b"]),
    ("PAYGATE_WEBHOOK_URL", &["/events", "https://{type}.a.b", "https://a.b#x"]),
    (
        "PAYGATE_WEBHOOK_SECRET",
        &["whsec_", "whsec_%", "whsec_c2VjcmV0", "a text of 32 characters, or more"],
    ),
    ("PAYGATE_LOG", &["inof", "paygate=loud"]),
    ("PAYGATE_LOG_FORMAT", &["xml"]),
    (
        "PAYGATE_ALERT_URL",
        &["qyapi.weixin.qq.com", "http://oapi.dingtalk.com/robot/send?access_token=x"],
    ),
    ("PAYGATE_ALERT_FORMAT", &["slack"]),
    ("PAYGATE_ALERT_SECRET", &["a b", "密"]),
    ("PAYGATE_MERCHANTS", &["/nonexistent.json"]),
    ("PAYGATE_WXPAY_VERSION", &["2", "v3"]),
    ("PAYGATE_WXPAY_MCH_ID", &["19000000x1"]),
    ("PAYGATE_WXPAY_APP_ID", &["wx-1"]),
    ("PAYGATE_WXPAY_APP_ID_MP_WEIXIN", &["wx-1"]),
    ("PAYGATE_WXPAY_APP_ID_APP_PLUS", &["wx-1"]),
    ("PAYGATE_WXPAY_APP_ID_H5", &["wx-1"]),
    ("PAYGATE_WXPAY_APP_ID_H5_WEIXIN", &["wx-1"]),
    ("PAYGATE_WXPAY_APP_ID_MWEB", &["wx-1"]),
    ("PAYGATE_WXPAY_PRIVATE_KEY", &["no key", "-----BEGIN PRIVATE KEY-----"]),
    ("PAYGATE_WXPAY_CERT", &["no certificate"]),
    ("PAYGATE_WXPAY_SERIAL_NO", &["xyz"]),
    (
        "PAYGATE_WXPAY_API_V3_KEY",
        &["0123456789012345678901234567890", "paygate-mock-api-v3-key-of-32-by"],
    ),
    ("PAYGATE_WXPAY_PUBLIC_KEY", &["no key"]),
    ("PAYGATE_WXPAY_PUBLIC_KEY_ID", &["0114232134912410000000000000"]),
    ("PAYGATE_WXPAY_API_V2_KEY", &["a\tb"]),
    ("PAYGATE_WXPAY_H5_NAME", &["a\nb"]),
    ("PAYGATE_WXPAY_H5_URL", &["shop.example.com"]),
    ("PAYGATE_WXPAY_BASE_URL", &["http://a.b", "https://a.b/x"]),
    ("PAYGATE_ALIPAY_APP_ID", &["app-1"]),
    ("PAYGATE_ALIPAY_APP_ID_MP_ALIPAY", &["app-1"]),
    ("PAYGATE_ALIPAY_APP_ID_APP_PLUS", &["app-1"]),
    ("PAYGATE_ALIPAY_APP_ID_H5", &["app-1"]),
    ("PAYGATE_ALIPAY_PRIVATE_KEY", &["no key"]),
    ("PAYGATE_ALIPAY_PUBLIC_KEY", &["no key"]),
    ("PAYGATE_ALIPAY_SELLER_ID", &["1234567890123456", "2088"]),
    ("PAYGATE_ALIPAY_APP_CERT", &["no certificate"]),
    ("PAYGATE_ALIPAY_PUBLIC_CERT", &["no certificate"]),
    ("PAYGATE_ALIPAY_ROOT_CERT", &["no certificate"]),
    ("PAYGATE_ALIPAY_APP_TO_H5", &["yes"]),
    ("PAYGATE_ALIPAY_H5_PRODUCT", &["page"]),
    ("PAYGATE_ALIPAY_GATEWAY_URL", &["http://a.b", "Sandbox"]),
];

#[test]
fn every_variable_refuses_an_invalid_value_and_is_named() {
    let listed: BTreeSet<&str> = INVALID.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, VARIABLES.iter().map(|var| var.name).collect());
    for (name, values) in INVALID {
        for value in *values {
            let vars = if name.contains("ALIPAY") { live_alipay } else { live };
            let problems = problems(&vars(&[(name, value)]));
            let named = problems.list().iter().any(|problem| problem.variable == *name);
            assert!(named, "{name}={value:?} is not reported:\n{problems}");
        }
    }
}

#[test]
fn no_variable_accepts_bytes_that_are_not_utf_8() {
    for var in VARIABLES {
        let vars = if var.name.contains("ALIPAY") { live_alipay } else { live };
        let problems = problems(&vars(&[(var.name, "a\u{fffd}b")]));
        let is_reported = problems.list().iter().any(|problem| problem.variable == var.name);
        assert!(is_reported, "{} accepts it", var.name);
    }
}

#[cfg(feature = "mock")]
#[test]
fn every_default_and_every_example_is_accepted() {
    for var in VARIABLES {
        let default = match var.default {
            DefaultValue::Fixed(value) => value,
            _ => var.example,
        };
        for value in [default, var.example] {
            if value.starts_with("/run/secrets/") {
                continue;
            }
            let vars = match var.name {
                name if name.contains("ALIPAY") => live_alipay(&[(var.name, value)]),
                "PAYGATE_CORS_ORIGINS" => mock(&[(var.name, value)]),
                "PAYGATE_MODE" if value == "mock" => mock(&[]),
                "PAYGATE_WXPAY_PUBLIC_KEY_ID" => {
                    live(&[(var.name, value), ("PAYGATE_WXPAY_PUBLIC_KEY", &PROVIDER.public_pem)])
                }
                "PAYGATE_WXPAY_H5_NAME" => {
                    live(&[(var.name, value), ("PAYGATE_WXPAY_H5_URL", "https://shop.example.com")])
                }
                "PAYGATE_WXPAY_H5_URL" => {
                    live(&[(var.name, value), ("PAYGATE_WXPAY_H5_NAME", "Example shop")])
                }
                "PAYGATE_PRICING" => {
                    live(&[(var.name, value), ("PAYGATE_PRICING_URL", "https://shop.example.com")])
                }
                "PAYGATE_WEBHOOK_URL" => {
                    live(&[(var.name, value), ("PAYGATE_WEBHOOK_SECRET", WEBHOOK_SECRET)])
                }
                _ => live(&[(var.name, value)]),
            };
            if let Err(problems) = Config::read(&vars) {
                panic!("{}={value} is refused:\n{problems}", var.name);
            }
        }
    }
}

#[test]
fn no_secret_is_ever_shown() {
    const CANARY: &str = "canary";
    let key = format!("{CANARY}{}", "0".repeat(80));
    for (name, value) in [
        ("PAYGATE_ADMIN_TOKEN", "canary-short"),
        ("PAYGATE_CALLER_TOKEN", "canary-short"),
        ("PAYGATE_QUOTE_SECRET", "canary-short"),
        ("PAYGATE_WEBHOOK_SECRET", "whsec_canary!"),
        ("PAYGATE_WXPAY_PRIVATE_KEY", &key),
        ("PAYGATE_WXPAY_API_V3_KEY", "canary-short"),
        ("PAYGATE_ALIPAY_PRIVATE_KEY", &key),
        ("PAYGATE_UPSTREAM", "http://user:canary@a.b"),
        ("PAYGATE_STORE", "postgres://user:canary@db/pay"),
        ("PAYGATE_PUBLIC_URL", "https://user:canary@a.b"),
        ("PAYGATE_PRICING_URL", "https://user:canary@a.b"),
        ("PAYGATE_CALLER_TOKEN_FILE", "canary-in-place-of-a-path"),
        ("PAYGATE_ALERT_URL", "ftp://canary.example.com/canary?key=canary"),
        ("PAYGATE_ALERT_SECRET", "canary canary"),
    ] {
        let vars = live(&[(name, value)]);
        let problems = problems(&vars);
        for text in [problems.to_string(), format!("{problems:?}")] {
            assert!(!text.contains(CANARY), "{name} is shown:\n{text}");
        }
    }
    let config = Config::read(&live(&[
        ("PAYGATE_ADMIN_TOKEN", "canary-admin-token-0123456789abcdef"),
        ("PAYGATE_QUOTE_SECRET", "canary-quote-secret-0123456789abcdef"),
        ("PAYGATE_PRICING_URL", "https://a.b/price?key=canary"),
        ("PAYGATE_WEBHOOK_URL", "https://canary@a.b/{type}?key=canary"),
        ("PAYGATE_WEBHOOK_SECRET", "whsec_canarycanarycanarycanarycanarycanary"),
        ("PAYGATE_WXPAY_API_V2_KEY", "canary"),
        ("PAYGATE_ALERT_URL", "https://open.feishu.cn/open-apis/bot/v2/hook/canary-1"),
        ("PAYGATE_ALERT_SECRET", "canary-2"),
        ("PAYGATE_WXPAY_CERT", &SHOP.cert_pem),
        ("PAYGATE_WXPAY_SERIAL_NO", ""),
    ]))
    .unwrap();
    let debug =
        format!("{config:?} {:?} {:?} {:?}", config.merchants, config.webhook, config.pricing)
            + &format!("{:?}", config.alerts);
    for text in [config.describe(), debug] {
        assert!(!text.contains(CANARY), "{text}");
        assert!(!text.contains("MII"), "{text}");
    }
}

#[test]
fn help_and_the_readmes_table_hold_every_variable() {
    let (help, table) = (help::text(), help::markdown_table());
    for var in VARIABLES {
        assert!(help.contains(var.doc) && help.contains(var.name), "{}", var.name);
        assert!(table.contains(&format!("| `{}`", var.name)), "{}", var.name);
        assert!(!var.doc.is_empty() && !var.form.is_empty() && !var.example.is_empty());
        assert!(var.doc.ends_with('.'), "{}", var.name);
    }
    for word in ["serve", "check", "mock", "schema", "health", "64", "69", "70"] {
        assert!(help.contains(word), "{word}");
    }
    assert!(help.contains("PAYGATE_CALLER_TOKEN or PAYGATE_CALLER_TOKEN_FILE"));
}

/// The reference example of Standard Webhooks.
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

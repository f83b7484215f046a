//! Live mode: required variables, and variables that contradict each other.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use paygate::config::{Config, PricingChoice};
use paygate::domain::{DAY_MS, PayType};
use paygate::provider::{alipay, wxpay};
use paygate::{Clock as _, Secret, SystemClock};

use super::kit::{API_V3_KEY, PROVIDER, SHOP, TOKEN, live, live_alipay, problems, refused, with};

#[test]
fn live_mode_needs_a_store_a_public_url_a_price_and_a_merchant() {
    let problems = problems(&with(&[("PAYGATE_MODE", "live")]));
    let named: Vec<_> = problems.list().iter().map(|it| it.variable.as_str()).collect();
    let required =
        ["PAYGATE_PUBLIC_URL", "PAYGATE_STORE", "PAYGATE_PRICING", "PAYGATE_WXPAY_MCH_ID"];
    assert_eq!(named, required);
    assert!(problems.to_string().contains("error 101: no usable notify URL"));
}

#[test]
fn a_provider_is_complete_or_absent() {
    for (name, words) in [
        ("PAYGATE_WXPAY_MCH_ID", "is required"),
        ("PAYGATE_WXPAY_APP_ID", "is required"),
        ("PAYGATE_WXPAY_PRIVATE_KEY", "is required"),
        ("PAYGATE_WXPAY_API_V3_KEY", "is required"),
    ] {
        refused(&live(&[(name, "")]), name, words);
    }
    refused(&live(&[("PAYGATE_WXPAY_SERIAL_NO", "")]), "PAYGATE_WXPAY_CERT", "is required");
    for name in ["PAYGATE_ALIPAY_APP_ID", "PAYGATE_ALIPAY_PRIVATE_KEY", "PAYGATE_ALIPAY_PUBLIC_KEY"]
    {
        refused(&live_alipay(&[(name, "")]), name, "is required");
    }
    let vars = live(&[("PAYGATE_ALIPAY_APP_ID_H5", "2014072300007148")]);
    let text = problems(&vars).to_string();
    assert!(text.contains("PAYGATE_ALIPAY_PRIVATE_KEY: is required"), "{text}");
}

#[test]
fn an_app_id_serves_every_pay_type_that_has_none_of_its_own() {
    let config = Config::read(&live(&[("PAYGATE_WXPAY_APP_ID_MWEB", "wxmweb")])).unwrap();
    let apps = &config.merchants[0].wxpay.as_ref().unwrap().apps;
    assert_eq!(apps.len(), 5);
    assert_eq!(apps[&PayType::WxpayMweb].app_id, "wxmweb");
    assert_eq!(apps[&PayType::WxpayH5].app_id, "wxd678efh567hg6787");
    let only = [("PAYGATE_WXPAY_APP_ID", ""), ("PAYGATE_WXPAY_APP_ID_H5", "wxqr")];
    let config = Config::read(&live(&only)).unwrap();
    assert_eq!(config.merchants[0].pay_types(), [PayType::WxpayH5]);
    let account = &config.merchants[0].wxpay.as_ref().unwrap().apps[&PayType::WxpayH5].account;
    assert_eq!(account.serial_no, "5157F09EFDC096DE15EBE81A47057A7232F1B8E1");
    assert!(matches!(account.verification, wxpay::WxpayVerification::Certificates));
}

#[test]
fn wechats_public_key_and_its_id_go_together() {
    let key = ("PAYGATE_WXPAY_PUBLIC_KEY", PROVIDER.public_pem.as_str());
    let id = ("PAYGATE_WXPAY_PUBLIC_KEY_ID", "PUB_KEY_ID_0114232134912410000000000000");
    refused(&live(&[key]), "PAYGATE_WXPAY_PUBLIC_KEY_ID", "is required with the public key");
    refused(&live(&[id]), "PAYGATE_WXPAY_PUBLIC_KEY", "is required with the public key's id");
    refused(
        &live(&[("PAYGATE_WXPAY_PUBLIC_KEY", &SHOP.public_pem), id]),
        "PAYGATE_WXPAY_PUBLIC_KEY",
        "the other half of the private key",
    );
    let config = Config::read(&live(&[key, id])).unwrap();
    let apps = &config.merchants[0].wxpay.as_ref().unwrap().apps;
    let verification = &apps[&PayType::WxpayH5].account.verification;
    assert!(matches!(verification, wxpay::WxpayVerification::PublicKey { .. }));
}

#[test]
fn the_sites_name_and_url_go_together() {
    let name = ("PAYGATE_WXPAY_H5_NAME", "Example shop");
    let url = ("PAYGATE_WXPAY_H5_URL", "https://shop.example.com");
    refused(&live(&[name]), "PAYGATE_WXPAY_H5_URL", "is required with");
    refused(&live(&[url]), "PAYGATE_WXPAY_H5_NAME", "is required with");
    let config = Config::read(&live(&[name, url])).unwrap();
    let apps = &config.merchants[0].wxpay.as_ref().unwrap().apps;
    assert_eq!(apps[&PayType::WxpayMweb].site.as_ref().unwrap().name, "Example shop");
}

#[test]
fn alipay_is_configured_by_key_or_by_certificates() {
    let config = Config::read(&live_alipay(&[])).unwrap();
    let merchant = config.merchants[0].alipay.as_ref().unwrap();
    let app = &merchant.apps[&PayType::AlipayH5];
    assert!(matches!(app.verification, alipay::AlipayVerification::PublicKey(_)));
    let certificates = [
        ("PAYGATE_ALIPAY_APP_CERT", SHOP.cert_pem.as_str()),
        ("PAYGATE_ALIPAY_PUBLIC_CERT", &PROVIDER.cert_pem),
        ("PAYGATE_ALIPAY_ROOT_CERT", &PROVIDER.cert_pem),
    ];
    refused(&live_alipay(&certificates), "PAYGATE_ALIPAY_PUBLIC_KEY", "is for key mode");
    let without_key = [&certificates[..], &[("PAYGATE_ALIPAY_PUBLIC_KEY", "")]].concat();
    let config = Config::read(&live_alipay(&without_key)).unwrap();
    let app = &config.merchants[0].alipay.as_ref().unwrap().apps[&PayType::AlipayH5];
    assert!(matches!(app.verification, alipay::AlipayVerification::Certificates { .. }));
    let mut incomplete = without_key.clone();
    incomplete[2].1 = "";
    refused(&live_alipay(&incomplete), "PAYGATE_ALIPAY_ROOT_CERT", "is required with the other");
    let own = [("PAYGATE_ALIPAY_PUBLIC_KEY", SHOP.public_pem.as_str())];
    refused(&live_alipay(&own), "PAYGATE_ALIPAY_PUBLIC_KEY", "the other half");
}

#[test]
fn live_mode_uses_the_real_providers_by_default() {
    let own = "https://proxy.example.com/";
    for (url, reached) in [
        ("", "https://api.mch.weixin.qq.com/"),
        ("https://api.mch.weixin.qq.com", "https://api.mch.weixin.qq.com/"),
        (own, own),
    ] {
        let config = Config::read(&live(&[("PAYGATE_WXPAY_BASE_URL", url)])).unwrap();
        let merchant = config.merchants[0].wxpay.as_ref().unwrap();
        assert_eq!(merchant.apps[&PayType::WxpayH5].account.base_url.as_str(), reached);
    }
    let real = "https://openapi.alipay.com/gateway.do";
    for (url, reached) in [
        ("", real),
        (real, real),
        ("sandbox", "https://openapi-sandbox.dl.alipaydev.com/gateway.do"),
    ] {
        let config = Config::read(&live_alipay(&[("PAYGATE_ALIPAY_GATEWAY_URL", url)])).unwrap();
        let merchant = config.merchants[0].alipay.as_ref().unwrap();
        assert_eq!(merchant.apps[&PayType::AlipayH5].gateway_url.as_str(), reached);
    }
}

#[test]
fn features_of_later_versions_are_refused_in_plain_words() {
    let words = "this version does not have yet";
    refused(&live(&[("PAYGATE_WXPAY_VERSION", "2")]), "PAYGATE_WXPAY_VERSION", words);
    refused(&live(&[("PAYGATE_STORE", "postgres://u:p@db/pay")]), "PAYGATE_STORE", words);
}

#[test]
fn each_kind_of_pricing_needs_its_own_variable() {
    for (pricing, name) in [
        ("trusted", "PAYGATE_CALLER_TOKEN"),
        ("quote", "PAYGATE_QUOTE_SECRET"),
        ("callback", "PAYGATE_PRICING_URL"),
    ] {
        let vars = live(&[("PAYGATE_PRICING", pricing), ("PAYGATE_CALLER_TOKEN", "")]);
        let text = problems(&vars).to_string();
        let expected = format!("{name}: is required with PAYGATE_PRICING={pricing}");
        assert!(text.contains(&expected), "{text}");
    }
}

#[test]
fn the_shop_sets_the_price_by_quotes_or_when_it_is_asked() {
    let secret = "0123456789abcdef0123456789abcdef";
    let quote = [("PAYGATE_PRICING", "quote"), ("PAYGATE_QUOTE_SECRET", secret)];
    let url = "http://shop.internal:3000/price?key=x";
    let callback = [("PAYGATE_PRICING", "callback"), ("PAYGATE_PRICING_URL", url)];
    for (vars, choice) in [
        (quote, PricingChoice::Quote(Secret::new(secret))),
        (callback, PricingChoice::Callback(url.parse().unwrap())),
    ] {
        let pages = ("PAYGATE_CORS_ORIGINS", "https://shop.example.com");
        let config = Config::read(&live(&[&vars[..], &[pages]].concat())).unwrap();
        assert!(config.pricing == choice, "{:?}", config.pricing);
    }
}

#[test]
fn no_page_holds_the_callers_token() {
    let vars = live(&[("PAYGATE_CORS_ORIGINS", "https://shop.example.com")]);
    refused(&vars, "PAYGATE_CORS_ORIGINS", "cannot be used with PAYGATE_PRICING=trusted");
}

#[test]
fn a_webhook_needs_a_secret() {
    let url = ("PAYGATE_WEBHOOK_URL", "https://shop.example.com/events/{type}");
    refused(&live(&[url]), "PAYGATE_WEBHOOK_SECRET", "is required with PAYGATE_WEBHOOK_URL");
    let [old, new] = ["old", "new"].map(|key| key.repeat(8));
    let secret = |key: &str| format!("whsec_{}", STANDARD.encode(key));
    let rotated = format!("{},{}", secret(&new), secret(&old));
    for (secret, keys) in [(secret(&old), vec![&old]), (rotated, vec![&new, &old])] {
        let config = Config::read(&live(&[url, ("PAYGATE_WEBHOOK_SECRET", &secret)])).unwrap();
        let keys: Vec<_> = keys.into_iter().map(|key| key.clone().into_bytes()).collect();
        // What the shop gets, too: the secret's form, and not the secret.
        let lengths = vec!["24 bytes"; keys.len()].join(" and ");
        let text = config.describe();
        assert!(text.contains(&format!("with keys of {lengths}; the shop's library")), "{text}");
        assert!(!text.contains(secret.as_str()) && text.contains("with whsec_"), "{text}");
        assert_eq!(config.webhook.unwrap().keys, keys);
    }
    let config = Config::read(&live(&[])).unwrap();
    assert!(config.warnings.iter().any(|it| it.contains("PAYGATE_WEBHOOK_URL is not set")));
}

#[test]
fn all_calls_of_a_request_last_at_least_as_long_as_one() {
    let vars = live(&[("PAYGATE_CALL_TIMEOUT", "21s")]);
    refused(&vars, "PAYGATE_CALL_BUDGET", "is shorter than PAYGATE_CALL_TIMEOUT");
    Config::read(&live(&[("PAYGATE_CALL_TIMEOUT", "20s")])).unwrap();
}

#[test]
fn a_stop_that_may_cut_a_call_is_warned_of() {
    let warned = |vars: &[(&str, &str)]| {
        let config = Config::read(&live(vars)).unwrap();
        config.warnings.iter().any(|it| it.contains("PAYGATE_SHUTDOWN_GRACE is shorter"))
    };
    assert!(warned(&[("PAYGATE_CALL_BUDGET", "40s")]));
    assert!(!warned(&[("PAYGATE_CALL_BUDGET", "40s"), ("PAYGATE_SHUTDOWN_GRACE", "40s")]));
    assert!(!warned(&[]));
}

#[test]
fn a_lease_is_longer_than_the_budget_where_there_are_leases() {
    Config::read(&live(&[("PAYGATE_LEASE", "1s")])).unwrap();
    let vars = live(&[("PAYGATE_STORE", "postgres://db/pay"), ("PAYGATE_LEASE", "29s")]);
    let text = problems(&vars).to_string();
    assert!(text.contains("PAYGATE_LEASE: is shorter than PAYGATE_CALL_BUDGET and 10s"), "{text}");
}

#[test]
fn live_orders_are_not_kept_in_memory() {
    refused(&live(&[("PAYGATE_STORE", "memory:")]), "PAYGATE_STORE", "forgets orders");
}

#[test]
fn a_notify_url_fits_the_providers() {
    let long = format!("https://pay.example.com/{}", "x".repeat(170));
    let mount = format!("/{}", "y".repeat(60));
    Config::read(&live(&[("PAYGATE_PUBLIC_URL", &long)])).unwrap();
    let vars = live(&[("PAYGATE_PUBLIC_URL", &long), ("PAYGATE_MOUNT", &mount)]);
    refused(&vars, "PAYGATE_PUBLIC_URL", "error 101");
}

#[test]
fn two_secrets_of_a_configuration_differ() {
    let webhook = format!("whsec_{}", STANDARD.encode("a secret of 24 bytes or more"));
    let url = ("PAYGATE_WEBHOOK_URL", "https://shop.example.com/events");
    refused(
        &live(&[("PAYGATE_ADMIN_TOKEN", TOKEN)]),
        "PAYGATE_CALLER_TOKEN",
        "is the same secret as PAYGATE_ADMIN_TOKEN",
    );
    let one_of_two = [url, ("PAYGATE_WEBHOOK_SECRET", &webhook), ("PAYGATE_ADMIN_TOKEN", &webhook)];
    refused(
        &live(&one_of_two),
        "PAYGATE_WEBHOOK_SECRET",
        "is the same secret as PAYGATE_ADMIN_TOKEN",
    );
    let twice = format!("{webhook}, {webhook}");
    refused(
        &live(&[url, ("PAYGATE_WEBHOOK_SECRET", &twice)]),
        "PAYGATE_WEBHOOK_SECRET",
        "holds one secret twice",
    );
    refused(
        &live(&[("PAYGATE_ADMIN_TOKEN", API_V3_KEY)]),
        "PAYGATE_WXPAY_API_V3_KEY",
        "is the same secret as PAYGATE_ADMIN_TOKEN",
    );
    // One key pair for both providers, and one key for both versions of WeChat Pay's API.
    let shared = [
        ("PAYGATE_ALIPAY_APP_ID", "2014072300007148"),
        ("PAYGATE_ALIPAY_PRIVATE_KEY", SHOP.private_pem.as_str()),
        ("PAYGATE_ALIPAY_PUBLIC_KEY", &PROVIDER.public_pem),
        ("PAYGATE_WXPAY_API_V2_KEY", API_V3_KEY),
    ];
    Config::read(&live(&shared)).unwrap();
}

/// A certificate of the shop's key that ends so many days from today.
fn certificate_for_days(days: i64) -> String {
    let key = rcgen::KeyPair::from_pem(&SHOP.private_pem).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x51, 0x57, 0xf0]));
    let ends = SystemClock.now().plus(days * DAY_MS).to_rfc3339();
    let mut parts = ends.split(['-', 'T']).map(|part| part.parse::<u16>().unwrap_or_default());
    let mut part = || parts.next().unwrap();
    let year = part().into();
    let [month, day] = [part(), part()].map(|part| u8::try_from(part).unwrap());
    params.not_after = rcgen::date_time_ymd(year, month, day);
    params.self_signed(&key).unwrap().pem()
}

#[test]
fn a_certificate_that_has_ended_or_ends_within_30_days_is_a_warning_with_its_serial_and_end() {
    for (days, words) in [
        (-400, Some("ended at 20")),
        (-2, Some("ended at 20")),
        (3, Some(" days: set its successor")),
        (29, Some(" days: set its successor")),
        (33, None),
        (300, None),
    ] {
        let pem = certificate_for_days(days);
        let wxpay = live(&[("PAYGATE_WXPAY_SERIAL_NO", ""), ("PAYGATE_WXPAY_CERT", &pem)]);
        let alipay = live_alipay(&[
            ("PAYGATE_ALIPAY_PUBLIC_KEY", ""),
            ("PAYGATE_ALIPAY_APP_CERT", &pem),
            ("PAYGATE_ALIPAY_PUBLIC_CERT", &PROVIDER.cert_pem),
            ("PAYGATE_ALIPAY_ROOT_CERT", &PROVIDER.cert_pem),
        ]);
        for (vars, name) in [(wxpay, "PAYGATE_WXPAY_CERT"), (alipay, "PAYGATE_ALIPAY_APP_CERT")] {
            let config = Config::read(&vars).unwrap();
            let start = format!("{name}: the certificate 5157F0 end");
            let warned = config.warnings.iter().filter(|warning| warning.starts_with(&start));
            let warned: Vec<_> = warned.collect();
            assert_eq!(warned.len(), usize::from(words.is_some()), "{days} days: {warned:?}");
            assert!(warned.iter().all(|it| it.contains(words.unwrap())), "{warned:?}");
            let printed = format!("certificate {name}: serial number 5157F0, ends at 20");
            assert!(config.describe().contains(&printed), "{}", config.describe());
        }
    }
}

#[test]
fn a_public_url_inside_the_network_is_a_warning_with_the_notify_url() {
    for (url, is_inner) in [
        ("https://pay.example.com", false),
        ("https://8.8.8.8", false),
        ("https://localhost", true),
        ("http://localhost:8787", true),
        ("http://127.0.0.1:8787", true),
        ("https://10.1.2.3/shop", true),
        ("https://192.168.1.10", true),
        ("https://169.254.10.1", true),
        ("https://[fe80::1]", true),
        ("https://[fd00::1]", true),
        ("https://paygate", true),
        ("https://pay.shop.internal", true),
        ("https://printer.local", true),
    ] {
        let config = Config::read(&live(&[("PAYGATE_PUBLIC_URL", url)])).unwrap();
        let words = format!(
            "PAYGATE_PUBLIC_URL is an address inside your network: no provider reaches \
             {url}/pay/notify/wxpay/wxpay_mp-weixin/default, and paygate"
        );
        let warned = config.warnings.iter().any(|warning| warning.starts_with(&words));
        assert_eq!(warned, is_inner, "{url}: {:?}", config.warnings);
    }
}

#[test]
fn the_host_of_the_url_decides_the_form_of_alerts_unless_it_is_named() {
    use paygate::config::AlertFormat::{Dingtalk, Feishu, Json, Wecom};

    const URL: &str = "PAYGATE_ALERT_URL";
    let read = |set: &[(&str, &str)]| Config::read(&live(set)).unwrap();
    for (url, format) in [
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k", Wecom),
        ("https://oapi.dingtalk.com/robot/send?access_token=t", Dingtalk),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/h", Feishu),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/h", Feishu),
        ("http://127.0.0.1:9000/alerts", Json),
    ] {
        assert_eq!(read(&[(URL, url)]).alerts.unwrap().format, format, "{url}");
    }
    let behind = [(URL, "http://proxy.internal/robot"), ("PAYGATE_ALERT_FORMAT", "feishu")];
    let signed = [behind[0], behind[1], ("PAYGATE_ALERT_SECRET", "s")];
    assert_eq!(read(&behind).alerts.unwrap().format, Feishu);
    let described = read(&signed).describe();
    assert!(described.contains("to Feishu at proxy.internal, signed; "), "{described}");
    let warned = |set: &[(&str, &str)], word: &str| {
        let warnings = read(set).warnings;
        assert!(warnings.iter().any(|warning| warning.contains(word)), "{warnings:?}");
    };
    warned(&signed[1..], "PAYGATE_ALERT_SECRET has no effect without PAYGATE_ALERT_URL");
    warned(&signed[1..], "PAYGATE_ALERT_FORMAT has no effect without PAYGATE_ALERT_URL");
    warned(&[behind[0], signed[2]], "PAYGATE_ALERT_SECRET has no effect: an endpoint that takes");
    refused(&live(&[(URL, "http://oapi.dingtalk.com/robot/send")]), URL, "is not https");
}

//! The caller's context: address, platform, PC or not, and which sources it trusts.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use paygate::domain::Platform;
use paygate::error::Code;
use paygate::testing::address::is_public;
use paygate::testing::caller::{
    Browser, CallerRules, ClientClaims, ClientInfo, claims_from_header, claims_from_json,
    client_info_malformed, client_ip, observe, resolve,
};
use paygate::{CallerContext, TrustedProxies};
use proptest::prelude::*;
use serde_json::{Value, json};

const PROXY: &str = "10.0.0.1";
const UNTRUSTED: &str = "114.114.114.114";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2_1 like Mac OS X) Mobile/15E148";
const MAC_SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15";

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            name.parse::<HeaderName>().expect("a header name"),
            HeaderValue::from_bytes(value.as_bytes()).expect("a header value"),
        );
    }
    headers
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn proxies(list: &str) -> TrustedProxies {
    list.parse().expect("a list of networks")
}

// ---- the address ----

/// The address behind a trusted proxy at [`PROXY`] (and its siblings in 10.0.0.0/8) that sent
/// these `X-Forwarded-For` lines.
fn check_forwarded(lines: &[&str], expected: Option<&str>) {
    let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
    let found = client_ip(Some(ip(PROXY)), &headers(&lines), &proxies("10.0.0.0/8, fd00::/8"));
    assert_eq!(found, expected.map(ip), "{lines:?}");
}

#[test]
fn an_untrusted_peer_cannot_forward_an_address() {
    let forwarded = headers(&[("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4")]);
    for trusted in ["", "10.0.0.0/8"] {
        let found = client_ip(Some(ip(UNTRUSTED)), &forwarded, &proxies(trusted));
        assert_eq!(found, Some(ip(UNTRUSTED)), "{trusted:?}");
    }
    assert_eq!(client_ip(None, &forwarded, &proxies("10.0.0.0/8")), None);
}

#[test]
fn the_right_most_address_that_is_no_proxy_is_the_caller() {
    check_forwarded(&["1.2.3.4"], Some("1.2.3.4"));
    check_forwarded(&["6.6.6.6, 1.2.3.4"], Some("1.2.3.4"));
    check_forwarded(&["6.6.6.6, 1.2.3.4, 10.0.0.9,10.0.0.8"], Some("1.2.3.4"));
    check_forwarded(&["6.6.6.6, 1.2.3.4", "fd00::1"], Some("1.2.3.4"));
    check_forwarded(&["6.6.6.6", "7.7.7.7, 1.2.3.4", "10.0.0.9"], Some("1.2.3.4"));
}

#[test]
fn a_request_of_the_proxies_themselves_has_their_left_most_address() {
    check_forwarded(&["10.0.0.7, 10.0.0.8"], Some("10.0.0.7"));
    check_forwarded(&[], Some(PROXY));
}

#[test]
fn ports_and_brackets_are_read() {
    check_forwarded(&["1.2.3.4:5678"], Some("1.2.3.4"));
    check_forwarded(&["2408:8000::1"], Some("2408:8000::1"));
    check_forwarded(&["[2408:8000::1]"], Some("2408:8000::1"));
    check_forwarded(&["[2408:8000::1]:443, 10.0.0.3:80"], Some("2408:8000::1"));
}

#[test]
fn a_mapped_address_is_an_ipv4_address() {
    check_forwarded(&["::ffff:1.2.3.4"], Some("1.2.3.4"));
    check_forwarded(&["1.2.3.4, ::ffff:10.0.0.9"], Some("1.2.3.4"));
    let peer = Some(ip("::ffff:10.0.0.1"));
    let found = client_ip(peer, &headers(&[("x-forwarded-for", "1.2.3.4")]), &proxies("10.0.0.1"));
    assert_eq!(found, Some(ip("1.2.3.4")));
    assert_eq!(client_ip(peer, &HeaderMap::new(), &proxies("")), Some(ip("10.0.0.1")));
}

#[test]
fn an_item_that_is_no_address_leaves_the_caller_unknown() {
    let invalid = [
        "",
        " ",
        "unknown",
        "_hidden",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4:99999",
        "1.2.3.4:",
        "[1.2.3.4]",
        "[2408::1",
        "2408::1]",
        "fe80::1%eth0",
        "[fe80::1%2]:80",
        "[fe80::1%2]",
        "\"1.2.3.4\"",
        "for=1.2.3.4",
        "１.2.3.4",
        "1.2.3.4;5.6.7.8",
    ];
    for item in invalid {
        check_forwarded(&[&format!("1.2.3.4, {item}")], None);
        check_forwarded(&[&format!("1.2.3.4, {item}, 10.0.0.9")], None);
        check_forwarded(&["1.2.3.4", item], None);
        check_forwarded(&[&format!("{item}, 1.2.3.4")], Some("1.2.3.4"));
    }
}

#[test]
fn a_list_without_end_costs_a_bounded_walk() {
    check_forwarded(&["10.0.0.2,".repeat(70).trim_end_matches(',')], None);
    check_forwarded(&["10.0.0.2"; 65], None);
    check_forwarded(&["10.0.0.2"; 64], Some("10.0.0.2"));
    check_forwarded(&[&format!("1.2.3.4,{}10.0.0.2", " ".repeat(9_000))], None);
    let padded = |length: usize| format!("{:>length$}", "10.0.0.2");
    check_forwarded(&[&padded(8 * 1024 - 1)], Some("10.0.0.2"));
    check_forwarded(&[&padded(8 * 1024)], None);
    // Only the searched items count: the client's junk cannot hide the client.
    check_forwarded(&[&format!("{}, 1.2.3.4, 10.0.0.2", "x,".repeat(50_000))], Some("1.2.3.4"));
}

#[test]
fn only_the_one_header_is_read() {
    let others = headers(&[
        ("forwarded", "for=1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
        ("true-client-ip", "1.2.3.4"),
    ]);
    let found = client_ip(Some(ip(PROXY)), &others, &proxies(PROXY));
    assert_eq!(found, Some(ip(PROXY)));
}

#[test]
fn proxies_are_networks_or_addresses_and_never_everybody() {
    let trusted = proxies("10.0.0.0/8,127.0.0.1  fd00::/8,\n::ffff:192.168.0.0/120");
    for inside in ["10.9.9.9", "127.0.0.1", "fd00::7", "192.168.0.9", "::ffff:10.1.1.1"] {
        assert!(trusted.contains(ip(inside)), "{inside}");
    }
    for outside in ["11.0.0.1", "127.0.0.2", "fe00::7", "192.168.1.9"] {
        assert!(!trusted.contains(ip(outside)), "{outside}");
    }
    assert!(proxies(" , ").is_empty());
    for invalid in
        ["0.0.0.0/0", "::/0", "::ffff:0:0/96", "10.0.0.0/33", "10.0.0", "proxy", "fe80::1%1"]
    {
        let error = format!("10.0.0.1 {invalid}").parse::<TrustedProxies>().unwrap_err();
        assert_eq!(error.refused, [invalid]);
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
    }
    let both = "proxy,10.0.0.1,0.0.0.0/0".parse::<TrustedProxies>().unwrap_err();
    assert_eq!(both.refused, ["proxy", "0.0.0.0/0"], "every problem is reported at once");
    let networks = |list: &[&str]| -> Vec<IpNet> {
        list.iter().map(|item| item.parse().expect("a network")).collect()
    };
    let trusted = TrustedProxies::try_from(networks(&["10.0.0.0/8", "::ffff:127.0.0.0/104"]));
    assert!(trusted.unwrap().contains(ip("127.0.0.1")));
    let everybody = TrustedProxies::try_from(networks(&["10.0.0.0/8", "0.0.0.0/0"]));
    assert_eq!(everybody.unwrap_err().refused, ["0.0.0.0/0"]);
}

#[test]
fn a_forgotten_proxy_is_warned_of_once() {
    let warnings = Arc::new(AtomicUsize::new(0));
    let forwarded = headers(&[("x-forwarded-for", "1.2.3.4")]);
    tracing::subscriber::with_default(CountEvents(warnings.clone()), || {
        let trusted = TrustedProxies::default();
        let _ = client_ip(Some(ip(UNTRUSTED)), &forwarded, &trusted);
        let _ = client_ip(Some(ip(PROXY)), &HeaderMap::new(), &trusted);
        assert_eq!(warnings.load(Ordering::Relaxed), 0, "nothing was forgotten");
        for _ in 0..3 {
            assert_eq!(client_ip(Some(ip(PROXY)), &forwarded, &trusted.clone()), Some(ip(PROXY)));
        }
        let _ = client_ip(Some(ip(PROXY)), &forwarded, &proxies("192.168.0.0/16"));
    });
    assert_eq!(warnings.load(Ordering::Relaxed), 1);
}

struct CountEvents(Arc<AtomicUsize>);

impl tracing::Subscriber for CountEvents {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        assert_eq!(*event.metadata().level(), tracing::Level::WARN);
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn what_the_internet_cannot_reach_is_not_public() {
    let private = [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.1.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::101:101",
        "100::1",
        "2001::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:808:808::1",
        "3fff::1",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "ff02::1",
    ];
    for address in private {
        assert!(!is_public(ip(address)), "{address}");
    }
    let public = [
        "1.1.1.1",
        "100.63.0.1",
        "100.128.0.1",
        "114.114.114.114",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.255",
        "::ffff:114.114.114.114",
        "2001:200::1",
        "2408:8000::1",
        "2606:4700::1",
    ];
    for address in public {
        assert!(is_public(ip(address)), "{address}");
    }
}

// ---- platform, PC, browser ----

#[test]
fn every_known_user_agent_is_distinguished() {
    let lines = include_str!("user_agents.txt").lines();
    let rows = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut checked = 0;
    for row in rows {
        let mut columns = row.splitn(5, ' ');
        let mut column = || columns.next().unwrap();
        let (platform, device, browser, system) = (column(), column(), column(), column());
        let agent = column();
        let found = observe(&headers(&[("user-agent", agent)]), None, &proxies(""));
        assert_eq!(found.platform.name(), platform, "{agent}");
        assert_eq!(if found.is_pc { "pc" } else { "handheld" }, device, "{agent}");
        assert_eq!(format!("{:?}", found.browser).to_lowercase(), browser, "{agent}");
        assert_eq!(found.os.as_deref().unwrap_or("-"), system, "{agent}");
        assert_eq!(found.user_agent, agent);
        checked += 1;
    }
    assert!(checked >= 40, "{checked} user agents");
}

/// The caller with this `x-client-info` (plain, encoded here), body and user agent.
fn described(header: Value, body: Value, agent: &str) -> CallerContext {
    let encode = percent_encoding::NON_ALPHANUMERIC;
    let info = percent_encoding::utf8_percent_encode(&header.to_string(), encode).to_string();
    let headers = headers(&[("x-client-info", &info), ("user-agent", agent)]);
    let declared = ClientInfo { claims: &claims_from_json(&body), is_pc: None };
    resolve(&headers, Some(ip(UNTRUSTED)), declared, &CallerRules::default())
        .expect("an untrusted body is ignored, so it cannot be invalid")
}

#[test]
fn the_header_wins_over_the_body_and_the_body_over_the_user_agent() {
    let agent = "Mozilla/5.0 (Linux; Android 14) Mobile Html5Plus/1.0";
    let (weixin, alipay) = (json!({"PLATFORM": "mp-weixin"}), json!({"PLATFORM": "mp-alipay"}));
    let platform =
        |header: &Value, body: &Value| described(header.clone(), body.clone(), agent).platform;
    assert_eq!(platform(&weixin, &alipay), Platform::MpWeixin);
    assert_eq!(platform(&json!({}), &alipay), Platform::MpAlipay);
    assert_eq!(platform(&json!({"platform": "android"}), &alipay), Platform::MpAlipay);
    assert_eq!(platform(&json!({}), &json!({})), Platform::App);
}

#[test]
fn a_system_is_no_platform() {
    for system in ["ios", "android", "windows", "mac", "linux", "devtools", ""] {
        let found = described(json!({ "platform": system }), json!({}), IPHONE);
        assert_eq!(found.platform, Platform::H5, "{system}");
        let both = described(json!({"PLATFORM": system, "uniPlatform": "app"}), json!({}), IPHONE);
        assert_eq!(both.platform, Platform::App, "{system}");
    }
}

#[test]
fn old_and_new_names_of_a_platform_mean_the_same() {
    let names = [
        ("h5", Platform::H5),
        ("web", Platform::H5),
        ("H5", Platform::H5),
        ("app", Platform::App),
        ("app-plus", Platform::App),
        ("app-harmony", Platform::App),
        ("mp-weixin", Platform::MpWeixin),
        ("mp-alipay", Platform::MpAlipay),
        ("mp-baidu", Platform::Other),
        ("quickapp-webview", Platform::Other),
        ("quickapp", Platform::Other),
    ];
    for (name, platform) in names {
        for key in ["PLATFORM", "uniPlatform", "platform"] {
            let found = described(json!({ key: name }), json!({}), MAC_SAFARI);
            assert_eq!(found.platform, platform, "{key}: {name}");
        }
    }
}

#[test]
fn either_casing_is_read_and_the_upper_one_wins() {
    let upper = json!({
        "PLATFORM": "app", "OS": "android", "APPID": "__UNI__1", "DEVICEID": "d1",
        "LOCALE": "zh-Hans", "CLIENTIP": "1.1.1.1", "CLIENTUA": "u1",
    });
    let camel = json!({
        "uniPlatform": "web", "osName": "ios", "appId": "__UNI__2", "deviceId": "d2",
        "locale": "en", "clientIP": "2.2.2.2", "userAgent": "u2", "deviceType": "phone",
    });
    let both = |a: &Value, b: &Value| {
        let mut all = a.as_object().unwrap().clone();
        all.extend(b.as_object().unwrap().clone());
        claims_from_json(&Value::Object(all))
    };
    let fields_of = |claims: ClientClaims| {
        let ClientClaims { platform, os, app_id, device_id, locale, client_ip, user_agent, .. } =
            claims;
        [platform, os, app_id, device_id, locale, client_ip, user_agent].map(Option::unwrap)
    };
    let one = ["app", "android", "__UNI__1", "d1", "zh-Hans", "1.1.1.1", "u1"];
    let two = ["web", "ios", "__UNI__2", "d2", "en", "2.2.2.2", "u2"];
    assert_eq!(fields_of(claims_from_json(&upper)), one);
    assert_eq!(fields_of(claims_from_json(&camel)), two);
    assert_eq!(fields_of(both(&upper, &camel)), one);
    assert_eq!(fields_of(both(&camel, &upper)), one);
    let empty = json!({"OS": "", "osName": "ios", "APPID": null, "appId": "__UNI__2", "LOCALE": 1});
    let claims = claims_from_json(&empty);
    assert_eq!(claims.os.as_deref(), Some("ios"));
    assert_eq!(claims.app_id.as_deref(), Some("__UNI__2"));
    assert_eq!(claims.locale, None);
}

#[test]
fn chinese_texts_survive_the_header() {
    let found = described(json!({"DEVICEID": "我的手机", "osName": "harmonyos"}), json!({}), "");
    assert_eq!(found.device_id.as_deref(), Some("我的手机"));
    assert_eq!(found.os.as_deref(), Some("harmonyos"));
}

#[test]
fn a_client_info_of_8_kib_is_read() {
    let filled = |length: usize| format!("{:>length$}", r#"{"PLATFORM":"app"}"#);
    for (length, platform) in [(8 * 1024, Platform::App), (8 * 1024 + 1, Platform::H5)] {
        let headers = headers(&[("x-client-info", &filled(length)), ("user-agent", IPHONE)]);
        assert_eq!(observe(&headers, None, &proxies("")).platform, platform, "{length}");
    }
}

#[test]
fn a_malformed_client_info_is_counted_and_nothing_else() {
    let huge = format!("{{\"PLATFORM\":\"app\",\"x\":\"{}\"}}", "y".repeat(8 * 1024));
    let deep = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
    for invalid in
        ["", "%7B", "null", "[]", "\"{}\"", "%ff%fe", "%7B%22PLATFORM%22%3A", &huge, &deep]
    {
        let before = client_info_malformed();
        let headers = headers(&[("x-client-info", invalid), ("user-agent", IPHONE)]);
        let found = observe(&headers, None, &proxies(""));
        assert_eq!(found.platform, Platform::H5, "{invalid:.40}");
        assert!(client_info_malformed() > before, "{invalid:.40}");
    }
    assert_eq!(claims_from_header(&HeaderMap::new()), ClientClaims::default());
}

#[test]
fn is_pc_is_explicit_or_claimed_or_detected() {
    let pc = |is_pc, body: Value, lines: &[(&str, &str)]| {
        let declared = ClientInfo { claims: &claims_from_json(&body), is_pc };
        resolve(&headers(lines), None, declared, &CallerRules::default()).unwrap().is_pc
    };
    let (iphone, mac) = (("user-agent", IPHONE), ("user-agent", MAC_SAFARI));
    // An explicit word wins over everything.
    assert!(pc(Some(true), json!({"deviceType": "phone"}), &[iphone]));
    assert!(!pc(Some(false), json!({"deviceType": "pc"}), &[mac]));
    // Then uni-app's description of the device, …
    assert!(pc(None, json!({"deviceType": "pc"}), &[iphone]));
    assert!(!pc(None, json!({"deviceType": "pad"}), &[mac]));
    assert!(pc(None, json!({"deviceType": "unknown"}), &[mac]));
    // … or of the system: how an iPad in a Mac's guise is found out.
    assert!(!pc(None, json!({"osName": "ios"}), &[mac]));
    assert!(!pc(None, json!({"osName": "windows"}), &[iphone]));
    assert!(pc(None, json!({"OS": "windows"}), &[]));
    // Then the client hints, …
    let hint = |name, value| [mac, (name, value)];
    assert!(!pc(None, json!({}), &hint("sec-ch-ua-platform", "\"Android\"")));
    assert!(!pc(None, json!({}), &hint("sec-ch-ua-mobile", "?1")));
    assert!(pc(None, json!({}), &hint("sec-ch-ua-mobile", "?0")));
    assert!(!pc(None, json!({}), &[iphone, ("sec-ch-ua-mobile", "?0")]), "a tablet sends it too");
    assert!(pc(None, json!({}), &[("sec-ch-ua-platform", "\"Windows\"")]));
    // … which do not make WeChat on a PC a phone, …
    let wechat = ("user-agent", "Mozilla/5.0 (Windows NT 10.0) MicroMessenger/7 WindowsWechat");
    assert!(pc(None, json!({}), &[wechat, ("sec-ch-ua-mobile", "?1")]));
    // … and the user agent. Nothing is no PC.
    assert!(pc(None, json!({}), &[mac]));
    assert!(!pc(None, json!({}), &[iphone]));
    assert!(!pc(None, json!({}), &[]));
}

#[test]
fn a_mini_program_on_ios_is_known_by_the_referer_it_cannot_set() {
    let agent = ("user-agent", "Mozilla/5.0 (iPhone) Mobile/15E148 MicroMessenger/8.0.31");
    let referer = ("referer", "https://servicewechat.com/wx3656c2a2353eb377/258/page-frame.html");
    let seen = |lines: &[(&str, &str)]| observe(&headers(lines), None, &proxies(""));
    assert_eq!(seen(&[agent, referer]).platform, Platform::MpWeixin);
    assert_eq!(seen(&[agent]).platform, Platform::H5);
    assert_eq!(seen(&[("user-agent", IPHONE), referer]).platform, Platform::H5);
}

// ---- whose word counts ----

fn backend(body: &Value, lines: &[(&str, &str)], trusted: &str) -> Result<CallerContext, Code> {
    let rules = CallerRules { trusted: proxies(trusted), trusts_client_context: true };
    let declared = ClientInfo { claims: &claims_from_json(body), is_pc: None };
    resolve(&headers(lines), Some(ip(PROXY)), declared, &rules).map_err(|error| {
        assert_eq!(error.violations()[0].path, "/context/CLIENTIP");
        error.violations()[0].code
    })
}

#[test]
fn a_client_cannot_write_its_own_address_user_agent_source_or_request_id() {
    let lies = json!({
        "CLIENTIP": "8.8.8.8", "clientIP": "8.8.8.8", "CLIENTUA": "MicroMessenger",
        "userAgent": "MicroMessenger", "SOURCE": "server", "requestId": "mine",
        "SPACEINFO": {"spaceId": "mine"},
    });
    let found = described(lies.clone(), lies, IPHONE);
    assert_eq!(found.client_ip, Some(ip(UNTRUSTED)));
    assert_eq!(found.user_agent, IPHONE);
    assert_eq!(found.browser, Browser::Other);
    assert_eq!(found.source, "http");
    assert_ne!(found.request_id, "mine");
    let invalid = json!({"CLIENTIP": "no address"});
    assert_eq!(described(json!({}), invalid, IPHONE).client_ip, Some(ip(UNTRUSTED)));
}

#[test]
fn the_shops_backend_names_the_buyer() {
    let buyer =
        json!({"CLIENTIP": "1.2.3.4", "CLIENTUA": "Mozilla (Windows NT 10.0) AlipayClient"});
    let own = [("user-agent", IPHONE), ("sec-ch-ua-mobile", "?1"), ("x-forwarded-for", "9.9.9.9")];
    let found = backend(&buyer, &own, PROXY).unwrap();
    assert_eq!(found.client_ip, Some(ip("1.2.3.4")));
    assert!(found.is_pc, "the backend's own hints are not the buyer's");
    assert_eq!(found.browser, Browser::Alipay);
    assert!(found.user_agent.starts_with("Mozilla (Windows"));
    for (written, meant) in [("::ffff:1.2.3.4", "1.2.3.4"), ("2408::1", "2408::1")] {
        let found = backend(&json!({ "clientIP": written }), &[], "").unwrap();
        assert_eq!(found.client_ip, Some(ip(meant)));
    }
}

#[test]
fn an_invalid_address_from_the_shops_backend_is_refused_and_not_replaced() {
    for invalid in ["1.2.3", "1.2.3.4:80", "[::1]", "fe80::1%eth0", " 1.2.3.4", "unknown"] {
        assert_eq!(
            backend(&json!({ "CLIENTIP": invalid }), &[], PROXY),
            Err(Code::Body),
            "{invalid}"
        );
    }
}

#[test]
fn the_backends_own_address_is_never_the_buyers() {
    let forwarded = [("x-forwarded-for", "1.2.3.4")];
    let address =
        |lines: &[(&str, &str)], trusted| backend(&json!({}), lines, trusted).unwrap().client_ip;
    assert_eq!(address(&[], ""), None);
    assert_eq!(address(&forwarded, ""), None);
    assert_eq!(address(&[], PROXY), None);
    assert_eq!(address(&[("x-forwarded-for", PROXY)], PROXY), None);
    assert_eq!(address(&forwarded, PROXY), Some(ip("1.2.3.4")), "a proxy that forwards the buyer");
}

// ---- texts ----

#[test]
fn a_well_formed_request_id_is_kept_and_any_other_replaced() {
    let id = |lines: &[(&str, &str)]| observe(&headers(lines), None, &proxies("")).request_id;
    let longest = "x".repeat(64);
    for good in ["1", "7f3a-b.C_9", longest.as_str()] {
        assert_eq!(id(&[("x-request-id", good)]), good);
    }
    let long = "x".repeat(65);
    for invalid in ["", " ", "a b", "a/b", "a\"b", "é", "{}", long.as_str()] {
        let made = id(&[("x-request-id", invalid)]);
        assert!(made.len() == 32 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{invalid}");
    }
    assert_eq!(id(&[("x-request-id", "a"), ("x-request-id", "b")]).len(), 32);
    assert_ne!(id(&[]), id(&[]));
}

#[test]
fn no_text_of_the_client_breaks_a_log_line_or_grows() {
    let nasty = "a\r\nlevel=error\u{1b}[2J\u{0}\u{7f}\u{85}\u{2028}\u{202e}\u{2066}z";
    let body = json!({
        "DEVICEID": nasty, "APPID": "\r\n", "LOCALE": "界".repeat(100), "OS": "o".repeat(1_000),
        "CLIENTUA": format!("{nasty}{}", "界".repeat(2_000)),
    });
    let found = backend(&body, &[], "").unwrap();
    assert_eq!(found.device_id.as_deref(), Some("alevel=error[2Jz"));
    assert_eq!(found.app_id, None);
    assert_eq!(found.locale.as_deref(), Some("界".repeat(42).as_str()), "whole characters");
    assert_eq!(found.os.map(|os| os.len()), Some(128));
    assert!(found.user_agent.starts_with("alevel=error[2Jz界"));
    assert!(found.user_agent.len() <= 1024);
    let tab_and_latin = headers(&[("user-agent", "a\tb")]);
    assert_eq!(observe(&tab_and_latin, None, &proxies("")).user_agent, "ab");
}

proptest! {
    #[test]
    fn any_header_bytes_are_survived(
        forwarded in proptest::collection::vec(any::<u8>(), 0..200),
        info in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut headers = HeaderMap::new();
        for (name, bytes) in [("x-forwarded-for", forwarded), ("x-client-info", info.clone()),
            ("user-agent", info.clone()), ("x-request-id", info)] {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(name, value);
            }
        }
        let found = observe(&headers, Some(ip(PROXY)), &proxies(PROXY));
        prop_assert!(found.user_agent.chars().all(|c| !c.is_control()));
        prop_assert!((1..=64).contains(&found.request_id.len()));
    }
}

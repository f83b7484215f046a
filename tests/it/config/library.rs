//! The library checks its settings and credentials as the sidecar checks its variables.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay", feature = "sqlite"))]

use std::sync::Arc;
use std::time::Duration;

use paygate::alipay::AlipayGateway;
use paygate::config::Config;
use paygate::domain::{PayType, Pid};
use paygate::mock::{InProcess, SimulatedPurchase, keys};
use paygate::wxpay::V3;
use paygate::{
    AlipayCredentials, AlipayMerchant, Engine, EngineBuilder, EventType, Memory, OrderEvent,
    ProviderId, Sqlite, StoreMode, SystemClock, Webhook, WxpayCredentials, WxpayMerchant,
};
use serde_json::json;
use tower::ServiceExt;

use super::kit::{API_V3_KEY, PROVIDER, SHOP, live, mock};
use crate::support::payment_layer::NO;

fn mock_wxpay() -> V3 {
    V3::new(keys::wxpay_merchant("http://127.0.0.1:1/".parse().unwrap())).unwrap()
}

/// A builder that is complete, for simulated money.
fn simulated() -> EngineBuilder {
    let builder = Engine::builder().store(Memory::new()).provider(mock_wxpay());
    builder.public_url("https://pay.example.com".parse().unwrap()).simulated()
}

/// Why an engine with these settings does not start.
async fn refusal(builder: EngineBuilder) -> String {
    builder.start().await.expect_err("an engine that does not start").to_string()
}

#[tokio::test]
async fn a_public_url_that_the_sidecar_refuses_is_refused_with_the_same_reason() {
    let long = format!("https://a.example/{}", "x".repeat(200));
    for url in [
        "http://pay.example.com",
        "file:///etc",
        "https://pay.example.com/?b=c",
        "https://user:password@pay.example.com",
        "https://pay.example.com/#here",
        "ftp://pay.example.com",
        &long,
    ] {
        let problems = Config::read(&live(&[("PAYGATE_PUBLIC_URL", url)])).unwrap_err();
        let problem = problems.list().first().unwrap();
        assert_eq!(problem.variable, "PAYGATE_PUBLIC_URL");
        let refused = refusal(simulated().public_url(url.parse().unwrap())).await;
        assert_eq!(refused, format!("public_url() {}", problem.reason), "{url}");
    }
    for good in ["https://pay.example.com/shop", "http://127.0.0.1:8787", "http://localhost"] {
        let engine = simulated().public_url(good.parse().unwrap()).start().await;
        assert!(engine.is_ok(), "{good}: {engine:?}");
    }
    let none = Engine::builder().store(Memory::new()).provider(mock_wxpay()).simulated();
    assert!(refusal(none).await.contains("error 101"));
}

#[tokio::test]
async fn a_notify_url_that_no_provider_takes_is_refused() {
    let url = format!("https://a.example/{}", "x".repeat(170));
    let pid = Pid::new("a merchant with a long name");
    let builder = simulated().public_url(url.parse().unwrap()).provider_of(pid, mock_wxpay());
    let refused = refusal(builder).await;
    assert!(refused.starts_with("public_url() makes notify URLs of "), "{refused}");
    assert!(refused.contains("255"), "{refused}");
}

#[tokio::test]
async fn times_that_the_sidecar_refuses_are_refused() {
    let seconds = Duration::from_secs;
    for ttl in [seconds(299), seconds(7 * 86_400 + 1), Duration::MAX] {
        let refused = refusal(simulated().order_ttl(ttl)).await;
        assert!(refused.starts_with("order_ttl() is not between"), "{refused}");
    }
    for (timeout, budget) in [(8, 7), (0, 1)] {
        let refused = refusal(simulated().call_limits(seconds(timeout), seconds(budget))).await;
        assert!(refused.starts_with("call_limits() has "), "{refused}");
    }
}

#[test]
fn check_refuses_what_the_engine_would_refuse() {
    let mut config = Config::read(&live(&[])).unwrap();
    config.order_ttl = Duration::ZERO;
    let refused = config.check().unwrap_err().to_string();
    assert!(refused.starts_with("order_ttl() is not between"), "{refused}");
}

/// A live merchant, which has keys of its own.
pub(crate) fn live_wxpay() -> WxpayMerchant {
    WxpayMerchant::new(wxpay()).unwrap()
}

fn wxpay() -> WxpayCredentials<'static> {
    WxpayCredentials {
        mch_id: "1900000001",
        app_id: "wxd678efh567hg6787",
        private_key: &SHOP.private_pem,
        cert: &SHOP.cert_pem,
        api_v3_key: API_V3_KEY,
        ..WxpayCredentials::default()
    }
}

fn alipay() -> AlipayCredentials<'static> {
    AlipayCredentials {
        app_id: "2014072300007148",
        private_key: &SHOP.private_pem,
        public_key: &PROVIDER.public_pem,
        ..AlipayCredentials::default()
    }
}

#[tokio::test]
async fn simulated_money_and_real_money_do_not_meet() {
    let url = || "https://pay.example.com".parse().unwrap();
    let builder = || Engine::builder().store(Memory::new()).public_url(url());
    let mock_alipay = keys::alipay_merchant("http://127.0.0.1:1/gateway.do".parse().unwrap());
    let mock_alipay = AlipayGateway::new(mock_alipay).unwrap();
    for refused in [
        refusal(builder().provider(mock_wxpay())).await,
        refusal(builder().provider(mock_alipay)).await,
    ] {
        assert!(refused.contains("the simulated providers' keys: call simulated()"), "{refused}");
    }
    let live = || V3::new(live_wxpay()).unwrap();
    let refused = refusal(builder().provider(live()).simulated()).await;
    assert!(refused.contains("live keys"), "{refused}");
    let engine = builder().provider(live()).start().await.unwrap();
    assert!(!engine.is_simulated());

    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path().join("live.db")).unwrap();
    let refused = refusal(simulated().store(store)).await;
    assert!(refused.contains("the store is for live payments"), "{refused}");
    let store = Sqlite::open_as(directory.path().join("mock.db"), StoreMode::Mock).unwrap();
    let refused = refusal(builder().store(store).provider(live())).await;
    assert!(refused.contains("the store is for mock payments"), "{refused}");
}

#[tokio::test]
async fn a_handler_that_a_configuration_starts_with_gets_what_an_earlier_process_left() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", directory.path().join("mock.db").display());
    let any = "127.0.0.1:0";
    let variables = mock(&[("PAYGATE_STORE", &store), ("PAYGATE_MOCK_LISTEN", any)]);
    let config = Config::read(&variables).unwrap();
    let providers = InProcess::open(None, Arc::new(SystemClock)).unwrap();
    let in_process = |builder: EngineBuilder| builder.transport(providers.clone());

    // The first process records a payment, and delivers no event.
    let quiet = |builder| in_process(builder).reconcile_every(None);
    let (engine, payments) = config.start_with(quiet).await.unwrap();
    let peer = |_: &http::request::Parts| Some("127.0.0.1:1".parse().unwrap());
    let app = axum::Router::new().layer(payments.peer_addr(peer));
    let order = json!({"provider": "wxpay", "isPC": true, "data": {
        "out_trade_no": NO, "total_fee": 1, "subject": "tea", "type": "goods"}});
    let request = http::Request::post("/pay/createPayment")
        .header("host", "shop.example.com")
        .header("content-type", "application/json")
        .body(axum::body::Body::from(order.to_string()));
    assert_eq!(app.clone().oneshot(request.unwrap()).await.unwrap().status(), 200);
    providers.pay(&SimulatedPurchase::of_order(ProviderId::Wxpay, NO)).unwrap();
    assert_eq!(providers.deliver_to(&app).await, [200]);
    assert_eq!(providers.deliver_to(&app).await.len(), 0, "it is acknowledged");
    engine.shutdown().await;
    drop((engine, app));

    let (sender, mut handled) = tokio::sync::mpsc::unbounded_channel();
    let ship = move |paid: OrderEvent| {
        let sender = sender.clone();
        async move { sender.send(paid.out_trade_no().to_string()) }
    };
    let handling = |builder| in_process(builder).on_any(EventType::PaymentSucceeded, ship);
    let (engine, _) = config.start_with(handling).await.unwrap();
    assert_eq!(handled.recv().await.as_deref(), Some(NO));
    engine.shutdown().await;
}

#[test]
fn a_webhooks_url_that_the_sidecar_refuses_is_refused_with_the_same_reason() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for url in [
        "http://169.254.169.254/",
        "https://{type}.example.com/",
        "https://shop.example.com/#here",
        "ftp://shop.example.com/",
        "shop",
    ] {
        let variables = live(&[("PAYGATE_WEBHOOK_URL", url), ("PAYGATE_WEBHOOK_SECRET", secret)]);
        let problems = Config::read(&variables).unwrap_err();
        let refused = Webhook::new(url, secret).unwrap_err().to_string();
        assert_eq!(refused, problems.list()[0].reason, "{url}");
    }
}

#[test]
fn a_live_merchant_is_made_of_pem_texts() {
    let merchant = live_wxpay();
    let pay_types: Vec<_> = merchant.apps.keys().copied().collect();
    assert_eq!(pay_types.len(), 5, "{pay_types:?}");
    let app = &merchant.apps[&PayType::WxpayH5];
    assert_eq!(app.app_id, "wxd678efh567hg6787");
    assert_eq!(app.account.base_url.as_str(), "https://api.mch.weixin.qq.com/");
    assert!(V3::new(merchant).is_ok());
    let in_public_key_mode = WxpayCredentials {
        cert: "",
        serial_no: "5157f09efdc096de15ebe81a47057a7232f1b8e1",
        public_key: &PROVIDER.public_pem,
        public_key_id: "PUB_KEY_ID_0000000000000024101100397200000006",
        ..wxpay()
    };
    assert!(WxpayMerchant::new(in_public_key_mode).is_ok());

    let merchant = AlipayMerchant::new(alipay()).unwrap();
    assert_eq!(merchant.apps.len(), 3);
    let gateway = merchant.apps[&PayType::AlipayH5].gateway_url.as_str();
    assert_eq!(gateway, "https://openapi.alipay.com/gateway.do");
    assert!(AlipayGateway::new(merchant).is_ok());
    let sandbox = AlipayCredentials { gateway_url: "sandbox", ..alipay() };
    let merchant = AlipayMerchant::new(sandbox).unwrap();
    assert!(merchant.apps[&PayType::AlipayH5].gateway_url.as_str().contains("sandbox"));
}

#[test]
fn the_errors_of_credentials_name_every_field_and_no_value() {
    let errors = WxpayMerchant::new(WxpayCredentials::default()).unwrap_err();
    let fields: Vec<_> = errors.list().map(|(field, _)| field).collect();
    assert_eq!(fields, ["mch_id", "app_id", "private_key", "cert", "api_v3_key"]);
    let errors = AlipayMerchant::new(AlipayCredentials::default()).unwrap_err().to_string();
    assert!(errors.contains("app_id is required; private_key is required"), "{errors}");
    assert!(errors.contains("public_key is required, or else the three certificates"), "{errors}");

    let wrong = WxpayCredentials {
        mch_id: "canary",
        private_key: &PROVIDER.public_pem,
        h5_name: "tea",
        ..wxpay()
    };
    let errors = WxpayMerchant::new(wrong).unwrap_err().to_string();
    assert!(errors.contains("mch_id is not 1 to 32 digits"), "{errors}");
    assert!(errors.contains("private_key is a public key, not a private one"), "{errors}");
    assert!(errors.contains("h5_url is required with h5_name"), "{errors}");
    assert!(!errors.contains("canary") && !errors.contains("PAYGATE_"), "{errors}");
    assert!(!format!("{wrong:?}").contains("canary"));

    let mocks = WxpayCredentials { private_key: keys::WXPAY_MERCHANT_KEY_PEM, cert: "", ..wxpay() };
    let mocks = WxpayCredentials { serial_no: keys::MERCHANT_SERIAL_NO, ..mocks };
    let errors = WxpayMerchant::new(mocks).unwrap_err().to_string();
    assert!(errors.contains("a key of the simulated providers"), "{errors}");
}

#[tokio::test]
async fn a_main_that_returns_why_it_did_not_start_prints_words() {
    let problems = Config::read(&live(&[("PAYGATE_BODY_MAX", "64")])).unwrap_err();
    assert_eq!(format!("{problems:?}"), problems.to_string());
    let not_started = Engine::builder().store(Memory::new()).start().await.unwrap_err();
    assert_eq!(format!("{not_started:?}"), not_started.to_string());
}

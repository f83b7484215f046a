//! The simulated providers, asked by hand-made requests.
#![cfg(feature = "mock")]

mod adopted;
mod alipay;
mod cashier;
mod notifications;
mod opened;
mod refunds;
mod shop_events;
mod wxpay;
mod both_providers;
mod refund_notifications;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use paygate::Clock;
use paygate::domain::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, ProviderId, SECOND_MS};
use paygate::mock::{
    FaultKind, InProcess, Mock, MockConfig, PayWith, ProviderOperation, Refuse, SimulatedFault,
    SimulatedPurchase, State, keys,
};
use paygate::provider::{SigningKey, Transport, TransportFailure, VerifyingKey};
use proptest::prelude::*;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

const NO: &str = "2107151010101541001";
const ORDERS: &str = "/v3/pay/transactions";

/// A clock that stands still.
#[derive(Clone, Debug)]
struct FixedClock(Arc<AtomicI64>);

impl Clock for FixedClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }
}

/// A merchant in front of the providers.
struct Merchant {
    providers: InProcess,
    clock: FixedClock,
}

impl Merchant {
    fn new() -> Merchant {
        Merchant::with_ledger(None)
    }

    fn with_ledger(path: Option<&Path>) -> Merchant {
        let clock = FixedClock(Arc::new(AtomicI64::new(1_750_000_000_123)));
        let providers = InProcess::open(path, Arc::new(clock.clone())).unwrap();
        Merchant { providers, clock }
    }

    async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.providers.send(request, Duration::from_secs(8)).await.unwrap()
    }

    async fn wxpay(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let request = wxpay_request(self.clock.now(), method, path, body);
        let response = self.send(request).await;
        if response.status().is_success() {
            assert!(wxpay_verifies(&response), "{path}");
        } else {
            assert!(!response.headers().contains_key("wechatpay-signature"), "{path}");
        }
        (response.status().as_u16(), json_of(&response))
    }

    async fn order(&self, product: &str, body: &Value) -> (u16, Value) {
        self.wxpay("POST", &format!("{ORDERS}/{product}"), &body.to_string()).await
    }

    async fn ask(&self, no: &str) -> (u16, Value) {
        let path = format!("{ORDERS}/out-trade-no/{no}?mchid={}", keys::MCH_ID);
        self.wxpay("GET", &path, "").await
    }

    async fn close(&self, no: &str) -> (u16, Value) {
        let body = json!({ "mchid": keys::MCH_ID }).to_string();
        self.wxpay("POST", &format!("{ORDERS}/out-trade-no/{no}/close"), &body).await
    }

    /// The business reply of Alipay's `method`, and its `sub_code`.
    async fn alipay(&self, method: &str, content: &Value) -> (String, Value) {
        let params = alipay_params(self.clock.now(), method, content);
        let response = self.send(alipay_request(&params)).await;
        let text = std::str::from_utf8(response.body()).unwrap().to_owned();
        let (content, verified) = alipay_read(&text, method);
        assert!(verified, "{text}");
        (content["sub_code"].as_str().unwrap_or("").to_owned(), content)
    }

    fn pay(&self, provider: ProviderId, with: PayWith) -> Result<State, String> {
        let purchase = SimulatedPurchase { provider, with, payer: None };
        let paid = self.providers.pay(&purchase);
        paid.map(|order| order.state).map_err(|declined| declined.code)
    }

    fn add_fault(&self, kind: FaultKind) {
        let fault = SimulatedFault { provider: None, operation: None, kind, times: 1 };
        self.providers.add_fault(fault);
    }

    async fn control(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("/_mock/{path}"));
        let request = request.body(Bytes::from(body.to_owned())).unwrap();
        let response = self.send(request).await;
        (response.status().as_u16(), json_of(&response))
    }
}

fn wxpay_request(now: Millis, method: &str, path: &str, body: &str) -> Request<Bytes> {
    let timestamp = now.seconds();
    let message = format!("{method}\n{path}\n{timestamp}\nnonce\n{body}\n");
    let key = SigningKey::parse(keys::WXPAY_MERCHANT_KEY_PEM.as_bytes()).unwrap();
    let signature = key.sign(message.as_bytes());
    let authorization = format!(
        "WECHATPAY2-SHA256-RSA2048 mchid=\"{}\",nonce_str=\"nonce\",timestamp=\"{timestamp}\",\
         serial_no=\"{}\",signature=\"{signature}\"",
        keys::MCH_ID,
        keys::MERCHANT_SERIAL_NO
    );
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", authorization)
        .header("user-agent", "test")
        .header("wechatpay-serial", keys::WXPAY_PUBLIC_KEY_ID)
        .body(Bytes::from(body.to_owned()))
        .unwrap()
}

/// Verified by aws-lc-rs, with the key that the serial number names.
fn wxpay_verifies(response: &Response<Bytes>) -> bool {
    let header = |name: &str| response.headers().get(name).and_then(|it| it.to_str().ok());
    let (Some(timestamp), Some(nonce), Some(signature), Some(serial)) = (
        header("wechatpay-timestamp"),
        header("wechatpay-nonce"),
        header("wechatpay-signature"),
        header("wechatpay-serial"),
    ) else {
        return false;
    };
    let key = match serial {
        keys::WXPAY_PUBLIC_KEY_ID => {
            VerifyingKey::parse(keys::WXPAY_PUBLIC_KEY_PEM.as_bytes()).unwrap()
        }
        serial => {
            assert_eq!(serial, keys::WXPAY_PLATFORM_SERIAL_NO);
            key_of_certificate(keys::WXPAY_PLATFORM_CERT_PEM)
        }
    };
    let body = std::str::from_utf8(response.body()).unwrap();
    key.verifies(format!("{timestamp}\n{nonce}\n{body}\n").as_bytes(), signature)
}

fn key_of_certificate(pem: &str) -> VerifyingKey {
    paygate::testing::alipay_certificates::public_cert(pem.as_bytes()).unwrap().1
}

fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or(Value::Null)
}

fn jsapi() -> Value {
    json!({
        "appid": keys::WXPAY_APP_MP_WEIXIN,
        "mchid": keys::MCH_ID,
        "description": "一杯茶",
        "out_trade_no": NO,
        "notify_url": "https://shop.example.com/pay/notify",
        "amount": { "total": 1, "currency": "CNY" },
        "payer": { "openid": "oBuyer" },
    })
}

fn native() -> Value {
    let mut body = jsapi();
    body["appid"] = json!(keys::WXPAY_APP_H5);
    body.as_object_mut().unwrap().remove("payer");
    body
}

fn h5() -> Value {
    let mut body = native();
    body["appid"] = json!(keys::WXPAY_APP_MWEB);
    body["scene_info"] = json!({ "payer_client_ip": "2001:db8::1", "h5_info": { "type": "Wap" } });
    body
}

/// The parameters in the order in which they are sent, signed.
fn alipay_params(now: Millis, method: &str, content: &Value) -> Vec<(String, String)> {
    let mut params: Vec<(String, String)> = [
        ("app_id", keys::ALIPAY_APP_MP_ALIPAY.to_owned()),
        ("biz_content", content.to_string()),
        ("charset", "utf-8".to_owned()),
        ("method", method.to_owned()),
        ("notify_url", "https://shop.example.com/pay/notify?a=1&b=2".to_owned()),
        ("sign_type", "RSA2".to_owned()),
        ("timestamp", now.to_alipay()),
        ("version", "1.0".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec();
    sign_alipay(&mut params);
    params
}

fn sign_alipay(params: &mut Vec<(String, String)>) {
    params.retain(|(key, _)| key != "sign");
    params.sort();
    let pairs: Vec<String> = params.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let key = SigningKey::parse(keys::ALIPAY_APP_KEY_PEM.as_bytes()).unwrap();
    params.push(("sign".to_owned(), key.sign(pairs.join("&").as_bytes())));
}

/// As the official SDKs send it: everything but `biz_content` in the query.
fn alipay_request(params: &[(String, String)]) -> Request<Bytes> {
    let (body, query): (Vec<_>, Vec<_>) = params.iter().partition(|(key, _)| key == "biz_content");
    let uri = format!("/gateway.do?{}", form(&query));
    Request::post(uri).body(Bytes::from(form(&body))).unwrap()
}

fn form(params: &[&(String, String)]) -> String {
    let mut out = Serializer::new(String::new());
    for (key, value) in params {
        out.append_pair(key, value);
    }
    out.finish()
}

/// The object in the reply, and whether Alipay's signature over its text verifies.
fn alipay_read(text: &str, method: &str) -> (Value, bool) {
    let reply: Value = serde_json::from_str(text).unwrap();
    let node = format!("{}_response", method.replace('.', "_"));
    let raw = text.strip_prefix(&format!("{{\"{node}\":")).unwrap();
    let end = raw.find(",\"alipay_cert_sn\"").or(raw.find(",\"sign\"")).unwrap_or(0);
    let key = key_of_certificate(keys::ALIPAY_PUBLIC_CERT_PEM);
    let sign = reply["sign"].as_str().unwrap_or("");
    (reply[&node].clone(), key.verifies(&raw.as_bytes()[..end], sign))
}

fn trade() -> Value {
    json!({
        "out_trade_no": NO,
        "total_amount": "0.01",
        "subject": "一杯茶",
        "product_code": "JSAPI_PAY",
        "op_app_id": keys::ALIPAY_APP_MP_ALIPAY,
        "buyer_open_id": "buyer-1",
    })
}

fn qr(amount: &str) -> Value {
    json!({ "out_trade_no": NO, "total_amount": amount, "subject": "tea" })
}

fn order_string(merchant: &Merchant, amount: &str) -> String {
    let content = json!({ "out_trade_no": NO, "total_amount": amount, "subject": "tea" });
    let params = alipay_params(merchant.clock.now(), "alipay.trade.app.pay", &content);
    form(&params.iter().collect::<Vec<_>>())
}

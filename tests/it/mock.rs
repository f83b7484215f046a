//! The simulated providers, asked by hand-made requests.
#![cfg(feature = "mock")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use paygate::clock::Clock;
use paygate::domain::channel::ProviderId;
use paygate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, SECOND_MS};
use paygate::mock::{
    Fault, FaultKind, InProcess, Mock, MockConfig, Operation, PayWith, Purchase, Refuse, State,
    keys,
};
use paygate::provider::keys::{SigningKey, VerifyingKey};
use paygate::provider::{Transport, TransportFailure};
use proptest::prelude::*;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

const NO: &str = "2107151010101541001";
const ORDERS: &str = "/v3/pay/transactions";

/// A clock that stands still.
#[derive(Clone, Debug)]
struct Still(Arc<AtomicI64>);

impl Clock for Still {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }
}

/// A merchant in front of the providers.
struct Merchant {
    providers: InProcess,
    clock: Still,
}

impl Merchant {
    fn new() -> Merchant {
        Merchant::with_ledger(None)
    }

    fn with_ledger(path: Option<&Path>) -> Merchant {
        let clock = Still(Arc::new(AtomicI64::new(1_750_000_000_123)));
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
        let purchase = Purchase { provider, with, payer: None };
        let paid = self.providers.pay(&purchase);
        paid.map(|order| order.state).map_err(|declined| declined.code)
    }

    fn spoil(&self, kind: FaultKind) {
        let fault = Fault { provider: None, operation: None, kind, times: 1 };
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
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    VerifyingKey::from_der(pem.parse_x509().unwrap().public_key().raw).unwrap()
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

#[tokio::test]
async fn wxpay_takes_an_order_of_every_product_and_signs_its_answer() {
    let merchant = Merchant::new();
    let mut app = native();
    app["appid"] = json!(keys::WXPAY_APP_APP_PLUS);
    let orders = [
        ("jsapi", jsapi(), "prepay_id"),
        ("app", app, "prepay_id"),
        ("native", native(), "code_url"),
        ("h5", h5(), "h5_url"),
    ];
    for (product, mut body, material) in orders {
        body["out_trade_no"] = json!(format!("number-{product}"));
        let (status, reply) = merchant.order(product, &body).await;
        assert_eq!(status, 200, "{product}: {reply}");
        assert!(reply[material].is_string(), "{product}: {reply}");
    }
    assert_eq!(merchant.providers.orders().len(), 4);
    assert_eq!(merchant.providers.calls("wxpay.create"), 4);
}

#[tokio::test]
async fn a_partner_orders_asks_and_closes_for_its_sub_merchant() {
    let merchant = Merchant::new();
    let body = json!({
        "sp_appid": keys::WXPAY_APP_MP_WEIXIN,
        "sp_mchid": keys::MCH_ID,
        "sub_mchid": "1900000999",
        "description": "tea",
        "out_trade_no": NO,
        "notify_url": "https://shop.example.com/notify",
        "amount": { "total": 1 },
        "payer": { "sp_openid": "oBuyer" },
    });
    let base = "/v3/pay/partner/transactions";
    let (status, _) = merchant.wxpay("POST", &format!("{base}/jsapi"), &body.to_string()).await;
    assert_eq!(status, 200);
    let query = format!("{base}/out-trade-no/{NO}?sp_mchid={}&sub_mchid=1900000999", keys::MCH_ID);
    let (_, told) = merchant.wxpay("GET", &query, "").await;
    assert_eq!(
        (&told["trade_state"], &told["sub_mchid"]),
        (&json!("NOTPAY"), &json!("1900000999"))
    );
    assert_eq!(merchant.ask(NO).await.0, 404, "the number is the sub-merchant's");
    let body = json!({ "sp_mchid": keys::MCH_ID, "sub_mchid": "1900000999" }).to_string();
    let close = format!("{base}/out-trade-no/{NO}/close");
    assert_eq!(merchant.wxpay("POST", &close, &body).await.0, 204);
}

#[tokio::test]
async fn wxpay_refuses_what_is_not_signed_rightly_and_leaves_no_trace() {
    let merchant = Merchant::new();
    let path = format!("{ORDERS}/jsapi");
    let body = jsapi().to_string();
    let at = |ms| wxpay_request(merchant.clock.now().plus(ms), "POST", &path, &body);
    let with = |from: &str, to: &str| {
        let mut request = at(0);
        let header = request.headers()["authorization"].to_str().unwrap().replace(from, to);
        request.headers_mut().insert("authorization", header.parse().unwrap());
        request
    };
    let mut altered_body = at(0);
    *altered_body.body_mut() = Bytes::from(body.replace("\"total\":1", "\"total\":2"));
    let mut altered_path = at(0);
    *altered_path.uri_mut() = format!("{path}?x=1").parse().unwrap();
    let mut unsigned = at(0);
    unsigned.headers_mut().remove("authorization");
    let refused = [
        ("301 s late", at(301 * SECOND_MS)),
        ("301 s early", at(-301 * SECOND_MS)),
        ("altered body", altered_body),
        ("altered query", altered_path),
        ("no signature", unsigned),
        ("another merchant", with(keys::MCH_ID, "1900000110")),
        ("another serial", with(keys::MERCHANT_SERIAL_NO, keys::WXPAY_PLATFORM_SERIAL_NO)),
        ("another nonce", with("nonce_str=\"nonce\"", "nonce_str=\"other\"")),
        ("spaces after commas", with(",", ", ")),
        ("a probe", with("signature=\"", "signature=\"WECHATPAY/SIGNTEST/")),
    ];
    for (what, request) in refused {
        let response = merchant.send(request).await;
        assert_eq!(response.status(), 401, "{what}");
        assert_eq!(json_of(&response)["code"], "SIGN_ERROR", "{what}");
        assert!(!response.headers().contains_key("wechatpay-signature"), "{what}");
    }
    assert!(merchant.providers.orders().is_empty());
    for ms in [-300 * SECOND_MS, 300 * SECOND_MS] {
        assert_eq!(merchant.send(at(ms)).await.status(), 200, "{ms} ms is near enough");
    }
}

#[tokio::test]
async fn wxpay_refuses_fields_that_break_its_rules() {
    let merchant = Merchant::new();
    let long = "字".repeat(43);
    let cases = [
        ("/amount/total", json!("1")),
        ("/amount/total", json!(1.0)),
        ("/amount/total", json!(0)),
        ("/amount/total", json!(-1)),
        ("/amount/total", json!(100_000_000_000_u64)),
        ("/amount/currency", json!("USD")),
        ("/amount", json!(1)),
        ("/description", json!(long)),
        ("/description", json!("")),
        ("/description", json!("tea 🍵")),
        ("/out_trade_no", json!(2_107_151_010)),
        ("/out_trade_no", json!("12345")),
        ("/out_trade_no", json!("a/b/c/d")),
        ("/out_trade_no", json!("x".repeat(33))),
        ("/mchid", json!("1900000110")),
        ("/notify_url", json!("https://shop.example.com/notify?a=1")),
        ("/notify_url", json!("http://shop.example.com/notify")),
        ("/notify_url", json!("notify")),
        ("/time_expire", json!("2018-06-08 10:34:56")),
        ("/payer", json!({})),
        ("/payer/openid", json!("")),
        ("/appid", json!(keys::WXPAY_APP_APP_PLUS)),
        ("/attach", json!("x".repeat(129))),
        ("/attach", Value::Null),
        ("/support_fapiao", json!("true")),
    ];
    for (pointer, value) in cases {
        let mut body = jsapi();
        match body.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => body[&pointer[1..]] = value.clone(),
        }
        let (status, reply) = merchant.order("jsapi", &body).await;
        assert_eq!((status, &reply["code"]), (400, &json!("PARAM_ERROR")), "{pointer} {value}");
    }
    for (product, body) in [("h5", native()), ("jsapi", native())] {
        assert_eq!(merchant.order(product, &body).await.0, 400, "{product}");
    }
    let mut body = jsapi();
    body["appid"] = json!("wxunknown");
    assert_eq!(merchant.order("jsapi", &body).await.1["code"], "APPID_MCHID_NOT_MATCH");
    for text in ["", "{", "[]", "null", "\u{feff}{}", &"[".repeat(100_000)] {
        let (status, _) = merchant.wxpay("POST", &format!("{ORDERS}/jsapi"), text).await;
        assert_eq!(status, 400);
    }
    assert!(merchant.providers.orders().is_empty());
}

#[tokio::test]
async fn the_same_wxpay_number_must_ask_for_the_same() {
    let merchant = Merchant::new();
    let (_, first) = merchant.order("jsapi", &jsapi()).await;
    let (status, again) = merchant.order("jsapi", &jsapi()).await;
    assert_eq!(status, 200);
    assert_ne!(first["prepay_id"], again["prepay_id"], "the newest is handed out");
    let orders = merchant.providers.orders();
    assert_eq!((orders.len(), orders[0].create_calls), (1, 2));

    let mut other = jsapi();
    other["amount"]["total"] = json!(2);
    let (status, reply) = merchant.order("jsapi", &other).await;
    assert_eq!((status, &reply["code"]), (403, &json!("OUT_TRADE_NO_USED")));
    let (status, reply) = merchant.order("native", &native()).await;
    assert_eq!((status, &reply["code"]), (400, &json!("INVALID_REQUEST")));

    let with = PayWith::PrepayId(first["prepay_id"].as_str().unwrap().to_owned());
    assert_eq!(merchant.pay(ProviderId::Wxpay, with), Ok(State::Paid));
    assert_eq!(merchant.order("jsapi", &jsapi()).await.1["code"], "ORDER_PAID");
    assert_eq!(merchant.close(NO).await.1["code"], "ORDER_PAID");
    let again = merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned()));
    assert_eq!(again, Err("ORDER_PAID".to_owned()), "one number is paid once");
}

#[tokio::test]
async fn a_wxpay_query_tells_the_state_and_a_close_is_final() {
    let merchant = Merchant::new();
    assert_eq!(merchant.ask(NO).await.1["code"], "ORDER_NOT_EXIST");
    assert_eq!(merchant.close(NO).await.1["code"], "ORDER_NOT_EXIST");
    merchant.order("native", &native()).await;
    let (_, told) = merchant.ask(NO).await;
    assert_eq!(told["trade_state"], "NOTPAY");
    assert!(told.get("amount").is_none() && told.get("transaction_id").is_none());
    assert_eq!(merchant.close(NO).await, (204, Value::Null));
    assert_eq!(merchant.close(NO).await.0, 204, "it can be closed again");
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "CLOSED");
    assert_eq!(merchant.order("native", &native()).await.1["code"], "ORDER_CLOSED");
    let paid = merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned()));
    assert_eq!(paid, Err("ORDER_CLOSED".to_owned()));

    let mut second = native();
    second["out_trade_no"] = json!("second-number");
    let (_, reply) = merchant.order("native", &second).await;
    let with = PayWith::CodeUrl(reply["code_url"].as_str().unwrap().to_owned());
    assert_eq!(merchant.pay(ProviderId::Wxpay, with), Ok(State::Paid));
    let (_, told) = merchant.ask("second-number").await;
    assert_eq!((&told["trade_state"], &told["trade_type"]), (&json!("SUCCESS"), &json!("NATIVE")));
    assert_eq!((&told["amount"]["total"], &told["mchid"]), (&json!(1), &json!(keys::MCH_ID)));
    let id = told["transaction_id"].as_str().unwrap();
    let path = format!("{ORDERS}/id/{id}?mchid={}", keys::MCH_ID);
    assert_eq!(merchant.wxpay("GET", &path, "").await.1["out_trade_no"], "second-number");
    let unknown = merchant.wxpay("GET", &format!("{ORDERS}/out-trade-no/{NO}"), "").await;
    assert_eq!(unknown.0, 400, "a query names its merchant");
}

#[tokio::test]
async fn wxpay_material_and_orders_grow_old() {
    let merchant = Merchant::new();
    let mut body = h5();
    body["time_expire"] = json!(merchant.clock.now().plus(HOUR_MS).to_rfc3339_beijing());
    let (_, reply) = merchant.order("h5", &body).await;
    let h5_url = reply["h5_url"].as_str().unwrap().to_owned();
    let redirected = format!("{h5_url}&redirect_url=https%3A%2F%2Fshop.example.com");
    merchant.providers.advance_ms(5 * MINUTE_MS);
    let paid = merchant.pay(ProviderId::Wxpay, PayWith::H5Url(redirected));
    assert_eq!(paid, Err("CODE_EXPIRED".to_owned()), "an h5_url works for five minutes");
    assert_eq!(merchant.order("h5", &body).await.0, 200, "the order itself goes on");
    merchant.providers.advance_ms(HOUR_MS);
    let paid = merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned()));
    assert_eq!(paid, Err("ORDER_EXPIRED".to_owned()));
    assert_eq!(merchant.order("h5", &body).await.1["code"], "INVALID_REQUEST");
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "NOTPAY", "expired is not closed");
    merchant.providers.advance_ms(7 * DAY_MS);
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "CLOSED");

    body["out_trade_no"] = json!("in-the-past");
    let now = merchant.providers.orders()[0].created;
    body["time_expire"] = json!(now.to_rfc3339_beijing());
    assert_eq!(merchant.order("h5", &body).await.0, 200, "raised to one minute");
}

#[tokio::test]
async fn only_the_buyer_that_the_order_names_may_pay_it() {
    let merchant = Merchant::new();
    merchant.order("jsapi", &jsapi()).await;
    let with = PayWith::OutTradeNo(NO.to_owned());
    let purchase = Purchase { provider: ProviderId::Wxpay, with, payer: Some("oOther".to_owned()) };
    assert_eq!(merchant.providers.pay(&purchase).unwrap_err().code, "OPENID_MISMATCH");
    let purchase = Purchase { payer: Some("oBuyer".to_owned()), ..purchase };
    assert_eq!(merchant.providers.pay(&purchase).unwrap().payments[0].payer, "oBuyer");
}

#[tokio::test]
async fn wxpay_hands_out_the_certificate_that_it_signs_with() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use base64::Engine as _;
    let merchant = Merchant::new();
    let mut request = wxpay_request(merchant.clock.now(), "GET", "/v3/certificates", "");
    request.headers_mut().remove("wechatpay-serial");
    let response = merchant.send(request).await;
    assert!(wxpay_verifies(&response));
    assert_eq!(response.headers()["wechatpay-serial"], keys::WXPAY_PLATFORM_SERIAL_NO);
    let reply = json_of(&response);
    let sealed = &reply["data"][0]["encrypt_certificate"];
    let field = |name: &str| sealed[name].as_str().unwrap();
    let engine = base64::engine::general_purpose::STANDARD;
    let mut text = engine.decode(field("ciphertext")).unwrap();
    let key = UnboundKey::new(&AES_256_GCM, keys::API_V3_KEY.as_bytes()).unwrap();
    let nonce = Nonce::try_assume_unique_for_key(field("nonce").as_bytes()).unwrap();
    let associated = Aad::from(field("associated_data").as_bytes().to_vec());
    let plain = LessSafeKey::new(key).open_in_place(nonce, associated, &mut text).unwrap();
    assert_eq!(plain, keys::WXPAY_PLATFORM_CERT_PEM.as_bytes());

    let mut request = wxpay_request(merchant.clock.now(), "GET", "/v3/certificates", "");
    request.headers_mut().remove("user-agent");
    assert_eq!(merchant.send(request).await.status(), 400);
}

#[tokio::test]
async fn paths_and_methods_that_v3_does_not_have_get_an_empty_answer() {
    let merchant = Merchant::new();
    for (method, path, status) in [
        ("GET", "/v3/pay/transactions/jsapi".to_owned(), 405),
        ("POST", "/v3/pay/transactions/facepay".to_owned(), 404),
        ("POST", "/v3/pay/transactions/out-trade-no//close".to_owned(), 404),
        ("GET", "/".to_owned(), 404),
    ] {
        let response = merchant.send(wxpay_request(Millis(0), method, &path, "")).await;
        assert_eq!((response.status().as_u16(), response.body().len()), (status, 0), "{path}");
    }
}

#[tokio::test]
async fn alipay_creates_a_trade_once_and_only_with_the_same_data() {
    let merchant = Merchant::new();
    let (code, first) = merchant.alipay("alipay.trade.create", &trade()).await;
    assert_eq!(code, "", "{first}");
    let (_, again) = merchant.alipay("alipay.trade.create", &trade()).await;
    assert_eq!(first["trade_no"], again["trade_no"]);
    for (name, value, code) in [
        ("total_amount", "0.02", "ACQ.CONTEXT_INCONSISTENT"),
        ("subject", "coffee", "ACQ.CONTEXT_INCONSISTENT"),
        ("buyer_open_id", "buyer-2", "ACQ.TRADE_BUYER_NOT_MATCH"),
    ] {
        let mut other = trade();
        other[name] = json!(value);
        assert_eq!(merchant.alipay("alipay.trade.create", &other).await.0, code);
    }
    let name = json!({ "out_trade_no": NO });
    let (_, told) = merchant.alipay("alipay.trade.query", &name).await;
    assert_eq!(told["trade_status"], "WAIT_BUYER_PAY");
    let with = PayWith::TradeNo(first["trade_no"].as_str().unwrap().to_owned());
    assert_eq!(merchant.pay(ProviderId::Alipay, with.clone()), Ok(State::Paid));
    assert_eq!(merchant.pay(ProviderId::Alipay, with), Err("ACQ.TRADE_HAS_SUCCESS".to_owned()));
    let (_, told) = merchant.alipay("alipay.trade.query", &name).await;
    assert_eq!(told["trade_status"], "TRADE_SUCCESS");
    assert_eq!(
        (&told["total_amount"], &told["buyer_open_id"]),
        (&json!("0.01"), &json!("buyer-1"))
    );
    let closed = merchant.alipay("alipay.trade.close", &name).await;
    assert_eq!(closed.0, "ACQ.REASON_TRADE_STATUS_INVALID");
    let create = merchant.alipay("alipay.trade.create", &trade()).await;
    assert_eq!(create.0, "ACQ.TRADE_HAS_SUCCESS");
}

#[tokio::test]
async fn an_alipay_trade_behind_a_qr_code_exists_when_it_is_scanned() {
    let merchant = Merchant::new();
    let name = json!({ "out_trade_no": NO });
    let (_, first) = merchant.alipay("alipay.trade.precreate", &qr("0.01")).await;
    let (_, second) = merchant.alipay("alipay.trade.precreate", &qr("0.02")).await;
    assert_ne!(first["qr_code"], second["qr_code"], "nobody objects to another amount");
    for method in ["alipay.trade.query", "alipay.trade.close"] {
        assert_eq!(merchant.alipay(method, &name).await.0, "ACQ.TRADE_NOT_EXIST", "{method}");
    }
    let with = PayWith::CodeUrl(first["qr_code"].as_str().unwrap().to_owned());
    let purchase = Purchase { provider: ProviderId::Alipay, with, payer: None };
    assert_eq!(merchant.providers.scan(&purchase).unwrap().state, State::Unpaid);
    let (_, told) = merchant.alipay("alipay.trade.query", &name).await;
    assert_eq!(told["total_amount"], "0.01", "who scans first fixes the amount");
    let other = PayWith::CodeUrl(second["qr_code"].as_str().unwrap().to_owned());
    assert_eq!(merchant.pay(ProviderId::Alipay, other), Err("ACQ.CONTEXT_INCONSISTENT".to_owned()));
    let (code, _) = merchant.alipay("alipay.trade.precreate", &qr("0.02")).await;
    assert_eq!(code, "ACQ.CONTEXT_INCONSISTENT");
    assert_eq!(merchant.alipay("alipay.trade.close", &name).await.0, "");
    assert_eq!(merchant.providers.pay(&purchase).unwrap_err().code, "ACQ.TRADE_HAS_CLOSE");
    let (_, told) = merchant.alipay("alipay.trade.query", &name).await;
    assert_eq!(told["trade_status"], "TRADE_CLOSED");
    let (code, _) = merchant.alipay("alipay.trade.precreate", &qr("0.01")).await;
    assert_eq!(code, "ACQ.TRADE_HAS_CLOSE");
}

#[tokio::test]
async fn an_alipay_order_string_is_checked_when_the_buyer_brings_it() {
    let merchant = Merchant::new();
    let good = order_string(&merchant, "0.01");
    let pay = |text: &str| merchant.pay(ProviderId::Alipay, PayWith::OrderString(text.to_owned()));
    let forged = good.replace("0.01", "0.99");
    assert_eq!(pay(&forged), Err("isv.invalid-signature".to_owned()));
    assert_eq!(pay(""), Err("isv.missing-method".to_owned()));
    let query = json!({ "out_trade_no": NO });
    assert_eq!(merchant.alipay("alipay.trade.query", &query).await.0, "ACQ.TRADE_NOT_EXIST");
    assert_eq!(pay(&good), Ok(State::Paid));
    assert_eq!(pay(&good), Err("ACQ.TRADE_HAS_SUCCESS".to_owned()));
    assert_eq!(merchant.providers.orders()[0].terms.amount.fen(), 1);
}

#[tokio::test]
async fn alipay_closes_what_was_not_paid_in_time() {
    let merchant = Merchant::new();
    let mut content = trade();
    content["time_expire"] = json!(merchant.clock.now().plus(HOUR_MS).to_alipay());
    merchant.alipay("alipay.trade.create", &content).await;
    merchant.providers.advance_ms(HOUR_MS);
    let query = json!({ "out_trade_no": NO });
    let (_, told) = merchant.alipay("alipay.trade.query", &query).await;
    assert_eq!(told["trade_status"], "TRADE_CLOSED");
    let paid = merchant.pay(ProviderId::Alipay, PayWith::OutTradeNo(NO.to_owned()));
    assert_eq!(paid, Err("ACQ.TRADE_HAS_CLOSE".to_owned()));

    let mut code = qr("0.01");
    code["out_trade_no"] = json!("by_code");
    let (_, reply) = merchant.alipay("alipay.trade.precreate", &code).await;
    merchant.providers.advance_ms(2 * HOUR_MS);
    let with = PayWith::CodeUrl(reply["qr_code"].as_str().unwrap().to_owned());
    assert_eq!(merchant.pay(ProviderId::Alipay, with), Err("CODE_EXPIRED".to_owned()));
}

#[tokio::test]
async fn the_alipay_gateway_refuses_unsigned_what_it_cannot_read() {
    let merchant = Merchant::new();
    let now = merchant.clock.now();
    let cases = [
        ("app_id", "2021009999999999", "isv.invalid-app-id"),
        ("sign_type", "RSA", "isv.invalid-signature-type"),
        ("charset", "GBK", "isv.invalid-charset"),
        ("version", "2.0", "isv.invalid-version"),
        ("timestamp", "2018-06-08T10:34:56Z", "isv.invalid-timestamp"),
        ("biz_content", "[]", "isv.invalid-parameter"),
        ("biz_content", "{", "isv.invalid-parameter"),
        ("app_id", "", "isv.missing-app-id"),
    ];
    for (name, value, code) in cases {
        let mut params = alipay_params(now, "alipay.trade.query", &json!({ "out_trade_no": NO }));
        params.iter_mut().find(|(key, _)| key == name).unwrap().1 = value.to_owned();
        params.retain(|(_, value)| !value.is_empty());
        sign_alipay(&mut params);
        let reply = json_of(&merchant.send(alipay_request(&params)).await);
        assert!(reply.get("sign").is_none(), "{name} {value}");
        assert_eq!(reply["alipay_trade_query_response"]["sub_code"], code, "{name} {value}");
    }
    let good = alipay_params(now, "alipay.trade.query", &json!({ "out_trade_no": NO }));
    let mut altered = good.clone();
    altered.iter_mut().find(|(key, _)| key == "notify_url").unwrap().1.push('x');
    let unsigned: Vec<_> = good.iter().filter(|(key, _)| key != "sign").cloned().collect();
    let mut repeated = good.clone();
    repeated.push(good[0].clone());
    for (params, code) in [
        (altered, "isv.invalid-signature"),
        (unsigned, "isv.missing-signature"),
        (repeated, "isv.invalid-parameter"),
    ] {
        let reply = json_of(&merchant.send(alipay_request(&params)).await);
        assert_eq!(reply["alipay_trade_query_response"]["sub_code"], code);
    }
    let empty = merchant.send(Request::post("/gateway.do").body(Bytes::new()).unwrap()).await;
    assert_eq!(json_of(&empty)["error_response"]["sub_code"], "isv.missing-method");
}

#[tokio::test]
async fn alipay_refuses_content_that_breaks_its_rules() {
    let merchant = Merchant::new();
    let cases = [
        ("out_trade_no", json!("a/b"), "ACQ.INVALID_PARAMETER"),
        ("out_trade_no", json!("x".repeat(65)), "ACQ.INVALID_PARAMETER"),
        ("out_trade_no", json!(1), "ACQ.INVALID_PARAMETER"),
        ("total_amount", json!("0.00"), "ACQ.TOTAL_FEE_EXCEED"),
        ("total_amount", json!("0.001"), "ACQ.TOTAL_FEE_EXCEED"),
        ("total_amount", json!("100000000.01"), "ACQ.TOTAL_FEE_EXCEED"),
        ("total_amount", Value::Null, "ACQ.TOTAL_FEE_EXCEED"),
        ("subject", json!("a&b"), "ACQ.INVALID_PARAMETER"),
        ("subject", json!("x".repeat(257)), "ACQ.INVALID_PARAMETER"),
        ("subject", json!(""), "ACQ.INVALID_PARAMETER"),
        ("body", json!("x".repeat(129)), "ACQ.INVALID_PARAMETER"),
        ("product_code", json!("QUICK_WAP_WAY"), "ACQ.INVALID_PARAMETER"),
        ("op_app_id", json!("2021009999999999"), "ACQ.INVALID_PARAMETER"),
        ("buyer_open_id", json!(""), "ACQ.INVALID_PARAMETER"),
        ("buyer_id", json!("1"), "ACQ.INVALID_PARAMETER"),
        ("buyer_id", json!(keys::ALIPAY_SELLER_ID), "ACQ.BUYER_SELLER_EQUAL"),
        ("timeout_express", json!("16d"), "ACQ.INVALID_PARAMETER"),
        ("time_expire", json!("tomorrow"), "ACQ.INVALID_PARAMETER"),
        ("time_expire", json!("2018-06-08 10:34:56"), "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR"),
    ];
    for (name, value, code) in cases {
        let mut content = trade();
        content[name] = value.clone();
        assert_eq!(
            merchant.alipay("alipay.trade.create", &content).await.0,
            code,
            "{name} {value}"
        );
    }
    assert!(merchant.providers.orders().is_empty());
}

#[tokio::test]
async fn a_signed_alipay_page_is_shown_and_its_address_can_be_paid() {
    let merchant = Merchant::new();
    let content = json!({
        "out_trade_no": NO,
        "total_amount": "0.01",
        "subject": "<b>tea",
        "product_code": "FAST_INSTANT_TRADE_PAY",
    });
    let params = alipay_params(merchant.clock.now(), "alipay.trade.page.pay", &content);
    let address = format!("/gateway.do?{}", form(&params.iter().collect::<Vec<_>>()));
    let show = async |address: &str| {
        let request = Request::get(address).body(Bytes::new()).unwrap();
        String::from_utf8(merchant.send(request).await.body().to_vec()).unwrap()
    };
    let page = show(&address).await;
    assert!(page.contains("&lt;b&gt;tea") && page.contains("¥0.01"), "{page}");
    assert!(show(&address.replace("0.01", "9.99")).await.contains("isv.invalid-signature"));
    assert!(merchant.providers.orders().is_empty(), "looking at a page makes no trade");
    let url = format!("https://mock.example.com{address}");
    assert_eq!(merchant.pay(ProviderId::Alipay, PayWith::PayUrl(url)), Ok(State::Paid));
    assert!(show(&address).await.contains("ACQ.TRADE_HAS_SUCCESS"));
}

#[tokio::test]
async fn in_certificate_mode_alipay_names_its_certificate() {
    let merchant = Merchant::new();
    let mut params = alipay_params(merchant.clock.now(), "alipay.trade.create", &trade());
    params.push(("app_cert_sn".to_owned(), keys::ALIPAY_APP_CERT_SN.to_owned()));
    params.push(("alipay_root_cert_sn".to_owned(), keys::ALIPAY_ROOT_CERT_SN.to_owned()));
    sign_alipay(&mut params);
    let response = merchant.send(alipay_request(&params)).await;
    assert_eq!(json_of(&response)["alipay_cert_sn"], keys::ALIPAY_PUBLIC_CERT_SN);
    let text = std::str::from_utf8(response.body()).unwrap();
    assert!(alipay_read(text, "alipay.trade.create").1);
    params.retain(|(key, _)| key != "alipay_root_cert_sn");
    sign_alipay(&mut params);
    let reply = json_of(&merchant.send(alipay_request(&params)).await);
    assert_eq!(reply["alipay_trade_create_response"]["sub_code"], "isv.invalid-signature");
}

#[tokio::test]
async fn the_same_shop_can_be_paid_twice_under_two_numbers() {
    let merchant = Merchant::new();
    merchant.order("native", &native()).await;
    merchant.alipay("alipay.trade.precreate", &qr("0.01")).await;
    for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
        let paid = merchant.pay(provider, PayWith::OutTradeNo(NO.to_owned()));
        assert_eq!(paid, Ok(State::Paid));
    }
    let (_, both) = merchant.control("GET", &format!("orders/{NO}"), "").await;
    assert_eq!(both["orders"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_lost_request_never_happened_and_a_lost_reply_did() {
    let request = |merchant: &Merchant| {
        let path = format!("{ORDERS}/native");
        wxpay_request(merchant.clock.now(), "POST", &path, &native().to_string())
    };
    for (kind, happened) in
        [(FaultKind::LoseRequest, 0), (FaultKind::Reset, 0), (FaultKind::LoseReply, 1)]
    {
        let merchant = Merchant::new();
        merchant.spoil(kind.clone());
        let sent = merchant.providers.send(request(&merchant), Duration::from_secs(8)).await;
        assert!(matches!(sent, Err(TransportFailure::Unknown(_))), "{kind:?}");
        assert_eq!(merchant.providers.orders().len(), happened, "{kind:?}");
        assert_eq!(merchant.order("native", &native()).await.0, 200, "once is once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_later_than_the_timeout_is_lost() {
    let merchant = Merchant::new();
    for (ms, arrives) in [(7_999, true), (8_000, false)] {
        merchant.spoil(FaultKind::Delay { ms });
        let path = format!("{ORDERS}/native");
        let request = wxpay_request(merchant.clock.now(), "POST", &path, &native().to_string());
        let sent = merchant.providers.send(request, Duration::from_secs(8)).await;
        assert_eq!(sent.is_ok(), arrives, "{ms}");
    }
    assert_eq!(merchant.providers.orders()[0].create_calls, 2);
}

#[tokio::test]
async fn spoiled_replies_come_from_a_provider_that_acted() {
    for kind in
        [FaultKind::Status500, FaultKind::BadSignature, FaultKind::Unsigned, FaultKind::Malformed]
    {
        let merchant = Merchant::new();
        let path = format!("{ORDERS}/native");
        let request = wxpay_request(merchant.clock.now(), "POST", &path, &native().to_string());
        merchant.spoil(kind.clone());
        let response = merchant.send(request).await;
        let good_json = serde_json::from_slice::<Value>(response.body()).is_ok();
        let seen = (response.status().as_u16(), wxpay_verifies(&response), good_json);
        let expected = match kind {
            FaultKind::Status500 => (500, false, false),
            FaultKind::Malformed => (200, true, false),
            _ => (200, false, true),
        };
        assert_eq!(seen, expected, "{kind:?}");

        merchant.spoil(kind.clone());
        let params = alipay_params(merchant.clock.now(), "alipay.trade.create", &trade());
        let response = merchant.send(alipay_request(&params)).await;
        let text = String::from_utf8(response.body().to_vec()).unwrap();
        match kind {
            FaultKind::Status500 => assert_eq!(response.status(), 500),
            FaultKind::Malformed => assert!(serde_json::from_str::<Value>(&text).is_err()),
            _ => assert!(!alipay_read(&text, "alipay.trade.create").1, "{text}"),
        }
        assert_eq!(merchant.providers.orders().len(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_refusal_on_demand_has_the_providers_form() {
    let merchant = Merchant::new();
    let refuse = |code: &str| {
        let (code, message) = (code.to_owned(), "on demand".to_owned());
        FaultKind::Refuse(Refuse { code, message, status: None })
    };
    for (code, status) in [("FREQUENCY_LIMITED", 429), ("SYSTEM_ERROR", 500), ("NO_AUTH", 403)] {
        merchant.spoil(refuse(code));
        let (seen, reply) = merchant.order("native", &native()).await;
        assert_eq!((seen, &reply["code"]), (status, &json!(code)));
    }
    merchant.spoil(refuse("ACQ.SYSTEM_ERROR"));
    let (code, reply) = merchant.alipay("alipay.trade.create", &trade()).await;
    assert_eq!((code.as_str(), &reply["code"]), ("ACQ.SYSTEM_ERROR", &json!("40004")));
    merchant.spoil(refuse("20000"));
    let params = alipay_params(merchant.clock.now(), "alipay.trade.create", &trade());
    let reply = json_of(&merchant.send(alipay_request(&params)).await);
    assert_eq!(reply["alipay_trade_create_response"]["code"], "20000");
    assert!(reply.get("sign").is_none());
    assert!(merchant.providers.orders().is_empty());
}

#[tokio::test]
async fn the_control_operations_show_the_ledger_and_let_buyers_pay() {
    let merchant = Merchant::new();
    merchant.order("native", &native()).await;
    let fault = r#"{"provider":"wxpay","operation":"query","fault":"unsigned","times":3}"#;
    assert_eq!(merchant.control("POST", "faults", fault).await.0, 200);
    let (_, ledger) = merchant.control("GET", "ledger", "").await;
    assert_eq!(ledger["calls"], json!({ "wxpay.create": 1 }));
    assert_eq!(ledger["faults"][0]["times"], 3);
    assert_eq!(ledger["orders"][0]["state"], "unpaid");
    assert_eq!(ledger["orders"][0]["terms"]["request"]["description"], "一杯茶");
    let (_, faults) = merchant.control("DELETE", "faults", "").await;
    assert_eq!(faults, json!({ "faults": [] }));
    let pay = json!({ "provider": "wxpay", "out_trade_no": NO, "payer": "oMe" }).to_string();
    let (status, order) = merchant.control("POST", "pay", &pay).await;
    assert_eq!((status, &order["payments"][0]["payer"]), (200, &json!("oMe")));
    assert_eq!(order["payments"][0]["amount"], 1);
    let (status, declined) = merchant.control("POST", "pay", &pay).await;
    assert_eq!((status, &declined["code"]), (409, &json!("ORDER_PAID")));
    let (status, clock) = merchant.control("POST", "clock", r#"{"advance_ms":60000}"#).await;
    assert_eq!((status, &clock["now"]), (200, &json!(1_750_000_060_123_i64)));
    for (method, path, body, status) in [
        ("POST", "pay", "{}", 400),
        ("POST", "pay", r#"{"provider":"wxpay","out_trade_no":"1","oops":1}"#, 400),
        ("POST", "faults", r#"{"fault":"explode"}"#, 400),
        ("POST", "clock", "", 400),
        ("GET", "orders/unknown", "", 404),
        ("GET", "orders/%ff", "", 404),
        ("PUT", "ledger", "", 404),
        ("GET", "", "", 404),
    ] {
        assert_eq!(merchant.control(method, path, body).await.0, status, "{method} {path} {body}");
    }
}

#[tokio::test]
async fn the_ledger_outlives_the_process_and_half_a_line_is_no_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let merchant = Merchant::with_ledger(Some(&path));
    merchant.order("native", &native()).await;
    merchant.alipay("alipay.trade.create", &trade()).await;
    merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned())).unwrap();
    let clock = merchant.clock.clone();
    let second = InProcess::open(Some(&path), Arc::new(clock));
    assert!(second.is_err(), "one process owns the file");
    let before = merchant.providers.orders();
    drop(merchant);

    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(br#"{"provider":"wxpay","merch"#).unwrap();
    drop(file);
    let merchant = Merchant::with_ledger(Some(&path));
    assert_eq!(merchant.providers.orders(), before);
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "SUCCESS");
    drop(merchant);
    assert_eq!(Merchant::with_ledger(Some(&path)).providers.orders(), before);

    for foreign in ["something else\n", "something else", "{}\n"] {
        std::fs::write(&path, foreign).unwrap();
        assert!(InProcess::open(Some(&path), Arc::new(paygate::clock::SystemClock)).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign, "it is left alone");
    }
}

#[tokio::test]
async fn the_embedded_keys_belong_together() {
    let base = "http://127.0.0.1:1/".parse().unwrap();
    let wxpay = keys::wxpay_merchant(base);
    assert_eq!(wxpay.apps.len(), 5);
    let account = &wxpay.apps.values().next().unwrap().account;
    let own = key_of_certificate(keys::WXPAY_MERCHANT_CERT_PEM).fingerprint();
    assert_eq!(account.signing.fingerprint(), own);
    let gateway = "http://127.0.0.1:1/gateway.do".parse().unwrap();
    let alipay = keys::alipay_merchant(gateway);
    assert_eq!(alipay.apps.len(), 3);
    let app = alipay.apps.values().next().unwrap();
    let own = key_of_certificate(keys::ALIPAY_APP_CERT_PEM).fingerprint();
    assert_eq!(app.signing.fingerprint(), own);
    let prints = keys::fingerprints();
    assert_eq!(prints.len(), 5);
    for print in [account.signing.fingerprint(), app.signing.fingerprint()] {
        assert!(prints.contains(&print));
    }
    assert_eq!(keys::API_V3_KEY.len(), 32);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]
    #[test]
    fn whatever_arrives_is_answered(
        path in "/(v3/pay/transactions/[a-z/%-]{0,30}|gateway[.]do|_mock/[a-z%/]{0,12})",
        query in "[0-9A-Za-z%&=+._~-]{0,60}",
        header in "(WECHATPAY2-SHA256-RSA2048 )?[ -~]{0,80}",
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let merchant = Merchant::new();
        let request = Request::post(format!("{path}?{query}")).header("authorization", header);
        let request = request.body(Bytes::from(body)).unwrap();
        let sent = merchant.providers.send(request, Duration::from_secs(8)).now_or_never();
        prop_assert!(matches!(sent, Some(Ok(_))));
        prop_assert!(merchant.providers.orders().is_empty());
    }
}

async fn start() -> Mock {
    let listen = "127.0.0.1:0".parse().unwrap();
    let clock = Arc::new(Still(Arc::new(AtomicI64::new(1_750_000_000_123))));
    Mock::start(MockConfig { listen, ledger_path: None, clock }).await.unwrap()
}

/// Sends a hand-made request over a socket.
async fn over_the_wire(
    client: &reqwest::Client,
    mock: &Mock,
    request: Request<Bytes>,
) -> reqwest::Result<Response<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().unwrap().to_string();
    parts.uri = format!("http://{}{path}", mock.addr()).parse().unwrap();
    let request = reqwest::Request::try_from(Request::from_parts(parts, body))?;
    let reply = client.execute(request).await?;
    let (status, headers) = (reply.status(), reply.headers().clone());
    let mut response = Response::new(reply.bytes().await?);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

#[tokio::test]
async fn concurrent_orders_of_one_number_over_sockets_make_one_order() {
    let mock = start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = || {
        let path = format!("{ORDERS}/native");
        let now = Millis(1_750_000_000_123);
        over_the_wire(&client, &mock, wxpay_request(now, "POST", &path, &native().to_string()))
    };
    let replies = futures_util::future::join_all((0..20).map(|_| send())).await;
    for reply in replies {
        let reply = reply.unwrap();
        assert!(reply.status() == 200 && wxpay_verifies(&reply));
    }
    let orders = mock.in_process().orders();
    assert_eq!((orders.len(), orders[0].create_calls), (1, 20));
    mock.shutdown().await;
}

#[tokio::test]
async fn faults_break_the_connection_and_large_bodies_are_refused() {
    let mock = start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let path = format!("{ORDERS}/native");
    let now = Millis(1_750_000_000_123);
    let order = || wxpay_request(now, "POST", &path, &native().to_string());
    for (kind, happened) in
        [(FaultKind::LoseRequest, 0), (FaultKind::Reset, 0), (FaultKind::LoseReply, 1)]
    {
        let operation = Some(Operation::Create);
        mock.in_process().add_fault(Fault { provider: None, operation, kind, times: 1 });
        assert!(over_the_wire(&client, &mock, order()).await.is_err());
        assert_eq!(mock.in_process().orders().len(), happened);
    }
    assert_eq!(over_the_wire(&client, &mock, order()).await.unwrap().status(), 200);
    let large = wxpay_request(now, "POST", &path, &" ".repeat(1024 * 1024 + 1));
    let reply = over_the_wire(&client, &mock, large).await;
    assert!(reply.map_or(true, |it| it.status() == 413));
    let addr = mock.addr();
    assert_eq!(mock.alipay_gateway_url().as_str(), format!("http://{addr}/gateway.do"));
    assert_eq!(mock.wxpay_base_url().as_str(), format!("http://{addr}/"));
    mock.shutdown().await;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

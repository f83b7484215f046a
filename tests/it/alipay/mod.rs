//! Alipay from outside: what is stored, signed and sent, and what replies mean.
#![cfg(feature = "alipay")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod accounts;
mod calls;
mod charsets;
mod orders;
mod refunds;
mod notifications;
mod responses;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use paygate::Clock;
use paygate::domain::{
    AlipayChoice, AppAuthToken, Attempt, ChannelNo, Fen, Material, Millis, OrderTerms, OutTradeNo,
    Params, PayType, PaymentMethod, Product, RawJson,
};
use paygate::provider::alipay::{AlipayApp, AlipayGateway, AlipayMerchant, AlipayVerification};
use paygate::provider::{
    AttemptRequest, BoxFuture, Call, Provider, SigningKey, Transport, TransportFailure,
};

use crate::support::fixtures::{order_terms, prepared_attempt};

/// The shop's key, and Alipay's.
static SHOP: LazyLock<SigningKey> = LazyLock::new(rsa_key);
static ALIPAY: LazyLock<SigningKey> = LazyLock::new(rsa_key);

fn rsa_key() -> SigningKey {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    SigningKey::parse(pair.serialized_der()).unwrap()
}

const APP_ID: &str = "2021001161683774";
const SELLER_ID: &str = "2088831204659217";
const NUMBER: &str = "2107151010101541001";
const NOTIFY_URL: &str = "https://shop.example.com/pay/notify/alipay/alipay_h5/default";
const TOKEN: &str = "201611BBtoken";

/// 2021-07-15 10:10:10 in Beijing.
const NOW: Millis = Millis(1_626_315_010_000);
/// Half an hour later, and a part of a second.
const EXPIRES: Millis = Millis(1_626_316_810_789);

fn app() -> AlipayApp {
    AlipayApp {
        app_id: APP_ID.to_owned(),
        seller_id: None,
        signing: SHOP.clone(),
        verification: AlipayVerification::PublicKey(ALIPAY.verifying_key()),
        gateway_url: "https://gateway.example.com/gateway.do".parse().unwrap(),
    }
}

fn with_certificates() -> AlipayApp {
    let verification = AlipayVerification::Certificates {
        app_cert_sn: "app-sn".to_owned(),
        root_cert_sn: "root-sn_2".to_owned(),
        alipay_cert_sn: "alipay-sn".to_owned(),
        key: ALIPAY.verifying_key(),
    };
    AlipayApp { verification, ..app() }
}

fn gateway(app: AlipayApp) -> AlipayGateway {
    let types = [PayType::AlipayMpAlipay, PayType::AlipayAppPlus, PayType::AlipayH5];
    let apps = types.into_iter().map(|it| (it, app.clone())).collect();
    AlipayGateway::new(AlipayMerchant { apps, choice: AlipayChoice::default() }).unwrap()
}

fn terms() -> OrderTerms {
    let custom = Some(RawJson::parse(r#"{"never":"sent"}"#).unwrap());
    OrderTerms { custom, ..order_terms(NUMBER, "测试 a+b") }
}

fn pay_type(product: Product) -> PayType {
    match product {
        Product::AppPay => PayType::AlipayAppPlus,
        Product::Create => PayType::AlipayMpAlipay,
        _ => PayType::AlipayH5,
    }
}

/// What `app` would send for `facts`, or why it would not.
fn plan(app: AlipayApp, product: Product, terms: &OrderTerms) -> Result<Params, String> {
    let channel_no = ChannelNo::first(&terms.out_trade_no);
    let plan = AttemptRequest {
        terms,
        pay_type: pay_type(product),
        product,
        channel_no: &channel_no,
        openid: product.needs_openid().then_some("2088102146225135"),
        client_ip: Some(IpAddr::from([203, 0, 113, 9])),
        user_agent: "",
        expires_at: EXPIRES,
        notify_url: NOTIFY_URL,
        return_url: Some("https://shop.example.com/done?no=1"),
    };
    gateway(app).plan(&plan).map_err(|text| text.en)
}

/// An attempt that was planned by `app`.
fn attempt(app: AlipayApp, product: Product, terms: &OrderTerms) -> Attempt {
    let method = PaymentMethod {
        pay_type: pay_type(product),
        product,
        app_id: app.app_id.clone(),
        openid: None,
        client_ip: None,
    };
    let (channel_no, params) =
        (ChannelNo::first(&terms.out_trade_no), plan(app.clone(), product, terms));
    Attempt {
        account: gateway(app).account(pay_type(product), terms),
        expires_at: EXPIRES,
        ..prepared_attempt(channel_no, method, params.unwrap(), NOW)
    }
}

/// Answers every request with the same thing and keeps what was sent.
#[derive(Debug)]
struct RecordingTransport {
    answer: Result<(u16, Vec<u8>), TransportFailure>,
    /// The answer's `Date`.
    date: Option<&'static str>,
    sent: Mutex<Vec<http::Request<Bytes>>>,
}

impl RecordingTransport {
    fn new(body: impl Into<Vec<u8>>) -> RecordingTransport {
        RecordingTransport { answer: Ok((200, body.into())), date: None, sent: Mutex::default() }
    }

    fn call(&self) -> Call<'_> {
        Call { transport: self, clock: &FixedClock(NOW), timeout: Duration::from_secs(8) }
    }

    fn sent(self) -> Vec<http::Request<Bytes>> {
        self.sent.into_inner().unwrap()
    }
}

impl Transport for RecordingTransport {
    fn send<'a>(
        &'a self,
        request: http::Request<Bytes>,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<http::Response<Bytes>, TransportFailure>> {
        self.sent.lock().unwrap().push(request);
        let answer = self.answer.clone().map(|(status, body)| {
            let answer = http::Response::builder().status(status);
            let date = self.date.into_iter().map(|it| (http::header::DATE, it));
            let answer = date.fold(answer, |answer, (name, it)| answer.header(name, it));
            answer.body(Bytes::from(body)).unwrap()
        });
        Box::pin(std::future::ready(answer))
    }
}

#[derive(Debug)]
struct FixedClock(Millis);

impl Clock for FixedClock {
    fn now(&self) -> Millis {
        self.0
    }
}

/// The parameters of a query or form, decoded once.
fn parameters(query: &str) -> BTreeMap<String, String> {
    assert!(!query.contains('+'), "a space is %20: {query}");
    let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let count = pairs.len();
    let parameters: BTreeMap<_, _> = pairs.into_iter().collect();
    assert_eq!(parameters.len(), count, "a parameter twice: {query}");
    parameters
}

/// Asserts the shop's signature as Alipay does, and returns the other parameters.
fn verified(mut parameters: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let sign = parameters.remove("sign").expect("a signature");
    let pairs: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert!(SHOP.verifying_key().verifies(pairs.join("&").as_bytes(), &sign));
    parameters
}

/// A reply to `method`, signed by `key` over `raw`.
fn reply(method: &str, raw: &str, key: &SigningKey) -> String {
    let sign = key.sign(raw.as_bytes());
    format!(r#"{{"{}_response":{raw},"sign":"{sign}"}}"#, method.replace('.', "_"))
}

fn qr_code() -> Material {
    Material::QrCode {
        code_url: "https://qr.alipay.com/bax".to_owned(),
        msg: Some("Success".to_owned()),
    }
}

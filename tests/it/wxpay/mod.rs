//! The wire, and WeChat Pay V3 from outside: requests as they leave, answers as they come.
#![cfg(feature = "wxpay")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod accounts;
mod certificates;
mod clocks;
mod documents;
mod notifications;
mod refunds;
mod responses;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use paygate::domain::{
    Attempt, ChannelNo, Fen, Millis, OrderTerms, OutTradeNo, Params, PayType, PaymentMethod,
    Product,
};
use paygate::error::Text;
use paygate::provider::wxpay::{
    Site, V3, WxpayAccount, WxpayApp, WxpayMerchant, WxpayVerification,
};
use paygate::provider::{
    AttemptRequest, BoxFuture, Call, Notification, NotificationError, Provider, SigningKey,
    Transport, TransportFailure,
};
use paygate::{Clock, Secret};

use crate::support::fixtures::{order_terms, prepared_attempt};

/// 2023-11-15 06:13:20 in Beijing.
const NOW: Millis = Millis(1_700_000_000_000);
const NUMBER: &str = "2107151010101541001";
const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0114232134912410000000000000";
const MERCHANT_SERIAL: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";
const API_V3_KEY: &str = "0123456789abcdef0123456789abcdef";

fn generated() -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap()
}

/// The merchant's key, and WeChat Pay's.
static MERCHANT_KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::parse(generated().serialized_der()).unwrap());
static WECHAT_PAIR: LazyLock<rcgen::KeyPair> = LazyLock::new(generated);
static WECHAT_KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::parse(WECHAT_PAIR.serialized_der()).unwrap());

fn account(verification: WxpayVerification) -> WxpayAccount {
    WxpayAccount {
        mch_id: "1900000001".to_owned(),
        serial_no: MERCHANT_SERIAL.to_owned(),
        signing: MERCHANT_KEY.clone(),
        api_v3_key: Secret::new(API_V3_KEY),
        verification,
        base_url: "https://api.mch.weixin.qq.com".parse().unwrap(),
    }
}

fn public_key() -> WxpayVerification {
    WxpayVerification::PublicKey { id: PUBLIC_KEY_ID.to_owned(), key: WECHAT_KEY.verifying_key() }
}

/// Every pay type with an app of its own, all paying into one account.
fn merchant(verification: WxpayVerification) -> WxpayMerchant {
    let account = Arc::new(account(verification));
    let app = |app_id: &str| WxpayApp {
        app_id: app_id.to_owned(),
        account: account.clone(),
        site: Some(Site { name: "小店".to_owned(), url: "https://shop.example.com".to_owned() }),
    };
    let apps = [
        (PayType::WxpayMpWeixin, app("wxmini")),
        (PayType::WxpayAppPlus, app("wxapp")),
        (PayType::WxpayH5, app("wxqr")),
        (PayType::WxpayH5Weixin, app("wxpublic")),
        (PayType::WxpayMweb, app("wxmweb")),
    ];
    WxpayMerchant { apps: BTreeMap::from(apps) }
}

fn v3() -> V3 {
    V3::new(merchant(public_key())).unwrap()
}

fn terms() -> OrderTerms {
    order_terms(NUMBER, "一\"件\"商品")
}

/// How an order is paid in a test.
#[derive(Clone)]
struct Scene {
    terms: OrderTerms,
    pay_type: PayType,
    openid: Option<&'static str>,
    client_ip: Option<IpAddr>,
    user_agent: &'static str,
}

impl Scene {
    fn of(pay_type: PayType) -> Scene {
        let needs_openid = product(pay_type).needs_openid();
        Scene {
            terms: terms(),
            pay_type,
            openid: needs_openid.then_some("oUpF8"),
            client_ip: Some([203, 0, 113, 7].into()),
            user_agent: "Mozilla/5.0 (Linux; Android 14) Chrome/120",
        }
    }

    fn plan(&self, v3: &V3) -> Result<Params, Text> {
        v3.plan(&AttemptRequest {
            terms: &self.terms,
            pay_type: self.pay_type,
            product: product(self.pay_type),
            channel_no: &ChannelNo::first(&self.terms.out_trade_no),
            openid: self.openid,
            client_ip: self.client_ip,
            user_agent: self.user_agent,
            expires_at: NOW.plus(1_800_000),
            notify_url: "https://shop.example.com/pay/notify/wxpay/x/default",
            return_url: None,
        })
    }

    fn attempt(&self, v3: &V3) -> Attempt {
        let method = PaymentMethod {
            pay_type: self.pay_type,
            product: product(self.pay_type),
            app_id: v3.app_id(self.pay_type, &self.terms).unwrap(),
            openid: self.openid.map(str::to_owned),
            client_ip: None,
        };
        let channel_no = ChannelNo::first(&self.terms.out_trade_no);
        Attempt {
            account: v3.account(self.pay_type, &self.terms),
            ..prepared_attempt(channel_no, method, self.plan(v3).unwrap(), NOW)
        }
    }
}

fn product(pay_type: PayType) -> Product {
    match pay_type {
        PayType::WxpayMpWeixin | PayType::WxpayH5Weixin => Product::Jsapi,
        PayType::WxpayAppPlus => Product::App,
        PayType::WxpayMweb => Product::H5,
        _ => Product::Native,
    }
}

/// A time of day that only the test changes.
#[derive(Debug)]
struct SetClock(AtomicI64);

impl SetClock {
    fn at(now: Millis) -> SetClock {
        SetClock(AtomicI64::new(now.0))
    }

    fn pass_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

type TransportResult = Result<Response<Bytes>, TransportFailure>;

type AnswerRequest = dyn Fn(&Request<Bytes>) -> TransportResult + Send + Sync;

/// A provider within the process: answers as the test says, and keeps what it was sent.
struct ScriptedTransport {
    answer: Box<AnswerRequest>,
    seen: Mutex<Vec<Request<Bytes>>>,
    /// How long each request might take.
    timeouts: Mutex<Vec<Duration>>,
    /// How long each one took.
    delay: Duration,
    clock: SetClock,
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

impl ScriptedTransport {
    fn new(
        answer: impl Fn(&Request<Bytes>) -> TransportResult + Send + Sync + 'static,
    ) -> ScriptedTransport {
        ScriptedTransport {
            answer: Box::new(answer),
            seen: Mutex::default(),
            timeouts: Mutex::default(),
            delay: Duration::ZERO,
            clock: SetClock::at(NOW),
        }
    }

    /// Always the same answer.
    fn always(answer: TransportResult) -> ScriptedTransport {
        ScriptedTransport::new(move |_| answer.clone())
    }

    fn call(&self) -> Call<'_> {
        Call { transport: self, clock: &self.clock, timeout: Duration::from_secs(8) }
    }

    fn seen(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests' methods and paths.
    fn targets(&self) -> Vec<String> {
        let line = |it: &Request<Bytes>| format!("{} {}", it.method(), it.uri().path());
        self.seen().iter().map(line).collect()
    }
}

impl Transport for ScriptedTransport {
    fn send<'a>(
        &'a self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, TransportResult> {
        Box::pin(async move {
            self.timeouts.lock().unwrap().push(timeout);
            // Others get their turn, as they would while a real answer is awaited.
            match self.delay {
                Duration::ZERO => tokio::task::yield_now().await,
                delay => tokio::time::sleep(delay).await,
            }
            let answer = (self.answer)(&request);
            self.seen.lock().unwrap().push(request);
            answer
        })
    }
}

/// An answer signed by `key` under `serial` at `now`.
fn signed_by(
    (key, serial): (&SigningKey, &str),
    now: Millis,
    status: u16,
    body: &str,
) -> Response<Bytes> {
    let timestamp = now.seconds().to_string();
    let message = format!("{timestamp}\nnonce-of-wechat\n{body}\n");
    Response::builder()
        .status(status)
        .header("Wechatpay-Timestamp", timestamp)
        .header("Wechatpay-Nonce", "nonce-of-wechat")
        .header("Wechatpay-Signature", key.sign(message.as_bytes()))
        .header("Wechatpay-Serial", serial)
        .body(Bytes::from(body.to_owned()))
        .unwrap()
}

/// An answer signed with WeChat Pay's public key.
fn signed(status: u16, body: &str) -> Response<Bytes> {
    signed_by((&WECHAT_KEY, PUBLIC_KEY_ID), NOW, status, body)
}

/// A refusal, unsigned as WeChat Pay's are.
fn refusal(status: u16, code: &str, message: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "code": code, "message": message }).to_string();
    Response::builder().status(status).body(Bytes::from(body)).unwrap()
}

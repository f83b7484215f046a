//! The clients of a shop that loses its payment program again and again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::program::Program;
use crate::rng::Rng;

/// All orders, and where the program is now.
pub(crate) struct Shop {
    pub(crate) orders: Vec<Order>,
    pub(crate) closing: AtomicBool,
    pub(crate) answers: AtomicU64,
    client: reqwest::Client,
    addresses: Mutex<Option<(SocketAddr, SocketAddr)>>,
}

/// One order, and what became of asking for it.
pub(crate) struct Order {
    pub(crate) no: String,
    pub(crate) ways: [&'static str; 2],
    pub(crate) known: Mutex<Known>,
}

/// What a client knows of its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Which of the two ways was asked for last.
    pub(crate) method: usize,
    pub(crate) switches: u32,
    /// Every `code_url`, `prepay_id`, `h5_url` and trade number that was handed out.
    pub(crate) given: BTreeSet<String>,
    pub(crate) paid: bool,
}

/// An answer of the program.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) body: Value,
}

impl Answer {
    /// What the buyer pays with.
    pub(crate) fn material(&self) -> Option<String> {
        let order_info = &self.body["orderInfo"];
        let keys = ["codeUrl", "package", "prepayid", "h5Url"];
        if order_info["prepayid"].is_string() {
            return order_info["prepayid"].as_str().map(str::to_owned);
        }
        let found =
            order_info.as_str().or_else(|| keys.iter().find_map(|key| order_info[key].as_str()))?;
        Some(found.strip_prefix("prepay_id=").unwrap_or(found).to_owned())
    }
}

impl Shop {
    pub(crate) fn new(orders: usize, rng: &Rng) -> Shop {
        let order = |n| Order {
            no: format!("kill-{n:06}"),
            ways: [*rng.pick(&WAYS), *rng.pick(&WAYS)],
            known: Mutex::default(),
        };
        Shop {
            orders: (0..orders).map(order).collect(),
            closing: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            client: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(30))
                .build()
                .unwrap(),
            addresses: Mutex::default(),
        }
    }

    /// The program is here now.
    pub(crate) fn serves(&self, program: &Program) {
        *self.addresses.lock().unwrap() = Some((program.public(), program.providers()));
    }

    fn addresses(&self) -> (SocketAddr, SocketAddr) {
        self.addresses.lock().unwrap().expect("it was started before the clients")
    }

    /// Asks for `order` by the way it was asked for last. `None` when the program died.
    pub(crate) async fn ask(&self, order: &Order) -> Option<Answer> {
        let method = order.ways[order.known.lock().unwrap().method];
        let url = format!("http://{}/pay/createPayment", self.addresses().0);
        let request = self.client.post(url).header("content-type", "application/json");
        let response = request.body(body(&order.no, method).to_string()).send().await.ok()?;
        let status = response.status().as_u16();
        let replayed = response.headers().contains_key("idempotent-replayed");
        let body = serde_json::from_slice(&response.bytes().await.ok()?).ok()?;
        let answer = Answer { status, replayed, body };
        self.answers.fetch_add(1, Ordering::Relaxed);
        if let Some(material) = answer.material() {
            order.known.lock().unwrap().given.insert(material);
        }
        Some(answer)
    }

    /// Where the order stands.
    pub(crate) async fn query(&self, order: &Order) -> Value {
        let url = format!("http://{}/pay/queryPayment", self.addresses().0);
        let request = self.client.post(url).header("content-type", "application/json");
        let response = request.body(json!({ "out_trade_no": order.no }).to_string()).send().await;
        serde_json::from_slice(&response.unwrap().bytes().await.unwrap()).unwrap()
    }

    /// Pays with something that was handed out.
    pub(crate) async fn pay(&self, order: &Order, rng: &Rng) -> bool {
        let given = order.known.lock().unwrap().given.clone();
        let given: Vec<_> = given.into_iter().collect();
        if given.is_empty() {
            return false;
        }
        let code = rng.pick(&given);
        let (provider, kind) = kind_of(code);
        let purchase = json!({ "provider": provider, kind: code });
        let paid = self.control("POST", "pay", &purchase).await.is_some();
        order.known.lock().unwrap().paid |= paid;
        paid
    }

    /// An operation of the simulated providers. `None` when the program died.
    pub(crate) async fn control(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let url = format!("http://{}/_mock/{path}", self.addresses().1);
        let request = self.client.request(method.parse().unwrap(), url);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let response = request.send().await.ok()?;
        let is_done = response.status().is_success();
        let bytes = response.bytes().await.ok()?;
        if is_done { serde_json::from_slice(&bytes).ok() } else { None }
    }

    /// The next calls to the providers go wrong.
    pub(crate) async fn trouble(&self, rng: &Rng) {
        for _ in 0..rng.below(6) {
            let kind = *rng.pick(&FAULTS);
            let mut fault = json!({ "fault": kind, "times": 1 + rng.below(3) });
            if matches!(kind, "delay" | "notify_slow") {
                fault["ms"] = json!(rng.below(3_000));
            }
            if kind == "refuse" {
                fault["code"] = json!("FREQUENCY_LIMITED");
                fault["message"] = json!("later");
            }
            self.control("POST", "faults", &fault).await;
        }
    }

    /// Nothing more goes wrong.
    pub(crate) async fn calm(&self) {
        self.control("DELETE", "faults", &Value::Null).await.expect("it runs");
    }
}

const FAULTS: [&str; 14] = [
    "lose_request",
    "lose_reply",
    "delay",
    "status_500",
    "bad_signature",
    "unsigned",
    "malformed",
    "reset",
    "refuse",
    "pay_first",
    "notify_twice",
    "notify_slow",
    "notify_wrong_key",
    "notify_probe",
];

/// Provider, platform, `isPC`, `openid`.
const WAYS: [&str; 8] = [
    "wxpay h5 true ",
    "wxpay h5 false ",
    "wxpay mp-weixin false oBuyerA",
    "wxpay mp-weixin false oBuyerB",
    "wxpay app-plus false ",
    "alipay h5 true ",
    "alipay app-plus false ",
    "alipay mp-alipay false 2088000000000901",
];

fn body(no: &str, method: &str) -> Value {
    let words: Vec<&str> = method.split(' ').collect();
    let mut body = json!({
        "provider": words[0],
        "isPC": words[2] == "true",
        "context": { "PLATFORM": words[1] },
        "data": { "out_trade_no": no, "total_fee": 100, "subject": no, "type": "goods" },
    });
    if !words[3].is_empty() {
        body["data"]["openid"] = json!(words[3]);
    }
    body
}

/// One client with its share of the orders.
pub(crate) struct Shopper {
    shop: Arc<Shop>,
    share: (usize, usize),
    rng: Rng,
}

impl Shopper {
    /// The client `share.0` of `share.1`.
    pub(crate) fn new(shop: Arc<Shop>, share: (usize, usize), rng: Rng) -> Shopper {
        Shopper { shop, share, rng }
    }

    /// Creates its orders, then comes back to any of them until the shop closes.
    pub(crate) async fn shop(self) {
        let (first, clients) = self.share;
        let own: Vec<&Order> = self.shop.orders.iter().skip(first).step_by(clients).collect();
        for order in &own {
            self.visit(order).await;
        }
        while !self.shop.closing.load(Ordering::Relaxed) {
            let order: &Order = self.rng.pick::<&Order>(&own);
            self.visit(order).await;
            sleep(Duration::from_millis(self.rng.below(300))).await;
        }
    }

    /// Asks a few times, and may go another way, and may pay.
    async fn visit(&self, order: &Order) {
        for _ in 0..1 + self.rng.below(3) {
            match self.shop.ask(order).await {
                None => sleep(Duration::from_millis(20 + self.rng.below(200))).await,
                Some(answer) if answer.status == 200 => {}
                Some(_) => sleep(Duration::from_millis(self.rng.below(300))).await,
            }
        }
        if self.rng.percent(8) && self.shop.pay(order, &self.rng).await {
            return;
        }
        let mut known = order.known.lock().unwrap();
        if known.switches < 5 && self.rng.percent(20) {
            known.switches += 1;
            known.method = 1 - known.method;
        }
    }
}

/// Where something is paid, and what it is called there.
fn kind_of(code: &str) -> (&'static str, &'static str) {
    if code.starts_with("weixin://") {
        ("wxpay", "code_url")
    } else if code.contains("/checkmweb?") {
        ("wxpay", "h5_url")
    } else if code.starts_with("wx") {
        ("wxpay", "prepay_id")
    } else if code.contains("/bax") {
        ("alipay", "code_url")
    } else if code.contains("biz_content=") {
        ("alipay", "order_string")
    } else {
        ("alipay", "trade_no")
    }
}

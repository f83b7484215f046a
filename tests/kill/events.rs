//! The second run: 300 orders are paid while the program is killed and its shop fails. In the
//! end the providers' ledger, the program's answers and the shop's own list say the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clients::{Order, Shop};
use crate::endpoint::{Endpoint, SECRET};
use crate::program::{Program, free_port};
use crate::rng::Rng;
use crate::verdict::send_notifications;

const ORDERS: usize = 300;
const CLIENTS: usize = 10;

/// An event that is sent again and again gets through in so many seconds at most, once nothing
/// fails: an outage of a few minutes makes the wait after it a few minutes long.
const DELIVERING_S: u64 = 600;

const TOKEN: &str = "a-token-of-more-than-thirty-two-letters";

pub(crate) async fn run(kills: u64, rng: Rng) {
    let (home, port) = (TempDir::new().unwrap(), free_port());
    let endpoint = Endpoint::new(port + 1, rng.fork());
    let mut serving = JoinSet::new();
    serving.spawn(endpoint.clone().run());
    let more = [
        ("PAYGATE_WEBHOOK_URL", endpoint.url()),
        ("PAYGATE_WEBHOOK_SECRET", SECRET.to_owned()),
        ("PAYGATE_ADMIN_TOKEN", TOKEN.to_owned()),
    ];
    let mut program = Program::start(home.path(), port, &more).await;
    let shop = Arc::new(Shop::new(ORDERS, &rng));
    shop.serves(&program);
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        clients.spawn(buy(shop.clone(), n, rng.fork()));
    }
    let mut killed = 0;
    while !clients.is_empty() || killed < kills {
        shop.trouble(&rng).await;
        sleep(Duration::from_millis(100 + rng.below(900))).await;
        while let Some(client) = clients.try_join_next() {
            client.unwrap();
        }
        if killed < kills {
            program.kill().await;
            program = Program::start(home.path(), port, &more).await;
            shop.serves(&program);
            killed += 1;
        }
    }
    shop.closing.store(true, Ordering::Relaxed);
    shop.calm().await;
    endpoint.calm();
    let came = endpoint.book(|it| (it.came, it.refused, it.deaths));
    println!("calm after {killed} kills; events came, were refused, the shop died: {came:?}");
    let notified_again = send_notifications(&shop).await;
    let mut violations = delivered(&program).await;
    violations.extend(compare(&shop, &endpoint).await);
    violations.extend(endpoint.book(|it| it.violations.clone()));
    let events = endpoint.book(|it| it.accepted.len());
    println!("{ORDERS} orders, {events} events, {notified_again} notified again: {violations:#?}");
    program.kill().await;
    if !violations.is_empty() {
        let kept = home.keep();
        panic!("{} violations; the files are in {}", violations.len(), kept.display());
    }
}

/// One client has its share of the orders paid, however long it takes.
async fn buy(shop: Arc<Shop>, n: usize, rng: Rng) {
    for order in shop.orders.iter().skip(n).step_by(CLIENTS) {
        loop {
            let asked = shop.ask(order).await;
            let is_paid = asked.is_some_and(|it| it.body["code"] == 4101);
            if is_paid || shop.pay(order, &rng).await {
                break;
            }
            sleep(Duration::from_millis(50 + rng.below(300))).await;
            if rng.percent(20) {
                let mut known = order.known.lock().unwrap();
                known.method = 1 - known.method;
            }
        }
        // Somebody else may hold the other code.
        if rng.percent(10) {
            shop.pay(order, &rng).await;
        }
    }
}

/// Waits until the program has nothing to tell any more.
async fn delivered(program: &Program) -> Vec<String> {
    let mut waiting = Value::Null;
    for _ in 0..DELIVERING_S / 5 {
        waiting = program.webhooks(TOKEN).await;
        let events = waiting["webhooks"].as_array().unwrap();
        if events.iter().all(|it| it["state"] == "accepted") {
            return Vec::new();
        }
        sleep(Duration::from_secs(5)).await;
    }
    let events = waiting["webhooks"].as_array().unwrap();
    let waiting = events.iter().filter(|it| it["state"] != "accepted");
    waiting.map(|it| format!("an event that is never accepted: {it}")).collect()
}

/// What the ledger, the program and the shop know of every order.
async fn compare(shop: &Shop, endpoint: &Endpoint) -> Vec<String> {
    let ledger = shop.control("GET", "ledger", &Value::Null).await.expect("it runs");
    let mut paid: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for trade in ledger["orders"].as_array().unwrap() {
        let payments = trade["payments"].as_array().unwrap();
        paid.entry(trade["terms"]["subject"].as_str().unwrap()).or_default().extend(payments);
    }
    let mut violations = Vec::new();
    for order in &shop.orders {
        let asked = shop.ask(order).await.expect("it runs");
        if (asked.status, &asked.body["code"]) != (409, &json!(4101)) {
            violations.push(format!("{} is paid: {} {}", order.no, asked.status, asked.body));
        }
        let query = shop.query(order).await;
        if query["orderPaid"] != true || query["user_order_success"] != true {
            violations.push(format!("{} is paid, and the shop knows: {query}", order.no));
        }
        let payments = paid.get(order.no.as_str()).cloned().unwrap_or_default();
        let events = endpoint.book(|it| {
            let events = it.accepted.values();
            events.filter(|it| it["data"]["out_trade_no"] == *order.no).cloned().collect()
        });
        violations.extend(judge(order, &payments, events));
    }
    violations
}

/// Exactly one payment makes it paid, every other is a duplicate, and no other event came.
fn judge(order: &Order, payments: &[&Value], events: Vec<Value>) -> Vec<String> {
    let ids = |kind: &str| -> Vec<&str> {
        let of_kind = events.iter().filter(|it| it["type"] == kind);
        let mut ids: Vec<_> =
            of_kind.map(|it| it["data"]["transaction_id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    let mut heard = [ids("payment.succeeded"), ids("payment.duplicate")].concat();
    heard.sort_unstable();
    let mut there: Vec<_> =
        payments.iter().map(|it| it["transaction_id"].as_str().unwrap()).collect();
    there.sort_unstable();
    let amounts = events.iter().all(|it| {
        let data = &it["data"];
        data["total_fee"] == 100 && data["paid_fee"] == 100 && it["livemode"] == false
    });
    let is_valid = ids("payment.succeeded").len() == 1 && heard == there && amounts;
    let what = format!("{}: the ledger says {there:?}, the shop got {events:#?}", order.no);
    if is_valid { Vec::new() } else { vec![what] }
}

//! What the providers' ledger, and the program's last answers, say in the end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::clients::{Answer, Order, Shop};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Orders answered with the same material twice.
    pub(crate) answered: u32,
    /// Orders that were paid, and say so.
    pub(crate) paid: u32,
    /// Payments whose provider had to tell them once more, because of a kill.
    pub(crate) notified_again: u32,
    /// Orders that changed their way too often.
    pub(crate) exhausted: u32,
    /// Orders that were paid twice by material that nobody could close.
    pub(crate) paid_twice: u32,
    /// Orders at the providers.
    pub(crate) trades: usize,
    /// Unscanned Alipay codes besides what is offered.
    pub(crate) superseded: u32,
    pub(crate) violations: Vec<String>,
}

/// How long a superseded order may stay open after the last answer.
const CLOSING: Duration = Duration::from_secs(25);

/// How long the providers wait for the program to acknowledge the repeated notifications.
const TELLING: Duration = Duration::from_secs(60);

pub(crate) async fn reach(shop: &Shop) -> Verdict {
    let mut verdict = Verdict::default();
    match timeout(TELLING, send_notifications(shop)).await {
        Ok(notified_again) => verdict.notified_again = notified_again,
        Err(_) => verdict.violations.push("a notification that is never acknowledged".to_owned()),
    }
    let mut last = Vec::new();
    for order in &shop.orders {
        last.push(repeated(shop, order, &mut verdict).await);
    }
    sleep(CLOSING).await;
    let ledger = shop.control("GET", "ledger", &Value::Null).await.expect("it runs");
    let trades = ledger["orders"].as_array().unwrap();
    verdict.trades = trades.len();
    for (order, answer) in shop.orders.iter().zip(&last) {
        let own: Vec<_> = trades.iter().filter(|it| it["terms"]["subject"] == *order.no).collect();
        judge((order, answer), &own, &mut verdict);
    }
    verdict
}

/// Has the providers tell every payment that was not acknowledged, as they would in minutes, or
/// hours. How many there were.
pub(crate) async fn send_notifications(shop: &Shop) -> u32 {
    let mut notified_again = 0;
    loop {
        let ledger = shop.control("GET", "ledger", &Value::Null).await.expect("it runs");
        let unnotified: Vec<&Value> = ledger["orders"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["state"] == "paid")
            .filter(|it| it["payments"][0]["notice"]["acknowledged"].is_null())
            .collect();
        if unnotified.is_empty() {
            return notified_again;
        }
        for order in unnotified {
            let request = json!({
                "provider": order["provider"],
                "out_trade_no": order["out_trade_no"],
            });
            shop.control("POST", "notifications", &request).await.expect("it runs");
            notified_again += 1;
        }
        sleep(Duration::from_secs(2)).await;
    }
}

/// Asks until there is an answer that lasts, and once more.
async fn repeated(shop: &Shop, order: &Order, verdict: &mut Verdict) -> Answer {
    let mut tries = 0;
    let first = loop {
        let answer = shop.ask(order).await.expect("it runs");
        let is_passing = matches!(answer.body["code"].as_i64(), Some(4103 | 5001 | 5002 | 5003));
        if !is_passing || tries == 60 {
            break answer;
        }
        tries += 1;
        sleep(Duration::from_millis(500)).await;
    };
    let again = shop.ask(order).await.expect("it runs");
    let same = first.status == again.status && first.body["code"] == again.body["code"];
    let is_signed = first.material().is_some_and(|it| it.contains("biz_content="));
    let as_before = is_signed || first.material() == again.material();
    match first.status {
        200 if same && as_before && again.replayed => verdict.answered += 1,
        409 if same && first.body["code"] == 4101 => verdict.paid += 1,
        409 if same && first.body["code"] == 4104 => verdict.exhausted += 1,
        _ => verdict.violations.push(format!(
            "{}: {} {}, then {} {}",
            order.no, first.status, first.body, again.status, again.body
        )),
    }
    again
}

fn judge((order, answer): (&Order, &Answer), own: &[&Value], verdict: &mut Verdict) {
    let no = &order.no;
    let state = |it: &Value| it["state"].as_str().unwrap().to_owned();
    let paid: Vec<_> = own.iter().filter(|it| state(it) == "paid").collect();
    let open: Vec<_> = own.iter().filter(|it| state(it) == "unpaid").collect();
    let is_paid = answer.body["code"] == 4101;
    let trades: Vec<_> = own.iter().map(|it| summary(it)).collect();
    let shown = (answer.status, answer.body["code"].as_i64(), answer.material());
    let mut must = |holds: bool, what: &str| {
        if !holds {
            verdict.violations.push(format!("{no}: {what}: {trades:#?}, answered {shown:?}"));
        }
    };
    let is_in = |trade: &Value, given: &str| {
        // A string for Alipay's app has no code of its own; its number is in it.
        trade.to_string().contains(given) || given.contains("biz_content=")
    };
    must(!is_paid || !paid.is_empty(), "paid there as here");
    must(is_paid || paid.is_empty(), "paid here as there");
    must(open.len() <= 1, "at most one open trade");
    must(!is_paid || open.is_empty(), "nothing of a paid order is open");
    if let (Some(open), Some(given)) = (open.first(), answer.material()) {
        must(is_in(open, &given), "what is open is what is handed out");
    }
    let known = order.known.lock().unwrap().clone();
    must(!known.paid || !paid.is_empty(), "who paid has paid");
    must(paid.len() <= 1 || paid.iter().any(|it| it["provider"] == "alipay"), "paid twice");
    verdict.paid_twice += u32::from(paid.len() > 1);
    let unscanned = own.iter().filter(|it| state(it) == "offered").count();
    let offered = usize::from(answer.status == 200 && open.is_empty());
    verdict.superseded += u32::try_from(unscanned.saturating_sub(offered)).unwrap();
}

/// One trade, for the reader.
fn summary(trade: &Value) -> String {
    let text = |pointer: &str| trade.pointer(pointer).map(ToString::to_string).unwrap_or_default();
    let offers = trade["offers"].as_array().map_or(0, Vec::len);
    format!(
        "{} {} {} {}, {offers} offers",
        text("/provider"),
        text("/out_trade_no"),
        text("/terms/product"),
        text("/state"),
    )
}

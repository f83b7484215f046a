//! The store of `version2.sql` is served as the paygate that wrote it served it.
//!
//! `version2.served.json` is what that paygate answered, and derived of every order: members that
//! are null left out.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use paygate::domain::{
    Attempt, DeliveryState, Millis, Order, OutboxEvent, Payment, Pid, Refund, judge,
};
use paygate::engine::{Builder, Created, Deliver};
use paygate::error::Error;
use paygate::mock::{InProcess, keys};
use paygate::provider::{Transport, TransportFailure, alipay};
use paygate::sidecar::admin::{Admin, AdminParts};
use paygate::sidecar::limit_counters::LimitCounters;
use paygate::sidecar::shutdown_channel;
use paygate::store::{BoxFuture, Sqlite, Store};
use paygate::testing::caller::{CallerRules, ClientInfo, resolve};
use paygate::testing::guard::read_create;
use paygate::{Clock, Secret};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::orders::number;
use super::sqlite::TempStore;
use crate::support::shop::{ManualClock, Shop};

static SERVED: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("version2.served.json")).unwrap());

const TOKEN: &str = "an-admin-token-of-thirty-two-characters";
const WECHAT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
    (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.50 NetType/WIFI Language/zh_CN";

/// Providers that nobody reaches.
#[derive(Debug)]
struct Unreachable;

impl Transport for Unreachable {
    fn send<'a>(
        &'a self,
        _: Request<Bytes>,
        _: std::time::Duration,
    ) -> BoxFuture<'a, Result<http::Response<Bytes>, TransportFailure>> {
        Box::pin(async { Err(TransportFailure::NotSent("unplugged".to_owned())) })
    }
}

/// The shop's endpoint, which accepts every event.
#[derive(Debug)]
struct Accepting;

impl Deliver for Accepting {
    fn deliver<'a>(&'a self, _: &'a OutboxEvent, _: Millis) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

fn file() -> TempStore {
    let file = TempStore::new();
    file.tamper(include_str!("version2.sql"));
    file
}

/// An engine over `store`, with the merchants of the fixture.
async fn shop(store: &Arc<Sqlite>, clock: &ManualClock) -> Shop {
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    let mut pages = keys::alipay_merchant("http://127.0.0.1:1/gateway.do".parse().unwrap());
    pages.choice.web_pages = true;
    let more = |builder: Builder| {
        builder
            .provider_of(Pid::new("pages"), alipay::AlipayGateway::new(pages).unwrap())
            .webhook(Accepting)
            .transport(Unreachable)
    };
    Shop::over(clock.clone(), store.clone(), providers, more).await
}

fn admin(shop: &Shop) -> Admin {
    Admin::new(AdminParts {
        ready: Arc::new(|| Box::pin(async { true })),
        stopping: shutdown_channel().1,
        schemas: Vec::new(),
        engine: shop.engine.clone().into(),
        token: Some(Secret::new(TOKEN)),
        mount: "/pay".to_owned(),
        body_bytes_max: 1024,
        counters: LimitCounters::default(),
    })
}

/// What the admin service answers, the status first, without what differs between two answers.
async fn ask(admin: &Admin, request: http::request::Builder, body: String) -> Value {
    let request = request
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("accept-language", "en")
        .header("content-type", "application/json");
    let request = request.body(Full::<Bytes>::from(body)).unwrap();
    let response = admin.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let mut answer = present(serde_json::from_slice(&bytes).unwrap());
    answer.as_object_mut().unwrap().remove("requestId");
    json!([status, answer])
}

/// Without the members that are null.
fn present(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, present(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(present).collect(),
        value => value,
    }
}

fn attempt(order: &Order, attempt: &Attempt) -> Value {
    let facts = [
        ("is_handed_out", attempt.is_handed_out()),
        ("is_payable", attempt.is_payable()),
        ("is_ended", attempt.is_ended()),
        ("is_presentable", attempt.is_presentable()),
        ("is_resumable", attempt.is_resumable()),
        ("is_unanswered", attempt.is_unanswered()),
        ("is_offered", order.is_offered(attempt)),
        ("is_current", order.current().n == attempt.n),
        ("superseded", attempt.superseded),
        ("handed_out", attempt.handed_out),
        ("close_intended", attempt.close_intended),
    ];
    let facts: Vec<&str> = facts.iter().filter(|fact| fact.1).map(|fact| fact.0).collect();
    json!([attempt.n, order.due_of(attempt), facts.join(" ")])
}

fn payment(order: &Order, payment: &Payment) -> Value {
    let refund =
        |refund: &Refund| json!([refund.out_refund_no, refund.due(), refund.may_have_been_sent()]);
    json!([
        payment.refundable(),
        payment.refunded(),
        payment.has_unknown_refund(),
        payment.auto_refund_due(),
        payment.unidentified_due(),
        payment.derived_refund_no(order.out_trade_no()),
        payment.automatic_refund_no(order.out_trade_no()),
        payment.refunds.iter().map(refund).collect::<Vec<_>>(),
    ])
}

/// When a provider was last queried about one of the order's attempts: by this clock, none is
/// queried again.
fn last_query(order: &Order) -> Millis {
    let queried = order.attempts.iter().map(|it| it.last_queried_at.unwrap_or(it.opened_at));
    queried.max().unwrap()
}

#[tokio::test]
async fn every_order_is_answered_as_it_was_by_the_paygate_that_wrote_it() {
    let file = file();
    let store = Arc::new(file.open_simulated());
    let clock = ManualClock::new();
    let shop = shop(&store, &clock).await;
    let admin = admin(&shop);
    for (no, served) in SERVED["orders"].as_object().unwrap() {
        let order = store.load(&number(no)).await.unwrap().unwrap();
        clock.advance_ms(last_query(&order).since(clock.now()));
        let query = json!({"out_trade_no": no, "pay_order_info": true}).to_string();
        let mut answer = ask(&admin, Request::post("/pay/queryPayment"), query).await;
        assert_eq!(without_later_members(&mut answer), json!([200, served["query"]]), "{no}");
        if let Some(refunds) = served.get("refunds") {
            let query = json!({"out_trade_no": no}).to_string();
            let answer = ask(&admin, Request::post("/pay/queryRefund"), query).await;
            assert_eq!(without_text(answer), without_text(refunds.clone()), "{no}");
        }
        let order = store.load(&number(no)).await.unwrap().unwrap();
        assert_eq!(json!(order.due()), served["due"], "{no}");
        let attempts: Vec<Value> = order.attempts.iter().map(|it| attempt(&order, it)).collect();
        assert_eq!(json!(attempts), served["attempts"], "{no}");
        let payments: Vec<Value> = order.payments.iter().map(|it| payment(&order, it)).collect();
        assert_eq!(json!(payments), served["payments"], "{no}");
    }
    let now = Millis(SERVED["now"].as_i64().unwrap());
    for (until, expected) in [(now, &SERVED["due_now"]), (Millis(i64::MAX), &SERVED["due_ever"])] {
        assert_eq!(json!(store.due(until, 999).await.unwrap()), *expected);
    }
    let payments = Request::get("/pay/payments?state=unmatched");
    let answer = ask(&admin, payments, String::new()).await;
    assert_eq!(answer, json!([200, SERVED["unmatched"]]));
}

/// A refusal without its text, which is for people.
fn without_text(mut answer: Value) -> Value {
    if let Some(refusal) = answer[1].as_object_mut().filter(|body| body.contains_key("error")) {
        refusal.remove("msg");
    }
    answer
}

/// The answer of a query as that paygate wrote it: without `mch_id` and `notify_date`, and with
/// vk-uni-pay's name of the platform in both places.
fn without_later_members(answer: &mut Value) -> Value {
    let row = answer[1]["payOrder"].as_object_mut().unwrap();
    let mch_id = row.remove("mch_id");
    assert!(mch_id.is_none_or(|id| row["provider"] == "wxpay" && id == keys::MCH_ID));
    assert_eq!(row.remove("notify_date").is_some(), row.contains_key("pay_date"));
    let platform = row["platform"].clone();
    let uni_platform = match platform.as_str().unwrap() {
        "h5" => "web",
        "app-plus" => "app",
        other => other,
    };
    assert_eq!(row.insert("uni_platform".to_owned(), platform.clone()), Some(json!(uni_platform)));
    answer.clone()
}

async fn create(shop: &Shop, asked: &Value) -> Result<Created, Error> {
    // A number that no float writes like this: the record has it as it was written.
    let text = asked["request"].to_string().replace(r#""rate":1.5"#, r#""rate": 1.50"#);
    let request = read_create(text.as_bytes())?;
    let info = ClientInfo { claims: &request.claims, is_pc: request.is_pc };
    let mut headers = http::HeaderMap::new();
    if asked["in_wechat"] == true {
        headers.insert("user-agent", WECHAT.parse().unwrap());
    }
    let peer = "114.114.114.114".parse().ok();
    let caller = resolve(&headers, peer, info, &CallerRules::default())?;
    shop.engine.create(request, caller).await
}

/// What differs from one signature to the next is left out.
fn order_info(created: &Created) -> Value {
    let mut info: Value = serde_json::from_str(created.order_info.get()).unwrap();
    if let Some(members) = info.as_object_mut() {
        for key in ["nonceStr", "noncestr", "paySign", "sign"] {
            members.remove(key);
        }
    }
    info
}

#[tokio::test]
async fn every_request_that_made_an_order_is_answered_as_it_was() {
    let file = file();
    let store = Arc::new(file.open_simulated());
    let clock = ManualClock::new();
    let now = Millis(SERVED["now"].as_i64().unwrap());
    clock.advance_ms(now.0 - clock.now().0);
    for (no, served) in SERVED["orders"].as_object().unwrap() {
        for asked in served["again"].as_array().unwrap() {
            let order = store.load(&number(no)).await.unwrap().unwrap();
            let request = read_create(asked["request"].to_string().as_bytes()).unwrap();
            let fingerprint = request.terms.fingerprint();
            let judged =
                order.attempts.iter().map(|it| judge(&order, &fingerprint, &it.method, now));
            let judged: Vec<String> = judged.map(|admission| format!("{admission:?}")).collect();
            assert_eq!(json!(judged), asked["judged"], "{no}");
            // An engine of its own: no failed call opens another order's circuit.
            let answer = match create(&shop(&store, &clock).await, asked).await {
                Ok(created) => json!({
                    "replayed": created.replayed, "pay_type": created.pay_type.name(),
                    "order_info": order_info(&created),
                }),
                Err(error) => json!({"refused": format!("{:?}", error.kind())}),
            };
            assert_eq!(answer, asked["answer"], "{no}");
        }
    }
}

#[tokio::test]
async fn a_parked_event_stays_parked_until_it_is_retried() {
    let file = file();
    let store = Arc::new(file.open_simulated());
    let clock = ManualClock::new();
    let now = SERVED["now"].as_i64().unwrap();
    clock.advance_ms(now - clock.now().0);
    let shop = shop(&store, &clock).await;
    let parked = store.outbox_list(DeliveryState::Parked, 9).await.unwrap();
    assert_eq!(parked.len(), 1);
    shop.engine.dispatch().await;
    assert_eq!(store.outbox_list(DeliveryState::Parked, 9).await, Ok(parked.clone()));
    let retry = Request::post(format!("/pay/webhooks/{}/retry", parked[0].id));
    assert_eq!(ask(&admin(&shop), retry, String::new()).await[0], 200);
    shop.engine.dispatch().await;
    let found = store.outbox_find(&parked[0].id).await.unwrap().unwrap();
    assert_eq!((found.state, &found.body), (DeliveryState::Accepted, &parked[0].body));
}

//! `refund`, `queryRefund` and `closePayment` on the admin listener, and nowhere else.

use paygate::Secret;
use paygate::domain::ProviderId;
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::mock::{
    FaultKind, PayWith, ProviderOperation, Refuse, SimulatedFault, SimulatedPurchase,
};
use paygate::testing::guard::schema;
use serde_json::{Value, json};

use crate::sidecar::rig::{Rig, Wanted, header};
use crate::support::shop::body;

const TOKEN: &str = "an-admin-token-of-thirty-two-characters";
const NO: &str = "2107151010101541001";

async fn rig() -> Rig {
    let token = Some(Secret::new(TOKEN));
    Rig::start(Wanted { token, upstream: false, ..Wanted::default() }).await
}

/// A request for `operation`, with these header lines.
fn request(operation: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /pay/{operation} HTTP/1.1\r\nhost: x\r\naccept-language: en\r\n{headers}\
         content-length: {length}\r\n\r\n{body}"
    )
}

fn authorised() -> String {
    format!("authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n")
}

/// An answer of the admin listener: the whole of it, and the parts that count.
async fn ask(rig: &Rig, operation: &str, body: &str) -> Answer {
    Answer::of(rig.ask_admin(&request(operation, &authorised(), body)).await)
}

struct Answer {
    whole: String,
    status: u16,
    body: Value,
}

impl Answer {
    fn of(whole: String) -> Answer {
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = serde_json::from_str(body).unwrap();
        Answer { status, body, whole }
    }

    #[track_caller]
    fn check(&self, status: u16, code: i64) -> &Value {
        assert_eq!((self.status, &self.body["code"]), (status, &json!(code)), "{}", self.whole);
        let waits = status == 503 || code == 2004 || code == 4103;
        assert_eq!(header(&self.whole, "retry-after").is_some(), waits, "{}", self.whole);
        &self.body
    }

    /// Checks success, and the answer by the schema called `name`.
    #[track_caller]
    fn done(&self, name: &str) -> &Value {
        let is_valid = schema::accepts(name, self.body.to_string().as_bytes());
        assert_eq!(is_valid, Some(true), "{}", self.whole);
        self.check(200, 0)
    }

    /// The paths and rules of its violations.
    fn broken(&self) -> Vec<(&str, &str)> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |at: usize, name: &str| errors[at][name].as_str().unwrap();
        (0..errors.len()).map(|at| (text(at, "path"), text(at, "rule"))).collect()
    }
}

/// `NO` waits for its buyer.
async fn opened(rig: &Rig, provider: ProviderId) -> paygate::engine::Created {
    rig.shop.create(&body(provider, NO, 100)).await.unwrap()
}

/// `NO` is paid; its transaction's number.
async fn paid(rig: &Rig, provider: ProviderId) -> String {
    let created = opened(rig, provider).await;
    let id = rig.shop.pay(&created).unwrap().transaction_id.unwrap();
    assert_eq!(rig.shop.notify().await, [Ok(())]);
    id
}

const OPERATIONS: [&str; 3] = ["refund", "queryRefund", "closePayment"];

#[tokio::test]
async fn the_public_listener_knows_none_of_them() {
    let rig = rig().await;
    paid(&rig, Wxpay).await;
    let wanted = json!({ "out_trade_no": NO }).to_string();
    for operation in OPERATIONS {
        let got = rig.ask(&request(operation, &authorised(), &wanted)).await;
        assert_eq!(Answer::of(got).check(404, 404)["error"], "not_found", "{operation}");
    }
    let order = rig.shop.order(NO).await;
    assert_eq!((order.status.number(), order.payments[0].refunds.len()), (1, 0));
}

#[tokio::test]
async fn none_of_them_works_without_the_token() {
    let rig = rig().await;
    paid(&rig, Wxpay).await;
    let wanted = json!({ "out_trade_no": NO }).to_string();
    let json = "content-type: application/json\r\n";
    let wrong = format!("{json}authorization: Bearer {}\r\n", TOKEN.replace("an-", "no-"));
    for operation in OPERATIONS {
        for headers in [json, &wrong] {
            let got = rig.ask_admin(&request(operation, headers, &wanted)).await;
            Answer::of(got).check(401, 4005);
        }
        let invalid = rig.ask_admin(&request(operation, json, "{")).await;
        Answer::of(invalid).check(401, 4005);
    }
    let disabled = Rig::start(Wanted::default()).await;
    let got = disabled.ask_admin(&request("refund", &authorised(), &wanted)).await;
    assert_eq!(Answer::of(got).check(403, 403)["error"], "admin_disabled");
    assert_eq!(rig.shop.order(NO).await.payments[0].refunds, []);
}

type Broken = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn an_invalid_body_is_answered_with_every_invalid_field() {
    let rig = rig().await;
    let numbered = |more: Value| {
        let mut body = json!({"out_trade_no": NO, "out_refund_no": "r-1", "refund_fee": 30});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let table: [(Value, i64, Broken); 22] = [
        (json!([]), 1001, &[("/out_trade_no", "required")]),
        (json!({}), 1001, &[("/out_trade_no", "required")]),
        (json!({"out_trade_no": null}), 1001, &[("/out_trade_no", "type")]),
        (json!({"out_trade_no": "a/b123"}), 1001, &[("/out_trade_no", "pattern")]),
        (json!({"out_trade_no": NO, "refund_fee": 30}), 4000, &[("/out_refund_no", "required")]),
        (numbered(json!({"out_refund_no": null})), 4000, &[("/out_refund_no", "required")]),
        (numbered(json!({"out_refund_no": ""})), 4000, &[("/out_refund_no", "required")]),
        (numbered(json!({"out_refund_no": 7})), 4000, &[("/out_refund_no", "type")]),
        (numbered(json!({"out_refund_no": "r 1"})), 4000, &[("/out_refund_no", "pattern")]),
        (
            numbered(json!({"out_refund_no": "r".repeat(65)})),
            4000,
            &[("/out_refund_no", "pattern")],
        ),
        (numbered(json!({"refund_fee": 0})), 4000, &[("/refund_fee", "minimum")]),
        (numbered(json!({"refund_fee": -1})), 4000, &[("/refund_fee", "minimum")]),
        (numbered(json!({"refund_fee": 0.5})), 4000, &[("/refund_fee", "type")]),
        (numbered(json!({"refund_fee": "30"})), 4000, &[("/refund_fee", "type")]),
        (numbered(json!({"refund_fee": true})), 4000, &[("/refund_fee", "type")]),
        (numbered(json!({"refund_fee": 10_000_000_001_u64})), 4000, &[("/refund_fee", "maximum")]),
        (numbered(json!({"refund_desc": "x".repeat(81)})), 4000, &[("/refund_desc", "maxLength")]),
        (numbered(json!({"refund_desc": 1})), 4000, &[("/refund_desc", "type")]),
        (numbered(json!({"transaction_id": "1 2"})), 4000, &[("/transaction_id", "pattern")]),
        (numbered(json!({"transaction_id": 12})), 4000, &[("/transaction_id", "type")]),
        (numbered(json!({"total_fee": 1})), 4000, &[("/total_fee", "additionalProperties")]),
        (
            json!({"refund_fee": "x", "refund_desc": 1, "y": 0}),
            1001,
            &[
                ("/out_trade_no", "required"),
                ("/out_refund_no", "required"),
                ("/refund_fee", "type"),
                ("/refund_desc", "type"),
                ("/y", "additionalProperties"),
            ],
        ),
    ];
    for (wanted, code, broken) in table {
        let answer = ask(&rig, "refund", &wanted.to_string()).await;
        answer.check(422, code);
        assert_eq!(answer.broken(), broken, "{wanted}");
        assert_eq!(schema::accepts("refund", wanted.to_string().as_bytes()), Some(false));
    }
}

#[tokio::test]
async fn an_invalid_refund_or_close_is_answered_with_the_reason() {
    let rig = rig().await;
    let table: [(&str, Value, i64, Broken); 8] = [
        ("queryRefund", json!({}), 4000, &[("/out_refund_no", "required")]),
        ("queryRefund", json!(7), 4000, &[("/out_refund_no", "required")]),
        ("queryRefund", json!({"out_refund_no": ""}), 4000, &[("/out_refund_no", "required")]),
        ("queryRefund", json!({"out_trade_no": "x"}), 1001, &[("/out_trade_no", "pattern")]),
        (
            "queryRefund",
            json!({"out_trade_no": NO, "out_refund_no": "r-1"}),
            1001,
            &[("/out_trade_no", "oneOf")],
        ),
        ("closePayment", json!({}), 1001, &[("/out_trade_no", "required")]),
        ("closePayment", json!({"out_trade_no": [NO]}), 1001, &[("/out_trade_no", "type")]),
        (
            "closePayment",
            json!({"out_trade_no": NO, "x": 1}),
            4000,
            &[("/x", "additionalProperties")],
        ),
    ];
    for (operation, wanted, code, broken) in table {
        let answer = ask(&rig, operation, &wanted.to_string()).await;
        answer.check(422, code);
        assert_eq!(answer.broken(), broken, "{operation} {wanted}");
    }
}

#[tokio::test]
async fn an_unreadable_body_is_answered_with_the_reason() {
    let rig = rig().await;
    for operation in OPERATIONS {
        ask(&rig, operation, "{").await.check(400, 4000);
        ask(&rig, operation, "").await.check(400, 4000);
        let twice = format!(r#"{{"out_trade_no":"{NO}","out_trade_no":"{NO}"}}"#);
        ask(&rig, operation, &twice).await.check(400, 4000);
        let long = json!({"out_trade_no": NO, "x": "x".repeat(2000)}).to_string();
        ask(&rig, operation, &long).await.check(413, 4000);
        let bearer = format!("authorization: Bearer {TOKEN}\r\n");
        for typed in ["", "content-type: text/plain\r\n", "content-encoding: gzip\r\n"] {
            let got = rig.ask_admin(&request(operation, &format!("{bearer}{typed}"), "{}")).await;
            Answer::of(got).check(415, 4000);
        }
    }
}

#[tokio::test]
async fn an_unknown_order_or_refund_is_answered_with_its_code() {
    let rig = rig().await;
    let by_number = json!({ "out_trade_no": NO }).to_string();
    for operation in OPERATIONS {
        ask(&rig, operation, &by_number).await.check(404, 2001);
    }
    let unknown = json!({"out_refund_no": "r-unknown"}).to_string();
    ask(&rig, "queryRefund", &unknown).await.check(409, 2003);

    opened(&rig, Wxpay).await;
    ask(&rig, "refund", &by_number).await.check(409, 2002);
    ask(&rig, "queryRefund", &by_number).await.check(409, 2003);
    assert_eq!(rig.shop.order(NO).await.payments, []);
}

#[tokio::test]
async fn closing_a_closed_order_again_succeeds() {
    for provider in [Wxpay, Alipay] {
        let rig = rig().await;
        opened(&rig, provider).await;
        rig.shop.clock.advance_ms(6 * 60_000);
        let by_number = json!({ "out_trade_no": NO }).to_string();
        for _ in 0..2 {
            let answer = ask(&rig, "closePayment", &by_number).await;
            let expected = json!({"code": 0, "out_trade_no": NO, "status": -1});
            assert_eq!(answer.done("close-payment-reply"), &expected, "{provider}");
        }
        ask(&rig, "refund", &by_number).await.check(409, 2002);
        assert_eq!(rig.shop.order(NO).await.status.number(), -1);
    }
}

#[tokio::test]
async fn an_order_that_cannot_be_closed_yet_stays_open_and_names_when_to_retry() {
    let rig = rig().await;
    opened(&rig, Wxpay).await;
    let by_number = json!({ "out_trade_no": NO }).to_string();
    let code = "ORDER_NOT_EXIST_YET".to_owned();
    let refuse = Refuse { code, message: "later".to_owned(), status: Some(500) };
    rig.shop.providers.add_fault(SimulatedFault {
        provider: Some(Wxpay),
        operation: Some(ProviderOperation::Query),
        kind: FaultKind::Refuse(refuse),
        times: 1,
    });
    ask(&rig, "closePayment", &by_number).await.check(503, 5002);
    assert_eq!(rig.shop.order(NO).await.status.number(), 0);

    let purchase = SimulatedPurchase {
        provider: Wxpay,
        with: PayWith::OutTradeNo(NO.to_owned()),
        payer: None,
    };
    rig.shop.providers.enter_password(&purchase).unwrap();
    let answer = ask(&rig, "closePayment", &by_number).await;
    assert_eq!(answer.check(409, 4103)["error"], "busy", "the buyer enters a password");
    assert_eq!(rig.shop.order(NO).await.status.number(), 0);

    rig.shop.providers.pay(&purchase).unwrap();
    let answer = ask(&rig, "closePayment", &by_number).await;
    assert_eq!(answer.check(409, 4101)["status"], 1, "the provider reports that it is paid");
}

//! Money back: what is sent, and what the answers mean.

use paygate::domain::{Payment, Refund, RefundState, RefundStatus};
use paygate::provider::{Failure, RefundCall};
use serde_json::{Value, json};

use super::responses::unverifiable;
use super::*;
use crate::support::fixtures::payment;

/// 40 fen of a payment of 1 yuan.
struct Case {
    payment: Payment,
    refund: Refund,
    scene: Scene,
}

impl Default for Case {
    fn default() -> Case {
        let payment = payment("4200001", 100, NOW);
        let refund = Refund::pending("R-1|@*".to_owned(), Fen::new(40).unwrap(), NOW);
        Case { payment, refund, scene: Scene::of(PayType::WxpayMpWeixin) }
    }
}

impl Case {
    fn partners() -> Case {
        let mut case = Case::default();
        case.scene.terms.sub_mchid = Some("1900000109".to_owned());
        case
    }

    fn plan(&self) -> RefundCall<'_> {
        let notify_url = "https://shop.example.com/pay/notify/wxpay/x/default";
        RefundCall { payment: &self.payment, refund: &self.refund, notify_url }
    }

    async fn refund(&self, transport: &ScriptedTransport) -> Result<RefundStatus, Failure> {
        let v3 = v3();
        v3.refund(&self.scene.attempt(&v3), self.plan(), transport.call()).await
    }

    async fn query(&self, transport: &ScriptedTransport) -> Result<Option<RefundStatus>, Failure> {
        let v3 = v3();
        v3.query_refund(&self.scene.attempt(&v3), self.plan(), transport.call()).await
    }
}

/// A refund, as its own answer and a query's tell it.
fn refund_body(status: &str) -> Value {
    json!({
        "refund_id": "5030001", "out_refund_no": "R-1|@*", "transaction_id": "4200001",
        "out_trade_no": NUMBER, "channel": "ORIGINAL", "user_received_account": "支付用户零钱",
        "success_time": "2023-11-15T06:14:00+08:00", "create_time": "2023-11-15T06:13:20+08:00",
        "status": status, "amount": {
            "total": 100, "refund": 40, "payer_total": 90, "payer_refund": 36,
            "settlement_refund": 40, "settlement_total": 100, "discount_refund": 4,
            "currency": "CNY",
        },
    })
}

/// A refund is answered with `sent`, a question about it with `asked`.
fn transport(sent: Response<Bytes>, asked: Response<Bytes>) -> ScriptedTransport {
    ScriptedTransport::new(move |request| {
        let is_refund = request.method() == http::Method::POST;
        Ok(if is_refund { sent.clone() } else { asked.clone() })
    })
}

fn absent() -> Response<Bytes> {
    refusal(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
}

#[tokio::test]
async fn a_refund_names_the_payment_its_number_and_the_notification_url() {
    let rest = concat!(
        r#""notify_url":"https://shop.example.com/pay/notify/wxpay/x/default","#,
        r#""amount":{"refund":40,"total":100,"currency":"CNY"}}"#
    );
    let numbers = r#""transaction_id":"4200001","out_refund_no":"R-1|@*","#;
    let long = "退".repeat(40);
    for (desc, reason) in [
        (None, String::new()),
        (Some("七天\"无理由\""), r#""reason":"七天\"无理由\"","#.to_owned()),
        (Some(&*long), format!(r#""reason":"{}","#, "退".repeat(26))),
    ] {
        for (case, head) in
            [(Case::default(), "{"), (Case::partners(), r#"{"sub_mchid":"1900000109","#)]
        {
            let mut case = case;
            case.refund.refund_desc = desc.map(str::to_owned);
            let transport =
                ScriptedTransport::always(Ok(signed(200, &refund_body("SUCCESS").to_string())));
            case.refund(&transport).await.unwrap();
            assert_eq!(transport.targets(), ["POST /v3/refund/domestic/refunds"]);
            let body = &transport.seen()[0].body().clone();
            assert_eq!(*body, format!("{head}{numbers}{reason}{rest}"));
        }
    }
}

#[tokio::test]
async fn a_question_names_the_refund_and_a_partners_merchant() {
    for (case, query) in [(Case::default(), ""), (Case::partners(), "?sub_mchid=1900000109")] {
        let transport = ScriptedTransport::always(Ok(absent()));
        assert_eq!(case.query(&transport).await, Ok(None));
        let seen = transport.seen();
        let target = seen[0].uri().path_and_query().unwrap().as_str();
        assert_eq!(target, format!("/v3/refund/domestic/refunds/R-1%7C%40%2A{query}"));
        assert!(seen[0].body().is_empty() && seen.len() == 1);
    }
}

#[tokio::test]
async fn a_refund_has_the_state_of_its_signed_status() {
    for (status, state) in [
        ("SUCCESS", RefundState::Success),
        ("PROCESSING", RefundState::Processing),
        ("ABNORMAL", RefundState::Abnormal),
        ("CLOSED", RefundState::Closed),
    ] {
        let expected = RefundStatus {
            refund_id: Some("5030001".to_owned()),
            state,
            refund_fee: Fen::new(40),
            refunded_total: None,
            cash_refund_fee: Fen::new(36),
            refunded_at: Some(NOW.plus(40_000)),
            message: Arc::new(refund_body(status)),
        };
        let transport =
            ScriptedTransport::always(Ok(signed(200, &refund_body(status).to_string())));
        assert_eq!(Case::default().refund(&transport).await, Ok(expected.clone()));
        assert_eq!(Case::default().query(&transport).await, Ok(Some(expected)));
    }
    let mut short = refund_body("PROCESSING");
    for name in ["refund_id", "success_time", "channel"] {
        short.as_object_mut().unwrap().remove(name);
    }
    short["amount"] = json!({ "refund": 20 });
    let transport = ScriptedTransport::always(Ok(signed(200, &short.to_string())));
    let trade = Case::default().refund(&transport).await.unwrap();
    assert_eq!((trade.refund_id, trade.cash_refund_fee, trade.refunded_at), (None, None, None));
    assert_eq!(trade.refund_fee, Fen::new(20), "what really goes back");
}

#[tokio::test]
async fn a_signed_answer_about_another_refund_leaves_the_outcome_unknown() {
    let changes: [(&str, Value); 14] = [
        ("/out_refund_no", "R-2".into()),
        ("/out_refund_no", ().into()),
        ("/transaction_id", "4200002".into()),
        ("/transaction_id", ().into()),
        ("/out_trade_no", "2107151010101541002".into()),
        ("/out_trade_no", ().into()),
        ("/status", "SOMETHING_NEW".into()),
        ("/status", "success".into()),
        ("/status", ().into()),
        ("/amount", ().into()),
        ("/amount/refund", ().into()),
        ("/amount/refund", 1.5.into()),
        ("/amount/refund", 10_000_000_001_u64.into()),
        ("/amount/currency", "USD".into()),
    ];
    let mut bodies: Vec<_> = changes
        .into_iter()
        .map(|(at, value)| {
            let mut body = refund_body("SUCCESS");
            *body.pointer_mut(at).unwrap() = value;
            body.to_string()
        })
        .collect();
    bodies.extend(["", "{}", "[]", "null", &"[".repeat(100_000)].map(str::to_owned));
    for body in bodies {
        check_unknown(signed(200, &body), &body).await;
    }
    for status in [201, 202, 204] {
        check_unknown(signed(status, &refund_body("SUCCESS").to_string()), "no 200").await;
    }
}

#[tokio::test]
async fn what_wechat_pay_did_not_sign_refunds_nothing() {
    for (name, answer) in unverifiable(200, &refund_body("SUCCESS").to_string()) {
        check_unknown(answer, name).await;
    }
}

/// The answer leaves both a refund and a question about it without an outcome.
async fn check_unknown(answer: Response<Bytes>, what: &str) {
    let transport = ScriptedTransport::always(Ok(answer));
    let failure = Case::default().refund(&transport).await.unwrap_err();
    assert!(matches!(failure, Failure::OutcomeUnknown { .. }), "{what}: {failure:?}");
    assert_eq!(transport.seen().len(), 1, "{what}: sent once");
    let failure = Case::default().query(&transport).await.unwrap_err();
    assert!(matches!(failure, Failure::OutcomeUnknown { .. }), "{what}: {failure:?}");
}

const FINAL: [(u16, &str); 12] = [
    (403, "NOT_ENOUGH"),
    (403, "NOTENOUGH"),
    (403, "USER_ACCOUNT_ABNORMAL"),
    (400, "REFUND_FEE_MISMATCH"),
    (400, "INVALID_REQUEST"),
    (400, "PARAM_ERROR"),
    (403, "NO_AUTH"),
    (403, "RULE_LIMIT"),
    (403, "TRADE_ERROR"),
    (404, "RESOURCE_NOT_EXISTS"),
    (404, "MCH_NOT_EXISTS"),
    (401, "SIGN_ERROR"),
];

#[tokio::test]
async fn an_unsigned_refusal_is_final_when_there_is_no_such_refund() {
    for (status, code) in FINAL {
        let transport = transport(refusal(status, code, "不能退款"), absent());
        let message = "不能退款".to_owned();
        let refused = Failure::Refused { code: code.to_owned(), message };
        assert_eq!(Case::default().refund(&transport).await, Err(refused));
        let targets = transport.targets();
        assert_eq!(targets.len(), 2);
        assert!(targets[1].starts_with("GET /v3/refund/domestic/refunds/R-1"), "{targets:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refund_and_the_query_that_confirms_its_refusal_share_the_time_of_one_call() {
    let delay = Duration::from_secs(3);
    let transport = transport(refusal(403, "NOT_ENOUGH", ""), absent());
    let transport = ScriptedTransport { delay, ..transport };
    Case::default().refund(&transport).await.unwrap_err();
    assert_eq!(*transport.timeouts.lock().unwrap(), [8, 5].map(Duration::from_secs));
}

#[tokio::test]
async fn an_unsigned_refusal_of_a_refund_that_exists_is_not_its_end() {
    for (status, code) in FINAL {
        let exists = signed(200, &refund_body("PROCESSING").to_string());
        let sent = transport(refusal(status, code, "不能退款"), exists);
        let trade = Case::default().refund(&sent).await.unwrap();
        assert_eq!(trade.state, RefundState::Processing, "{code}");
        for unsure in [refusal(500, "SYSTEM_ERROR", ""), refusal(429, "FREQUENCY_LIMITED", "")] {
            let transport = transport(refusal(status, code, "不能退款"), unsure);
            let result = Case::default().refund(&transport).await;
            let Err(Failure::OutcomeUnknown { provider_error, .. }) = result else {
                panic!("{code}: {result:?}")
            };
            assert_eq!(provider_error, Some((code.to_owned(), "不能退款".to_owned())));
        }
    }
}

#[tokio::test]
async fn a_refund_that_is_throttled_or_too_soon_is_sent_again_later() {
    for (status, code, message) in [
        (429, "FREQUENCY_LIMITED", "频率超限"),
        (429, "RATELIMIT_EXCEEDED", ""),
        (429, "", ""),
        (403, "FREQUENCY_LIMITED", ""),
        (403, "RULE_LIMIT", "两次退款间隔不足1分钟"),
        (400, "INVALID_REQUEST", "订单处理中，暂时无法退款，请稍后再试"),
        (403, "TRADE_ERROR", "操作过于频繁"),
    ] {
        let transport = ScriptedTransport::always(Ok(refusal(status, code, message)));
        let failure = Case::default().refund(&transport).await.unwrap_err();
        let Failure::NotSent(reason) = &failure else { panic!("{code}: {failure:?}") };
        assert!(reason.contains(code) && reason.contains(message), "{reason}");
        assert_eq!(transport.seen().len(), 1, "{code}");
    }
    let lost = TransportFailure::NotSent("refused".to_owned());
    let failure = Case::default().refund(&ScriptedTransport::always(Err(lost))).await.unwrap_err();
    assert_eq!(failure, Failure::NotSent("refused".to_owned()));
}

#[tokio::test]
async fn any_other_refusal_leaves_a_refund_without_an_outcome() {
    for (status, code, message) in [
        (500, "SYSTEM_ERROR", "系统超时"),
        (502, "SERVICE_UNAVAILABLE", ""),
        (400, "SYSTEM_ERROR", ""),
        (500, "NOT_ENOUGH", "not with this status"),
        (302, "PARAM_ERROR", "a redirect"),
        (400, "SOMETHING_NEW", ""),
        (404, "", ""),
        (401, "SIGN_ERROR", "Http头Wechatpay-Timestamp时间戳与当前时间相差过大"),
    ] {
        check_unknown(refusal(status, code, message), code).await;
    }
    let lost = TransportFailure::OutcomeUnknown("reset".to_owned());
    let failure = Case::default().refund(&ScriptedTransport::always(Err(lost))).await.unwrap_err();
    assert_eq!(
        failure,
        Failure::OutcomeUnknown { reason: "reset".to_owned(), provider_error: None }
    );
}

#[tokio::test]
async fn only_resource_not_exists_is_the_absence_of_a_refund() {
    for (status, code) in [
        (404, ""),
        (404, "ORDER_NOT_EXIST"),
        (404, "MCH_NOT_EXISTS"),
        (400, "RESOURCE_NOT_EXISTS"),
        (500, "RESOURCE_NOT_EXISTS"),
        (429, "FREQUENCY_LIMITED"),
        (401, "SIGN_ERROR"),
        (403, "NO_AUTH"),
    ] {
        let transport = ScriptedTransport::always(Ok(refusal(status, code, "")));
        let result = Case::default().query(&transport).await;
        assert!(
            matches!(result, Err(Failure::OutcomeUnknown { .. })),
            "{status} {code}: {result:?}"
        );
    }
}

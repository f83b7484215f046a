//! Money back: what is sent, and what the replies mean.

use paygate::domain::{Payment, Refund, RefundState, RefundStatus};
use paygate::provider::{Failure, RefundCall};

use super::responses::{provider_error, refusal, refused, signed};
use super::*;
use crate::support::fixtures::payment;

const REFUND: &str = "alipay.trade.refund";
const QUERY: &str = "alipay.trade.fastpay.refund.query";

/// 30 fen of a payment of 1 yuan.
pub(super) struct Case {
    payment: Payment,
    refund: Refund,
}

impl Default for Case {
    fn default() -> Case {
        let payment = payment("2021071522001", 100, NOW);
        let refund = Refund::pending("R-2".to_owned(), Fen::new(30).unwrap(), NOW);
        Case { payment, refund }
    }
}

impl Case {
    pub(super) fn plan(&self) -> RefundCall<'_> {
        RefundCall { payment: &self.payment, refund: &self.refund, notify_url: NOTIFY_URL }
    }
}

async fn refund(body: &str) -> Result<RefundStatus, Failure> {
    let attempt = attempt(app(), Product::Precreate, &terms());
    gateway(app())
        .refund(&attempt, Case::default().plan(), RecordingTransport::new(body).call())
        .await
}

async fn query(body: &str) -> Result<Option<RefundStatus>, Failure> {
    let attempt = attempt(app(), Product::Precreate, &terms());
    gateway(app())
        .query_refund(&attempt, Case::default().plan(), RecordingTransport::new(body).call())
        .await
}

#[tokio::test]
async fn a_refund_names_the_trade_its_number_and_its_own_amount() {
    let terms = OrderTerms { app_auth_token: Some(AppAuthToken(TOKEN.to_owned())), ..terms() };
    let attempt = attempt(app(), Product::Precreate, &terms);
    let long = "退".repeat(100);
    let reasons = [
        (None, String::new()),
        (Some("七天\"无理由\""), r#","refund_reason":"七天\"无理由\"""#.to_owned()),
        (Some(&*long), format!(r#","refund_reason":"{}""#, "退".repeat(85))),
    ];
    for (desc, expected) in reasons {
        let mut case = Case::default();
        case.refund.refund_desc = desc.map(str::to_owned);
        let transport = RecordingTransport::new("");
        gateway(app()).refund(&attempt, case.plan(), transport.call()).await.unwrap_err();
        let sent = calls::sent(transport);
        assert_eq!((&*sent["method"], &*sent["app_auth_token"]), (REFUND, TOKEN));
        assert!(!sent.contains_key("notify_url"), "it is told where the payment was");
        let head = r#"{"trade_no":"2021071522001","refund_amount":"0.30","out_request_no":"R-2""#;
        assert_eq!(sent["biz_content"], format!("{head}{expected}}}"));
    }
    let transport = RecordingTransport::new("");
    gateway(app())
        .query_refund(&attempt, Case::default().plan(), transport.call())
        .await
        .unwrap_err();
    let sent = calls::sent(transport);
    assert_eq!((&*sent["method"], &*sent["app_auth_token"]), (QUERY, TOKEN));
    assert_eq!(
        sent["biz_content"],
        concat!(
            r#"{"trade_no":"2021071522001","out_request_no":"R-2","#,
            r#""query_options":["gmt_refund_pay","refund_detail_item_list"]}"#
        )
    );
}

/// A reply to a refund, `refund_fee` being what went back in all.
fn done(rest: &str) -> String {
    format!(
        r#"{{"code":"10000","msg":"Success","trade_no":"2021071522001",
            "out_trade_no":"{NUMBER}","refund_fee":"0.60"{rest}}}"#
    )
}

#[tokio::test]
async fn a_refund_succeeded_when_money_moved_and_has_its_own_amount() {
    let moved = r#","fund_change":"Y","gmt_refund_pay":"2021-07-15 10:10:11""#;
    let cases = [
        (moved, RefundState::Success, Some(NOW.plus(1_000))),
        (r#","fund_change":"Y""#, RefundState::Success, None),
        (r#","fund_change":"Y","gmt_refund_pay":"x""#, RefundState::Success, None),
        (
            r#","fund_change":"N","gmt_refund_pay":"2021-07-15 10:10:11""#,
            RefundState::Processing,
            None,
        ),
        (r#","fund_change":"y""#, RefundState::Processing, None),
        (r#","fund_change":true"#, RefundState::Processing, None),
        ("", RefundState::Processing, None),
    ];
    for (rest, state, refunded_at) in cases {
        let trade = refund(&signed(REFUND, &done(rest))).await.unwrap();
        assert_eq!((trade.state, trade.refunded_at), (state, refunded_at), "{rest}");
        assert_eq!(trade.refund_fee, Fen::new(30), "never what went back in all");
        assert_eq!(trade.refunded_total, Fen::new(60), "{rest}");
        assert_eq!((&trade.refund_id, trade.cash_refund_fee), (&None, None));
        assert_eq!(trade.message["refund_fee"], "0.60");
    }
}

#[tokio::test]
async fn the_refunded_total_is_reported_where_it_can_be_read() {
    for all in ["0.00", "", "x", "0.600", "-0.60"] {
        let raw = done(r#","fund_change":"Y""#).replace("0.60", all);
        assert_eq!(refund(&signed(REFUND, &raw)).await.unwrap().refunded_total, None, "{all}");
    }
    let trade = query(&signed(QUERY, &refund_body(SUCCESS))).await.unwrap().unwrap();
    assert_eq!(trade.refunded_total, None, "a query tells of one refund");
}

#[tokio::test]
async fn a_refusal_of_a_refund_is_final_unless_it_asks_to_wait() {
    for code in [
        "ACQ.SELLER_BALANCE_NOT_ENOUGH",
        "ACQ.TRADE_HAS_FINISHED",
        "ACQ.TRADE_HAS_CLOSE",
        "ACQ.TRADE_NOT_ALLOW_REFUND",
        "ACQ.TRADE_STATUS_ERROR",
        "ACQ.TRADE_NOT_EXIST",
        "ACQ.REASON_TRADE_REFUND_FEE_ERR",
        "REFUND_AMT_NOT_EQUAL_TOTAL",
        "ACQ.DISCORDANT_REPEAT_REQUEST",
        "ACQ.INVALID_PARAMETER",
    ] {
        let result = refund(&signed(REFUND, &refusal("40004", code))).await;
        assert_eq!(result, Err(refused(code)));
    }
    let result = refund(&signed(REFUND, &refusal("40006", "isv.x"))).await;
    assert_eq!(result, Err(refused("isv.x")));
    let too_soon = refusal("40004", "ACQ.X").replace("why", "退款间隔过短，请稍后再试");
    for raw in [
        refusal("40004", "ACQ.REFUND_CHARGE_ERROR"),
        refusal("40005", "isv.app-call-limited"),
        too_soon,
    ] {
        for result in
            [refund(&signed(REFUND, &raw)).await.map(Some), query(&signed(QUERY, &raw)).await]
        {
            assert!(matches!(result, Err(Failure::NotSent(_))), "{raw}: {result:?}");
        }
    }
    let unsigned = refusal("40005", "isv.method-call-limited");
    let unsigned = format!(r#"{{"error_response":{unsigned}}}"#);
    let many = RecordingTransport { answer: Ok((429, Vec::new())), ..RecordingTransport::new("") };
    let attempt = attempt(app(), Product::Precreate, &terms());
    let case = Case::default();
    for result in [
        refund(&unsigned).await.map(Some),
        query(&unsigned).await,
        gateway(app()).refund(&attempt, case.plan(), many.call()).await.map(Some),
        gateway(app()).query_refund(&attempt, case.plan(), many.call()).await,
    ] {
        assert!(matches!(result, Err(Failure::NotSent(_))), "{result:?}");
    }
    let busy = refusal("40004", "ACQ.SYSTEM_ERROR").replace("why", "请稍后再试");
    for raw in [
        busy,
        refusal("40004", ""),
        refusal("20000", "isp.unknow-error"),
        refusal("40002", "isv.invalid-timestamp"),
        refusal("", ""),
    ] {
        provider_error(refund(&signed(REFUND, &raw)).await);
        provider_error(query(&signed(QUERY, &raw)).await);
    }
    // Of a question no refusal is final.
    for code in ["ACQ.TRADE_NOT_EXIST", "ACQ.INVALID_PARAMETER"] {
        let expected = Some((code.to_owned(), "why".to_owned()));
        assert_eq!(provider_error(query(&signed(QUERY, &refusal("40004", code))).await), expected);
    }
}

fn refund_body(rest: &str) -> String {
    format!(
        r#"{{"code":"10000","msg":"Success","trade_no":"2021071522001","out_trade_no":"{NUMBER}",
            "out_request_no":"R-2","refund_amount":"0.30","total_amount":"1.00"{rest}}}"#
    )
}

const SUCCESS: &str = r#","refund_status":"REFUND_SUCCESS""#;

#[tokio::test]
async fn a_query_returns_this_refunds_amount_and_time() {
    let rest = r#","gmt_refund_pay":"2021-07-15 10:10:11.320","send_back_fee":"0.28""#;
    let trade =
        query(&signed(QUERY, &refund_body(&format!("{SUCCESS}{rest}")))).await.unwrap().unwrap();
    assert_eq!(trade.state, RefundState::Success);
    assert_eq!(trade.refund_fee, Fen::new(30));
    assert_eq!(trade.cash_refund_fee, Fen::new(28));
    assert_eq!(trade.refunded_at, Some(NOW.plus(1_000)));
    assert_eq!(trade.message["refund_status"], "REFUND_SUCCESS");
    let other = refund_body(SUCCESS).replace("0.30", "0.20");
    let trade = query(&signed(QUERY, &other)).await.unwrap().unwrap();
    assert_eq!(trade.refund_fee, Fen::new(20), "what really went back");
    let pending = refund_body(r#","refund_status":"REFUND_PROCESSING""#);
    let trade = query(&signed(QUERY, &pending)).await.unwrap().unwrap();
    assert_eq!(trade.state, RefundState::Processing);
}

#[tokio::test]
async fn a_query_without_a_refund_status_knows_of_no_refund() {
    let bare = r#"{"code":"10000","msg":"Success"}"#;
    for raw in [bare, &refund_body(""), &refund_body(r#","refund_status":"""#)] {
        assert_eq!(query(&signed(QUERY, raw)).await, Ok(None), "{raw}");
    }
}

#[tokio::test]
async fn a_signed_reply_about_another_refund_leaves_the_outcome_unknown() {
    let moved = done(r#","fund_change":"Y""#);
    for (what, raw) in [
        ("another trade", moved.replace("2021071522001", "2021071522002")),
        ("no trade", moved.replace("\"trade_no\"", "\"no\"")),
    ] {
        assert_eq!(provider_error(refund(&signed(REFUND, &raw)).await), None, "{what}");
    }
    for (what, raw) in [
        ("another trade", refund_body(SUCCESS).replace("2021071522001", "2021071522002")),
        ("no trade", refund_body(SUCCESS).replace("\"trade_no\"", "\"no\"")),
        ("another refund", refund_body(SUCCESS).replace("R-2", "R-1")),
        ("no amount", refund_body(SUCCESS).replace("\"refund_amount\"", "\"amount\"")),
        ("nothing", refund_body(SUCCESS).replace("0.30", "0.00")),
        ("a third decimal", refund_body(SUCCESS).replace("0.30", "0.300")),
        ("another state", refund_body(r#","refund_status":"REFUND_SOMETHING""#)),
    ] {
        assert_eq!(provider_error(query(&signed(QUERY, &raw)).await), None, "{what}");
    }
}

#[tokio::test]
async fn what_nobody_signed_refunds_nothing() {
    let (moved, success) = (done(r#","fund_change":"Y""#), refund_body(SUCCESS));
    let nothing = r#"{"code":"10000","msg":"Success"}"#;
    for body in [
        reply(REFUND, &moved, &SHOP),
        signed(QUERY, &moved),
        signed(REFUND, &done(r#","fund_change":"N""#)).replace("\"N\"", "\"Y\""),
    ] {
        assert_eq!(provider_error(refund(&body).await), None);
    }
    for body in [
        reply(QUERY, &success, &SHOP),
        reply(QUERY, nothing, &SHOP),
        signed(REFUND, &success),
        signed(QUERY, &refund_body("")).replace("1.00", "2.00"),
    ] {
        assert_eq!(provider_error(query(&body).await), None);
    }
    let unsigned = format!(r#"{{"alipay_trade_refund_response":{moved}}}"#);
    assert!(provider_error(refund(&unsigned).await).is_some());
    let finished = refusal("40004", "ACQ.TRADE_HAS_FINISHED");
    let unsigned = format!(r#"{{"alipay_trade_refund_response":{finished}}}"#);
    assert!(provider_error(refund(&unsigned).await).is_some());
    let unsigned = format!(r#"{{"alipay_trade_fastpay_refund_query_response":{nothing}}}"#);
    assert!(provider_error(query(&unsigned).await).is_some());
}

#[tokio::test]
async fn an_app_that_is_gone_refunds_nothing() {
    let attempt = attempt(app(), Product::Precreate, &terms());
    let other = gateway(AlipayApp { app_id: "2021009999999999".to_owned(), ..app() });
    let (transport, case) = (RecordingTransport::new(""), Case::default());
    let failure = other.refund(&attempt, case.plan(), transport.call()).await.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
    let failure = other.query_refund(&attempt, case.plan(), transport.call()).await.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
    assert!(transport.sent().is_empty());
}

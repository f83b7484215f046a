//! A clock that is wrong is named as the cause, with how far it is off.

use http::header::DATE;
use paygate::domain::PayType;
use paygate::provider::{Failure, Provider, TradeState};

use super::*;

/// An hour after [`NOW`].
const LATER: &str = "Tue, 14 Nov 2023 23:13:20 GMT";
const BEHIND: &str = "this machine's clock is 3600 s behind the provider's";

fn at(date: &str, mut answer: Response<Bytes>) -> Response<Bytes> {
    answer.headers_mut().insert(DATE, date.parse().unwrap());
    answer
}

/// Why `answer` leaves the outcome of each call unknown, for the operator.
async fn reasons(answer: Response<Bytes>) -> [String; 3] {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayMpWeixin).attempt(&v3);
    let transport = ScriptedTransport::always(Ok(answer));
    let reason = |failure| match failure {
        Failure::OutcomeUnknown { reason, .. } => reason,
        other => panic!("not an unknown outcome: {other:?}"),
    };
    [
        reason(v3.open(&attempt, transport.call()).await.unwrap_err()),
        reason(v3.query(&attempt, transport.call()).await.unwrap_err()),
        reason(v3.close(&attempt, transport.call()).await.unwrap_err()),
    ]
}

#[tokio::test]
async fn a_genuine_answer_of_another_time_names_the_clock() {
    for (off_s, text) in [
        (3_600, BEHIND),
        (301, "this machine's clock is 301 s behind the provider's"),
        (-301, "this machine's clock is 301 s ahead of the provider's"),
    ] {
        let then = NOW.plus(off_s * 1_000);
        let answer = signed_by((&WECHAT_KEY, PUBLIC_KEY_ID), then, 200, "{}");
        for reason in reasons(answer).await {
            assert!(reason.contains(text), "{off_s}: {reason}");
        }
        // What somebody else signed tells nothing about our clock.
        let forged = signed_by((&MERCHANT_KEY, PUBLIC_KEY_ID), then, 200, "{}");
        for reason in reasons(forged).await {
            assert!(reason.contains("the signature is wrong"), "{off_s}: {reason}");
        }
    }
}

#[tokio::test]
async fn a_signature_that_was_refused_for_its_time_is_no_fault_of_the_order() {
    let says_so = "Http头Authorization值中的timestamp与发起请求的时间不得超过5分钟";
    for (answer, text) in [
        (at(LATER, refusal(401, "SIGN_ERROR", "签名错误")), BEHIND),
        (at(LATER, refusal(401, "SIGNERROR", says_so)), BEHIND),
        (refusal(401, "SIGN_ERROR", says_so), "check this machine's clock"),
    ] {
        for reason in reasons(answer).await {
            assert!(reason.starts_with("HTTP 401 SIGN"), "{reason}");
            assert!(reason.contains("the request's time was refused"), "{reason}");
            assert!(reason.contains(text), "{reason}");
        }
    }
}

#[tokio::test]
async fn a_failure_for_another_cause_names_the_clock_only_where_it_is_wrong() {
    let failed = || refusal(500, "SYSTEM_ERROR", "系统超时");
    assert_eq!(reasons(failed()).await, ["HTTP 500 SYSTEM_ERROR"; 3]);
    let behind = format!("HTTP 500 SYSTEM_ERROR: {BEHIND}");
    assert_eq!(reasons(at(LATER, failed())).await, [&*behind; 3]);
}

#[tokio::test]
async fn a_refusal_for_another_cause_stays_what_it_is_whatever_the_clock() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayMpWeixin).attempt(&v3);
    let same_time = "Tue, 14 Nov 2023 22:13:25 GMT";
    for (date, code) in [(LATER, "NO_AUTH"), (same_time, "SIGN_ERROR"), ("soon", "SIGN_ERROR")] {
        let transport = ScriptedTransport::always(Ok(at(date, refusal(403, code, "签名错误"))));
        let failure = v3.open(&attempt, transport.call()).await.unwrap_err();
        assert!(matches!(failure, Failure::Refused { .. }), "{date} {code}: {failure:?}");
    }
}

#[tokio::test]
async fn an_absent_order_has_the_time_of_the_answer() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayMpWeixin).attempt(&v3);
    for (date, expected) in [
        ("Tue, 14 Nov 2023 22:13:20 GMT", Some(NOW)),
        ("Tue, 14 Nov 2023 22:12:20 GMT", Some(NOW.plus(-60_000))),
        (LATER, Some(NOW.plus(3_600_000))),
        ("soon", None),
    ] {
        let transport =
            ScriptedTransport::always(Ok(at(date, refusal(404, "ORDER_NOT_EXIST", "订单不存在"))));
        let trade = v3.query(&attempt, transport.call()).await;
        assert_eq!(trade, Ok(TradeState::NotFound { date: expected }), "{date}");
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_had_for_the_clock_say_so() {
    let list = at(LATER, refusal(401, "SIGN_ERROR", "签名错误"));
    let v3 = V3::new(merchant(WxpayVerification::Certificates)).unwrap();
    let attempt = Scene::of(PayType::WxpayH5).attempt(&v3);
    let transport = ScriptedTransport::always(Ok(list));
    // The second is not sent at all, and says the same.
    for _ in 0..2 {
        match v3.open(&attempt, transport.call()).await {
            Err(Failure::Unverifiable { reason, .. }) => {
                assert!(reason.contains(BEHIND), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(transport.seen().len(), 1);
}

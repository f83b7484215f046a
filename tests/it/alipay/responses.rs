//! What replies mean, signed, unsigned and tampered with.

use paygate::provider::{CloseOutcome, Failure, TradeState};
use proptest::prelude::*;

use super::*;

const CREATE: &str = "alipay.trade.create";
const PRECREATE: &str = "alipay.trade.precreate";
const QUERY: &str = "alipay.trade.query";
const CLOSE: &str = "alipay.trade.close";

async fn open(product: Product, body: &str) -> Result<Material, Failure> {
    let attempt = attempt(app(), product, &terms());
    let transport = RecordingTransport::new(body);
    gateway(app()).open(&attempt, transport.call()).await
}

async fn query(body: &str) -> Result<TradeState, Failure> {
    let attempt = attempt(app(), Product::Precreate, &terms());
    let transport = RecordingTransport::new(body);
    gateway(app()).query(&attempt, transport.call()).await
}

async fn close(body: &str) -> Result<CloseOutcome, Failure> {
    let attempt = attempt(app(), Product::Precreate, &terms());
    let transport = RecordingTransport::new(body);
    gateway(app()).close(&attempt, transport.call()).await
}

fn success(rest: &str) -> String {
    format!(r#"{{"code":"10000","msg":"Success","out_trade_no":"{NUMBER}"{rest}}}"#)
}

pub(super) fn refusal(code: &str, sub_code: &str) -> String {
    format!(r#"{{"code":"{code}","msg":"m","sub_code":"{sub_code}","sub_msg":"why"}}"#)
}

pub(super) fn refused(code: &str) -> Failure {
    Failure::Refused { code: code.to_owned(), message: "why".to_owned() }
}

/// The unsigned code and message of an unknown outcome.
pub(super) fn provider_error<T: std::fmt::Debug>(
    result: Result<T, Failure>,
) -> Option<(String, String)> {
    match result {
        Err(Failure::OutcomeUnknown { provider_error, .. }) => provider_error,
        other => panic!("not an unknown outcome: {other:?}"),
    }
}

pub(super) fn signed(method: &str, raw: &str) -> String {
    reply(method, raw, &ALIPAY)
}

const QR_CODE: &str = r#","qr_code":"https:\/\/qr.alipay.com\/bax""#;

#[tokio::test]
async fn an_opened_order_gives_what_the_buyer_pays_with() {
    let reply = signed(PRECREATE, &success(QR_CODE));
    assert_eq!(open(Product::Precreate, &reply).await, Ok(qr_code()));
    let reply = signed(CREATE, &success(r#","trade_no":"2021071522001""#));
    let trade = Material::Trade { trade_no: "2021071522001".to_owned() };
    assert_eq!(open(Product::Create, &reply).await, Ok(trade));
}

#[tokio::test]
async fn a_success_that_is_not_this_orders_or_holds_nothing_is_unknown() {
    let other = success(QR_CODE).replace(NUMBER, "2107151010101541002");
    let unnumbered = format!(r#"{{"code":"10000","msg":"Success"{QR_CODE}}}"#);
    let empty = success(r#","qr_code":"""#);
    for raw in [&other, &unnumbered, &empty, &success(""), &success(r#","qr_code":1"#)] {
        assert_eq!(
            provider_error(open(Product::Precreate, &signed(PRECREATE, raw)).await),
            None,
            "{raw}"
        );
    }
}

#[tokio::test]
async fn a_signed_refusal_is_final_unless_the_outcome_is_unknown() {
    let cases = [
        ("40004", "ACQ.INVALID_PARAMETER", true),
        ("40004", "ACQ.ACCESS_FORBIDDEN", true),
        ("40004", "BUYER_SELLER_EQUAL", true),
        ("40002", "isv.invalid-app-id", true),
        ("40006", "isv.insufficient-isv-permissions", true),
        ("20001", "aop.invalid-app-auth-token", true),
        ("40004", "ACQ.SYSTEM_ERROR", false),
        ("40004", "AQC.SYSTEM_ERROR", false),
        ("40004", "SYSTEM_ERROR", false),
        ("40004", "", false),
        ("20000", "aop.unknow-error", false),
        ("10003", "", false),
        ("", "", false),
    ];
    for (code, sub_code, is_final) in cases {
        let reply = signed(PRECREATE, &refusal(code, sub_code));
        let result = open(Product::Precreate, &reply).await;
        let expected = if sub_code.is_empty() { code } else { sub_code };
        if is_final {
            assert_eq!(result, Err(refused(expected)));
        } else {
            assert_eq!(provider_error(result), Some((expected.to_owned(), "why".to_owned())));
        }
    }
}

/// The `sub_code`s of a number that has a trade, without their prefix.
const TAKEN: [&str; 6] = [
    "TRADE_HAS_SUCCESS",
    "TRADE_HAS_FINISHED",
    "TRADE_HAS_CLOSE",
    "CONTEXT_INCONSISTENT",
    "TRADE_BUYER_NOT_MATCH",
    "APPLY_PC_MERCHANT_CODE_ERROR",
];

#[tokio::test]
async fn a_number_that_has_a_trade_is_taken_under_each_of_its_codes() {
    for (bare, prefix) in TAKEN.iter().flat_map(|it| [(it, ""), (it, "ACQ."), (it, "AQC.")]) {
        let code = format!("{prefix}{bare}");
        let raw = refusal("40004", &code);
        for (product, method) in [(Product::Precreate, PRECREATE), (Product::Create, CREATE)] {
            let taken = Failure::NumberInUse { code: code.clone(), message: "why".to_owned() };
            assert_eq!(open(product, &signed(method, &raw)).await, Err(taken));
        }
        // Unsigned it is told, and no more.
        let unsigned = format!(r#"{{"alipay_trade_create_response":{raw}}}"#);
        provider_error(open(Product::Create, &unsigned).await);
        // Of a question it is no answer.
        provider_error(query(&signed(QUERY, &raw)).await);
    }
    let raw = refusal("20000", "ACQ.TRADE_HAS_SUCCESS");
    provider_error(open(Product::Create, &signed(CREATE, &raw)).await);
}

#[tokio::test]
async fn alipays_error_about_a_buyer_reaches_the_client_in_its_words() {
    let words = "买家不匹配，请使用创建交易时的账号付款";
    let raw = |code: &str| refusal("40004", code).replace("why", words);
    let of = |failure: Failure| match failure {
        Failure::NumberInUse { code, message } | Failure::Refused { code, message } => {
            (code, message)
        }
        other => panic!("{other:?}"),
    };
    for code in [
        "ACQ.TRADE_BUYER_NOT_MATCH",
        "ACQ.BUYER_SELLER_EQUAL",
        "ACQ.OPEN_ID_NOT_TINY_APP",
        "ACQ.UNBOUND_APPLICATION",
    ] {
        let failure = open(Product::Create, &signed(CREATE, &raw(code))).await.unwrap_err();
        assert_eq!(of(failure), (code.to_owned(), words.to_owned()));
    }
    // What no log can bear is cut.
    let long = refusal("40004", "ACQ.BUYER_SELLER_EQUAL").replace("why", &"长".repeat(9_000));
    let failure = open(Product::Create, &signed(CREATE, &long)).await.unwrap_err();
    assert_eq!(of(failure).1.chars().count(), 256);
    let torn = refusal("40004", "ACQ.BUYER_SELLER_EQUAL").replace("why", "a\\r\\nb\\u001b[0m");
    let failure = open(Product::Create, &signed(CREATE, &torn)).await.unwrap_err();
    assert_eq!(of(failure).1, "ab[0m");
}

#[tokio::test]
async fn too_many_calls_are_reported_as_throttled_signed_or_not() {
    for (code, sub_code) in [
        ("40005", "isv.app-call-limited"),
        ("40005", "isv.method-call-limited"),
        ("40005", ""),
        ("40004", "aop.app-call-limited"),
        ("20000", "isp.call-limited"),
    ] {
        let raw = refusal(code, sub_code);
        let expected = if sub_code.is_empty() { code } else { sub_code }.to_owned();
        let throttled = Failure::Throttled { code: expected, message: "why".to_owned() };
        let answers = |method: &str| {
            let node = method.replace('.', "_");
            [
                signed(method, &raw),
                format!(r#"{{"{node}_response":{raw}}}"#),
                format!(r#"{{"error_response":{raw}}}"#),
            ]
        };
        for body in answers(PRECREATE) {
            assert_eq!(open(Product::Precreate, &body).await, Err(throttled.clone()), "{body}");
        }
        for body in answers(QUERY) {
            assert_eq!(query(&body).await, Err(throttled.clone()), "{body}");
        }
        for body in answers(CLOSE) {
            assert_eq!(close(&body).await, Err(throttled.clone()), "{body}");
        }
        // A signature that is wrong is none.
        let forged = reply(PRECREATE, &raw, &SHOP);
        assert_eq!(provider_error(open(Product::Precreate, &forged).await), None);
    }
}

#[tokio::test]
async fn an_answer_with_another_status_is_reported_and_decides_nothing() {
    let attempt = attempt(app(), Product::Precreate, &terms());
    let at = async |status: u16, body: &str| {
        let transport =
            RecordingTransport { answer: Ok((status, body.into())), ..RecordingTransport::new("") };
        gateway(app()).open(&attempt, transport.call()).await
    };
    let raw = refusal("20000", "isp.unknow-error");
    let expected = Some(("isp.unknow-error".to_owned(), "why".to_owned()));
    for body in [
        format!(r#"{{"alipay_trade_precreate_response":{raw}}}"#),
        format!(r#"{{"error_response":{raw}}}"#),
    ] {
        assert_eq!(provider_error(at(500, &body).await), expected, "{body}");
    }
    for body in ["", "<html>", "[]", "{}", r#"{"error_response":{}}"#] {
        assert_eq!(provider_error(at(502, body).await), None, "{body}");
    }
    for body in ["", &format!(r#"{{"error_response":{raw}}}"#)] {
        let failure = at(429, body).await.unwrap_err();
        assert!(matches!(failure, Failure::Throttled { .. }), "{failure:?}");
    }
}

#[tokio::test]
async fn a_time_that_alipay_refuses_names_the_clock() {
    let raw = refusal("40002", "isv.invalid-timestamp");
    let attempt = attempt(app(), Product::Precreate, &terms());
    // An hour ahead of ours.
    let dates = [Some("Thu, 15 Jul 2021 03:10:10 GMT"), None];
    let texts =
        ["this machine's clock is 3600 s behind the provider's", "check this machine's clock"];
    for (date, text) in dates.into_iter().zip(texts) {
        for body in [
            format!(r#"{{"alipay_trade_precreate_response":{raw}}}"#),
            format!(r#"{{"error_response":{raw}}}"#),
            signed(PRECREATE, &raw),
        ] {
            let transport = RecordingTransport { date, ..RecordingTransport::new(body) };
            match gateway(app()).open(&attempt, transport.call()).await {
                Err(Failure::OutcomeUnknown { reason, provider_error: Some((code, _)) }) => {
                    assert!(reason.contains(text), "{reason}");
                    assert_eq!(code, "isv.invalid-timestamp");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn no_query_is_believed_by_a_clock_that_is_wrong() {
    let attempt = attempt(app(), Product::Precreate, &terms());
    let absent = signed(QUERY, &refusal("40004", "ACQ.TRADE_NOT_EXIST"));
    let paid = signed(QUERY, &trade("TRADE_SUCCESS", ""));
    for (date, expected) in [
        (None, None),
        (Some("no date"), None),
        (Some("Thu, 15 Jul 2021 02:10:10 GMT"), Some(NOW)),
        (Some("Thu, 15 Jul 2021 02:15:10 GMT"), Some(NOW.plus(300_000))),
    ] {
        let transport = RecordingTransport { date, ..RecordingTransport::new(absent.as_str()) };
        let result = gateway(app()).query(&attempt, transport.call()).await;
        assert_eq!(result, Ok(TradeState::NotFound { date: expected }), "{date:?}");
    }
    for (date, off) in [
        (None, None),
        (Some("no date"), None),
        (Some("Thu, 15 Jul 2021 02:10:10 GMT"), None),
        (Some("Thu, 15 Jul 2021 02:15:10 GMT"), None),
        (Some("Thu, 15 Jul 2021 02:05:10 GMT"), None),
        (Some("Thu, 15 Jul 2021 02:15:11 GMT"), Some("301 s behind")),
        (Some("Thu, 15 Jul 2021 02:05:09 GMT"), Some("301 s ahead of")),
        (Some("Thu, 15 Jul 2021 01:10:10 GMT"), Some("3600 s ahead of")),
    ] {
        for body in [&absent, &paid] {
            let transport = RecordingTransport { date, ..RecordingTransport::new(body.as_str()) };
            let result = gateway(app()).query(&attempt, transport.call()).await;
            match (result, off) {
                (Ok(_), None) => {}
                (Err(Failure::OutcomeUnknown { reason, provider_error: None }), Some(off)) => {
                    assert!(reason.contains(&format!("clock is {off}")), "{reason}");
                }
                other => panic!("{date:?}: {other:?}"),
            }
        }
    }
    // What a close did does not hang on the time.
    let date = Some("Thu, 15 Jul 2021 01:10:10 GMT");
    let transport =
        RecordingTransport { date, ..RecordingTransport::new(signed(CLOSE, &success(""))) };
    assert_eq!(gateway(app()).close(&attempt, transport.call()).await, Ok(CloseOutcome::Closed));
}

#[tokio::test]
async fn an_unsigned_reply_is_reported_and_never_trusted() {
    let expected = Some(("isv.invalid-app-id".to_owned(), "why".to_owned()));
    let raw = refusal("40002", "isv.invalid-app-id");
    for name in ["alipay_trade_precreate_response", "error_response"] {
        let reply = format!(r#"{{"{name}":{raw}}}"#);
        assert_eq!(provider_error(open(Product::Precreate, &reply).await), expected, "{name}");
    }
    let reply = format!(r#"{{"alipay_trade_precreate_response":{}}}"#, success(QR_CODE));
    let expected = Some(("10000".to_owned(), "Success".to_owned()));
    assert_eq!(provider_error(open(Product::Precreate, &reply).await), expected);
    let raw = refusal("40004", "ACQ.TRADE_NOT_EXIST");
    let expected = Some(("ACQ.TRADE_NOT_EXIST".to_owned(), "why".to_owned()));
    let reply = format!(r#"{{"alipay_trade_query_response":{raw}}}"#);
    assert_eq!(provider_error(query(&reply).await), expected);
    let reply = format!(r#"{{"alipay_trade_close_response":{raw}}}"#);
    assert_eq!(provider_error(close(&reply).await), expected);
}

#[tokio::test]
async fn the_signed_text_is_the_raw_object_verbatim() {
    let raw = concat!(
        "{ \"code\" : \"10000\",\r\n\t\"msg\":\"a } { \\\" \\\\\",",
        r#""alipay_trade_precreate_response":{"sign":"\"sign\":\"x\"}"},"#,
        r#""error_response":{"code":"1"},"n":1.0,"#,
        "\"out_trade_no\" :\n\"2107151010101541001\",",
        r#""qr_code":"https:\/\/qr.alipay.com\/\u0062ax","sign":"," }"#
    );
    let sign = ALIPAY.sign(raw.as_bytes());
    let node = format!("\"alipay_trade_precreate_response\" :\n {raw}");
    for reply in [
        format!("{{{node},\"sign\":\"{sign}\"}}"),
        format!(" {{ \"sign\" : \"{}\" , {node} }}\n", sign.replace('/', "\\/")),
        format!("{{\"alipay_cert_sn\":\"sn\",{node},\"sign\":\"{sign}\",\"x\":[{{}}]}}"),
    ] {
        let Ok(Material::QrCode { code_url, .. }) = open(Product::Precreate, &reply).await else {
            panic!("not accepted: {reply}");
        };
        assert_eq!(code_url, "https://qr.alipay.com/bax");
    }
}

#[tokio::test]
async fn any_other_text_is_unknown() {
    let raw = success(QR_CODE);
    let good = signed(PRECREATE, &raw);
    assert!(open(Product::Precreate, &good).await.is_ok());
    let node = format!(r#""alipay_trade_precreate_response":{raw}"#);
    let sign = ALIPAY.sign(raw.as_bytes());
    let deep = format!("{{\"alipay_trade_precreate_response\":{}", "[".repeat(100_000));
    let many: String = (0..100).map(|n| format!(r#""a{n}":1,"#)).collect();
    let bodies = [
        ("another amount of space", good.replace(r#""code":"#, r#""code": "#)),
        ("re-serialised slashes", good.replace("\\/", "/")),
        ("another code", good.replace("bax", "bay")),
        ("another method's node", signed(CREATE, &raw)),
        ("signed by the shop itself", reply(PRECREATE, &raw, &SHOP)),
        ("the node twice", format!(r#"{{{node},{node},"sign":"{sign}"}}"#)),
        ("sign twice", format!(r#"{{{node},"sign":"{sign}","sign":"{sign}"}}"#)),
        ("sign twice, once escaped", good.replacen('{', r#"{"\u0073ign":"x","#, 1)),
        ("an error beside it", format!(r#"{{{node},"error_response":{{}},"sign":"{sign}"}}"#)),
        ("nested", format!(r#"{{"a":{{{node}}},"sign":"{sign}"}}"#)),
        ("no object", format!(r#"{{"alipay_trade_precreate_response":"x","sign":"{sign}"}}"#)),
        ("sign is no text", format!(r#"{{{node},"sign":1}}"#)),
        ("sign is empty", format!(r#"{{{node},"sign":""}}"#)),
        ("sign is null", format!(r#"{{{node},"sign":null}}"#)),
        ("something behind it", format!("{good}x")),
        ("cut", good[..good.len() - 1].to_owned()),
        ("too many members", good.replacen('{', &format!("{{{many}"), 1)),
        ("too deep", deep),
        ("empty", String::new()),
        ("a page", "<html>502</html>".to_owned()),
    ];
    for (what, body) in bodies {
        assert_eq!(provider_error(open(Product::Precreate, &body).await), None, "{what}");
    }
}

#[tokio::test]
async fn only_200_is_an_answer() {
    let attempt = attempt(app(), Product::Precreate, &terms());
    for status in [201, 302, 400, 500, 502] {
        let body = signed(PRECREATE, &success(QR_CODE)).into_bytes();
        let transport =
            RecordingTransport { answer: Ok((status, body)), ..RecordingTransport::new("") };
        assert_eq!(
            provider_error(gateway(app()).open(&attempt, transport.call()).await),
            None,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_reissued_alipay_certificate_is_not_trusted_by_its_key_alone() {
    let attempt = attempt(with_certificates(), Product::Precreate, &terms());
    let body = signed(PRECREATE, &success(QR_CODE));
    let with_sn = |sn: &str| body.replacen('{', &format!(r#"{{"alipay_cert_sn":{sn},"#), 1);
    for (sn, accepted) in
        [(r#""alipay-sn""#, true), (r#""other""#, false), ("1", false), (r#""""#, false)]
    {
        let transport = RecordingTransport::new(with_sn(sn));
        let result = gateway(with_certificates()).open(&attempt, transport.call()).await;
        assert_eq!(result.is_ok(), accepted, "{sn}");
    }
    let transport = RecordingTransport::new(with_sn(r#""other""#));
    match gateway(with_certificates()).open(&attempt, transport.call()).await {
        Err(Failure::OutcomeUnknown { reason, .. }) => {
            assert!(reason.contains("reissued"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}

fn trade(status: &str, rest: &str) -> String {
    let trade = r#","trade_no":"2021071522001","total_amount":"0.01","receipt_amount":"0.00""#;
    success(&format!(r#"{trade},"trade_status":"{status}"{rest}"#))
}

#[tokio::test]
async fn a_query_distinguishes_paid_open_and_closed() {
    let date = r#","send_pay_date":"2021-07-15 10:20:30""#;
    let refund = r#","refund_fee":"0.01""#;
    let none = r#","refund_fee":"0.00","send_pay_date":"""#;
    let detail = r#","refund_detail_item_list":[{"amount":"0.01"}]"#;
    let cases = [
        (trade("WAIT_BUYER_PAY", ""), "unpaid"),
        (trade("TRADE_SUCCESS", date), "paid"),
        (trade("TRADE_SUCCESS", ""), "paid"),
        (trade("TRADE_FINISHED", date), "paid"),
        (trade("TRADE_CLOSED", ""), "closed"),
        (trade("TRADE_CLOSED", none), "closed"),
        (trade("TRADE_CLOSED", date), "paid"),
        (trade("TRADE_CLOSED", refund), "paid"),
        (trade("TRADE_CLOSED", detail), "paid"),
        (trade("TRADE_PENDING", ""), "unknown"),
        (trade("", ""), "unknown"),
        (trade("TRADE_SUCCESS", "").replace("0.01", "0.001"), "unknown"),
        (trade("TRADE_SUCCESS", "").replace(NUMBER, "other-number"), "unknown"),
        (trade("WAIT_BUYER_PAY", "").replace(NUMBER, "other-number"), "unknown"),
        (trade("TRADE_SUCCESS", "").replace("\"trade_no\"", "\"no\""), "unknown"),
        (refusal("40004", "ACQ.TRADE_NOT_EXIST"), "absent"),
        (refusal("40004", "TRADE_NOT_EXIST"), "absent"),
        (refusal("40004", "ACQ.SYSTEM_ERROR"), "unknown"),
        (refusal("40004", "ACQ.INVALID_PARAMETER"), "refused"),
        (refusal("20000", "isp.unknow-error"), "unknown"),
        (refusal("20000", "ACQ.TRADE_NOT_EXIST"), "unknown"),
    ];
    for (raw, expected) in cases {
        let state = match query(&signed(QUERY, &raw)).await {
            Ok(TradeState::NotFound { date: None }) => "absent",
            Ok(TradeState::Unpaid { trade_state }) if trade_state == "WAIT_BUYER_PAY" => "unpaid",
            Ok(TradeState::Closed) => "closed",
            Ok(TradeState::Paid(_)) => "paid",
            Err(Failure::OutcomeUnknown { .. }) => "unknown",
            Err(Failure::Refused { .. }) => "refused",
            other => panic!("{other:?}"),
        };
        assert_eq!(state, expected, "{raw}");
    }
}

#[tokio::test]
async fn a_payment_has_its_payer_amount_and_time() {
    let rest = concat!(
        r#","send_pay_date":"2021-07-15 10:10:11","buyer_user_id":"2088102146225135","#,
        r#""buyer_pay_amount":"0.00""#
    );
    let reply = signed(QUERY, &trade("TRADE_SUCCESS", rest));
    let Ok(TradeState::Paid(paid)) = query(&reply).await else { panic!("not paid") };
    assert_eq!(&*paid.transaction_id.0, "2021071522001");
    assert_eq!(Some(paid.total_fee), Fen::new(1));
    assert!(paid.matches_order);
    assert_eq!(paid.paid_at, Some(NOW.plus(1_000)));
    assert_eq!(paid.openid.as_deref(), Some("2088102146225135"));
    assert_eq!(paid.message["trade_status"], "TRADE_SUCCESS");
}

#[tokio::test]
async fn a_payment_in_another_currency_does_not_fit() {
    for (currency, matches_order) in [("CNY", true), ("USD", false)] {
        let rest = format!(r#","trans_currency":"{currency}""#);
        let reply = signed(QUERY, &trade("TRADE_SUCCESS", &rest));
        let Ok(TradeState::Paid(paid)) = query(&reply).await else { panic!("not paid") };
        assert_eq!(paid.matches_order, matches_order, "{currency}");
    }
}

#[tokio::test]
async fn a_close_is_done_or_its_outcome_names_the_next_step() {
    let cases = [
        (success(""), Ok(CloseOutcome::Closed)),
        (r#"{"code":"10000","msg":"Success"}"#.to_owned(), Ok(CloseOutcome::Closed)),
        (refusal("40004", "ACQ.TRADE_NOT_EXIST"), Ok(CloseOutcome::NotFound)),
        (refusal("40004", "TRADE_NOT_EXIST"), Ok(CloseOutcome::NotFound)),
        (refusal("40004", "ACQ.TRADE_HAS_SUCCESS"), Ok(CloseOutcome::Paid)),
        (refusal("40004", "ACQ.TRADE_HAS_FINISHED"), Ok(CloseOutcome::Paid)),
        (refusal("40004", "TRADE_STATUS_ERROR"), Ok(CloseOutcome::Paid)),
        (refusal("40004", "ACQ.REASON_TRADE_STATUS_INVALID"), Ok(CloseOutcome::Paid)),
        (refusal("40004", "ACQ.TRADE_STATUS_ERROR"), Ok(CloseOutcome::Paid)),
        (refusal("40004", "ACQ.REASON_ILLEGAL_STATUS"), Ok(CloseOutcome::Paid)),
        (refusal("40004", "ACQ.TRADE_HAS_CLOSE"), Ok(CloseOutcome::Paid)),
        (refusal("40004", "ACQ.INVALID_PARAMETER"), Err(refused("ACQ.INVALID_PARAMETER"))),
    ];
    for (raw, expected) in cases {
        assert_eq!(close(&signed(CLOSE, &raw)).await, expected, "{raw}");
    }
    for raw in [
        refusal("40004", "ACQ.SYSTEM_ERROR"),
        refusal("20000", "aop.unknow-error"),
        success("").replace(NUMBER, "other-number"),
    ] {
        provider_error(close(&signed(CLOSE, &raw)).await);
    }
}

#[tokio::test]
async fn no_tampered_unsigned_or_unrelated_reply_reports_a_payment_or_a_close() {
    let unpaid = signed(QUERY, &trade("WAIT_BUYER_PAY", ""));
    let paid = signed(QUERY, &trade("TRADE_SUCCESS", ""));
    let raw = trade("TRADE_SUCCESS", "");
    let foreign = trade("TRADE_SUCCESS", "").replace(NUMBER, "2107151010101541002");
    for (what, body) in [
        ("made a payment", unpaid.replace("WAIT_BUYER_PAY", "TRADE_SUCCESS")),
        ("another amount", paid.replace("0.01", "0.02")),
        ("another trade", paid.replace("2021071522001", "2021071522002")),
        ("signed by the shop", reply(QUERY, &raw, &SHOP)),
        ("another order's", signed(QUERY, &foreign)),
        ("a reply to a close", signed(CLOSE, &raw)),
    ] {
        assert_eq!(provider_error(query(&body).await), None, "{what}");
    }
    let unsigned = format!(r#"{{"alipay_trade_query_response":{raw}}}"#);
    assert!(provider_error(query(&unsigned).await).is_some());

    let closed = signed(CLOSE, &success(""));
    for (what, body) in [
        ("another order's", closed.replace(NUMBER, "2107151010101541002")),
        ("signed for another", signed(CLOSE, &success("").replace(NUMBER, "2107151010101541002"))),
        ("signed by the shop", reply(CLOSE, &success(""), &SHOP)),
        ("a reply to a query", signed(QUERY, &success(""))),
        ("made a success", signed(CLOSE, &refusal("40004", "x")).replace("40004", "10000")),
    ] {
        assert_eq!(provider_error(close(&body).await), None, "{what}");
    }
    let unsigned = format!(r#"{{"alipay_trade_close_response":{}}}"#, success(""));
    assert!(provider_error(close(&unsigned).await).is_some());
}

/// Reads `body` as the reply to each call.
fn read_all(body: &[u8]) -> [bool; 5] {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let attempt = attempt(app(), Product::Precreate, &terms());
    let (gateway, transport) = (gateway(app()), RecordingTransport::new(body));
    let refund = refunds::Case::default();
    runtime.block_on(async {
        [
            gateway.open(&attempt, transport.call()).await.is_ok(),
            gateway.query(&attempt, transport.call()).await.is_ok(),
            gateway.close(&attempt, transport.call()).await.is_ok(),
            gateway.refund(&attempt, refund.plan(), transport.call()).await.is_ok(),
            gateway.query_refund(&attempt, refund.plan(), transport.call()).await.is_ok(),
        ]
    })
}

/// Texts that look like replies.
const SHAPE: &str = concat!(
    r#"\{?("alipay_trade_(query|close|precreate|refund)_response" ?: ?[\[\]{}",:0-9a\\]{0,40},?"#,
    r#"|"sign":"[A-Za-z0-9+/=]{0,20}",?){0,4}\}?"#
);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_are_believed(body in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert_eq!(read_all(&body), [false; 5]);
    }

    #[test]
    fn no_shape_is_believed(body in SHAPE) {
        prop_assert_eq!(read_all(body.as_bytes()), [false; 5]);
    }

    #[test]
    fn no_changed_byte_of_a_signed_reply_is_believed(at in 0_usize..80, bit in 0_u32..8) {
        let raw = success(QR_CODE);
        let mut body = signed(PRECREATE, &raw).into_bytes();
        let at = br#"{"alipay_trade_precreate_response":"#.len() + at % raw.len();
        body[at] ^= 1 << bit;
        prop_assert_eq!(read_all(&body), [false; 5]);
    }
}

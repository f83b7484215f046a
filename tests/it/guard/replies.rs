//! Replies: statuses, envelopes, headers, languages.

use http::HeaderMap;
use http::header::{ACCEPT_LANGUAGE, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use paygate::domain::{Fen, OutTradeNo, PayType, Platform, ProviderId};
use paygate::error::{Code, Error, Kind, ShopRefusal, Text, Violation};
use paygate::testing::guard::schema;
use paygate::testing::reply::{
    CreatedPayment, IDEMPOTENT_REPLAYED, Language, PAYGATE_MODE, REQUEST_ID, ReplyWriter,
};
use serde_json::{Value, json};

pub(super) const ENGLISH: ReplyWriter<'static> =
    ReplyWriter { request_id: "r-1", language: Language::English, mock: false };

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn every_kind_has_its_code_status_and_name() {
    let table = [
        (Kind::NotFound, 404, 404, "not_found"),
        (Kind::BadRequest, 400, 400, "bad_request"),
        (Kind::MethodNotAllowed, 4000, 405, "method_not_allowed"),
        (Kind::UnsupportedMediaType, 4000, 415, "unsupported_media_type"),
        (Kind::BodyTooLarge, 4000, 413, "body_too_large"),
        (Kind::BodyTimeout, 4000, 408, "body_timeout"),
        (Kind::BodyUnreadable, 4000, 400, "body_unreadable"),
        (Kind::Invalid, 4000, 422, "invalid_field"),
        (Kind::CallerNotAllowed, 4005, 401, "caller_not_allowed"),
        (Kind::ShopRefused, 5001, 503, "shop_refused"),
        (Kind::PayTypeNotPossible, 4004, 422, "pay_type_not_possible"),
        (Kind::AlreadyPaid, 4101, 409, "already_paid"),
        (Kind::Different, 4102, 422, "different_parameters"),
        (Kind::Busy, 4103, 409, "busy"),
        (Kind::SwitchRejected, 4104, 409, "switch_rejected"),
        (Kind::Closed, 4105, 409, "closed"),
        (Kind::ProviderRefused, 3001, 502, "provider_refused"),
        (Kind::NotSent, 5001, 503, "not_sent"),
        (Kind::OutcomeUnknown, 5002, 503, "outcome_unknown"),
        (Kind::NoSuchOrder, 2001, 404, "no_such_order"),
        (Kind::NotPaid, 2002, 409, "not_paid"),
        (Kind::NotRefunded, 2003, 409, "not_refunded"),
        (Kind::TooSoon, 2004, 409, "too_soon"),
        (Kind::RefundExceeds, 4106, 422, "refund_exceeds"),
    ];
    for (kind, code, status, name) in table {
        let reply = ENGLISH.refusal(&Error::new(kind));
        let body = parsed(reply.body());
        assert_eq!(reply.status(), status, "{kind:?}");
        assert_eq!((&body["code"], &body["error"]), (&json!(code), &json!(name)), "{kind:?}");
        assert_eq!(schema::accepts("error", reply.body()), Some(true), "{kind:?}");
        // A reply that asks for a retry names the time.
        let waits = status == 503 || [2004, 4103].contains(&code);
        assert_eq!(reply.headers().contains_key(RETRY_AFTER), waits, "{kind:?}");
        assert_eq!(reply.headers().contains_key(ALLOW), status == 405, "{kind:?}");
        assert_eq!(reply.headers().contains_key(WWW_AUTHENTICATE), status == 401, "{kind:?}");
        assert_eq!(reply.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
        assert_eq!(reply.headers()[REQUEST_ID], "r-1");
        assert!(!reply.headers().contains_key(PAYGATE_MODE));
    }
}

#[test]
fn the_first_violation_gives_code_name_and_words() {
    let violation = |code, path: &str, zh: &str, en: &str| Violation {
        code,
        path: path.to_owned(),
        rule: "required",
        message: Text::new(zh, en),
    };
    let error = Error::invalid(vec![
        violation(Code::Openid, "/data/openid", "缺openid", "no openid"),
        violation(Code::Pid, "/data/pid", "无pid", "no pid"),
    ]);
    let chinese = ReplyWriter { language: Language::Chinese, mock: true, ..ENGLISH };
    let reply = chinese.refusal(&error);
    assert_eq!(
        parsed(reply.body()),
        json!({
            "code": 1006, "msg": "缺openid", "error": "invalid_openid", "requestId": "r-1",
            "errors": [
                {"path": "/data/openid", "rule": "required", "message": "缺openid"},
                {"path": "/data/pid", "rule": "required", "message": "无pid"},
            ],
        })
    );
    assert_eq!(reply.headers()[PAYGATE_MODE], "mock");
    let different = Error::new(Kind::Different).violations_of(vec![violation(
        Code::Different,
        "/data/total_fee",
        "不同",
        "differs",
    )]);
    let body = parsed(ENGLISH.refusal(&different).body());
    assert_eq!(
        (&body["code"], &body["errors"][0]["path"]),
        (&json!(4102), &json!("/data/total_fee"))
    );
}

#[test]
fn a_refusal_carries_what_is_known_and_its_own_words() {
    let error = Error::new(Kind::ProviderRefused).provider_error("PARAM_ERROR", "参数\"错误\"\r\n");
    let body = parsed(ENGLISH.refusal(&error).body());
    assert_eq!(body["provider"], json!({"code": "PARAM_ERROR", "message": "参数\"错误\"\r\n"}));
    let error = Error::new(Kind::AlreadyPaid).order_status(2);
    assert_eq!(parsed(ENGLISH.refusal(&error).body())["status"], json!(2));
    let error = Error::new(Kind::Busy).retry_after_s(17).text(Text::new("忙", "wait a bit"));
    let reply = ENGLISH.refusal(&error);
    assert_eq!(parsed(reply.body())["msg"], json!("wait a bit"));
    assert_eq!(reply.headers()[RETRY_AFTER], "17");
}

#[test]
fn the_shops_own_refusal_reaches_the_client() {
    let refused = |status| {
        let refusal = ShopRefusal { status, code: 40_301, msg: "售罄".to_owned() };
        ENGLISH.refusal(&Error::shop_refused(refusal))
    };
    for status in [400, 401, 403, 404, 429, 451, 499] {
        let reply = refused(status);
        assert_eq!(reply.status(), status);
        let body = json!({"code": 40_301, "msg": "售罄", "error": "shop_refused",
                          "requestId": "r-1"});
        assert_eq!(parsed(reply.body()), body);
        assert_eq!(schema::accepts("error", reply.body()), Some(true));
    }
    for status in [0, 200, 302, 500, 1000] {
        assert_eq!(refused(status).status(), 503, "{status} blames no client");
    }
}

#[test]
fn a_request_id_that_is_no_header_stands_in_the_body_only() {
    let odd = ReplyWriter { request_id: "a\r\nset-cookie: x", ..ENGLISH };
    let reply = odd.refusal(&Error::new(Kind::NotFound));
    assert!(!reply.headers().contains_key(REQUEST_ID));
    assert_eq!(parsed(reply.body())["requestId"], json!("a\r\nset-cookie: x"));
}

#[test]
fn english_is_spoken_where_it_is_preferred() {
    let cases = [
        (None, Language::Chinese),
        (Some(""), Language::Chinese),
        (Some("en"), Language::English),
        (Some("EN-us, zh;q=0.9"), Language::English),
        (Some("en-US,en;q=0.9"), Language::English),
        (Some("zh-CN,zh;q=0.9,en;q=0.8"), Language::Chinese),
        (Some("zh;q=0.5, en;q=0.8"), Language::English),
        (Some("zh, en"), Language::Chinese),
        (Some("en, zh"), Language::English),
        (Some("en;q=0"), Language::Chinese),
        (Some("en;q=0.5, *;q=0.9"), Language::Chinese),
        (Some("fr, de;q=0.5"), Language::Chinese),
        (Some("fr, en;q=0.5"), Language::English),
        (Some("en;q=1.0, zh;q=0.999"), Language::English),
        (Some("en;q=abc, zh;q=0.001"), Language::Chinese),
        (Some("en;q=0.8888888, zh;q=0.1"), Language::Chinese),
        (Some(",;,=;q,-"), Language::Chinese),
    ];
    for (value, language) in cases {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(ACCEPT_LANGUAGE, value.parse().unwrap());
        }
        assert_eq!(Language::preferred(&headers), language, "{value:?}");
    }
}

#[test]
fn what_a_client_pays_with_is_answered_to_the_letter() {
    let order_info = serde_json::value::to_raw_value(&json!({"codeUrl": "weixin://x"})).unwrap();
    let out_trade_no = OutTradeNo::parse("2107151010101541001").unwrap();
    let created = CreatedPayment {
        order_info: &order_info,
        out_trade_no: &out_trade_no,
        provider: ProviderId::Wxpay,
        pay_type: PayType::WxpayH5,
        need_qrcode: true,
        qrcode_image: Some("data:image/png;base64,AA=="),
        total_fee: Fen::new(100).unwrap(),
        platform: Platform::App,
        replayed: false,
    };
    let reply = ENGLISH.created(&created);
    assert_eq!(reply.status(), 200);
    assert_eq!(
        reply.body(),
        concat!(
            r#"{"code":0,"msg":"ok","orderInfo":{"codeUrl":"weixin://x"},"#,
            r#""out_trade_no":"2107151010101541001","provider":"wxpay","pay_type":"wxpay_h5","#,
            r#""needQRcode":true,"qrcodeImage":"data:image/png;base64,AA==","total_fee":100,"#,
            r#""platform":"app-plus","requestId":"r-1"}"#,
        )
    );
    assert_eq!(schema::accepts("create-payment-reply", reply.body()), Some(true));
    assert!(!reply.headers().contains_key(IDEMPOTENT_REPLAYED));

    let again = ReplyWriter { mock: true, ..ENGLISH }.created(&CreatedPayment {
        replayed: true,
        qrcode_image: None,
        ..created
    });
    assert_eq!(again.headers()[IDEMPOTENT_REPLAYED], "true");
    assert_eq!(again.headers()[PAYGATE_MODE], "mock");
    assert_eq!(parsed(again.body()).get("qrcodeImage"), None);
}

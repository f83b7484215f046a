//! What comes back: which answers are believed, and what they mean.

use paygate::domain::{Material, PayType, TransactionId};
use paygate::provider::{CloseOutcome, Failure, Provider, TradeState};

use super::*;

/// How `open` reads `answer` for `pay_type`.
async fn opened(pay_type: PayType, answer: TransportResult) -> Result<Material, Failure> {
    let v3 = v3();
    let transport = ScriptedTransport::always(answer);
    let result = v3.open(&Scene::of(pay_type).attempt(&v3), transport.call()).await;
    assert_eq!(transport.seen().len(), 1, "sent once");
    result
}

#[tokio::test]
async fn each_product_hands_out_its_material() {
    let prepay = Material::Prepay { prepay_id: "wx1".to_owned() };
    let rows = [
        (PayType::WxpayMpWeixin, r#"{"prepay_id":"wx1"}"#, prepay.clone()),
        (PayType::WxpayH5Weixin, r#"{"prepay_id":"wx1","new":[1e999]}"#, prepay.clone()),
        (PayType::WxpayAppPlus, " {\"prepay_id\" : \"wx1\"}\n", prepay),
        (
            PayType::WxpayH5,
            r#"{"code_url":"weixin://wxpay/bizpayurl/up?pr=1"}"#,
            Material::QrCode { code_url: "weixin://wxpay/bizpayurl/up?pr=1".into(), msg: None },
        ),
        (
            PayType::WxpayMweb,
            r#"{"h5_url":"https://wx.tenpay.com/x?a=1\u0026b=2"}"#,
            Material::H5 { h5_url: "https://wx.tenpay.com/x?a=1&b=2".into() },
        ),
    ];
    for (pay_type, body, material) in rows {
        assert_eq!(opened(pay_type, Ok(signed(200, body))).await, Ok(material));
    }
}

#[tokio::test]
async fn a_signed_answer_without_material_leaves_the_outcome_unknown() {
    let long = format!(r#"{{"prepay_id":"{}"}}"#, "x".repeat(513));
    let bodies = [
        "",
        "{}",
        "[]",
        "null",
        r#"{"prepay_id":""}"#,
        r#"{"prepay_id":1}"#,
        r#"{"prepay_id":"a\nb"}"#,
        r#"{"code_url":"weixin://"}"#,
        &long,
    ];
    for body in bodies {
        let result = opened(PayType::WxpayMpWeixin, Ok(signed(200, body))).await;
        assert!(
            matches!(result, Err(Failure::OutcomeUnknown { provider_error: None, .. })),
            "{body}: {result:?}"
        );
    }
    for status in [201, 202, 204] {
        let answer = signed(status, r#"{"prepay_id":"wx1"}"#);
        let result = opened(PayType::WxpayMpWeixin, Ok(answer)).await;
        assert!(matches!(result, Err(Failure::OutcomeUnknown { .. })), "{status}");
    }
}

/// Every way in which a success can turn out to be nobody's.
pub(super) fn unverifiable(status: u16, body: &str) -> Vec<(&'static str, Response<Bytes>)> {
    let good = || signed(status, body);
    let with = |name: &'static str, value: &str| {
        let mut answer = good();
        answer.headers_mut().insert(name, value.parse().unwrap());
        answer
    };
    let without = |name: &str| {
        let mut answer = good();
        answer.headers_mut().remove(name);
        answer
    };
    let at =
        |off_s: i64| signed_by((&WECHAT_KEY, PUBLIC_KEY_ID), NOW.plus(off_s * 1_000), status, body);
    let signature = good().headers()["wechatpay-signature"].to_str().unwrap().to_owned();
    let mut flipped = good();
    let mut bytes = body.as_bytes().to_vec();
    match bytes.first_mut() {
        Some(first) => *first ^= 1,
        None => bytes.push(b' '),
    }
    *flipped.body_mut() = bytes.into();
    let mut spaced = good();
    *spaced.body_mut() = format!("{body} ").into();
    let mut twice = good();
    twice.headers_mut().append("wechatpay-signature", "AAAA".parse().unwrap());
    vec![
        ("a flipped bit in the body", flipped),
        ("a body written anew", spaced),
        ("301 s late", at(-301)),
        ("301 s early", at(301)),
        ("no timestamp", without("wechatpay-timestamp")),
        ("no nonce", without("wechatpay-nonce")),
        ("no signature", without("wechatpay-signature")),
        ("no serial", without("wechatpay-serial")),
        ("two signatures", twice),
        ("another nonce", with("wechatpay-nonce", "x")),
        ("another timestamp", with("wechatpay-timestamp", "1700000001")),
        ("a signed timestamp", with("wechatpay-timestamp", "+1700000000")),
        ("a timestamp that is none", with("wechatpay-timestamp", "now")),
        ("a timestamp beyond the scale", with("wechatpay-timestamp", "9999999999999999999999")),
        ("an unknown key id", with("wechatpay-serial", "PUB_KEY_ID_1")),
        ("an empty serial", with("wechatpay-serial", "")),
        ("a longer serial", with("wechatpay-serial", &format!("{PUBLIC_KEY_ID}0"))),
        ("the merchant's own key", signed_by((&MERCHANT_KEY, PUBLIC_KEY_ID), NOW, status, body)),
        ("a probe", with("wechatpay-signature", &format!("WECHATPAY/SIGNTEST/{signature}"))),
        ("no base64", with("wechatpay-signature", "***")),
        ("a cut signature", with("wechatpay-signature", &signature[..340])),
        ("an empty signature", with("wechatpay-signature", "")),
    ]
}

#[tokio::test]
async fn a_success_that_wechat_pay_did_not_sign_is_an_unknown_outcome() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayMpWeixin).attempt(&v3);
    for (name, answer) in unverifiable(200, r#"{"prepay_id":"wx1"}"#) {
        let transport = ScriptedTransport::always(Ok(answer));
        let failure = v3.open(&attempt, transport.call()).await.unwrap_err();
        assert!(
            matches!(failure, Failure::OutcomeUnknown { provider_error: None, .. }),
            "{name}: {failure:?}"
        );
        assert_eq!(transport.seen().len(), 1, "{name}: nothing else is asked for");
    }
    for (name, answer) in unverifiable(200, &paid().to_string()) {
        let failure =
            v3.query(&attempt, ScriptedTransport::always(Ok(answer)).call()).await.unwrap_err();
        assert!(matches!(failure, Failure::OutcomeUnknown { .. }), "{name}: {failure:?}");
    }
    for (name, answer) in unverifiable(204, "") {
        let failure =
            v3.close(&attempt, ScriptedTransport::always(Ok(answer)).call()).await.unwrap_err();
        assert!(matches!(failure, Failure::OutcomeUnknown { .. }), "{name}: {failure:?}");
    }
}

#[tokio::test]
async fn five_minutes_either_way_are_believed() {
    for off_s in [-300, 0, 300] {
        let body = r#"{"prepay_id":"wx1"}"#;
        let answer = signed_by((&WECHAT_KEY, PUBLIC_KEY_ID), NOW.plus(off_s * 1_000), 200, body);
        assert!(opened(PayType::WxpayMpWeixin, Ok(answer)).await.is_ok(), "{off_s}");
    }
}

#[tokio::test]
async fn a_refusal_is_final_only_when_it_is_about_the_request_itself() {
    let refused = [
        (400, "PARAM_ERROR", "参数错误"),
        (400, "PARAMERROR", "appid 不正确"),
        (400, "INVALID_REQUEST", "此商家的收款功能已被限制"),
        (400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配"),
        (400, "MCH_NOT_EXISTS", "商户号不存在"),
        (401, "SIGN_ERROR", "签名错误"),
        (403, "NO_AUTH", "商户无权限"),
        (403, "NOAUTH", "商户无权限"),
        (403, "RULE_LIMIT", "业务规则限制"),
        (403, "TRADE_ERROR", "交易错误"),
        (403, "ACCOUNT_ERROR", "账号异常"),
        (400, "PARAM_ERROR", "输入源“/body/out_trade_no”映射到字段“商户订单号”规则校验失败"),
        (400, "PARAM_ERROR", "2017 is no year of an order"),
        (500, "OPENID_MISMATCH", "openid和appid不匹配"),
        (400, "OPENID_MISMATCH", "openid和appid不匹配"),
    ];
    for (status, code, message) in refused {
        let result = opened(PayType::WxpayMpWeixin, Ok(refusal(status, code, message))).await;
        let provider_error =
            Failure::Refused { code: code.to_owned(), message: message.to_owned() };
        assert_eq!(result, Err(provider_error));
    }
    let open = [
        (500, "SYSTEM_ERROR", "系统错误"),
        (500, "SYSTEMERROR", "系统错误"),
        (500, "BANK_ERROR", "银行系统异常"),
        (500, "PARAM_ERROR", "not with this status"),
        (502, "SERVICE_UNAVAILABLE", "x"),
        (503, "SERVICE_UNAVAILABLE", "x"),
        (302, "PARAM_ERROR", "a redirect"),
        (400, "SOMETHING_NEW", "x"),
        (500, "ORDER_PAID", "not with this status"),
        (302, "OUT_TRADE_NO_USED", "a redirect"),
    ];
    for (status, code, message) in open {
        let result = opened(PayType::WxpayMpWeixin, Ok(refusal(status, code, message))).await;
        let Err(Failure::OutcomeUnknown { provider_error, .. }) = result else {
            panic!("{code}: {result:?}")
        };
        assert_eq!(provider_error, Some((code.to_owned(), message.to_owned())));
    }
}

#[tokio::test]
async fn too_many_calls_are_reported_as_throttled_of_orders_and_queries() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayMpWeixin).attempt(&v3);
    for (status, code) in [
        (429, "FREQUENCY_LIMITED"),
        (429, "FREQUENCYLIMITED"),
        (429, "RATELIMIT_EXCEEDED"),
        (429, "RATELIMITEXCEEDED"),
        (403, "FREQUENCY_LIMITED"),
        (500, "RATELIMIT_EXCEEDED"),
        (429, "SYSTEM_ERROR"),
        (429, "PARAM_ERROR"),
        (429, ""),
    ] {
        let transport = ScriptedTransport::always(Ok(refusal(status, code, "频率超限")));
        let provider_error =
            Failure::Throttled { code: code.to_owned(), message: "频率超限".to_owned() };
        assert_eq!(v3.open(&attempt, transport.call()).await, Err(provider_error.clone()));
        assert_eq!(v3.query(&attempt, transport.call()).await, Err(provider_error));
        // It is also what an order is answered with whose buyer pays just then.
        let closing = v3.close(&attempt, transport.call()).await;
        assert_eq!(closing, Ok(CloseOutcome::TooEarly), "{status} {code}");
    }
}

#[tokio::test]
async fn closed_already_without_a_confirmation_is_unknown_with_the_providers_error() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayH5).attempt(&v3);
    for asked in [refusal(404, "ORDER_NOT_EXIST", ""), refusal(500, "SYSTEM_ERROR", "")] {
        let transport = ScriptedTransport::new(move |request| {
            let is_close = request.method() == http::Method::POST;
            Ok(if is_close {
                refusal(400, "ORDER_CLOSED", "订单已关闭")
            } else {
                asked.clone()
            })
        });
        let result = v3.close(&attempt, transport.call()).await;
        let Err(Failure::OutcomeUnknown { provider_error, .. }) = result else {
            panic!("{result:?}")
        };
        assert_eq!(provider_error, Some(("ORDER_CLOSED".to_owned(), "订单已关闭".to_owned())));
    }
}

#[tokio::test]
async fn a_number_that_has_a_trade_is_taken_under_each_of_its_codes() {
    for (status, code, message) in [
        (400, "ORDER_PAID", "该订单已支付"),
        (400, "ORDERPAID", "该订单已支付"),
        (400, "ORDER_CLOSED", "订单已关闭"),
        (400, "ORDERCLOSED", "订单已关闭"),
        (403, "OUT_TRADE_NO_USED", "商户订单号重复"),
        (400, "OUT_TRADE_NO_USED", ""),
        (403, "OUTTRADENOUSED", "商户订单号重复"),
        (400, "INVALID_REQUEST", "201 商户订单号重复"),
        (400, "INVALIDREQUEST", "201商户订单号重复"),
        (400, "INVALID_REQUEST", "订单重入，请确认参数值与原请求一致"),
        (400, "INVALID_REQUEST", "该商户订单号已存在"),
        (400, "PARAM_ERROR", "订单重入参数校验失败"),
        (400, "PARAMERROR", "请确认参数值与原请求一致"),
        (400, "INVALID_REQUEST", "Duplicate out_trade_no"),
    ] {
        let result = opened(PayType::WxpayMpWeixin, Ok(refusal(status, code, message))).await;
        let taken = Failure::NumberInUse { code: code.to_owned(), message: message.to_owned() };
        assert_eq!(result, Err(taken));
    }
}

#[tokio::test]
async fn a_signed_answer_to_another_question_is_none() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayMpWeixin).attempt(&v3);
    let prepay = || ScriptedTransport::always(Ok(signed(200, r#"{"prepay_id":"wx1"}"#)));
    let order = || ScriptedTransport::always(Ok(signed(200, &paid().to_string())));
    let done = || ScriptedTransport::always(Ok(signed(204, "")));
    let opened = [order(), done()];
    for transport in &opened {
        let failure = v3.open(&attempt, transport.call()).await.unwrap_err();
        assert!(matches!(failure, Failure::OutcomeUnknown { .. }), "{failure:?}");
    }
    for transport in &[prepay(), done()] {
        let failure = v3.query(&attempt, transport.call()).await.unwrap_err();
        assert!(matches!(failure, Failure::OutcomeUnknown { .. }), "{failure:?}");
    }
    for transport in &[prepay(), order()] {
        let failure = v3.close(&attempt, transport.call()).await.unwrap_err();
        assert!(matches!(failure, Failure::OutcomeUnknown { .. }), "{failure:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_json_leaves_the_outcome_unknown() {
    let deep = "[".repeat(100_000);
    for body in ["", "<html>", "[]", "null", r#"{"code":1}"#, "{\"code\":\"\"}", &deep] {
        for status in [400, 404, 405, 500, 502] {
            let answer = Response::builder().status(status).body(body.to_owned().into()).unwrap();
            let result = opened(PayType::WxpayH5, Ok(answer)).await;
            assert!(
                matches!(result, Err(Failure::OutcomeUnknown { provider_error: None, .. })),
                "{result:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_refusals_message_is_cut_for_the_log() {
    let answer = refusal(400, "X".repeat(100).as_str(), &format!("a\r\nb{}", "长".repeat(999)));
    let result = opened(PayType::WxpayH5, Ok(answer)).await;
    let Err(Failure::OutcomeUnknown { provider_error: Some((code, message)), .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(code.len(), 64);
    assert!(message.starts_with("ab长") && message.chars().count() == 256);
}

#[tokio::test]
async fn the_transport_alone_decides_whether_anything_was_sent() {
    let not_sent = TransportFailure::NotSent("refused".to_owned());
    let result = opened(PayType::WxpayH5, Err(not_sent)).await;
    assert_eq!(result, Err(Failure::NotSent("refused".to_owned())));
    let lost = TransportFailure::OutcomeUnknown("reset".to_owned());
    let result = opened(PayType::WxpayH5, Err(lost)).await;
    assert_eq!(
        result,
        Err(Failure::OutcomeUnknown { reason: "reset".to_owned(), provider_error: None })
    );
}

/// A paid order, as a query and a notification tell it.
pub(super) fn paid() -> serde_json::Value {
    serde_json::json!({
        "appid": "wxmini", "mchid": "1900000001", "out_trade_no": NUMBER,
        "transaction_id": "4200001", "trade_type": "JSAPI", "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功", "success_time": "2023-11-15T06:14:00+08:00",
        "payer": { "openid": "oUpF8" },
        "amount": { "total": 100, "payer_total": 90, "currency": "CNY", "payer_currency": "CNY" },
    })
}

/// How a query's signed answer about an order of `scene` is read.
async fn queried(scene: &Scene, body: &serde_json::Value) -> Result<TradeState, Failure> {
    let v3 = v3();
    let transport = ScriptedTransport::always(Ok(signed(200, &body.to_string())));
    v3.query(&scene.attempt(&v3), transport.call()).await
}

#[tokio::test]
async fn a_paid_order_has_its_full_price() {
    for state in ["SUCCESS", "REFUND"] {
        let mut body = paid();
        body["trade_state"] = state.into();
        let trade = queried(&Scene::of(PayType::WxpayMpWeixin), &body).await.unwrap();
        let TradeState::Paid(paid) = trade else { panic!("{state}: {trade:?}") };
        assert_eq!(paid.transaction_id, TransactionId("4200001".into()));
        assert_eq!(Some(paid.total_fee), Fen::new(100), "not what coupons left of it");
        assert!(paid.matches_order);
        assert_eq!(paid.paid_at, Some(NOW.plus(40_000)));
        assert_eq!(paid.openid.as_deref(), Some("oUpF8"));
        assert_eq!(*paid.message, body);
    }
}

#[tokio::test]
async fn a_trade_state_means_one_thing() {
    let unpaid = |state: &str| Ok(TradeState::Unpaid { trade_state: state.to_owned() });
    for state in ["NOTPAY", "USERPAYING", "PAYERROR"] {
        assert_eq!(state_of(state).await, unpaid(state));
    }
    assert_eq!(state_of("CLOSED").await, Ok(TradeState::Closed));
    for state in ["REVOKED", "", "success", "SOMETHING_NEW"] {
        assert!(matches!(state_of(state).await, Err(Failure::OutcomeUnknown { .. })), "{state}");
    }
}

/// An order without a payment, in `state`.
async fn state_of(state: &str) -> Result<TradeState, Failure> {
    let body = serde_json::json!({
        "appid": "wxmini", "mchid": "1900000001", "out_trade_no": NUMBER, "trade_state": state,
        "amount": { "total": 100 }, "promotion_detail": [],
    });
    queried(&Scene::of(PayType::WxpayMpWeixin), &body).await
}

#[tokio::test]
async fn an_answer_about_another_order_is_none() {
    let changes: [(&str, serde_json::Value); 12] = [
        ("/mchid", "1900000002".into()),
        ("/mchid", ().into()),
        ("/out_trade_no", "2107151010101541002".into()),
        ("/out_trade_no", NUMBER.to_lowercase().replace('7', "７").into()),
        ("/sub_mchid", "1900000109".into()),
        ("/transaction_id", ().into()),
        ("/transaction_id", "".into()),
        ("/amount", ().into()),
        ("/amount/total", ().into()),
        ("/amount/total", (-1).into()),
        ("/amount/total", 1.5.into()),
        ("/amount/total", 10_000_000_001_u64.into()),
    ];
    for (at, value) in changes {
        let mut body = paid();
        match body.pointer_mut(at) {
            Some(place) => *place = value.clone(),
            None => body[&at[1..]] = value.clone(),
        }
        let result = queried(&Scene::of(PayType::WxpayMpWeixin), &body).await;
        assert!(matches!(result, Err(Failure::OutcomeUnknown { .. })), "{at} {value}: {result:?}");
    }
}

/// The merchant's order of this number is told whichever app it was opened with, and in whatever
/// currency: a payment of it does not fit.
async fn check_misfit(scene: &Scene, good: &serde_json::Value, at: &str, value: &str) {
    let mut body = good.clone();
    match body.pointer_mut(at) {
        Some(place) => *place = value.into(),
        None => body[&at[1..]] = value.into(),
    }
    for state in ["SUCCESS", "REFUND"] {
        body["trade_state"] = state.into();
        let Ok(TradeState::Paid(paid)) = queried(scene, &body).await else {
            panic!("{at}: {state}")
        };
        assert!(!paid.matches_order, "{at}: {state}");
    }
    body["trade_state"] = "NOTPAY".into();
    let unpaid = TradeState::Unpaid { trade_state: "NOTPAY".to_owned() };
    assert_eq!(queried(scene, &body).await, Ok(unpaid), "{at}");
    body["trade_state"] = "CLOSED".into();
    assert_eq!(queried(scene, &body).await, Ok(TradeState::Closed), "{at}");
}

#[tokio::test]
async fn a_payment_by_another_app_or_in_another_currency_does_not_match_the_order() {
    let scene = Scene::of(PayType::WxpayMpWeixin);
    for (at, value) in [("/appid", "wxother"), ("/appid", ""), ("/amount/currency", "USD")] {
        check_misfit(&scene, &paid(), at, value).await;
    }
    let mut unnamed = paid();
    unnamed.as_object_mut().unwrap().remove("appid");
    let Ok(TradeState::Paid(paid)) = queried(&scene, &unnamed).await else { panic!("paid") };
    assert!(!paid.matches_order, "an order of no app");
}

#[tokio::test]
async fn a_partners_order_is_compared_with_all_its_parties() {
    let mut scene = Scene::of(PayType::WxpayMpWeixin);
    scene.terms.sub_mchid = Some("1900000109".to_owned());
    scene.terms.sub_appid = Some("wxsub".to_owned());
    let good = serde_json::json!({
        "sp_appid": "wxmini", "sp_mchid": "1900000001", "sub_appid": "wxsub",
        "sub_mchid": "1900000109", "out_trade_no": NUMBER, "trade_state": "SUCCESS",
        "transaction_id": "42", "amount": { "total": 1 },
        "payer": { "sp_openid": "sp", "sub_openid": "sub" },
    });
    let Ok(TradeState::Paid(paid)) = queried(&scene, &good).await else { panic!("paid") };
    assert_eq!(paid.openid.as_deref(), Some("sub"));
    assert!(paid.matches_order);
    for at in ["/sp_appid", "/sub_appid"] {
        check_misfit(&scene, &good, at, "x").await;
    }
    for key in ["sp_mchid", "sub_mchid", "out_trade_no"] {
        let mut body = good.clone();
        body[key] = "x".into();
        let result = queried(&scene, &body).await;
        assert!(matches!(result, Err(Failure::OutcomeUnknown { .. })), "{key}: {result:?}");
    }
    let result = queried(&Scene::of(PayType::WxpayMpWeixin), &good).await;
    assert!(
        matches!(result, Err(Failure::OutcomeUnknown { .. })),
        "not an order of the merchant's own"
    );
}

#[tokio::test]
async fn only_order_not_exist_is_absence() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayH5).attempt(&v3);
    for code in ["ORDER_NOT_EXIST", "ORDERNOTEXIST"] {
        let transport = ScriptedTransport::always(Ok(refusal(404, code, "订单不存在")));
        assert_eq!(
            v3.query(&attempt, transport.call()).await,
            Ok(TradeState::NotFound { date: None })
        );
        assert_eq!(v3.close(&attempt, transport.call()).await, Ok(CloseOutcome::NotFound));
    }
    for (status, code) in [
        (404, ""),
        (404, "RESOURCE_NOT_EXISTS"),
        (400, "ORDER_NOT_EXIST"),
        (401, "SIGN_ERROR"),
        (500, "ORDER_NOT_EXIST"),
        (500, "SYSTEM_ERROR"),
    ] {
        let transport = ScriptedTransport::always(Ok(refusal(status, code, "")));
        let result = v3.query(&attempt, transport.call()).await;
        assert!(
            matches!(result, Err(Failure::OutcomeUnknown { .. })),
            "{status} {code}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_close_is_done_when_wechat_pay_signed_it() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayH5).attempt(&v3);
    let rows = [
        (signed(204, ""), Some(CloseOutcome::Closed)),
        (signed(200, "{}"), None),
        (refusal(400, "ORDER_PAID", ""), Some(CloseOutcome::Paid)),
        (refusal(400, "ORDERPAID", ""), Some(CloseOutcome::Paid)),
        (refusal(429, "FREQUENCY_LIMITED", "正在支付"), Some(CloseOutcome::TooEarly)),
        (refusal(429, "", ""), Some(CloseOutcome::TooEarly)),
        (refusal(403, "TRADE_ERROR", ""), Some(CloseOutcome::TooEarly)),
        (refusal(403, "TRADEERROR", ""), Some(CloseOutcome::TooEarly)),
        (refusal(429, "RATELIMIT_EXCEEDED", ""), Some(CloseOutcome::TooEarly)),
        (refusal(404, "ORDER_NOT_EXIST", ""), Some(CloseOutcome::NotFound)),
        (refusal(400, "USERPAYING", ""), Some(CloseOutcome::TooEarly)),
        (refusal(400, "PARAM_ERROR", ""), None),
        (refusal(401, "SIGN_ERROR", ""), None),
        (refusal(500, "SYSTEM_ERROR", ""), None),
        (refusal(502, "", ""), None),
        (refusal(403, "NO_AUTH", ""), None),
        (refusal(404, "", ""), None),
    ];
    for (answer, closing) in rows {
        let transport = ScriptedTransport::always(Ok(answer.clone()));
        let result = v3.close(&attempt, transport.call()).await;
        match closing {
            Some(closing) => assert_eq!(result, Ok(closing)),
            None => assert!(matches!(result, Err(Failure::OutcomeUnknown { .. })), "{answer:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_and_the_query_that_confirms_it_share_the_time_of_one_call() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayH5).attempt(&v3);
    let closed = refusal(400, "ORDER_CLOSED", "");
    let delay = Duration::from_secs(3);
    let transport = ScriptedTransport { delay, ..ScriptedTransport::always(Ok(closed)) };
    v3.close(&attempt, transport.call()).await.unwrap_err();
    assert_eq!(*transport.timeouts.lock().unwrap(), [8, 5].map(Duration::from_secs));
}

#[tokio::test]
async fn an_unsigned_closed_already_is_confirmed_by_a_query() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayH5).attempt(&v3);
    let query_response = |state: &str| {
        let mut body = paid();
        body["appid"] = "wxqr".into();
        body["trade_state"] = state.into();
        signed(200, &body.to_string())
    };
    let rows = [
        (query_response("CLOSED"), Some(CloseOutcome::Closed)),
        (query_response("SUCCESS"), Some(CloseOutcome::Paid)),
        (query_response("NOTPAY"), None),
        (refusal(404, "ORDER_NOT_EXIST", ""), None),
        (refusal(500, "SYSTEM_ERROR", ""), None),
    ];
    let each_code = |row: (_, _)| [("ORDER_CLOSED", row.clone()), ("ORDERCLOSED", row)];
    for (code, (answer, closing)) in rows.into_iter().flat_map(each_code) {
        let transport = ScriptedTransport::new(move |request| {
            let is_close = request.method() == http::Method::POST;
            Ok(if is_close { refusal(400, code, "") } else { answer.clone() })
        });
        let result = v3.close(&attempt, transport.call()).await;
        assert_eq!(result.clone().ok(), closing);
        assert!(closing.is_some() || matches!(result, Err(Failure::OutcomeUnknown { .. })));
        assert_eq!(transport.seen().len(), 2);
    }
}

//! The simulated WeChat Pay: its rules, its signatures, its clocks.

use super::*;

#[tokio::test]
async fn wxpay_takes_an_order_of_every_product_and_signs_its_answer() {
    let merchant = Merchant::new();
    let mut app = native();
    app["appid"] = json!(keys::WXPAY_APP_APP_PLUS);
    let orders = [
        ("jsapi", jsapi(), "prepay_id"),
        ("app", app, "prepay_id"),
        ("native", native(), "code_url"),
        ("h5", h5(), "h5_url"),
    ];
    for (product, mut body, material) in orders {
        body["out_trade_no"] = json!(format!("number-{product}"));
        let (status, reply) = merchant.order(product, &body).await;
        assert_eq!(status, 200, "{product}: {reply}");
        assert!(reply[material].is_string(), "{product}: {reply}");
    }
    assert_eq!(merchant.providers.orders().len(), 4);
    assert_eq!(merchant.providers.calls("wxpay.create"), 4);
}

#[tokio::test]
async fn a_partner_orders_asks_and_closes_for_its_sub_merchant() {
    let merchant = Merchant::new();
    let body = json!({
        "sp_appid": keys::WXPAY_APP_MP_WEIXIN,
        "sp_mchid": keys::MCH_ID,
        "sub_mchid": "1900000999",
        "description": "tea",
        "out_trade_no": NO,
        "notify_url": "https://shop.example.com/notify",
        "amount": { "total": 1 },
        "payer": { "sp_openid": "oBuyer" },
    });
    let base = "/v3/pay/partner/transactions";
    let (status, _) = merchant.wxpay("POST", &format!("{base}/jsapi"), &body.to_string()).await;
    assert_eq!(status, 200);
    let query = format!("{base}/out-trade-no/{NO}?sp_mchid={}&sub_mchid=1900000999", keys::MCH_ID);
    let (_, answer) = merchant.wxpay("GET", &query, "").await;
    assert_eq!(
        (&answer["trade_state"], &answer["sub_mchid"]),
        (&json!("NOTPAY"), &json!("1900000999"))
    );
    assert_eq!(merchant.ask(NO).await.0, 404, "the number is the sub-merchant's");
    let body = json!({ "sp_mchid": keys::MCH_ID, "sub_mchid": "1900000999" }).to_string();
    let close = format!("{base}/out-trade-no/{NO}/close");
    assert_eq!(merchant.wxpay("POST", &close, &body).await.0, 204);
}

#[tokio::test]
async fn wxpay_refuses_what_is_not_signed_rightly_and_leaves_no_trace() {
    let merchant = Merchant::new();
    let path = format!("{ORDERS}/jsapi");
    let body = jsapi().to_string();
    let at = |ms| wxpay_request(merchant.clock.now().plus(ms), "POST", &path, &body);
    let with = |from: &str, to: &str| {
        let mut request = at(0);
        let header = request.headers()["authorization"].to_str().unwrap().replace(from, to);
        request.headers_mut().insert("authorization", header.parse().unwrap());
        request
    };
    let mut altered_body = at(0);
    *altered_body.body_mut() = Bytes::from(body.replace("\"total\":1", "\"total\":2"));
    let mut altered_path = at(0);
    *altered_path.uri_mut() = format!("{path}?x=1").parse().unwrap();
    let mut unsigned = at(0);
    unsigned.headers_mut().remove("authorization");
    let refused = [
        ("301 s late", at(301 * SECOND_MS)),
        ("301 s early", at(-301 * SECOND_MS)),
        ("altered body", altered_body),
        ("altered query", altered_path),
        ("no signature", unsigned),
        ("another merchant", with(keys::MCH_ID, "1900000110")),
        ("another serial", with(keys::MERCHANT_SERIAL_NO, keys::WXPAY_PLATFORM_SERIAL_NO)),
        ("another nonce", with("nonce_str=\"nonce\"", "nonce_str=\"other\"")),
        ("spaces after commas", with(",", ", ")),
        ("a probe", with("signature=\"", "signature=\"WECHATPAY/SIGNTEST/")),
    ];
    for (what, request) in refused {
        let response = merchant.send(request).await;
        assert_eq!(response.status(), 401, "{what}");
        assert_eq!(json_of(&response)["code"], "SIGN_ERROR", "{what}");
        assert!(!response.headers().contains_key("wechatpay-signature"), "{what}");
    }
    assert!(merchant.providers.orders().is_empty());
    for ms in [-300 * SECOND_MS, 300 * SECOND_MS] {
        assert_eq!(merchant.send(at(ms)).await.status(), 200, "{ms} ms is near enough");
    }
}

#[tokio::test]
async fn wxpay_refuses_fields_that_break_its_rules() {
    let merchant = Merchant::new();
    let long = "字".repeat(43);
    let cases = [
        ("/amount/total", json!("1")),
        ("/amount/total", json!(1.0)),
        ("/amount/total", json!(0)),
        ("/amount/total", json!(-1)),
        ("/amount/total", json!(100_000_000_000_u64)),
        ("/amount/currency", json!("USD")),
        ("/amount", json!(1)),
        ("/description", json!(long)),
        ("/description", json!("")),
        ("/description", json!("tea 🍵")),
        ("/out_trade_no", json!(2_107_151_010)),
        ("/out_trade_no", json!("12345")),
        ("/out_trade_no", json!("a/b/c/d")),
        ("/out_trade_no", json!("x".repeat(33))),
        ("/mchid", json!("1900000110")),
        ("/notify_url", json!("https://shop.example.com/notify?a=1")),
        ("/notify_url", json!("http://shop.example.com/notify")),
        ("/notify_url", json!("notify")),
        ("/time_expire", json!("2018-06-08 10:34:56")),
        ("/payer", json!({})),
        ("/payer/openid", json!("")),
        ("/appid", json!(keys::WXPAY_APP_APP_PLUS)),
        ("/attach", json!("x".repeat(129))),
        ("/attach", Value::Null),
        ("/support_fapiao", json!("true")),
    ];
    for (pointer, value) in cases {
        let mut body = jsapi();
        match body.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => body[&pointer[1..]] = value.clone(),
        }
        let (status, reply) = merchant.order("jsapi", &body).await;
        assert_eq!((status, &reply["code"]), (400, &json!("PARAM_ERROR")), "{pointer} {value}");
    }
    for (product, body) in [("h5", native()), ("jsapi", native())] {
        assert_eq!(merchant.order(product, &body).await.0, 400, "{product}");
    }
    let mut body = jsapi();
    body["appid"] = json!("wxunknown");
    assert_eq!(merchant.order("jsapi", &body).await.1["code"], "APPID_MCHID_NOT_MATCH");
    for text in ["", "{", "[]", "null", "\u{feff}{}", &"[".repeat(100_000)] {
        let (status, _) = merchant.wxpay("POST", &format!("{ORDERS}/jsapi"), text).await;
        assert_eq!(status, 400);
    }
    assert!(merchant.providers.orders().is_empty());
}

#[tokio::test]
async fn the_same_wxpay_number_must_ask_for_the_same() {
    let merchant = Merchant::new();
    let (_, first) = merchant.order("jsapi", &jsapi()).await;
    let (status, again) = merchant.order("jsapi", &jsapi()).await;
    assert_eq!(status, 200);
    assert_ne!(first["prepay_id"], again["prepay_id"], "the newest is handed out");
    let orders = merchant.providers.orders();
    assert_eq!((orders.len(), orders[0].create_calls), (1, 2));

    let mut other = jsapi();
    other["amount"]["total"] = json!(2);
    let (status, reply) = merchant.order("jsapi", &other).await;
    assert_eq!((status, &reply["code"]), (403, &json!("OUT_TRADE_NO_USED")));
    let (status, reply) = merchant.order("native", &native()).await;
    assert_eq!((status, &reply["code"]), (400, &json!("INVALID_REQUEST")));

    let with = PayWith::PrepayId(first["prepay_id"].as_str().unwrap().to_owned());
    assert_eq!(merchant.pay(ProviderId::Wxpay, with), Ok(State::Paid));
    assert_eq!(merchant.order("jsapi", &jsapi()).await.1["code"], "ORDER_PAID");
    assert_eq!(merchant.close(NO).await.1["code"], "ORDER_PAID");
    let again = merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned()));
    assert_eq!(again, Err("ORDER_PAID".to_owned()), "one number is paid once");
}

#[tokio::test]
async fn a_wxpay_query_tells_the_state_and_a_close_is_final() {
    let merchant = Merchant::new();
    assert_eq!(merchant.ask(NO).await.1["code"], "ORDER_NOT_EXIST");
    assert_eq!(merchant.close(NO).await.1["code"], "ORDER_NOT_EXIST");
    merchant.order("native", &native()).await;
    let (_, answer) = merchant.ask(NO).await;
    assert_eq!(answer["trade_state"], "NOTPAY");
    assert!(answer.get("amount").is_none() && answer.get("transaction_id").is_none());
    assert_eq!(merchant.close(NO).await, (204, Value::Null));
    assert_eq!(merchant.close(NO).await.0, 204, "it can be closed again");
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "CLOSED");
    assert_eq!(merchant.order("native", &native()).await.1["code"], "ORDER_CLOSED");
    let paid = merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned()));
    assert_eq!(paid, Err("ORDER_CLOSED".to_owned()));

    let mut second = native();
    second["out_trade_no"] = json!("second-number");
    let (_, reply) = merchant.order("native", &second).await;
    let with = PayWith::CodeUrl(reply["code_url"].as_str().unwrap().to_owned());
    assert_eq!(merchant.pay(ProviderId::Wxpay, with), Ok(State::Paid));
    let (_, answer) = merchant.ask("second-number").await;
    assert_eq!(
        (&answer["trade_state"], &answer["trade_type"]),
        (&json!("SUCCESS"), &json!("NATIVE"))
    );
    assert_eq!((&answer["amount"]["total"], &answer["mchid"]), (&json!(1), &json!(keys::MCH_ID)));
    let id = answer["transaction_id"].as_str().unwrap();
    let path = format!("{ORDERS}/id/{id}?mchid={}", keys::MCH_ID);
    assert_eq!(merchant.wxpay("GET", &path, "").await.1["out_trade_no"], "second-number");
    let unknown = merchant.wxpay("GET", &format!("{ORDERS}/out-trade-no/{NO}"), "").await;
    assert_eq!(unknown.0, 400, "a query names its merchant");
}

#[tokio::test]
async fn wxpay_material_and_orders_grow_old() {
    let merchant = Merchant::new();
    let mut body = h5();
    body["time_expire"] = json!(merchant.clock.now().plus(HOUR_MS).to_rfc3339_beijing());
    let (_, reply) = merchant.order("h5", &body).await;
    let h5_url = reply["h5_url"].as_str().unwrap().to_owned();
    let redirected = format!("{h5_url}&redirect_url=https%3A%2F%2Fshop.example.com");
    merchant.providers.advance_ms(5 * MINUTE_MS);
    let paid = merchant.pay(ProviderId::Wxpay, PayWith::H5Url(redirected));
    assert_eq!(paid, Err("CODE_EXPIRED".to_owned()), "an h5_url works for five minutes");
    assert_eq!(merchant.order("h5", &body).await.0, 200, "the order itself goes on");
    merchant.providers.advance_ms(HOUR_MS);
    let paid = merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned()));
    assert_eq!(paid, Err("ORDER_EXPIRED".to_owned()));
    assert_eq!(merchant.order("h5", &body).await.1["code"], "INVALID_REQUEST");
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "NOTPAY", "expired is not closed");
    merchant.providers.advance_ms(7 * DAY_MS);
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "CLOSED");

    body["out_trade_no"] = json!("in-the-past");
    let now = merchant.providers.orders()[0].created;
    body["time_expire"] = json!(now.to_rfc3339_beijing());
    assert_eq!(merchant.order("h5", &body).await.0, 200, "raised to one minute");
}

#[tokio::test]
async fn only_the_buyer_that_the_order_names_may_pay_it() {
    let merchant = Merchant::new();
    merchant.order("jsapi", &jsapi()).await;
    let with = PayWith::OutTradeNo(NO.to_owned());
    let purchase =
        SimulatedPurchase { provider: ProviderId::Wxpay, with, payer: Some("oOther".to_owned()) };
    assert_eq!(merchant.providers.pay(&purchase).unwrap_err().code, "OPENID_MISMATCH");
    let purchase = SimulatedPurchase { payer: Some("oBuyer".to_owned()), ..purchase };
    assert_eq!(merchant.providers.pay(&purchase).unwrap().payments[0].payer, "oBuyer");
}

#[tokio::test]
async fn wxpay_hands_out_the_certificate_that_it_signs_with() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use base64::Engine as _;
    let merchant = Merchant::new();
    let mut request = wxpay_request(merchant.clock.now(), "GET", "/v3/certificates", "");
    request.headers_mut().remove("wechatpay-serial");
    let response = merchant.send(request).await;
    assert!(wxpay_verifies(&response));
    assert_eq!(response.headers()["wechatpay-serial"], keys::WXPAY_PLATFORM_SERIAL_NO);
    let reply = json_of(&response);
    let sealed = &reply["data"][0]["encrypt_certificate"];
    let field = |name: &str| sealed[name].as_str().unwrap();
    let engine = base64::engine::general_purpose::STANDARD;
    let mut text = engine.decode(field("ciphertext")).unwrap();
    let key = UnboundKey::new(&AES_256_GCM, keys::API_V3_KEY.as_bytes()).unwrap();
    let nonce = Nonce::try_assume_unique_for_key(field("nonce").as_bytes()).unwrap();
    let associated = Aad::from(field("associated_data").as_bytes().to_vec());
    let plain = LessSafeKey::new(key).open_in_place(nonce, associated, &mut text).unwrap();
    assert_eq!(plain, keys::WXPAY_PLATFORM_CERT_PEM.as_bytes());

    let mut request = wxpay_request(merchant.clock.now(), "GET", "/v3/certificates", "");
    request.headers_mut().remove("user-agent");
    assert_eq!(merchant.send(request).await.status(), 400);
}

#[tokio::test]
async fn paths_and_methods_that_v3_does_not_have_get_an_empty_answer() {
    let merchant = Merchant::new();
    for (method, path, status) in [
        ("GET", "/v3/pay/transactions/jsapi".to_owned(), 405),
        ("POST", "/v3/pay/transactions/facepay".to_owned(), 404),
        ("POST", "/v3/pay/transactions/out-trade-no//close".to_owned(), 404),
        ("GET", "/v3".to_owned(), 404),
    ] {
        let response = merchant.send(wxpay_request(Millis(0), method, &path, "")).await;
        assert_eq!((response.status().as_u16(), response.body().len()), (status, 0), "{path}");
    }
}

#[tokio::test]
async fn what_a_buyer_is_paying_is_not_closed() {
    let merchant = Merchant::new();
    let (_, reply) = merchant.order("native", &native()).await;
    let with = PayWith::CodeUrl(reply["code_url"].as_str().unwrap().to_owned());
    let purchase = SimulatedPurchase { provider: ProviderId::Wxpay, with, payer: None };
    assert_eq!(merchant.providers.enter_password(&purchase).unwrap().state, State::Unpaid);
    let (status, reply) = merchant.close(NO).await;
    assert_eq!((status, &reply["code"]), (429, &json!("FREQUENCY_LIMITED")));
    assert_eq!(
        merchant.ask(NO).await.1["trade_state"],
        "NOTPAY",
        "the order's state tells nothing"
    );
    merchant.providers.advance_ms(MINUTE_MS);
    assert_eq!(merchant.close(NO).await.0, 204, "the buyer gave up");
    assert_eq!(merchant.providers.enter_password(&purchase).unwrap_err().code, "ORDER_CLOSED");
}

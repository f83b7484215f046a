//! The simulated Alipay: its rules, its signatures, its clocks.

use super::*;

#[tokio::test]
async fn alipay_creates_a_trade_once_and_only_with_the_same_data() {
    let merchant = Merchant::new();
    let (code, first) = merchant.alipay("alipay.trade.create", &trade()).await;
    assert_eq!(code, "", "{first}");
    let (_, again) = merchant.alipay("alipay.trade.create", &trade()).await;
    assert_eq!(first["trade_no"], again["trade_no"]);
    for (name, value, code) in [
        ("total_amount", "0.02", "ACQ.CONTEXT_INCONSISTENT"),
        ("subject", "coffee", "ACQ.CONTEXT_INCONSISTENT"),
        ("buyer_open_id", "buyer-2", "ACQ.TRADE_BUYER_NOT_MATCH"),
    ] {
        let mut other = trade();
        other[name] = json!(value);
        assert_eq!(merchant.alipay("alipay.trade.create", &other).await.0, code);
    }
    let name = json!({ "out_trade_no": NO });
    let (_, answer) = merchant.alipay("alipay.trade.query", &name).await;
    assert_eq!(answer["trade_status"], "WAIT_BUYER_PAY");
    let with = PayWith::TradeNo(first["trade_no"].as_str().unwrap().to_owned());
    assert_eq!(merchant.pay(ProviderId::Alipay, with.clone()), Ok(State::Paid));
    assert_eq!(merchant.pay(ProviderId::Alipay, with), Err("ACQ.TRADE_HAS_SUCCESS".to_owned()));
    let (_, answer) = merchant.alipay("alipay.trade.query", &name).await;
    assert_eq!(answer["trade_status"], "TRADE_SUCCESS");
    assert_eq!(
        (&answer["total_amount"], &answer["buyer_open_id"]),
        (&json!("0.01"), &json!("buyer-1"))
    );
    let closed = merchant.alipay("alipay.trade.close", &name).await;
    assert_eq!(closed.0, "ACQ.REASON_TRADE_STATUS_INVALID");
    let create = merchant.alipay("alipay.trade.create", &trade()).await;
    assert_eq!(create.0, "ACQ.TRADE_HAS_SUCCESS");
}

#[tokio::test]
async fn an_alipay_trade_behind_a_qr_code_exists_when_it_is_scanned() {
    let merchant = Merchant::new();
    let name = json!({ "out_trade_no": NO });
    let (_, first) = merchant.alipay("alipay.trade.precreate", &qr("0.01")).await;
    let (_, second) = merchant.alipay("alipay.trade.precreate", &qr("0.02")).await;
    assert_ne!(first["qr_code"], second["qr_code"], "nobody objects to another amount");
    for method in ["alipay.trade.query", "alipay.trade.close"] {
        assert_eq!(merchant.alipay(method, &name).await.0, "ACQ.TRADE_NOT_EXIST", "{method}");
    }
    let with = PayWith::CodeUrl(first["qr_code"].as_str().unwrap().to_owned());
    let purchase = SimulatedPurchase { provider: ProviderId::Alipay, with, payer: None };
    assert_eq!(merchant.providers.scan(&purchase).unwrap().state, State::Unpaid);
    let (_, answer) = merchant.alipay("alipay.trade.query", &name).await;
    assert_eq!(answer["total_amount"], "0.01", "who scans first fixes the amount");
    let other = PayWith::CodeUrl(second["qr_code"].as_str().unwrap().to_owned());
    assert_eq!(merchant.pay(ProviderId::Alipay, other), Err("ACQ.CONTEXT_INCONSISTENT".to_owned()));
    let (code, _) = merchant.alipay("alipay.trade.precreate", &qr("0.02")).await;
    assert_eq!(code, "ACQ.CONTEXT_INCONSISTENT");
    assert_eq!(merchant.alipay("alipay.trade.close", &name).await.0, "");
    assert_eq!(merchant.providers.pay(&purchase).unwrap_err().code, "ACQ.TRADE_HAS_CLOSE");
    let (_, answer) = merchant.alipay("alipay.trade.query", &name).await;
    assert_eq!(answer["trade_status"], "TRADE_CLOSED");
    let (code, _) = merchant.alipay("alipay.trade.precreate", &qr("0.01")).await;
    assert_eq!(code, "ACQ.TRADE_HAS_CLOSE");
}

#[tokio::test]
async fn an_alipay_order_string_is_checked_when_the_buyer_brings_it() {
    let merchant = Merchant::new();
    let good = order_string(&merchant, "0.01");
    let pay = |text: &str| merchant.pay(ProviderId::Alipay, PayWith::OrderString(text.to_owned()));
    let forged = good.replace("0.01", "0.99");
    assert_eq!(pay(&forged), Err("isv.invalid-signature".to_owned()));
    assert_eq!(pay(""), Err("isv.missing-method".to_owned()));
    let query = json!({ "out_trade_no": NO });
    assert_eq!(merchant.alipay("alipay.trade.query", &query).await.0, "ACQ.TRADE_NOT_EXIST");
    assert_eq!(pay(&good), Ok(State::Paid));
    assert_eq!(pay(&good), Err("ACQ.TRADE_HAS_SUCCESS".to_owned()));
    assert_eq!(merchant.providers.orders()[0].terms.amount.fen(), 1);
}

#[tokio::test]
async fn alipay_closes_what_was_not_paid_in_time() {
    let merchant = Merchant::new();
    let mut content = trade();
    content["time_expire"] = json!(merchant.clock.now().plus(HOUR_MS).to_alipay());
    merchant.alipay("alipay.trade.create", &content).await;
    merchant.providers.advance_ms(HOUR_MS);
    let query = json!({ "out_trade_no": NO });
    let (_, answer) = merchant.alipay("alipay.trade.query", &query).await;
    assert_eq!(answer["trade_status"], "TRADE_CLOSED");
    let paid = merchant.pay(ProviderId::Alipay, PayWith::OutTradeNo(NO.to_owned()));
    assert_eq!(paid, Err("ACQ.TRADE_HAS_CLOSE".to_owned()));

    let mut code = qr("0.01");
    code["out_trade_no"] = json!("by_code");
    let (_, reply) = merchant.alipay("alipay.trade.precreate", &code).await;
    merchant.providers.advance_ms(2 * HOUR_MS);
    let with = PayWith::CodeUrl(reply["qr_code"].as_str().unwrap().to_owned());
    assert_eq!(merchant.pay(ProviderId::Alipay, with), Err("CODE_EXPIRED".to_owned()));
}

#[tokio::test]
async fn the_alipay_gateway_refuses_unsigned_what_it_cannot_read() {
    let merchant = Merchant::new();
    let now = merchant.clock.now();
    let cases = [
        ("app_id", "2021009999999999", "isv.invalid-app-id"),
        ("sign_type", "RSA", "isv.invalid-signature-type"),
        ("charset", "GBK", "isv.invalid-charset"),
        ("version", "2.0", "isv.invalid-version"),
        ("timestamp", "2018-06-08T10:34:56Z", "isv.invalid-timestamp"),
        ("biz_content", "[]", "isv.invalid-parameter"),
        ("biz_content", "{", "isv.invalid-parameter"),
        ("app_id", "", "isv.missing-app-id"),
    ];
    for (name, value, code) in cases {
        let mut params = alipay_params(now, "alipay.trade.query", &json!({ "out_trade_no": NO }));
        params.iter_mut().find(|(key, _)| key == name).unwrap().1 = value.to_owned();
        params.retain(|(_, value)| !value.is_empty());
        sign_alipay(&mut params);
        let reply = json_of(&merchant.send(alipay_request(&params)).await);
        assert!(reply.get("sign").is_none(), "{name} {value}");
        assert_eq!(reply["alipay_trade_query_response"]["sub_code"], code, "{name} {value}");
    }
    let good = alipay_params(now, "alipay.trade.query", &json!({ "out_trade_no": NO }));
    let mut altered = good.clone();
    altered.iter_mut().find(|(key, _)| key == "notify_url").unwrap().1.push('x');
    let unsigned: Vec<_> = good.iter().filter(|(key, _)| key != "sign").cloned().collect();
    let mut repeated = good.clone();
    repeated.push(good[0].clone());
    for (params, code) in [
        (altered, "isv.invalid-signature"),
        (unsigned, "isv.missing-signature"),
        (repeated, "isv.invalid-parameter"),
    ] {
        let reply = json_of(&merchant.send(alipay_request(&params)).await);
        assert_eq!(reply["alipay_trade_query_response"]["sub_code"], code);
    }
    let empty = merchant.send(Request::post("/gateway.do").body(Bytes::new()).unwrap()).await;
    assert_eq!(json_of(&empty)["error_response"]["sub_code"], "isv.missing-method");
}

#[tokio::test]
async fn alipay_refuses_content_that_breaks_its_rules() {
    let merchant = Merchant::new();
    let cases = [
        ("out_trade_no", json!("a/b"), "ACQ.INVALID_PARAMETER"),
        ("out_trade_no", json!("x".repeat(65)), "ACQ.INVALID_PARAMETER"),
        ("out_trade_no", json!(1), "ACQ.INVALID_PARAMETER"),
        ("total_amount", json!("0.00"), "ACQ.TOTAL_FEE_EXCEED"),
        ("total_amount", json!("0.001"), "ACQ.TOTAL_FEE_EXCEED"),
        ("total_amount", json!("100000000.01"), "ACQ.TOTAL_FEE_EXCEED"),
        ("total_amount", Value::Null, "ACQ.TOTAL_FEE_EXCEED"),
        ("subject", json!("a&b"), "ACQ.INVALID_PARAMETER"),
        ("subject", json!("x".repeat(257)), "ACQ.INVALID_PARAMETER"),
        ("subject", json!(""), "ACQ.INVALID_PARAMETER"),
        ("body", json!("x".repeat(129)), "ACQ.INVALID_PARAMETER"),
        ("product_code", json!("QUICK_WAP_WAY"), "ACQ.INVALID_PARAMETER"),
        ("op_app_id", json!("2021009999999999"), "ACQ.INVALID_PARAMETER"),
        ("buyer_open_id", json!(""), "ACQ.INVALID_PARAMETER"),
        ("buyer_id", json!("1"), "ACQ.INVALID_PARAMETER"),
        ("buyer_id", json!(keys::ALIPAY_SELLER_ID), "ACQ.BUYER_SELLER_EQUAL"),
        ("timeout_express", json!("16d"), "ACQ.INVALID_PARAMETER"),
        ("time_expire", json!("tomorrow"), "ACQ.INVALID_PARAMETER"),
        ("time_expire", json!("2018-06-08 10:34:56"), "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR"),
    ];
    for (name, value, code) in cases {
        let mut content = trade();
        content[name] = value.clone();
        assert_eq!(
            merchant.alipay("alipay.trade.create", &content).await.0,
            code,
            "{name} {value}"
        );
    }
    assert!(merchant.providers.orders().is_empty());
}

#[tokio::test]
async fn a_signed_alipay_page_leads_to_the_cashier_and_its_address_can_be_paid() {
    let merchant = Merchant::new();
    let content = json!({
        "out_trade_no": NO,
        "total_amount": "0.01",
        "subject": "<b>tea",
        "product_code": "FAST_INSTANT_TRADE_PAY",
    });
    let params = alipay_params(merchant.clock.now(), "alipay.trade.page.pay", &content);
    let address = format!("/gateway.do?{}", form(&params.iter().collect::<Vec<_>>()));
    let show = async |address: &str| {
        let request = Request::get(address).body(Bytes::new()).unwrap();
        merchant.send(request).await
    };
    assert_eq!(show(&address).await.status(), 303);
    let spoiled = show(&address.replace("0.01", "9.99")).await;
    let page = String::from_utf8(spoiled.body().to_vec()).unwrap();
    assert!(spoiled.status() == 400 && page.contains("isv.invalid-signature"), "{page}");
    assert!(merchant.providers.orders().is_empty(), "a page that is shown makes no trade");
    let url = format!("https://mock.example.com{address}");
    assert_eq!(merchant.pay(ProviderId::Alipay, PayWith::PayUrl(url)), Ok(State::Paid));
    assert_eq!(show(&address).await.status(), 303, "the cashier shows that it is paid");
}

#[tokio::test]
async fn a_page_of_another_amount_than_the_opened_trades_is_refused_in_words() {
    let merchant = Merchant::new();
    let content = |amount: &str| {
        json!({ "out_trade_no": NO, "total_amount": amount, "subject": "tea",
            "product_code": "FAST_INSTANT_TRADE_PAY" })
    };
    let query = |amount: &str| {
        let params = alipay_params(merchant.clock.now(), "alipay.trade.page.pay", &content(amount));
        form(&params.iter().collect::<Vec<_>>())
    };
    let with = PayWith::PayUrl(format!("?{}", query("0.01")));
    let purchase = SimulatedPurchase { provider: ProviderId::Alipay, with, payer: None };
    merchant.providers.scan(&purchase).unwrap();
    let other = Request::get(format!("/gateway.do?{}", query("0.02"))).body(Bytes::new()).unwrap();
    let response = merchant.send(other).await;
    let page = String::from_utf8(response.body().to_vec()).unwrap();
    assert_eq!(response.status(), 400);
    assert!(page.contains("ACQ.CONTEXT_INCONSISTENT") && page.contains("another amount"), "{page}");
}

#[tokio::test]
async fn in_certificate_mode_alipay_names_its_certificate() {
    let merchant = Merchant::new();
    let mut params = alipay_params(merchant.clock.now(), "alipay.trade.create", &trade());
    params.push(("app_cert_sn".to_owned(), keys::ALIPAY_APP_CERT_SN.to_owned()));
    params.push(("alipay_root_cert_sn".to_owned(), keys::ALIPAY_ROOT_CERT_SN.to_owned()));
    sign_alipay(&mut params);
    let response = merchant.send(alipay_request(&params)).await;
    assert_eq!(json_of(&response)["alipay_cert_sn"], keys::ALIPAY_PUBLIC_CERT_SN);
    let text = std::str::from_utf8(response.body()).unwrap();
    assert!(alipay_read(text, "alipay.trade.create").1);
    params.retain(|(key, _)| key != "alipay_root_cert_sn");
    sign_alipay(&mut params);
    let reply = json_of(&merchant.send(alipay_request(&params)).await);
    assert_eq!(reply["alipay_trade_create_response"]["sub_code"], "isv.invalid-signature");
}

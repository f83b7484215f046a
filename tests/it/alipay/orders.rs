//! What is stored for each product, and what the client gets.

use paygate::provider::{AttemptRequest, MerchantError, SigningContext};

use super::*;

#[test]
fn every_product_has_its_own_document() {
    let head = concat!(
        r#"{"out_trade_no":"2107151010101541001","total_amount":"0.01","#,
        r#""subject":"测试 a+b","product_code":"#
    );
    let expiry = r#","time_expire":"2021-07-15 10:40:10""#;
    let cases = [
        (Product::AppPay, "QUICK_MSECURITY_PAY", ""),
        (
            Product::Create,
            "JSAPI_PAY",
            r#","op_app_id":"2021001161683774","buyer_id":"2088102146225135""#,
        ),
        (Product::Precreate, "FACE_TO_FACE_PAYMENT", ""),
        (Product::WapPay, "QUICK_WAP_WAY", ""),
        (Product::PagePay, "FAST_INSTANT_TRADE_PAY", ""),
    ];
    for (product, code, rest) in cases {
        let params = plan(app(), product, &terms()).unwrap();
        assert_eq!(params.document, format!(r#"{head}"{code}"{expiry}{rest}}}"#), "{product:?}");
        assert_eq!(params.notify_url, NOTIFY_URL);
        let is_page = matches!(product, Product::WapPay | Product::PagePay);
        assert_eq!(params.return_url.is_some(), is_page, "{product:?}");
        assert_eq!(params, plan(app(), product, &terms()).unwrap(), "the same every time");
    }
}

#[test]
fn amounts_are_yuan_with_two_decimals_and_the_body_is_sent_if_given() {
    for (fen, yuan) in [(10, "0.10"), (100, "1.00"), (10_000_000_000, "100000000.00")] {
        let body = Some("两件".to_owned());
        let terms = OrderTerms { total_fee: Fen::new(fen).unwrap(), body, ..terms() };
        let document = plan(app(), Product::AppPay, &terms).unwrap().document;
        assert!(document.contains(&format!(r#""total_amount":"{yuan}""#)), "{document}");
        assert!(document.contains(r#""body":"两件""#), "{document}");
    }
}

#[test]
fn other_is_sent_to_the_letter_behind_our_own_members() {
    let other =
        "{ \"goods_detail\": [{\"price\":1.0,\"n\":10000000000000000001}],\t\"a\":\"\\u4e2d/}\" }";
    let terms = OrderTerms { other: Some(RawJson::parse(other).unwrap()), ..terms() };
    let document = plan(app(), Product::AppPay, &terms).unwrap().document;
    let tail = r#"10:40:10","goods_detail": [{"price":1.0,"n":10000000000000000001}],"#;
    let tail = format!("{tail}\t\"a\":\"\\u4e2d/}}\"}}");
    assert!(document.ends_with(&tail), "{document}");
    serde_json::from_str::<serde_json::Value>(&document).unwrap();

    let empty = OrderTerms { other: Some(RawJson::parse(" { } ").unwrap()), ..terms };
    let document = plan(app(), Product::AppPay, &empty).unwrap().document;
    assert!(document.ends_with(r#"10:40:10"}"#), "{document}");
}

#[test]
fn other_never_changes_payee_amount_or_payer() {
    let names = ["out_trade_no", "total_amount", "seller_id", "buyer_open_id", "time_expire"];
    let escaped = ["seller\\u005fid", "product_code"];
    for name in names.into_iter().chain(escaped) {
        let other = format!(r#"{{"a":1,"{name}":"x"}}"#);
        let terms = OrderTerms { other: Some(RawJson::parse(&other).unwrap()), ..terms() };
        assert!(plan(app(), Product::AppPay, &terms).is_err(), "{name}");
    }
    let terms = OrderTerms { other: Some(RawJson::parse("[1]").unwrap()), ..terms() };
    assert!(plan(app(), Product::AppPay, &terms).is_err(), "not an object");
}

#[test]
fn a_buyer_is_a_2088_number_or_an_open_id() {
    let cases = [
        ("2088102146225135", Some("buyer_id")),
        ("208810214622513", Some("buyer_open_id")),
        ("20881021462251350", Some("buyer_open_id")),
        ("2087102146225135", Some("buyer_open_id")),
        ("2088１02146225135", Some("buyer_open_id")),
        ("070-dVDyuZXgNTyfmxOVIJd9Q", Some("buyer_open_id")),
    ];
    let terms = terms();
    let no = ChannelNo::first(&terms.out_trade_no);
    for (openid, name) in cases.into_iter().chain([("", None)]) {
        let plan = AttemptRequest {
            terms: &terms,
            pay_type: PayType::AlipayMpAlipay,
            product: Product::Create,
            channel_no: &no,
            openid: name.map(|_| openid),
            client_ip: None,
            user_agent: "",
            expires_at: EXPIRES,
            notify_url: NOTIFY_URL,
            return_url: None,
        };
        let document = gateway(app()).plan(&plan).map(|params| params.document);
        match name {
            Some(name) => {
                let member = format!(r#""{name}":"{openid}"}}"#);
                assert!(document.unwrap().ends_with(&member), "{openid}");
            }
            None => assert!(document.is_err(), "a mini program order names its buyer"),
        }
    }
}

#[test]
fn the_seller_is_named_where_one_is_configured_and_nobody_is_acted_for() {
    let app = AlipayApp { seller_id: Some(SELLER_ID.to_owned()), ..app() };
    let named = |product, terms: &OrderTerms| {
        plan(app.clone(), product, terms).unwrap().document.contains(SELLER_ID)
    };
    let cases = [
        (Product::Create, true),
        (Product::Precreate, true),
        (Product::AppPay, false),
        (Product::WapPay, false),
        (Product::PagePay, false),
    ];
    let on_behalf = OrderTerms { app_auth_token: Some(AppAuthToken(TOKEN.to_owned())), ..terms() };
    for (product, expected) in cases {
        assert_eq!(named(product, &terms()), expected, "{product:?}");
        assert!(!named(product, &on_behalf), "{product:?}");
    }
}

#[test]
fn what_is_not_alipays_or_not_configured_is_not_planned() {
    assert!(plan(app(), Product::Native, &terms()).is_err());
    let terms = terms();
    let no = ChannelNo::first(&terms.out_trade_no);
    let in_mini_programs = BTreeMap::from([(PayType::AlipayMpAlipay, app())]);
    let merchant = AlipayMerchant { apps: in_mini_programs, choice: AlipayChoice::default() };
    let plan = AttemptRequest {
        terms: &terms,
        pay_type: PayType::AlipayAppPlus,
        product: Product::AppPay,
        channel_no: &no,
        openid: None,
        client_ip: None,
        user_agent: "",
        expires_at: EXPIRES,
        notify_url: NOTIFY_URL,
        return_url: None,
    };
    assert!(AlipayGateway::new(merchant).unwrap().plan(&plan).is_err());
}

#[test]
fn a_merchant_that_alipay_does_not_take_is_refused() {
    type Change = fn(&mut AlipayApp);
    let rows: [(Change, MerchantError); 5] = [
        (|app| app.app_id.clear(), MerchantError::AppId(PayType::AlipayH5)),
        (|app| app.app_id = "2021 1".to_owned(), MerchantError::AppId(PayType::AlipayH5)),
        (|app| app.seller_id = Some("1234567890123456".to_owned()), MerchantError::SellerId),
        (|app| app.gateway_url = "http://a.example/".parse().unwrap(), MerchantError::Address),
        (|app| app.gateway_url = "https://a.example/#x".parse().unwrap(), MerchantError::Address),
    ];
    for (change, refused) in rows {
        let mut app = app();
        change(&mut app);
        let apps = BTreeMap::from([(PayType::AlipayH5, app)]);
        let merchant = AlipayMerchant { apps, choice: AlipayChoice::default() };
        assert_eq!(AlipayGateway::new(merchant).unwrap_err(), refused);
    }
    let none = AlipayGateway::new(AlipayMerchant::default());
    assert_eq!(none.unwrap_err(), MerchantError::NoApp);
    let apps = BTreeMap::from([(PayType::WxpayH5, app())]);
    let wxpays = AlipayGateway::new(AlipayMerchant { apps, choice: AlipayChoice::default() });
    assert_eq!(wxpays.unwrap_err(), MerchantError::OtherProvider(PayType::WxpayH5));
}

fn present(app: AlipayApp, product: Product, material: &Material) -> String {
    present_at(app, product, material, NOW)
}

fn present_at(app: AlipayApp, product: Product, material: &Material, now: Millis) -> String {
    let attempt = attempt(app.clone(), product, &terms());
    gateway(app).present(&attempt, SigningContext { material, now, nonce: "unused" }).unwrap()
}

#[test]
fn an_app_gets_the_signed_order_as_one_text() {
    let text = present(app(), Product::AppPay, &Material::Signed);
    let order: String = serde_json::from_str(&text).unwrap();
    let (_, last) = order.rsplit_once('&').unwrap();
    assert!(last.starts_with("biz_content=%7B%22out_trade_no%22%3A"), "{last}");
    let document = plan(app(), Product::AppPay, &terms()).unwrap().document;
    let expected = [
        ("app_id", APP_ID),
        ("biz_content", &document),
        ("charset", "utf-8"),
        ("method", "alipay.trade.app.pay"),
        ("notify_url", NOTIFY_URL),
        ("sign_type", "RSA2"),
        ("timestamp", "2021-07-15 10:10:10"),
        ("version", "1.0"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(verified(parameters(&order)), BTreeMap::from(expected));
}

#[test]
fn a_later_copy_of_the_same_order_differs_in_its_time_only() {
    let order = |now| {
        let text = present_at(app(), Product::AppPay, &Material::Signed, now);
        verified(parameters(&serde_json::from_str::<String>(&text).unwrap()))
    };
    let (mut first, mut later) = (order(NOW), order(NOW.plus(60_000)));
    assert_eq!(first.remove("timestamp").as_deref(), Some("2021-07-15 10:10:10"));
    assert_eq!(later.remove("timestamp").as_deref(), Some("2021-07-15 10:11:10"));
    assert_eq!(first, later);
}

#[test]
fn a_page_is_an_address_that_leads_back_to_the_shop() {
    let cases =
        [(Product::WapPay, "alipay.trade.wap.pay"), (Product::PagePay, "alipay.trade.page.pay")];
    for (product, method) in cases {
        let text = present(app(), product, &Material::Signed);
        let query = text
            .strip_prefix(r#"{"payUrl":"https://gateway.example.com/gateway.do?"#)
            .and_then(|text| text.strip_suffix(r#""}"#))
            .expect("the address and nothing else");
        let sent = verified(parameters(query));
        assert_eq!(sent["method"], method);
        assert_eq!(sent["return_url"], "https://shop.example.com/done?no=1");
    }
}

#[test]
fn a_qr_code_and_a_trade_number_have_vk_uni_pays_shapes() {
    let text = present(app(), Product::Precreate, &qr_code());
    let expected = concat!(
        r#"{"code":"10000","msg":"Success","outTradeNo":"2107151010101541001","#,
        r#""codeUrl":"https://qr.alipay.com/bax"}"#
    );
    assert_eq!(text, expected);
    let material = Material::Trade { trade_no: "2021071522001".to_owned() };
    assert_eq!(present(app(), Product::Create, &material), r#""2021071522001""#);
}

#[test]
fn in_certificate_mode_the_certificates_are_named_and_signed() {
    let text = present(with_certificates(), Product::AppPay, &Material::Signed);
    let order = verified(parameters(&serde_json::from_str::<String>(&text).unwrap()));
    assert_eq!(order["app_cert_sn"], "app-sn");
    assert_eq!(order["alipay_root_cert_sn"], "root-sn_2");
}

#[test]
fn an_attempt_stays_with_the_app_it_was_opened_with() {
    let attempt = attempt(app(), Product::AppPay, &terms());
    let stamp = SigningContext { material: &Material::Signed, now: NOW, nonce: "" };
    let other_app = AlipayApp { app_id: "2021009999999999".to_owned(), ..app() };
    let error = gateway(other_app.clone()).present(&attempt, stamp).unwrap_err();
    assert!(error.contains(APP_ID), "{error}");
    // The app moved to another pay type: it still signs for its attempts.
    let apps = [(PayType::AlipayAppPlus, other_app), (PayType::AlipayH5, app())];
    let merchant = AlipayMerchant { apps: apps.into(), choice: AlipayChoice::default() };
    assert!(AlipayGateway::new(merchant).unwrap().present(&attempt, stamp).is_ok());
    let prepay = Material::Prepay { prepay_id: "wx1".to_owned() };
    let stamp = SigningContext { material: &prepay, ..stamp };
    assert!(gateway(app()).present(&attempt, stamp).is_err(), "not Alipay's");
}

#[test]
fn no_secret_is_ever_printed() {
    let terms = OrderTerms { app_auth_token: Some(AppAuthToken(TOKEN.to_owned())), ..terms() };
    let attempt = attempt(app(), Product::AppPay, &terms);
    let printed = format!("{:?} {attempt:?}", gateway(app()));
    assert!(!printed.contains(TOKEN), "{printed}");
    assert!(printed.contains("SigningKey(***)"), "{printed}");
}

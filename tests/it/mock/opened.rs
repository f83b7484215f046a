//! The cashier's pages: whatever a buyer holds opens its order, and only that one is paid.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Merchant {
    /// What the cashier shows of the order that `text` opens.
    async fn open(&self, text: &str) -> (u16, Value) {
        self.control("GET", &format!("cashier/order?with={}", encoded(text)), "").await
    }

    /// Presses Pay on the page that `text` opens.
    async fn pay_opened(&self, text: &str) -> (u16, Value) {
        let (_, view) = self.open(text).await;
        self.control("POST", "pay", &view["purchase"].to_string()).await
    }

    /// What a person's browser gets at `address`: the status, the `Location`, the page.
    async fn browse(&self, address: &str) -> (u16, String, String) {
        let request = Request::get(address).header("accept", "text/html,*/*;q=0.8");
        let response = self.send(request.body(Bytes::new()).unwrap()).await;
        let location = response.headers().get("location");
        let location = location.map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default();
        let page = String::from_utf8(response.body().to_vec()).unwrap();
        (response.status().as_u16(), location, page)
    }

    fn paid(&self) -> Vec<(ProviderId, String)> {
        let orders = self.providers.orders().into_iter();
        let paid = orders.filter(|order| order.state == State::Paid);
        paid.map(|order| (order.provider, order.out_trade_no)).collect()
    }
}

fn numbered(mut body: Value, number: &str) -> Value {
    body["out_trade_no"] = json!(number);
    body
}

/// A query that the merchant signed, of an order on one of Alipay's pages or in its app.
fn signed(merchant: &Merchant, method: &str, content: &Value, more: &[(&str, &str)]) -> String {
    let mut params = alipay_params(merchant.clock.now(), method, content);
    params.retain(|(key, _)| key != "sign");
    params.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    sign_alipay(&mut params);
    form(&params.iter().collect::<Vec<_>>())
}

fn page_content(number: &str) -> Value {
    json!({
        "out_trade_no": number,
        "total_amount": "0.01",
        "subject": "tea",
        "product_code": "FAST_INSTANT_TRADE_PAY",
    })
}

#[tokio::test]
async fn whatever_a_buyer_holds_opens_its_order_and_pays_only_that_one() {
    let merchant = Merchant::new();
    let text = |reply: &Value, name: &str| reply[name].as_str().unwrap().to_owned();
    let (_, reply) = merchant.order("native", &numbered(native(), "no-native")).await;
    let native_code = text(&reply, "code_url");
    let (_, reply) = merchant.order("jsapi", &numbered(jsapi(), "no-jsapi")).await;
    let prepay_id = text(&reply, "prepay_id");
    let (_, reply) = merchant.order("h5", &numbered(h5(), "no-mobile")).await;
    let h5_url = text(&reply, "h5_url");
    let (_, reply) =
        merchant.alipay("alipay.trade.precreate", &numbered(qr("0.01"), "no-code")).await;
    let qr_code = text(&reply, "qr_code");
    let (_, reply) = merchant.alipay("alipay.trade.create", &numbered(trade(), "no-trade")).await;
    let trade_no = text(&reply, "trade_no");
    let page = signed(&merchant, "alipay.trade.page.pay", &page_content("no-page"), &[]);
    let app = json!({ "out_trade_no": "no-app", "total_amount": "0.01", "subject": "tea" });
    let app = signed(&merchant, "alipay.trade.app.pay", &app, &[]);
    let (wxpay, alipay) = (ProviderId::Wxpay, ProviderId::Alipay);
    let mut paid = Vec::new();
    for (given, provider, number) in [
        (native_code, wxpay, "no-native"),
        (json!({ "package": format!("prepay_id={prepay_id}") }).to_string(), wxpay, "no-jsapi"),
        (format!("{h5_url}&redirect_url=https%3A%2F%2Fshop.example.com"), wxpay, "no-mobile"),
        (format!("{qr_code}?_s=web-other"), alipay, "no-code"),
        (json!({ "code": 0, "orderInfo": trade_no }).to_string(), alipay, "no-trade"),
        (format!("https://mock.example.com/gateway.do?{page}"), alipay, "no-page"),
        (json!({ "orderInfo": app }).to_string(), alipay, "no-app"),
    ] {
        let (status, view) = merchant.open(&given).await;
        let order = &view["order"];
        assert_eq!((status, &order["out_trade_no"]), (200, &json!(number)), "{given}: {view}");
        assert_eq!((&order["yuan"], &order["is_payable"]), (&json!("0.01"), &json!(true)));
        assert_eq!(merchant.paid(), paid, "an opened order is not paid");
        assert_eq!(merchant.pay_opened(&given).await.0, 200, "{given}");
        paid.push((provider, number.to_owned()));
        paid.sort();
        assert_eq!(merchant.paid(), paid);
        let (_, view) = merchant.open(&given).await;
        let order = &view["order"];
        assert_eq!((&order["state"], &order["is_payable"]), (&json!("paid"), &json!(false)));
    }
    let (_, view) = merchant.open("no-native").await;
    assert_eq!(view["codes"][0]["name"], "code_url", "the page lists what the shop gave");
}

#[tokio::test]
async fn a_qr_code_is_paid_for_the_amount_it_was_issued_for() {
    let merchant = Merchant::new();
    let (_, first) = merchant.alipay("alipay.trade.precreate", &qr("0.01")).await;
    merchant.alipay("alipay.trade.precreate", &qr("0.02")).await;
    let first = first["qr_code"].as_str().unwrap();
    assert_eq!(merchant.open(first).await.1["order"]["yuan"], "0.01");
    assert_eq!(merchant.open(NO).await.1["order"]["yuan"], "0.02", "the last code");
    assert_eq!(merchant.pay_opened(first).await.0, 200);
    assert_eq!(merchant.open(NO).await.1["order"]["yuan"], "0.01");
}

#[tokio::test]
async fn a_sub_merchants_order_is_paid_though_another_has_its_number() {
    let merchant = Merchant::new();
    merchant.order("native", &native()).await;
    let mut partner = native();
    for (from, to) in [("appid", "sp_appid"), ("mchid", "sp_mchid")] {
        partner[to] = partner[from].take();
        partner.as_object_mut().unwrap().remove(from);
    }
    partner["sub_mchid"] = json!("1900000200");
    let path = "/v3/pay/partner/transactions/native";
    assert_eq!(merchant.wxpay("POST", path, &partner.to_string()).await.0, 200);
    let (status, view) = merchant.open(NO).await;
    assert_eq!((status, &view["code"]), (404, &json!("SEVERAL_ORDERS")));
    let (_, list) = merchant.control("GET", &format!("cashier?q={NO}"), "").await;
    assert_eq!(list["found"], 2);
    let account = format!("{}/1900000200", keys::MCH_ID);
    let query = format!("provider=wxpay&merchant={}&number={NO}", encoded(&account));
    let (_, view) = merchant.control("GET", &format!("cashier/order?{query}"), "").await;
    let purchase = view["purchase"].to_string();
    assert_eq!(merchant.control("POST", "pay", &purchase).await.0, 200);
    let orders = merchant.providers.orders();
    let paid: Vec<_> = orders.iter().filter(|order| order.state == State::Paid).collect();
    assert_eq!((paid.len(), &paid[0].merchant), (1, &account));
}

#[tokio::test]
async fn an_opened_page_outlives_its_code() {
    let merchant = Merchant::new();
    let (_, reply) = merchant.order("h5", &h5()).await;
    let given =
        format!("{}&redirect_url=https%3A%2F%2Fa.b%2Fdone", reply["h5_url"].as_str().unwrap());
    merchant.providers.advance_ms(5 * MINUTE_MS);
    let (_, view) = merchant.open(&given).await;
    assert_eq!(
        (&view["order"]["is_payable"], &view["has_expired_code"]),
        (&json!(false), &json!(true))
    );
    merchant.order("h5", &h5()).await;
    assert_eq!(merchant.open(&given).await.0, 404, "the provider has dropped the old code");
    let named = format!("&provider=wxpay&merchant={}&number={NO}", keys::MCH_ID);
    let path = format!("cashier/order?with={}{named}", encoded(&given));
    let (status, view) = merchant.control("GET", &path, "").await;
    assert_eq!((status, &view["order"]["out_trade_no"]), (200, &json!(NO)));
    assert_eq!(
        (&view["leave_url"], &view["order"]["is_payable"]),
        (&json!("https://a.b/done"), &json!(false))
    );
}

#[tokio::test]
async fn the_links_of_the_providers_lead_to_the_cashier_where_the_merchant_reached_it() {
    let merchant = Merchant::new();
    let path = format!("{ORDERS}/h5");
    let mut request = wxpay_request(merchant.clock.now(), "POST", &path, &h5().to_string());
    request.headers_mut().insert("host", "pay.localhost:8789".parse().unwrap());
    let reply = json_of(&merchant.send(request).await);
    let h5_url = reply["h5_url"].as_str().unwrap().to_owned();
    let address = "http://pay.localhost:8789/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx";
    assert!(h5_url.starts_with(address), "{h5_url}");
    let params = alipay_params(merchant.clock.now(), "alipay.trade.precreate", &qr("0.01"));
    let mut request = alipay_request(&params);
    request.headers_mut().insert("host", "pay.localhost:8789".parse().unwrap());
    let reply = json_of(&merchant.send(request).await);
    let qr_code = reply["alipay_trade_precreate_response"]["qr_code"].as_str().unwrap().to_owned();
    assert!(qr_code.starts_with("http://pay.localhost:8789/bax"), "{qr_code}");
    let page = signed(&merchant, "alipay.trade.page.pay", &page_content("no-page"), &[]);
    for (link, number) in [
        (format!("{h5_url}&redirect_url=https%3A%2F%2Fa.b"), NO),
        (qr_code, NO),
        (format!("http://pay.localhost:8789/gateway.do?{page}"), "no-page"),
    ] {
        let path = link.strip_prefix("http://pay.localhost:8789").unwrap();
        let (status, location, _) = merchant.browse(path).await;
        assert_eq!(status, 303, "{link}");
        let opened = location.strip_prefix("/pay?").unwrap_or_else(|| panic!("{location}"));
        let (_, view) = merchant.control("GET", &format!("cashier/order?{opened}"), "").await;
        assert_eq!(view["order"]["out_trade_no"], number, "{link}: {view}");
    }
    let (_, reply) = Merchant::new().order("h5", &h5()).await;
    let without = reply["h5_url"].as_str().unwrap();
    assert!(without.starts_with("https://wx.tenpay.com/cgi-bin/"), "without a socket: {without}");
}

#[tokio::test]
async fn a_paid_page_leads_to_return_url_with_what_alipay_signs() {
    let wap = json!({ "out_trade_no": NO, "total_amount": "0.01", "subject": "tea",
        "product_code": "QUICK_WAP_WAY", "quit_url": "https://shop.example.com/quit" });
    for (method, content, left) in [
        ("alipay.trade.wap.pay", wap, "https://shop.example.com/quit"),
        ("alipay.trade.page.pay", page_content(NO), "https://shop.example.com/back?x=1"),
    ] {
        let merchant = Merchant::new();
        let more = [("return_url", "https://shop.example.com/back?x=1")];
        let given = signed(&merchant, method, &content, &more);
        let (_, view) = merchant.open(&given).await;
        assert_eq!((&view["return_url"], &view["leave_url"]), (&Value::Null, &json!(left)));
        merchant.pay_opened(&given).await;
        let (_, view) = merchant.open(&given).await;
        let url = url::Url::parse(view["return_url"].as_str().unwrap()).unwrap();
        assert!(url.as_str().starts_with("https://shop.example.com/back?x=1&"), "{url}");
        let mut params: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        params.retain(|(name, _)| name != "x");
        let value = |name: &str| {
            let found = params.iter().find(|(key, _)| key == name);
            found.unwrap_or_else(|| panic!("{name} in {url}")).1.clone()
        };
        assert_eq!(value("method"), format!("{method}.return"));
        assert_eq!((value("out_trade_no"), value("total_amount")), (NO.into(), "0.01".into()));
        assert_eq!((value("charset"), value("sign_type")), ("utf-8".into(), "RSA2".into()));
        let order = &merchant.providers.orders()[0];
        assert_eq!(Some(value("trade_no")), order.transaction_id);
        assert_eq!(value("seller_id"), keys::ALIPAY_SELLER_ID);
        assert_eq!(value("timestamp"), merchant.clock.now().to_alipay());
        let sign = value("sign");
        params.retain(|(name, _)| name != "sign" && name != "sign_type");
        params.sort();
        let text: Vec<String> =
            params.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let key = key_of_certificate(keys::ALIPAY_PUBLIC_CERT_PEM);
        assert!(key.verifies(text.join("&").as_bytes(), &sign), "{url}");
    }
}

#[tokio::test]
async fn only_web_addresses_are_ways_to_the_shop() {
    let merchant = Merchant::new();
    let (_, reply) = merchant.order("h5", &h5()).await;
    let h5_url = reply["h5_url"].as_str().unwrap();
    for (redirect, expected) in [
        ("https://shop.example.com/?a=b", json!("https://shop.example.com/?a=b")),
        ("javascript:alert(1)", Value::Null),
        ("data:text/html,x", Value::Null),
        ("/relative", Value::Null),
    ] {
        let given = format!("{h5_url}&redirect_url={}", encoded(redirect));
        let (_, view) = merchant.open(&given).await;
        assert_eq!(view["leave_url"], expected, "{redirect}");
    }
    let more = [("return_url", "javascript:alert(1)")];
    let given = signed(&merchant, "alipay.trade.page.pay", &page_content("no-page"), &more);
    merchant.pay_opened(&given).await;
    assert_eq!(merchant.open(&given).await.1["return_url"], Value::Null);
}

#[tokio::test]
async fn a_search_finds_orders_by_number_subject_amount_provider_and_state() {
    let merchant = Merchant::new();
    let mut tea = numbered(native(), "no-00001");
    tea["description"] = json!("Green Tea 龙井");
    tea["amount"]["total"] = json!(1680);
    merchant.order("native", &tea).await;
    merchant.order("native", &numbered(native(), "no-00002")).await;
    merchant.alipay("alipay.trade.precreate", &numbered(qr("16.8"), "no-00003")).await;
    let with = PayWith::OutTradeNo("no-00002".to_owned());
    assert_eq!(merchant.pay(ProviderId::Wxpay, with), Ok(State::Paid));
    let paid = merchant.providers.orders();
    let paid = paid.iter().find_map(|order| order.transaction_id.clone()).unwrap();
    for (search, expected) in [
        ("", vec!["no-00001", "no-00002", "no-00003"]),
        ("0002", vec!["no-00002"]),
        ("green", vec!["no-00001"]),
        ("龙井", vec!["no-00001"]),
        ("16.80", vec!["no-00001", "no-00003"]),
        ("¥16.8", vec!["no-00001", "no-00003"]),
        ("wechat", vec!["no-00001", "no-00002"]),
        ("支付宝", vec!["no-00003"]),
        ("微信", vec!["no-00001", "no-00002"]),
        ("已支付", vec!["no-00002"]),
        ("alipay 16.8", vec!["no-00003"]),
        ("paid", vec!["no-00002"]),
        ("waiting native", vec!["no-00001"]),
        ("待支付", vec!["no-00001", "no-00003"]),
        (paid.as_str(), vec!["no-00002"]),
        ("coffee", vec![]),
    ] {
        let path = format!("cashier?q={}", encoded(search));
        let (_, list) = merchant.control("GET", &path, "").await;
        let orders = list["orders"].as_array().unwrap();
        let mut found: Vec<_> =
            orders.iter().map(|it| it["out_trade_no"].as_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{search}");
        assert_eq!((&list["found"], &list["count"]), (&json!(expected.len()), &json!(3)));
    }
}

#[tokio::test]
async fn many_orders_come_a_page_at_a_time_the_newest_first() {
    let merchant = Merchant::new();
    for n in 0..120 {
        merchant.clock.0.fetch_add(SECOND_MS, Ordering::Relaxed);
        merchant.order("native", &numbered(native(), &format!("no-{n:05}"))).await;
    }
    for (page, first, last) in [
        ("", "no-00119", "no-00070"),
        ("?page=2", "no-00069", "no-00020"),
        ("?page=3", "no-00019", "no-00000"),
        ("?page=9", "no-00019", "no-00000"),
        ("?page=0", "no-00119", "no-00070"),
        ("?page=x", "no-00119", "no-00070"),
    ] {
        let (_, list) = merchant.control("GET", &format!("cashier{page}"), "").await;
        let orders = list["orders"].as_array().unwrap();
        let number = |order: Option<&Value>| order.unwrap()["out_trade_no"].clone();
        let ends = (number(orders.first()), number(orders.last()));
        assert_eq!(ends, (json!(first), json!(last)), "{page}");
        assert_eq!((&list["pages"], &list["count"]), (&json!(3), &json!(120)));
    }
}

#[tokio::test]
async fn a_person_gets_pages_in_words_where_programs_get_the_providers_errors() {
    let merchant = Merchant::new();
    let page = signed(&merchant, "alipay.trade.page.pay", &page_content(NO), &[]);
    let spoiled = format!("/gateway.do?{}", page.replace("0.01", "9.99"));
    for (address, status, zh, en) in [
        ("/gateway.do", 400, "完整支付链接", "the whole pay link"),
        (&spoiled, 400, "签名与参数不符", "The signature does not fit"),
        ("/gateway.do?method=nonsense", 400, "支付宝拒绝了这个请求", "Alipay refuses"),
        ("/nonsense/<b>", 404, "没有这个页面", "No such page"),
        ("/v3/certificates", 401, "浏览器打不开", "To pay, open the cashier"),
        ("/v3/pay/transactions/id/1?mchid=1", 401, "浏览器打不开", "To pay, open the cashier"),
    ] {
        let (got, _, page) = merchant.browse(&address.replace(['<', '>'], "")).await;
        assert_eq!(got, status, "{address}");
        assert!(page.contains(zh) && page.contains(en), "{address}: {page}");
        assert!(page.contains("width=device-width") && page.contains("href=\"/\""), "{page}");
    }
    let request = Request::get("/gateway.do").body(Bytes::new()).unwrap();
    let reply = json_of(&merchant.send(request).await);
    assert_eq!(reply["error_response"]["sub_code"], "isv.missing-method");
    let request = Request::get("/nonsense").body(Bytes::new()).unwrap();
    let response = merchant.send(request).await;
    assert_eq!((response.status().as_u16(), response.body().len()), (404, 0));
}

#[tokio::test]
async fn garbage_opens_nothing_and_is_named() {
    let merchant = Merchant::new();
    merchant.order("native", &native()).await;
    let page = signed(&merchant, "alipay.trade.page.pay", &page_content("no-page"), &[]);
    for (given, code) in [
        ("", "ORDER_NOT_EXIST"),
        ("hello", "ORDER_NOT_EXIST"),
        ("{}", "ORDER_NOT_EXIST"),
        ("weixin://wxpay/bizpayurl?pr=unknown", "ORDER_NOT_EXIST"),
        ("/baxunknown", "ORDER_NOT_EXIST"),
        ("https://example.com/", "ORDER_NOT_EXIST"),
        (&page[..page.len() - 9], "isv.invalid-signature"),
    ] {
        let (status, answer) = merchant.open(given).await;
        assert_eq!((status, &answer["code"]), (404, &json!(code)), "{given}");
    }
    let (status, answer) = merchant.control("GET", "cashier/order", "").await;
    assert_eq!((status, &answer["code"]), (404, &json!("ORDER_NOT_EXIST")));
}

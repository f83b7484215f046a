//! Both simulated providers: faults, the ledger, the control operations, the socket.

use super::*;

#[tokio::test]
async fn the_same_shop_can_be_paid_twice_under_two_numbers() {
    let merchant = Merchant::new();
    merchant.order("native", &native()).await;
    merchant.alipay("alipay.trade.precreate", &qr("0.01")).await;
    for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
        let paid = merchant.pay(provider, PayWith::OutTradeNo(NO.to_owned()));
        assert_eq!(paid, Ok(State::Paid));
    }
    let (_, both) = merchant.control("GET", &format!("orders/{NO}"), "").await;
    assert_eq!(both["orders"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_lost_request_never_happened_and_a_lost_reply_did() {
    let request = |merchant: &Merchant| {
        let path = format!("{ORDERS}/native");
        wxpay_request(merchant.clock.now(), "POST", &path, &native().to_string())
    };
    for (kind, happened) in
        [(FaultKind::LoseRequest, 0), (FaultKind::Reset, 0), (FaultKind::LoseReply, 1)]
    {
        let merchant = Merchant::new();
        merchant.add_fault(kind.clone());
        let sent = merchant.providers.send(request(&merchant), Duration::from_secs(8)).await;
        assert!(matches!(sent, Err(TransportFailure::OutcomeUnknown(_))), "{kind:?}");
        assert_eq!(merchant.providers.orders().len(), happened, "{kind:?}");
        assert_eq!(merchant.order("native", &native()).await.0, 200, "once is once");
    }
}

#[tokio::test]
async fn a_late_request_comes_after_a_question_that_was_asked_meanwhile() {
    let merchant = Merchant::new();
    merchant.add_fault(FaultKind::Late { ms: 30_000 });
    let path = format!("{ORDERS}/native");
    let request = wxpay_request(merchant.clock.now(), "POST", &path, &native().to_string());
    let sent = merchant.providers.send(request, Duration::from_secs(8)).await;
    assert!(matches!(sent, Err(TransportFailure::OutcomeUnknown(_))));
    merchant.providers.advance_ms(29_999);
    assert_eq!(merchant.ask(NO).await.1["code"], "ORDER_NOT_EXIST");
    merchant.providers.advance_ms(1);
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "NOTPAY");
    assert_eq!(merchant.providers.orders()[0].create_calls, 1);
}

#[tokio::test]
async fn a_buyer_may_be_faster_than_any_call() {
    for operation in [ProviderOperation::Query, ProviderOperation::Close, ProviderOperation::Create]
    {
        let merchant = Merchant::new();
        merchant.order("native", &native()).await;
        merchant.alipay("alipay.trade.precreate", &qr("0.01")).await;
        let fault = SimulatedFault {
            provider: None,
            operation: Some(operation),
            kind: FaultKind::PayFirst,
            times: 2,
        };
        merchant.providers.add_fault(fault);
        let content = json!({ "out_trade_no": NO });
        let answers = match operation {
            ProviderOperation::Query => {
                let (_, wxpay) = merchant.ask(NO).await;
                let (_, alipay) = merchant.alipay("alipay.trade.query", &content).await;
                [wxpay["trade_state"].clone(), alipay["trade_status"].clone()]
            }
            ProviderOperation::Close => {
                let (_, wxpay) = merchant.close(NO).await;
                let (_, alipay) = merchant.alipay("alipay.trade.close", &content).await;
                [wxpay["code"].clone(), alipay["sub_code"].clone()]
            }
            _ => {
                let (_, wxpay) = merchant.order("native", &native()).await;
                let (_, alipay) = merchant.alipay("alipay.trade.precreate", &qr("0.01")).await;
                [wxpay["code"].clone(), alipay["sub_code"].clone()]
            }
        };
        let expected = match operation {
            ProviderOperation::Query => ["SUCCESS", "TRADE_SUCCESS"],
            ProviderOperation::Close => ["ORDER_PAID", "ACQ.REASON_TRADE_STATUS_INVALID"],
            _ => ["ORDER_PAID", "ACQ.TRADE_HAS_SUCCESS"],
        };
        assert_eq!(answers, expected, "{operation:?}");
    }
    let merchant = Merchant::new();
    merchant.add_fault(FaultKind::PayFirst);
    assert_eq!(merchant.order("native", &native()).await.0, 200, "there was nothing to pay yet");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_later_than_the_timeout_is_lost() {
    let merchant = Merchant::new();
    for (ms, arrives) in [(7_999, true), (8_000, false)] {
        merchant.add_fault(FaultKind::Delay { ms });
        let path = format!("{ORDERS}/native");
        let request = wxpay_request(merchant.clock.now(), "POST", &path, &native().to_string());
        let sent = merchant.providers.send(request, Duration::from_secs(8)).await;
        assert_eq!(sent.is_ok(), arrives, "{ms}");
    }
    assert_eq!(merchant.providers.orders()[0].create_calls, 2);
}

#[tokio::test]
async fn spoiled_replies_come_from_a_provider_that_acted() {
    for kind in
        [FaultKind::Status500, FaultKind::BadSignature, FaultKind::Unsigned, FaultKind::Malformed]
    {
        let merchant = Merchant::new();
        let path = format!("{ORDERS}/native");
        let request = wxpay_request(merchant.clock.now(), "POST", &path, &native().to_string());
        merchant.add_fault(kind.clone());
        let response = merchant.send(request).await;
        let good_json = serde_json::from_slice::<Value>(response.body()).is_ok();
        let seen = (response.status().as_u16(), wxpay_verifies(&response), good_json);
        let expected = match kind {
            FaultKind::Status500 => (500, false, false),
            FaultKind::Malformed => (200, true, false),
            _ => (200, false, true),
        };
        assert_eq!(seen, expected, "{kind:?}");

        merchant.add_fault(kind.clone());
        let params = alipay_params(merchant.clock.now(), "alipay.trade.create", &trade());
        let response = merchant.send(alipay_request(&params)).await;
        let text = String::from_utf8(response.body().to_vec()).unwrap();
        match kind {
            FaultKind::Status500 => assert_eq!(response.status(), 500),
            FaultKind::Malformed => assert!(serde_json::from_str::<Value>(&text).is_err()),
            _ => assert!(!alipay_read(&text, "alipay.trade.create").1, "{text}"),
        }
        assert_eq!(merchant.providers.orders().len(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_refusal_on_demand_has_the_providers_form() {
    let merchant = Merchant::new();
    let refuse = |code: &str| {
        let (code, message) = (code.to_owned(), "on demand".to_owned());
        FaultKind::Refuse(Refuse { code, message, status: None })
    };
    for (code, status) in [("FREQUENCY_LIMITED", 429), ("SYSTEM_ERROR", 500), ("NO_AUTH", 403)] {
        merchant.add_fault(refuse(code));
        let (seen, reply) = merchant.order("native", &native()).await;
        assert_eq!((seen, &reply["code"]), (status, &json!(code)));
    }
    merchant.add_fault(refuse("ACQ.SYSTEM_ERROR"));
    let (code, reply) = merchant.alipay("alipay.trade.create", &trade()).await;
    assert_eq!((code.as_str(), &reply["code"]), ("ACQ.SYSTEM_ERROR", &json!("40004")));
    merchant.add_fault(refuse("20000"));
    let params = alipay_params(merchant.clock.now(), "alipay.trade.create", &trade());
    let reply = json_of(&merchant.send(alipay_request(&params)).await);
    assert_eq!(reply["alipay_trade_create_response"]["code"], "20000");
    assert!(reply.get("sign").is_none());
    assert!(merchant.providers.orders().is_empty());
}

#[tokio::test]
async fn the_control_operations_show_the_ledger_and_let_buyers_pay() {
    let merchant = Merchant::new();
    merchant.order("native", &native()).await;
    let fault = r#"{"provider":"wxpay","operation":"query","fault":"unsigned","times":3}"#;
    assert_eq!(merchant.control("POST", "faults", fault).await.0, 200);
    let (_, ledger) = merchant.control("GET", "ledger", "").await;
    assert_eq!(ledger["calls"], json!({ "wxpay.create": 1 }));
    assert_eq!(ledger["faults"][0]["times"], 3);
    assert_eq!(ledger["orders"][0]["state"], "unpaid");
    assert_eq!(ledger["orders"][0]["terms"]["request"]["description"], "一杯茶");
    let (_, faults) = merchant.control("DELETE", "faults", "").await;
    assert_eq!(faults, json!({ "faults": [] }));
    let pay = json!({ "provider": "wxpay", "out_trade_no": NO, "payer": "oMe" }).to_string();
    let (status, order) = merchant.control("POST", "pay", &pay).await;
    assert_eq!((status, &order["payments"][0]["payer"]), (200, &json!("oMe")));
    assert_eq!(order["payments"][0]["amount"], 1);
    let (status, declined) = merchant.control("POST", "pay", &pay).await;
    assert_eq!((status, &declined["code"]), (409, &json!("ORDER_PAID")));
    let (status, clock) = merchant.control("POST", "clock", r#"{"advance_ms":60000}"#).await;
    assert_eq!((status, &clock["now"]), (200, &json!(1_750_000_060_123_i64)));
    for (method, path, body, status) in [
        ("POST", "pay", "{}", 400),
        ("POST", "pay", r#"{"provider":"wxpay","out_trade_no":"1","oops":1}"#, 400),
        ("POST", "faults", r#"{"fault":"explode"}"#, 400),
        ("POST", "clock", "", 400),
        ("GET", "orders/unknown", "", 404),
        ("GET", "orders/%ff", "", 404),
        ("PUT", "ledger", "", 404),
        ("GET", "", "", 404),
    ] {
        assert_eq!(merchant.control(method, path, body).await.0, status, "{method} {path} {body}");
    }
}

#[tokio::test]
async fn the_ledger_outlives_the_process_and_half_a_line_is_no_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let merchant = Merchant::with_ledger(Some(&path));
    merchant.order("native", &native()).await;
    merchant.alipay("alipay.trade.create", &trade()).await;
    merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned())).unwrap();
    let clock = merchant.clock.clone();
    let second = InProcess::open(Some(&path), Arc::new(clock));
    assert!(second.is_err(), "one process owns the file");
    let before = merchant.providers.orders();
    drop(merchant);

    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(br#"{"provider":"wxpay","merch"#).unwrap();
    drop(file);
    let merchant = Merchant::with_ledger(Some(&path));
    assert_eq!(merchant.providers.orders(), before);
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "SUCCESS");
    drop(merchant);
    assert_eq!(Merchant::with_ledger(Some(&path)).providers.orders(), before);

    for foreign in ["something else\n", "something else", "{}\n"] {
        std::fs::write(&path, foreign).unwrap();
        assert!(InProcess::open(Some(&path), Arc::new(paygate::SystemClock)).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign, "it is left alone");
    }
}

#[tokio::test]
async fn the_embedded_keys_belong_together() {
    let base = "http://127.0.0.1:1/".parse().unwrap();
    let wxpay = keys::wxpay_merchant(base);
    assert_eq!(wxpay.apps.len(), 5);
    let account = &wxpay.apps.values().next().unwrap().account;
    let own = key_of_certificate(keys::WXPAY_MERCHANT_CERT_PEM).fingerprint();
    assert_eq!(account.signing.fingerprint(), own);
    let gateway = "http://127.0.0.1:1/gateway.do".parse().unwrap();
    let alipay = keys::alipay_merchant(gateway);
    assert_eq!(alipay.apps.len(), 3);
    let app = alipay.apps.values().next().unwrap();
    let own = key_of_certificate(keys::ALIPAY_APP_CERT_PEM).fingerprint();
    assert_eq!(app.signing.fingerprint(), own);
    let prints = keys::fingerprints();
    assert_eq!(prints.len(), 5);
    for print in [account.signing.fingerprint(), app.signing.fingerprint()] {
        assert!(prints.contains(&print));
    }
    assert_eq!(keys::API_V3_KEY.len(), 32);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..Default::default()
    })]
    #[test]
    fn whatever_arrives_is_answered(
        path in "/(v3/pay/transactions/[a-z/%-]{0,30}|gateway[.]do|_mock/[a-z%/]{0,12})",
        query in "[0-9A-Za-z%&=+._~-]{0,60}",
        header in "(WECHATPAY2-SHA256-RSA2048 )?[ -~]{0,80}",
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let merchant = Merchant::new();
        let request = Request::post(format!("{path}?{query}")).header("authorization", header);
        let request = request.body(Bytes::from(body)).unwrap();
        let sent = merchant.providers.send(request, Duration::from_secs(8)).now_or_never();
        prop_assert!(matches!(sent, Some(Ok(_))));
        prop_assert!(merchant.providers.orders().is_empty());
    }
}

async fn start() -> Mock {
    let listen = "127.0.0.1:0".parse().unwrap();
    let clock = Arc::new(FixedClock(Arc::new(AtomicI64::new(1_750_000_000_123))));
    Mock::start(MockConfig { listen, ledger_path: None, clock, time_scale: 1 }).await.unwrap()
}

/// Sends a hand-made request over a socket.
async fn over_the_wire(
    client: &reqwest::Client,
    mock: &Mock,
    request: Request<Bytes>,
) -> reqwest::Result<Response<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().unwrap().to_string();
    parts.uri = format!("http://{}{path}", mock.addr()).parse().unwrap();
    let request = reqwest::Request::try_from(Request::from_parts(parts, body))?;
    let reply = client.execute(request).await?;
    let (status, headers) = (reply.status(), reply.headers().clone());
    let mut response = Response::new(reply.bytes().await?);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

#[tokio::test]
async fn concurrent_orders_of_one_number_over_sockets_make_one_order() {
    let mock = start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = || {
        let path = format!("{ORDERS}/native");
        let now = Millis(1_750_000_000_123);
        over_the_wire(&client, &mock, wxpay_request(now, "POST", &path, &native().to_string()))
    };
    let replies = futures_util::future::join_all((0..20).map(|_| send())).await;
    for reply in replies {
        let reply = reply.unwrap();
        assert!(reply.status() == 200 && wxpay_verifies(&reply));
    }
    let orders = mock.in_process().orders();
    assert_eq!((orders.len(), orders[0].create_calls), (1, 20));
    mock.shutdown().await;
}

#[tokio::test]
async fn faults_break_the_connection_and_large_bodies_are_refused() {
    let mock = start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let path = format!("{ORDERS}/native");
    let now = Millis(1_750_000_000_123);
    let order = || wxpay_request(now, "POST", &path, &native().to_string());
    for (kind, happened) in
        [(FaultKind::LoseRequest, 0), (FaultKind::Reset, 0), (FaultKind::LoseReply, 1)]
    {
        let operation = Some(ProviderOperation::Create);
        mock.in_process().add_fault(SimulatedFault { provider: None, operation, kind, times: 1 });
        assert!(over_the_wire(&client, &mock, order()).await.is_err());
        assert_eq!(mock.in_process().orders().len(), happened);
    }
    assert_eq!(over_the_wire(&client, &mock, order()).await.unwrap().status(), 200);
    let large = wxpay_request(now, "POST", &path, &" ".repeat(1024 * 1024 + 1));
    let reply = over_the_wire(&client, &mock, large).await;
    assert!(reply.map_or(true, |it| it.status() == 413));
    let addr = mock.addr();
    assert_eq!(mock.alipay_gateway_url().as_str(), format!("http://{addr}/gateway.do"));
    assert_eq!(mock.wxpay_base_url().as_str(), format!("http://{addr}/"));
    mock.shutdown().await;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn every_answer_carries_the_providers_own_time() {
    let merchant = Merchant::new();
    merchant.add_fault(FaultKind::Status500);
    let now = merchant.clock.now();
    let params = alipay_params(now, "alipay.trade.query", &json!({ "out_trade_no": NO }));
    let path = format!("{ORDERS}/out-trade-no/{NO}?mchid=1");
    for request in [
        wxpay_request(now, "GET", &path, ""),
        wxpay_request(now, "GET", &path, ""),
        alipay_request(&params),
        Request::get("/_mock/money").body(Bytes::new()).unwrap(),
    ] {
        let response = merchant.send(request).await;
        assert_eq!(response.headers()["date"], "Sun, 15 Jun 2025 15:06:40 GMT");
    }
    let mock = start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let over = over_the_wire(&client, &mock, alipay_request(&params)).await;
    assert_eq!(over.unwrap().headers()["date"], "Sun, 15 Jun 2025 15:06:40 GMT");
    // Orders age, and the time stays what signatures carry.
    merchant.providers.advance_ms(MINUTE_MS);
    let response = merchant.send(alipay_request(&params)).await;
    assert_eq!(response.headers()["date"], "Sun, 15 Jun 2025 15:06:40 GMT");
    merchant.clock.0.fetch_add(61_000, Ordering::Relaxed);
    let response = merchant.send(alipay_request(&params)).await;
    assert_eq!(response.headers()["date"], "Sun, 15 Jun 2025 15:07:41 GMT");
}

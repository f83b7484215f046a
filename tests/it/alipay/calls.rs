//! What is sent to the gateway.

use paygate::provider::{Failure, Provider};

use super::*;

/// The parameters of the one request that was sent: those of the query, and the form's.
pub(super) fn sent(transport: RecordingTransport) -> BTreeMap<String, String> {
    let [request] = <[_; 1]>::try_from(transport.sent()).expect("one request");
    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(request.uri().host(), Some("gateway.example.com"));
    assert_eq!(request.uri().path(), "/gateway.do");
    let content_type = &request.headers()[http::header::CONTENT_TYPE];
    assert_eq!(content_type, "application/x-www-form-urlencoded;charset=utf-8");
    let mut all = parameters(request.uri().query().expect("a query"));
    assert!(all.contains_key("charset") && all.contains_key("sign"));
    let form = parameters(std::str::from_utf8(request.body()).unwrap());
    assert_eq!(form.keys().collect::<Vec<_>>(), ["biz_content"]);
    all.extend(form);
    verified(all)
}

#[tokio::test]
async fn an_order_is_opened_with_exactly_what_was_stored() {
    let cases =
        [(Product::Create, "alipay.trade.create"), (Product::Precreate, "alipay.trade.precreate")];
    for (product, method) in cases {
        let attempt = attempt(app(), product, &terms());
        let transport = RecordingTransport::new("");
        gateway(app()).open(&attempt, transport.call()).await.unwrap_err();
        let expected = [
            ("app_id", APP_ID),
            ("biz_content", &attempt.params.document),
            ("charset", "utf-8"),
            ("method", method),
            ("notify_url", NOTIFY_URL),
            ("sign_type", "RSA2"),
            ("timestamp", "2021-07-15 10:10:10"),
            ("version", "1.0"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(sent(transport), BTreeMap::from(expected));
    }
}

#[tokio::test]
async fn other_reaches_alipay_byte_for_byte() {
    let other = concat!(
        r#""zz" : 1.0, "\u0061ttach":"\u4e2d\/}, \"b\": {","#,
        "\n\t\"detail\": { \"y\":[1e2,-0, 12345678901234567890.10 ],",
        r#""goods_detail":[{"price":1e400,"b":{"c":null,"a":[ ]}}] },"aa":true"#,
    );
    for written in [format!("{{{other}}}"), format!("{{ {other}\n}}")] {
        let terms = OrderTerms { other: Some(RawJson::parse(&written).unwrap()), ..terms() };
        let attempt = attempt(app(), Product::Precreate, &terms);
        let transport = RecordingTransport::new("");
        gateway(app()).open(&attempt, transport.call()).await.unwrap_err();
        let document = sent(transport).remove("biz_content").unwrap();
        assert!(document.ends_with(&format!("10:40:10\",{other}}}")), "{document}");
        assert!(RawJson::parse(&document).is_ok(), "no key stands twice: {document}");
    }
}

#[tokio::test]
async fn what_is_only_signed_is_not_sent() {
    for product in [Product::AppPay, Product::WapPay, Product::PagePay] {
        let attempt = attempt(app(), product, &terms());
        let transport = RecordingTransport::new("");
        let material = gateway(app()).open(&attempt, transport.call()).await;
        assert_eq!(material, Ok(Material::Signed));
        assert!(transport.sent().is_empty(), "{product:?}");
    }
}

#[tokio::test]
async fn a_query_and_a_close_name_the_number_and_nothing_else() {
    let attempt = attempt(app(), Product::AppPay, &terms());
    let (query, close) = (RecordingTransport::new(""), RecordingTransport::new(""));
    gateway(app()).query(&attempt, query.call()).await.unwrap_err();
    gateway(app()).close(&attempt, close.call()).await.unwrap_err();
    for (transport, method) in [(query, "alipay.trade.query"), (close, "alipay.trade.close")] {
        let sent = sent(transport);
        assert_eq!(sent["method"], method);
        assert_eq!(sent["biz_content"], format!(r#"{{"out_trade_no":"{NUMBER}"}}"#));
        assert!(!sent.contains_key("notify_url"), "{method}");
    }
}

#[tokio::test]
async fn a_merchant_acted_for_is_named_in_every_call() {
    let terms = OrderTerms { app_auth_token: Some(AppAuthToken(TOKEN.to_owned())), ..terms() };
    let attempt = attempt(with_certificates(), Product::Precreate, &terms);
    let (open, query, close) =
        (RecordingTransport::new(""), RecordingTransport::new(""), RecordingTransport::new(""));
    let gateway = gateway(with_certificates());
    gateway.open(&attempt, open.call()).await.unwrap_err();
    gateway.query(&attempt, query.call()).await.unwrap_err();
    gateway.close(&attempt, close.call()).await.unwrap_err();
    for transport in [open, query, close] {
        let sent = sent(transport);
        assert_eq!(sent["app_auth_token"], TOKEN);
        assert_eq!(sent["app_cert_sn"], "app-sn");
        assert_eq!(sent["alipay_root_cert_sn"], "root-sn_2");
    }
}

#[tokio::test]
async fn an_app_that_is_gone_sends_nothing() {
    let attempt = attempt(app(), Product::Precreate, &terms());
    let other = gateway(AlipayApp { app_id: "2021009999999999".to_owned(), ..app() });
    let transport = RecordingTransport::new("");
    for failure in [
        other.open(&attempt, transport.call()).await.unwrap_err(),
        other.query(&attempt, transport.call()).await.unwrap_err(),
        other.close(&attempt, transport.call()).await.unwrap_err(),
    ] {
        assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
    }
    assert!(transport.sent().is_empty());
}

#[tokio::test]
async fn the_transport_decides_whether_a_lost_call_was_sent() {
    let attempt = attempt(app(), Product::Precreate, &terms());
    for (lost, expected) in [
        (TransportFailure::NotSent("a".to_owned()), Failure::NotSent("a".to_owned())),
        (
            TransportFailure::OutcomeUnknown("b".to_owned()),
            Failure::OutcomeUnknown { reason: "b".to_owned(), provider_error: None },
        ),
    ] {
        let transport = RecordingTransport { answer: Err(lost), ..RecordingTransport::new("") };
        assert_eq!(gateway(app()).open(&attempt, transport.call()).await, Err(expected));
    }
}

#[tokio::test]
async fn a_gateway_address_keeps_its_own_query() {
    let app =
        AlipayApp { gateway_url: "http://127.0.0.1:8789/gateway.do?a=1".parse().unwrap(), ..app() };
    let attempt = attempt(app.clone(), Product::Precreate, &terms());
    let transport = RecordingTransport::new("");
    gateway(app).open(&attempt, transport.call()).await.unwrap_err();
    let uri = transport.sent().remove(0).uri().to_string();
    assert!(uri.starts_with("http://127.0.0.1:8789/gateway.do?a=1&app_id="), "{uri}");
}

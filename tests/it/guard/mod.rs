//! The guard: bytes in, a request or a refusal out.

mod bodies;
mod replies;
mod routes;
mod schemas;
mod texts;

use paygate::domain::{CreateRequest, NeedQrcode, ProviderId, RawJson};
use paygate::error::{Code, Error, Kind};
use paygate::testing::guard::{read_client, read_create};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A small request with these members of `data` more, or other.
fn body(data: Value) -> Value {
    let mut body = json!({
        "provider": "wxpay",
        "data": {
            "out_trade_no": "2107151010101541001", "total_fee": 1, "subject": "tea",
            "type": "goods",
        },
    });
    let fields = data.as_object().expect("an object").clone();
    body["data"].as_object_mut().expect("an object").extend(fields);
    body
}

fn read(body: &Value) -> Result<CreateRequest, Error> {
    read_create(body.to_string().as_bytes())
}

/// `total_fee` as this token, in an otherwise good body.
fn priced(token: &str) -> String {
    body(json!({})).to_string().replace(r#""total_fee":1"#, &format!(r#""total_fee":{token}"#))
}

/// Paths and rules of a refusal.
fn broken(error: &Error) -> Vec<(&str, &str)> {
    error.violations().iter().map(|it| (it.path.as_str(), it.rule)).collect()
}

#[test]
fn a_whole_request_is_read_to_the_letter() {
    let request = read_create(
        r#"{"provider": "alipay", "isPC": true, "needQRcode": "image", "quote": "a.b.c",
            "data": {"out_trade_no": "A-b_c1", "total_fee": 1e2, "subject": "茶", "body": "tea",
                "type": "goods", "openid": "o1", "pid": "001", "user_id": "u", "nickname": "n",
                "time_expire": 1893456000000.0, "return_url": "https://shop.example.com/",
                "custom": { "a" : 1.0 }, "other": {"goods_type":"0"},
                "sub_appid": "wx1", "sub_mchid": "19", "app_auth_token": "t0ken",
                "profit_sharing": false},
            "context": {"PLATFORM": "h5"}}"#
            .as_bytes(),
    )
    .unwrap();
    assert_eq!(request.provider, ProviderId::Alipay);
    assert_eq!((request.is_pc, request.need_qrcode), (Some(true), NeedQrcode::Image));
    assert_eq!(request.quote.as_deref(), Some("a.b.c"));
    assert_eq!(request.openid.as_deref(), Some("o1"));
    assert_eq!(request.nickname.as_deref(), Some("n"));
    assert_eq!(request.time_expire.map(|it| it.0), Some(1_893_456_000_000));
    assert_eq!(request.return_url.as_deref(), Some("https://shop.example.com/"));
    assert_eq!(request.claims.platform.as_deref(), Some("h5"));
    let terms = request.terms;
    assert_eq!(terms.out_trade_no.as_str(), "A-b_c1");
    assert_eq!(terms.total_fee.fen(), 100);
    assert_eq!((terms.subject.as_str(), terms.body.as_deref()), ("茶", Some("tea")));
    assert_eq!((terms.kind.as_str(), terms.pid.as_str()), ("goods", "001"));
    assert_eq!(terms.custom.as_ref().map(|it| it.as_str()), Some(r#"{ "a" : 1.0 }"#));
    assert_eq!(terms.other.as_ref().map(|it| it.as_str()), Some(r#"{"goods_type":"0"}"#));
    assert_eq!((terms.sub_appid.as_deref(), terms.sub_mchid.as_deref()), (Some("wx1"), Some("19")));
    assert_eq!((terms.user_id.as_deref(), terms.profit_sharing), (Some("u"), Some(false)));
    assert_eq!(terms.app_auth_token.as_ref().map(|it| it.0.as_str()), Some("t0ken"));
    assert!(!format!("{terms:?}").contains("t0ken"));
}

#[test]
fn optional_fields_that_are_null_or_empty_are_absent() {
    let plain = read(&body(json!({}))).unwrap();
    for absent in [json!(null), json!("")] {
        let names = [
            "openid",
            "custom",
            "other",
            "pid",
            "time_expire",
            "user_id",
            "nickname",
            "body",
            "return_url",
            "sub_appid",
            "sub_mchid",
            "app_auth_token",
            "profit_sharing",
        ];
        let data = names.into_iter().map(|name| (name.to_owned(), absent.clone())).collect();
        let mut all = body(Value::Object(data));
        for name in ["isPC", "needQRcode", "context", "clientInfo", "quote"] {
            all[name] = absent.clone();
        }
        assert_eq!(read(&all).unwrap(), plain);
    }
}

#[test]
fn only_key_order_white_space_escapes_or_number_spelling_is_the_same_order() {
    let written = [
        r#"{"provider":"wxpay","data":{"out_trade_no":"abc123","total_fee":1,"subject":"a/b",
"type":"g","custom":{"x":1,"y":[1.5]},"other":{"attach":"é"}}}"#,
        r#" { "data" : { "type" : "g" , "subject" : "\u0061\/b" , "total_fee" : 1.0 ,
            "out_trade_no" : "\u0061bc123" , "other" : { "attach" : "\u00e9" } ,
            "custom" : { "y" : [ 15e-1 ] , "x" : 1e0 } } , "provider" : "wxpay" } "#,
        r#"{"data":{"custom":{"\u0078":10E-1,"y":[1.50]},"other":{"\u0061ttach":"é"},
"out_trade_no":"abc123","subject":"a/b","total_fee":0.1e1,"type":"g"},"provider":"wxpay"}"#,
    ];
    let read = written.map(|it| read_create(it.as_bytes()).unwrap());
    for other in &read[1..] {
        assert_eq!(read[0].terms.out_trade_no, other.terms.out_trade_no);
        let differences = read[0].terms.fingerprint().differences(&other.terms.fingerprint());
        assert_eq!(differences, <[&str; 0]>::default());
    }
}

#[test]
fn another_value_is_another_order_and_is_named() {
    let order = read(&body(json!({"custom": {"a": 1}}))).unwrap().terms.fingerprint();
    let cases = [
        ("total_fee", json!({"custom": {"a": 1}, "total_fee": 2})),
        ("subject", json!({"custom": {"a": 1}, "subject": "Tea"})),
        ("type", json!({"custom": {"a": 1}, "type": "vip"})),
        ("custom", json!({"custom": {"a": "1"}})),
        ("custom", json!({})),
        ("user_id", json!({"custom": {"a": 1}, "user_id": "u"})),
        ("other", json!({"custom": {"a": 1}, "other": {"attach": "a"}})),
    ];
    for (field, data) in cases {
        let other = read(&body(data)).unwrap().terms.fingerprint();
        assert_eq!(order.differences(&other), [field]);
    }
}

#[test]
fn a_fee_as_text_is_refused_and_as_a_number_creates() {
    let refused = read_create(priced(r#""1""#).as_bytes()).unwrap_err();
    assert_eq!(broken(&refused), [("/data/total_fee", "type")]);
    assert_eq!(read_create(priced("1").as_bytes()).unwrap().terms.total_fee.fen(), 1);
}

#[test]
fn schema_decoder_and_fingerprint_agree_on_numbers() {
    let same = ["1", "1.0", "1e0", "10e-1", "0.1E+1", "1.00000000000000000000"];
    let one = read_create(priced("1").as_bytes()).unwrap().terms.fingerprint();
    for token in same {
        let request = read_create(priced(token).as_bytes()).unwrap();
        assert_eq!(request.terms.total_fee.fen(), 1, "{token}");
        assert!(one.differences(&request.terms.fingerprint()).is_empty(), "{token}");
    }
    for (token, fen) in [("1e2", 100), ("10000000000.0", 10_000_000_000), ("1e10", 10_000_000_000)]
    {
        assert_eq!(read_create(priced(token).as_bytes()).unwrap().terms.total_fee.fen(), fen);
    }
    let refused = [
        ("0", "minimum"),
        ("-0", "minimum"),
        ("-0.0", "minimum"),
        ("-1", "minimum"),
        ("-1e400", "minimum"),
        ("1.5", "type"),
        ("1.0000000000000000001", "type"),
        ("1e-400", "type"),
        ("1e400", "maximum"),
        ("10000000001", "maximum"),
        ("9007199254740993", "maximum"),
        ("99999999999999999999", "maximum"),
        ("1e99999999999999999999999999999999999", "maximum"),
        ("\"100\"", "type"),
        ("true", "type"),
        ("null", "type"),
    ];
    for (token, rule) in refused {
        let error = read_create(priced(token).as_bytes()).unwrap_err();
        assert_eq!(broken(&error), [("/data/total_fee", rule)], "{token}");
        assert_eq!(error.violations()[0].code, Code::TotalFee, "{token}");
    }
    for token in ["01", "+1", ".5", "1.", "NaN", "0x1", "Infinity"] {
        let error = read_create(priced(token).as_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::BodyUnreadable, "{token}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_unreadable() {
    let deep = body(json!({})).to_string().replace(
        r#""type""#,
        &format!(r#""custom":{{"a":{}1{}}},"type""#, "[".repeat(30), "]".repeat(30)),
    );
    let cases: [Vec<u8>; 8] = [
        priced(r#"1,"total_fee":100"#).into_bytes(),
        priced(r#"1,"\u0074otal_fee":100"#).into_bytes(),
        priced(r#"1,"custom":{"a":{"b":1,"b":1}}"#).into_bytes(),
        priced(r#"1,"custom":{"$serde_json::private::RawValue":"1"}"#).into_bytes(),
        [b"\xef\xbb\xbf", priced("1").as_bytes()].concat(),
        priced("1").replace("tea", "\0").into_bytes(),
        priced("1").replace("tea", r"\ud83d").into_bytes(),
        deep.into_bytes(),
    ];
    for bytes in cases {
        let error = read_create(&bytes).unwrap_err();
        assert_eq!(error.kind(), Kind::BodyUnreadable, "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(error.violations(), []);
    }
    let not_utf8 = [priced("1").replace("tea", "t").into_bytes(), vec![0xff]].concat();
    assert_eq!(read_create(&not_utf8).unwrap_err().kind(), Kind::BodyUnreadable);
    assert_eq!(read_create(b"").unwrap_err().kind(), Kind::BodyUnreadable);
    assert_eq!(
        read_create("[".repeat(60_000).as_bytes()).unwrap_err().kind(),
        Kind::BodyUnreadable
    );
}

#[test]
fn every_broken_field_is_listed_and_the_first_of_the_table_gives_the_code() {
    let all = json!({
        "zebra": 1, "needQRcode": "png", "provider": "paypal", "isPC": 1, "clientInfo": "{}",
        "data": {
            "zebra": 1, "profit_sharing": "Y", "pid": 1, "custom": {"status": 1}, "openid": 1,
            "subject": "", "total_fee": 0, "type": "", "out_trade_no": "",
        },
    });
    let error = read(&all).unwrap_err();
    assert_eq!(
        broken(&error),
        [
            ("/data/out_trade_no", "pattern"),
            ("/data/type", "pattern"),
            ("/data/total_fee", "minimum"),
            ("/data/subject", "pattern"),
            ("/provider", "enum"),
            ("/data/openid", "type"),
            ("/isPC", "type"),
            ("/needQRcode", "enum"),
            ("/clientInfo", "type"),
            ("/data/custom/status", "propertyNames"),
            ("/data/pid", "type"),
            ("/data/profit_sharing", "type"),
            ("/data/zebra", "additionalProperties"),
            ("/zebra", "additionalProperties"),
        ]
    );
    assert_eq!(error.violations()[0].code, Code::OutTradeNo);
}

#[test]
fn missing_data_misses_each_of_its_required_fields() {
    let fields = [
        ("/data/out_trade_no", "required"),
        ("/data/type", "required"),
        ("/data/total_fee", "required"),
        ("/data/subject", "required"),
    ];
    for data in [json!({}), json!([]), json!("{}"), json!(null), json!(1)] {
        let error = read(&json!({"provider": "wxpay", "data": data})).unwrap_err();
        assert_eq!(broken(&error), fields);
        assert_eq!(error.violations()[0].code, Code::OutTradeNo);
    }
    for whole in [json!({}), json!([]), json!("x"), json!(1), json!(null)] {
        let error = read(&whole).unwrap_err();
        assert_eq!(broken(&error)[..4], fields);
        assert_eq!(broken(&error)[4..], [("/provider", "required")]);
    }
}

#[test]
fn at_most_32_violations_are_listed_and_a_made_up_name_is_cut() {
    let mut many = body(json!({"total_fee": 0}));
    for n in 0..100 {
        many[format!("zebra{n}")] = json!(1);
    }
    let error = read(&many).unwrap_err();
    assert_eq!(error.violations().len(), 32);
    assert_eq!(broken(&error)[0], ("/data/total_fee", "minimum"));

    let mut odd = body(json!({}));
    odd["a/b~\r\n\u{1b}[31m"] = json!(1);
    odd["x".repeat(10_000)] = json!(1);
    let error = read(&odd).unwrap_err();
    assert_eq!(broken(&error)[0].0, "/a~1b~0\r\n\u{1b}[31m");
    assert_eq!(broken(&error)[1].0, format!("/{}", "x".repeat(64)));
}

#[test]
fn the_price_of_another_order_is_no_price() {
    let client = br#"{"provider":"wxpay","data":{"out_trade_no":"order-1"}}"#;
    let client = read_client(client).unwrap();
    let price = |number: &str| {
        let fields = json!({"out_trade_no": number, "total_fee": 1, "subject": "tea",
                            "type": "goods"});
        RawJson::parse(&fields.to_string()).unwrap()
    };
    let request = client.priced(&price("order-1")).unwrap();
    assert_eq!(request.terms.out_trade_no.as_str(), "order-1");
    let refused = client.priced(&price("order-2")).unwrap_err();
    assert_eq!(refused.kind(), Kind::CallerNotAllowed);
    let nothing = client.priced(&RawJson::parse("[]").unwrap()).unwrap_err();
    assert_eq!(nothing.kind(), Kind::Invalid);
    assert_eq!(nothing.violations().len(), 4, "every required field is missing");
}

#[test]
fn no_refusal_quotes_a_value() {
    let marker = "5e9ret\u{7}";
    let mut all = body(json!({}));
    for (name, value) in all["data"].as_object_mut().unwrap() {
        *value = json!(format!("{marker}{name}{}", "x".repeat(300)));
    }
    for name in ["openid", "custom", "other", "pid", "time_expire", "user_id", "nickname"] {
        all["data"][name] = json!(marker);
    }
    for name in ["return_url", "sub_appid", "app_auth_token", "profit_sharing", "body"] {
        all["data"][name] = json!({"marker": marker});
    }
    for name in ["provider", "isPC", "needQRcode", "context", "clientInfo", "zebra"] {
        all[name] = json!(marker);
    }
    let error = read(&all).unwrap_err();
    assert!(error.violations().len() > 18);
    let reply = replies::ENGLISH.refusal(&error);
    let texts = [format!("{error} {error:?}"), String::from_utf8_lossy(reply.body()).into_owned()];
    for text in texts {
        assert!(!text.contains("5e9ret"), "{text}");
    }
}

#[test]
fn subjects_are_counted_as_their_provider_counts() {
    let subject = |provider: &str, subject: &str| {
        let mut body = body(json!({ "subject": subject }));
        body["provider"] = json!(provider);
        read(&body).map_err(|it| it.violations()[0].rule).map(|it| it.terms.subject)
    };
    let good = [
        ("wxpay", "a".repeat(127)),
        ("wxpay", "字".repeat(42)),
        ("wxpay", "a/b=c&<d>\u{202e}".to_owned()),
        ("alipay", "字".repeat(256)),
        ("alipay", "😀".repeat(256)),
    ];
    for (provider, text) in good {
        assert_eq!(subject(provider, &text), Ok(text));
    }
    let bad = [
        ("wxpay", "a".repeat(128), "maxLength"),
        ("wxpay", "字".repeat(42) + "ab", "maxLength"),
        ("wxpay", "a😀".to_owned(), "pattern"),
        ("wxpay", "a\u{85}".to_owned(), "pattern"),
        ("alipay", "a\u{0}".to_owned(), "pattern"),
        ("alipay", "a=b".to_owned(), "pattern"),
        ("alipay", "a".repeat(257), "maxLength"),
    ];
    for (provider, text, rule) in bad {
        assert_eq!(subject(provider, &text), Err(rule), "{text}");
    }
}

#[test]
fn numbers_differ_by_case_and_hold_no_path_and_no_line() {
    for number in
        ["a/b123", "..1234", "../../x", "123456 ", "ab%2fcd", "１２３４５６", "12345\r\n6"]
    {
        let error = read(&body(json!({ "out_trade_no": number }))).unwrap_err();
        assert_eq!(broken(&error), [("/data/out_trade_no", "pattern")], "{number}");
    }
    let error = read(&body(json!({"out_trade_no": "x".repeat(33)}))).unwrap_err();
    assert_eq!(broken(&error), [("/data/out_trade_no", "maxLength")]);
    let number =
        |text: &str| read(&body(json!({ "out_trade_no": text }))).unwrap().terms.out_trade_no;
    assert_ne!(number("ABCDEF"), number("abcdef"));
    assert_eq!(number(&"x".repeat(32)).as_str().len(), 32);
}

#[test]
fn an_invalid_quote_is_an_invalid_credential_and_other_violations_come_first() {
    let mut quoted = body(json!({}));
    quoted["quote"] = json!(1);
    assert_eq!(read(&quoted).unwrap_err().kind(), Kind::CallerNotAllowed);
    quoted["data"]["total_fee"] = json!(0);
    let error = read(&quoted).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(broken(&error), [("/data/total_fee", "minimum")]);
}

#[test]
fn a_client_describes_itself_in_either_casing_and_upper_case_counts_first() {
    let claims = |context: Value, info: Value| {
        let mut body = body(json!({}));
        body["context"] = context;
        body["clientInfo"] = info;
        read(&body).unwrap().claims
    };
    let camel = claims(
        json!(null),
        json!({"uniPlatform": "mp-weixin", "osName": "ios", "appId": "__UNI__1", "deviceId": "d",
            "locale": "en", "deviceType": "phone", "clientIP": "1.2.3.4", "ua": "u",
            "scene": 1001}),
    );
    assert_eq!(camel.platform.as_deref(), Some("mp-weixin"));
    assert_eq!((camel.os.as_deref(), camel.app_id.as_deref()), (Some("ios"), Some("__UNI__1")));
    assert_eq!((camel.device_id.as_deref(), camel.locale.as_deref()), (Some("d"), Some("en")));
    assert_eq!(camel.device_type.as_deref(), Some("phone"));
    assert_eq!(
        (camel.client_ip.as_deref(), camel.user_agent.as_deref()),
        (Some("1.2.3.4"), Some("u"))
    );
    let both = json!({"OS": "android", "osName": "ios", "PLATFORM": "", "platform": "ios"});
    let both = claims(both, json!({"uniPlatform": "app", "osName": "x", "appId": "a"}));
    assert_eq!(both.os.as_deref(), Some("android"));
    assert_eq!(both.app_id.as_deref(), Some("a"));
    // `ios` is a system, not one of uni-app's platforms.
    assert_eq!(both.platform.as_deref(), Some("app"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(
        cuts in prop::collection::vec((any::<u16>(), any::<u8>()), 0..4)
    ) {
        let mut bytes = priced(r#"1,"custom":{"a":[1.5,"\u00e9"]},"openid":null"#).into_bytes();
        for (at, byte) in cuts {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        if let Err(error) = read_create(&bytes) {
            let reply = replies::ENGLISH.refusal(&error);
            prop_assert!(matches!(reply.status().as_u16(), 400 | 401 | 422));
        }
    }
}

//! Notifications: which forms are believed, and what they mean.

use encoding_rs::{Encoding, GB18030, GBK, UTF_8};
use http::HeaderMap;
use paygate::domain::RefundState;
use paygate::provider::{Notification, NotificationError, RefundFee};
use proptest::prelude::*;

use super::*;

type Parameters = BTreeMap<String, String>;

/// A payment's notification, with everything that decoding twice would spoil.
fn payment() -> Parameters {
    let pairs = [
        ("app_id", APP_ID),
        ("auth_app_id", APP_ID),
        ("buyer_id", "2088102146225135"),
        ("buyer_pay_amount", "0.00"),
        ("charset", "utf-8"),
        ("fund_bill_list", r#"[{"amount":"0.01","fundChannel":"ALIPAYACCOUNT"}]"#),
        ("gmt_create", "2021-07-15 10:10:10"),
        ("gmt_payment", "2021-07-15 10:10:11"),
        ("notify_id", "2021071500222101011022561455000000"),
        ("notify_type", "trade_status_sync"),
        ("out_trade_no", NUMBER),
        ("passback_params", "a%3D1%26b%3D%2B"),
        ("seller_id", SELLER_ID),
        ("subject", "测试 a+b 100%"),
        ("total_amount", "0.01"),
        ("trade_no", "2021071522001"),
        ("trade_status", "TRADE_SUCCESS"),
        ("version", "1.0"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn with(mut parameters: Parameters, changes: &[(&str, &str)]) -> Parameters {
    for (name, value) in changes {
        match *value {
            "-" => parameters.remove(*name),
            value => parameters.insert((*name).to_owned(), value.to_owned()),
        };
    }
    parameters
}

fn content(parameters: &Parameters) -> String {
    let pairs: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn form(parameters: &Parameters) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

/// The form that tells `parameters`, signed by `key`.
fn signed_by(key: &SigningKey, parameters: &Parameters) -> String {
    let sign = key.sign(content(parameters).as_bytes());
    form(&with(parameters.clone(), &[("sign", &sign), ("sign_type", "RSA2")]))
}

fn signed(parameters: &Parameters) -> String {
    signed_by(&ALIPAY, parameters)
}

fn read_by(app: AlipayApp, body: &[u8]) -> Result<Notification, NotificationError> {
    let (transport, headers) = (RecordingTransport::new(""), HeaderMap::new());
    let notification = gateway(app);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let result = runtime.block_on(notification.read_notification(&headers, body, transport.call()));
    assert!(transport.sent().is_empty(), "no call comes of a notification");
    result
}

fn read(body: &str) -> Result<Notification, NotificationError> {
    read_by(app(), body.as_bytes())
}

/// What is told of a payment with `changes`.
fn read_payment(changes: &[(&str, &str)]) -> Result<Notification, NotificationError> {
    read(&signed(&with(payment(), changes)))
}

fn is_forged(result: &Result<Notification, NotificationError>) -> bool {
    matches!(result, Err(NotificationError::Forged { .. }))
}

fn number() -> ChannelNo {
    ChannelNo::first(&OutTradeNo::parse(NUMBER).unwrap())
}

#[test]
fn a_payment_has_its_number_and_price_after_one_decoding() {
    for status in ["TRADE_SUCCESS", "TRADE_FINISHED"] {
        let notification = read_payment(&[("trade_status", status)]);
        let Ok(Notification::Payment { channel_no, trade }) = notification else {
            panic!("{notification:?}")
        };
        assert_eq!(channel_no, number());
        assert_eq!(&*trade.transaction_id.0, "2021071522001");
        assert_eq!(Some(trade.total_fee), Fen::new(1), "not what the buyer paid of it");
        assert_eq!(trade.paid_at, Some(NOW.plus(1_000)));
        assert_eq!(trade.openid.as_deref(), Some("2088102146225135"));
        assert_eq!(trade.message["subject"], "测试 a+b 100%");
        assert_eq!(trade.message["passback_params"], "a%3D1%26b%3D%2B");
        assert!(trade.message.get("sign").is_none());
    }
    let open_id =
        read_payment(&[("buyer_open_id", "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5")]);
    let Ok(Notification::Payment { trade, .. }) = open_id else { panic!("{open_id:?}") };
    assert!(trade.openid.is_some_and(|it| it.starts_with("074a")));
}

#[test]
fn a_space_is_a_plus_or_percent_20_and_is_decoded_once() {
    let spaced = signed(&payment());
    assert!(spaced.contains("+a%2Bb+100%25"), "{spaced}");
    assert!(read(&spaced.replace('+', "%20")).is_ok());
    assert!(is_forged(&read(&spaced.replace("%2B", "+"))), "a plus was a space");
    assert!(is_forged(&read(&spaced.replace("%253D", "%3D"))), "decoded twice");
    assert!(is_forged(&read(&spaced.replace('%', "%25"))), "encoded twice");
    let encoded_again = with(payment(), &[("passback_params", "a%253D1")]);
    assert!(read(&signed(&encoded_again)).is_ok());
}

#[test]
fn what_alipay_did_not_sign_for_this_app_is_forged() {
    let good = signed(&payment());
    let sign = ALIPAY.sign(content(&payment()).as_bytes());
    let whole = |changes: &[(&str, &str)]| {
        let signature = [("sign", &*sign), ("sign_type", "RSA2")];
        form(&with(with(payment(), &signature), changes))
    };
    assert_eq!(good, whole(&[]));
    let with_type = with(payment(), &[("sign_type", "RSA2")]);
    let type_signed = ALIPAY.sign(content(&with_type).as_bytes());
    let rows = [
        ("empty", String::new()),
        ("a page", "<html>".to_owned()),
        ("json", r#"{"trade_status":"TRADE_SUCCESS"}"#.to_owned()),
        ("unsigned", form(&payment())),
        ("no sign", whole(&[("sign", "-")])),
        ("an empty sign", whole(&[("sign", "")])),
        ("no base64", whole(&[("sign", "***")])),
        ("a cut sign", whole(&[("sign", &sign[..340])])),
        ("signed by the shop itself", signed_by(&SHOP, &payment())),
        ("an empty one, signed by the shop", signed_by(&SHOP, &with(payment(), &[("body", "")]))),
        ("another amount", whole(&[("total_amount", "0.02")])),
        ("another number", whole(&[("out_trade_no", "2107151010101541002")])),
        ("another state", whole(&[("trade_status", "TRADE_FINISHED")])),
        ("something left out", whole(&[("gmt_create", "-")])),
        ("something added", whole(&[("gmt_refund", "2021-07-15 10:10:12")])),
        ("the address's own query", whole(&[("from", "notify")])),
        ("RSA with SHA-1", whole(&[("sign_type", "RSA")])),
        ("rsa2", whole(&[("sign_type", "rsa2")])),
        ("no sign_type", whole(&[("sign_type", "-")])),
        ("sign_type signed too", whole(&[("sign", &type_signed)])),
        ("another app's", signed(&with(payment(), &[("app_id", "2021001161683775")]))),
        ("no app's", signed(&with(payment(), &[("app_id", "-")]))),
        ("an amount twice", format!("{good}&total_amount=0.01")),
        ("another amount too", format!("total_amount=100.00&{good}")),
        ("an encoded name twice", format!("{good}&total%5Famount=0.01")),
        ("sign twice", format!("{good}&sign=x")),
        ("sign_type twice", format!("{good}&sign_type=RSA2")),
        ("an empty one twice", format!("{good}&a=&a=")),
        ("a wrong escape", good.replacen("%2B", "%2", 1)),
        ("no text", good.replacen("%E6%B5%8B", "%E6%B5", 1)),
        ("no charset", signed(&with(payment(), &[("charset", "klingon")]))),
        ("no ASCII", signed(&with(payment(), &[("charset", "utf-16le")]))),
        ("two forms", format!("{good}&{good}")),
    ];
    for (what, body) in rows {
        let result = read(&body);
        assert!(is_forged(&result), "{what}: {result:?}");
    }
    let bytes = [good.as_bytes(), b"&a=\xb2\xe2"].concat();
    assert!(is_forged(&read_by(app(), &bytes)), "GBK bytes");
    assert!(read(&signed(&with(payment(), &[("charset", "UTF-8")]))).is_ok());
}

/// The form of `parameters` in the characters of `encoding`, signed as it is written.
fn signed_in(encoding: &'static Encoding, parameters: &Parameters) -> Vec<u8> {
    let bytes = |text: &str| encoding.encode(text).0.into_owned();
    let escape = |bytes: &[u8]| url::form_urlencoded::byte_serialize(bytes).collect::<String>();
    let sign = ALIPAY.sign(&bytes(&content(parameters)));
    let all = with(parameters.clone(), &[("sign", &sign), ("sign_type", "RSA2")]);
    let pairs: Vec<String> = all
        .iter()
        .map(|(name, value)| format!("{}={}", escape(&bytes(name)), escape(&bytes(value))))
        .collect();
    pairs.join("&").into_bytes()
}

#[test]
fn a_genuine_notification_is_read_in_the_characters_that_it_names() {
    // A character whose second byte in GBK is a backslash, and one whose bytes are UTF-8, too.
    let subject = "测试 誠 联通";
    let encodings = [("GBK", GBK), ("gb2312", GBK), ("GB18030", GB18030), ("utf-8", UTF_8)];
    for (charset, encoding) in encodings.into_iter().chain([("-", UTF_8), ("-", GB18030)]) {
        let told = with(payment(), &[("charset", charset), ("subject", subject)]);
        let form = signed_in(encoding, &told);
        let read = read_by(app(), &form);
        let Ok(Notification::Payment { trade, .. }) = read else { panic!("{charset}: {read:?}") };
        assert_eq!(trade.message["subject"], subject, "{charset}");
        assert_eq!(trade.transaction_id.0.as_ref(), "2021071522001", "{charset}");
        let forged = [&form[..], b"&gmt_refund=1"].concat();
        assert!(is_forged(&read_by(app(), &forged)), "{charset}");
    }
}

#[test]
fn an_empty_parameter_is_an_absent_one_whether_it_was_signed_or_not() {
    let empty = [("body", ""), ("gmt_refund", ""), ("out_biz_no", ""), ("refund_fee", "")];
    let signed_too = signed(&with(payment(), &empty));
    let sign = ALIPAY.sign(content(&payment()).as_bytes());
    let left_out = form(&with(
        with(payment(), &empty),
        &[("sign", sign.as_str()), ("sign_type", "RSA2"), ("voucher_detail_list", "")],
    ));
    for body in [signed_too, left_out] {
        let notification = read(&body);
        assert!(matches!(notification, Ok(Notification::Payment { .. })), "{notification:?}");
    }
}

#[test]
fn another_sellers_payment_is_forged_when_a_seller_is_configured() {
    let ours = || AlipayApp { seller_id: Some(SELLER_ID.to_owned()), ..app() };
    let other = with(payment(), &[("seller_id", "2088000000000000")]);
    assert!(read_by(ours(), signed(&payment()).as_bytes()).is_ok());
    assert!(is_forged(&read_by(ours(), signed(&other).as_bytes())));
    assert!(read(&signed(&other)).is_ok(), "none is configured");
    // On behalf of another merchant the seller is that one's.
    let on_behalf = with(other, &[("auth_app_id", "2021009999999999")]);
    assert!(read_by(ours(), signed(&on_behalf).as_bytes()).is_ok());
}

#[test]
fn certificate_mode_verifies_with_the_configured_certificate() {
    for (sn, is_believed) in [("-", true), ("alipay-sn", true), ("other-sn", false)] {
        let body = signed(&with(payment(), &[("alipay_cert_sn", sn)]));
        let result = read_by(with_certificates(), body.as_bytes());
        assert_eq!(result.is_ok(), is_believed, "{sn}: {result:?}");
        assert!(is_believed || format!("{result:?}").contains("reissued"), "{result:?}");
    }
    let result = read_by(with_certificates(), signed_by(&SHOP, &payment()).as_bytes());
    assert!(is_forged(&result), "{result:?}");
}

#[test]
fn a_refund_differs_from_a_payment_by_the_refunded_amount() {
    let all = |fen| RefundFee::Total(Fen::new(fen).unwrap());
    let at = Some(NOW.plus(2_000));
    let gmt = ("gmt_refund", "2021-07-15 10:10:12.320");
    let closed = ("trade_status", "TRADE_CLOSED");
    let rows: [(&[(&str, &str)], _, _, _); 7] = [
        (&[gmt, ("refund_fee", "0.01"), ("out_biz_no", "R-1")], all(1), Some("R-1"), at),
        (&[gmt, ("refund_fee", "0.01"), ("out_biz_no", "R-1"), closed], all(1), Some("R-1"), at),
        (&[("refund_fee", "0.01")], all(1), None, None),
        (&[gmt], RefundFee::Unknown, None, at),
        (&[gmt, ("refund_fee", "0.00")], RefundFee::Unknown, None, at),
        (&[closed], RefundFee::Unknown, None, None),
        (
            &[closed, ("gmt_payment", "-"), ("out_biz_no", "R-1")],
            RefundFee::Unknown,
            Some("R-1"),
            None,
        ),
    ];
    for (changes, refund_fee, out_refund_no, refunded_at) in rows {
        let notification = read_payment(changes);
        let Ok(Notification::Refund(refund)) = notification else {
            panic!("{changes:?}: {notification:?}")
        };
        assert_eq!(refund.channel_no, number());
        assert_eq!(&*refund.transaction_id.0, "2021071522001");
        assert_eq!(refund.refund_fee, refund_fee, "{changes:?}");
        assert_eq!(refund.out_refund_no.as_deref(), out_refund_no);
        assert_eq!(refund.refunded_at, refunded_at);
        assert_eq!(refund.state, RefundState::Success);
        // It may be heard of before the payment, which it tells of too.
        let trade = refund.trade.unwrap();
        assert_eq!(Some(trade.total_fee), Fen::new(1));
        assert_eq!(trade.transaction_id, refund.transaction_id);
    }
    let payments: [&[(&str, &str)]; 3] =
        [&[("refund_fee", "0.00")], &[("refund_fee", "0")], &[("out_biz_no", "x")]];
    for changes in payments {
        let notification = read_payment(changes);
        assert!(
            matches!(notification, Ok(Notification::Payment { .. })),
            "{changes:?}: {notification:?}"
        );
    }
}

#[test]
fn what_else_is_genuine_is_nothing_to_do() {
    let unpaid = ("gmt_payment", "-");
    let rows: [(&[(&str, &str)], &str); 5] = [
        (&[unpaid, ("trade_status", "WAIT_BUYER_PAY")], "WAIT_BUYER_PAY"),
        (&[unpaid, ("trade_status", "TRADE_CLOSED")], "TRADE_CLOSED"),
        (&[("trade_status", "TRADE_PENDING")], "TRADE_PENDING"),
        (&[("trade_status", "-"), ("notify_type", "dut_user_sign")], "dut_user_sign"),
        (&[("trade_status", "-"), ("notify_type", "-")], "no trade_status"),
    ];
    for (changes, event) in rows {
        assert_eq!(
            read_payment(changes),
            Ok(Notification::Other { event: event.to_owned() }),
            "{changes:?}"
        );
    }
}

#[test]
fn a_genuine_payment_that_lacks_what_it_should_have_is_unreadable() {
    for (name, value) in [
        ("out_trade_no", "-"),
        ("out_trade_no", "a/b"),
        ("trade_no", "-"),
        ("trade_no", ""),
        ("total_amount", "-"),
        ("total_amount", "0.001"),
        ("total_amount", "1e2"),
        ("total_amount", "-0.01"),
        ("total_amount", "100000000.01"),
    ] {
        for refund in [None, Some(("refund_fee", "0.01"))] {
            let changes: Vec<_> = [(name, value)].into_iter().chain(refund).collect();
            let result = read_payment(&changes);
            let is_unreadable = matches!(result, Err(NotificationError::Unreadable { .. }));
            assert!(is_unreadable, "{name} {value}: {result:?}");
        }
    }
}

#[test]
fn a_message_is_of_the_attempt_whose_number_and_app_it_names() {
    let attempt = attempt(app(), Product::Precreate, &terms());
    let is_of = |changes: &[(&str, &str)]| {
        let message = serde_json::to_value(with(payment(), changes)).unwrap();
        gateway(app()).matches_attempt(&attempt, &message)
    };
    assert!(is_of(&[]));
    assert!(!is_of(&[("out_trade_no", "2107151010101541002")]));
    assert!(!is_of(&[("app_id", "2021001161683775")]));
    assert!(!is_of(&[("app_id", "-")]));
    assert!(!gateway(app()).matches_attempt(&attempt, &serde_json::Value::Null));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_are_believed(body in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(is_forged(&read_by(app(), &body)));
    }

    #[test]
    fn no_shape_is_believed(body in "((app_id|sign|sign_type|a)=(RSA2|%|%2|%FF|2021001161683774)?&?){0,6}") {
        prop_assert!(is_forged(&read(&body)));
    }

    #[test]
    fn no_changed_bit_makes_another_message(at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let good = signed(&payment());
        let genuine = read(&good).unwrap();
        let mut body = good.into_bytes();
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        // A letter's case within an escape changes nothing.
        let result = read_by(app(), &body);
        prop_assert!(is_forged(&result) || result == Ok(genuine), "{:?}", result);
    }
}

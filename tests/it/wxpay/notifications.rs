//! Notifications: what is believed of them, and what they mean.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use paygate::domain::{PayType, RefundState, TransactionId};
use paygate::provider::{Provider, RefundFee, RefundNotification};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::responses::{paid, unverifiable};
use super::*;

const NONCE: &str = "fdasflkja484";

/// `text` as WeChat Pay seals it with `key`.
fn sealed(text: &str, key: &str) -> Value {
    let sealing = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_bytes()).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(NONCE.as_bytes()).unwrap();
    let mut sealed = text.as_bytes().to_vec();
    sealing.seal_in_place_append_tag(nonce, Aad::from("transaction"), &mut sealed).unwrap();
    json!({
        "algorithm": "AEAD_AES_256_GCM", "original_type": "transaction", "nonce": NONCE,
        "associated_data": "transaction", "ciphertext": STANDARD.encode(sealed),
    })
}

fn enveloped(event: &str, resource: &Value) -> String {
    json!({
        "id": "EV-2018022511223320873", "create_time": "2023-11-15T06:13:20+08:00",
        "resource_type": "encrypt-resource", "event_type": event, "summary": "支付成功",
        "resource": resource,
    })
    .to_string()
}

/// The body that tells the merchant `message`.
pub(super) fn notification_body(event: &str, message: &Value) -> String {
    enveloped(event, &sealed(&message.to_string(), API_V3_KEY))
}

/// How `v3` reads a notification; nothing may be sent because of it.
async fn read(v3: &V3, notification: Response<Bytes>) -> Result<Notification, NotificationError> {
    let transport = ScriptedTransport::new(|_| unreachable!("no call comes of a notification"));
    let (head, body) = notification.into_parts();
    let result = v3.read_notification(&head.headers, &body, transport.call()).await;
    assert_eq!(transport.seen().len(), 0);
    result
}

/// How a notification is read that WeChat Pay signed.
async fn read_signed(body: &str) -> Result<Notification, NotificationError> {
    read(&v3(), signed(200, body)).await
}

fn is_forged(result: &Result<Notification, NotificationError>) -> bool {
    matches!(result, Err(NotificationError::Forged { .. }))
}

fn is_unreadable(result: &Result<Notification, NotificationError>) -> bool {
    matches!(result, Err(NotificationError::Unreadable { .. }))
}

fn number() -> ChannelNo {
    ChannelNo::first(&OutTradeNo::parse(NUMBER).unwrap())
}

fn changed(message: &Value, at: &str, value: Value) -> Value {
    let mut message = message.clone();
    match message.pointer_mut(at) {
        Some(place) => *place = value,
        None => message[&at[1..]] = value,
    }
    message
}

#[tokio::test]
async fn a_payment_has_its_number_and_full_price() {
    for state in ["SUCCESS", "REFUND"] {
        let message = changed(&paid(), "/trade_state", state.into());
        let notification = read_signed(&notification_body("TRANSACTION.SUCCESS", &message)).await;
        let Ok(Notification::Payment { channel_no, trade }) = notification else {
            panic!("{notification:?}")
        };
        assert_eq!(channel_no, number());
        assert_eq!(trade.transaction_id, TransactionId("4200001".into()));
        assert_eq!(Some(trade.total_fee), Fen::new(100), "not what coupons left of it");
        assert_eq!(trade.paid_at, Some(NOW.plus(40_000)));
        assert_eq!(trade.openid.as_deref(), Some("oUpF8"));
        assert_eq!(*trade.message, message);
    }
}

#[tokio::test]
async fn what_wechat_pay_did_not_sign_is_forged() {
    let body = notification_body("TRANSACTION.SUCCESS", &paid());
    let v3 = v3();
    for (what, notification) in unverifiable(200, &body) {
        let result = read(&v3, notification).await;
        assert!(is_forged(&result), "{what}: {result:?}");
    }
    // Stolen headers do not fit another body.
    let other =
        notification_body("TRANSACTION.SUCCESS", &changed(&paid(), "/amount/total", 1.into()));
    let (head, _) = signed(200, &body).into_parts();
    let result = read(&v3, Response::from_parts(head, other.into())).await;
    assert!(is_forged(&result), "{result:?}");
}

#[tokio::test]
async fn a_probe_fails_as_any_forgery_and_has_its_name() {
    let mut probe = signed(200, &notification_body("TRANSACTION.SUCCESS", &paid()));
    let name = "wechatpay-signature";
    let wrong = format!("WECHATPAY/SIGNTEST/{}", probe.headers()[name].to_str().unwrap());
    probe.headers_mut().insert(name, wrong.parse().unwrap());
    let result = read(&v3(), probe).await;
    assert!(is_forged(&result) && format!("{result:?}").contains("probe"), "{result:?}");
}

#[tokio::test]
async fn an_old_notification_names_its_age_or_the_clock() {
    let then = NOW.plus(-301_000);
    let body = notification_body("TRANSACTION.SUCCESS", &paid());
    let replayed = signed_by((&WECHAT_KEY, PUBLIC_KEY_ID), then, 200, &body);
    let result = read(&v3(), replayed).await;
    assert!(is_forged(&result) && format!("{result:?}").contains("301 s ahead"), "{result:?}");
}

#[tokio::test]
async fn what_is_sealed_wrong_is_an_error_and_never_a_panic() {
    let good = sealed(&paid().to_string(), API_V3_KEY);
    let rows: [(&str, &str, Value); 16] = [
        ("no nonce's length", "/nonce", "".into()),
        ("eleven bytes of nonce", "/nonce", "fdasflkja48".into()),
        ("thirteen bytes of nonce", "/nonce", "fdasflkja4844".into()),
        ("sixteen bytes of nonce", "/nonce", "fdasflkja4844848".into()),
        ("another nonce", "/nonce", "fdasflkja485".into()),
        ("a nonce that is none", "/nonce", 12.into()),
        ("no base64", "/ciphertext", "***".into()),
        ("no ciphertext", "/ciphertext", "".into()),
        ("fifteen bytes", "/ciphertext", STANDARD.encode([0; 15]).into()),
        ("sixteen bytes", "/ciphertext", STANDARD.encode([0; 16]).into()),
        ("a ciphertext that is none", "/ciphertext", json!([1])),
        ("other associated data", "/associated_data", "refund".into()),
        ("no associated data", "/associated_data", "".into()),
        ("a huge associated data", "/associated_data", "x".repeat(1 << 20).into()),
        ("another algorithm", "/algorithm", "AEAD_SM4_GCM".into()),
        ("no algorithm", "/algorithm", ().into()),
    ];
    for (what, at, value) in rows {
        let body = enveloped("TRANSACTION.SUCCESS", &changed(&good, at, value));
        let result = read_signed(&body).await;
        assert!(is_unreadable(&result), "{what}: {result:?}");
    }
    let other_key = sealed(&paid().to_string(), &"f".repeat(32));
    for event in ["TRANSACTION.SUCCESS", "REFUND.SUCCESS"] {
        let result = read_signed(&enveloped(event, &other_key)).await;
        assert!(is_unreadable(&result), "an operator's key is wrong: {result:?}");
        let text = "the provider's, and not readable: its resource was not sealed with this \
                    APIv3 key, or was changed";
        assert_eq!(result.unwrap_err().to_string(), text);
        for resource in [json!(null), json!({}), json!("x"), json!([])] {
            let result = read_signed(&enveloped(event, &resource)).await;
            assert!(is_unreadable(&result), "{resource}: {result:?}");
        }
        for text in ["", "null", "[]", "{", "\u{feff}{}", &"[".repeat(100_000)] {
            let result = read_signed(&enveloped(event, &sealed(text, API_V3_KEY))).await;
            assert!(is_unreadable(&result), "{text:.10}: {result:?}");
        }
    }
}

#[tokio::test]
async fn another_merchants_notification_is_forged_here() {
    for (at, value) in
        [("/mchid", json!("1900000002")), ("/mchid", json!(null)), ("/sub_mchid", json!("19"))]
    {
        let message = changed(&paid(), at, value.clone());
        let result = read_signed(&notification_body("TRANSACTION.SUCCESS", &message)).await;
        assert!(is_forged(&result), "{at} {value}: {result:?}");
        let message = changed(&refunded(), at, value.clone());
        let result = read_signed(&notification_body("REFUND.SUCCESS", &message)).await;
        assert!(is_forged(&result), "{at} {value}: {result:?}");
    }
}

#[tokio::test]
async fn a_genuine_payment_that_lacks_what_it_should_have_is_unreadable() {
    let changes: [(&str, Value); 13] = [
        ("/trade_state", "NOTPAY".into()),
        ("/trade_state", "CLOSED".into()),
        ("/trade_state", ().into()),
        ("/out_trade_no", ().into()),
        ("/out_trade_no", "a".into()),
        ("/out_trade_no", "2107151010|541001".into()),
        ("/transaction_id", ().into()),
        ("/transaction_id", "".into()),
        ("/amount", ().into()),
        ("/amount/total", ().into()),
        ("/amount/total", (-1).into()),
        ("/amount/total", 1.5.into()),
        ("/amount/total", 10_000_000_001_u64.into()),
    ];
    for (at, value) in changes {
        let message = changed(&paid(), at, value.clone());
        let result = read_signed(&notification_body("TRANSACTION.SUCCESS", &message)).await;
        assert!(is_unreadable(&result), "{at} {value}: {result:?}");
    }
}

#[tokio::test]
async fn a_payment_in_another_currency_is_never_the_orders_price() {
    let message = changed(&paid(), "/amount/currency", "USD".into());
    match read_signed(&notification_body("TRANSACTION.SUCCESS", &message)).await {
        Ok(Notification::OtherCurrencyPayment { channel_no, trade, currency }) => {
            assert_eq!((channel_no, &*currency), (number(), "USD"));
            assert_eq!(trade.transaction_id, TransactionId("4200001".into()));
        }
        other => panic!("{other:?}"),
    }
    let mut message = paid();
    message["amount"].as_object_mut().unwrap().remove("currency");
    let result = read_signed(&notification_body("TRANSACTION.SUCCESS", &message)).await;
    assert!(matches!(result, Ok(Notification::Payment { .. })), "CNY where none is named");
}

/// A refund, as a notification tells it.
fn refunded() -> Value {
    json!({
        "mchid": "1900000001", "out_trade_no": NUMBER, "transaction_id": "4200001",
        "out_refund_no": "R-1", "refund_id": "5030001", "refund_status": "SUCCESS",
        "success_time": "2023-11-15T06:14:00+08:00", "user_received_account": "支付用户零钱",
        "amount": { "total": 100, "refund": 40, "payer_total": 90, "payer_refund": 36 },
    })
}

#[tokio::test]
async fn a_refund_differs_from_a_payment_and_has_this_refunds_amount() {
    for (event, status, state) in [
        ("REFUND.SUCCESS", "SUCCESS", RefundState::Success),
        ("REFUND.ABNORMAL", "ABNORMAL", RefundState::Abnormal),
        ("REFUND.CLOSED", "CLOSED", RefundState::Closed),
        ("REFUND.SUCCESS", "PROCESSING", RefundState::Processing),
    ] {
        let message = changed(&refunded(), "/refund_status", status.into());
        let expected = RefundNotification {
            channel_no: number(),
            transaction_id: TransactionId("4200001".into()),
            out_refund_no: Some("R-1".to_owned()),
            refund_id: Some("5030001".to_owned()),
            state,
            refund_fee: RefundFee::This(Fen::new(40).unwrap()),
            refunded_at: Some(NOW.plus(40_000)),
            trade: None,
            message: Arc::new(message.clone()),
        };
        assert_eq!(
            read_signed(&notification_body(event, &message)).await,
            Ok(Notification::Refund(expected))
        );
    }
    let mut failed = refunded();
    failed.as_object_mut().unwrap().remove("success_time");
    let Ok(Notification::Refund(refund)) =
        read_signed(&notification_body("REFUND.CLOSED", &failed)).await
    else {
        panic!("a refund that failed has no time")
    };
    assert_eq!(refund.refunded_at, None);
}

#[tokio::test]
async fn a_genuine_refund_that_lacks_what_it_should_have_is_unreadable() {
    let changes: [(&str, Value); 9] = [
        ("/refund_status", "SOMETHING_NEW".into()),
        ("/refund_status", ().into()),
        ("/out_trade_no", "a/b".into()),
        ("/out_refund_no", "".into()),
        ("/refund_id", ().into()),
        ("/transaction_id", "".into()),
        ("/amount", ().into()),
        ("/amount/refund", (-1).into()),
        ("/amount/refund", 10_000_000_001_u64.into()),
    ];
    for (at, value) in changes {
        let message = changed(&refunded(), at, value.clone());
        let result = read_signed(&notification_body("REFUND.SUCCESS", &message)).await;
        assert!(is_unreadable(&result), "{at} {value}: {result:?}");
    }
    // One is not taken for the other.
    assert!(is_unreadable(
        &read_signed(&notification_body("TRANSACTION.SUCCESS", &refunded())).await
    ));
    assert!(is_unreadable(&read_signed(&notification_body("REFUND.SUCCESS", &paid())).await));
}

#[tokio::test]
async fn what_else_is_genuine_is_nothing_to_do() {
    for event in ["TRANSACTION.PAYSCORE", "PAYSCORE.USER_OPEN_SERVICE", "", "refund.success"] {
        let body = enveloped(event, &json!(null));
        assert_eq!(read_signed(&body).await, Ok(Notification::Other { event: event.to_owned() }));
    }
    let long = enveloped(&"长\n".repeat(9_000), &json!({}));
    let Ok(Notification::Other { event }) = read_signed(&long).await else {
        panic!("another event")
    };
    assert_eq!(event.chars().count(), 64, "cut to what a log can bear");
}

#[tokio::test]
async fn a_v2_body_is_forged_and_an_empty_one_too() {
    let xml = "<xml><return_code><![CDATA[SUCCESS]]></return_code><req_info>x</req_info></xml>";
    for body in [xml, "", "<!DOCTYPE a [<!ENTITY b \"c\">]><xml>&b;</xml>", "{}"] {
        let result = read(&v3(), Response::new(Bytes::from(body.to_owned()))).await;
        assert!(is_forged(&result), "{body}: {result:?}");
        let result = read_signed(body).await;
        assert!(is_unreadable(&result), "{body}: {result:?}");
    }
}

#[tokio::test]
async fn a_partners_notification_names_both_merchants() {
    let mut payment = json!({
        "sp_appid": "wxmini", "sp_mchid": "1900000001", "sub_mchid": "1900000109",
        "out_trade_no": NUMBER, "trade_state": "SUCCESS", "transaction_id": "42",
        "amount": { "total": 1 }, "payer": { "sp_openid": "sp" },
    });
    let notification = read_signed(&notification_body("TRANSACTION.SUCCESS", &payment)).await;
    assert!(matches!(notification, Ok(Notification::Payment { .. })), "{notification:?}");
    let mut refund = refunded();
    refund["sp_mchid"] = "1900000001".into();
    refund["sub_mchid"] = "1900000109".into();
    refund["mchid"] = ().into();
    let notification = read_signed(&notification_body("REFUND.SUCCESS", &refund)).await;
    assert!(matches!(notification, Ok(Notification::Refund(_))), "{notification:?}");

    let mut scene = Scene::of(PayType::WxpayMpWeixin);
    scene.terms.sub_mchid = Some("1900000109".to_owned());
    let v3 = v3();
    let attempt = scene.attempt(&v3);
    let own = Scene::of(PayType::WxpayMpWeixin).attempt(&v3);
    for message in [&mut payment, &mut refund] {
        assert!(v3.matches_attempt(&attempt, message));
        assert!(!v3.matches_attempt(&own, message), "not an order of the partner's own");
        message["sub_mchid"] = "1900000110".into();
        assert!(!v3.matches_attempt(&attempt, message), "of another of its merchants");
        message["sub_mchid"] = "1900000109".into();
        message["sp_mchid"] = "1900000002".into();
        assert!(!v3.matches_attempt(&attempt, message));
    }
}

#[test]
fn a_message_is_of_the_attempt_whose_number_app_and_merchant_it_names() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayMpWeixin).attempt(&v3);
    assert!(v3.matches_attempt(&attempt, &paid()));
    assert!(v3.matches_attempt(&attempt, &refunded()), "a refund's names no app");
    for (at, value) in [
        ("/out_trade_no", json!("2107151010101541002")),
        ("/mchid", json!("1900000002")),
        ("/mchid", json!(null)),
        ("/sub_mchid", json!("1900000109")),
    ] {
        assert!(
            !v3.matches_attempt(&attempt, &changed(&paid(), at, value.clone())),
            "{at} {value}"
        );
        assert!(
            !v3.matches_attempt(&attempt, &changed(&refunded(), at, value.clone())),
            "{at} {value}"
        );
    }
    for app in [json!("wxother"), json!(null)] {
        assert!(!v3.matches_attempt(&attempt, &changed(&paid(), "/appid", app.clone())), "{app}");
    }
    for message in [json!(null), json!({}), json!([]), json!("x")] {
        assert!(!v3.matches_attempt(&attempt, &message), "{message}");
    }
}

#[tokio::test]
async fn accounts_share_what_signs_and_never_what_seals() {
    let other_key = "f".repeat(32);
    let mut merchant = merchant(public_key());
    let other = WxpayAccount {
        mch_id: "1900000002".to_owned(),
        api_v3_key: Secret::new(other_key.clone()),
        ..account(public_key())
    };
    merchant.apps.get_mut(&PayType::WxpayH5).unwrap().account = Arc::new(other);
    let v3 = V3::new(merchant).unwrap();
    let message = changed(&paid(), "/mchid", "1900000002".into());
    for (mch_id, key, is_told) in [
        ("1900000001", API_V3_KEY, true),
        ("1900000002", &other_key, true),
        ("1900000001", &other_key, false),
        ("1900000002", API_V3_KEY, false),
    ] {
        let text = changed(&message, "/mchid", mch_id.into()).to_string();
        let body = enveloped("TRANSACTION.SUCCESS", &sealed(&text, key));
        let result = read(&v3, signed(200, &body)).await;
        assert_eq!(result.is_ok(), is_told, "{mch_id}: {result:?}");
        assert_eq!(is_forged(&result), !is_told, "{mch_id}: {result:?}");
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Texts that look like a notification's parts.
const SHAPE: &str = r#"[\[\]{}",:0-9a-z_A-Z ]{0,60}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_signed_body_makes_it_panic(body in SHAPE, resource in SHAPE) {
        prop_assert!(block(read_signed(&body)).is_err());
        let sealed = sealed(&resource, API_V3_KEY);
        prop_assert!(block(read_signed(&enveloped("TRANSACTION.SUCCESS", &sealed))).is_err());
        prop_assert!(block(read_signed(&enveloped("REFUND.SUCCESS", &sealed))).is_err());
    }

    #[test]
    fn no_changed_bit_is_believed(at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let body = notification_body("TRANSACTION.SUCCESS", &paid());
        let (head, body) = signed(200, &body).into_parts();
        let mut body = body.to_vec();
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        let result = block(read(&v3(), Response::from_parts(head, body.into())));
        prop_assert!(is_forged(&result), "{:?}", result);
    }
}

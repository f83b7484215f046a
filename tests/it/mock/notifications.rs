//! Notifications of payments: by the providers' protocols, on their schedules, verified here by
//! other means than the mock's.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use paygate::mock::{InvalidSignature, SignedNotification};
use url::form_urlencoded;

use super::*;

impl Merchant {
    /// A paid order at each provider.
    async fn sold() -> Merchant {
        let merchant = Merchant::new();
        merchant.sell().await;
        merchant
    }

    async fn sell(&self) {
        self.order("native", &native()).await;
        self.alipay("alipay.trade.precreate", &qr("0.01")).await;
        for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
            self.pay(provider, PayWith::OutTradeNo(NO.to_owned())).unwrap();
        }
    }

    /// The notifications that are due, WeChat Pay's first.
    pub(super) fn due_notifications(&self) -> Vec<SignedNotification> {
        let mut sent = self.providers.notifications();
        sent.sort_by_key(|it| it.provider);
        sent
    }

    pub(super) fn refuse(&self, sent: &[SignedNotification]) {
        sent.iter().for_each(|it| self.providers.record_answer(it, 503, b"later"));
    }
}

fn header<'a>(notification: &'a SignedNotification, name: &str) -> &'a str {
    notification.headers[name].to_str().unwrap()
}

/// Whether the four headers verify, with the key that the serial number names.
pub(super) fn wxpay_signed(notification: &SignedNotification) -> bool {
    let mut response = Response::new(notification.body.clone());
    *response.headers_mut() = notification.headers.clone();
    wxpay_verifies(&response)
}

/// The content of WeChat Pay's envelope.
fn opened(notification: &SignedNotification) -> Value {
    opened_as(notification, "TRANSACTION.SUCCESS", "transaction")
}

pub(super) fn opened_as(
    notification: &SignedNotification,
    event: &str,
    original_type: &str,
) -> Value {
    let envelope: Value = serde_json::from_slice(&notification.body).unwrap();
    assert_eq!(envelope["event_type"], event);
    assert_eq!(envelope["resource_type"], "encrypt-resource");
    let resource = &envelope["resource"];
    assert_eq!(resource["algorithm"], "AEAD_AES_256_GCM");
    assert_eq!(resource["original_type"], original_type);
    let text = |name: &str| resource[name].as_str().unwrap().to_owned();
    let key = UnboundKey::new(&AES_256_GCM, keys::API_V3_KEY.as_bytes()).unwrap();
    let nonce = Nonce::try_assume_unique_for_key(text("nonce").as_bytes()).unwrap();
    let associated = text("associated_data");
    let mut sealed = STANDARD.decode(text("ciphertext")).unwrap();
    let plain = LessSafeKey::new(key)
        .open_in_place(nonce, Aad::from(associated.as_bytes()), &mut sealed)
        .unwrap();
    serde_json::from_slice(plain).unwrap()
}

/// Alipay's fields, and whether the signature over all but `sign` and `sign_type` verifies.
pub(super) fn read(notification: &SignedNotification) -> (Value, bool) {
    let mut fields: Vec<(String, String)> =
        form_urlencoded::parse(&notification.body).into_owned().collect();
    let all: Value = fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    fields.retain(|(name, _)| name != "sign" && name != "sign_type");
    fields.sort();
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let key = VerifyingKey::parse(keys::ALIPAY_PUBLIC_KEY_PEM.as_bytes()).unwrap();
    let verified = key.verifies(pairs.join("&").as_bytes(), all["sign"].as_str().unwrap());
    (all, verified)
}

#[tokio::test]
async fn a_payment_is_notified_in_the_form_of_wechat_pay() {
    let merchant = Merchant::sold().await;
    let sent = &merchant.due_notifications()[0];
    assert_eq!(sent.url.as_str(), "https://shop.example.com/pay/notify");
    assert_eq!(header(sent, "content-type"), "application/json");
    assert_eq!(header(sent, "wechatpay-serial"), keys::WXPAY_PUBLIC_KEY_ID);
    assert!(wxpay_signed(sent));
    let trade = opened(sent);
    assert_eq!(trade["out_trade_no"], NO);
    assert_eq!(trade["trade_state"], "SUCCESS");
    assert_eq!(trade["amount"]["total"], 1);
    assert_eq!(trade["mchid"], keys::MCH_ID);
    assert_eq!(trade["appid"], keys::WXPAY_APP_H5);
    assert_eq!(trade, merchant.ask(NO).await.1, "a query tells the same");
}

#[tokio::test]
async fn a_merchant_with_certificates_is_notified_under_the_platforms() {
    let merchant = Merchant::new();
    let path = format!("{ORDERS}/native");
    let now = merchant.clock.now();
    let mut request = wxpay_request(now, "POST", &path, &native().to_string());
    request.headers_mut().remove("wechatpay-serial");
    merchant.send(request).await;
    merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned())).unwrap();
    let sent = &merchant.due_notifications()[0];
    assert_eq!(header(sent, "wechatpay-serial"), keys::WXPAY_PLATFORM_SERIAL_NO);
    assert!(wxpay_signed(sent));
}

#[tokio::test]
async fn a_payment_is_notified_in_the_form_of_alipay() {
    let merchant = Merchant::sold().await;
    let sent = &merchant.due_notifications()[1];
    assert_eq!(sent.url.as_str(), "https://shop.example.com/pay/notify?a=1&b=2");
    assert!(header(sent, "content-type").starts_with("application/x-www-form-urlencoded"));
    let (fields, verified) = read(sent);
    assert!(verified, "{fields}");
    for (name, value) in [
        ("notify_type", "trade_status_sync"),
        ("trade_status", "TRADE_SUCCESS"),
        ("out_trade_no", NO),
        ("total_amount", "0.01"),
        ("app_id", keys::ALIPAY_APP_MP_ALIPAY),
        ("seller_id", keys::ALIPAY_SELLER_ID),
        ("subject", "tea"),
        ("sign_type", "RSA2"),
        ("gmt_payment", "2025-06-15 23:06:40"),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
    let order = &merchant.providers.orders()[1];
    assert_eq!(fields["trade_no"], json!(order.transaction_id));
    assert_eq!(fields["buyer_id"], json!(order.payments[0].payer));
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_signed_anew_under_the_same_id() {
    let merchant = Merchant::sold().await;
    let first = merchant.due_notifications();
    assert_eq!(first.len(), 2);
    assert!(merchant.due_notifications().is_empty(), "it is on its way");
    merchant.refuse(&first);
    merchant.providers.advance_ms(15_000 - 1);
    assert!(merchant.due_notifications().is_empty());
    merchant.clock.0.fetch_add(10 * MINUTE_MS, Ordering::Relaxed);
    let again = merchant.due_notifications();
    assert_eq!(again.len(), 2);
    assert!(wxpay_signed(&again[0]) && read(&again[1]).1);
    let stamp = |notification: &SignedNotification| {
        header(notification, "wechatpay-timestamp").parse::<i64>().unwrap()
    };
    assert_eq!(stamp(&again[0]) - stamp(&first[0]), 600, "the time is that of the delivery");
    let id = |notification: &SignedNotification| {
        serde_json::from_slice::<Value>(&notification.body).unwrap()["id"].clone()
    };
    assert_eq!(id(&first[0]), id(&again[0]));
    let (before, after) = (read(&first[1]).0, read(&again[1]).0);
    assert_eq!(before["notify_id"], after["notify_id"]);
    assert_ne!(before["notify_time"], after["notify_time"]);

    merchant.providers.record_answer(&again[0], 204, b"");
    merchant.providers.record_answer(&again[1], 200, b"success");
    merchant.providers.advance_ms(2 * DAY_MS);
    assert!(merchant.due_notifications().is_empty(), "acknowledged is acknowledged");
    assert_eq!(merchant.providers.next_notification(), None);
    for order in merchant.providers.orders() {
        let notice = &order.payments[0].notification;
        let statuses: Vec<_> = notice.deliveries.iter().map(|it| it.status).collect();
        let last = if order.provider == ProviderId::Wxpay { 204 } else { 200 };
        assert_eq!(statuses, [Some(503), Some(last)]);
        assert!(notice.acknowledged.is_some() && notice.deliveries[0].answer == "later");
    }
}

#[tokio::test]
async fn what_was_sent_before_the_process_died_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let merchant = Merchant::with_ledger(Some(&path));
    merchant.sell().await;
    let sent = merchant.due_notifications();
    merchant.providers.record_answer(&sent[0], 200, "好".repeat(500).as_bytes());
    drop(merchant);
    let merchant = Merchant::with_ledger(Some(&path));
    let orders = merchant.providers.orders();
    assert_eq!(orders[0].payments[0].notification.deliveries[0].answer, "好".repeat(200));
    assert_eq!(orders[1].payments[0].notification.deliveries[0].status, None);
    merchant.providers.advance_ms(HOUR_MS);
    let again = merchant.due_notifications();
    assert_eq!(again.len(), 1, "only the one without an answer");
    assert_eq!(again[0].provider, ProviderId::Alipay);
}

#[tokio::test]
async fn notifications_fail_on_demand() {
    let sold_with = async |kinds: &[FaultKind]| {
        let merchant = Merchant::new();
        for kind in kinds {
            let fault =
                SimulatedFault { provider: None, operation: None, kind: kind.clone(), times: 2 };
            merchant.providers.add_fault(fault);
        }
        merchant.sell().await;
        merchant
    };
    let never = sold_with(&[FaultKind::NotifyNever]).await;
    never.providers.advance_ms(2 * DAY_MS);
    assert!(never.due_notifications().is_empty());
    assert_eq!(never.ask(NO).await.1["trade_state"], "SUCCESS", "a query still tells");

    let twice = sold_with(&[FaultKind::NotifyTwice]).await;
    let sent = twice.due_notifications();
    assert_eq!((sent.len(), &sent[0].body), (4, &sent[1].body));
    twice.providers.record_answer(&sent[0], 200, b"");
    twice.providers.record_answer(&sent[1], 500, b"");
    assert_eq!(twice.providers.orders()[0].payments[0].notification.due, None, "once is enough");

    let slow = sold_with(&[FaultKind::NotifySlow { ms: 90_000 }]).await;
    assert!(slow.due_notifications().is_empty());
    slow.providers.advance_ms(90_000);
    assert_eq!(slow.due_notifications().len(), 2);

    let wrong = sold_with(&[FaultKind::WrongAmount]).await;
    let sent = wrong.due_notifications();
    assert_eq!(opened(&sent[0])["amount"]["total"], 2);
    assert_eq!(read(&sent[1]).0["total_amount"], "0.02");
    assert!(wxpay_signed(&sent[0]) && read(&sent[1]).1);
    assert_eq!(wrong.ask(NO).await.1["amount"]["total"], 2, "a query tells the same");
    let (_, trade) = wrong.alipay("alipay.trade.query", &json!({ "out_trade_no": NO })).await;
    assert_eq!(trade["total_amount"], "0.02");

    let foreign = sold_with(&[FaultKind::ForeignCurrency]).await;
    let sent = foreign.due_notifications();
    let amount = json!({
        "total": 1, "payer_total": 1, "currency": "USD", "payer_currency": "USD",
    });
    assert_eq!(opened(&sent[0])["amount"], amount);
    assert_eq!(foreign.ask(NO).await.1["amount"], amount);
    assert_eq!(read(&sent[1]).0["total_amount"], "0.01", "Alipay's payments have no currency");
    let left = foreign.control("GET", "faults", "").await.1;
    assert_eq!(left["faults"][0]["times"], 1, "one of two happened");
}

#[tokio::test]
async fn what_another_signed_comes_before_the_true_one_and_its_answer_counts_for_nothing() {
    for (kind, forgery) in [
        (FaultKind::NotifyWrongKey, InvalidSignature::WrongKey),
        (FaultKind::NotifyProbe, InvalidSignature::Probe),
    ] {
        let merchant = Merchant::new();
        merchant.providers.add_fault(SimulatedFault {
            provider: None,
            operation: None,
            kind,
            times: 2,
        });
        merchant.sell().await;
        let forged = merchant.due_notifications();
        assert!(!wxpay_signed(&forged[0]) && !read(&forged[1]).1);
        let is_probe = header(&forged[0], "wechatpay-signature").starts_with("WECHATPAY/SIGNTEST/");
        assert_eq!(is_probe, forgery == InvalidSignature::Probe);
        merchant.providers.record_answer(&forged[0], 200, b"");
        merchant.providers.record_answer(&forged[1], 401, b"failure");
        let sent = merchant.due_notifications();
        assert!(sent.len() == 2 && wxpay_signed(&sent[0]) && read(&sent[1]).1);
        for order in merchant.providers.orders() {
            let notice = &order.payments[0].notification;
            let rejected: Vec<_> =
                notice.deliveries.iter().map(|it| it.invalid_signature).collect();
            assert_eq!((rejected, notice.tries), (vec![Some(forgery), None], 1));
            assert_eq!(notice.acknowledged, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_notification_can_come_before_the_order_call_is_answered() {
    let merchant = Merchant::new();
    merchant.add_fault(FaultKind::PayBeforeReply { ms: 3_000 });
    let path = format!("{ORDERS}/native");
    let request = wxpay_request(merchant.clock.now(), "POST", &path, &native().to_string());
    let call = merchant.providers.send(request, Duration::from_secs(8));
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        merchant.due_notifications()
    };
    let mut call = std::pin::pin!(call);
    let sent = tokio::select! {
        _ = call.as_mut() => panic!("the answer came first"),
        sent = meanwhile => sent,
    };
    assert_eq!(opened(&sent[0])["trade_state"], "SUCCESS");
    let reply = call.await.unwrap();
    assert!(json_of(&reply)["code_url"].is_string());
}

#[tokio::test]
async fn a_person_sends_a_notification_again_and_hurries_the_next() {
    let merchant = Merchant::sold().await;
    for notification in merchant.due_notifications() {
        merchant.providers.record_answer(&notification, 200, b"success");
    }
    let which = json!({ "provider": "alipay", "out_trade_no": NO }).to_string();
    assert_eq!(merchant.control("POST", "notifications", &which).await.0, 200);
    let sent = merchant.due_notifications();
    assert_eq!(sent.len(), 1);
    merchant.refuse(&sent);
    assert!(merchant.providers.next_notification().is_none(), "it was acknowledged before");
    let (_, list) = merchant.control("GET", "notifications", "").await;
    let list = list["notifications"].as_array().unwrap().clone();
    let alipay = list.iter().find(|it| it["provider"] == "alipay").unwrap();
    assert_eq!(alipay["deliveries"][1]["status"], 503);
    let unknown = json!({ "provider": "wxpay", "out_trade_no": "unknown" }).to_string();
    assert_eq!(merchant.control("POST", "notifications", &unknown).await.0, 409);

    let merchant = Merchant::new();
    let hurry = merchant.control("POST", "hurry", r#"{"hurry":60}"#).await;
    assert_eq!(hurry, (200, json!({ "hurry": 60 })));
    merchant.sell().await;
    merchant.refuse(&merchant.due_notifications());
    merchant.providers.advance_ms(4_000);
    assert_eq!(merchant.due_notifications().len(), 2, "4 minutes are 4 seconds");
}

#[tokio::test]
async fn buyers_cancel_and_orders_expire() {
    let merchant = Merchant::new();
    merchant.order("native", &native()).await;
    merchant.alipay("alipay.trade.precreate", &qr("0.01")).await;
    for provider in ["wxpay", "alipay"] {
        let purchase = json!({ "provider": provider, "out_trade_no": NO }).to_string();
        let (status, order) = merchant.control("POST", "cancel", &purchase).await;
        assert_eq!((status, &order["state"]), (200, &json!("unpaid")), "{provider}");
        assert_eq!(merchant.control("POST", "expire", &purchase).await.0, 200);
        assert_eq!(merchant.control("POST", "pay", &purchase).await.0, 409, "{provider}");
    }
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "NOTPAY", "WeChat Pay keeps it open");
    let (_, trade) = merchant.alipay("alipay.trade.query", &json!({ "out_trade_no": NO })).await;
    assert_eq!(trade["trade_status"], "TRADE_CLOSED", "Alipay closes it");
    assert!(merchant.due_notifications().is_empty());
}

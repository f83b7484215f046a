//! Notifications of refunds: by the providers' protocols, on their schedules.

use paygate::domain::{Fen, RefundState};
use paygate::mock::{
    ConsoleNotification, ConsoleRefund, RefundEnd, RefundSettings, SignedNotification,
};

use super::notifications::{opened_as, read, wxpay_signed};
use super::*;

impl Merchant {
    /// With 100 fen at each provider, the payments notified and acknowledged.
    async fn settled() -> Merchant {
        let merchant = Merchant::with_money().await;
        merchant.accept();
        merchant
    }

    /// Acknowledges what is due, and returns it.
    fn accept(&self) -> Vec<SignedNotification> {
        let sent = self.due_notifications();
        sent.iter().for_each(|it| self.providers.record_answer(it, 200, b"success"));
        sent
    }
}

fn console(provider: ProviderId, notification: ConsoleNotification) -> ConsoleRefund {
    ConsoleRefund { provider, out_trade_no: NO.to_owned(), amount: None, notification }
}

#[tokio::test]
async fn the_end_of_a_refund_is_notified_in_the_form_of_wechat_pay() {
    let merchant = Merchant::settled().await;
    merchant.back("R-1", 30).await;
    assert!(merchant.due_notifications().is_empty(), "it has not ended");
    merchant.providers.advance_ms(3_000);
    let sent = merchant.accept();
    assert_eq!((sent.len(), sent[0].out_refund_no.as_deref()), (1, Some("R-1")));
    assert_eq!(sent[0].url.as_str(), "https://shop.example.com/pay/refunded");
    assert!(wxpay_signed(&sent[0]));
    let resource = opened_as(&sent[0], "REFUND.SUCCESS", "refund");
    let payment = &merchant.order_at(ProviderId::Wxpay).payments[0];
    assert_eq!(resource["mchid"], keys::MCH_ID);
    assert_eq!(
        (&resource["out_trade_no"], &resource["out_refund_no"]),
        (&json!(NO), &json!("R-1"))
    );
    assert_eq!(resource["transaction_id"], json!(payment.transaction_id));
    assert_eq!(resource["refund_id"], json!(payment.refunds[0].refund_id));
    assert_eq!(resource["refund_status"], "SUCCESS");
    assert_eq!(resource["success_time"], "2025-06-15T23:06:43+08:00");
    let amount = json!({ "total": 100, "refund": 30, "payer_total": 100, "payer_refund": 30 });
    assert_eq!((&resource["amount"], resource.get("status")), (&amount, None));
    merchant.providers.advance_ms(2 * DAY_MS);
    assert!(merchant.due_notifications().is_empty(), "it was acknowledged");
    merchant.back("R-1", 30).await;
    assert!(merchant.due_notifications().is_empty(), "a repeat tells nothing anew");
}

#[tokio::test]
async fn a_failed_refund_is_notified_by_its_own_event() {
    for (state, event) in
        [(RefundState::Abnormal, "REFUND.ABNORMAL"), (RefundState::Closed, "REFUND.CLOSED")]
    {
        let merchant = Merchant::settled().await;
        merchant.add_fault(FaultKind::RefundEnds { state });
        merchant.back("R-1", 30).await;
        merchant.providers.advance_ms(3_000);
        let sent = merchant.accept();
        let resource = opened_as(&sent[0], event, "refund");
        assert_eq!(resource["refund_status"], state.name());
        assert!(resource.get("success_time").is_none());
    }
}

#[tokio::test]
async fn a_refund_that_waited_for_an_operator_is_notified_again_when_it_ends() {
    let merchant = Merchant::settled().await;
    merchant.add_fault(FaultKind::RefundEnds { state: RefundState::Abnormal });
    merchant.back("R-1", 30).await;
    merchant.providers.advance_ms(3_000);
    let first = merchant.accept();
    let end = RefundEnd {
        provider: ProviderId::Wxpay,
        out_trade_no: NO.to_owned(),
        out_refund_no: "R-1".to_owned(),
        state: RefundState::Success,
    };
    merchant.providers.end_refund(&end).unwrap();
    let sent = merchant.accept();
    opened_as(&sent[0], "REFUND.SUCCESS", "refund");
    let id =
        |it: &SignedNotification| serde_json::from_slice::<Value>(&it.body).unwrap()["id"].clone();
    assert_ne!(id(&sent[0]), id(&first[0]));
}

#[tokio::test]
async fn a_refund_is_notified_in_the_form_of_alipay_with_the_total_of_refunds() {
    let merchant = Merchant::settled().await;
    let mut sent = Vec::new();
    for (no, yuan) in [("R-1", "0.30"), ("R-2", "0.30"), ("R-3", "0.40")] {
        assert_eq!(merchant.give(no, yuan).await.1["fund_change"], "Y");
        merchant.give(no, yuan).await;
        sent.extend(merchant.due_notifications());
        merchant.providers.advance_ms(3_000);
    }
    assert_eq!(sent.len(), 3);
    let payment = merchant.order_at(ProviderId::Alipay).payments[0].clone();
    for (notification, (no, fee, all, status)) in sent.iter().zip([
        ("R-1", "0.30", "0.30", "TRADE_SUCCESS"),
        ("R-2", "0.30", "0.60", "TRADE_SUCCESS"),
        ("R-3", "0.40", "1.00", "TRADE_CLOSED"),
    ]) {
        assert_eq!(notification.url.as_str(), "https://shop.example.com/pay/notify?a=1&b=2");
        let (fields, verified) = read(notification);
        assert!(verified, "{fields}");
        for (name, value) in [
            ("out_biz_no", no),
            ("send_back_fee", fee),
            ("refund_fee", all),
            ("trade_status", status),
            ("total_amount", "1.00"),
            ("out_trade_no", NO),
            ("trade_no", &payment.transaction_id),
            ("gmt_payment", "2025-06-15 23:06:40"),
        ] {
            assert_eq!(fields[name], value, "{no} {name}");
        }
    }
    assert_eq!(read(&sent[0]).0["gmt_refund"], "2025-06-15 23:06:40.123");
    assert_ne!(read(&sent[0]).0["notify_id"], read(&sent[1]).0["notify_id"]);
}

#[tokio::test]
async fn alipay_tells_of_refunds_only_where_the_contract_is_so() {
    let merchant = Merchant::settled().await;
    merchant.providers.set_refund_settings(RefundSettings {
        alipay_notifies: false,
        ..RefundSettings::default()
    });
    merchant.give("R-1", "0.30").await;
    merchant.providers.advance_ms(2 * DAY_MS);
    assert!(merchant.due_notifications().is_empty());
}

#[tokio::test]
async fn a_refund_that_is_not_acknowledged_is_notified_again_on_the_same_schedule() {
    let merchant = Merchant::settled().await;
    merchant.back("R-1", 30).await;
    merchant.give("R-1", "0.30").await;
    merchant.providers.advance_ms(3_000);
    let first = merchant.due_notifications();
    assert_eq!(first.len(), 2);
    merchant.refuse(&first);
    merchant.providers.advance_ms(15_000);
    let again = merchant.due_notifications();
    assert_eq!((again.len(), again[0].provider), (1, ProviderId::Wxpay));
    merchant.providers.advance_ms(4 * MINUTE_MS);
    let sent = merchant.accept();
    assert_eq!(sent.len(), 2);
    assert!(wxpay_signed(&sent[0]) && read(&sent[1]).1);
    for order in merchant.providers.orders() {
        let payment = &order.payments[0];
        let notice = &payment.refunds[0].notification;
        assert!(notice.acknowledged.is_some() && notice.deliveries[0].status == Some(503));
        assert_eq!(payment.notification.deliveries.len(), 1, "the payment's is another");
    }
    let which = json!({ "provider": "alipay", "out_trade_no": NO, "out_refund_no": "R-1" });
    assert_eq!(merchant.control("POST", "notifications", &which.to_string()).await.0, 200);
    assert_eq!(read(&merchant.accept()[0]).0["out_biz_no"], "R-1");
    let (_, list) = merchant.control("GET", "notifications", "").await;
    let numbers = list["notifications"].as_array().unwrap().iter();
    assert_eq!(numbers.filter(|it| it["out_refund_no"] == "R-1").count(), 2);
}

#[tokio::test]
async fn notifications_of_refunds_fail_on_demand_without_those_of_payments() {
    let with = async |kind: FaultKind| {
        let merchant = Merchant::new();
        let operation = Some(ProviderOperation::Refund);
        merchant.providers.add_fault(SimulatedFault { provider: None, operation, kind, times: 2 });
        merchant.sell_for_100().await;
        assert_eq!(merchant.accept().len(), 2, "payments are told");
        merchant.back("R-1", 30).await;
        merchant.give("R-1", "0.30").await;
        merchant.providers.advance_ms(3_000);
        merchant
    };
    let never = with(FaultKind::NotifyNever).await;
    never.providers.advance_ms(2 * DAY_MS);
    assert!(never.due_notifications().is_empty());
    assert_eq!(with(FaultKind::NotifyTwice).await.due_notifications().len(), 4);
    let slow = with(FaultKind::NotifySlow { ms: 90_000 }).await;
    assert!(slow.due_notifications().is_empty());
    slow.providers.advance_ms(90_000);
    assert_eq!(slow.due_notifications().len(), 2);
    let forged = with(FaultKind::NotifyWrongKey).await;
    let sent = forged.due_notifications();
    assert!(sent.len() == 2 && !wxpay_signed(&sent[0]) && !read(&sent[1]).1);
    forged.refuse(&sent);
    let sent = forged.due_notifications();
    assert!(sent.len() == 2 && wxpay_signed(&sent[0]) && read(&sent[1]).1);
}

#[tokio::test]
async fn a_refund_in_the_console_is_notified_where_the_payment_was_or_not_at_all() {
    let merchant = Merchant::settled().await;
    for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
        let refund = console(provider, ConsoleNotification::Regular);
        merchant.providers.refund_in_console(&refund).unwrap();
    }
    merchant.providers.advance_ms(3_000);
    let sent = merchant.accept();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].url.as_str(), "https://shop.example.com/pay/notify");
    let resource = opened_as(&sent[0], "REFUND.SUCCESS", "refund");
    assert_eq!(resource["out_refund_no"], json!(sent[0].out_refund_no));
    assert_eq!(resource["amount"]["refund"], 100);
    assert_eq!(read(&sent[1]).0["trade_status"], "TRADE_CLOSED");

    for (how, count) in [(ConsoleNotification::Never, 0), (ConsoleNotification::Xml, 1)] {
        let merchant = Merchant::settled().await;
        let refund = console(ProviderId::Wxpay, how);
        merchant.providers.refund_in_console(&refund).unwrap();
        merchant.providers.advance_ms(3_000);
        let sent = merchant.due_notifications();
        assert_eq!(sent.len(), count);
        assert!(sent.iter().all(|it| it.body.starts_with(b"<xml>")));
        assert_eq!(merchant.ask(NO).await.1["trade_state"], "REFUND");
    }
}

#[tokio::test]
async fn alipay_notifies_of_a_refund_in_the_console_without_its_number_on_demand() {
    let merchant = Merchant::settled().await;
    for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
        let refund = some(provider, 40, ConsoleNotification::Unnumbered);
        merchant.providers.refund_in_console(&refund).unwrap();
    }
    merchant.providers.advance_ms(3_000);
    let sent = merchant.accept();
    assert_eq!(sent.len(), 2);
    let resource = opened_as(&sent[0], "REFUND.SUCCESS", "refund");
    assert_eq!(resource["out_refund_no"], json!(sent[0].out_refund_no), "WeChat Pay's has it");
    let (fields, verified) = read(&sent[1]);
    assert!(verified && fields.get("out_biz_no").is_none(), "{fields}");
    assert_eq!(
        (&fields["refund_fee"], &fields["trade_status"]),
        (&json!("0.40"), &json!("TRADE_SUCCESS"))
    );
}

/// `fen` go back in the console.
fn some(provider: ProviderId, fen: u64, notification: ConsoleNotification) -> ConsoleRefund {
    ConsoleRefund { amount: Fen::new(fen), ..console(provider, notification) }
}

#[tokio::test]
async fn wechat_pay_tells_of_one_console_refund_and_not_of_the_one_before() {
    let merchant = Merchant::settled().await;
    for (fen, notification) in
        [(40, ConsoleNotification::Never), (20, ConsoleNotification::Regular)]
    {
        let refund = some(ProviderId::Wxpay, fen, notification);
        merchant.providers.refund_in_console(&refund).unwrap();
        merchant.providers.advance_ms(MINUTE_MS);
    }
    let sent = merchant.accept();
    assert_eq!(sent.len(), 1);
    let resource = opened_as(&sent[0], "REFUND.SUCCESS", "refund");
    assert_eq!(resource["amount"]["refund"], 20);
    assert_eq!(merchant.order_at(ProviderId::Wxpay).payments[0].refundable_fen(), 40);
    // More than is left is refused.
    assert_eq!(merchant.back("R-1", 60).await.0, 400);
    assert_eq!(merchant.back("R-2", 40).await.0, 200);
}

#[tokio::test]
async fn alipay_notifies_of_the_total_of_refunds_with_those_it_did_not_notify_of() {
    // In a notification of the next refund in the console.
    let merchant = Merchant::settled().await;
    for (fen, notification) in
        [(80, ConsoleNotification::Never), (10, ConsoleNotification::Regular)]
    {
        let refund = some(ProviderId::Alipay, fen, notification);
        merchant.providers.refund_in_console(&refund).unwrap();
    }
    let sent = merchant.accept();
    assert_eq!(sent.len(), 1);
    let fields = read(&sent[0]).0;
    assert_eq!((&fields["refund_fee"], &fields["send_back_fee"]), (&json!("0.90"), &json!("0.10")));
    assert_eq!(fields["trade_status"], "TRADE_SUCCESS");

    // In the answer to a refund of the shop's own, to a repeat of it, and in its notification.
    let merchant = Merchant::settled().await;
    let refund = some(ProviderId::Alipay, 80, ConsoleNotification::Never);
    merchant.providers.refund_in_console(&refund).unwrap();
    merchant.providers.advance_ms(3_000);
    for fund_change in ["Y", "N"] {
        let (_, answer) = merchant.give("R-1", "0.10").await;
        assert_eq!(
            (&answer["refund_fee"], &answer["fund_change"]),
            (&json!("0.90"), &json!(fund_change))
        );
    }
    let sent = merchant.accept();
    assert_eq!(sent.len(), 1);
    assert_eq!(read(&sent[0]).0["refund_fee"], "0.90");
}

//! Refunds in the console whose amount nobody reports, beside refunds of paygate's own.

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::RefundState::Processing;
use paygate::domain::{Fen, ProviderId, Refund};
use paygate::error::Kind;
use paygate::mock::{
    ConsoleNotification, ConsoleRefund, FaultKind, ProviderOperation, RefundSettings,
};

use crate::support::refunds::{
    check_money, number, paid, purchase, refund, sent_events, settle, state, status,
};
use crate::support::requests::{MINUTE, NO, qr};
use crate::support::shop::{Shop, kind, run_background};
use crate::support::webhook::shop_with_webhook;

fn in_console(shop: &Shop, provider: ProviderId, fee: u64, notification: ConsoleNotification) {
    let (out_trade_no, amount) = (NO.to_owned(), Fen::new(fee));
    let refund = ConsoleRefund { provider, out_trade_no, amount, notification };
    shop.providers.refund_in_console(&refund).unwrap();
}

fn alipay_notifies(shop: &Shop, alipay_notifies: bool) {
    let settings = RefundSettings { alipay_notifies, ..RefundSettings::default() };
    shop.providers.set_refund_settings(settings);
}

#[tokio::test]
async fn a_total_without_a_number_counts_a_refund_of_ours_once() {
    // Alipay executed a refund whose answer was lost: the total of the next refund has it too.
    for (ours, in_the_console) in [(20, 50), (30, 70), (50, 20)] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, Alipay).await;
        alipay_notifies(&shop, false);
        shop.fault_of(ProviderOperation::Refund, FaultKind::LoseReply);
        assert_eq!(refund(&shop, "r-1", ours).await.unwrap().refund.state, Processing);
        alipay_notifies(&shop, true);
        in_console(&shop, Alipay, in_the_console, ConsoleNotification::Unnumbered);
        assert_eq!(shop.notify().await, [Ok(())]);
        settle(&shop).await;
        let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
        let mut fees: Vec<u64> = all.refunds.iter().map(|it| it.refund.refund_fee.fen()).collect();
        fees.sort_unstable();
        let mut expected = vec![ours, in_the_console];
        expected.sort_unstable();
        assert_eq!((fees, all.refund_unknown), (expected, false));
        let returned = ours + in_the_console;
        assert_eq!(all.refund_fee, returned);
        assert_eq!(status(&shop).await, if returned == 100 { 3 } else { 2 });
        check_money(&shop, 100, returned);
        let events = sent_events(&shop, &webhook).await;
        assert_eq!(events, ["payment.succeeded", "refund.succeeded", "refund.succeeded"]);
    }
}

#[tokio::test]
async fn a_total_is_not_split_while_a_refund_of_ours_cannot_be_queried() {
    let (shop, _) = shop_with_webhook().await;
    paid(&shop, Alipay).await;
    alipay_notifies(&shop, false);
    shop.fault_of(ProviderOperation::Refund, FaultKind::LoseReply);
    refund(&shop, "r-1", 20).await.unwrap();
    alipay_notifies(&shop, true);
    in_console(&shop, Alipay, 50, ConsoleNotification::Unnumbered);
    shop.fault_of(ProviderOperation::RefundQuery, FaultKind::LoseReply);
    assert_eq!(shop.notify().await, [Err(Kind::OutcomeUnknown)], "it comes again");
    assert_eq!(shop.order(NO).await.payments[0].refunds.len(), 1);
    for _ in 0..3 {
        settle(&shop).await;
    }
    assert_eq!(shop.engine.query_refunds(&number(NO)).await.unwrap().refund_fee, 70);
    check_money(&shop, 100, 70);
}

/// Alipay was paid first, and the duplicate at WeChat Pay is known and about to be refunded.
async fn duplicate_at_wxpay(before_it_is_known: impl FnOnce(&Shop)) -> Shop {
    let (shop, _) = shop_with_webhook().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.create(&qr(Wxpay)).await.unwrap();
    shop.providers.pay(&purchase(Wxpay)).unwrap();
    shop.pay(&code).unwrap();
    let mut news = shop.providers.notifications();
    news.sort_by_key(|it| it.provider != Alipay);
    before_it_is_known(&shop);
    for notification in &news {
        assert_eq!(shop.take(notification).await, Ok(()));
        shop.providers.record_answer(notification, 200, b"success");
    }
    run_background().await;
    shop
}

async fn automatic(shop: &Shop) -> Option<Refund> {
    let order = shop.order(NO).await;
    let mut refunds = order.payments.iter().flat_map(|it| &it.refunds);
    refunds.find(|refund| refund.automatic).cloned()
}

#[tokio::test]
async fn a_duplicate_that_a_person_refunded_in_part_is_refunded_no_further_without_a_request() {
    let shop = duplicate_at_wxpay(|shop| {
        in_console(shop, Wxpay, 40, ConsoleNotification::Never);
    })
    .await;
    // WeChat Pay refuses the whole of it: that proves the other refund, without its amount.
    let refused = automatic(&shop).await.unwrap();
    assert_eq!(refused.state.name(), "CLOSED");
    let sent = shop.providers.calls("wxpay.refund");
    for _ in 0..26 {
        shop.clock.advance_ms(60 * MINUTE);
        settle(&shop).await;
    }
    assert_eq!(shop.providers.calls("wxpay.refund"), sent);
    assert_eq!(automatic(&shop).await.unwrap().state, refused.state, "nor is it requested");
    assert!(shop.engine.query_refunds(&number(NO)).await.unwrap().refund_unknown);
    check_money(&shop, 200, 40);
}

#[tokio::test]
async fn an_automatic_refund_stops_when_a_refund_of_unknown_amount_appears_beside_it() {
    let shop = duplicate_at_wxpay(|shop| {
        shop.fault_of(ProviderOperation::Refund, FaultKind::LoseRequest);
        in_console(shop, Wxpay, 40, ConsoleNotification::Never);
    })
    .await;
    // The first sending was lost. WeChat Pay refuses the second one: the first may still arrive.
    shop.clock.advance_ms(MINUTE);
    shop.engine.reconcile().await;
    let pending = automatic(&shop).await.unwrap();
    assert_eq!((pending.state, pending.times_sent), (Processing, 2));
    assert!(shop.engine.query_refunds(&number(NO)).await.unwrap().refund_unknown);
    let sent = shop.providers.calls("wxpay.refund");
    for _ in 0..12 {
        shop.clock.advance_ms(60 * MINUTE);
        settle(&shop).await;
        shop.engine.query_refund(&pending.out_refund_no).await.unwrap();
    }
    assert_eq!(shop.providers.calls("wxpay.refund"), sent, "it is only queried");
    check_money(&shop, 200, 40);
}

#[tokio::test]
async fn nothing_more_is_refunded_on_request_while_an_amount_is_unknown() {
    let (shop, _) = shop_with_webhook().await;
    paid(&shop, Wxpay).await;
    in_console(&shop, Wxpay, 40, ConsoleNotification::Never);
    shop.clock.advance_ms(MINUTE);
    assert_eq!(kind(refund(&shop, "r-1", 100).await), Some(Kind::ProviderRefused));
    assert_eq!(state(&shop, "r-1").await.name(), "CLOSED");
    let sent = shop.providers.calls("wxpay.refund");
    for (no, fee) in [("r-1", 100), ("r-2", 1), ("r-3", 60)] {
        assert_eq!(kind(refund(&shop, no, fee).await), Some(Kind::RefundExceeds), "{no}");
    }
    assert_eq!(shop.providers.calls("wxpay.refund"), sent, "60 may be left, or less");
    // Once all of it is known to be refunded, nothing is unknown.
    in_console(&shop, Wxpay, 60, ConsoleNotification::Regular);
    settle(&shop).await;
    let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
    assert_eq!((all.refund_fee, all.refund_unknown), (60, true));
    check_money(&shop, 100, 100);
}

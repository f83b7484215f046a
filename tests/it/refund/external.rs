//! Refunds that were made in the provider's console, and notifications out of order.

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::RefundState::{Closed, Processing, Success};
use paygate::domain::{ExternalRefund, Fen, Millis, ProviderId, Refund, Transition};
use paygate::error::Kind;
use paygate::mock::{ConsoleNotification, ConsoleRefund, FaultKind, ProviderOperation};
use paygate::testing::guard::schema;

use crate::support::refunds::{
    check_money, number, paid, refund, refund_all, sent_events, settle, state, status,
};
use crate::support::requests::{MINUTE, NO, qr};
use crate::support::shop::{Shop, kind, run_background};
use crate::support::webhook::shop_with_webhook;

fn in_console(shop: &Shop, provider: ProviderId, fee: u64) {
    made(shop, provider, fee, ConsoleNotification::Regular);
}

fn made(shop: &Shop, provider: ProviderId, fee: u64, told: ConsoleNotification) {
    let (out_trade_no, amount) = (NO.to_owned(), Fen::new(fee));
    let refund = ConsoleRefund { provider, out_trade_no, amount, notification: told };
    shop.providers.refund_in_console(&refund).unwrap();
}

#[tokio::test]
async fn a_refund_in_the_console_counts_and_is_external() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        in_console(&shop, provider, 40);
        settle(&shop).await;
        assert_eq!(status(&shop).await, 2, "{provider}");
        let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
        assert_eq!((all.refunds.len(), all.refund_fee, all.refund_unknown), (1, 40, false));
        let no = &all.refunds[0].refund.out_refund_no;
        let one = shop.engine.query_refund(no).await.unwrap();
        assert_eq!(one.refund.refund_fee.fen(), 40, "{provider}: by its number");
        assert_eq!(kind(refund(&shop, "r-1", 61).await), Some(Kind::RefundExceeds), "{provider}");
        let rest = shop.engine.refund(refund_all()).await.unwrap();
        assert_eq!(rest.refund.refund_fee.fen(), 60, "{provider}");
        settle(&shop).await;
        assert_eq!(status(&shop).await, 3, "{provider}");
        let events = sent_events(&shop, &webhook).await;
        assert_eq!(events, ["payment.succeeded", "refund.succeeded", "refund.succeeded"]);
        check_money(&shop, 100, 100);
    }
}

#[tokio::test]
async fn refunds_here_and_in_the_console_by_turns_add_up() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        refund(&shop, "r-1", 20).await.unwrap();
        settle(&shop).await;
        in_console(&shop, provider, 30);
        settle(&shop).await;
        refund(&shop, "r-2", 25).await.unwrap();
        settle(&shop).await;
        in_console(&shop, provider, 25);
        settle(&shop).await;
        let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
        let mut fees: Vec<u64> = all.refunds.iter().map(|it| it.refund.refund_fee.fen()).collect();
        fees.sort_unstable();
        assert_eq!((fees, all.refund_fee), (vec![20, 25, 25, 30], 100), "{provider}");
        assert_eq!(status(&shop).await, 3, "{provider}");
        assert_eq!(sent_events(&shop, &webhook).await.len(), 5, "{provider}");
        check_money(&shop, 100, 100);
    }
}

#[tokio::test]
async fn a_refund_is_heard_of_before_its_payment() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr(provider)).await.unwrap();
        shop.pay(&created).unwrap();
        let payment = shop.providers.notifications().remove(0);
        in_console(&shop, provider, 40);
        shop.clock.advance_ms(10_000);
        let back = shop.providers.notifications();
        let back = back.iter().find(|it| it.out_refund_no.is_some()).unwrap();
        assert_eq!(shop.take(back).await, Ok(()), "{provider}");
        assert_eq!(status(&shop).await, 2, "{provider}: both are known");
        assert_eq!(shop.take(&payment).await, Ok(()), "{provider}");
        assert_eq!(status(&shop).await, 2, "{provider}");
        let order = shop.order(NO).await;
        assert_eq!((order.payments.len(), order.payments[0].refunds.len()), (1, 1));
        assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded", "refund.succeeded"]);
        check_money(&shop, 100, 40);
    }
}

#[tokio::test]
async fn a_refund_told_as_often_as_you_like_is_one() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        refund(&shop, "r-1", 30).await.unwrap();
        shop.clock.advance_ms(10_000);
        let back = shop.providers.notifications();
        let back = back.iter().find(|it| it.out_refund_no.is_some()).unwrap();
        let (one, two) = tokio::join!(shop.take(back), shop.take(back));
        assert_eq!((one, two), (Ok(()), Ok(())), "{provider}");
        for _ in 0..3 {
            assert_eq!(shop.take(back).await, Ok(()));
        }
        settle(&shop).await;
        let order = shop.order(NO).await;
        assert_eq!((order.payments[0].refunds.len(), order.status.number()), (1, 2), "{provider}");
        assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded", "refund.succeeded"]);
        check_money(&shop, 100, 30);
    }
}

#[tokio::test]
async fn what_is_pending_here_is_not_what_the_console_returned() {
    for (fee, in_the_console) in [(30, 30), (60, 40), (20, 70)] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, Alipay).await;
        shop.fault_of(ProviderOperation::Refund, FaultKind::TooSoon);
        assert_eq!(refund(&shop, "r-1", fee).await.unwrap().refund.state, Processing);
        in_console(&shop, Alipay, in_the_console);
        settle(&shop).await;
        let back = fee + in_the_console;
        let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
        assert_eq!((all.refunds.len(), all.refund_fee), (2, back));
        check_money(&shop, 100, back);
        let events = sent_events(&shop, &webhook).await;
        assert_eq!(events, ["payment.succeeded", "refund.succeeded", "refund.succeeded"]);
    }
}

#[tokio::test]
async fn what_the_console_returned_untold_is_found_when_a_refund_is_refused() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        made(&shop, provider, 100, ConsoleNotification::Never);
        shop.clock.advance_ms(MINUTE);
        assert_eq!(kind(refund(&shop, "r-1", 30).await), Some(Kind::ProviderRefused), "{provider}");
        let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
        assert!(all.refund_unknown, "{provider}: something went back");
        assert_eq!(status(&shop).await, 2, "{provider}");
        let events = sent_events(&shop, &webhook).await;
        assert_eq!(events, ["payment.succeeded", "refund.abnormal", "refund.closed"], "{provider}");
        let heard = webhook.received();
        let unknown = heard.iter().find(|it| it.event.name() == "refund.abnormal").unwrap();
        let is_valid = schema::accepts("event-refund-abnormal", unknown.body.as_bytes());
        assert_eq!(is_valid, Some(true), "{}", unknown.body);
        assert!(unknown.body.contains("\"refund_unknown\":true"), "{}", unknown.body);
    }
}

#[tokio::test]
async fn a_console_refund_that_is_told_after_a_later_one_of_ours_counts_by_its_own_amount() {
    for (in_the_console, ours) in [(40, 60), (40, 20), (20, 60)] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, Alipay).await;
        in_console(&shop, Alipay, in_the_console);
        shop.clock.advance_ms(4_000);
        refund(&shop, "r-1", ours).await.unwrap();
        assert_eq!(state(&shop, "r-1").await, Success);
        settle(&shop).await;
        let back = in_the_console + ours;
        let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
        let mut fees: Vec<u64> = all.refunds.iter().map(|it| it.refund.refund_fee.fen()).collect();
        let mut expected = vec![in_the_console, ours];
        fees.sort_unstable();
        expected.sort_unstable();
        assert_eq!((fees, all.refund_fee), (expected, back));
        assert_eq!(status(&shop).await, if back == 100 { 3 } else { 2 });
        check_money(&shop, 100, back);
        let events = sent_events(&shop, &webhook).await;
        assert_eq!(events, ["payment.succeeded", "refund.succeeded", "refund.succeeded"]);
    }
}

#[tokio::test]
async fn a_duplicate_that_a_person_returned_is_not_returned_again() {
    let (shop, webhook) = shop_with_webhook().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.create(&qr(Wxpay)).await.unwrap();
    shop.fault_of(ProviderOperation::Refund, FaultKind::TooSoon);
    shop.providers.pay(&crate::support::refunds::purchase(Wxpay)).unwrap();
    shop.pay(&code).unwrap();
    shop.notify().await;
    run_background().await;
    in_console(&shop, Alipay, 100);
    for _ in 0..4 {
        shop.clock.advance_ms(60 * MINUTE);
        settle(&shop).await;
    }
    check_money(&shop, 200, 100);
    let events = sent_events(&shop, &webhook).await;
    let count = |name: &str| events.iter().filter(|it| **it == name).count();
    assert_eq!((count("duplicate.refunded"), count("payment.duplicate")), (1, 1), "{events:?}");
    assert_eq!(status(&shop).await, 1);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_console_refund_that_is_told_twice_at_once_counts_once() {
    use std::sync::Arc;

    use paygate::mock::InProcess;

    use crate::support::shop::ManualClock;
    use crate::support::webhook::RecordingWebhook;

    for provider in [Wxpay, Alipay] {
        let (clock, webhook, home) =
            (ManualClock::new(), RecordingWebhook::default(), tempfile::tempdir().unwrap());
        let path = home.path().join("paygate.db");
        let store = paygate::Sqlite::open_as(path, paygate::StoreMode::Mock).unwrap();
        let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
        let shop = Shop::at(clock, store, providers, |it| it.webhook(webhook.clone())).await;
        paid(&shop, provider).await;
        in_console(&shop, provider, 50);
        shop.clock.advance_ms(3_000);
        let news = shop.providers.notifications();
        let [one] = &news[..] else { panic!("{news:?}") };
        let both = tokio::join!(shop.take(one), shop.take(one), shop.take(one));
        assert_eq!(both, (Ok(()), Ok(()), Ok(())), "{provider}");
        let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
        assert_eq!((all.refunds.len(), all.refund_fee), (1, 50), "{provider}");
        assert_eq!(status(&shop).await, 2);
        let events = sent_events(&shop, &webhook).await;
        assert_eq!(events, ["payment.succeeded", "refund.succeeded"], "{provider}");
    }
}

#[tokio::test]
async fn what_a_person_left_of_a_duplicate_goes_back_under_a_number_of_its_own() {
    let (shop, webhook) = shop_with_webhook().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.create(&qr(Wxpay)).await.unwrap();
    shop.fault_of(ProviderOperation::Refund, FaultKind::NotEnough);
    shop.providers.pay(&crate::support::refunds::purchase(Wxpay)).unwrap();
    shop.pay(&code).unwrap();
    shop.notify().await;
    run_background().await;
    in_console(&shop, Alipay, 40);
    for _ in 0..4 {
        shop.clock.advance_ms(60 * MINUTE);
        settle(&shop).await;
    }
    check_money(&shop, 200, 100);
    let order = shop.order(NO).await;
    let refunds = &order.payments.iter().find(|it| it.auto_refund).unwrap().refunds;
    let mut states: Vec<_> = refunds.iter().map(|it| (it.refund_fee.fen(), it.state)).collect();
    states.sort_unstable_by_key(|it| it.0);
    assert_eq!(states, [(40, Success), (60, Success), (100, Closed)]);
    let events = self::sent_events(&shop, &webhook).await;
    assert_eq!(events.iter().filter(|it| **it == "duplicate.refunded").count(), 2, "{events:?}");
}

#[tokio::test]
async fn what_went_back_in_all_is_never_added_to_what_became_known_meanwhile() {
    let (shop, _) = shop_with_webhook().await;
    let transaction_id = paid(&shop, Alipay).await;
    let order = shop.order(NO).await;
    // Both were read when nothing was known to have gone back.
    let external = |number: &str, all: u64| Transition::RefundedExternally {
        transaction_id: transaction_id.clone(),
        refund: Box::new(ExternalRefund::RunningTotal {
            refund: Refund {
                state: Success,
                ..Refund::pending(number.to_owned(), Fen::new(all).unwrap(), Millis(0))
            },
            total: Fen::new(all).unwrap(),
        }),
        at: Millis(0),
    };
    let order = order.apply(external("a", 30)).unwrap().apply(external("b", 50)).unwrap();
    let fees: Vec<u64> = order.payments[0].refunds.iter().map(|it| it.refund_fee.fen()).collect();
    assert_eq!((fees, order.payments[0].refunded()), (vec![30, 20], 50));
    assert!(order.apply(external("c", 50)).is_none(), "that much is known");
}

#[tokio::test]
async fn what_went_back_unseen_is_noticed_by_the_running_total() {
    let (shop, webhook) = shop_with_webhook().await;
    paid(&shop, Alipay).await;
    made(&shop, Alipay, 80, ConsoleNotification::Never);
    shop.clock.advance_ms(10 * MINUTE);
    made(&shop, Alipay, 10, ConsoleNotification::Regular);
    settle(&shop).await;
    let order = shop.order(NO).await;
    let payment = &order.payments[0];
    assert_eq!((payment.refunded(), payment.has_unknown_refund()), (10, true), "{payment:#?}");
    assert_eq!((payment.refundable(), order.status.number()), (10, 2));
    let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
    assert_eq!((all.refund_fee, all.refund_unknown), (10, true));
    assert_eq!(kind(refund(&shop, "r-1", 1).await), Some(Kind::RefundExceeds));
    let events = sent_events(&shop, &webhook).await;
    assert_eq!(events, ["payment.succeeded", "refund.abnormal", "refund.succeeded"]);
    check_money(&shop, 100, 90);
}

#[tokio::test]
async fn the_answer_to_our_own_refund_tells_what_went_back_unseen() {
    let (shop, webhook) = shop_with_webhook().await;
    paid(&shop, Alipay).await;
    made(&shop, Alipay, 30, ConsoleNotification::Never);
    shop.clock.advance_ms(10 * MINUTE);
    refund(&shop, "r-1", 20).await.unwrap();
    settle(&shop).await;
    let payment = shop.order(NO).await.payments[0].clone();
    let seen = (payment.refunded(), payment.has_unknown_refund(), payment.refundable());
    assert_eq!(seen, (20, true, 50));
    assert_eq!(kind(refund(&shop, "r-2", 1).await), Some(Kind::RefundExceeds));
    shop.clock.advance_ms(10 * MINUTE);
    settle(&shop).await;
    let events = sent_events(&shop, &webhook).await;
    assert_eq!(events, ["payment.succeeded", "refund.abnormal", "refund.succeeded"]);
    check_money(&shop, 100, 50);
}

#[tokio::test]
async fn a_told_refund_does_not_account_for_what_was_not_external() {
    let (shop, _) = shop_with_webhook().await;
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    made(&shop, Wxpay, 40, ConsoleNotification::Never);
    shop.clock.advance_ms(29 * MINUTE);
    shop.engine.reconcile().await;
    let payment = shop.order(NO).await.payments[0].clone();
    assert!(payment.refund_unknown, "the query says that something went back");
    made(&shop, Wxpay, 20, ConsoleNotification::Regular);
    settle(&shop).await;
    let payment = shop.order(NO).await.payments[0].clone();
    assert_eq!((payment.refunded(), payment.refund_unknown), (20, true), "{payment:#?}");
    assert_eq!(kind(refund(&shop, "r-1", 60).await), Some(Kind::RefundExceeds));
    made(&shop, Wxpay, 40, ConsoleNotification::Regular);
    settle(&shop).await;
    assert!(shop.order(NO).await.payments[0].refund_unknown, "60 of 100 are told");
    check_money(&shop, 100, 100);
}

#[tokio::test]
async fn a_refusal_for_want_of_a_rest_proves_that_something_went_back_unseen() {
    let (shop, webhook) = shop_with_webhook().await;
    paid(&shop, Wxpay).await;
    made(&shop, Wxpay, 40, ConsoleNotification::Never);
    shop.clock.advance_ms(2 * MINUTE);
    made(&shop, Wxpay, 20, ConsoleNotification::Regular);
    settle(&shop).await;
    assert_eq!(kind(refund(&shop, "r-1", 60).await), Some(Kind::ProviderRefused));
    let payment = shop.order(NO).await.payments[0].clone();
    assert_eq!((payment.refunded(), payment.refund_unknown), (20, true));
    let sent = shop.providers.calls("wxpay.refund");
    for no in ["r-1", "r-2"] {
        assert_eq!(kind(refund(&shop, no, 60).await), Some(Kind::RefundExceeds), "{no}");
    }
    assert_eq!(shop.providers.calls("wxpay.refund"), sent, "nothing more is tried");
    assert!(sent_events(&shop, &webhook).await.contains(&"refund.abnormal"));
    check_money(&shop, 100, 60);
}

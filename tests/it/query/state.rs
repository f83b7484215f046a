//! `queryPayment`: where an order stands.

use std::pin::pin;
use std::time::Duration;

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::{OutTradeNo, ProviderId, TransactionId};
use paygate::engine::{OrderNumber, Queried, Query};
use paygate::error::{Error, Kind};
use paygate::mock::{FaultKind, ProviderOperation};

use crate::support::requests::{NO, qr_with_custom, refuse};
use crate::support::shop::{Shop, kind};
use crate::support::webhook::shop_with_webhook;

async fn query(shop: &Shop) -> Result<Queried, Error> {
    ask(shop, None).await
}

async fn ask(shop: &Shop, await_accepted: Option<Duration>) -> Result<Queried, Error> {
    let number = OrderNumber::OutTradeNo(OutTradeNo::parse(NO).unwrap());
    shop.engine.query(Query { number, await_accepted }).await
}

fn queries(shop: &Shop, provider: ProviderId) -> u64 {
    shop.providers.calls(&format!("{provider}.query"))
}

#[tokio::test]
async fn an_unpaid_order_is_asked_about_at_most_once_in_5_s() {
    for (provider, word) in [(Wxpay, "NOTPAY"), (Alipay, "WAIT_BUYER_PAY")] {
        let (shop, _) = shop_with_webhook().await;
        shop.create(&qr_with_custom(provider)).await.unwrap();
        let found = query(&shop).await.unwrap();
        assert_eq!(found.order.status.number(), 0);
        assert_eq!(found.trade_state.as_deref(), Some(word));
        assert_eq!(queries(&shop, provider), 0, "it was opened just now");
        for asked in 1..=3 {
            shop.clock.advance_ms(5_000);
            for _ in 0..3 {
                query(&shop).await.unwrap();
            }
            assert_eq!(queries(&shop, provider), asked, "{provider}");
        }
    }
}

#[tokio::test]
async fn an_attempt_that_was_refused_or_ended_is_not_queried_for_a_client() {
    for provider in [Wxpay, Alipay] {
        let (shop, _) = shop_with_webhook().await;
        shop.fault(refuse("PARAM_ERROR", "no"));
        assert!(shop.create(&qr_with_custom(provider)).await.is_err());
        let refused = queries(&shop, provider);
        shop.clock.advance_ms(60_000);
        query(&shop).await.unwrap();
        assert_eq!(queries(&shop, provider), refused, "{provider}");
        shop.create(&qr_with_custom(provider)).await.unwrap();
        let no = OutTradeNo::parse(NO).unwrap();
        shop.engine.close(&no).await.unwrap();
        let closed = queries(&shop, provider);
        shop.clock.advance_ms(60_000);
        query(&shop).await.unwrap();
        assert!(provider == Alipay || queries(&shop, provider) == closed, "{provider}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_asked_again_after_5_s_and_not_before() {
    let (shop, _) = shop_with_webhook().await;
    shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    shop.clock.advance_ms(5_000);
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
    for (ms, asked) in [(0, 1), (0, 1), (4_999, 1), (1, 2)] {
        shop.clock.advance_ms(ms);
        assert_eq!(query(&shop).await.unwrap().order.status.number(), 0);
        assert_eq!(queries(&shop, Wxpay), asked, "{ms} ms later");
    }
}

#[tokio::test]
async fn a_lost_notification_heals_itself() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr_with_custom(provider)).await.unwrap();
        shop.pay(&created).unwrap();
        shop.clock.advance_ms(5_000);
        let found = query(&shop).await.unwrap();
        assert_eq!(found.order.status.number(), 1);
        assert_eq!((found.user_order_success, found.trade_state), (Some(false), None));
        shop.engine.dispatch().await;
        assert_eq!(webhook.events(), ["payment.succeeded"]);
        assert_eq!(query(&shop).await.unwrap().user_order_success, Some(true));
        assert_eq!(queries(&shop, provider), 1, "a paid order is not asked about");
    }
}

#[tokio::test]
async fn an_order_is_found_by_either_number_and_no_other() {
    let (shop, _) = shop_with_webhook().await;
    let created = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    let paid = shop.pay(&created).unwrap();
    shop.notify().await;
    let id = TransactionId(paid.transaction_id.unwrap().into());
    let number = OrderNumber::TransactionId(id);
    let found = shop.engine.query(Query { number, await_accepted: None }).await.unwrap();
    assert_eq!(found.order.out_trade_no().as_str(), NO);
    let strangers = [
        OrderNumber::OutTradeNo(OutTradeNo::parse("unknown-1").unwrap()),
        OrderNumber::TransactionId(TransactionId("unknown-1".into())),
    ];
    for number in strangers {
        let answer = shop.engine.query(Query { number, await_accepted: None }).await;
        assert_eq!(kind(answer), Some(Kind::NoSuchOrder));
    }
}

#[tokio::test]
async fn who_waits_is_told_when_the_shop_has_accepted() {
    let (shop, webhook) = shop_with_webhook().await;
    webhook.refuse(1);
    let created = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    let limit = Duration::from_secs(40);
    let buyer = async {
        tokio::task::yield_now().await;
        shop.pay(&created).unwrap();
        shop.notify().await;
        assert_eq!(shop.engine.dispatch().await, 1, "refused");
        shop.clock.advance_ms(60_000);
        assert_eq!(shop.engine.dispatch().await, 1, "accepted");
    };
    let (waited, ()) = tokio::join!(ask(&shop, Some(limit)), buyer);
    assert_eq!(waited.unwrap().user_order_success, Some(true));
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_is_answered_when_the_time_is_over() {
    let (shop, webhook) = shop_with_webhook().await;
    webhook.refuse(usize::MAX);
    let created = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    let before = tokio::time::Instant::now();
    let found = ask(&shop, Some(Duration::from_secs(40))).await.unwrap();
    assert_eq!(found.order.status.number(), 0);
    assert_eq!(before.elapsed(), Duration::from_secs(40));
    shop.pay(&created).unwrap();
    shop.notify().await;
    shop.engine.dispatch().await;
    let found = ask(&shop, Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!((found.order.status.number(), found.user_order_success), (1, Some(false)));
}

#[tokio::test]
async fn a_wait_that_nobody_ended_ends_with_a_query_of_the_provider() {
    let (shop, _) = shop_with_webhook().await;
    let created = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    let buyer = async {
        tokio::task::yield_now().await;
        shop.clock.advance_ms(6_000);
        shop.pay(&created).unwrap();
    };
    let wait = Some(Duration::from_millis(50));
    let (asked, ()) = tokio::join!(ask(&shop, wait), buyer);
    assert_eq!(asked.unwrap().order.status.number(), 1, "its notification is lost");
}

/// Time passes, and the engine delivers its events, until `waiting` ends. Returns the seconds.
async fn while_time_passes<T>(shop: &Shop, waiting: impl Future<Output = T>) -> (T, u64) {
    let mut waiting = pin!(waiting);
    let started = tokio::time::Instant::now();
    for _ in 0..100 {
        // The clock is always ahead of the timers.
        shop.clock.advance_ms(1_000);
        let next = tokio::time::sleep(Duration::from_secs(1));
        tokio::select! {
            biased;
            found = waiting.as_mut() => return (found, started.elapsed().as_secs()),
            () = next => drop(shop.engine.dispatch().await),
        }
    }
    panic!("it still waits");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_learns_of_a_lost_notification_within_6_s() {
    for provider in [Wxpay, Alipay] {
        let (shop, _) = shop_with_webhook().await;
        let created = shop.create(&qr_with_custom(provider)).await.unwrap();
        let waiting = ask(&shop, Some(Duration::from_secs(40)));
        shop.pay(&created).unwrap();
        let (found, seconds) = while_time_passes(&shop, waiting).await;
        assert_eq!(found.unwrap().user_order_success, Some(true));
        assert!((5..=6).contains(&seconds), "{provider}: {seconds} s");
        assert_eq!(queries(&shop, provider), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_30_s_queries_the_provider_after_5_and_15_s_and_at_its_end() {
    let (shop, _) = shop_with_webhook().await;
    shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    let waits = async {
        let wait = || ask(&shop, Some(Duration::from_secs(30)));
        tokio::join!(wait(), wait())
    };
    let ((one, _), seconds) = while_time_passes(&shop, waits).await;
    assert_eq!((one.unwrap().order.status.number(), seconds), (0, 30));
    assert_eq!(queries(&shop, Wxpay), 3, "also for two clients");
}

#[tokio::test]
async fn a_wait_ends_when_the_engine_stops() {
    let (shop, _) = shop_with_webhook().await;
    shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    let stop = async {
        tokio::task::yield_now().await;
        shop.engine.shutdown().await;
    };
    let (waited, ()) = tokio::join!(ask(&shop, Some(Duration::from_secs(40))), stop);
    assert!(waited.is_ok_and(|it| it.order.status.number() == 0));
}

#[tokio::test]
async fn of_what_was_not_handed_out_only_what_its_client_waits_for_is_asked_about() {
    let (shop, _) = shop_with_webhook().await;
    shop.fault(FaultKind::LoseRequest);
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
    let unknown = shop.create(&qr_with_custom(Wxpay)).await;
    assert_eq!(kind(unknown), Some(Kind::OutcomeUnknown));
    shop.clock.advance_ms(5_000);
    let before = queries(&shop, Wxpay);
    query(&shop).await.unwrap();
    assert_eq!(queries(&shop, Wxpay), before + 1);
    // The client takes another payment method.
    shop.create(&qr_with_custom(Alipay)).await.unwrap();
    shop.clock.advance_ms(5_000);
    let before = queries(&shop, Wxpay);
    query(&shop).await.unwrap();
    assert_eq!((queries(&shop, Wxpay), queries(&shop, Alipay)), (before, 1));
}

//! Requests that end before their provider's answer is known, and what resumes them.

use std::sync::Arc;
use std::time::Duration;

use paygate::Clock;
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::{Attempt, AttemptState, ChannelNo, Order, ProviderId};
use paygate::error::Kind;
use paygate::mock::{FaultKind, InProcess, ProviderOperation, SimulatedFault, State};
use paygate::store::{Committed, Memory, Store};
use serde_json::{Value, json};

use crate::support::requests::{MINUTE, NO, mini, phone, qr, refuse};
use crate::support::shop::{ManualClock, Shop, body, kind, with};

/// The order `no` by WeChat Pay's code.
fn order(no: u32) -> Value {
    body(Wxpay, &format!("order-{no:04}"), 100)
}

/// Every call of one kind to `provider` goes wrong from now on.
fn break_down(shop: &Shop, provider: ProviderId, operation: ProviderOperation, kind: FaultKind) {
    let (provider, operation, times) = (Some(provider), Some(operation), 1 << 20);
    shop.providers.add_fault(SimulatedFault { provider, operation, kind, times });
}

#[tokio::test(start_paused = true)]
async fn a_request_without_time_for_the_query_leaves_the_outcome_of_its_sending_unknown() {
    let ms = Duration::from_millis;
    let shop = Shop::open_as(|it| it.call_limits(ms(8_000), ms(8_050))).await;
    shop.fault(FaultKind::Delay { ms: 60_000 });
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown));
    assert_eq!(shop.providers.calls("wxpay.query"), 0, "50 ms are too short for it");
    assert_eq!(shop.creates(), 1);
    assert!(shop.create(&qr(Wxpay)).await.is_ok());
    assert_eq!(shop.ledger(NO).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_could_be_paid_meanwhile_is_closed_when_an_unsent_attempt_is_resumed() {
    let shop = Shop::open().await;
    break_down(&shop, Wxpay, ProviderOperation::Create, FaultKind::LoseRequest);
    for no in 2..=6 {
        assert!(shop.create(&order(no)).await.is_err());
    }
    shop.providers.clear_faults();
    // The circuit is open.
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::NotSent));
    assert_eq!(shop.order(NO).await.attempts[0].state, AttemptState::NotSent);
    let held = shop.create(&qr(Alipay)).await.unwrap();
    shop.scan(&held).unwrap();
    tokio::time::advance(Duration::from_secs(6)).await;
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    let order = shop.order(NO).await;
    assert_eq!((order.attempts.len(), order.current().n), (2, 1), "the first attempt is resumed");
    assert_eq!(
        shop.ledger(NO).iter().map(|it| it.state).collect::<Vec<_>>(),
        [State::Unpaid, State::Closed]
    );
    assert!(shop.pay(&held).is_err());
    assert!(shop.pay(&created).is_ok());
}

#[tokio::test(start_paused = true)]
async fn while_no_query_is_made_only_an_attempt_that_was_sent_is_unknown() {
    let shop = Shop::open().await;
    shop.fault(refuse("PARAM_ERROR", "no"));
    assert_eq!(kind(shop.create(&order(1)).await), Some(Kind::ProviderRefused));
    for operation in [ProviderOperation::Create, ProviderOperation::Query] {
        break_down(&shop, Wxpay, operation, FaultKind::LoseRequest);
    }
    for no in 2..=8 {
        assert!(shop.create(&order(no)).await.is_err());
    }
    let queries = shop.providers.calls("wxpay.query");
    assert_eq!(kind(shop.create(&order(2)).await), Some(Kind::OutcomeUnknown));
    assert_eq!(kind(shop.create(&order(1)).await), Some(Kind::NotSent), "nothing of it is there");
    assert_eq!(shop.providers.calls("wxpay.query"), queries, "the circuit is open");
}

#[tokio::test]
async fn a_silent_provider_is_queried_once_about_attempts_by_other_methods() {
    let shop = Shop::open().await;
    break_down(&shop, Wxpay, ProviderOperation::Query, FaultKind::LoseRequest);
    for lost in [mini(Wxpay, "one"), phone()] {
        shop.fault(FaultKind::LoseReply);
        assert_eq!(kind(shop.create(&lost).await), Some(Kind::OutcomeUnknown));
    }
    let before = shop.providers.calls("wxpay.query");
    shop.create(&qr(Wxpay)).await.unwrap();
    assert_eq!(shop.providers.calls("wxpay.query") - before, 1);
    assert_eq!(shop.providers.orders().len(), 3, "each has a number of its own");
}

fn with_deadline(shop: &Shop, request: Value, ahead_ms: i64) -> Value {
    with(request, "/data/time_expire", json!(shop.clock.now().0 + ahead_ms))
}

#[tokio::test]
async fn a_deadline_is_a_minute_to_7_days_ahead() {
    const WEEK: i64 = 7 * 24 * 60 * MINUTE;
    for (ahead_ms, refused) in [
        (MINUTE - 1, Some(Kind::Invalid)),
        (MINUTE, None),
        (2 * 24 * 60 * MINUTE, None),
        (WEEK, None),
        (WEEK + 1, Some(Kind::Invalid)),
    ] {
        let shop = Shop::open().await;
        let request = with_deadline(&shop, qr(Wxpay), ahead_ms);
        assert_eq!(kind(shop.create(&request).await), refused, "{ahead_ms}");
    }
}

#[tokio::test]
async fn a_minute_before_the_orders_deadline_another_attempt_still_opens() {
    for (late_ms, refused) in [(0, None), (1, Some(Kind::Busy))] {
        let shop = Shop::open().await;
        let first = with_deadline(&shop, qr(Alipay), 10 * MINUTE);
        let other = with_deadline(&shop, qr(Wxpay), 10 * MINUTE);
        shop.create(&first).await.unwrap();
        shop.clock.advance_ms(9 * MINUTE + late_ms);
        assert_eq!(kind(shop.create(&other).await), refused, "{late_ms}");
    }
}

/// What becomes of an order with so many refused attempts when it is requested after the public
/// URL was, or was not, replaced.
async fn requested_after_refusals(attempts: u32, is_replaced: bool) -> Order {
    let (store, clock) = (Memory::new(), ManualClock::new());
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    let before = Shop::at(clock.clone(), store.reopen(), providers.clone(), |it| it).await;
    before.fault(refuse("PARAM_ERROR", "no"));
    assert_eq!(kind(before.create(&qr(Wxpay)).await), Some(Kind::ProviderRefused));
    let mut order = before.order(NO).await;
    order.version += 1;
    let (first, terms) = (order.attempts[0].clone(), order.terms.clone());
    order.attempts.extend((2..=attempts).map(|n| {
        let channel_no = ChannelNo::derived(&terms.pid, &terms.out_trade_no, n);
        Attempt { n, channel_no, ..first.clone() }
    }));
    let store = store.reopen();
    assert_eq!(store.commit(&order, &[]).await, Ok(Committed::Done));
    let url = if is_replaced { "https://new.example.com" } else { "https://shop.example.com" };
    let shop = Shop::at(clock, store, providers, |it| it.public_url(url.parse().unwrap())).await;
    shop.create(&qr(Wxpay)).await.unwrap();
    shop.order(NO).await
}

#[tokio::test]
async fn a_refused_attempt_is_resumed_unless_its_parameters_were_replaced_since() {
    for (attempts, is_replaced, after) in
        [(1, false, 1), (1, true, 2), (31, true, 32), (32, true, 32)]
    {
        let order = requested_after_refusals(attempts, is_replaced).await;
        assert_eq!(order.attempts.len(), after, "{attempts} {is_replaced}");
        let current = order.current();
        assert!(current.is_payable(), "{attempts} {is_replaced}");
        let is_new = current.params.notify_url.starts_with("https://new.example.com/pay/notify/");
        assert_eq!(is_new, after > usize::try_from(attempts).unwrap(), "{attempts}");
    }
}

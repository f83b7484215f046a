//! A provider that is down, or refuses everything, and the buyer who goes to the other one.

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::{AttemptState, ProviderId};
use paygate::engine::Switching;
use paygate::error::Kind;
use paygate::mock::{
    FaultKind, PayWith, ProviderOperation, SimulatedFault, SimulatedPurchase, State,
};

use crate::support::requests::{NO, app, material, mini, qr, refuse};
use crate::support::shop::{Shop, kind, run_background};

const MINUTE: i64 = 60_000;

/// From now on every call to `provider` goes wrong, until the faults are cleared.
fn break_down(shop: &Shop, provider: ProviderId, kind: &FaultKind) {
    for operation in [ProviderOperation::Create, ProviderOperation::Query, ProviderOperation::Close]
    {
        let (provider, operation) = (Some(provider), Some(operation));
        shop.providers.add_fault(SimulatedFault {
            provider,
            operation,
            kind: kind.clone(),
            times: 1 << 20,
        });
    }
}

/// What a provider that cannot be used answers, or does not.
fn breakdowns(provider: ProviderId) -> Vec<FaultKind> {
    let refusals = match provider {
        Wxpay => vec![refuse("SIGN_ERROR", "no"), refuse("NO_AUTH", "no")],
        Alipay => vec![refuse("40006", "no"), refuse("20000", "no")],
    };
    let losses = [FaultKind::LoseRequest, FaultKind::LoseReply, FaultKind::Status500];
    losses.into_iter().chain(refusals).collect()
}

fn calls(shop: &Shop, provider: ProviderId) -> u64 {
    let kinds = ["create", "query", "close"];
    kinds.iter().map(|kind| shop.providers.calls(&format!("{provider}.{kind}"))).sum()
}

fn other(provider: ProviderId) -> ProviderId {
    if provider == Wxpay { Alipay } else { Wxpay }
}

/// Lets the reconciler do everything there is to do for so many minutes.
async fn wait(shop: &Shop, minutes: i64) {
    for _ in 0..minutes {
        shop.clock.advance_ms(MINUTE);
        shop.engine.reconcile().await;
        shop.engine.reconcile().await;
        run_background().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_holds_back_no_other() {
    for provider in [Wxpay, Alipay] {
        for breakdown in breakdowns(provider) {
            for switching in [Switching::Close, Switching::Reject] {
                let shop = Shop::open_as(|it| it.switching(switching)).await;
                break_down(&shop, provider, &breakdown);
                assert!(shop.create(&qr(provider)).await.is_err(), "{provider} {breakdown:?}");
                let before = calls(&shop, provider);
                let created = shop.create(&qr(other(provider))).await;
                let created = created.unwrap_or_else(|it| panic!("{provider} {breakdown:?}: {it}"));
                assert_eq!(calls(&shop, provider), before, "{provider} is not waited for");
                assert!(shop.pay(&created).is_ok());
                shop.notify().await;
                assert_eq!(shop.order(NO).await.status.number(), 1);
                // The outage ends after the order was paid.
                shop.providers.clear_faults();
                wait(&shop, 40).await;
                let order = shop.order(NO).await;
                assert!(order.due().is_none(), "{breakdown:?}: {:#?}", order.attempts);
                let at = |it: &&paygate::mock::SimulatedOrder| it.provider == provider;
                let unpaid =
                    shop.providers.orders().iter().filter(at).any(|it| it.state == State::Unpaid);
                assert!(!unpaid, "{provider} {breakdown:?}: what exists there is closed");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_provider_is_down_can_be_closed_and_is_watched_on() {
    for provider in [Wxpay, Alipay] {
        for breakdown in breakdowns(provider) {
            let shop = Shop::open().await;
            break_down(&shop, provider, &breakdown);
            assert!(shop.create(&qr(provider)).await.is_err());
            let before = calls(&shop, provider);
            let no = shop.order(NO).await.out_trade_no().clone();
            shop.engine.close(&no).await.unwrap();
            assert_eq!(calls(&shop, provider), before, "{breakdown:?}: it is not waited for");
            shop.providers.clear_faults();
            wait(&shop, 40).await;
            assert!(shop.order(NO).await.due().is_none(), "{breakdown:?}");
            let states: Vec<State> = shop.states().into_iter().map(|it| it.1).collect();
            assert!(!states.contains(&State::Unpaid), "{provider} {breakdown:?}: {states:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn going_to_and_fro_during_an_outage_closes_once_and_never_runs_into_a_limit() {
    for provider in [Wxpay, Alipay] {
        for breakdown in breakdowns(provider) {
            let shop = Shop::open().await;
            let living = qr(other(provider));
            shop.create(&living).await.unwrap();
            break_down(&shop, provider, &breakdown);
            let mut given = Vec::new();
            for round in 0..40 {
                let dead = shop.create(&qr(provider)).await;
                assert!(dead.is_err(), "{provider} {breakdown:?} {round}");
                let alive = shop.create(&living).await;
                let alive = alive.unwrap_or_else(|it| panic!("{breakdown:?} {round}: {it:?}"));
                given.push(material(&alive));
            }
            given.dedup();
            assert_eq!(given.len(), 1, "{provider} {breakdown:?}: the living way stays");
            assert!(shop.order(NO).await.attempts.len() <= 4, "{provider} {breakdown:?}");
            // The provider is back: the buyer's choice counts again.
            shop.providers.clear_faults();
            tokio::time::advance(std::time::Duration::from_secs(6)).await;
            let back = shop.create(&qr(provider)).await;
            let back = back.unwrap_or_else(|it| panic!("{provider} {breakdown:?}: {it:?}"));
            assert!(shop.pay(&back).is_ok(), "{provider} {breakdown:?}");
        }
    }
}

#[tokio::test]
async fn what_was_handed_out_before_the_outage_holds_back_everything() {
    let shop = Shop::open().await;
    let no = {
        shop.create(&qr(Wxpay)).await.unwrap();
        shop.order(NO).await.out_trade_no().clone()
    };
    break_down(&shop, Wxpay, &FaultKind::LoseRequest);
    assert_eq!(kind(shop.create(&qr(Alipay)).await), Some(Kind::OutcomeUnknown));
    assert_eq!(kind(shop.engine.close(&no).await), Some(Kind::OutcomeUnknown));
    assert_eq!(shop.providers.calls("alipay.create"), 0);
}

#[tokio::test]
async fn alipays_mini_program_trade_counts_as_handed_out_while_its_outcome_is_unknown() {
    let shop = Shop::open().await;
    break_down(&shop, Alipay, &FaultKind::LoseReply);
    let mini = mini(Alipay, "2088000000000901");
    assert_eq!(kind(shop.create(&mini).await), Some(Kind::OutcomeUnknown));
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown));
    assert_eq!(shop.providers.calls("wxpay.create"), 0, "the buyer may find the trade in Alipay");
}

#[tokio::test]
async fn another_way_at_the_provider_that_does_not_answer_gets_a_number_of_its_own() {
    let shop = Shop::open().await;
    shop.fault(FaultKind::LoseReply);
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseRequest);
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown));
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseRequest);
    let created = shop.create(&app(Wxpay)).await.unwrap();
    let numbers: Vec<String> =
        shop.order(NO).await.attempts.iter().map(|it| it.channel_no.to_string()).collect();
    assert_eq!(numbers[0], NO);
    assert!(numbers[1].starts_with("pg"), "{numbers:?}");
    assert!(shop.pay(&created).is_ok());
    // What the first provider made all the same is closed as soon as it says so.
    wait(&shop, 2).await;
    assert_eq!(shop.ledger(NO)[0].state, State::Closed);
}

#[tokio::test]
async fn the_same_way_gets_no_new_number_while_the_old_ones_outcome_is_unknown() {
    let shop = Shop::open().await;
    shop.fault(FaultKind::LoseReply);
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseRequest);
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown));
    for minutes in [0, 31] {
        shop.clock.advance_ms(minutes * MINUTE);
        shop.fault_of(ProviderOperation::Query, FaultKind::LoseRequest);
        assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown), "{minutes}");
    }
    assert_eq!((shop.creates(), shop.order(NO).await.attempts.len()), (1, 1));
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    assert!(shop.pay(&created).is_ok());
    assert_eq!(shop.ledger(NO)[0].state, State::Closed, "what had expired was closed first");
}

#[tokio::test]
async fn a_payment_of_what_was_never_handed_out_is_a_payment() {
    let shop = Shop::open().await;
    break_down(&shop, Alipay, &FaultKind::LoseReply);
    assert!(shop.create(&qr(Alipay)).await.is_err());
    let native = shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&native).unwrap();
    let with = PayWith::OutTradeNo(NO.to_owned());
    shop.providers.pay(&SimulatedPurchase { provider: Alipay, with, payer: None }).unwrap();
    shop.providers.clear_faults();
    wait(&shop, 5).await;
    let order = shop.order(NO).await;
    assert_eq!(order.payments.len(), 2);
    assert!(order.flags.duplicate_paid);
    let back: u64 = order.payments.iter().map(paygate::domain::Payment::refunded).sum();
    assert_eq!(back, 100, "the duplicate went back");
}

#[tokio::test]
async fn a_close_whose_answer_was_lost_hands_out_no_dead_code() {
    for loss in [FaultKind::LoseReply, FaultKind::LoseRequest, FaultKind::Status500] {
        let shop = Shop::open().await;
        let first = shop.create(&qr(Wxpay)).await.unwrap();
        shop.fault_of(ProviderOperation::Close, loss.clone());
        assert_eq!(kind(shop.create(&qr(Alipay)).await), Some(Kind::OutcomeUnknown), "{loss:?}");
        assert!(shop.order(NO).await.attempts[0].close_intended, "{loss:?}");
        let again = shop.create(&qr(Wxpay)).await.unwrap();
        assert!(!again.replayed, "{loss:?}");
        assert_ne!(material(&first), material(&again), "{loss:?}");
        assert!(shop.pay(&first).is_err(), "{loss:?}");
        assert!(shop.pay(&again).is_ok(), "{loss:?}");
    }
}

#[tokio::test]
async fn a_close_that_the_provider_refused_for_now_leaves_the_code_as_it_was() {
    let shop = Shop::open().await;
    let first = shop.create(&qr(Wxpay)).await.unwrap();
    shop.fault_of(ProviderOperation::Close, refuse("FREQUENCY_LIMITED", "the buyer is paying"));
    assert_eq!(kind(shop.create(&qr(Alipay)).await), Some(Kind::Busy));
    let again = shop.create(&qr(Wxpay)).await.unwrap();
    assert!(again.replayed);
    assert_eq!(material(&first), material(&again));
    assert!(shop.pay(&again).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_order_is_sent_once() {
    for (provider, code) in
        [(Wxpay, "FREQUENCY_LIMITED"), (Wxpay, "RATELIMIT_EXCEEDED"), (Alipay, "40005")]
    {
        let shop = Shop::open().await;
        let fault = SimulatedFault {
            provider: None,
            operation: Some(ProviderOperation::Create),
            kind: refuse(code, "too many"),
            times: 100,
        };
        shop.providers.add_fault(fault);
        let error = shop.create(&qr(provider)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotSent, "{code}");
        assert_eq!(error.provider().map(|it| it.1), Some("too many"), "what the provider said");
        assert_eq!((shop.creates(), calls(&shop, provider)), (1, 1), "{code}: no loop");
        let [attempt] = &shop.order(NO).await.attempts[..] else { panic!("one attempt") };
        assert!(attempt.is_unknown(), "{code}: it is asked about before it is sent again");
        shop.providers.clear_faults();
        assert!(shop.create(&qr(provider)).await.is_ok());
        assert_eq!(shop.creates(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_fails_is_sent_three_times_at_most_with_growing_pauses() {
    for (provider, fault) in [
        (Wxpay, refuse("SYSTEM_ERROR", "busy")),
        (Wxpay, FaultKind::LoseRequest),
        (Alipay, refuse("ACQ.SYSTEM_ERROR", "busy")),
        (Alipay, refuse("20000", "busy")),
    ] {
        let shop = Shop::open().await;
        let (operation, kind) = (Some(ProviderOperation::Create), fault.clone());
        shop.providers.add_fault(SimulatedFault { provider: None, operation, kind, times: 100 });
        let began = tokio::time::Instant::now();
        let error = shop.create(&qr(provider)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::OutcomeUnknown, "{fault:?}");
        assert_eq!(shop.creates(), 3, "{fault:?}");
        assert!(began.elapsed().as_millis() >= 1_000, "{fault:?}");
        let is_told = matches!(fault, FaultKind::Refuse(_));
        let said = error.provider().map(|it| it.1);
        assert_eq!(said, is_told.then_some("busy"), "what the provider said: {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_several_failures_in_a_row_calls_are_refused_at_once_for_some_seconds() {
    let shop = Shop::open().await;
    break_down(&shop, Wxpay, &refuse("SYSTEM_ERROR", "busy"));
    let order = |n: u32| crate::support::shop::body(Wxpay, &format!("order-{n:04}"), 100);
    for n in 10..15 {
        assert!(shop.create(&order(n)).await.is_err());
    }
    let before = calls(&shop, Wxpay);
    let error = shop.create(&order(20)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotSent);
    assert!(error.retry_after().is_some_and(|it| (1..=5).contains(&it)));
    assert_eq!(error.provider(), Some(("SYSTEM_ERROR", "busy")));
    assert_eq!(calls(&shop, Wxpay), before, "nothing was sent");
    assert!(shop.create(&crate::support::shop::body(Alipay, "order-0030", 100)).await.is_ok());
    shop.providers.clear_faults();
    tokio::time::advance(std::time::Duration::from_secs(6)).await;
    assert!(shop.create(&order(20)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn two_answers_that_contradict_each_other_open_nothing_until_one_of_them_holds() {
    for (provider, taken) in [(Alipay, "ACQ.TRADE_HAS_SUCCESS"), (Wxpay, "OUT_TRADE_NO_USED")] {
        let shop = Shop::open().await;
        let operation = Some(ProviderOperation::Create);
        let kind = refuse(taken, "taken");
        shop.providers.add_fault(SimulatedFault { provider: None, operation, kind, times: 3 });
        let error = shop.create(&qr(provider)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::OutcomeUnknown);
        assert_eq!(error.provider().map(|it| it.0), Some(taken));
        assert_eq!(shop.providers.orders().len(), 0);
        let elsewhere = shop.create(&qr(other(provider))).await;
        assert_eq!(elsewhere.err().map(|it| it.kind()), Some(Kind::OutcomeUnknown));
        assert!(shop.create(&qr(provider)).await.is_err());
        let created = shop.create(&qr(provider)).await.unwrap();
        let [order] = &shop.order(NO).await.attempts[..] else { panic!("one attempt") };
        assert!(matches!(order.state, AttemptState::Payable { .. }));
        assert_eq!(shop.providers.orders()[0].out_trade_no, NO, "no other number");
        assert!(shop.pay(&created).is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_reconciler_asks_a_few_orders_a_second() {
    let shop = Shop::open().await;
    break_down(&shop, Wxpay, &FaultKind::LoseRequest);
    for n in 0..40 {
        let order = crate::support::shop::body(Wxpay, &format!("order-{n:04}"), 100);
        assert!(shop.create(&order).await.is_err());
        // The circuit opens now and then; what it holds back was never sent.
        tokio::time::advance(std::time::Duration::from_secs(6)).await;
    }
    shop.providers.clear_faults();
    let mut asked = 0;
    for second in 0..60 {
        shop.clock.advance_ms(60_000);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let before = shop.providers.calls("wxpay.query");
        shop.engine.reconcile().await;
        let now = shop.providers.calls("wxpay.query") - before;
        assert!(now <= 5, "{second}: {now} at once");
        asked += now;
    }
    assert!(asked >= 5, "{asked}");
    for n in 0..40 {
        let order = shop.order(&format!("order-{n:04}")).await;
        assert!(order.due().is_none(), "{n}: {:?}", order.attempts);
    }
}

/// An engine whose clock is so far ahead of the providers'.
async fn ahead(ms: i64) -> (Shop, crate::support::shop::ManualClock) {
    let theirs = crate::support::shop::ManualClock::new();
    let providers =
        paygate::mock::InProcess::open(None, std::sync::Arc::new(theirs.clone())).unwrap();
    let ours = crate::support::shop::ManualClock::new();
    ours.advance_ms(ms);
    let store = paygate::store::Memory::new();
    (Shop::at(ours, store, providers, |it| it).await, theirs)
}

#[tokio::test]
async fn an_unscanned_code_lapses_by_alipays_clock_too() {
    for ms in [70_000, 120_000, 290_000] {
        let (shop, theirs) = ahead(ms).await;
        // Its expiry is told by our clock: Alipay takes money for it so much longer.
        let code = shop.create(&qr(Alipay)).await.unwrap();
        for clock in [&shop.clock, &theirs] {
            clock.advance_ms(31 * MINUTE + 2_000);
        }
        let lapsed_here = shop.order(NO).await.attempts[0].lapses();
        assert!(paygate::Clock::now(&shop.clock) >= lapsed_here);
        let answer = shop.create(&qr(Alipay)).await;
        let attempts = shop.order(NO).await.attempts;
        assert_eq!(kind(answer), Some(Kind::Busy), "{ms}: it can still be paid there");
        assert!(attempts[0].is_payable(), "{ms}");
        assert_eq!(attempts.len(), 1, "{ms}");
        assert!(shop.pay(&code).is_ok(), "{ms}");
    }
}

#[tokio::test]
async fn going_back_to_a_lost_code_shares_the_number_of_what_alipay_cannot_close() {
    let shop = Shop::open().await;
    shop.fault(FaultKind::LoseRequest);
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseRequest);
    assert_eq!(kind(shop.create(&qr(Alipay)).await), Some(Kind::OutcomeUnknown));
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseRequest);
    let string = shop.create(&app(Alipay)).await.unwrap();
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.pay(&string).unwrap();
    assert!(shop.pay(&code).is_err(), "both are one trade");
    assert_eq!(shop.providers.money().paid, 100);
}

#[tokio::test]
async fn what_was_handed_out_and_is_said_not_to_exist_lets_nothing_else_open() {
    for (first, code) in
        [(qr(Wxpay), "ORDER_NOT_EXIST"), (mini(Alipay, "2088000000000901"), "ACQ.TRADE_NOT_EXIST")]
    {
        let shop = Shop::open().await;
        let held = shop.create(&first).await.unwrap();
        let not_found = paygate::mock::Refuse {
            code: code.to_owned(),
            message: "no such trade".to_owned(),
            status: (code == "ORDER_NOT_EXIST").then_some(404),
        };
        for _ in 0..2 {
            shop.fault_of(ProviderOperation::Query, FaultKind::Refuse(not_found.clone()));
        }
        let provider = held.pay_type.provider();
        let switched = shop.create(&qr(other(provider))).await;
        assert_eq!(kind(switched), Some(Kind::OutcomeUnknown), "{code}");
        let no = shop.order(NO).await.out_trade_no().clone();
        assert_eq!(kind(shop.engine.close(&no).await), Some(Kind::OutcomeUnknown), "{code}");
        assert_eq!(shop.providers.orders().len(), 1, "{code}");
        assert!(shop.create(&qr(other(provider))).await.is_ok(), "{code}: it says so no more");
        assert!(shop.pay(&held).is_err(), "{code}");
    }
}

#[tokio::test]
async fn a_rejected_switch_waits_until_the_first_way_lapsed_by_both_clocks() {
    let theirs = crate::support::shop::ManualClock::new();
    let providers =
        paygate::mock::InProcess::open(None, std::sync::Arc::new(theirs.clone())).unwrap();
    let ours = crate::support::shop::ManualClock::new();
    ours.advance_ms(280_000);
    let store = paygate::store::Memory::new();
    let shop = Shop::at(ours, store, providers, |it| it.switching(Switching::Reject)).await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    for clock in [&shop.clock, &theirs] {
        clock.advance_ms(31 * MINUTE + 2_000);
    }
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::SwitchRejected));
    assert!(shop.pay(&code).is_ok(), "it could still be paid");
}

#[tokio::test(start_paused = true)]
async fn what_needs_only_a_signature_opens_while_alipay_is_left_alone() {
    let shop = Shop::open().await;
    let operation = Some(ProviderOperation::Create);
    let kind = FaultKind::LoseRequest;
    shop.providers.add_fault(SimulatedFault {
        provider: Some(Alipay),
        operation,
        kind,
        times: 1 << 20,
    });
    let order = |n: u32| crate::support::shop::body(Alipay, &format!("order-{n:04}"), 100);
    let in_app = |n: u32| {
        crate::support::shop::with(order(n), "/context/PLATFORM", serde_json::json!("app"))
    };
    for n in 10..14 {
        assert!(shop.create(&order(n)).await.is_err());
        assert!(shop.create(&in_app(n + 100)).await.is_ok(), "{n}");
    }
    let refused = shop.create(&order(20)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NotSent, "signatures close no circuit");
    assert!(shop.create(&in_app(21)).await.is_ok(), "nor does an open one concern them");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_while_the_reconciler_asks_it_holds_up_nobody() {
    let shop = Shop::open().await;
    break_down(&shop, Alipay, &FaultKind::Delay { ms: 60_000 });
    assert!(shop.create(&qr(Alipay)).await.is_err());
    let no = shop.order(NO).await.out_trade_no().clone();
    shop.clock.advance_ms(MINUTE);
    tokio::time::advance(std::time::Duration::from_secs(6)).await;
    let engine = shop.engine.clone();
    let mut looking = tokio::task::JoinSet::new();
    looking.spawn(async move { engine.reconcile().await });
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let began = tokio::time::Instant::now();
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    assert!(began.elapsed().as_millis() < 500, "it waits for nobody");
    shop.engine.close(&no).await.unwrap();
    assert!(began.elapsed().as_millis() < 1_000);
    assert!(looking.try_join_next().is_none(), "the question still hangs");
    looking.join_all().await;
    assert!(shop.pay(&created).is_err());
}

#[tokio::test]
async fn after_going_back_the_order_is_described_by_what_the_buyer_holds() {
    let shop = Shop::open().await;
    break_down(&shop, Alipay, &FaultKind::LoseRequest);
    assert!(shop.create(&qr(Alipay)).await.is_err());
    shop.create(&qr(Wxpay)).await.unwrap();
    shop.providers.clear_faults();
    shop.create(&qr(Alipay)).await.unwrap();
    let order = shop.order(NO).await;
    assert_eq!(order.attempts[1].state, AttemptState::Closed);
    assert_eq!((order.current().n, order.current().method.provider()), (1, Alipay));
}

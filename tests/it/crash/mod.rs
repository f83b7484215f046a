//! Every commit point of every story, counted, and crashed at in turn: the process dies before
//! the write or right after it, another one opens the file, and whoever comes first, the client
//! or the background, goes on.
//!
//! What the simulated providers' ledger says counts: an order is paid once, and known here.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay", feature = "sqlite"))]

mod scenarios;
mod world;

use paygate::Clock;
use paygate::domain::{Attempt, AttemptState, DeliveryState, OrderStatus, ProviderId};
use paygate::engine::Created;
use paygate::error::Kind;
use paygate::mock::State;
use paygate::store::Store;

use crate::support::crashing_store::{Crashing, Moment, Then};
use crate::support::requests::{NO, material};
use crate::support::shop::Shop;
use scenarios::{Scenario, Step};
use world::{MINUTE, World};

/// The order's number in these tests, and its price in fen.
const PRICE: u64 = 100;

/// Who is first at the process that comes after the dead one, and what it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// The client, asking the same.
    Client,
    /// The client, asking for what it asks next in the story.
    Impatient,
    Background,
}

/// One way to die.
#[derive(Clone, Copy, Debug)]
struct Death {
    write: u64,
    moment: Moment,
    first: First,
}

#[tokio::test]
async fn a_first_request_survives_a_crash_at_any_write() {
    check(scenarios::first_requests()).await;
}

#[tokio::test]
async fn an_unknown_outcome_survives_a_crash_at_any_write() {
    check(scenarios::unknown_outcomes()).await;
}

#[tokio::test]
async fn another_way_to_pay_survives_a_crash_at_any_write() {
    check(scenarios::switches()).await;
}

#[tokio::test]
async fn an_end_and_what_follows_it_survive_a_crash_at_any_write() {
    check(scenarios::ends()).await;
}

#[tokio::test]
async fn a_payment_survives_a_crash_at_any_write() {
    check(scenarios::payments()).await;
}

async fn check(scenarios: Vec<Scenario>) {
    let mut deaths = 0;
    for scenario in &scenarios {
        let writes = count(scenario).await;
        assert!(writes >= 2, "{}: a claim and an outcome at least", scenario.name);
        for write in 1..=writes {
            for moment in [Moment::Before, Moment::After] {
                for first in [First::Client, First::Impatient, First::Background] {
                    deaths += u32::from(die(scenario, Death { write, moment, first }).await);
                }
            }
        }
    }
    println!("{} stories, {deaths} deaths", scenarios.len());
}

/// Tells the story without a crash, and counts its writes.
async fn count(scenario: &Scenario) -> u64 {
    let mut world = World::of(scenario).await;
    let store = Crashing::counting(world.open());
    let shop = world.process(store.clone()).await;
    world.run(&shop, &scenario.steps).await;
    let writes = store.writes();
    settle(&mut world, &shop, scenario.name).await;
    writes
}

/// Tells the story until its process dies, has the next one go on, and tells the rest. `false`
/// when nothing comes next that an impatient client could ask.
async fn die(scenario: &Scenario, death: Death) -> bool {
    let name = format!("{}: {death:?}", scenario.name);
    let mut world = World::of(scenario).await;
    let Death { write, moment, first } = death;
    let store = Crashing::at(world.open(), write, moment, Then::Dies);
    let shop = world.process(store.clone()).await;
    tokio::select! {
        biased;
        () = world.run(&shop, &scenario.steps) => panic!("{name}: nobody died"),
        () = store.struck() => {}
    }
    // The kernel closes what a dead process had open.
    store.store().close().await;
    drop(shop);
    let rest = world.rest(&scenario.steps);
    let shop = world.process(world.open()).await;
    match first {
        First::Impatient if !matches!(rest.first(), Some(Step::Ask(_))) => return false,
        First::Impatient => {}
        First::Client => drop(answer(&mut world, &shop, &name).await),
        First::Background => {
            reconcile_attempt(&world, &shop).await;
            answer(&mut world, &shop, &name).await;
        }
    }
    world.run(&shop, rest).await;
    settle(&mut world, &shop, &name).await;
    true
}

/// The background, for two minutes.
async fn reconcile_attempt(world: &World, shop: &Shop) {
    for _ in 0..2 {
        world.clock.advance_ms(MINUTE);
        shop.engine.reconcile().await;
    }
}

/// The client asks what it asked last until it is answered. `None`: it is paid.
async fn answer(world: &mut World, shop: &Shop, name: &str) -> Option<Created> {
    let mut refusals = Vec::new();
    for _ in 0..6 {
        match shop.create(&world.asked).await {
            Ok(created) => {
                world.held.push(created.clone());
                return Some(created);
            }
            Err(error) if error.kind() == Kind::AlreadyPaid => return None,
            Err(error) => refusals.push(error.kind()),
        }
        world.clock.advance_ms(MINUTE);
        shop.engine.reconcile().await;
    }
    panic!("{name}: the client is never answered: {refusals:?}");
}

/// What must hold in the end, and holds once the buyer paid.
async fn settle(world: &mut World, shop: &Shop, name: &str) {
    reconcile_attempt(world, shop).await;
    let answered = answer(world, shop, name).await;
    check_standing(shop, name).await;
    if let Some(created) = &answered {
        let again = shop.create(&world.asked).await.unwrap();
        assert!(again.replayed, "{name}: the answer repeats");
        assert_eq!(material(&again), material(created), "{name}: the answer repeats");
        let paid_before = shop.states().iter().any(|(_, state)| *state == State::Paid);
        assert_eq!(shop.pay(created).is_ok(), !paid_before, "{name}: it can be paid, once");
    }
    // Nobody can end an Alipay code that nobody scanned: it is watched instead.
    let superseded = shop.order(NO).await.attempts.into_iter().find(|it| it.superseded);
    let watched = superseded.filter(Attempt::is_payable).map(|it| it.method.provider());
    for held in &world.held {
        let is_watched =
            watched == Some(ProviderId::Alipay) && held.pay_type.provider() == ProviderId::Alipay;
        assert!(is_watched || shop.pay(held).is_err(), "{name}: {held:?} can be paid as well");
    }
    check_paid(world, shop, name).await;
}

/// Nothing is left in doubt, what a provider has is known here, and one thing can be paid.
async fn check_standing(shop: &Shop, name: &str) {
    let order = shop.order(NO).await;
    let doubtful = order.attempts.iter().find(|it| it.is_unknown());
    assert_eq!(doubtful.map(|it| &it.state), None::<&AttemptState>, "{name}");
    let mut payable = 0;
    for trade in shop.providers.orders() {
        let mut attempts = order.attempts.iter().filter(|it| {
            it.method.provider() == trade.provider && it.channel_no.as_str() == trade.out_trade_no
        });
        let Some(known) = attempts.next() else {
            // The code that Alipay gave out died with the process: nobody has it.
            assert_eq!(trade.state, State::Offered, "{name}: {trade:?} is unknown here");
            continue;
        };
        // What died with a process before it was stored, nobody has either.
        if !known.is_handed_out() && !attempts.clone().any(Attempt::is_handed_out) {
            continue;
        }
        let is_open = matches!(trade.state, State::Unpaid | State::Offered);
        if !is_open || trade.terms.expires <= shop.clock.now() {
            continue;
        }
        assert!(
            order.status != OrderStatus::Open
                || known.is_payable()
                || attempts.any(|it| it.is_payable()),
            "{name}: {trade:?} can be paid and is {:?} here",
            known.state
        );
        let is_watched = trade.state == State::Offered && !order.is_offered(known);
        payable += usize::from(!is_watched);
    }
    assert!(payable <= 1, "{name}: {:?}", shop.providers.orders());
}

/// One payment was made, and an hour later it is known and the shop was told of it, once.
async fn check_paid(world: &World, shop: &Shop, name: &str) {
    for minutes in [40, 1, 1] {
        world.clock.advance_ms(minutes * MINUTE);
        shop.engine.reconcile().await;
        shop.engine.dispatch().await;
    }
    let orders = shop.providers.orders();
    let payments: Vec<_> = orders.iter().flat_map(|it| &it.payments).collect();
    let [payment] = payments[..] else { panic!("{name}: {payments:?}") };
    assert_eq!(payment.amount.fen(), PRICE, "{name}");
    let order = shop.order(NO).await;
    assert_eq!(order.status, OrderStatus::Paid, "{name}");
    let stored: Vec<_> = order.payments.iter().map(|it| it.transaction_id.0.as_ref()).collect();
    assert_eq!(stored, [payment.transaction_id.as_str()], "{name}");
    let refusal = shop.create(&world.asked).await.err().map(|it| it.kind());
    assert_eq!(refusal, Some(Kind::AlreadyPaid), "{name}");
    let accepted = shop.engine.events(DeliveryState::Accepted, 9).await.unwrap();
    let [event] = &accepted[..] else { panic!("{name}: {accepted:?}") };
    for state in [DeliveryState::Pending, DeliveryState::Parked] {
        assert_eq!(shop.engine.events(state, 9).await.unwrap(), [], "{name}: {state:?}");
    }
    let event_ids = world.event_ids();
    assert!(
        !event_ids.is_empty() && event_ids.iter().all(|id| *id == event.id),
        "{name}: {event_ids:?}"
    );
}

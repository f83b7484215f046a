//! What every store promises of the outbox.

use paygate::domain::{
    AttemptState, ChannelNo, DeliveryState, Effect, EventId, EventType, Millis, Order, OutboxEvent,
    TransactionId,
};
use paygate::store::{Committed, EventUpdate, Store, StoreErrorKind};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::contract::{claimed, committed, other_version};
use super::orders::{any_event, attempt, later, live, order};

/// What the shop is told of payment `n` of `order`, to be sent at `n` milliseconds.
pub(crate) fn event(order: &Order, n: i64) -> OutboxEvent {
    let transaction_id = TransactionId(format!("42{n:06}").into());
    let event = EventType::PaymentSucceeded;
    let effect = Effect { event, transaction_id, out_refund_no: None, requested_at: None };
    OutboxEvent {
        id: EventId::of(order.out_trade_no(), &effect),
        event,
        out_trade_no: order.out_trade_no().clone(),
        kind: "goods".to_owned(),
        body: format!("{{\"n\": {n}}}"),
        created_at: Millis(n),
        state: DeliveryState::Pending,
        tries: 0,
        next_at: Millis(n),
    }
}

async fn found(store: &dyn Store, event: &OutboxEvent) -> Option<OutboxEvent> {
    store.outbox_find(&event.id).await.unwrap()
}

async fn due(store: &dyn Store, now: i64, limit: usize) -> Vec<OutboxEvent> {
    store.outbox_due(Millis(now), limit).await.unwrap()
}

pub(super) async fn an_event_is_written_with_its_order(store: &dyn Store) {
    let first = order("told-of-it", 1);
    let events = [event(&first, 1), event(&first, 2)];
    claimed(store, &first).await;
    assert_eq!(found(store, &events[0]).await, None);
    let second = later(&first, live());
    assert_eq!(store.commit(&second, &events).await, Ok(Committed::Done));
    for event in &events {
        assert_eq!(found(store, event).await.as_ref(), Some(event));
    }
    assert_eq!(due(store, 2, 9).await, events);
    committed(store, &later(&second, AttemptState::Paid)).await;
    assert_eq!(due(store, 2, 9).await, events, "a later version takes no event back");
}

pub(super) async fn a_commit_that_writes_no_order_writes_no_event(store: &dyn Store) {
    let (mine, other) = (order("not-told-1", 1), order("not-told-2", 2));
    let untold = [event(&mine, 1)];
    let missing = store.commit(&mine, &untold).await.unwrap_err();
    assert_eq!(missing.kind, StoreErrorKind::Corrupt, "not claimed: {missing}");
    claimed(store, &mine).await;
    claimed(store, &other).await;
    let stale = store.commit(&mine, &untold).await;
    assert_eq!(stale, Ok(other_version(&mine)), "the version that is stored");
    let mut thief = later(&mine, AttemptState::Closed);
    thief.attempts.push(attempt(2, ChannelNo::first(other.out_trade_no()), 3));
    let told = [event(&other, 2)];
    let (next, neighbour) = (later(&other, live()), other.clone());
    let (refused, done) = tokio::join!(store.commit(&thief, &untold), store.commit(&next, &told));
    assert_eq!(refused.unwrap_err().kind, StoreErrorKind::NumberTaken);
    assert_eq!(done, Ok(Committed::Done), "a neighbour in the same transaction is left alone");
    assert_eq!(found(store, &untold[0]).await, None);
    assert_eq!(due(store, i64::MAX, 9).await, told);
    assert_eq!(told[0].out_trade_no, *neighbour.out_trade_no());
}

pub(super) async fn an_event_that_is_there_stays_as_it_is(store: &dyn Store) {
    let first = order("told-before", 1);
    let told = event(&first, 1);
    let otherwise = OutboxEvent {
        body: "{}".to_owned(),
        created_at: Millis(5),
        next_at: Millis(5),
        tries: 3,
        state: DeliveryState::Parked,
        ..told.clone()
    };
    claimed(store, &first).await;
    let second = later(&first, live());
    let twice = [told.clone(), otherwise.clone()];
    assert_eq!(store.commit(&second, &twice).await, Ok(Committed::Done));
    assert_eq!(found(store, &told).await.as_ref(), Some(&told));
    let sent = OutboxEvent { state: DeliveryState::Accepted, tries: 1, ..told };
    assert_eq!(store.outbox_set(&sent).await, Ok(EventUpdate::Done));
    let third = later(&second, AttemptState::Paid);
    let with_new = [otherwise, event(&first, 2)];
    assert_eq!(store.commit(&third, &with_new).await, Ok(Committed::Done));
    assert_eq!(found(store, &sent).await, Some(sent));
    assert_eq!(due(store, i64::MAX, 9).await, [event(&first, 2)]);
}

pub(super) async fn pending_events_are_due_in_their_order(store: &dyn Store) {
    let first = order("told-in-order", 1);
    claimed(store, &first).await;
    // Payment, when it is sent next, where it stands.
    let cases = [
        (1, 30, DeliveryState::Pending),
        (2, 10, DeliveryState::Pending),
        (3, 5, DeliveryState::Accepted),
        (4, 20, DeliveryState::Pending),
        (5, 20, DeliveryState::Pending),
        (6, 6, DeliveryState::Parked),
        (7, 7, DeliveryState::Parked),
    ];
    let stands = cases.map(|(n, next, state)| {
        let next = Millis(next);
        OutboxEvent { next_at: next, state, ..event(&first, n) }
    });
    let made = cases.map(|(n, ..)| event(&first, n));
    assert_eq!(store.commit(&later(&first, live()), &made).await, Ok(Committed::Done));
    for event in &stands {
        assert_eq!(store.outbox_set(event).await, Ok(EventUpdate::Done));
    }
    let in_state = |state: DeliveryState| {
        let mut events: Vec<OutboxEvent> = stands.to_vec();
        events.retain(|it| it.state == state);
        events.sort_by_key(|it| (it.next_at, it.id.clone()));
        events
    };
    let pending = in_state(DeliveryState::Pending);
    for (now, count) in [(9, 0), (10, 1), (19, 1), (20, 3), (29, 3), (30, 4), (i64::MAX, 4)] {
        assert_eq!(due(store, now, 9).await, pending[..count], "at {now}");
    }
    for limit in 0..=4 {
        assert_eq!(due(store, i64::MAX, limit).await, pending[..limit], "{limit} at most");
    }
    for state in DeliveryState::ALL {
        assert_eq!(store.outbox_list(state, 9).await, Ok(in_state(state)), "{state:?}");
        assert_eq!(store.outbox_list(state, 1).await, Ok(in_state(state)[..1].to_vec()));
        assert_eq!(store.outbox_list(state, 0).await, Ok(Vec::new()));
    }
}

pub(super) async fn the_backlog_of_one_type_hides_no_event_of_another(store: &dyn Store) {
    let first = order("of-every-type", 1);
    claimed(store, &first).await;
    let refunded = |n| OutboxEvent { event: EventType::RefundSucceeded, ..event(&first, n) };
    let vip = |n| OutboxEvent { kind: "vip".to_owned(), ..event(&first, n) };
    let backlog: Vec<OutboxEvent> = (1..=40).map(|n| event(&first, n)).collect();
    let others = [vip(50), vip(51), vip(52), refunded(60)];
    let made = [&backlog[..], &others].concat();
    assert_eq!(store.commit(&later(&first, live()), &made).await, Ok(Committed::Done));
    let expected = [&backlog[..2], &others[..2], &others[3..]].concat();
    assert_eq!(due(store, 60, 2).await, expected);
    assert_eq!(due(store, 59, 2).await, expected[..4], "the last one is not due");
    assert_eq!(due(store, 60, 99).await, made);
}

/// It was put off while the clock was ahead.
pub(super) async fn an_event_that_is_put_off_for_longer_than_ever_is_due(store: &dyn Store) {
    let first = order("put-off", 1);
    claimed(store, &first).await;
    let longest = OutboxEvent::WAIT_MS_MAX;
    let made = [1, 100 + longest, 101 + longest, i64::MAX].map(|at| event(&first, at));
    assert_eq!(store.commit(&later(&first, live()), &made).await, Ok(Committed::Done));
    let sooner = |count: usize| [&made[..1], &made[count..]].concat();
    assert_eq!(due(store, 100, 9).await, sooner(2));
    assert_eq!(due(store, 99, 9).await, sooner(1));
    assert_eq!(due(store, 101, 2).await, [made[0].clone(), made[3].clone()]);
    assert_eq!(due(store, 0, 9).await, made[1..]);
}

pub(super) async fn only_where_an_event_stands_is_set(store: &dyn Store) {
    let first = order("sent-again", 1);
    let told = event(&first, 1);
    assert_eq!(store.outbox_set(&told).await, Ok(EventUpdate::Missing), "no such event");
    assert_eq!(found(store, &told).await, None);
    claimed(store, &first).await;
    let made = std::slice::from_ref(&told);
    assert_eq!(store.commit(&later(&first, live()), made).await, Ok(Committed::Done));
    // Put off, parked, released, accepted, and for once released again.
    let steps = [
        (DeliveryState::Pending, 1, 60),
        (DeliveryState::Parked, 2, 61),
        (DeliveryState::Pending, 2, 3),
        (DeliveryState::Accepted, 3, 3),
        (DeliveryState::Pending, 0, 4),
    ];
    for (state, tries, next) in steps {
        let next = Millis(next);
        let stands = OutboxEvent { state, tries, next_at: next, ..told.clone() };
        let said = OutboxEvent {
            body: "another body".to_owned(),
            kind: "another".to_owned(),
            event: EventType::RefundClosed,
            created_at: Millis(99),
            ..stands.clone()
        };
        assert_eq!(store.outbox_set(&said).await, Ok(EventUpdate::Done));
        assert_eq!(found(store, &told).await.as_ref(), Some(&stands));
        let pending = if state == DeliveryState::Pending { vec![stands] } else { Vec::new() };
        assert_eq!(due(store, 60, 9).await, pending);
    }
}

pub(super) async fn any_event_comes_back_as_it_was(store: &dyn Store) {
    let mut runner = TestRunner::deterministic();
    let mut order = order("any-event", 1);
    let events = any_event(order.out_trade_no().clone());
    claimed(store, &order).await;
    for case in 0..64 {
        order = later(&order, live());
        let made = events.new_tree(&mut runner).unwrap().current();
        let written = store.commit(&order, std::slice::from_ref(&made)).await;
        assert_eq!(written, Ok(Committed::Done), "case {case}");
        assert_eq!(found(store, &made).await.as_ref(), Some(&made), "case {case}");
        let other = events.new_tree(&mut runner).unwrap().current();
        let (state, tries, next) = (other.state, other.tries, other.next_at);
        let set = OutboxEvent { state, tries, next_at: next, ..made };
        assert_eq!(store.outbox_set(&set).await, Ok(EventUpdate::Done), "case {case}");
        assert_eq!(found(store, &set).await.as_ref(), Some(&set), "case {case}");
    }
}

//! The promises of [`Store`], each checked against every store.

use futures_util::future::join_all;
use paygate::domain::{
    AttemptState, ChannelNo, DeliveryState, Millis, Order, OrderTerms, Pid, ProviderId,
    TransactionId,
};
#[cfg(feature = "sqlite")]
use paygate::store::Sqlite;
use paygate::store::{Claim, Committed, Memory, Store, StoreErrorKind};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// The store that the examples show keeps the same promises.
#[cfg(feature = "mock")]
#[path = "../../../examples/custom_store.rs"]
#[allow(dead_code, reason = "the example's own program does not run here")]
mod custom_store;

use super::fence::Reopen;
use super::orders::{any_order, attempt, later, live, number, order, payment};
use super::outbox::*;
use super::unmatched::*;

/// Runs every fact against one kind of store, each with a fresh one: with one opening of it, or
/// with a way to open it again.
macro_rules! terms {
    ($check:path: $($once:ident)*; $($again:ident)*) => {
        $(#[tokio::test]
        async fn $once() {
            $check(async |store, _| super::$once(store).await).await;
        })*
        $(#[tokio::test]
        async fn $again() {
            $check(async |store, reopen| super::super::fence::$again(store, reopen).await).await;
        })*
    };
}

macro_rules! every_store {
    ($($once:ident)*; opened again: $($again:ident)*) => {
        mod memory {
            terms!(super::check_memory: $($once)*; $($again)*);
        }
        #[cfg(feature = "sqlite")]
        mod sqlite {
            terms!(super::check_sqlite: $($once)*; $($again)*);
        }
        #[cfg(feature = "mock")]
        mod journal {
            terms!(super::check_journal: $($once)*; $($again)*);
        }
    };
}

every_store! {
    a_number_is_claimed_once_by_200_at_once
    a_known_number_answers_with_its_order_and_changes_nothing
    numbers_differ_by_case
    a_commit_replaces_the_version_before_it_and_no_other
    one_of_200_commits_of_a_version_wins
    a_channel_number_leads_to_its_order
    a_channel_number_of_another_order_is_refused_and_nothing_is_written
    attempts_of_one_order_may_share_a_channel_number
    a_refund_number_is_unique_per_merchant
    a_transaction_leads_to_its_order
    a_refund_number_leads_to_its_order
    only_what_is_due_is_told_and_the_earliest_comes_first
    an_order_is_due_by_its_latest_version_and_once
    any_order_comes_back_as_it_was
    a_dropped_wait_takes_nothing_back
    an_event_is_written_with_its_order
    a_commit_that_writes_no_order_writes_no_event
    an_event_that_is_there_stays_as_it_is
    pending_events_are_due_in_their_order
    the_backlog_of_one_type_hides_no_event_of_another
    an_event_that_is_put_off_for_longer_than_ever_is_due
    only_where_an_event_stands_is_set
    any_event_comes_back_as_it_was
    a_payment_of_no_order_is_recorded_and_told_once
    a_payment_whose_order_is_known_by_now_is_not_listed
    the_newest_payments_of_no_order_are_listed_and_come_last
    a_closed_store_answers_nothing_more;

    opened again:
    a_stalled_worker_that_wakes_up_after_another_took_over_writes_nothing
    only_the_last_of_many_openings_writes
    what_an_earlier_opening_wrote_is_the_next_ones
    closing_an_earlier_opening_leaves_the_owner_alone
    an_event_outlives_its_process_and_is_set_by_the_owner_only
}

async fn check_memory(fact: impl AsyncFnOnce(&dyn Store, Reopen<'_>)) {
    let store = Memory::new();
    fact(&store, &|| Ok(Box::new(store.reopen()))).await;
}

#[cfg(feature = "sqlite")]
async fn check_sqlite(fact: impl AsyncFnOnce(&dyn Store, Reopen<'_>)) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("paygate.db");
    let store = Sqlite::open(&path).unwrap();
    let reopen = || -> Result<Box<dyn Store>, _> {
        // Somebody removes the lock file by hand: only the fence is left.
        drop(std::fs::remove_file(directory.path().join("paygate.db-lock")));
        Ok(Box::new(Sqlite::open(&path)?))
    };
    fact(&store, &reopen).await;
    store.close().await;
    // Whatever the fact did, the columns say what the records say.
    super::sqlite::check_columns(&path);
}

#[cfg(feature = "mock")]
async fn check_journal(fact: impl AsyncFnOnce(&dyn Store, Reopen<'_>)) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("orders.jsonl");
    let store = custom_store::Journal::open(&path).unwrap();
    fact(&store, &|| Ok(Box::new(custom_store::Journal::open(&path)?))).await;
    drop(store);
    // Whatever the fact did, the file can be read again, and what a crash left half written goes.
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, b"{\"terms\":{\"out_tra\xe8").unwrap();
    for no in ["after-the-crash-1", "after-the-crash-2"] {
        let journal = custom_store::Journal::open(&path).unwrap();
        claimed(&journal, &order(no, 1)).await;
    }
}

pub(super) async fn claimed(store: &dyn Store, order: &Order) {
    assert_eq!(store.claim(order).await.unwrap(), Claim::Fresh);
}

pub(super) async fn committed(store: &dyn Store, order: &Order) {
    assert_eq!(store.commit(order, &[]).await.unwrap(), Committed::Done);
}

/// What a commit is told that another one was before.
pub(super) fn other_version(stored: &Order) -> Committed {
    Committed::OtherVersion(Box::new(stored.clone()))
}

async fn due(store: &dyn Store, now: i64, limit: usize) -> Vec<String> {
    let numbers = store.due(Millis(now), limit).await.unwrap();
    numbers.iter().map(ToString::to_string).collect()
}

async fn a_number_is_claimed_once_by_200_at_once(store: &dyn Store) {
    let orders: Vec<Order> = (0..200).map(|created| order("claimed-once", created)).collect();
    let claims = join_all(orders.iter().map(|it| store.claim(it))).await;
    let winners: Vec<&Order> = orders
        .iter()
        .zip(&claims)
        .filter(|(_, claim)| **claim == Ok(Claim::Fresh))
        .map(|(order, _)| order)
        .collect();
    assert_eq!(winners.len(), 1);
    for claim in &claims {
        match claim.as_ref().unwrap() {
            Claim::Fresh => {}
            Claim::Existing(known) => assert_eq!(known.as_ref(), winners[0]),
        }
    }
}

async fn a_known_number_answers_with_its_order_and_changes_nothing(store: &dyn Store) {
    let first = order("known-number", 1);
    let second = later(&order("known-number", 2), live());
    claimed(store, &first).await;
    assert_eq!(store.claim(&second).await, Ok(Claim::Existing(Box::new(first.clone()))));
    assert_eq!(store.load(first.out_trade_no()).await, Ok(Some(first)));
    assert_eq!(store.load(&number("unknown-number")).await, Ok(None));
}

async fn numbers_differ_by_case(store: &dyn Store) {
    claimed(store, &order("Case-matters", 1)).await;
    claimed(store, &order("case-matters", 2)).await;
    assert_eq!(store.load(&number("CASE-MATTERS")).await, Ok(None));
}

async fn a_commit_replaces_the_version_before_it_and_no_other(store: &dyn Store) {
    let first = order("versioned", 1);
    let second = later(&first, live());
    let third = later(&second, AttemptState::Paid);
    let missing = store.commit(&first, &[]).await.unwrap_err();
    assert_eq!(missing.kind, StoreErrorKind::Corrupt, "not claimed: {missing}");
    claimed(store, &first).await;
    for early in [&first, &third] {
        assert_eq!(store.commit(early, &[]).await, Ok(other_version(&first)));
    }
    committed(store, &second).await;
    assert_eq!(store.commit(&second, &[]).await, Ok(other_version(&second)), "a second time");
    committed(store, &third).await;
    assert_eq!(store.load(first.out_trade_no()).await, Ok(Some(third)));
}

async fn one_of_200_commits_of_a_version_wins(store: &dyn Store) {
    let first = order("contended", 1);
    claimed(store, &first).await;
    let nexts: Vec<Order> = (0..200)
        .map(|n| later(&first, AttemptState::OutcomeUnknown { reason: format!("{n}") }))
        .collect();
    let outcomes = join_all(nexts.iter().map(|it| store.commit(it, &[]))).await;
    let winner = outcomes.iter().position(|it| *it == Ok(Committed::Done)).unwrap();
    let told = Ok(other_version(&nexts[winner]));
    assert_eq!(outcomes.iter().filter(|it| **it == told).count(), 199);
    assert_eq!(store.load(first.out_trade_no()).await, Ok(Some(nexts[winner].clone())));
}

async fn a_channel_number_leads_to_its_order(store: &dyn Store) {
    let first = order("with-channel", 1);
    let (pid, no) = (&first.terms.pid, first.out_trade_no());
    let derived = ChannelNo::derived(pid, no, 2);
    claimed(store, &first).await;
    let mut second = later(&first, AttemptState::Closed);
    second.attempts.push(attempt(2, derived.clone(), 2));
    committed(store, &second).await;
    for channel_no in [&ChannelNo::first(no), &derived] {
        let found = store.find_channel(ProviderId::Wxpay, pid, channel_no).await;
        assert_eq!(found, Ok(Some(no.clone())));
        let found = store.find_channel(ProviderId::Alipay, pid, channel_no).await;
        assert_eq!(found, Ok(None), "another provider");
        let found = store.find_channel(ProviderId::Wxpay, &Pid::new("001"), channel_no).await;
        assert_eq!(found, Ok(None), "another merchant");
    }
}

async fn a_channel_number_of_another_order_is_refused_and_nothing_is_written(store: &dyn Store) {
    let owner = order("owner-of-it", 1);
    claimed(store, &owner).await;
    let taken = ChannelNo::first(owner.out_trade_no());
    let mut thief = order("another-one", 2);
    thief.attempts[0].channel_no = taken.clone();
    let neighbour = order("a-neighbour", 3);
    let (refused, fresh) = tokio::join!(store.claim(&thief), store.claim(&neighbour));
    assert_eq!(refused.unwrap_err().kind, StoreErrorKind::NumberTaken);
    assert_eq!(fresh, Ok(Claim::Fresh), "a neighbour in the same transaction is left alone");
    assert_eq!(store.load(thief.out_trade_no()).await, Ok(None));

    let mut grown = later(&neighbour, AttemptState::Closed);
    grown.attempts.push(attempt(2, taken, 4));
    assert_eq!(store.commit(&grown, &[]).await.unwrap_err().kind, StoreErrorKind::NumberTaken);
    assert_eq!(store.load(neighbour.out_trade_no()).await, Ok(Some(neighbour)));
    assert_eq!(due(store, i64::MAX, 9).await, ["owner-of-it", "a-neighbour"]);
}

async fn attempts_of_one_order_may_share_a_channel_number(store: &dyn Store) {
    let first = order("shares-it", 1);
    claimed(store, &first).await;
    let mut second = later(&first, live());
    second.attempts.push(attempt(2, ChannelNo::first(first.out_trade_no()), 2));
    committed(store, &second).await;
    assert_eq!(store.load(first.out_trade_no()).await, Ok(Some(second)));
}

async fn a_refund_number_is_unique_per_merchant(store: &dyn Store) {
    let (mut first, mut second) = (order("refunded-1", 1), order("refunded-2", 2));
    first.payments.push(payment("4200001", "refund-1"));
    second.payments.push(payment("4200002", "refund-1"));
    let elsewhere = Order {
        terms: OrderTerms { pid: Pid::new("001"), ..second.terms.clone() },
        ..second.clone()
    };
    claimed(store, &first).await;
    assert_eq!(store.claim(&second).await.unwrap_err().kind, StoreErrorKind::NumberTaken);
    claimed(store, &elsewhere).await;
    committed(store, &later(&first, AttemptState::Paid)).await;
}

async fn a_transaction_leads_to_its_order(store: &dyn Store) {
    let transaction = |text: &str| TransactionId(text.into());
    let (mut first, mut second) = (order("paid-by-wxpay", 1), order("paid-by-claim", 2));
    claimed(store, &first).await;
    assert_eq!(store.find_transaction(&transaction("4200001")).await, Ok(None), "not paid");
    first = later(&first, AttemptState::Paid);
    first.payments.push(payment("4200001", "of-4200001"));
    committed(store, &first).await;
    first = later(&first, AttemptState::Paid);
    first.payments.push(payment("4200003", "of-4200003"));
    committed(store, &first).await;
    second.payments.push(payment("4200002", "of-4200002"));
    second.payments.push(payment("4200001", "the-same-again"));
    claimed(store, &second).await;
    let cases = [
        ("4200001", Some("paid-by-wxpay")),
        ("4200003", Some("paid-by-wxpay")),
        ("4200002", Some("paid-by-claim")),
        ("420000", None),
        ("", None),
    ];
    for (id, no) in cases {
        let found = store.find_transaction(&transaction(id)).await;
        assert_eq!(found, Ok(no.map(number)), "{id:?}");
    }
}

async fn a_refund_number_leads_to_its_order(store: &dyn Store) {
    let (mut first, mut elsewhere) = (order("refunded-1", 1), order("refunded-2", 2));
    claimed(store, &first).await;
    first = later(&first, AttemptState::Paid);
    first.payments.push(payment("4200001", "refund-1"));
    first.payments.push(payment("4200002", "refund-2"));
    committed(store, &first).await;
    elsewhere.terms.pid = Pid::new("001");
    elsewhere.payments.push(payment("4200003", "refund-1"));
    claimed(store, &elsewhere).await;
    let cases = [
        ("default", "refund-1", Some("refunded-1")),
        ("default", "refund-2", Some("refunded-1")),
        ("001", "refund-1", Some("refunded-2")),
        ("001", "refund-2", None),
        ("default", "Refund-1", None),
        ("default", "", None),
    ];
    for (pid, refund, no) in cases {
        let found = store.find_refund(&Pid::new(pid), refund).await;
        assert_eq!(found, Ok(no.map(number)), "{pid} {refund:?}");
    }
}

async fn only_what_is_due_is_told_and_the_earliest_comes_first(store: &dyn Store) {
    let ambiguous = AttemptState::OutcomeUnknown { reason: "no answer".to_owned() };
    let refused = AttemptState::Refused { code: "PARAM_ERROR".to_owned(), message: String::new() };
    let cases = [
        ("prepared-last", 9, None),
        ("became-ambiguous", 5, Some(ambiguous)),
        ("was-refused", 2, Some(refused)),
        ("is-absent", 3, Some(AttemptState::NotFound)),
        ("was-closed", 4, Some(AttemptState::Closed)),
        ("was-paid", 6, Some(AttemptState::Paid)),
        ("is-offered", 1, Some(live())),
        ("prepared-first", 0, None),
    ];
    let mut dues = Vec::new();
    for (no, created, state) in cases {
        let mut stored = order(no, created);
        claimed(store, &stored).await;
        if let Some(state) = state {
            stored = later(&stored, state);
            stored.attempts[0].handed_out = no == "is-offered";
            committed(store, &stored).await;
        }
        dues.extend(stored.due().map(|due| (due.0, no)));
    }
    dues.sort_unstable();
    let expected = ["prepared-first", "became-ambiguous", "prepared-last", "is-offered"];
    assert_eq!(dues.iter().map(|it| it.1).collect::<Vec<_>>(), expected);
    for (before, (at, _)) in dues.iter().enumerate() {
        assert_eq!(due(store, at - 1, 9).await, expected[..before]);
        assert_eq!(due(store, *at, 9).await, expected[..=before]);
    }
    assert_eq!(due(store, i64::MAX, 2).await, expected[..2]);
    assert_eq!(due(store, i64::MAX, 0).await, [""; 0]);
}

async fn an_order_is_due_by_its_latest_version_and_once(store: &dyn Store) {
    let first = order("asked-about", 0);
    claimed(store, &first).await;
    claimed(store, &order("the-other-one", 1)).await;
    // Two attempts may be paid: the order counts once, by the earlier of them.
    let mut twice = later(&first, AttemptState::OutcomeUnknown { reason: String::new() });
    twice.attempts.push(attempt(2, ChannelNo::first(first.out_trade_no()), 7));
    committed(store, &twice).await;
    assert_eq!(due(store, i64::MAX, 9).await, ["asked-about", "the-other-one"]);
    let asked = later(&twice, AttemptState::Closed);
    committed(store, &asked).await;
    assert_eq!(due(store, i64::MAX, 9).await, ["the-other-one", "asked-about"]);
    let mut ended = later(&asked, AttemptState::Closed);
    ended.attempts[1].state = AttemptState::Closed;
    committed(store, &ended).await;
    assert_eq!(due(store, i64::MAX, 9).await, ["the-other-one"]);
}

/// Cases are drawn by hand: a test of `proptest!` is not async. The runner prints its seed when
/// it is made from one, and is deterministic here.
async fn any_order_comes_back_as_it_was(store: &dyn Store) {
    let mut runner = TestRunner::deterministic();
    let orders = any_order("any-");
    for case in 0..64 {
        let order = orders.new_tree(&mut runner).unwrap().current();
        claimed(store, &order).await;
        let stored = store.load(order.out_trade_no()).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&order), "case {case}");
        let other = orders.new_tree(&mut runner).unwrap().current();
        let terms = order.terms.clone();
        let next = Order { status: other.status, client: other.client, ..order.clone() };
        let next = Order { terms, version: order.version + 1, ..next };
        committed(store, &next).await;
        assert_eq!(store.load(order.out_trade_no()).await, Ok(Some(next)), "case {case}");
    }
}

async fn a_dropped_wait_takes_nothing_back(store: &dyn Store) {
    let (dropped, after) = (order("dropped-wait", 1), order("after-it", 2));
    let mut claim = store.claim(&dropped);
    let once = std::future::poll_fn(|context| {
        drop(claim.as_mut().poll(context));
        std::task::Poll::Ready(())
    });
    once.await;
    drop(claim);
    claimed(store, &after).await;
    assert_eq!(store.load(dropped.out_trade_no()).await, Ok(Some(dropped)));
}

async fn a_closed_store_answers_nothing_more(store: &dyn Store) {
    let kept = order("kept-order", 1);
    claimed(store, &kept).await;
    assert_eq!(store.ready().await, Ok(()));
    store.close().await;
    store.close().await;
    let kinds = [
        store.ready().await.unwrap_err().kind,
        store.load(kept.out_trade_no()).await.unwrap_err().kind,
        store.claim(&kept).await.unwrap_err().kind,
        store.commit(&kept, &[]).await.unwrap_err().kind,
        store.due(Millis(0), 1).await.unwrap_err().kind,
        store.find_transaction(&TransactionId("4200001".into())).await.unwrap_err().kind,
        store.find_refund(&Pid::default(), "refund-1").await.unwrap_err().kind,
        store.outbox_due(Millis(0), 1).await.unwrap_err().kind,
        store.outbox_list(DeliveryState::Parked, 1).await.unwrap_err().kind,
        store.outbox_find(&event(&kept, 1).id).await.unwrap_err().kind,
        store.outbox_set(&event(&kept, 1)).await.unwrap_err().kind,
        added(store, &unmatched("4200001", 1)).await.unwrap_err().kind,
        store.unmatched(9).await.unwrap_err().kind,
    ];
    assert_eq!(kinds, [StoreErrorKind::Unavailable; 13]);
}

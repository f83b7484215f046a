//! The promises of a store that is opened again: by the next process, while a worker of the one
//! before it may be stalled and not dead.

use paygate::domain::{DeliveryState, Millis, Order, OutboxEvent};
use paygate::store::{Claim, Committed, EventUpdate, Store, StoreError, StoreErrorKind};

use super::orders::{later, live, order};
use super::outbox::event;
use super::unmatched::{added, unmatched};

/// Opens the store as the next process would.
pub(crate) type Reopen<'a> = &'a dyn Fn() -> Result<Box<dyn Store>, StoreError>;

/// The next owner. A store that refuses a second opening while the first lasts is closed first.
async fn next_owner(earlier: &dyn Store, reopen: Reopen<'_>) -> Box<dyn Store> {
    match reopen() {
        Ok(owner) => owner,
        Err(error) => {
            assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
            earlier.close().await;
            reopen().unwrap()
        }
    }
}

/// A worker writes nothing: neither what it had in hand nor anything new.
async fn check_stranger(earlier: &dyn Store, in_hand: &Order) {
    match earlier.commit(in_hand, &[]).await {
        Ok(outcome) => assert_eq!(outcome, Committed::Lost),
        Err(error) => assert_eq!(error.kind, StoreErrorKind::Unavailable, "closed"),
    }
    for claim in [in_hand, &order("after-waking-up", 9)] {
        let refused = earlier.claim(claim).await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Unavailable, "{refused}");
    }
    let refused = added(earlier, &unmatched("4200009", 9)).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Unavailable, "{refused}");
    assert_eq!(earlier.ready().await.unwrap_err().kind, StoreErrorKind::Unavailable);
}

pub(super) async fn a_stalled_worker_that_wakes_up_after_another_took_over_writes_nothing(
    stalled: &dyn Store,
    reopen: Reopen<'_>,
) {
    let prepared = order("two-owners", 1);
    assert_eq!(stalled.claim(&prepared).await, Ok(Claim::Fresh));
    // It sends, and stalls before it records the answer. Another process takes over and asks.
    let owner = next_owner(stalled, reopen).await;
    let late = later(&prepared, live());
    check_stranger(stalled, &late).await;
    let no = prepared.out_trade_no();
    assert_eq!(owner.load(no).await, Ok(Some(prepared.clone())));
    let found = later(&prepared, paygate::domain::AttemptState::Paid);
    assert_eq!(owner.commit(&found, &[]).await, Ok(Committed::Done));
    check_stranger(stalled, &late).await;
    check_stranger(stalled, &later(&found, live())).await;
    assert_eq!(owner.load(no).await, Ok(Some(found)));
    assert_eq!(owner.load(order("after-waking-up", 9).out_trade_no()).await, Ok(None));
    assert_eq!(owner.ready().await, Ok(()));
}

pub(super) async fn only_the_last_of_many_openings_writes(first: &dyn Store, reopen: Reopen<'_>) {
    let claimed = order("many-owners", 1);
    assert_eq!(first.claim(&claimed).await, Ok(Claim::Fresh));
    let second = next_owner(first, reopen).await;
    let third = next_owner(second.as_ref(), reopen).await;
    let next = later(&claimed, live());
    for earlier in [first, second.as_ref()] {
        check_stranger(earlier, &next).await;
    }
    assert_eq!(third.commit(&next, &[]).await, Ok(Committed::Done));
}

pub(super) async fn what_an_earlier_opening_wrote_is_the_next_ones(
    earlier: &dyn Store,
    reopen: Reopen<'_>,
) {
    let (first, second) = (order("left-prepared", 1), order("left-prepared-2", 2));
    for order in [&first, &second] {
        assert_eq!(earlier.claim(order).await, Ok(Claim::Fresh));
    }
    let owner = next_owner(earlier, reopen).await;
    assert_eq!(owner.claim(&first).await, Ok(Claim::Existing(Box::new(first.clone()))));
    let due: Vec<_> = [&first, &second].map(|it| it.out_trade_no().clone()).into();
    assert_eq!(owner.due(Millis(i64::MAX), 9).await, Ok(due));
    let attempt = &first.attempts[0];
    let provider = attempt.method.provider();
    let found = owner.find_channel(provider, &first.terms.pid, &attempt.channel_no).await;
    assert_eq!(found, Ok(Some(first.out_trade_no().clone())));
}

pub(super) async fn closing_an_earlier_opening_leaves_the_owner_alone(
    earlier: &dyn Store,
    reopen: Reopen<'_>,
) {
    let claimed = order("kept-by-owner", 1);
    assert_eq!(earlier.claim(&claimed).await, Ok(Claim::Fresh));
    let owner = next_owner(earlier, reopen).await;
    earlier.close().await;
    assert_eq!(owner.ready().await, Ok(()));
    assert_eq!(owner.commit(&later(&claimed, live()), &[]).await, Ok(Committed::Done));
    assert_eq!(earlier.load(claimed.out_trade_no()).await.unwrap_err(), closed(earlier).await);
}

pub(super) async fn an_event_outlives_its_process_and_is_set_by_the_owner_only(
    earlier: &dyn Store,
    reopen: Reopen<'_>,
) {
    let claimed = order("told-twice", 1);
    let (first, second) = (event(&claimed, 1), event(&claimed, 2));
    assert_eq!(earlier.claim(&claimed).await, Ok(Claim::Fresh));
    let paid = later(&claimed, live());
    let both = [first.clone(), second.clone()];
    assert_eq!(earlier.commit(&paid, &both).await, Ok(Committed::Done));
    let tried = OutboxEvent { tries: 1, next_at: Millis(7), ..first };
    assert_eq!(earlier.outbox_set(&tried).await, Ok(EventUpdate::Done));
    let accepted = OutboxEvent { state: DeliveryState::Accepted, ..second.clone() };
    assert_eq!(earlier.outbox_set(&accepted).await, Ok(EventUpdate::Done));

    let owner = next_owner(earlier, reopen).await;
    assert_eq!(owner.outbox_due(Millis(7), 9).await, Ok(vec![tried.clone()]));
    assert_eq!(owner.outbox_find(&second.id).await, Ok(Some(accepted.clone())));
    let late = OutboxEvent { tries: 9, ..tried.clone() };
    match earlier.outbox_set(&late).await {
        Ok(outcome) => assert_eq!(outcome, EventUpdate::Lost),
        Err(error) => assert_eq!(error.kind, StoreErrorKind::Unavailable, "closed"),
    }
    let third = event(&claimed, 3);
    let in_hand = later(&paid, live());
    match earlier.commit(&in_hand, std::slice::from_ref(&third)).await {
        Ok(outcome) => assert_eq!(outcome, Committed::Lost),
        Err(error) => assert_eq!(error.kind, StoreErrorKind::Unavailable, "closed"),
    }
    assert_eq!(owner.outbox_find(&tried.id).await, Ok(Some(tried.clone())));
    assert_eq!(owner.outbox_find(&third.id).await, Ok(None));
    assert_eq!(owner.outbox_set(&late).await, Ok(EventUpdate::Done));
    assert_eq!(owner.outbox_find(&tried.id).await, Ok(Some(late)));
}

/// What a closed store says.
async fn closed(store: &dyn Store) -> StoreError {
    let error = store.ready().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    error
}

//! What a store that breaks, dies or stalls means for the money.
#![cfg(feature = "mock")]

use std::sync::Arc;

use paygate::domain::ProviderId;
use paygate::error::Kind;
use paygate::mock::InProcess;
use paygate::store::{Memory, Store, StoreErrorKind};

use super::orders::number;
use crate::support::crashing_store::{Crashing, Moment, Then};
use crate::support::shop::{ManualClock, Shop, body, kind, order_info};

const NO: &str = "2107151010101541001";

/// Runs every fact with a fresh store: `open` opens it, and again as the next process would,
/// while the one before may still have it open.
macro_rules! terms {
    ($($fact:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $fact() {
                super::$fact(|| {
                    let store = super::Memory::new();
                    move || store.reopen()
                }).await;
            })*
        }
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test]
            async fn $fact() {
                super::$fact(|| {
                    let directory = tempfile::tempdir().unwrap();
                    move || {
                        // The lock of who had it: only the fence is left.
                        drop(std::fs::remove_file(directory.path().join("paygate.db-lock")));
                        let path = directory.path().join("paygate.db");
                        paygate::Sqlite::open_as(path, paygate::StoreMode::Mock).unwrap()
                    }
                }).await;
            })*
        }
    };
}

terms! {
    a_store_that_breaks_is_told_and_no_provider_gets_what_is_not_durable
    a_store_that_dies_at_any_write_leaves_one_order_whose_answer_repeats
    a_process_that_stalls_and_wakes_up_changes_nothing_that_its_successor_did
}

fn providers() -> InProcess {
    InProcess::open(None, Arc::new(ManualClock::new())).unwrap()
}

/// The next process, over what the broken one left: the order is one, and its answer repeats.
async fn check_next_process(store: impl Store + 'static, providers: &InProcess) {
    let next = Shop::with(store, providers.clone()).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let answer = next.create(&body(ProviderId::Wxpay, NO, 1)).await.unwrap();
        answers.push(order_info(&answer)["codeUrl"].as_str().unwrap().to_owned());
    }
    assert_eq!(answers[0], answers[1]);
    let ledger = next.ledger(NO);
    assert_eq!(ledger.len(), 1, "{ledger:?}");
}

/// A write that fails: which one, whether it was written all the same, what the client is told,
/// and how many calls reached a provider.
async fn a_store_that_breaks_is_told_and_no_provider_gets_what_is_not_durable<S, O>(
    place: impl Fn() -> O,
) where
    S: Store + 'static,
    O: Fn() -> S,
{
    let cases = [
        (1, Moment::Before, Kind::NotSent, 0),
        (1, Moment::After, Kind::NotSent, 0),
        (2, Moment::Before, Kind::OutcomeUnknown, 1),
        (2, Moment::After, Kind::OutcomeUnknown, 1),
    ];
    for (write, moment, told, creates) in cases {
        let open = place();
        let store = Crashing::at(open(), write, moment, Then::Fails);
        let shop = Shop::with(store, providers()).await;
        for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
            let answer = shop.create(&body(provider, NO, 1)).await;
            let expected = if provider == ProviderId::Wxpay { told } else { Kind::NotSent };
            assert_eq!(kind(answer), Some(expected), "{write} {moment:?} {provider:?}");
            assert_eq!(shop.creates(), creates, "{write} {moment:?} {provider:?}");
            assert_eq!(shop.engine.ready().await.unwrap_err().kind, StoreErrorKind::Io);
        }
        shop.engine.shutdown().await;
        check_next_process(open(), &shop.providers).await;
    }
}

async fn a_store_that_dies_at_any_write_leaves_one_order_whose_answer_repeats<S, O>(
    place: impl Fn() -> O,
) where
    S: Store + 'static,
    O: Fn() -> S,
{
    let asked = body(ProviderId::Wxpay, NO, 1);
    let writes = {
        let open = place();
        let store = Crashing::counting(open());
        let shop = Shop::with(store.clone(), providers()).await;
        shop.create(&asked).await.unwrap();
        store.writes()
    };
    assert!(writes >= 2, "a claim and an outcome at least");
    let moments = [Moment::Before, Moment::After];
    for (write, moment) in (1..=writes).flat_map(|write| moments.map(|it| (write, it))) {
        let open = place();
        let store = Crashing::at(open(), write, moment, Then::Dies);
        let shop = Shop::with(store.clone(), providers()).await;
        tokio::select! {
            biased;
            answer = shop.create(&asked) => panic!("a dead process answered: {answer:?}"),
            () = store.struck() => {}
        }
        assert!(shop.creates() < write, "a call before its write");
        // The kernel closes what a dead process had open.
        store.store().close().await;
        check_next_process(open(), &shop.providers).await;
    }
}

/// The first process stalls before it claims, or with the provider's answer in hand; the second
/// takes over; the first wakes up, and what it has is discarded.
async fn a_process_that_stalls_and_wakes_up_changes_nothing_that_its_successor_did<S, O>(
    place: impl Fn() -> O,
) where
    S: Store + 'static,
    O: Fn() -> S,
{
    let asked = body(ProviderId::Wxpay, NO, 1);
    for (write, told) in [(1, Kind::NotSent), (2, Kind::OutcomeUnknown)] {
        let open = place();
        let store = Crashing::at(open(), write, Moment::Before, Then::Stalls);
        let stalled = Shop::with(store.clone(), providers()).await;
        let takes_over = async {
            store.struck().await;
            let owner = Crashing::counting(open());
            let second = Shop::with(owner.clone(), stalled.providers.clone()).await;
            second.create(&asked).await.unwrap();
            let settled = owner.load(&number(NO)).await.unwrap();
            let calls = stalled.creates();
            store.wake();
            (owner, second, settled, calls)
        };
        let (first, (owner, second, settled, calls)) =
            tokio::join!(stalled.create(&asked), takes_over);
        assert_eq!(kind(first), Some(told), "write {write}");
        assert_eq!(owner.load(&number(NO)).await.unwrap(), settled);
        assert_eq!(stalled.creates(), calls, "what was not durable was not sent");
        assert_eq!(second.ledger(NO).len(), 1);
        let refused = stalled.engine.ready().await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Unavailable);
        assert_eq!(second.engine.ready().await, Ok(()));
    }
}

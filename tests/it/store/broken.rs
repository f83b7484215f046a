//! What a store that breaks, dies or stalls means for the money.
#![cfg(feature = "mock")]

use std::sync::Arc;

use paygate::domain::channel::ProviderId;
use paygate::error::Kind;
use paygate::mock::InProcess;
use paygate::store::memory::Memory;
use paygate::store::{Store, StoreErrorKind};

use super::orders::number;
use crate::support::crashing::{Crashing, Moment, Then};
use crate::support::shop::{Hands, Shop, body, kind, order_info};

const NO: &str = "2107151010101541001";

fn providers() -> InProcess {
    InProcess::open(None, Arc::new(Hands::new())).unwrap()
}

/// The next process, over what the broken one left: the order is one, and its answer repeats.
async fn check_next_process(store: &Memory, providers: &InProcess) {
    let next = Shop::with(store.reopen(), providers.clone()).await;
    for provider in [ProviderId::Wxpay; 2] {
        let answer = next.create(&body(provider, NO, 1)).await.unwrap();
        let code_url = order_info(&answer)["codeUrl"].clone();
        assert!(code_url.is_string(), "{code_url}");
    }
    let ledger = next.ledger(NO);
    assert_eq!(ledger.len(), 1, "{ledger:?}");
}

/// A write that fails: which one, whether it was written all the same, what the client is told,
/// and how many calls reached a provider.
#[tokio::test]
async fn a_store_that_breaks_is_told_and_no_provider_gets_what_is_not_durable() {
    let cases = [
        (1, Moment::Before, Kind::NotSent, 0),
        (1, Moment::After, Kind::NotSent, 0),
        (2, Moment::Before, Kind::OutcomeUnknown, 1),
        (2, Moment::After, Kind::OutcomeUnknown, 1),
    ];
    for (write, moment, told, creates) in cases {
        let store = Crashing::at(Memory::new(), write, moment, Then::Fails);
        let shop = Shop::with(store.clone(), providers()).await;
        for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
            let answer = shop.create(&body(provider, NO, 1)).await;
            let expected = if provider == ProviderId::Wxpay { told } else { Kind::NotSent };
            assert_eq!(kind(answer), Some(expected), "{write} {moment:?} {provider:?}");
            assert_eq!(shop.creates(), creates, "{write} {moment:?} {provider:?}");
            assert_eq!(shop.engine.ready().await.unwrap_err().kind, StoreErrorKind::Io);
        }
        shop.engine.shutdown().await;
        check_next_process(store.store(), &shop.providers).await;
    }
}

#[tokio::test]
async fn a_store_that_dies_at_any_write_leaves_one_order_whose_answer_repeats() {
    let writes = {
        let store = Crashing::counting(Memory::new());
        let shop = Shop::with(store.clone(), providers()).await;
        shop.create(&body(ProviderId::Wxpay, NO, 1)).await.unwrap();
        store.writes()
    };
    assert!(writes >= 2, "a claim and an outcome at least");
    for (write, moment) in (1..=writes).flat_map(|it| [(it, Moment::Before), (it, Moment::After)]) {
        let store = Crashing::at(Memory::new(), write, moment, Then::Dies);
        let shop = Shop::with(store.clone(), providers()).await;
        let asked = body(ProviderId::Wxpay, NO, 1);
        tokio::select! {
            biased;
            answer = shop.create(&asked) => panic!("a dead process answered: {answer:?}"),
            () = store.struck() => {}
        }
        assert!(shop.creates() < write, "a call before its write");
        check_next_process(store.store(), &shop.providers).await;
    }
}

/// The first process stalls with the provider's answer in hand, the second takes over, and the
/// first wakes up: what it has is discarded.
#[tokio::test]
async fn a_process_that_stalls_and_wakes_up_changes_nothing_that_its_successor_did() {
    for write in [1, 2] {
        let store = Crashing::at(Memory::new(), write, Moment::Before, Then::Stalls);
        let stalled = Shop::with(store.clone(), providers()).await;
        let asked = body(ProviderId::Wxpay, NO, 1);
        let takes_over = async {
            store.struck().await;
            let memory = store.store().reopen();
            let second = Shop::with(memory.reopen(), stalled.providers.clone()).await;
            second.create(&asked).await.unwrap();
            let settled = memory.load(&number(NO)).await.unwrap();
            let calls = stalled.creates();
            store.wake();
            (memory, second, settled, calls)
        };
        let (first, (memory, second, settled, calls)) =
            tokio::join!(stalled.create(&asked), takes_over);
        let told = if write == 1 { Kind::NotSent } else { Kind::OutcomeUnknown };
        assert_eq!(kind(first), Some(told), "write {write}");
        assert_eq!(memory.load(&number(NO)).await.unwrap(), settled);
        assert_eq!(stalled.creates(), calls, "what was not durable was not sent");
        assert_eq!(second.ledger(NO).len(), 1);
        let refused = stalled.engine.ready().await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Unavailable);
        assert_eq!(second.engine.ready().await, Ok(()));
    }
}

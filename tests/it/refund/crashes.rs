//! Every commit point of money that goes back, counted, and crashed at in turn.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use paygate::domain::ProviderId;
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::RefundState::{Closed, Success};
use paygate::error::Kind;
use paygate::mock::{FaultKind, InProcess, MoneyTotals, ProviderOperation};
use paygate::store::{Memory, Store};
#[cfg(feature = "sqlite")]
use paygate::store::{Sqlite, StoreMode};

use crate::support::crashing_store::{Crashing, Moment, Then, directory};
use crate::support::refunds::{number, purchase, refund, settle};
use crate::support::requests::{MINUTE, NO, qr};
use crate::support::shop::{ManualClock, Shop, kind};
use crate::support::webhook::RecordingWebhook;

/// What happens next.
enum Act {
    /// A QR code by this provider.
    Create(ProviderId),
    Pay(ProviderId),
    /// The providers tell what they have to tell.
    Notify,
    /// So much goes back under this number.
    Refund(&'static str, u64),
    Close,
    /// The next refund call meets this.
    Goes(FaultKind),
    /// A while goes by.
    Settle,
}

use Act::{Close, Create, Goes, Notify, Pay, Refund, Settle};

/// One story of one order, and how it ends.
struct RefundScenario {
    acts: Vec<Act>,
    status: i8,
    money: (u64, u64),
    events: &'static [&'static str],
}

fn scenarios() -> Vec<RefundScenario> {
    let mut scenarios = Vec::new();
    for provider in [Wxpay, Alipay] {
        for fault in [None, Some(FaultKind::LoseReply), Some(FaultKind::LoseRequest)] {
            let mut acts = vec![Create(provider), Pay(provider), Notify];
            acts.extend(fault.map(Goes));
            acts.extend([Refund("r-1", 30), Settle, Refund("r-2", 70), Settle]);
            let events = &["payment.succeeded", "refund.succeeded", "refund.succeeded"];
            scenarios.push(RefundScenario { acts, status: 3, money: (100, 100), events });
        }
        for fault in
            [None, Some(FaultKind::LoseReply), Some(FaultKind::RefundEnds { state: Closed })]
        {
            let mut acts = vec![Create(Alipay), Create(Wxpay), Pay(Wxpay), Pay(Alipay)];
            acts.extend(fault.map(Goes));
            acts.extend([Notify, Settle]);
            let events = &["duplicate.refunded", "payment.duplicate", "payment.succeeded"];
            scenarios.push(RefundScenario { acts, status: 1, money: (200, 100), events });
        }
    }
    let events = &["late.refunded", "payment.late"];
    let acts = vec![Create(Alipay), Close, Pay(Alipay), Notify, Settle];
    scenarios.push(RefundScenario { acts, status: -1, money: (100, 100), events });
    let acts = vec![Create(Wxpay), Close, Settle];
    scenarios.push(RefundScenario { acts, status: -1, money: (0, 0), events: &[] });
    scenarios
}

/// What outlives a process.
struct World {
    clock: ManualClock,
    providers: InProcess,
    webhook: RecordingWebhook,
    /// How many acts were begun.
    begun: Cell<usize>,
}

impl World {
    fn new() -> World {
        let clock = ManualClock::new();
        let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
        World { clock, providers, webhook: RecordingWebhook::default(), begun: Cell::new(0) }
    }

    async fn process(&self, store: impl Store + 'static) -> Shop {
        let (clock, providers) = (self.clock.clone(), self.providers.clone());
        Shop::at(clock, store, providers, |it| it.webhook(self.webhook.clone())).await
    }

    /// Goes on where an earlier process stopped: whoever asked it last asks again.
    async fn run(&self, shop: &Shop, acts: &[Act], name: &str) {
        for (n, act) in acts.iter().enumerate().skip(self.begun.get().saturating_sub(1)) {
            let is_again = self.begun.get() == n + 1;
            self.begun.set(n + 1);
            match act {
                Create(provider) => drop(shop.create(&qr(*provider)).await.unwrap()),
                Pay(provider) => drop(shop.providers.pay(&purchase(*provider)).unwrap()),
                // It comes again, until it is answered.
                Notify if is_again => {
                    settle(shop).await;
                    settle(shop).await;
                }
                Notify => drop(shop.notify().await),
                Refund(no, fee) => {
                    let refunded = refund(shop, no, *fee).await;
                    assert_eq!(kind(refunded), None, "{name}: {no}");
                }
                Close => shop.engine.close(&number(NO)).await.unwrap(),
                Goes(_) if is_again => {}
                Goes(kind) => shop.fault_of(ProviderOperation::Refund, kind.clone()),
                Settle => settle(shop).await,
            }
        }
    }

    async fn check(&self, shop: &Shop, scenario: &RefundScenario, name: &str) {
        for _ in 0..4 {
            shop.clock.advance_ms(60 * MINUTE);
            settle(shop).await;
        }
        while shop.engine.dispatch().await > 0 {}
        let order = shop.order(NO).await;
        assert_eq!(order.status.number(), scenario.status, "{name}");
        let (paid, returned) = scenario.money;
        let money = MoneyTotals { paid, refunded: returned, refunding: 0 };
        assert_eq!(shop.providers.money(), money, "{name}");
        let known = order.payments.iter().flat_map(|it| &it.refunds);
        let known = known.filter(|it| it.state == Success).map(|it| it.refund_fee.fen());
        assert_eq!(known.sum::<u64>(), returned, "{name}");
        let events: BTreeSet<_> =
            self.webhook.received().into_iter().map(|it| (it.event, it.id)).collect();
        let mut events: Vec<_> = events.iter().map(|it| it.0.name()).collect();
        events.retain(|it| *it != "refund.closed");
        events.sort_unstable();
        assert_eq!(events, scenario.events, "{name}");
        let refusal = shop.create(&qr(Alipay)).await.err().map(|it| it.kind());
        assert!(matches!(refusal, Some(Kind::AlreadyPaid | Kind::Closed)), "{name}: {refusal:?}");
    }
}

/// A store that the next process opens when one has died.
trait Reopened: Store + Sized + 'static {
    fn first(directory: &Path) -> Self;

    async fn next(&self, directory: &Path) -> Self;
}

impl Reopened for Memory {
    fn first(_: &Path) -> Memory {
        Memory::new()
    }

    async fn next(&self, _: &Path) -> Memory {
        self.reopen()
    }
}

#[cfg(feature = "sqlite")]
impl Reopened for Sqlite {
    fn first(directory: &Path) -> Sqlite {
        Sqlite::open_as(directory.join("paygate.db"), StoreMode::Mock).unwrap()
    }

    async fn next(&self, directory: &Path) -> Sqlite {
        // The kernel closes what a dead process had open.
        self.close().await;
        Sqlite::first(directory)
    }
}

#[tokio::test]
async fn money_goes_back_once_whenever_the_process_dies() {
    check_crashes::<Memory>().await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_refund_survives_a_crash_at_any_write_to_sqlite() {
    check_crashes::<Sqlite>().await;
}

async fn check_crashes<S: Reopened>() {
    for (n, scenario) in scenarios().iter().enumerate() {
        let name = format!("story {n}");
        let (world, directory) = (World::new(), directory());
        let store = Crashing::counting(S::first(directory.path()));
        let shop = world.process(store.clone()).await;
        world.run(&shop, &scenario.acts, &name).await;
        let writes = store.writes();
        world.check(&shop, scenario, &name).await;
        for write in 1..=writes {
            for moment in [Moment::Before, Moment::After] {
                let name = format!("story {n}, at write {write} of {writes}, {moment:?}");
                check_crash::<S>(scenario, (write, moment), &name).await;
            }
        }
    }
}

/// The process dies at this write, and another one goes on.
async fn check_crash<S: Reopened>(scenario: &RefundScenario, at: (u64, Moment), name: &str) {
    let (world, directory) = (World::new(), directory());
    let store = Crashing::at(S::first(directory.path()), at.0, at.1, Then::Dies);
    let shop = world.process(store.clone()).await;
    tokio::select! {
        biased;
        () = world.run(&shop, &scenario.acts, name) => panic!("{name}: nobody died"),
        () = store.struck() => {}
    }
    let next = store.store().next(directory.path()).await;
    drop(shop);
    let shop = world.process(next).await;
    world.run(&shop, &scenario.acts, name).await;
    world.check(&shop, scenario, name).await;
}

//! One story's providers, clock and file, which outlive its processes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;
use paygate::domain::{EventId, EventType, Pid, ProviderId};
use paygate::engine::Created;
use paygate::mock::{FaultKind, InProcess, ProviderOperation, SimulatedFault};
use paygate::store::{Memory, Sqlite, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::scenarios::{Scenario, Step, alipay_notice};
use crate::support::crashing_store::directory;
use crate::support::shop::{ManualClock, Shop, with};

pub(super) const MINUTE: i64 = 60_000;

/// See the module.
pub(super) struct World {
    pub(super) clock: ManualClock,
    /// What the client asked last.
    pub(super) asked: Value,
    /// Everything that buyers were given, in order.
    pub(super) held: Vec<Created>,
    providers: InProcess,
    directory: TempDir,
    event_ids: Arc<Mutex<Vec<EventId>>>,
    /// How many steps were begun.
    begun: usize,
}

impl World {
    pub(super) async fn of(scenario: &Scenario) -> World {
        let clock = ManualClock::new();
        let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
        let first = scenario.steps.iter().find_map(|it| match it {
            Step::Ask(asked) => Some(asked.clone()),
            _ => None,
        });
        let world = World {
            clock,
            asked: first.unwrap(),
            held: Vec::new(),
            providers,
            directory: directory(),
            event_ids: Arc::default(),
            begun: 0,
        };
        if scenario.is_restored {
            // The store that knew it is gone.
            let lost = with(world.asked.clone(), "/data/total_fee", json!(999));
            let shop = world.process(Memory::new()).await;
            let created = shop.create(&lost).await.unwrap();
            shop.scan(&created).unwrap();
        }
        world
    }

    /// Opens the file as the next process.
    pub(super) fn open(&self) -> Sqlite {
        let path: PathBuf = self.directory.path().join("paygate.db");
        Sqlite::open(path).unwrap()
    }

    /// A process with this store, which the shop listens to.
    pub(super) async fn process(&self, store: impl Store + 'static) -> Shop {
        let event_ids = self.event_ids.clone();
        let providers = self.providers.clone();
        Shop::at(self.clock.clone(), store, providers, |it| {
            it.on(EventType::PaymentSucceeded, "goods", move |event| {
                event_ids.lock().unwrap().push(event.id);
                std::future::ready(())
            })
        })
        .await
    }

    /// What the shop was told.
    pub(super) fn event_ids(&self) -> Vec<EventId> {
        self.event_ids.lock().unwrap().clone()
    }

    /// The steps that were not begun yet.
    pub(super) fn rest<'a>(&self, steps: &'a [Step]) -> &'a [Step] {
        &steps[self.begun..]
    }

    pub(super) async fn run(&mut self, shop: &Shop, steps: &[Step]) {
        for step in steps {
            self.begun += 1;
            match step {
                Step::Ask(asked) => {
                    self.asked = asked.clone();
                    self.held.extend(shop.create(asked).await.ok());
                }
                Step::Goes(operation, kind) => self.goes(None, *operation, kind),
                Step::GoesAtWxpay(operation, kind) => {
                    self.goes(Some(ProviderId::Wxpay), *operation, kind);
                }
                Step::Pass(minutes) => self.clock.advance_ms(minutes * MINUTE),
                Step::Reconcile => drop(shop.engine.reconcile().await),
                Step::Scan => drop(shop.scan(self.held.last().unwrap()).unwrap()),
                Step::Pay => drop(shop.pay(self.held.last().unwrap()).unwrap()),
                Step::Notify => self.notify(shop).await,
                Step::Dispatch => drop(shop.engine.dispatch().await),
            }
        }
    }

    fn goes(&self, provider: Option<ProviderId>, operation: ProviderOperation, kind: &FaultKind) {
        let (operation, kind) = (Some(operation), kind.clone());
        self.providers.add_fault(SimulatedFault { provider, operation, kind, times: 1 });
    }

    /// Alipay tells of what was paid.
    async fn notify(&self, shop: &Shop) {
        let orders = self.providers.orders();
        let paid = orders.iter().find(|it| !it.payments.is_empty()).unwrap();
        let body = Bytes::from(alipay_notice(paid));
        let (provider, pid) = (paid.provider, Pid::default());
        shop.engine.notify(provider, &pid, &HeaderMap::new(), body).await.unwrap();
    }
}

//! One world: what everybody shares, the processes that come and go, and its end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use paygate::domain::{DeliveryState, RefundState};
use paygate::mock::RefundEnd;
use paygate::store::{Memory, Store as _};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::audit;
use super::buyers;
use super::coverage::Topic;
use super::crash::CrashSwitch;
use super::delivery::deliver_notifications;
use super::flaw::Flaw;
use super::operator::run_operator;
use super::other_program::order_under_the_same_number;
use super::outage;
use super::process::{Process, Watch};
use super::report::Report;
use super::shared::Shared;
use super::trace::Trace;

/// A world and its people.
pub(super) struct World {
    shared: Arc<Shared>,
    /// The shop's clock.
    watch: Watch,
    memory: Memory,
    stalled: Vec<CrashSwitch>,
}

impl World {
    /// Lives through a whole world.
    pub(super) async fn live(seed: u64, flaw: Option<Flaw>, trace: Trace) -> Report {
        let shared = Arc::new(Shared::new(seed, flaw, trace));
        let memory = Memory::new();
        let watch = Watch::of_shop(flaw);
        let first = Process::start(&shared, memory.reopen(), &watch).await;
        *shared.front.lock().unwrap() = Some(first);
        let mut world = World { shared: shared.clone(), watch, memory, stalled: Vec::new() };
        let mut buyers = JoinSet::new();
        let mut clients = JoinSet::new();
        for at in 0..shared.cases.len() {
            for _ in 0..shared.rng.within(1..4) {
                clients.spawn(buyers::run_client(shared.clone(), at, shared.rng.fork()));
            }
            for _ in 0..shared.rng.below(4) {
                buyers.spawn(buyers::buyer(shared.clone(), at, shared.rng.fork()));
            }
            if shared.rng.percent(60) {
                let rng = shared.rng.fork();
                buyers.spawn(buyers::buyer_of_everything(shared.clone(), at, rng));
            }
            if shared.outage.is_some() {
                clients.spawn(outage::turned_away(shared.clone(), at, shared.rng.fork()));
            }
            for _ in 0..shared.rng.below(3) + u64::from(shared.returns_much) {
                buyers.spawn(run_operator(shared.clone(), at, shared.rng.fork()));
            }
            if shared.cases[at].is_contested {
                buyers.spawn(order_under_the_same_number(shared.clone(), at, shared.rng.fork()));
            }
        }
        let mut run_reconciler = JoinSet::new();
        run_reconciler.spawn(buyers::run_reconciler(shared.clone(), shared.rng.fork()));
        run_reconciler.spawn(buyers::run_dispatcher(shared.clone(), shared.rng.fork()));
        run_reconciler.spawn(deliver_notifications(shared.clone(), shared.rng.fork()));
        tokio::select! {
            biased;
            () = async { while clients.join_next().await.is_some() {} } => {}
            () = world.turmoil(1) => {}
        }
        // What follows the payments has its troubles, too.
        let rough = Duration::from_secs(*shared.rng.pick(&[0, 600, 7_200]));
        let is_rough = !rough.is_zero();
        tokio::select! {
            biased;
            () = async {
                while is_rough && buyers.join_next().await.is_some() {}
                sleep(rough).await;
            } => {}
            () = world.turmoil(10) => {}
        }
        world.calm_down();
        world.outlive(async { while buyers.join_next().await.is_some() {} }).await;
        world.settle().await;
        world.finish().await;
        for verdict in shared.trace.verdicts() {
            shared.exercised(Topic::Verdict, verdict);
        }
        let mut report = shared.report.lock().unwrap().clone();
        report.orders = shared.cases.len() as u64;
        // The engine knows of the world, and the world of the engine.
        *shared.front.lock().unwrap() = None;
        shared.working.lock().unwrap().abort_all();
        let kinds = ["create", "query", "close"];
        report.calls = kinds
            .iter()
            .flat_map(|kind| [format!("wxpay.{kind}"), format!("alipay.{kind}")])
            .map(|kind| shared.providers.calls(&kind))
            .sum();
        report
    }

    /// Processes die and stall, and clocks jump, for ever: more rarely, the `slower` it is.
    async fn turmoil(&mut self, slower: u32) {
        let rng = self.shared.rng.fork();
        loop {
            let shared = self.shared.clone();
            let has_fallen = tokio::select! {
                biased;
                () = shared.fell.notified() => true,
                () = sleep(rng.pause() * slower + Duration::from_millis(1)) => false,
            };
            if !shared.troubled() {
                continue;
            }
            let process = shared.front();
            match rng.below(10) {
                _ if has_fallen && process.crash_switch.is_on() => {}
                0..3 => self.crash("crash").await,
                3..5 => {
                    self.crash("stall").await;
                    self.stalled.push(process.crash_switch);
                }
                _ if has_fallen => self.crash("crash at a step").await,
                5..8 => {
                    if let Some(crash_switch) = self.stalled.pop() {
                        self.shared.log("the stalled process wakes up");
                        crash_switch.wake();
                    }
                }
                _ => {
                    let most_ms = if self.shared.jumps { 3_600_000 } else { self.shared.apart_ms };
                    let wrong_ms = i64::try_from(rng.below(2 * most_ms)).unwrap()
                        - i64::try_from(most_ms).unwrap();
                    self.shared.log(format!("the shop's clock is wrong by {wrong_ms} ms"));
                    self.watch.set(wrong_ms);
                }
            }
        }
    }

    /// Waits for something, and starts another process whenever one stops.
    async fn outlive(&mut self, what: impl Future<Output = ()>) {
        let mut what = std::pin::pin!(what);
        loop {
            let shared = self.shared.clone();
            tokio::select! {
                biased;
                () = &mut what => return,
                () = shared.fell.notified() => {}
            }
            if !shared.front().crash_switch.is_on() {
                self.crash("another process starts").await;
            }
        }
    }

    /// The process stands still, and a moment later another one has its place.
    async fn crash(&mut self, how: &str) {
        self.shared.log(how);
        self.shared.count(|it| it.crashes += 1);
        self.shared.front().crash_switch.stop();
        let most_ms = *self.shared.rng.pick(&[10, 1_000, 20_000]);
        sleep(self.shared.rng.time(Duration::from_millis(most_ms))).await;
        self.memory = self.memory.reopen();
        let memory = self.memory.reopen();
        let next = Process::start(&self.shared, memory, &self.watch).await;
        *self.shared.front.lock().unwrap() = Some(next);
    }

    /// Nothing goes wrong any more.
    fn calm_down(&mut self) {
        self.shared.log("calm");
        self.shared.calm.store(true, Ordering::Relaxed);
        self.shared.providers.clear_faults();
        self.watch.set(0);
        for crash_switch in self.stalled.drain(..) {
            crash_switch.wake();
        }
    }

    /// Lets time pass until nothing of what was handed out can be paid, and a while longer.
    async fn settle(&mut self) {
        if !self.shared.front().crash_switch.is_on() {
            self.crash("a last start").await;
        }
        self.outlive(sleep(Duration::from_secs(80 * 60))).await;
        self.shared.quiet.store(true, Ordering::Relaxed);
        while self.shared.outage.is_some_and(|it| it.is_on(&self.shared)) {
            self.outlive(sleep(Duration::from_secs(600))).await;
        }
        for _ in 0..6 * 30 {
            self.end_abnormal_refunds();
            if self.is_quiet().await {
                break;
            }
            self.outlive(sleep(Duration::from_secs(600))).await;
        }
        if !self.is_quiet().await {
            self.shared.saw(vec!["something is left to do for ever".to_owned()]);
        }
        self.shared.lift_curses();
        self.shared.saw(audit::quiet(&self.shared));
    }

    /// An operator settles at the provider what needs one.
    fn end_abnormal_refunds(&self) {
        for trade in self.shared.providers.orders() {
            for refund in trade.payments.iter().flat_map(|it| &it.refunds) {
                if refund.state != RefundState::Abnormal {
                    continue;
                }
                let state = *self.shared.rng.pick(&[RefundState::Success, RefundState::Closed]);
                let (provider, out_trade_no) = (trade.provider, trade.out_trade_no.clone());
                let out_refund_no = refund.out_refund_no.clone();
                self.shared
                    .log(format!("an operator ends a refund of {out_trade_no} as {state:?}"));
                let end = RefundEnd { provider, out_trade_no, out_refund_no, state };
                self.shared.providers.end_refund(&end).unwrap();
            }
        }
    }

    /// Whether nothing is left to do, except to tell a shop that does not listen.
    async fn is_quiet(&self) -> bool {
        if audit::is_contradicted(&self.shared) {
            return false;
        }
        let waiting = self.memory.outbox_list(DeliveryState::Pending, 1).await.unwrap();
        let is_delivered = waiting.is_empty() || !self.shared.shop.listens();
        is_delivered && self.shared.records.all().iter().all(|it| it.due().is_none())
    }

    /// Everybody tries everything once more, and asks for the last time.
    async fn finish(&mut self) {
        for case in &self.shared.cases {
            for item in case.items() {
                if buyers::pay(&self.shared, &item) {
                    let no = &case.no;
                    self.shared.saw(vec![format!("{no}: {item:?} could be paid in the end")]);
                }
            }
            let repeated = buyers::repeat(&self.shared, case).await;
            self.shared.saw(repeated);
        }
    }
}

//! One world: what everybody shares, the processes that come and go, and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use paygate::domain::{AlipayChoice, DeliveryState, Millis, ProviderId};
use paygate::engine::{AutoRefundPolicy, Engine, Switching};
use paygate::mock::{
    ConsoleNotification, ConsoleRefund, FaultKind, InProcess, SimulatedFault, State, keys,
};
use paygate::provider::{alipay, wxpay};
use paygate::store::{Memory, Store as _};
use paygate::{Clock, mock};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::audit;
use super::buyers;
use super::buyers::Case;
use super::crash::CrashSwitch;
use super::delivery::deliver_notifications;
use super::network::{Network, Purpose};
use super::operator::run_operator;
use super::outage::{self, Outage};
use super::records::{Held, Records};
use super::rng::Rng;
use super::shop::{ShopConnection, SimulatedShop};

/// Something that is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Nothing is.
    None,
    /// The store says that it wrote, and sometimes did not.
    CommitsAreLost,
    /// The background never looks after anything.
    NobodyReconciles,
    /// WeChat Pay says that it closed an order, and did not.
    ClosesAreIgnored,
    /// An event counts as accepted, and the shop never got it.
    EventsAreDropped,
    /// Whoever is asked for some of a payment returns the rest as well, and tells nobody.
    RefundsAreDoubled,
}

/// When every world begins.
pub(super) const STARTED: Millis = Millis(1_763_900_000_000);

/// What everybody in a world shares.
#[derive(Debug)]
pub(super) struct Shared {
    seed: u64,
    pub(super) rng: Rng,
    pub(super) flaw: Flaw,
    /// How many calls in a hundred meet trouble.
    pub(super) trouble: u64,
    /// Whether the shop's clock is wrong by an hour now and then, instead of by seconds.
    ///
    /// Who asks Alipay for a trade that nobody began gets no answer but that there is none; that
    /// the time for it is over, only the clock tells. Such a world has no such material.
    jumps: bool,
    /// How many steps in a thousand are a process's last.
    frailty: u64,
    /// A provider that cannot be used for hours.
    pub(super) outage: Option<Outage>,
    fell: Notify,
    /// How many acts of buyers in ten are payments.
    pub(super) eager: u64,
    /// How far the shop's clock is from the providers' at most, where it does not jump.
    apart_ms: u64,
    pub(super) providers: InProcess,
    /// Providers that know of every order, and whom nobody pays.
    pub(super) decoy: InProcess,
    pub(super) records: Records,
    pub(super) cases: Vec<Case>,
    pub(super) clock: Watch,
    ttl: Duration,
    choice: AlipayChoice,
    switching: Switching,
    returns: AutoRefundPolicy,
    pub(super) shop: SimulatedShop,
    /// What processes do unasked, and go on with when they wake up.
    pub(super) working: Mutex<JoinSet<()>>,
    calm: AtomicBool,
    quiet: AtomicBool,
    front: Mutex<Option<Process>>,
    asked: Mutex<BTreeMap<(ProviderId, String), State>>,
    /// The numbers under which Alipay said, on demand, that it has a trade, and had none.
    lies: Mutex<BTreeSet<String>>,
    report: Mutex<Report>,
}

/// What a world held.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) log: Vec<String>,
    pub(super) violations: Vec<String>,
    pub(super) orders: u64,
    pub(super) answers: u64,
    pub(super) calls: u64,
    /// How many attempts the orders had in the end.
    pub(super) attempts: u64,
    pub(super) paid: u64,
    pub(super) paid_twice: u64,
    pub(super) refunds: u64,
    pub(super) closed: u64,
    /// How many events the shop got.
    pub(super) heard: u64,
    pub(super) crashes: u64,
    /// How many buyers went to the other provider during an outage, and how many of them could
    /// pay there.
    pub(super) turned: u64,
    pub(super) served: u64,
}

impl Report {
    pub(super) fn add_to(&self, total: &mut super::Total) {
        total.orders += self.orders;
        total.answers += self.answers;
        total.calls += self.calls;
        total.attempts += self.attempts;
        total.paid += self.paid;
        total.paid_twice += self.paid_twice;
        total.refunds += self.refunds;
        total.closed += self.closed;
        total.heard += self.heard;
        total.crashes += self.crashes;
        total.turned += self.turned;
        total.served += self.served;
    }
}

/// A process that takes requests.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) engine: Engine,
    pub(super) crash_switch: CrashSwitch,
}

/// A clock: virtual time, and how wrong it is.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    started: Instant,
    wrong_ms: Arc<AtomicI64>,
}

impl Watch {
    fn right() -> Watch {
        Watch { started: Instant::now(), wrong_ms: Arc::default() }
    }

    fn set(&self, wrong_ms: i64) {
        self.wrong_ms.store(wrong_ms, Ordering::Relaxed);
    }
}

impl Clock for Watch {
    fn now(&self) -> Millis {
        let passed_ms = i64::try_from(self.started.elapsed().as_millis()).unwrap();
        STARTED.plus(passed_ms + self.wrong_ms.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn new(seed: u64, flaw: Flaw) -> Shared {
        let rng = Rng::new(seed);
        let clock = Watch::right();
        let choice = AlipayChoice { app_to_h5: rng.percent(20), web_pages: rng.percent(50) };
        let jumps = rng.percent(20);
        let ways = if jumps { buyers::closable() } else { buyers::WAYS.to_vec() };
        let cases = (0..rng.within(1..4)).map(|n| Case::new((seed, n), &ways, &rng));
        let outage = Outage::some(&rng);
        let reject = rng.percent(15);
        let returns = AutoRefundPolicy { duplicate: rng.percent(85), late: rng.percent(85) };
        Shared {
            seed,
            flaw,
            trouble: *rng.pick(&[0, 5, 15, 30, 60]),
            frailty: *rng.pick(&[0, 3, 10, 30]),
            outage,
            fell: Notify::new(),
            eager: rng.within(1..6),
            apart_ms: *rng.pick(&[40_000, 299_000]),
            providers: InProcess::open(None, Arc::new(clock.clone())).unwrap(),
            decoy: InProcess::open(None, Arc::new(clock.clone())).unwrap(),
            records: Records::default(),
            cases: cases.collect(),
            jumps,
            ttl: Duration::from_secs(rng.within(300..720)),
            choice,
            switching: if reject { Switching::Reject } else { Switching::Close },
            returns,
            shop: SimulatedShop::new(&rng),
            working: Mutex::default(),
            calm: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            front: Mutex::default(),
            asked: Mutex::default(),
            lies: Mutex::default(),
            report: Mutex::default(),
            clock,
            rng,
        }
    }

    /// Whether something may go wrong.
    pub(super) fn troubled(&self) -> bool {
        self.trouble > 0 && !self.calm.load(Ordering::Relaxed)
    }

    /// Whether another way to pay is refused while one can be paid.
    pub(super) fn rejects(&self) -> bool {
        self.switching == Switching::Reject
    }

    /// A step of a process, which may be its last.
    pub(super) fn step(&self, crash_switch: &CrashSwitch, rng: &Rng) {
        if self.troubled() && rng.below(1000) < self.frailty && crash_switch.is_on() {
            crash_switch.stop();
            self.fell.notify_one();
        }
    }

    /// Adds a line to the log.
    pub(super) fn log(&self, what: impl std::fmt::Display) {
        let at = self.clock.now().since(STARTED);
        self.report.lock().unwrap().log.push(format!("{:>9.3} s {what}", at as f64 / 1000.0));
    }

    /// Takes note of what may not be.
    pub(super) fn saw(&self, violations: Vec<String>) {
        for violation in violations {
            self.log(format!("VIOLATION {violation}"));
            self.report.lock().unwrap().violations.push(violation);
        }
    }

    pub(super) fn count(&self, add: impl FnOnce(&mut Report)) {
        add(&mut self.report.lock().unwrap());
    }

    /// The process that takes requests now.
    pub(super) fn front(&self) -> Process {
        self.front.lock().unwrap().clone().expect("a world begins with a process")
    }

    /// A provider was asked: what it knew then.
    pub(super) fn asked(&self, call: &Purpose) {
        let Some(no) = &call.no else { return };
        let known = self.providers.orders().into_iter();
        let mut found = known.filter(|it| it.provider == call.provider);
        if let Some(order) = found.find(|it| it.out_trade_no == *no) {
            let key = (call.provider, no.clone());
            self.asked.lock().unwrap().insert(key, order.state);
        }
    }

    /// What the provider knew of a number when it was called about it last.
    pub(super) fn known(&self, provider: ProviderId, no: &str) -> Option<State> {
        self.asked.lock().unwrap().get(&(provider, no.to_owned())).copied()
    }

    /// A process does something, and goes on with it when it wakes up.
    pub(super) fn works(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut working = self.working.lock().unwrap();
        while working.try_join_next().is_some() {}
        working.spawn(work);
    }

    /// Something may go wrong with the next notification.
    pub(super) fn shadow(&self) {
        let ms = u32::try_from(self.rng.below(300_000)).unwrap();
        let kind = match self.rng.below(12) {
            0 => FaultKind::NotifyNever,
            1 => FaultKind::NotifyTwice,
            2 => FaultKind::NotifySlow { ms },
            3 => FaultKind::NotifyWrongKey,
            4 => FaultKind::NotifyProbe,
            _ => return,
        };
        self.providers.add_fault(SimulatedFault {
            provider: None,
            operation: None,
            kind,
            times: 1,
        });
    }

    /// Rng that follows from a text, whenever it is needed.
    pub(super) fn rng_of(&self, text: &[&str]) -> Rng {
        let bytes = text.iter().flat_map(|it| it.bytes());
        let hash = bytes
            .fold(self.seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Rng::new(hash)
    }

    /// How long until the next look at something: long, once there is nothing left but waiting.
    pub(super) fn pace(&self, pause: Duration) -> Duration {
        if self.quiet.load(Ordering::Relaxed) { pause * 10 } else { pause }
    }

    /// Some buyer pays something, now.
    pub(super) fn somebody_pays(&self, rng: &Rng) {
        let case = rng.pick(&self.cases);
        if let Some(item) = case.some_item(rng) {
            buyers::pay(self, &item);
        }
    }

    /// A provider answered a call.
    pub(super) fn answered(&self, call: &Purpose, body: &[u8]) {
        let Some(no) = &call.no else { return };
        let text = String::from_utf8_lossy(body);
        let says = text.contains("CONTEXT_INCONSISTENT") || text.contains("TRADE_HAS_CLOSE");
        let has = |it: &mock::SimulatedOrder| it.out_trade_no == *no && it.state != State::Offered;
        if says && !self.providers.orders().iter().any(has) {
            self.lies.lock().unwrap().insert(no.clone());
        }
    }

    /// Whether Alipay said of a number of these that it has a trade, and had none.
    pub(super) fn was_lied_to(&self, trades: &[&mock::SimulatedOrder]) -> bool {
        let lies = self.lies.lock().unwrap();
        trades.iter().any(|it| lies.contains(&it.out_trade_no))
    }

    /// Of every payment of which some is on its way back, all is.
    pub(super) fn return_the_rest(&self) {
        for trade in self.providers.orders() {
            let Some(payment) = trade.payments.first() else { continue };
            if !payment.refunds.is_empty() && payment.refunded_fen() < payment.amount.fen() {
                let (provider, told) = (trade.provider, ConsoleNotification::Never);
                let out_trade_no = trade.out_trade_no.clone();
                let rest =
                    ConsoleRefund { provider, out_trade_no, amount: None, notification: told };
                let _ = self.providers.refund_in_console(&rest);
            }
        }
    }

    async fn start(self: &Arc<Self>, memory: Memory, watch: &Watch) {
        let crash_switch = CrashSwitch::on();
        let (wxpay, alipay) = MERCHANT.clone();
        let alipay = alipay::AlipayMerchant { choice: self.choice, ..alipay };
        let engine = Engine::builder()
            .store(Held::new(memory, crash_switch.clone(), self))
            .clock(watch.clone())
            .transport(Network::new(crash_switch.clone(), self))
            .public_url("https://shop.example.com".parse().unwrap())
            .order_ttl(self.ttl)
            .switching(self.switching)
            .auto_refund(self.returns)
            .webhook(ShopConnection::new(crash_switch.clone(), self))
            .reconcile_every(None)
            .provider(wxpay::V3::new(wxpay).unwrap())
            .provider(alipay::AlipayGateway::new(alipay).unwrap())
            .simulated()
            .start()
            .await
            .unwrap();
        *self.front.lock().unwrap() = Some(Process { engine, crash_switch });
    }
}

/// Its keys take longer to read than a whole world takes.
static MERCHANT: LazyLock<(wxpay::WxpayMerchant, alipay::AlipayMerchant)> = LazyLock::new(|| {
    let wxpay = keys::wxpay_merchant("http://127.0.0.1:1/".parse().unwrap());
    (wxpay, keys::alipay_merchant("http://127.0.0.1:1/gateway.do".parse().unwrap()))
});

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
    pub(super) async fn live(seed: u64, flaw: Flaw) -> Report {
        let shared = Arc::new(Shared::new(seed, flaw));
        let memory = Memory::new();
        let watch = Watch::right();
        shared.start(memory.reopen(), &watch).await;
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
            if shared.outage.is_some() {
                clients.spawn(outage::turned_away(shared.clone(), at, shared.rng.fork()));
            }
            if shared.rng.percent(60) {
                buyers.spawn(run_operator(shared.clone(), at, shared.rng.fork()));
            }
        }
        let mut run_reconciler = JoinSet::new();
        run_reconciler.spawn(buyers::run_reconciler(shared.clone(), shared.rng.fork()));
        run_reconciler.spawn(buyers::run_dispatcher(shared.clone(), shared.rng.fork()));
        run_reconciler.spawn(deliver_notifications(shared.clone(), shared.rng.fork()));
        tokio::select! {
            biased;
            () = async { while clients.join_next().await.is_some() {} } => {}
            () = world.turmoil() => {}
        }
        world.calm_down();
        while buyers.join_next().await.is_some() {}
        world.settle().await;
        world.finish().await;
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

    /// Processes die and stall, and clocks jump, for ever.
    async fn turmoil(&mut self) {
        let rng = self.shared.rng.fork();
        loop {
            let shared = self.shared.clone();
            let has_fallen = tokio::select! {
                biased;
                () = shared.fell.notified() => true,
                () = sleep(rng.pause() + Duration::from_millis(1)) => false,
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

    /// The process stands still, and a moment later another one has its place.
    async fn crash(&mut self, how: &str) {
        self.shared.log(how);
        self.shared.count(|it| it.crashes += 1);
        self.shared.front().crash_switch.stop();
        let most_ms = *self.shared.rng.pick(&[10, 1_000, 20_000]);
        sleep(self.shared.rng.time(Duration::from_millis(most_ms))).await;
        self.memory = self.memory.reopen();
        let memory = self.memory.reopen();
        self.shared.start(memory, &self.watch).await;
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
        for _ in 0..80 {
            sleep(Duration::from_secs(60)).await;
        }
        self.shared.quiet.store(true, Ordering::Relaxed);
        while self.shared.outage.is_some_and(|it| it.is_on(&self.shared)) {
            sleep(Duration::from_secs(600)).await;
        }
        for _ in 0..6 * 30 {
            if self.is_quiet().await {
                break;
            }
            sleep(Duration::from_secs(600)).await;
        }
        self.shared.saw(audit::quiet(&self.shared));
    }

    /// Whether nothing is left to do, except to tell a shop that does not listen.
    async fn is_quiet(&self) -> bool {
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

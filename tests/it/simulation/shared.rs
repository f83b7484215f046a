//! What everybody in a world shares.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paygate::domain::{AlipayChoice, Millis, ProviderId};
use paygate::engine::{AutoRefundPolicy, Switching};
use paygate::mock::{FaultKind, InProcess, RefundSettings, SimulatedFault, State};
use paygate::store::StoreError;
use paygate::{Clock as _, mock};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::buyers;
use super::buyers::Case;
use super::coverage;
use super::coverage::{SpoiledCall, Topic};
use super::crash::CrashSwitch;
use super::flaw::Flaw;
use super::irregular::Irregularities;
use super::kinds;
use super::kinds::What;
use super::network::Purpose;
use super::outage::Outage;
use super::process::{Process, Watch};
use super::records::Records;
use super::report::Report;
use super::rng::Rng;
use super::shop::SimulatedShop;
use super::trace::Trace;

/// When every world begins.
pub(super) const STARTED: Millis = Millis(1_763_900_000_000);

/// What everybody in a world shares.
#[derive(Debug)]
pub(super) struct Shared {
    seed: u64,
    pub(super) rng: Rng,
    flaw: Option<Flaw>,
    /// How many calls in a hundred meet trouble.
    pub(super) trouble: u64,
    /// Whether the shop's clock is wrong by an hour now and then, instead of by seconds.
    ///
    /// Who asks Alipay for a trade that nobody began gets no answer but that there is none; that
    /// the time for it is over, only the clock tells. Such a world has no such material.
    pub(super) jumps: bool,
    /// How many steps in a thousand are a process's last.
    frailty: u64,
    /// Points at which the process stops when it is there for the first time.
    dooms: Mutex<BTreeSet<String>>,
    /// Faults that the next calls meet.
    curses: Mutex<Vec<SpoiledCall>>,
    /// Whether the shop's operators return much, and soon.
    pub(super) returns_much: bool,
    /// A provider that cannot be used for hours.
    pub(super) outage: Option<Outage>,
    pub(super) fell: Notify,
    /// How many acts of buyers in ten are payments.
    pub(super) eager: u64,
    /// How far the shop's clock is from the providers' at most, where it does not jump.
    pub(super) apart_ms: u64,
    pub(super) providers: InProcess,
    /// Providers that know of every order, and whom nobody pays.
    pub(super) decoy: InProcess,
    pub(super) records: Records,
    pub(super) cases: Vec<Case>,
    pub(super) clock: Watch,
    pub(super) ttl: Duration,
    pub(super) choice: AlipayChoice,
    pub(super) switching: Switching,
    pub(super) returns: AutoRefundPolicy,
    pub(super) irregularities: Irregularities,
    pub(super) shop: SimulatedShop,
    /// What processes do unasked, and go on with when they wake up.
    pub(super) working: Mutex<JoinSet<()>>,
    pub(super) calm: AtomicBool,
    pub(super) quiet: AtomicBool,
    pub(super) front: Mutex<Option<Process>>,
    asked: Mutex<BTreeMap<(ProviderId, String), State>>,
    /// The numbers under which Alipay said, on demand, that it has a trade, and had none.
    lies: Mutex<BTreeSet<String>>,
    pub(super) trace: Trace,
    pub(super) report: Mutex<Report>,
}

impl Shared {
    pub(super) fn new(seed: u64, flaw: Option<Flaw>, trace: Trace) -> Shared {
        let rng = Rng::new(seed);
        let clock = Watch::right();
        let choice = AlipayChoice { app_to_h5: rng.percent(20), web_pages: rng.percent(50) };
        let jumps = rng.percent(20);
        let ways = if jumps { buyers::closable() } else { buyers::WAYS.to_vec() };
        let cases = (0..rng.within(1..4)).map(|n| Case::new((seed, n), &ways, &rng));
        let outage = Outage::some(&rng);
        let reject = rng.percent(15);
        let trouble = *rng.pick(&[0, 5, 15, 30, 60]);
        let troubled = trouble > 0;
        let dooms = if troubled { coverage::dooms(&rng) } else { BTreeSet::new() };
        let curses = if troubled { coverage::curses(seed, &rng) } else { Vec::new() };
        let returns = AutoRefundPolicy { duplicate: rng.percent(85), late: rng.percent(85) };
        let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
        let takes_ms = *rng.pick(&[0, 3_000, 600_000]);
        providers
            .set_refund_settings(RefundSettings { takes_ms, alipay_notifies: rng.percent(85) });
        Shared {
            seed,
            flaw,
            trouble,
            frailty: *rng.pick(&[0, 3, 10, 30]),
            dooms: Mutex::new(dooms),
            curses: Mutex::new(curses),
            returns_much: rng.percent(50),
            outage,
            fell: Notify::new(),
            eager: rng.within(2..9),
            apart_ms: *rng.pick(&[40_000, 299_000]),
            providers,
            decoy: InProcess::open(None, Arc::new(clock.clone())).unwrap(),
            records: Records::default(),
            cases: cases.collect(),
            jumps,
            ttl: Duration::from_secs(rng.within(300..1_500)),
            choice,
            switching: if reject { Switching::Reject } else { Switching::Close },
            returns,
            irregularities: Irregularities::some(&rng),
            shop: SimulatedShop::new(&rng),
            working: Mutex::default(),
            calm: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            front: Mutex::default(),
            asked: Mutex::default(),
            lies: Mutex::default(),
            trace,
            report: Mutex::default(),
            clock,
            rng,
        }
    }

    /// Whether this is broken on purpose.
    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Whether something may go wrong.
    pub(super) fn troubled(&self) -> bool {
        self.trouble > 0 && !self.calm.load(Ordering::Relaxed)
    }

    /// Whether another way to pay is refused while one can be paid.
    pub(super) fn rejects(&self) -> bool {
        self.switching == Switching::Reject
    }

    /// A point of a process, which may be its last.
    pub(super) fn reaches(&self, point: &str, crash_switch: &CrashSwitch, rng: &Rng) {
        let is_frail = self.troubled() && rng.below(1000) < self.frailty;
        if !crash_switch.is_on() {
            return;
        }
        let is_doomed = self.dooms.lock().unwrap().remove(point);
        if is_frail || is_doomed {
            self.log(format!("the process stops {point}"));
            self.exercised(Topic::CrashPoint, point);
            crash_switch.stop();
            self.fell.notify_one();
        }
    }

    /// The fault that the world chose for the next of these calls which it is possible for.
    pub(super) fn curse_of(
        &self,
        provider: &str,
        what: What,
        is_possible: impl Fn(&str) -> bool,
    ) -> Option<&'static str> {
        let mut curses = self.curses.lock().unwrap();
        let is_its = |it: &SpoiledCall| it.0 == provider && it.1 == what && is_possible(it.2);
        let its = curses.iter().position(is_its)?;
        Some(curses.remove(its).2)
    }

    /// From now on nothing happens that the world chose.
    pub(super) fn lift_curses(&self) {
        self.dooms.lock().unwrap().clear();
        self.curses.lock().unwrap().clear();
    }

    /// Takes note of what a store answered.
    pub(super) fn answered_store<T>(
        &self,
        answer: &Result<T, StoreError>,
        kind: impl Fn(&T) -> &'static str,
    ) {
        if let Ok(answer) = answer {
            self.exercised(Topic::Store, kind(answer));
        }
    }

    /// Takes note of what a world exercised.
    pub(super) fn exercised(&self, topic: Topic, name: impl Into<String>) {
        self.report.lock().unwrap().coverage.count(topic, name);
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

    /// Something may go wrong with the next payment, or with its notification.
    pub(super) fn shadow(&self) {
        let ms = u32::try_from(self.rng.below(300_000)).unwrap();
        let kind = match self.rng.below(12) {
            _ if self.irregularities.is_amount_wrong(&self.rng) => FaultKind::WrongAmount,
            0 => FaultKind::NotifyNever,
            1 => FaultKind::NotifyTwice,
            2 => FaultKind::NotifySlow { ms },
            3 => FaultKind::NotifyWrongKey,
            4 => FaultKind::NotifyProbe,
            _ => return,
        };
        self.exercised(Topic::Fault, kinds::fault(&kind).0);
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
}

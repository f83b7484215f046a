//! The shop that gets the events: it fails, is away, and remembers everything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use paygate::Clock as _;
use paygate::domain::{EventId, EventType, Millis, OutboxEvent};
use paygate::engine::Deliver;
use paygate::store::BoxFuture;
use tokio::time::sleep;

use super::coverage::{Step, Topic};
use super::crash::CrashSwitch;
use super::flaw::Flaw;
use super::kinds;
use super::money;
use super::rng::Rng;
use super::shared::{STARTED, Shared};

/// How a shop answers events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Temper {
    /// It takes so many events in a hundred.
    Takes(u64),
    /// It takes nothing from one time to another.
    Away(Millis, Millis),
    /// It never takes anything.
    Deaf,
}

/// The shop of a world, whichever process tells it.
#[derive(Debug)]
pub(super) struct SimulatedShop {
    temper: Temper,
    heard: Mutex<Vec<ShopEvent>>,
}

/// An event that reached the shop.
#[derive(Clone, Debug)]
pub(super) struct ShopEvent {
    pub(super) id: EventId,
    pub(super) event: EventType,
    pub(super) no: String,
    pub(super) transaction_id: String,
    /// The payment's and the refund's amount, in fen, as the event says.
    pub(super) paid: Option<u64>,
    pub(super) refunded: Option<u64>,
    pub(super) is_accepted: bool,
}

impl SimulatedShop {
    pub(super) fn new(rng: &Rng) -> SimulatedShop {
        let temper = match rng.below(20) {
            0..7 => Temper::Takes(100),
            7..15 => Temper::Takes(rng.within(10..95)),
            15..18 => Temper::away(rng, 40),
            18 => Temper::away(rng, 12 * 60),
            _ => Temper::Deaf,
        };
        SimulatedShop { temper, heard: Mutex::default() }
    }

    /// Whether it takes something, some day.
    pub(super) fn listens(&self) -> bool {
        self.temper != Temper::Deaf
    }

    /// What it heard of the order `no`, again and again.
    pub(super) fn events_of(&self, no: &str) -> Vec<ShopEvent> {
        self.heard.lock().unwrap().iter().filter(|it| it.no == no).cloned().collect()
    }

    fn takes(&self, rng: &Rng, now: Millis) -> bool {
        match self.temper {
            // No failure lasts longer than that.
            Temper::Takes(percent) => rng.percent(percent) || now.since(STARTED) > 12 * 3_600_000,
            Temper::Away(from, to) => now < from || now >= to,
            Temper::Deaf => false,
        }
    }
}

impl Temper {
    fn away(rng: &Rng, most_minutes: u64) -> Temper {
        let from = STARTED.0 + i64::try_from(rng.below(600_000)).unwrap();
        let ms = rng.below(most_minutes * 60_000);
        Temper::Away(Millis(from), Millis(from + i64::try_from(ms).unwrap()))
    }
}

/// The way from one process to the shop.
#[derive(Debug)]
pub(super) struct ShopConnection {
    crash_switch: CrashSwitch,
    shared: Arc<Shared>,
}

impl ShopConnection {
    pub(super) fn new(crash_switch: CrashSwitch, shared: &Arc<Shared>) -> ShopConnection {
        ShopConnection { crash_switch, shared: shared.clone() }
    }

    async fn bring(&self, event: &OutboxEvent) -> Result<(), String> {
        // Which event is sent first depends on numbers that differ from run to run.
        let rng = self.shared.rng_of(&[
            event.out_trade_no.as_str(),
            event.event.name(),
            &event.tries.to_string(),
        ]);
        let slow = if rng.percent(10) { 8_000 } else { 100 };
        sleep(rng.time(Duration::from_millis(slow))).await;
        let step = Step::Event(kinds::event(&event.event));
        self.shared.reaches(&step.before(), &self.crash_switch, &rng);
        self.crash_switch.pass().await;
        if self.shared.has(Flaw::EventsAreDropped) && rng.percent(20) {
            return Ok(());
        }
        let is_accepted = self.hear(event, &rng);
        sleep(rng.time(Duration::from_millis(slow))).await;
        self.shared.reaches(&step.after(), &self.crash_switch, &rng);
        self.crash_switch.pass().await;
        let is_lost = self.shared.troubled() && rng.percent(5);
        if is_accepted && !is_lost {
            Ok(())
        } else {
            Err("the shop does not answer 200".to_owned())
        }
    }

    fn hear(&self, event: &OutboxEvent, rng: &Rng) -> bool {
        let shop = &self.shared.shop;
        let is_accepted = shop.takes(rng, self.shared.clock.now());
        let (name, no) = (event.event, &event.out_trade_no);
        self.shared.exercised(Topic::Event, kinds::event(&name));
        let verb = if is_accepted { "takes" } else { "refuses" };
        self.shared.log(format!("the shop {verb} {name} of {no}"));
        let mut body: serde_json::Value = serde_json::from_str(&event.body).unwrap();
        if self.shared.has(Flaw::EventsNameAnotherAmount) {
            body["data"]["paid_fee"] =
                serde_json::json!(body["data"]["paid_fee"].as_u64().unwrap() + 1);
        }
        let heard = ShopEvent {
            id: event.id.clone(),
            event: event.event,
            no: no.to_string(),
            transaction_id: body["data"]["transaction_id"].as_str().unwrap_or_default().to_owned(),
            paid: body["data"]["paid_fee"].as_u64(),
            refunded: body["data"]["refund_fee"].as_u64(),
            is_accepted,
        };
        self.shared.saw(money::check_event(&self.shared, &heard, &body));
        shop.heard.lock().unwrap().push(heard);
        is_accepted
    }
}

impl Deliver for ShopConnection {
    fn deliver<'a>(
        &'a self,
        event: &'a OutboxEvent,
        _: Millis,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.bring(event))
    }
}

//! The shop that is told of payments and refunds: it fails, is away, and remembers everything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use paygate::clock::Clock as _;
use paygate::domain::event::{EventId, EventType, OutboxEvent};
use paygate::domain::time::Millis;
use paygate::engine::Deliver;
use paygate::store::BoxFuture;
use tokio::time::sleep;

use super::crash::Power;
use super::money;
use super::rng::Chance;
use super::world::{Flaw, STARTED, Shared};

/// How a shop takes what it is told.
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
pub(super) struct Shop {
    temper: Temper,
    heard: Mutex<Vec<Heard>>,
}

/// An event that reached the shop.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) id: EventId,
    pub(super) event: EventType,
    pub(super) no: String,
    pub(super) transaction_id: String,
    /// The payment's and the refund's amount, in fen, as the event says.
    pub(super) paid: Option<u64>,
    pub(super) refunded: Option<u64>,
    pub(super) is_accepted: bool,
}

impl Shop {
    pub(super) fn new(chance: &Chance) -> Shop {
        let temper = match chance.below(20) {
            0..7 => Temper::Takes(100),
            7..15 => Temper::Takes(chance.within(10..95)),
            15..18 => Temper::away(chance, 40),
            18 => Temper::away(chance, 12 * 60),
            _ => Temper::Deaf,
        };
        Shop { temper, heard: Mutex::default() }
    }

    /// Whether it takes something, some day.
    pub(super) fn listens(&self) -> bool {
        self.temper != Temper::Deaf
    }

    /// What it heard of the order `no`, again and again.
    pub(super) fn heard_of(&self, no: &str) -> Vec<Heard> {
        self.heard.lock().unwrap().iter().filter(|it| it.no == no).cloned().collect()
    }

    fn takes(&self, chance: &Chance, now: Millis) -> bool {
        match self.temper {
            // Nobody is ill for longer than that.
            Temper::Takes(percent) => {
                chance.percent(percent) || now.since(STARTED) > 12 * 3_600_000
            }
            Temper::Away(from, to) => now < from || now >= to,
            Temper::Deaf => false,
        }
    }
}

impl Temper {
    fn away(chance: &Chance, most_minutes: u64) -> Temper {
        let from = STARTED.0 + i64::try_from(chance.below(600_000)).unwrap();
        let ms = chance.below(most_minutes * 60_000);
        Temper::Away(Millis(from), Millis(from + i64::try_from(ms).unwrap()))
    }
}

/// The way from one process to the shop.
#[derive(Debug)]
pub(super) struct Ear {
    power: Power,
    shared: Arc<Shared>,
}

impl Ear {
    pub(super) fn new(power: Power, shared: &Arc<Shared>) -> Ear {
        Ear { power, shared: shared.clone() }
    }

    async fn bring(&self, event: &OutboxEvent) -> Result<(), String> {
        // Which event is told first depends on numbers that differ from run to run.
        let chance = self.shared.chance_of(&[
            event.out_trade_no.as_str(),
            event.event.name(),
            &event.tries.to_string(),
        ]);
        let slow = if chance.percent(10) { 8_000 } else { 100 };
        sleep(chance.time(Duration::from_millis(slow))).await;
        self.shared.step(&self.power, &chance);
        self.power.pass().await;
        if self.shared.flaw == Flaw::EventsAreDropped && chance.percent(20) {
            return Ok(());
        }
        let is_accepted = self.hear(event, &chance);
        sleep(chance.time(Duration::from_millis(slow))).await;
        self.shared.step(&self.power, &chance);
        self.power.pass().await;
        let is_lost = self.shared.troubled() && chance.percent(5);
        if is_accepted && !is_lost {
            Ok(())
        } else {
            Err("the shop does not answer 200".to_owned())
        }
    }

    fn hear(&self, event: &OutboxEvent, chance: &Chance) -> bool {
        let shop = &self.shared.shop;
        let is_accepted = shop.takes(chance, self.shared.clock.now());
        let (name, no) = (event.event, &event.out_trade_no);
        let told = if is_accepted { "takes" } else { "refuses" };
        self.shared.tell(format!("the shop {told} {name} of {no}"));
        let body: serde_json::Value = serde_json::from_str(&event.body).unwrap();
        let heard = Heard {
            id: event.id.clone(),
            event: event.event,
            no: no.to_string(),
            transaction_id: body["data"]["transaction_id"].as_str().unwrap_or_default().to_owned(),
            paid: body["data"]["paid_fee"].as_u64(),
            refunded: body["data"]["refund_fee"].as_u64(),
            is_accepted,
        };
        self.shared.saw(money::told(&self.shared, &heard, &body));
        shop.heard.lock().unwrap().push(heard);
        is_accepted
    }
}

impl Deliver for Ear {
    fn deliver<'a>(
        &'a self,
        event: &'a OutboxEvent,
        _: Millis,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.bring(event))
    }
}

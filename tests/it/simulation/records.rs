//! The store of a simulated process, and what everybody sees of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paygate::Clock as _;
use paygate::domain::{
    Attempt, AttemptState, ChannelNo, DeliveryState, EventId, Millis, Order, OrderStatus,
    OutTradeNo, OutboxEvent, PaymentRole, Pid, ProviderId, Refund, RefundState, TransactionId,
    UnmatchedPayment,
};
use paygate::store::{
    BoxFuture, Claim, Committed, EventUpdate, Memory, Store, StoreError, StoreErrorKind,
};

use super::audit;
use super::coverage::{Step, Topic};
use super::crash::CrashSwitch;
use super::flaw::Flaw;
use super::kinds;
use super::process::Watch;
use super::rng::Rng;
use super::shared::Shared;

/// Every order as it was stored last.
#[derive(Debug, Default)]
pub(super) struct Records {
    last: Mutex<BTreeMap<String, Order>>,
    /// As it was before the last commit.
    before: Mutex<BTreeMap<String, Order>>,
}

impl Records {
    pub(super) fn order(&self, no: &str) -> Option<Order> {
        self.last.lock().unwrap().get(no).cloned()
    }

    fn before(&self, no: &str) -> Option<Order> {
        self.before.lock().unwrap().get(no).cloned()
    }

    pub(super) fn all(&self) -> Vec<Order> {
        self.last.lock().unwrap().values().cloned().collect()
    }

    /// Takes note of a stored order, and gives back what it was before.
    fn note(&self, order: &Order) -> Option<Order> {
        let no = order.out_trade_no().as_str().to_owned();
        let before = self.last.lock().unwrap().insert(no.clone(), order.clone());
        if let Some(before) = &before {
            self.before.lock().unwrap().insert(no, before.clone());
        }
        before
    }
}

/// What became less from one version of an order to the next.
fn decreases(before: &Order, after: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            let (was, is) = (audit::summary(before), audit::summary(after));
            found.push(format!("{}: {what}: {was:#?} became {is:#?}", after.out_trade_no()));
        }
    };
    must(after.version == before.version + 1, "versions follow each other");
    must(after.terms == before.terms && after.deadline == before.deadline, "facts stay");
    must(precedence(after.status) >= precedence(before.status), "the status does not go back");
    let ids = |order: &Order| -> Vec<_> {
        order.payments.iter().map(|it| it.transaction_id.clone()).collect()
    };
    must(ids(after).starts_with(&ids(before)), "no payment is forgotten");
    let mut pairs = before.payments.iter().zip(&after.payments);
    // What did not fit may be settled by asking.
    let keeps = pairs.all(|(old, new)| old.role == new.role || old.role == PaymentRole::Mismatch);
    must(keeps, "a payment stays what it is");
    for (old, new) in before.payments.iter().zip(&after.payments) {
        must(new.refunded() >= old.refunded(), "what went back went back");
        let kept = old.refunds.iter().all(|old| {
            new.refunds
                .iter()
                .any(|it| it.out_refund_no == old.out_refund_no && it.refund_fee == old.refund_fee)
        });
        must(kept, "no refund is forgotten");
        must(new.refunded() <= new.total_fee.fen(), "no more goes back than was paid");
        // What a console returned was not known here when ours was asked for.
        let is_ours = |it: &&Refund| it.state != RefundState::Closed && it.refund_desc.is_some();
        let asked: u64 = new.refunds.iter().filter(is_ours).map(|it| it.refund_fee.fen()).sum();
        must(asked <= new.total_fee.fen(), "no more is asked for than was paid");
    }
    for old in &before.attempts {
        let is_sent_again = old.state.precedence() == AttemptState::NotFound.precedence();
        let follows = |new: &Attempt| {
            (new.state.precedence() >= old.state.precedence() || is_sent_again)
                && new.params == old.params
                && new.channel_no == old.channel_no
                && new.account == old.account
                && new.handed_out >= old.handed_out
        };
        must(after.attempt(old.n).is_some_and(follows), "what is known of an attempt only grows");
    }
    found
}

fn precedence(status: OrderStatus) -> u8 {
    match status {
        OrderStatus::Open => 0,
        OrderStatus::Closed => 1,
        OrderStatus::Paid => 2,
        OrderStatus::PartRefunded => 3,
        OrderStatus::Refunded => 4,
    }
}

/// The store as one process holds it.
#[derive(Debug)]
pub(super) struct Held {
    memory: Memory,
    crash_switch: CrashSwitch,
    rng: Rng,
    shared: Arc<Shared>,
    /// The process's clock.
    watch: Watch,
}

impl Held {
    /// A first process' store; [`Held::memory`] gives the next one's.
    pub(super) fn new(
        memory: Memory,
        crash_switch: CrashSwitch,
        (shared, watch): (&Arc<Shared>, &Watch),
    ) -> Held {
        let (rng, shared) = (shared.rng.fork(), shared.clone());
        Held { memory, crash_switch, rng, shared, watch: watch.clone() }
    }

    async fn moment(&self) {
        self.crash_switch.pass().await;
        tokio::time::sleep(Duration::from_millis(self.rng.below(3))).await;
        self.crash_switch.pass().await;
    }

    /// Writes, and sometimes fails: before or after the order is on disk.
    async fn write<T>(
        &self,
        write: BoxFuture<'_, Result<T, StoreError>>,
        order: &Order,
        step: &Step,
        is_written: impl Fn(&T) -> bool,
    ) -> Result<T, StoreError> {
        self.moment().await;
        let fails = self.shared.troubled() && self.rng.below(400) == 0;
        let is_early = self.rng.percent(50);
        if fails && is_early {
            return Err(failed());
        }
        self.shared.reaches(&step.before(), &self.crash_switch, &self.rng);
        self.crash_switch.pass().await;
        let written = write.await?;
        if is_written(&written) {
            if let Step::Commit(transition) = step {
                self.shared.exercised(Topic::Transition, transition);
            }
            let before = self.shared.records.note(order);
            let fell = before.as_ref().map_or_else(Vec::new, |it| decreases(it, order));
            self.shared.saw(fell);
            self.shared.saw(audit::offered(order));
            self.shared.saw(audit::standing(&self.shared, (before.as_ref(), order)));
        }
        self.shared.reaches(&step.after(), &self.crash_switch, &self.rng);
        self.crash_switch.pass().await;
        if fails { Err(failed()) } else { Ok(written) }
    }
}

impl Held {
    /// A commit as a broken store makes it.
    async fn spoiled(
        &self,
        order: &Order,
        outbox: &[OutboxEvent],
    ) -> Result<(Order, Vec<OutboxEvent>), StoreError> {
        let (mut order, mut outbox) = (order.clone(), outbox.to_vec());
        if self.shared.has(Flaw::CommitsLoseTheirEvents) && self.rng.percent(50) {
            outbox.clear();
        }
        if self.shared.has(Flaw::CommitsDoubleTheirEvents) {
            let copies: Vec<OutboxEvent> = outbox.iter().map(copied).collect();
            outbox.extend(copies);
        }
        if self.shared.has(Flaw::CommitsOverwriteOthers) {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let stored = self.memory.load(order.out_trade_no()).await?;
            order.version = stored.map_or(order.version, |it| it.version + 1);
        }
        Ok((order, outbox))
    }
}

/// The same event under another id.
fn copied(event: &OutboxEvent) -> OutboxEvent {
    let id = serde_json::from_value(serde_json::json!(format!("{}-copy", event.id)));
    OutboxEvent { id: id.unwrap(), ..event.clone() }
}

fn failed() -> StoreError {
    StoreError::new(StoreErrorKind::Io, "the disk is full")
}

impl Store for Held {
    fn load<'a>(&'a self, no: &'a OutTradeNo) -> BoxFuture<'a, Result<Option<Order>, StoreError>> {
        Box::pin(async move {
            self.moment().await;
            if self.shared.has(Flaw::ReadsAreStale)
                && let Some(before) = self.shared.records.before(no.as_str())
            {
                return Ok(Some(before));
            }
            let loaded = self.memory.load(no).await;
            self.crash_switch.pass().await;
            loaded
        })
    }

    fn claim<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Claim, StoreError>> {
        Box::pin(async move {
            let claim = self.memory.claim(order);
            let claimed =
                self.write(claim, order, &Step::Claim, |it| matches!(it, Claim::Fresh)).await;
            self.shared.answered_store(&claimed, kinds::claim);
            claimed
        })
    }

    fn commit<'a>(
        &'a self,
        order: &'a Order,
        outbox: &'a [OutboxEvent],
    ) -> BoxFuture<'a, Result<Committed, StoreError>> {
        let step = Step::Commit(self.shared.trace.transition());
        Box::pin(async move {
            if self.shared.has(Flaw::CommitsAreLost) && self.rng.percent(20) {
                return Ok(Committed::Done);
            }
            let (order, outbox) = self.spoiled(order, outbox).await?;
            let commit = self.memory.commit(&order, &outbox);
            let committed = self.write(commit, &order, &step, |it| *it == Committed::Done).await;
            self.shared.answered_store(&committed, kinds::committed);
            committed
        })
    }

    fn find_channel<'a>(
        &'a self,
        provider: ProviderId,
        pid: &'a Pid,
        channel_no: &'a ChannelNo,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        self.memory.find_channel(provider, pid, channel_no)
    }

    fn find_transaction<'a>(
        &'a self,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        self.memory.find_transaction(id)
    }

    fn find_refund<'a>(
        &'a self,
        pid: &'a Pid,
        out_refund_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        self.memory.find_refund(pid, out_refund_no)
    }

    fn due(&self, now: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<OutTradeNo>, StoreError>> {
        Box::pin(async move {
            self.moment().await;
            self.memory.due(now, limit).await
        })
    }

    fn outbox_due(
        &self,
        now: Millis,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        self.memory.outbox_due(now, limit)
    }

    fn outbox_list(
        &self,
        state: DeliveryState,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        self.memory.outbox_list(state, limit)
    }

    fn outbox_find<'a>(
        &'a self,
        id: &'a EventId,
    ) -> BoxFuture<'a, Result<Option<OutboxEvent>, StoreError>> {
        self.memory.outbox_find(id)
    }

    fn outbox_set<'a>(
        &'a self,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<EventUpdate, StoreError>> {
        Box::pin(async move {
            self.moment().await;
            if self.shared.has(Flaw::DeliveriesAreForgotten) {
                return Ok(EventUpdate::Done);
            }
            let fails = self.shared.troubled() && self.rng.below(200) == 0;
            if fails && self.rng.percent(50) {
                return Err(failed());
            }
            self.shared.reaches(&Step::Delivered.before(), &self.crash_switch, &self.rng);
            self.crash_switch.pass().await;
            // The wait's spread follows from numbers that differ from run to run.
            let wait_ms = 5_000 << event.tries.clamp(1, 10);
            let next = self.watch.now().plus(wait_ms / 2);
            let set = self.memory.outbox_set(&OutboxEvent { next_at: next, ..event.clone() }).await;
            self.shared.answered_store(&set, kinds::event_update);
            self.shared.reaches(&Step::Delivered.after(), &self.crash_switch, &self.rng);
            self.crash_switch.pass().await;
            if fails { Err(failed()) } else { set }
        })
    }

    fn add_unmatched<'a>(
        &'a self,
        unmatched: &'a UnmatchedPayment,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            self.shared.reaches(&Step::Unmatched.before(), &self.crash_switch, &self.rng);
            self.crash_switch.pass().await;
            let added = self.memory.add_unmatched(unmatched, event).await;
            self.shared.reaches(&Step::Unmatched.after(), &self.crash_switch, &self.rng);
            self.crash_switch.pass().await;
            added
        })
    }

    fn unmatched(&self, limit: usize) -> BoxFuture<'_, Result<Vec<UnmatchedPayment>, StoreError>> {
        self.memory.unmatched(limit)
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.memory.ready()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.memory.close()
    }
}

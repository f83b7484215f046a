//! A store that forgets everything with its process: for mock mode and tests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    BoxFuture, Claim, Committed, EventUpdate, Store, StoreError, StoreErrorKind, channel_numbers,
    events_of_each_type, refund_numbers,
};
use crate::domain::channel::ProviderId;
use crate::domain::event::{DeliveryState, EventId, OutboxEvent};
use crate::domain::ids::{ChannelNo, OutTradeNo, Pid, TransactionId};
use crate::domain::order::Order;
use crate::domain::time::Millis;
use crate::domain::unmatched::UnmatchedPayment;

/// Orders in this process's memory.
///
/// "Durable" means as long as the process lives, which is why live mode takes no such store.
/// Each value is one opening: [`Memory::reopen`] stands for the next process, and makes this one
/// an earlier owner.
pub struct Memory {
    state: Arc<Mutex<MemoryState>>,
    /// The fence that this opening raised.
    fence: u64,
    closed: AtomicBool,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Opens the same orders as another process would after this one died, or stalled: when this
    /// one wakes up it can look up, and can no longer write.
    #[must_use]
    pub fn reopen(&self) -> Memory {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fence = state.fence.saturating_add(1);
        let (fence, state) = (state.fence, Arc::clone(&self.state));
        Memory { state, fence, closed: AtomicBool::new(false) }
    }

    /// What is stored, unless this opening was closed.
    fn state(&self) -> Result<MutexGuard<'_, MemoryState>, StoreError> {
        match self.closed.load(Ordering::Relaxed) {
            true => Err(StoreError::closed()),
            false => Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { state: Arc::default(), fence: 0, closed: AtomicBool::new(false) }
    }
}

/// How many orders there are, and nothing of what they hold.
impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let orders = self.state.lock().unwrap_or_else(PoisonError::into_inner).orders.len();
        f.debug_struct("Memory").field("orders", &orders).finish_non_exhaustive()
    }
}

impl Store for Memory {
    fn load<'a>(
        &'a self,
        out_trade_no: &'a OutTradeNo,
    ) -> BoxFuture<'a, Result<Option<Order>, StoreError>> {
        Box::pin(async move {
            let state = self.state()?;
            Ok(state.orders.get(out_trade_no).map(|stored| stored.order.clone()))
        })
    }

    fn claim<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Claim, StoreError>> {
        Box::pin(async move {
            let mut state = self.state()?;
            if state.fence != self.fence {
                return Err(other_owner());
            }
            if let Some(known) = state.orders.get(order.out_trade_no()) {
                return Ok(Claim::Existing(Box::new(known.order.clone())));
            }
            state.take_numbers(order)?;
            let serial = state.orders.len();
            state.put(serial, order);
            Ok(Claim::Fresh)
        })
    }

    fn commit<'a>(
        &'a self,
        order: &'a Order,
        outbox: &'a [OutboxEvent],
    ) -> BoxFuture<'a, Result<Committed, StoreError>> {
        Box::pin(async move {
            let mut state = self.state()?;
            if state.fence != self.fence {
                return Ok(Committed::Lost);
            }
            let stored = state.orders.get(order.out_trade_no());
            let stored = stored.ok_or_else(StoreError::not_stored)?;
            if Some(stored.order.version) != order.version.checked_sub(1) {
                return Ok(Committed::OtherVersion(Box::new(stored.order.clone())));
            }
            let (serial, was_due) = (stored.serial, stored.order.due());
            state.take_numbers(order)?;
            if let Some(due) = was_due {
                state.due.remove(&(due, serial));
            }
            state.put(serial, order);
            for event in outbox {
                if !state.outbox.contains_key(&event.id) {
                    state.put_event(event.clone());
                }
            }
            Ok(Committed::Done)
        })
    }

    fn find_channel<'a>(
        &'a self,
        provider: ProviderId,
        pid: &'a Pid,
        channel_no: &'a ChannelNo,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        let key = (provider, pid.clone(), channel_no.clone());
        Box::pin(async move { Ok(self.state()?.channel_numbers.get(&key).cloned()) })
    }

    fn find_transaction<'a>(
        &'a self,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        Box::pin(async move { Ok(self.state()?.transactions.get(id).cloned()) })
    }

    fn find_refund<'a>(
        &'a self,
        pid: &'a Pid,
        out_refund_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        let key = (pid.clone(), out_refund_no.to_owned());
        Box::pin(async move { Ok(self.state()?.refund_numbers.get(&key).cloned()) })
    }

    fn due(&self, now: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<OutTradeNo>, StoreError>> {
        Box::pin(async move {
            let state = self.state()?;
            let due = state.due.range(..=(now, usize::MAX));
            Ok(due.take(limit).map(|(_, out_trade_no)| out_trade_no.clone()).collect())
        })
    }

    fn outbox_due(
        &self,
        now: Millis,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            let state = self.state()?;
            let pending = state.sendings.iter().filter_map(|(_, id)| state.outbox.get(id));
            let due = pending.filter(|event| event.is_due(now)).cloned();
            Ok(events_of_each_type(due, limit))
        })
    }

    fn outbox_list(
        &self,
        state: DeliveryState,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            let stored = self.state()?;
            let events = stored.outbox.values().filter(|event| event.state == state);
            let mut found: Vec<_> = events.collect();
            found.sort_by_key(|event| (event.next_at, &event.id));
            Ok(found.into_iter().take(limit).cloned().collect())
        })
    }

    fn outbox_find<'a>(
        &'a self,
        id: &'a EventId,
    ) -> BoxFuture<'a, Result<Option<OutboxEvent>, StoreError>> {
        Box::pin(async move { Ok(self.state()?.outbox.get(id).cloned()) })
    }

    fn outbox_set<'a>(
        &'a self,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<EventUpdate, StoreError>> {
        Box::pin(async move {
            let mut state = self.state()?;
            if state.fence != self.fence {
                return Ok(EventUpdate::Lost);
            }
            let Some(stored) = state.outbox.remove(&event.id) else {
                return Ok(EventUpdate::Missing);
            };
            state.sendings.remove(&(stored.next_at, stored.id.clone()));
            let OutboxEvent { state: delivery, tries, next_at, .. } = *event;
            state.put_event(OutboxEvent { state: delivery, tries, next_at, ..stored });
            Ok(EventUpdate::Done)
        })
    }

    fn add_unmatched<'a>(
        &'a self,
        unmatched: &'a UnmatchedPayment,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let key = unmatched.key();
        Box::pin(async move {
            let mut state = self.state()?;
            if state.fence != self.fence {
                return Err(other_owner());
            }
            if state.unmatched.contains_key(&key) {
                return Ok(false);
            }
            state.unmatched.insert(key, unmatched.clone());
            if !state.outbox.contains_key(&event.id) {
                state.put_event(event.clone());
            }
            Ok(true)
        })
    }

    fn unmatched(&self, limit: usize) -> BoxFuture<'_, Result<Vec<UnmatchedPayment>, StoreError>> {
        Box::pin(async move {
            let state = self.state()?;
            let belongs_to_none = |payment: &&UnmatchedPayment| {
                !state.transactions.contains_key(&payment.transaction_id)
            };
            let found = state.unmatched.values().filter(belongs_to_none).collect();
            Ok(UnmatchedPayment::last(found, limit))
        })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match self.state()?.fence == self.fence {
                true => Ok(()),
                false => Err(other_owner()),
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.closed.store(true, Ordering::Relaxed) })
    }
}

fn other_owner() -> StoreError {
    let message = "the store was opened again since, and has another owner";
    StoreError::new(StoreErrorKind::Unavailable, message)
}

#[derive(Default)]
struct MemoryState {
    orders: HashMap<OutTradeNo, StoredOrder>,
    channel_numbers: HashMap<(ProviderId, Pid, ChannelNo), OutTradeNo>,
    refund_numbers: HashMap<(Pid, String), OutTradeNo>,
    transactions: HashMap<TransactionId, OutTradeNo>,
    unmatched: BTreeMap<(ProviderId, Pid, TransactionId), UnmatchedPayment>,
    outbox: HashMap<EventId, OutboxEvent>,
    /// The pending events, by when they are sent next.
    sendings: BTreeSet<(Millis, EventId)>,
    due: BTreeMap<(Millis, usize), OutTradeNo>,
    /// Raised by every opening but the first.
    fence: u64,
}

struct StoredOrder {
    /// The order of the claims, for orders that are due at one moment.
    serial: usize,
    order: Order,
}

impl MemoryState {
    /// Makes every number of `order` its own, or none when one is another order's.
    fn take_numbers(&mut self, order: &Order) -> Result<(), StoreError> {
        let own = order.out_trade_no();
        let is_anothers = |owner: Option<&OutTradeNo>| owner.is_some_and(|owner| owner != own);
        if channel_numbers(order).any(|number| is_anothers(self.channel_numbers.get(&number)))
            || refund_numbers(order).any(|number| is_anothers(self.refund_numbers.get(&number)))
        {
            return Err(StoreError::number_taken());
        }
        self.channel_numbers.extend(channel_numbers(order).map(|number| (number, own.clone())));
        self.refund_numbers.extend(refund_numbers(order).map(|number| (number, own.clone())));
        Ok(())
    }

    fn put_event(&mut self, event: OutboxEvent) {
        if event.state == DeliveryState::Pending {
            self.sendings.insert((event.next_at, event.id.clone()));
        }
        self.outbox.insert(event.id.clone(), event);
    }

    fn put(&mut self, serial: usize, order: &Order) {
        let out_trade_no = order.out_trade_no();
        if let Some(due) = order.due() {
            self.due.insert((due, serial), out_trade_no.clone());
        }
        for payment in &order.payments {
            let id = payment.transaction_id.clone();
            self.transactions.entry(id).or_insert_with(|| out_trade_no.clone());
        }
        self.orders.insert(out_trade_no.clone(), StoredOrder { serial, order: order.clone() });
    }
}

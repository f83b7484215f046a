//! A store that forgets everything with its process: for mock mode and tests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BoxFuture, Claim, Committed, Settled, Store, StoreError, StoreErrorKind};
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
    held: Arc<Mutex<Held>>,
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
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.fence = held.fence.saturating_add(1);
        let (fence, held) = (held.fence, Arc::clone(&self.held));
        Memory { held, fence, closed: AtomicBool::new(false) }
    }

    fn held(&self) -> Result<MutexGuard<'_, Held>, StoreError> {
        match self.closed.load(Ordering::Relaxed) {
            true => Err(StoreError::closed()),
            false => Ok(self.held.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { held: Arc::default(), fence: 0, closed: AtomicBool::new(false) }
    }
}

/// How many orders there are, and nothing of what they hold.
impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let orders = self.held.lock().unwrap_or_else(PoisonError::into_inner).orders.len();
        f.debug_struct("Memory").field("orders", &orders).finish_non_exhaustive()
    }
}

impl Store for Memory {
    fn load<'a>(
        &'a self,
        out_trade_no: &'a OutTradeNo,
    ) -> BoxFuture<'a, Result<Option<Order>, StoreError>> {
        Box::pin(
            async move { Ok(self.held()?.orders.get(out_trade_no).map(|it| it.order.clone())) },
        )
    }

    fn claim<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Claim, StoreError>> {
        Box::pin(async move {
            let mut held = self.held()?;
            if held.fence != self.fence {
                return Err(other_owner());
            }
            if let Some(known) = held.orders.get(order.out_trade_no()) {
                return Ok(Claim::Known(Box::new(known.order.clone())));
            }
            held.take_numbers(order)?;
            let serial = held.orders.len();
            held.put(serial, order);
            Ok(Claim::Fresh)
        })
    }

    fn commit<'a>(
        &'a self,
        order: &'a Order,
        outbox: &'a [OutboxEvent],
    ) -> BoxFuture<'a, Result<Committed, StoreError>> {
        Box::pin(async move {
            let mut held = self.held()?;
            if held.fence != self.fence {
                return Ok(Committed::Lost);
            }
            let stored = held.orders.get(order.out_trade_no());
            let stored = stored.ok_or_else(StoreError::not_stored)?;
            if Some(stored.order.version) != order.version.checked_sub(1) {
                return Ok(Committed::OtherVersion(Box::new(stored.order.clone())));
            }
            let (serial, was_due) = (stored.serial, stored.order.due());
            held.take_numbers(order)?;
            if let Some(due) = was_due {
                held.due.remove(&(due, serial));
            }
            held.put(serial, order);
            for event in outbox {
                if !held.outbox.contains_key(&event.id) {
                    held.put_event(event.clone());
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
        Box::pin(async move { Ok(self.held()?.channel_numbers.get(&key).cloned()) })
    }

    fn find_transaction<'a>(
        &'a self,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        Box::pin(async move { Ok(self.held()?.transactions.get(id).cloned()) })
    }

    fn find_refund<'a>(
        &'a self,
        pid: &'a Pid,
        out_refund_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        let key = (pid.clone(), out_refund_no.to_owned());
        Box::pin(async move { Ok(self.held()?.refund_numbers.get(&key).cloned()) })
    }

    fn due(&self, now: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<OutTradeNo>, StoreError>> {
        Box::pin(async move {
            let held = self.held()?;
            let due = held.due.range(..=(now, usize::MAX));
            Ok(due.take(limit).map(|(_, out_trade_no)| out_trade_no.clone()).collect())
        })
    }

    fn outbox_due(
        &self,
        now: Millis,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            let held = self.held()?;
            let due = held.sendings.iter().take_while(|(next, _)| *next <= now);
            Ok(due.take(limit).filter_map(|(_, id)| held.outbox.get(id)).cloned().collect())
        })
    }

    fn outbox_list(
        &self,
        state: DeliveryState,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            let held = self.held()?;
            let mut found: Vec<_> = held.outbox.values().filter(|it| it.state == state).collect();
            found.sort_by_key(|it| (it.next_at, &it.id));
            Ok(found.into_iter().take(limit).cloned().collect())
        })
    }

    fn outbox_find<'a>(
        &'a self,
        id: &'a EventId,
    ) -> BoxFuture<'a, Result<Option<OutboxEvent>, StoreError>> {
        Box::pin(async move { Ok(self.held()?.outbox.get(id).cloned()) })
    }

    fn outbox_set<'a>(
        &'a self,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<Settled, StoreError>> {
        Box::pin(async move {
            let mut held = self.held()?;
            if held.fence != self.fence {
                return Ok(Settled::Lost);
            }
            let Some(stored) = held.outbox.remove(&event.id) else {
                return Ok(Settled::Missing);
            };
            held.sendings.remove(&(stored.next_at, stored.id.clone()));
            let (state, tries, next) = (event.state, event.tries, event.next_at);
            held.put_event(OutboxEvent { state, tries, next_at: next, ..stored });
            Ok(Settled::Done)
        })
    }

    fn add_unmatched<'a>(
        &'a self,
        unmatched: &'a UnmatchedPayment,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let (pid, id) = (unmatched.pid.clone(), unmatched.transaction_id.clone());
        let key = (unmatched.provider, pid, id);
        Box::pin(async move {
            let mut held = self.held()?;
            if held.fence != self.fence {
                return Err(other_owner());
            }
            if held.unmatched.contains_key(&key) {
                return Ok(false);
            }
            held.unmatched.insert(key, unmatched.clone());
            if !held.outbox.contains_key(&event.id) {
                held.put_event(event.clone());
            }
            Ok(true)
        })
    }

    fn unmatched(&self, limit: usize) -> BoxFuture<'_, Result<Vec<UnmatchedPayment>, StoreError>> {
        Box::pin(async move {
            let held = self.held()?;
            let is_open =
                |it: &&UnmatchedPayment| !held.transactions.contains_key(&it.transaction_id);
            let mut found: Vec<&UnmatchedPayment> =
                held.unmatched.values().filter(is_open).collect();
            found.sort_by_key(|it| {
                (it.discovered_at, it.provider.name(), &it.pid, &it.transaction_id)
            });
            let older = found.len().saturating_sub(limit);
            Ok(found.into_iter().skip(older).cloned().collect())
        })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match self.held()?.fence == self.fence {
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
struct Held {
    orders: HashMap<OutTradeNo, Entry>,
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

struct Entry {
    /// Tells orders of one moment apart, in the order of their claims.
    serial: usize,
    order: Order,
}

impl Held {
    /// Makes every number of `order` its own, or none when one is another order's.
    fn take_numbers(&mut self, order: &Order) -> Result<(), StoreError> {
        let (pid, out_trade_no) = (&order.terms.pid, order.out_trade_no());
        let attempts = order.attempts.iter();
        let channels: Vec<_> =
            attempts.map(|it| (it.method.provider(), pid.clone(), it.channel_no.clone())).collect();
        let refunds = order.payments.iter().flat_map(|it| &it.refunds);
        let refunds: Vec<_> = refunds.map(|it| (pid.clone(), it.out_refund_no.clone())).collect();
        let is_anothers = |owner: Option<&OutTradeNo>| owner.is_some_and(|it| it != out_trade_no);
        if channels.iter().any(|it| is_anothers(self.channel_numbers.get(it)))
            || refunds.iter().any(|it| is_anothers(self.refund_numbers.get(it)))
        {
            return Err(StoreError::number_taken());
        }
        self.channel_numbers.extend(channels.into_iter().map(|it| (it, out_trade_no.clone())));
        self.refund_numbers.extend(refunds.into_iter().map(|it| (it, out_trade_no.clone())));
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
        self.orders.insert(out_trade_no.clone(), Entry { serial, order: order.clone() });
    }
}

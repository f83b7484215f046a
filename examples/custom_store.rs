//! A store of one's own: orders and the outbox in an append-only file, one JSON document a line.
//!
//! ```sh
//! cargo run --example custom_store
//! ```
//!
//! It creates an order, opens the file anew as after a crash, and sends it again, first for the
//! same and then for another price. There is nothing to `curl`: the engine is called without HTTP.
//! WeChat Pay is simulated inside, so no account is needed.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paygate::domain::{
    ChannelNo, DeliveryState, EventId, Millis, Order, OutTradeNo, OutboxEvent, Pid, ProviderId,
    RecordError, TransactionId, UnmatchedPayment, decode_record, encode_record,
};
use paygate::mock::{InProcess, keys};
use paygate::provider::wxpay;
use paygate::store::{
    BoxFuture, Claim, Committed, EventUpdate, Store, StoreError, StoreErrorKind, channel_numbers,
    events_of_each_type, refund_numbers,
};
use paygate::{CallerContext, Engine, SystemClock, TrustedProxies, observe_caller, read_create};
use serde::{Deserialize, Serialize};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("orders.jsonl");
    let providers = InProcess::open(None, Arc::new(SystemClock))?;

    let engine = start(&path, &providers).await?;
    let created = engine.create(read_create(&tea(1))?, caller()).await?;
    println!("created:       {} (replayed: {})", created.order_info, created.replayed);
    engine.shutdown().await;

    let engine = start(&path, &providers).await?;
    let again = engine.create(read_create(&tea(1))?, caller()).await?;
    println!("after opening: {} (replayed: {})", again.order_info, again.replayed);
    let Err(refused) = engine.create(read_create(&tea(2))?, caller()).await else {
        return Err("one number was sold at two prices".into());
    };
    let fields: Vec<_> = refused.violations().iter().map(|it| it.path.as_str()).collect();
    println!("other price:   refused, it differs at {}", fields.join(", "));
    println!("calls to WeChat Pay: {}", providers.calls("wxpay.create"));
    engine.shutdown().await;
    Ok(())
}

async fn start(path: &Path, providers: &InProcess) -> Result<Engine, Box<dyn Error>> {
    let merchant = keys::wxpay_merchant("http://127.0.0.1/".parse()?);
    let engine = Engine::builder()
        .store(Journal::open(path)?)
        .provider(wxpay::V3::new(merchant)?)
        // The simulated provider is called as a function: nothing goes over a wire.
        .transport(providers.clone())
        .public_url("https://shop.example.com".parse()?)
        .simulated();
    Ok(engine.start().await?)
}

/// What a browser on a PC would POST: it gets a QR code.
fn tea(total_fee: u64) -> Vec<u8> {
    let order = serde_json::json!({
        "provider": "wxpay", "isPC": true,
        "data": {
            "out_trade_no": "2107151010101541001", "total_fee": total_fee,
            "subject": "tea", "type": "goods",
        },
    });
    order.to_string().into_bytes()
}

fn caller() -> CallerContext {
    let mut caller = observe_caller(&http::HeaderMap::new(), None, &TrustedProxies::default());
    caller.is_pc = true;
    caller
}

/// Orders in an append-only file.
///
/// A change of an order appends the whole order as a line and is on disk before it is answered.
/// The last line with a number counts, so opening reads all of them, into memory. For a shop that
/// sells some thousand things: nothing ever shrinks the file, and each change waits for the disk
/// alone, on the caller's thread.
pub(crate) struct Journal(Mutex<JournalState>);

/// What the file holds.
#[derive(Default)]
struct JournalState {
    /// Absent once the store is closed, or a write failed: what the disk then holds is unknown
    /// until the file is read again.
    file: Option<File>,
    orders: HashMap<OutTradeNo, Order>,
    channel_numbers: HashMap<(ProviderId, Pid, ChannelNo), OutTradeNo>,
    refund_numbers: HashMap<(Pid, String), OutTradeNo>,
    transactions: HashMap<TransactionId, OutTradeNo>,
    /// Payments of no order, as they became known.
    unmatched: Vec<UnmatchedPayment>,
    /// The events for the shop.
    outbox: HashMap<EventId, OutboxEvent>,
    /// Those that are to be sent, by when.
    sendings: BTreeSet<(Millis, EventId)>,
    /// Orders about which to query a provider, by when.
    due: BTreeSet<(Millis, OutTradeNo)>,
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// An order's record, and the events for the shop that it comes with: all or nothing.
    Order { record: String, outbox: Vec<OutboxEvent> },
    /// The state, tries and next sending of an event.
    Event(OutboxEvent),
    /// A payment of no order, and its event.
    UnmatchedPayment { unmatched: UnmatchedPayment, event: OutboxEvent },
}

impl Journal {
    /// Opens the file at `path`, and makes it when there is none.
    pub(crate) fn open(path: &Path) -> Result<Journal, StoreError> {
        let io = |error| failed(StoreErrorKind::Unavailable, error);
        let mut file =
            File::options().read(true).append(true).create(true).open(path).map_err(io)?;
        // Nobody else writes while the lock is held, and it is held until this file is closed:
        // no worker of an earlier process can still commit. That is this store's fence.
        file.try_lock().map_err(|error| failed(StoreErrorKind::Unavailable, error))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        // What stands after the last line's end was being written when the process died. No
        // caller got an answer that it is durable.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(whole);
        let mut journal = JournalState::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = serde_json::from_slice(line)
                .map_err(|_| failed(StoreErrorKind::Corrupt, "a line is none of ours"))?;
            journal.keep(line)?;
        }
        file.set_len(u64::try_from(whole).unwrap_or(u64::MAX)).map_err(io)?;
        // A line may have been written and not yet be on disk. The file's name is the directory's.
        file.sync_all().map_err(io)?;
        #[cfg(unix)]
        if let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            File::open(directory).and_then(|it| it.sync_all()).map_err(io)?;
        }
        journal.file = Some(file);
        Ok(Journal(Mutex::new(journal)))
    }

    fn state(&self) -> Result<MutexGuard<'_, JournalState>, StoreError> {
        let journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match journal.file {
            Some(_) => Ok(journal),
            None => Err(failed(StoreErrorKind::Unavailable, "the store is closed")),
        }
    }
}

impl Store for Journal {
    fn load<'a>(&'a self, no: &'a OutTradeNo) -> BoxFuture<'a, Result<Option<Order>, StoreError>> {
        Box::pin(async move { Ok(self.state()?.orders.get(no).cloned()) })
    }

    fn claim<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Claim, StoreError>> {
        Box::pin(async move {
            // Looking and writing happen under one lock: of two claims one is first.
            let mut journal = self.state()?;
            if let Some(known) = journal.orders.get(order.out_trade_no()) {
                return Ok(Claim::Existing(Box::new(known.clone())));
            }
            journal.write_order(order, &[])?;
            Ok(Claim::Fresh)
        })
    }

    fn commit<'a>(
        &'a self,
        order: &'a Order,
        outbox: &'a [OutboxEvent],
    ) -> BoxFuture<'a, Result<Committed, StoreError>> {
        Box::pin(async move {
            let mut journal = self.state()?;
            let Some(stored) = journal.orders.get(order.out_trade_no()) else {
                return Err(failed(StoreErrorKind::Corrupt, "a claimed order is missing"));
            };
            if Some(stored.version) != order.version.checked_sub(1) {
                return Ok(Committed::OtherVersion(Box::new(stored.clone())));
            }
            journal.write_order(order, outbox)?;
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
            let journal = self.state()?;
            let due = journal.due.iter().take_while(|(due, _)| *due <= now);
            Ok(due.take(limit).map(|(_, no)| no.clone()).collect())
        })
    }

    fn outbox_due(
        &self,
        now: Millis,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            let journal = self.state()?;
            let pending = journal.sendings.iter().filter_map(|(_, id)| journal.outbox.get(id));
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
            let journal = self.state()?;
            let events = journal.outbox.values().filter(|event| event.state == state);
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
            let mut journal = self.state()?;
            let Some(stored) = journal.outbox.get(&event.id).cloned() else {
                return Ok(EventUpdate::Missing);
            };
            let OutboxEvent { state, tries, next_at, .. } = *event;
            journal.write(Line::Event(OutboxEvent { state, tries, next_at, ..stored }))?;
            Ok(EventUpdate::Done)
        })
    }

    fn add_unmatched<'a>(
        &'a self,
        unmatched: &'a UnmatchedPayment,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut journal = self.state()?;
            if journal.unmatched.iter().any(|known| known.key() == unmatched.key()) {
                return Ok(false);
            }
            let (unmatched, event) = (unmatched.clone(), event.clone());
            journal.write(Line::UnmatchedPayment { unmatched, event })?;
            Ok(true)
        })
    }

    fn unmatched(&self, limit: usize) -> BoxFuture<'_, Result<Vec<UnmatchedPayment>, StoreError>> {
        Box::pin(async move {
            let journal = self.state()?;
            let belongs_to_none = |payment: &&UnmatchedPayment| {
                !journal.transactions.contains_key(&payment.transaction_id)
            };
            let found = journal.unmatched.iter().filter(belongs_to_none).collect();
            Ok(UnmatchedPayment::last(found, limit))
        })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.state().map(drop) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Every write was on disk before it was answered; closing the file lets the lock go.
            self.0.lock().unwrap_or_else(PoisonError::into_inner).file = None;
        })
    }
}

impl JournalState {
    /// Writes an order, and the events for the shop that it comes with.
    fn write_order(&mut self, order: &Order, outbox: &[OutboxEvent]) -> Result<(), StoreError> {
        if self.has_anothers_number(order) {
            let why = "a number at the provider, or of a refund, belongs to another order";
            return Err(failed(StoreErrorKind::NumberTaken, why));
        }
        // The record keeps what a newer paygate wrote of the order.
        self.write(Line::Order { record: encode_record(order), outbox: outbox.to_vec() })
    }

    /// Writes a line, waits until it is on disk, and only then serves what is in it.
    fn write(&mut self, line: Line) -> Result<(), StoreError> {
        let mut bytes = serde_json::to_vec(&line).map_err(|it| failed(StoreErrorKind::Io, it))?;
        bytes.push(b'\n');
        let Some(file) = &mut self.file else {
            return Err(failed(StoreErrorKind::Unavailable, "the store is closed"));
        };
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            self.file = None;
            return Err(failed(StoreErrorKind::Io, error));
        }
        self.keep(line)
    }

    fn has_anothers_number(&self, order: &Order) -> bool {
        let own = order.out_trade_no();
        let is_anothers = |owner: Option<&OutTradeNo>| owner.is_some_and(|owner| owner != own);
        channel_numbers(order).any(|number| is_anothers(self.channel_numbers.get(&number)))
            || refund_numbers(order).any(|number| is_anothers(self.refund_numbers.get(&number)))
    }

    fn keep(&mut self, line: Line) -> Result<(), StoreError> {
        match line {
            Line::Order { record, outbox } => {
                let order = decode_record(&record).map_err(|error| match error {
                    RecordError::Newer { .. } => failed(StoreErrorKind::Newer, error),
                    RecordError::Invalid { .. } => failed(StoreErrorKind::Corrupt, error),
                })?;
                self.keep_order(order);
                outbox.into_iter().for_each(|event| self.add_event(event));
            }
            Line::Event(event) => self.keep_event(event),
            Line::UnmatchedPayment { unmatched, event } => {
                self.unmatched.push(unmatched);
                self.add_event(event);
            }
        }
        Ok(())
    }

    /// An event that is in the outbox stays as it is.
    fn add_event(&mut self, event: OutboxEvent) {
        if !self.outbox.contains_key(&event.id) {
            self.keep_event(event);
        }
    }

    fn keep_event(&mut self, event: OutboxEvent) {
        if let Some(before) = self.outbox.get(&event.id) {
            self.sendings.remove(&(before.next_at, event.id.clone()));
        }
        if event.state == DeliveryState::Pending {
            self.sendings.insert((event.next_at, event.id.clone()));
        }
        self.outbox.insert(event.id.clone(), event);
    }

    fn keep_order(&mut self, order: Order) {
        let no = order.out_trade_no().clone();
        if let Some(due) = self.orders.get(&no).and_then(Order::due) {
            self.due.remove(&(due, no.clone()));
        }
        if let Some(due) = order.due() {
            self.due.insert((due, no.clone()));
        }
        self.channel_numbers.extend(channel_numbers(&order).map(|number| (number, no.clone())));
        self.refund_numbers.extend(refund_numbers(&order).map(|number| (number, no.clone())));
        for payment in &order.payments {
            let id = payment.transaction_id.clone();
            self.transactions.entry(id).or_insert_with(|| no.clone());
        }
        self.orders.insert(no, order);
    }
}

fn failed(kind: StoreErrorKind, why: impl fmt::Display) -> StoreError {
    StoreError::new(kind, format!("the journal: {why}"))
}

/// Orders name buyers: none of them is printed.
impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

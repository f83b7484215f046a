//! Every order that the simulated providers keep, in memory and in a file.
//!
//! Tests compare with it. With a path, the ledger writes a change to disk before the provider
//! answers: a JSON line per change, of which the last one of an order counts, so that killing the
//! process does not make a "provider" forget.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::order::{MerchantAccount, SimulatedOrder};
use crate::domain::channel::ProviderId;
use crate::domain::time::Millis;

/// How every line of the file begins.
const LINE_HEAD: &[u8] = b"{\"provider\":";

/// The provider, the merchant's account and the merchant's order number of an order.
pub(in crate::mock) type OrderKey = (ProviderId, String, String);

/// Computes the time at which a provider closes an unpaid order.
pub(in crate::mock) type ClosesAt = fn(&SimulatedOrder) -> Millis;

/// All orders, and the file that also holds them.
#[derive(Debug)]
pub(in crate::mock) struct Ledger {
    closes_at: ClosesAt,
    orders: BTreeMap<OrderKey, SimulatedOrder>,
    /// The order of each of the providers' numbers of payments and trades.
    transactions: BTreeMap<(ProviderId, String), OrderKey>,
    /// The order for which a merchant used a refund number first: provider, merchant, number.
    refunds: BTreeMap<OrderKey, OrderKey>,
    /// The orders that have a notification to send, by the time at which it is due.
    due: BTreeSet<(Millis, OrderKey)>,
    journal: Option<File>,
    closed: bool,
}

impl Ledger {
    /// Opens the ledger in the file at `path`, which it creates where there is none; without a
    /// path, an empty one in memory.
    pub(in crate::mock) fn open(path: Option<&Path>, closes_at: ClosesAt) -> io::Result<Ledger> {
        let mut ledger = Ledger {
            closes_at,
            orders: BTreeMap::new(),
            transactions: BTreeMap::new(),
            refunds: BTreeMap::new(),
            due: BTreeSet::new(),
            journal: None,
            closed: false,
        };
        let Some(path) = path else { return Ok(ledger) };
        let (file, orders) = read_file(path)?;
        let due = |(key, order): (&OrderKey, &SimulatedOrder)| {
            Some((order.notification_due()?, key.clone()))
        };
        ledger.due = orders.iter().filter_map(due).collect();
        ledger.journal = Some(file);
        orders.values().for_each(|order| ledger.index(order));
        ledger.orders = orders;
        Ok(ledger)
    }

    /// Closes the file, which ends its lock.
    pub(in crate::mock) fn close(&mut self) {
        self.journal = None;
        self.closed = true;
    }

    /// The order under this number at `now`.
    pub(in crate::mock) fn find(
        &self,
        merchant: &MerchantAccount<'_>,
        number: &str,
        now: Millis,
    ) -> Option<SimulatedOrder> {
        let key = (merchant.provider, merchant.id.to_owned(), number.to_owned());
        self.orders.get(&key).map(|order| self.order_at(order, now))
    }

    /// The order whose payment or trade has the provider's number `id`, at `now`.
    pub(in crate::mock) fn find_by_transaction(
        &self,
        merchant: &MerchantAccount<'_>,
        id: &str,
        now: Millis,
    ) -> Option<SimulatedOrder> {
        let key = self.transactions.get(&(merchant.provider, id.to_owned()))?;
        let order = self.orders.get(key).filter(|order| order.merchant == merchant.id)?;
        Some(self.order_at(order, now))
    }

    /// The order for which the merchant used this refund number, at `now`.
    pub(in crate::mock) fn find_by_refund(
        &self,
        merchant: &MerchantAccount<'_>,
        number: &str,
        now: Millis,
    ) -> Option<SimulatedOrder> {
        let key = (merchant.provider, merchant.id.to_owned(), number.to_owned());
        let order = self.orders.get(self.refunds.get(&key)?)?;
        Some(self.order_at(order, now))
    }

    /// Every order at `now`.
    pub(in crate::mock) fn orders(&self, now: Millis) -> impl Iterator<Item = SimulatedOrder> {
        self.orders.values().map(move |order| self.order_at(order, now))
    }

    /// The orders that have a notification due by `now`, the longest waiting first.
    pub(in crate::mock) fn orders_due(&self, now: Millis) -> Vec<OrderKey> {
        let due = self.due.iter().take_while(|(due, _)| *due <= now);
        due.map(|(_, key)| key.clone()).collect()
    }

    /// The time at which the next notification is due.
    pub(in crate::mock) fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Records `order`: on disk first.
    pub(in crate::mock) fn write(&mut self, order: SimulatedOrder) -> io::Result<()> {
        if self.closed {
            return Err(io::Error::other("the ledger was closed"));
        }
        if let Some(journal) = &mut self.journal {
            let mut line = serde_json::to_vec(&order)?;
            line.push(b'\n');
            let before = journal.stream_position()?;
            if let Err(error) = journal.write_all(&line) {
                // Half a line in the middle would make the file unreadable.
                journal.set_len(before)?;
                journal.seek(SeekFrom::Start(before))?;
                return Err(error);
            }
        }
        let key = key_of(&order);
        let before = self.orders.get(&key).and_then(SimulatedOrder::notification_due);
        if let Some(due) = before {
            self.due.remove(&(due, key.clone()));
        }
        self.due.extend(order.notification_due().map(|due| (due, key.clone())));
        self.index(&order);
        self.orders.insert(key, order);
        Ok(())
    }

    fn order_at(&self, order: &SimulatedOrder, now: Millis) -> SimulatedOrder {
        order.at(now, (self.closes_at)(order))
    }

    fn index(&mut self, order: &SimulatedOrder) {
        if let Some(id) = &order.transaction_id {
            self.transactions.insert((order.provider, id.clone()), key_of(order));
        }
        for refund in order.payments.iter().flat_map(|payment| &payment.refunds) {
            let number = refund.out_refund_no.clone();
            let key = (order.provider, order.merchant.clone(), number);
            self.refunds.entry(key).or_insert_with(|| key_of(order));
        }
    }
}

/// The ledger in a file, which no mock can open while this value lives.
#[derive(Debug)]
pub(crate) struct HeldLedger {
    path: PathBuf,
    _file: File,
}

impl HeldLedger {
    /// Takes the ledger in the file at `path`; `None` where there is no such file. It changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// When another mock holds the ledger, or the file cannot be read or holds something else.
    pub(crate) fn hold(path: &Path) -> io::Result<Option<HeldLedger>> {
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        read_locked(&mut file)?;
        Ok(Some(HeldLedger { path: path.to_owned(), _file: file }))
    }

    /// Removes the file, and returns its path.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn remove(self) -> io::Result<PathBuf> {
        fs::remove_file(&self.path)?;
        Ok(self.path)
    }
}

/// Locks the file at `path` and reads its orders.
fn read_file(path: &Path) -> io::Result<(File, BTreeMap<OrderKey, SimulatedOrder>)> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let (orders, whole) = read_locked(&mut file)?;
    file.set_len(whole as u64)?;
    file.seek(SeekFrom::End(0))?;
    Ok((file, orders))
}

/// Locks `file` and reads its orders, and how many of its bytes are whole lines.
fn read_locked(file: &mut File) -> io::Result<(BTreeMap<OrderKey, SimulatedOrder>, usize)> {
    file.try_lock().map_err(io::Error::from)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let (lines, torn) = text.split_at(whole);
    let mut orders = BTreeMap::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let order: SimulatedOrder = serde_json::from_slice(line)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        orders.insert(key_of(&order), order);
    }
    // The process died while it wrote a line without an end, and did not answer the call. The
    // mock does not cut off any other end: it has not written it.
    if !torn.starts_with(LINE_HEAD) && !LINE_HEAD.starts_with(torn) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a ledger of the mock"));
    }
    Ok((orders, whole))
}

fn key_of(order: &SimulatedOrder) -> OrderKey {
    (order.provider, order.merchant.clone(), order.out_trade_no.clone())
}

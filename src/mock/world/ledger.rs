//! What the simulated providers know: every order, what was handed out for it, who paid.
//!
//! It is the truth that tests compare with. With a path it is on disk before anything is
//! answered: a JSON line per change, the last one of an order counting, so that killing the
//! process does not make a "provider" forget.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::notice::Notice;
use super::refund::Refund;
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::{DAY_MS, Millis};

/// One merchant order number at one provider: at most one order, paid at most once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where.
    pub provider: ProviderId,
    /// Who is paid: `mchid` (`sp_mchid/sub_mchid` for a partner), or Alipay's seller.
    pub merchant: String,
    /// The merchant's number.
    pub out_trade_no: String,
    /// What became of it.
    pub state: State,
    /// What it is for. Of an Alipay order that is only offered: what was offered last.
    pub terms: Terms,
    /// When the number was first used.
    pub created: Millis,
    /// When it was closed.
    pub closed: Option<Millis>,
    /// How many calls that create it were accepted.
    pub create_calls: u32,
    /// What buyers can still pay with, oldest first.
    pub offers: Vec<Offer>,
    /// The provider's number. WeChat Pay gives it with the payment, Alipay with the trade.
    pub transaction_id: Option<String>,
    /// Until when a buyer is entering a password: WeChat Pay does not close it meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paying_until: Option<Millis>,
    /// Which of WeChat Pay's keys the merchant verifies with: the `Wechatpay-Serial` of its order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wechatpay_serial: Option<String>,
    /// The payments taken for it.
    pub payments: Vec<Payment>,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Alipay gave out a QR code that nobody scanned: there is no trade yet.
    Offered,
    /// It can be paid.
    Unpaid,
    /// It was paid.
    Paid,
    /// It was closed unpaid.
    Closed,
}

/// What is bought, as far as a provider compares it when the number comes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The product it was ordered by.
    pub product: Product,
    /// `appid`, `app_id`.
    pub app_id: String,
    /// The amount, in fen.
    pub amount: Fen,
    /// What the buyer reads.
    pub subject: String,
    /// The only buyer who may pay it: `openid`, `buyer_id`, `buyer_open_id`.
    pub buyer: Option<String>,
    /// From when on it cannot be paid.
    pub expires: Millis,
    /// A SHA-256 of the parameters that must be the same on every call.
    pub digest: String,
    /// What the provider was sent: WeChat Pay's request body; Alipay's parameters with
    /// `biz_content` read, without the signature and `app_auth_token`.
    pub request: Value,
}

/// Something a buyer can pay with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The `prepay_id`, `code_url`, `h5_url` or `qr_code`.
    pub code: String,
    /// What paying with it buys.
    pub terms: Terms,
    /// When it was handed out.
    pub issued: Millis,
    /// From when on it does not work any more.
    pub valid_until: Millis,
}

/// Money taken from a buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The provider's number.
    pub transaction_id: String,
    /// The amount, in fen.
    pub amount: Fen,
    /// Who paid.
    pub payer: String,
    /// When.
    pub paid_at: Millis,
    /// What the shop was told of it.
    #[serde(default)]
    pub notice: Notice,
    /// What goes back of it, oldest first.
    #[serde(default)]
    pub refunds: Vec<Refund>,
}

impl Order {
    /// This order at `now`: what time has closed is closed, and what takes time is done.
    ///
    /// Alipay closes a trade at its timeout (alipay.trade.create, `timeout_express`); WeChat Pay
    /// leaves it NOTPAY after `time_expire` and closes it after 7 days (V3, "query order").
    #[must_use]
    pub fn at(&self, now: Millis) -> Order {
        let ends = match self.provider {
            ProviderId::Wxpay => self.created.plus(7 * DAY_MS),
            ProviderId::Alipay => self.terms.expires,
        };
        let mut order = self.clone();
        if order.state == State::Unpaid && now >= ends {
            order.state = State::Closed;
            order.closed = Some(ends);
        }
        let refunds = order.payments.iter_mut().flat_map(|it| &mut it.refunds);
        refunds.for_each(|it| it.settle(now));
        order
    }

    /// Whether it was paid and all of it went back.
    #[must_use]
    pub fn is_returned(&self) -> bool {
        !self.payments.is_empty() && self.payments.iter().all(Payment::is_returned)
    }

    /// Whether another call for it asks for the same.
    pub(in crate::mock) fn asks_the_same(&self, terms: &Terms) -> bool {
        self.terms.digest == terms.digest
    }

    /// Hands out `code`; what has run out by then is forgotten.
    pub(in crate::mock) fn offer(&mut self, code: String, now: Millis, lifetime_ms: i64) {
        self.offers.retain(|offer| offer.valid_until > now);
        let valid_until = now.plus(lifetime_ms).min(self.terms.expires);
        self.offers.push(Offer { code, terms: self.terms.clone(), issued: now, valid_until });
    }

    /// When it has something to tell next.
    fn due(&self) -> Option<Millis> {
        let refunds = self.payments.iter().flat_map(|it| &it.refunds).map(|it| &it.notice);
        let notices = self.payments.iter().map(|it| &it.notice).chain(refunds);
        notices.filter_map(|it| it.due).min()
    }

    fn key(&self) -> Key {
        (self.provider, self.merchant.clone(), self.out_trade_no.clone())
    }
}

/// How every line of the file begins.
const LINE_HEAD: &[u8] = b"{\"provider\":";

type Key = (ProviderId, String, String);

/// Which order has something to tell: where, who is paid, the merchant's number.
pub(in crate::mock) type Unsent = Key;

/// All orders, and the file they are also in.
#[derive(Debug, Default)]
pub(in crate::mock) struct Ledger {
    orders: BTreeMap<Key, Order>,
    /// Which order has the provider's number of a payment or trade.
    transactions: BTreeMap<(ProviderId, String), Key>,
    /// Which order a merchant's number of a refund is used for first: provider, merchant, number.
    refunds: BTreeMap<Key, Key>,
    /// Which of them have something to tell, and when.
    unsent: BTreeSet<(Millis, Key)>,
    journal: Option<File>,
}

impl Ledger {
    /// The ledger in the file at `path`, which is made when there is none; without a path, an
    /// empty one in memory.
    pub(in crate::mock) fn open(path: Option<&Path>) -> io::Result<Ledger> {
        let Some(path) = path else { return Ok(Ledger::default()) };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (lines, torn) = text.split_at(whole);
        let mut orders = BTreeMap::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let order: Order = serde_json::from_slice(line)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            orders.insert(order.key(), order);
        }
        // A line without its end was being written when the process died, and was not answered.
        // Anything else at the end is not ours to cut off.
        if !torn.starts_with(LINE_HEAD) && !LINE_HEAD.starts_with(torn) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a ledger of the mock"));
        }
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let due = |(key, order): (&Key, &Order)| Some((order.due()?, key.clone()));
        let unsent = orders.iter().filter_map(due).collect();
        let mut ledger = Ledger { unsent, journal: Some(file), ..Ledger::default() };
        orders.values().for_each(|order| ledger.index(order));
        ledger.orders = orders;
        Ok(ledger)
    }

    /// The order under this number at `now`.
    pub(in crate::mock) fn find(
        &self,
        merchant: &Merchant<'_>,
        no: &str,
        now: Millis,
    ) -> Option<Order> {
        let key = (merchant.provider, merchant.id.to_owned(), no.to_owned());
        self.orders.get(&key).map(|order| order.at(now))
    }

    /// The order whose payment or trade has the provider's number `id`, at `now`.
    pub(in crate::mock) fn find_by_transaction(
        &self,
        merchant: &Merchant<'_>,
        id: &str,
        now: Millis,
    ) -> Option<Order> {
        let key = self.transactions.get(&(merchant.provider, id.to_owned()))?;
        let order = self.orders.get(key).filter(|it| it.merchant == merchant.id)?;
        Some(order.at(now))
    }

    /// The order that the merchant's number of a refund is used for, at `now`.
    pub(in crate::mock) fn find_by_refund(
        &self,
        merchant: &Merchant<'_>,
        no: &str,
        now: Millis,
    ) -> Option<Order> {
        let key = (merchant.provider, merchant.id.to_owned(), no.to_owned());
        self.orders.get(self.refunds.get(&key)?).map(|order| order.at(now))
    }

    fn index(&mut self, order: &Order) {
        if let Some(id) = &order.transaction_id {
            self.transactions.insert((order.provider, id.clone()), order.key());
        }
        for refund in order.payments.iter().flat_map(|it| &it.refunds) {
            let no = refund.out_refund_no.clone();
            let key = (order.provider, order.merchant.clone(), no);
            self.refunds.entry(key).or_insert_with(|| order.key());
        }
    }

    /// Every order at `now`.
    pub(in crate::mock) fn orders(&self, now: Millis) -> impl Iterator<Item = Order> {
        self.orders.values().map(move |order| order.at(now))
    }

    /// The orders that have something to tell by `now`, the longest waiting first.
    pub(in crate::mock) fn unsent(&self, now: Millis) -> Vec<Unsent> {
        let due = self.unsent.iter().take_while(|(due, _)| *due <= now);
        due.map(|(_, key)| key.clone()).collect()
    }

    /// When there is something to tell next.
    pub(in crate::mock) fn next_due(&self) -> Option<Millis> {
        self.unsent.first().map(|(due, _)| *due)
    }

    /// Records `order`: on disk first.
    pub(in crate::mock) fn write(&mut self, order: Order) -> io::Result<()> {
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
        let key = order.key();
        if let Some(due) = self.orders.get(&key).and_then(Order::due) {
            self.unsent.remove(&(due, key.clone()));
        }
        self.unsent.extend(order.due().map(|due| (due, key.clone())));
        self.index(&order);
        self.orders.insert(key, order);
        Ok(())
    }
}

/// Who is paid, where.
#[derive(Clone, Copy, Debug)]
pub(in crate::mock) struct Merchant<'a> {
    pub(in crate::mock) provider: ProviderId,
    pub(in crate::mock) id: &'a str,
}

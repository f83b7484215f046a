//! One order as rows: the statements of the writer, prepared once.

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use crate::domain::event::OutboxEvent;
use crate::domain::order::Order;
use crate::domain::order::attempt::Attempt;
use crate::domain::order::payment::Payment;
use crate::domain::unmatched::UnmatchedPayment;

/// An order as it is written.
#[derive(Debug)]
pub(super) struct OrderRow {
    /// The columns.
    pub(super) order: Order,
    /// The whole, as JSON.
    pub(super) record: String,
    /// The events for the shop that it comes with.
    pub(super) outbox: Vec<OutboxEvent>,
}

/// The outcome of one command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// They are written.
    Written,
    /// The number is claimed already: by the order of this record.
    Existing(String),
    /// Another version is stored: this record.
    OtherVersion(String),
    /// It is recorded already, and stays as it is.
    Unchanged,
    /// There is no such order, or no such event.
    Missing,
    /// A number at the provider, or of a refund, is another order's.
    NumberTaken,
}

/// The writer's statements about orders.
pub(super) struct WriteStatements<'c> {
    connection: &'c Connection,
    claim: Statement<'c>,
    known: Statement<'c>,
    replace: Statement<'c>,
    attempt: Statement<'c>,
    account: Statement<'c>,
    channel_owner: Statement<'c>,
    channel_number: Statement<'c>,
    add_event: Statement<'c>,
    set_event: Statement<'c>,
    payment: Statement<'c>,
    refund: Statement<'c>,
    unmatched: Statement<'c>,
}

impl<'c> WriteStatements<'c> {
    /// Every statement that a write of an order or an event executes.
    pub(super) const STATEMENTS: [&'static str; 12] = [
        CLAIM,
        KNOWN,
        REPLACE,
        ATTEMPT,
        ACCOUNT,
        CHANNEL_OWNER,
        CHANNEL_NUMBER,
        ADD_EVENT,
        SET_EVENT,
        PAYMENT,
        REFUND,
        UNMATCHED,
    ];

    /// Prepares the statements; fails when a table or a column is missing.
    pub(super) fn prepare(connection: &'c Connection) -> Result<WriteStatements<'c>> {
        let [claim, known, replace, attempt, account, parts @ ..] =
            WriteStatements::STATEMENTS.map(|sql| connection.prepare(sql));
        let [channel_owner, channel_number, add_event, set_event, payment, refund, unmatched] =
            parts;
        Ok(WriteStatements {
            connection,
            claim: claim?,
            known: known?,
            replace: replace?,
            attempt: attempt?,
            account: account?,
            channel_owner: channel_owner?,
            channel_number: channel_number?,
            add_event: add_event?,
            set_event: set_event?,
            payment: payment?,
            refund: refund?,
            unmatched: unmatched?,
        })
    }

    /// Inserts the order unless its number is claimed.
    pub(super) fn claim(&mut self, row: &OrderRow) -> Result<WriteOutcome> {
        let OrderRow { order, record, .. } = row;
        let terms = &order.terms;
        let inserted = self.claim.execute(params![
            terms.out_trade_no.as_str(),
            integer(order.version),
            order.status.number(),
            terms.pid.as_str(),
            terms.kind,
            terms.user_id,
            integer(terms.total_fee.fen()),
            order.created_at.0,
            order.due().map(|due| due.0),
            record,
        ])?;
        if inserted == 0 {
            let stored = self.known(order)?;
            return Ok(stored.map_or(WriteOutcome::Missing, WriteOutcome::Existing));
        }
        self.parts(self.connection.last_insert_rowid(), order)
    }

    /// The record that is stored under the order's number.
    fn known(&mut self, order: &Order) -> Result<Option<String>> {
        self.known.query_row([order.out_trade_no().as_str()], |row| row.get(0)).optional()
    }

    /// Replaces the order whose stored version is one less.
    pub(super) fn replace(&mut self, row: &OrderRow) -> Result<WriteOutcome> {
        let OrderRow { order, record, outbox } = row;
        let id = self.replace.query_row(
            params![
                order.terms.out_trade_no.as_str(),
                integer(order.version),
                order.status.number(),
                order.due().map(|due| due.0),
                record,
            ],
            |row| row.get(0),
        );
        let Some(id) = id.optional()? else {
            let stored = self.known(order)?;
            return Ok(stored.map_or(WriteOutcome::Missing, WriteOutcome::OtherVersion));
        };
        for event in outbox {
            self.add_event(Some(id), event)?;
        }
        self.parts(id, order)
    }

    fn parts(&mut self, order_id: i64, order: &Order) -> Result<WriteOutcome> {
        for attempt in &order.attempts {
            self.attempt(order_id, order, attempt)?;
            self.account(order, attempt)?;
            if !self.take_channel_number(order_id, order, attempt)? {
                return Ok(WriteOutcome::NumberTaken);
            }
        }
        for payment in &order.payments {
            self.payment(order_id, payment)?;
            if !self.take_refund_numbers(order_id, order, payment)? {
                return Ok(WriteOutcome::NumberTaken);
            }
        }
        Ok(WriteOutcome::Written)
    }

    fn attempt(&mut self, order_id: i64, order: &Order, attempt: &Attempt) -> Result<usize> {
        self.attempt.execute(params![
            order_id,
            attempt.n,
            attempt.method.provider().name(),
            order.terms.pid.as_str(),
            attempt.method.pay_type.name(),
            attempt.channel_no.as_str(),
            attempt.state.name(),
            attempt.opened_at.0,
            attempt.expires_at.0,
            attempt.last_queried_at.map(|at| at.0),
            attempt.superseded,
        ])
    }

    fn account(&mut self, order: &Order, attempt: &Attempt) -> Result<()> {
        let Some(account) = &attempt.account else { return Ok(()) };
        let pid = order.terms.pid.as_str();
        self.account.execute([pid, account.api_version.name(), account.id.as_str()]).map(drop)
    }

    /// Whether the attempt's number is this order's.
    fn take_channel_number(
        &mut self,
        order_id: i64,
        order: &Order,
        attempt: &Attempt,
    ) -> Result<bool> {
        let provider = attempt.method.provider().name();
        let (pid, out_trade_no) = (order.terms.pid.as_str(), attempt.channel_no.as_str());
        let owner =
            self.channel_owner.query_row([provider, pid, out_trade_no], |row| row.get::<_, i64>(0));
        match owner.optional()? {
            Some(owner) => Ok(order_id == owner),
            None => {
                self.channel_number.execute(params![provider, pid, out_trade_no, order_id])?;
                Ok(true)
            }
        }
    }

    fn add_event(&mut self, order_id: Option<i64>, event: &OutboxEvent) -> Result<usize> {
        self.add_event.execute(params![
            event.id.as_str(),
            order_id,
            event.out_trade_no.as_str(),
            event.event.name(),
            event.kind,
            event.body,
            event.created_at.0,
            event.state.name(),
            event.tries,
            event.next_at.0,
        ])
    }

    /// Replaces an event's state, tries and next sending.
    pub(super) fn set_event(&mut self, event: &OutboxEvent) -> Result<WriteOutcome> {
        let (id, state) = (event.id.as_str(), event.state.name());
        let changed = self.set_event.execute(params![id, state, event.tries, event.next_at.0])?;
        Ok(if changed == 1 { WriteOutcome::Written } else { WriteOutcome::Missing })
    }

    /// Records a payment of no order, and its event.
    pub(super) fn add_unmatched(
        &mut self,
        unmatched: &UnmatchedPayment,
        event: &OutboxEvent,
    ) -> Result<WriteOutcome> {
        let inserted = self.unmatched.execute(params![
            unmatched.provider.name(),
            unmatched.pid.as_str(),
            unmatched.transaction_id.0,
            unmatched.account,
            unmatched.channel_no.as_str(),
            integer(unmatched.total_fee.fen()),
            unmatched.currency,
            unmatched.paid_at.map(|at| at.0),
            unmatched.discovered_at.0,
            unmatched.message,
        ])?;
        if inserted == 0 {
            return Ok(WriteOutcome::Unchanged);
        }
        self.add_event(None, event)?;
        Ok(WriteOutcome::Written)
    }

    fn payment(&mut self, order_id: i64, payment: &Payment) -> Result<usize> {
        self.payment.execute(params![
            order_id,
            payment.transaction_id.0,
            payment.attempt,
            integer(payment.total_fee.fen()),
            payment.paid_at.0,
            payment.role.name(),
        ])
    }

    /// Whether the payment's refunds have numbers that are this order's.
    fn take_refund_numbers(
        &mut self,
        order_id: i64,
        order: &Order,
        payment: &Payment,
    ) -> Result<bool> {
        for refund in &payment.refunds {
            let written = self.refund.execute(params![
                order.terms.pid.as_str(),
                refund.out_refund_no,
                order_id,
                payment.transaction_id.0,
                refund.refund_id,
                integer(refund.refund_fee.fen()),
                refund.state.name(),
                refund.requested_at.0,
            ])?;
            if written == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

const CLAIM: &str = "
INSERT INTO orders
    (out_trade_no, version, status, pid, type, user_id, total_fee, created_ms, due_ms, record)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (out_trade_no) DO NOTHING";

const KNOWN: &str = "SELECT record FROM orders WHERE out_trade_no = ?1";

const REPLACE: &str = "
UPDATE orders SET version = ?2, status = ?3, due_ms = ?4, record = ?5
WHERE out_trade_no = ?1 AND version = ?2 - 1
RETURNING id";

/// An attempt's number is never used again: what it was opened with stays.
const ATTEMPT: &str = "
INSERT INTO attempts
    (order_id, attempt_no, provider, pid, pay_type, channel_no, state,
     opened_ms, expires_ms, last_queried_ms, superseded)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (order_id, attempt_no) DO UPDATE SET
    state = excluded.state, last_queried_ms = excluded.last_queried_ms,
    superseded = excluded.superseded";

const ACCOUNT: &str = "
INSERT INTO accounts (pid, api_version, account) VALUES (?1, ?2, ?3)
ON CONFLICT (pid, api_version, account) DO NOTHING";

const CHANNEL_OWNER: &str = "
SELECT order_id FROM channel_numbers WHERE provider = ?1 AND pid = ?2 AND channel_no = ?3";

const CHANNEL_NUMBER: &str = "
INSERT INTO channel_numbers (provider, pid, channel_no, order_id) VALUES (?1, ?2, ?3, ?4)";

/// The number of an event follows from what happened, so that an event is added once.
const ADD_EVENT: &str = "
INSERT INTO outbox
    (id, order_id, out_trade_no, event, type, body, created_ms, state, tries, next_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (id) DO NOTHING";

const SET_EVENT: &str = "UPDATE outbox SET state = ?2, tries = ?3, next_ms = ?4 WHERE id = ?1";

const PAYMENT: &str = "
INSERT INTO payments (order_id, transaction_id, attempt_no, total_fee, paid_ms, role)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (order_id, transaction_id) DO UPDATE SET
    attempt_no = excluded.attempt_no, total_fee = excluded.total_fee,
    paid_ms = excluded.paid_ms, role = excluded.role";

const REFUND: &str = "
INSERT INTO refunds
    (pid, out_refund_no, order_id, transaction_id, refund_id, refund_fee, state, requested_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (pid, out_refund_no) DO UPDATE SET
    transaction_id = excluded.transaction_id, refund_id = excluded.refund_id,
    refund_fee = excluded.refund_fee, state = excluded.state,
    requested_ms = excluded.requested_ms
WHERE order_id = excluded.order_id";

const UNMATCHED: &str = "
INSERT INTO unmatched
    (provider, pid, transaction_id, account, channel_no, total_fee, currency,
     paid_ms, discovered_ms, message)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (provider, pid, transaction_id) DO NOTHING";

/// SQLite's integers have a sign; fen and versions stay far below its limit.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

//! The one thread that writes: it gathers what waits into one transaction, so that many requests
//! share one wait for the disk.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Statement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::files::Originals;
use super::rows::{Outcome, Row, Rows};
use super::workers::Workers;
use super::{Broken, failure};
use crate::domain::event::OutboxEvent;
use crate::domain::unmatched::UnmatchedPayment;
use crate::store::{StoreError, StoreErrorKind};

/// Writes that may wait at once: the bound of the queue's memory and of one transaction.
const WAITING_MAX: usize = 1024;

/// How long the thread waits for the next of the requests that it expects: well below one wait
/// for a disk, which they save.
const LINGER: Duration = Duration::from_micros(200);

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Work {
    /// Insert this order unless its number is claimed.
    Claim(Box<Row>),
    /// Replace the order whose version is one less.
    Commit(Box<Row>),
    /// Replace where this event stands.
    Transition(Box<OutboxEvent>),
    /// Record this payment of no order, and add to the outbox what tells of it.
    UnmatchedPayment(Box<(UnmatchedPayment, OutboxEvent)>),
    /// Write something that is nobody's.
    Probe,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Answer {
    /// Durable.
    Done(Outcome),
    /// Another process has opened the store since: nothing was written.
    OtherOwner,
}

/// One request, and who waits for its answer.
struct Request {
    work: Work,
    answer: oneshot::Sender<Result<Answer, StoreError>>,
    _waiting: OwnedSemaphorePermit,
}

/// The way to the writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    workers: Workers<Request>,
    waiting: Arc<Semaphore>,
    transactions: Arc<AtomicU64>,
}

/// What the writing thread owns.
pub(super) struct Held {
    /// The database.
    pub(super) connection: Connection,
    /// The fence this process raised.
    pub(super) fence: i64,
    /// The lock, let go of when the connection is closed.
    pub(super) lock: File,
    /// The files that are written to.
    pub(super) originals: Originals,
    /// Where a failed write is told.
    pub(super) broken: Broken,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(held: Held) -> std::io::Result<Writer> {
        let (workers, queue) = Workers::new();
        let transactions = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&transactions);
        workers.start("paygate-store", move || run(held, &queue, &counted))?;
        Ok(Writer { workers, waiting: Arc::new(Semaphore::new(WAITING_MAX)), transactions })
    }

    /// Hands `work` over and waits until it is on disk. Dropped before the hand-over, nothing is
    /// written; dropped after it, all is.
    pub(super) async fn ask(&self, work: Work) -> Result<Answer, StoreError> {
        let waiting = Arc::clone(&self.waiting).acquire_owned().await;
        let _waiting = waiting.map_err(|_| StoreError::closed())?;
        let (answer, answered) = oneshot::channel();
        self.workers.send(Request { work, answer, _waiting })?;
        answered.await.unwrap_or_else(|_| {
            let message = "the store's writer ended: restart paygate";
            Err(StoreError::new(StoreErrorKind::Io, message))
        })
    }

    /// How many transactions were written.
    pub(super) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// What takes no more work, and waits until that which was handed over is on disk.
    pub(super) fn stop(&self) -> impl FnOnce() + Send + 'static {
        self.workers.stop()
    }
}

fn run(held: Held, queue: &Receiver<Request>, transactions: &AtomicU64) {
    let Held { connection, originals, fence, lock, broken } = held;
    match Transactions::prepare(&connection, fence, transactions) {
        Ok(mut statements) => {
            let mut expected = 1;
            while let Ok(first) = queue.recv() {
                let batch = gather(queue, first, expected);
                expected = batch.len();
                serve(&mut statements, batch, &originals, &broken);
                if broken.get().is_some() {
                    break;
                }
            }
        }
        Err(error) => drop(broken.set(failure::writing(originals.database(), &error))),
    }
    if broken.get().is_some() {
        // What the disk has is unknown: the next opening reads the write-ahead log from the disk.
        let flag = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        drop(connection.set_db_config(flag, true));
    }
    drop(connection);
    drop(lock);
}

/// The requests of the next transaction: all that wait, and where the last transaction had
/// several, as many again, as long as they keep coming. A lone request waits for nobody.
fn gather(queue: &Receiver<Request>, first: Request, expected: usize) -> Vec<Request> {
    let mut batch = vec![first];
    while batch.len() < WAITING_MAX {
        let next = match queue.try_recv() {
            Ok(next) => next,
            Err(_) if batch.len() >= expected => break,
            Err(_) => match queue.recv_timeout(LINGER) {
                Ok(next) => next,
                Err(_) => break,
            },
        };
        batch.push(next);
    }
    batch
}

/// Writes `batch` and answers it.
fn serve(
    statements: &mut Transactions<'_>,
    batch: Vec<Request>,
    originals: &Originals,
    broken: &Broken,
) {
    let broke = |error: StoreError| broken.get_or_init(|| error).clone();
    let works = batch.iter().map(|it| &it.work);
    let answers: Result<Vec<Answer>, StoreError> = match statements.write(works) {
        // What is in a file without a name is not durable.
        Ok(answers) => originals.check().map(|()| answers).map_err(broke),
        Err(Stop::Busy) => Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "the store is being written by another program; nothing was written",
        )),
        Err(Stop::Failed(error)) => {
            statements.roll_back();
            Err(broke(failure::writing(originals.database(), &error)))
        }
    };
    // Who no longer waits has its write all the same.
    match answers {
        Ok(answers) => {
            for (request, answer) in batch.into_iter().zip(answers) {
                drop(request.answer.send(Ok(answer)));
            }
        }
        Err(error) => {
            for request in batch {
                drop(request.answer.send(Err(error.clone())));
            }
        }
    }
}

/// Why a transaction was not written.
enum Stop {
    /// Another program holds the database: later.
    Busy,
    /// For good.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        Stop::Failed(error)
    }
}

/// The writer's statements.
struct Transactions<'c> {
    written: &'c AtomicU64,
    rows: Rows<'c>,
    fence: i64,
    begin: Statement<'c>,
    stored_fence: Statement<'c>,
    mark: Statement<'c>,
    keep: Statement<'c>,
    undo: Statement<'c>,
    probe: Statement<'c>,
    commit: Statement<'c>,
    roll_back: Statement<'c>,
}

impl<'c> Transactions<'c> {
    fn prepare(
        connection: &'c Connection,
        fence: i64,
        written: &'c AtomicU64,
    ) -> rusqlite::Result<Transactions<'c>> {
        Ok(Transactions {
            written,
            rows: Rows::prepare(connection)?,
            fence,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            stored_fence: connection.prepare("SELECT fence FROM meta")?,
            mark: connection.prepare("SAVEPOINT request")?,
            keep: connection.prepare("RELEASE request")?,
            undo: connection.prepare("ROLLBACK TO request")?,
            probe: connection.prepare("UPDATE meta SET probes = probes + 1")?,
            commit: connection.prepare("COMMIT")?,
            roll_back: connection.prepare("ROLLBACK")?,
        })
    }

    /// One transaction for all `works`; a savepoint for each, so that one that finds a conflict
    /// leaves its neighbours alone.
    fn write<'w>(&mut self, works: impl Iterator<Item = &'w Work>) -> Result<Vec<Answer>, Stop> {
        match self.begin.execute([]) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                return Err(Stop::Busy);
            }
            begun => begun?,
        };
        let fence: i64 = self.stored_fence.query_row([], |row| row.get(0))?;
        if fence != self.fence {
            self.roll_back.execute([])?;
            return Ok(works.map(|_| Answer::OtherOwner).collect());
        }
        let mut answers = Vec::new();
        for work in works {
            self.mark.execute([])?;
            let outcome = self.apply(work)?;
            if !matches!(outcome, Outcome::Written) {
                self.undo.execute([])?;
            }
            self.keep.execute([])?;
            answers.push(Answer::Done(outcome));
        }
        self.commit.execute([])?;
        self.written.fetch_add(1, Ordering::Relaxed);
        Ok(answers)
    }

    fn apply(&mut self, work: &Work) -> rusqlite::Result<Outcome> {
        match work {
            Work::Claim(row) => self.rows.claim(row),
            Work::Commit(row) => self.rows.replace(row),
            Work::Transition(event) => self.rows.set_event(event),
            Work::UnmatchedPayment(both) => self.rows.add_unmatched(&both.0, &both.1),
            Work::Probe => self.probe.execute([]).map(|_| Outcome::Written),
        }
    }

    /// Leaves the transaction, if SQLite has not left it by itself.
    fn roll_back(&mut self) {
        drop(self.roll_back.execute([]));
    }
}

//! The one thread that writes: it gathers what waits into one transaction, so that many requests
//! share one wait for the disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Statement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::failure::{self, FirstFailure};
use super::files::OpenedFiles;
use super::lock::StoreLock;
use super::log::{self, LogWatch};
use super::rows::{OrderRow, WriteOutcome, WriteStatements};
use super::schema::Ownership;
use super::workers::Workers;
use crate::domain::event::OutboxEvent;
use crate::domain::unmatched::UnmatchedPayment;
use crate::store::{StoreError, StoreErrorKind};

/// Writes that may wait at once: the bound of the queue's memory and of one transaction.
const WAITING_MAX: usize = 1024;

/// How long the thread waits for the next of the requests that it expects: well below one wait
/// for a disk, which they save.
const LINGER: Duration = Duration::from_micros(200);

/// What the thread does for a caller.
#[derive(Debug)]
pub(super) enum WriteCommand {
    /// Insert this order unless its number is claimed.
    Claim(Box<OrderRow>),
    /// Replace the order whose version is one less.
    Commit(Box<OrderRow>),
    /// Replace the state, the tries and the next sending of this event.
    UpdateEvent(Box<OutboxEvent>),
    /// Record this payment of no order, and add its event to the outbox.
    AddUnmatched(Box<(UnmatchedPayment, OutboxEvent)>),
    /// Write something that is nobody's.
    Probe,
}

/// What became of a command.
#[derive(Debug)]
pub(super) enum WriteAnswer {
    /// Durable.
    Done(WriteOutcome),
    /// Another process has opened the store since: nothing was written.
    OtherOwner,
}

/// One command, and where its answer goes.
struct WriteRequest {
    command: WriteCommand,
    answer: oneshot::Sender<Result<WriteAnswer, StoreError>>,
    _waiting: OwnedSemaphorePermit,
}

/// The way to the writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    workers: Workers<WriteRequest>,
    waiting: Arc<Semaphore>,
    transactions: Arc<AtomicU64>,
}

/// What the writing thread owns.
pub(super) struct WriterParts {
    /// The database.
    pub(super) connection: Connection,
    /// The fence this process raised, and what was written before.
    pub(super) ownership: Ownership,
    /// The lock, let go of when the connection is closed.
    pub(super) lock: StoreLock,
    /// The files that are written to.
    pub(super) opened_files: OpenedFiles,
    /// The write-ahead log.
    pub(super) log: LogWatch,
    /// Where a failed write is recorded, and a read that found damage.
    pub(super) failed: FirstFailure,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(parts: WriterParts) -> io::Result<Writer> {
        let (workers, queue) = Workers::new();
        let transactions = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&transactions);
        workers.start("paygate-store", move || run(parts, &queue, &counted))?;
        Ok(Writer { workers, waiting: Arc::new(Semaphore::new(WAITING_MAX)), transactions })
    }

    /// Hands `command` over and waits until it is on disk. Dropped before the hand-over, nothing is
    /// written; dropped after it, all is.
    pub(super) async fn ask(&self, command: WriteCommand) -> Result<WriteAnswer, StoreError> {
        let waiting = Arc::clone(&self.waiting).acquire_owned().await;
        let _waiting = waiting.map_err(|_| StoreError::closed())?;
        let (answer, answered) = oneshot::channel();
        self.workers.send(WriteRequest { command, answer, _waiting })?;
        answered.await.unwrap_or_else(|_| {
            let message = "the store's writer ended: restart paygate";
            Err(StoreError::new(StoreErrorKind::Io, message))
        })
    }

    /// How many transactions were written.
    pub(super) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Returns a function that ends the queue, and waits until what was handed over is on disk.
    pub(super) fn stop(&self) -> impl FnOnce() + Send + use<> {
        self.workers.stop()
    }
}

fn run(parts: WriterParts, queue: &Receiver<WriteRequest>, transactions: &AtomicU64) {
    let WriterParts { connection, opened_files, mut log, ownership, lock, failed } = parts;
    match Transactions::prepare(&connection, ownership, transactions) {
        Ok(mut statements) => {
            let mut expected = 1;
            while let Ok(first) = queue.recv() {
                let batch = gather(queue, first, expected, LINGER);
                expected = batch.len();
                serve(
                    &mut statements,
                    batch,
                    Files { opened: &opened_files, log: &mut log, lock: &lock },
                    &failed,
                );
                if failed.get().is_some() {
                    break;
                }
            }
        }
        Err(error) => drop(failed.set(failure::writing(opened_files.database(), &error))),
    }
    if failed.get().is_some() {
        // What the disk has is unknown: the next opening reads the write-ahead log from the disk.
        let flag = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        drop(connection.set_db_config(flag, true));
    }
    drop(connection);
    drop(lock);
}

/// The requests of the next transaction: all that wait, and where the last transaction had
/// several, as many again, as long as they keep coming. A lone request waits for nobody.
fn gather(
    queue: &Receiver<WriteRequest>,
    first: WriteRequest,
    expected: usize,
    linger: Duration,
) -> Vec<WriteRequest> {
    let mut batch = vec![first];
    while batch.len() < WAITING_MAX {
        let next = match queue.try_recv() {
            Ok(next) => next,
            Err(_) if batch.len() >= expected => break,
            Err(_) => match queue.recv_timeout(linger) {
                Ok(next) => next,
                Err(_) => break,
            },
        };
        batch.push(next);
    }
    batch
}

/// The files that are written to.
struct Files<'w> {
    opened: &'w OpenedFiles,
    log: &'w mut LogWatch,
    lock: &'w StoreLock,
}

/// Checks that what was written is in the files of the store, gives a log that another program
/// began its number, and notes what was written.
fn check_files(statements: &mut Transactions<'_>, files: Files<'_>) -> Result<(), StoreError> {
    // What is in a file without a name is not durable.
    files.opened.check()?;
    let path = files.opened.log();
    let mut was_begun = || files.log.was_begun().map_err(|error| failure::unwatched(path, &error));
    if was_begun()? && !statements.has_numbered {
        let written = statements.begin_log();
        written.map_err(|error| failure::writing(files.opened.database(), &error))?;
        // After a long transaction this one may have begun another log: it has its number, too.
        was_begun()?;
    }
    files.lock.note_commits(statements.ownership.commits);
    Ok(())
}

/// Writes `batch` and answers it.
fn serve(
    statements: &mut Transactions<'_>,
    batch: Vec<WriteRequest>,
    files: Files<'_>,
    failed: &FirstFailure,
) {
    if let Some(error) = failed.get() {
        batch.into_iter().for_each(|request| drop(request.answer.send(Err(error.clone()))));
        return;
    }
    let record_failure = |error: StoreError| failed.get_or_init(|| error).clone();
    let path = files.opened.database().to_owned();
    let commands = batch.iter().map(|request| &request.command);
    let answers: Result<Vec<WriteAnswer>, StoreError> = match statements.write(commands, files.log)
    {
        Ok(answers) => check_files(statements, files).map(|()| answers).map_err(record_failure),
        Err(TransactionError::Busy) => Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "the store is being written by another program; nothing was written",
        )),
        // The writer ends, and closing its connection leaves the transaction.
        Err(TransactionError::Failed(error)) => {
            Err(record_failure(failure::writing(&path, &error)))
        }
        Err(TransactionError::Unwatched(error)) => {
            Err(record_failure(failure::unwatched(&path, &error)))
        }
    };
    // The write stays when its caller no longer waits.
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
enum TransactionError {
    /// Another program holds the database: later.
    Busy,
    /// For good.
    Failed(rusqlite::Error),
    /// The write-ahead log cannot be watched: for good, too.
    Unwatched(io::Error),
}

impl From<rusqlite::Error> for TransactionError {
    fn from(error: rusqlite::Error) -> TransactionError {
        TransactionError::Failed(error)
    }
}

/// The writer's statements.
struct Transactions<'c> {
    written: &'c AtomicU64,
    /// Whether the last transaction gave the write-ahead log a number.
    has_numbered: bool,
    rows: WriteStatements<'c>,
    ownership: Ownership,
    begin: Statement<'c>,
    stored_fence: Statement<'c>,
    mark: Statement<'c>,
    keep: Statement<'c>,
    undo: Statement<'c>,
    probe: Statement<'c>,
    begin_log: Statement<'c>,
    write_first_page: Statement<'c>,
    count: Statement<'c>,
    commit: Statement<'c>,
    roll_back: Statement<'c>,
}

impl<'c> Transactions<'c> {
    fn prepare(
        connection: &'c Connection,
        ownership: Ownership,
        written: &'c AtomicU64,
    ) -> rusqlite::Result<Transactions<'c>> {
        Ok(Transactions {
            written,
            has_numbered: false,
            rows: WriteStatements::prepare(connection)?,
            ownership,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            stored_fence: connection.prepare("SELECT fence FROM meta")?,
            mark: connection.prepare("SAVEPOINT request")?,
            keep: connection.prepare("RELEASE request")?,
            undo: connection.prepare("ROLLBACK TO request")?,
            probe: connection.prepare("UPDATE meta SET probes = probes + 1")?,
            begin_log: connection.prepare(&log::begin())?,
            write_first_page: connection.prepare(log::WRITE_FIRST_PAGE)?,
            count: connection.prepare("UPDATE meta SET commits = ?1")?,
            commit: connection.prepare("COMMIT")?,
            roll_back: connection.prepare("ROLLBACK")?,
        })
    }

    /// One transaction for all `commands`; a savepoint for each, so that one that finds a conflict
    /// leaves its neighbours alone.
    fn write<'w>(
        &mut self,
        commands: impl Iterator<Item = &'w WriteCommand>,
        log: &mut LogWatch,
    ) -> Result<Vec<WriteAnswer>, TransactionError> {
        match self.begin.execute([]) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                return Err(TransactionError::Busy);
            }
            begun => begun?,
        };
        let fence: i64 = self.stored_fence.query_row([], |row| row.get(0))?;
        if fence != self.ownership.fence {
            self.roll_back.execute([])?;
            return Ok(commands.map(|_| WriteAnswer::OtherOwner).collect());
        }
        self.has_numbered = log.may_begin().map_err(TransactionError::Unwatched)?;
        if self.has_numbered {
            self.begin_log.execute([])?;
            self.write_first_page.execute([])?;
        }
        let mut answers = Vec::new();
        for command in commands {
            self.mark.execute([])?;
            let outcome = self.apply(command)?;
            if !matches!(outcome, WriteOutcome::Written) {
                self.undo.execute([])?;
            }
            self.keep.execute([])?;
            answers.push(WriteAnswer::Done(outcome));
        }
        let is_written = |answer| matches!(answer, &WriteAnswer::Done(WriteOutcome::Written));
        let commits = self.ownership.commits + i64::from(answers.iter().any(is_written));
        if commits > self.ownership.commits {
            self.count.execute([commits])?;
        }
        self.commit.execute([])?;
        self.ownership.commits = commits;
        self.written.fetch_add(1, Ordering::Relaxed);
        Ok(answers)
    }

    fn apply(&mut self, command: &WriteCommand) -> rusqlite::Result<WriteOutcome> {
        match command {
            WriteCommand::Claim(row) => self.rows.claim(row),
            WriteCommand::Commit(row) => self.rows.replace(row),
            WriteCommand::UpdateEvent(event) => self.rows.set_event(event),
            WriteCommand::AddUnmatched(both) => self.rows.add_unmatched(&both.0, &both.1),
            WriteCommand::Probe => self.probe.execute([]).map(|_| WriteOutcome::Written),
        }
    }

    /// Gives the write-ahead log, which another program began anew, its number.
    fn begin_log(&mut self) -> rusqlite::Result<()> {
        match self.begin_log.execute([]).and_then(|_| self.write_first_page.execute([])) {
            // Another program writes: what it wrote in the log is the database's all the same.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
            begun => begun.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::RecvTimeoutError;

    use super::super::files::DatabaseFile;
    use super::super::schema;
    use super::*;
    use crate::domain::time::Millis;
    use crate::store::StoreMode;

    /// A new store, and a connection to it that waits for nobody.
    fn opened() -> (tempfile::TempDir, DatabaseFile, Connection) {
        let home = tempfile::tempdir().unwrap();
        let file = DatabaseFile::find(&home.path().join("paygate.db")).unwrap();
        file.create(StoreMode::Mock).unwrap();
        let connection = file.open_for_writing().unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        (home, file, connection)
    }

    #[test]
    fn a_log_gets_no_number_while_another_program_writes_and_has_to_get_one_otherwise() {
        let (_home, file, connection) = opened();
        let ownership = schema::take(&connection, Millis(0)).unwrap();
        let written = AtomicU64::new(0);
        let mut transactions = Transactions::prepare(&connection, ownership, &written).unwrap();
        let other = file.open_for_writing().unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(transactions.begin_log(), Ok(()));
        other.execute_batch("COMMIT").unwrap();
        connection.execute_batch("PRAGMA query_only = ON").unwrap();
        assert!(transactions.begin_log().is_err());
    }

    #[test]
    fn a_write_that_meets_another_writer_can_be_repeated_and_one_that_fails_cannot() {
        let (_home, file, connection) = opened();
        let ownership = schema::take(&connection, Millis(0)).unwrap();
        let mut log = LogWatch::open(&file.beside("-wal"), &file.log_index()).unwrap();
        let written = AtomicU64::new(0);
        let mut transactions = Transactions::prepare(&connection, ownership, &written).unwrap();
        let mut write = || transactions.write([WriteCommand::Probe].iter(), &mut log);

        let other = file.open_for_writing().unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(matches!(write(), Err(TransactionError::Busy)));
        other.execute_batch("COMMIT").unwrap();
        let answers = write().ok().unwrap();
        assert!(matches!(answers[..], [WriteAnswer::Done(WriteOutcome::Written)]));
        assert_eq!(written.load(Ordering::Relaxed), 1);

        connection.execute_batch("PRAGMA query_only = ON").unwrap();
        assert!(matches!(write(), Err(TransactionError::Failed(_))));
    }

    fn request() -> WriteRequest {
        let (answer, _) = oneshot::channel();
        let _waiting = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        WriteRequest { command: WriteCommand::Probe, answer, _waiting }
    }

    #[test]
    fn one_transaction_takes_1024_requests_and_the_next_one_the_rest() {
        let (sender, queue) = std::sync::mpsc::channel();
        (0..=WAITING_MAX).for_each(|_| sender.send(request()).unwrap());
        let first = gather(&queue, queue.recv().unwrap(), 1, LINGER);
        assert_eq!(first.len(), WAITING_MAX);
        assert_eq!(gather(&queue, queue.recv().unwrap(), first.len(), LINGER).len(), 1);
    }

    #[test]
    fn a_transaction_waits_for_as_many_requests_as_the_last_one_had_and_for_no_more() {
        for (expected, late_ms) in [(1, 5_000), (2, 20)] {
            let (sender, queue) = std::sync::mpsc::channel();
            let (gathered, is_gathered) = std::sync::mpsc::channel::<()>();
            let late = std::thread::spawn(move || {
                let gathered = is_gathered.recv_timeout(Duration::from_millis(late_ms));
                if gathered == Err(RecvTimeoutError::Timeout) {
                    drop(sender.send(request()));
                }
            });
            let batch = gather(&queue, request(), expected, Duration::from_secs(60));
            drop(gathered);
            assert_eq!(batch.len(), expected);
            late.join().unwrap();
        }
    }
}

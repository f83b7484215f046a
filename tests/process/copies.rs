//! `paygate backup` and `paygate restore`.

use super::faults::code_url;
use super::{Program, TempDir, run, text};

const MOCK: [(&str, &str); 1] = [("PAYGATE_MODE", "mock")];

#[tokio::test]
async fn a_backup_is_made_while_orders_come_and_a_restore_brings_it_back() {
    let program = Program::start(TempDir::new().unwrap(), &[]).await;
    let home = program.home.path().to_owned();
    let before = code_url(&program.create("before-the-backup").await);
    let backup = run(&home, &["backup", "copy.db"], &MOCK);
    tokio::pin!(backup);
    let mut during = 0;
    let backup = loop {
        let no = format!("while-it-is-made-{during}");
        tokio::select! {
            backup = &mut backup => break backup,
            answer = program.create(&no) => drop(code_url(&answer)),
        }
        during += 1;
    };
    assert_eq!(backup.status.code(), Some(0), "{}", text(&backup.stderr));
    let said = text(&backup.stdout);
    assert!(said.starts_with("copy.db holds a copy of the store; orders: "), "{said}");
    code_url(&program.create("after-the-backup").await);

    let held = run(&home, &["restore", "copy.db"], &MOCK).await;
    assert_eq!(held.status.code(), Some(69));
    assert!(text(&held.stderr).contains("is held by process"), "{}", text(&held.stderr));

    program.signal("KILL").await;
    let home = program.killed().await;
    assert!(home.path().join("paygate-mock.db-wal").exists());
    let restored = run(home.path(), &["restore", "copy.db"], &MOCK).await;
    assert_eq!(restored.status.code(), Some(0), "{}", text(&restored.stderr));
    let said = text(&restored.stdout);
    assert!(said.starts_with("restored copy.db; orders: "), "{said}");
    assert!(said.contains("paygate-mock.db-before-"), "{said}");
    assert!(!home.path().join("paygate-mock.db-wal").exists(), "no old log is left");

    let program = Program::start(home, &[]).await;
    assert_eq!(code_url(&program.create("before-the-backup").await), before);
    code_url(&program.create("after-the-backup").await);
}

/// SQLite's lock, by which other programs know that they are not alone with the database: the last
/// one to close it would take the log away. A process that closes any file of a database gives it
/// up (fcntl(2), "record locks").
#[cfg(unix)]
#[tokio::test]
async fn no_other_program_can_have_the_database_of_a_running_paygate_for_itself() {
    use rustix::fs::{FlockOperation, fcntl_lock};

    let program = Program::start(TempDir::new().unwrap(), &[]).await;
    let database = program.home.path().join("paygate-mock.db");
    let database = std::fs::File::options().read(true).write(true).open(database).unwrap();
    let locked = fcntl_lock(&database, FlockOperation::NonBlockingLockExclusive);
    assert!(locked.is_err(), "paygate holds no lock on it");
    code_url(&program.create("beside-the-other").await);
}

#[tokio::test]
async fn the_commands_end_with_64_for_a_configuration_and_with_69_for_a_store() {
    let home = TempDir::new().unwrap();
    let cases = [
        (&["backup"][..], &MOCK[..], 64, "FILE"),
        (&["restore"], &MOCK, 64, "FILE"),
        (&["backup", "copy.db"], &[], 64, "PAYGATE_STORE"),
        (&["backup", "copy.db"], &[("PAYGATE_STORE", "postgres://db/paygate")], 64, "pg_dump"),
        (&["restore", "copy.db"], &[("PAYGATE_STORE", "postgres://db/paygate")], 64, "pg_dump"),
        (&["backup", "copy.db"], &MOCK, 69, "is not there"),
        (&["restore", "copy.db"], &MOCK, 69, "is not there"),
    ];
    for (arguments, variables, code, words) in cases {
        let ended = run(home.path(), arguments, variables).await;
        let stderr = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}

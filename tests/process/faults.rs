//! Disks and files that fail under the program: it sends nothing that is not durable, it names the
//! remedy, and after a restart every answered order is there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use paygate::store::{Sqlite, StoreMode};
use serde_json::{Value, json};

use super::{HANGS, Output, PROGRAM, Program, TempDir, ask, mock_mode, run, text};

const STORE: &str = "paygate-mock.db";

/// An answer's HTTP status and its body.
fn parse_answer(answer: &str) -> (u16, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head["HTTP/1.1 ".len()..][..3].parse().unwrap(), serde_json::from_str(body).unwrap())
}

pub(super) fn code_url(answer: &str) -> String {
    let (status, body) = parse_answer(answer);
    assert_eq!(status, 200, "{answer}");
    body["orderInfo"]["codeUrl"].as_str().unwrap().to_owned()
}

/// The numbers in the simulated providers' ledger, and how many calls created each.
async fn ledger(program: &Program) -> Vec<(String, u64)> {
    let providers = program.addresses["simulating WeChat Pay and Alipay"];
    let answer = ask(providers, "GET /_mock/ledger HTTP/1.1\r\n", "").await;
    let orders = parse_answer(&answer).1["orders"].as_array().unwrap().clone();
    let mut known: Vec<_> = orders
        .iter()
        .map(|order| {
            let no = order["out_trade_no"].as_str().unwrap().to_owned();
            (no, order["create_calls"].as_u64().unwrap())
        })
        .collect();
    known.sort();
    known
}

/// The program refuses orders, and is not ready.
async fn check_refuses(program: &Program, out_trade_no: &str) {
    let (status, body) = parse_answer(&program.create(out_trade_no).await);
    assert_eq!((status, &body["code"]), (503, &json!(5001)), "{body}");
    assert_eq!(program.ready().await, 503);
}

/// Builds the disk that fails, where there is a compiler for it.
async fn failing_disk(directory: &Path) -> Option<PathBuf> {
    library(directory, "failing_disk").await
}

/// Builds what `source` puts before the system's library, where there is a compiler for it.
pub(super) async fn library(directory: &Path, source: &str) -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: {source} is built for Linux");
        return None;
    }
    let library = directory.join(source).with_extension("so");
    let sources = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process"));
    let source = sources.join(source).with_extension("c");
    let compiled = tokio::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([library.as_os_str(), source.as_os_str()])
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(HANGS, compiled).await.expect("it compiles") {
        Ok(output) => {
            assert!(output.status.success(), "{}", text(&output.stderr));
            Some(library)
        }
        Err(error) => {
            eprintln!("skipped: no C compiler for the library ({error})");
            None
        }
    }
}

/// The disk fails between two orders: the write reached the kernel and not the disk, so that the
/// order may or may not be there after a restart.
#[tokio::test]
async fn a_disk_that_fails_keeps_every_order_from_the_providers_until_a_restart() {
    let faults = TempDir::new().unwrap();
    let Some(library) = failing_disk(faults.path()).await else { return };
    let preload = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAILING_DISK", faults.path().to_str().unwrap()),
    ];
    let [before, during, later] =
        ["2107151010101541001", "2107151010101541002", "2107151010101541003"];
    let mut program = Program::start(TempDir::new().unwrap(), &preload).await;
    let paid_with = code_url(&program.create(before).await);
    assert_eq!(program.ready().await, 200);

    let switch = faults.path().join("sync");
    File::create(&switch).unwrap();
    check_refuses(&program, during).await;
    fs::remove_file(&switch).unwrap();
    // What the disk holds is unknown until it is read again: a disk that works is not enough.
    check_refuses(&program, later).await;
    assert_eq!(ledger(&program).await, [(before.to_owned(), 1)]);
    program.until("the store failed before anything was sent").await;
    assert!(program.logged.contains("restart paygate"), "{}", program.logged);
    program.signal("KILL").await;

    let program = Program::start(program.killed().await, &[]).await;
    assert_eq!(program.ready().await, 200);
    assert_eq!(code_url(&program.create(before).await), paid_with);
    for no in [during, later] {
        code_url(&program.create(no).await);
    }
    let once = [before, during, later].map(|no| (no.to_owned(), 1));
    assert_eq!(ledger(&program).await, once);
}

/// There is no space, or a quota is used up.
#[tokio::test]
async fn after_a_disk_had_no_room_paygate_opens_the_store_anew_by_itself() {
    let faults = TempDir::new().unwrap();
    let Some(library) = failing_disk(faults.path()).await else { return };
    let preload = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAILING_DISK", faults.path().to_str().unwrap()),
    ];
    let [before, during, later] =
        ["2107151010101541001", "2107151010101541002", "2107151010101541003"];
    for fault in ["write", "quota"] {
        let mut program = Program::start(TempDir::new().unwrap(), &preload).await;
        let paid_with = code_url(&program.create(before).await);
        let switch = faults.path().join(fault);
        for _ in 0..2 {
            File::create(&switch).unwrap();
            check_refuses(&program, during).await;
            assert_eq!(ledger(&program).await, [(before.to_owned(), 1)], "{fault}");
            fs::remove_file(&switch).unwrap();
            program.until("the disk has room again: paygate opened the store anew").await;
            assert_eq!(program.ready().await, 200, "{fault}");
            assert_eq!(code_url(&program.create(before).await), paid_with, "{fault}");
        }
        for no in [during, later] {
            code_url(&program.create(no).await);
        }
        let once = [before, during, later].map(|no| (no.to_owned(), 1));
        assert_eq!(ledger(&program).await, once, "{fault}");
        program.signal("TERM").await;
        assert_eq!(program.ended().await.0.code(), Some(0), "{fault}");
    }
}

#[tokio::test]
async fn a_limit_of_the_size_of_files_is_a_disk_without_room() {
    let limited = ["/bin/sh", "-c", "ulimit -f 800; exec \"$0\" serve", PROGRAM];
    let program = Program::start_as(&limited, TempDir::new().unwrap(), &[]).await;
    let paid_with = code_url(&program.create("order-000").await);
    let mut numbers = (1..500).map(|n| format!("order-{n:03}"));
    let (status, body) = loop {
        let no = numbers.next().expect("the store reaches the limit");
        let (status, body) = parse_answer(&program.create(&no).await);
        if status != 200 {
            break (status, body);
        }
    };
    // Before or after the call to the provider.
    assert!(status == 503 && [json!(5001), json!(5002)].contains(&body["code"]), "{body}");
    assert_eq!(code_url(&program.create("order-000").await), paid_with);
    program.signal("TERM").await;
    assert_eq!(program.ended().await.0.code(), Some(0));
}

/// What a start would refuse, a store that is opened anew refuses, too.
#[tokio::test]
async fn a_store_that_was_replaced_while_its_disk_had_no_room_stays_closed() {
    let faults = TempDir::new().unwrap();
    let Some(library) = failing_disk(faults.path()).await else { return };
    let preload = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAILING_DISK", faults.path().to_str().unwrap()),
    ];
    let mut program = Program::start(TempDir::new().unwrap(), &preload).await;
    code_url(&program.create("2107151010101541001").await);
    let switch = faults.path().join("write");
    File::create(&switch).unwrap();
    check_refuses(&program, "2107151010101541002").await;
    fs::remove_file(program.home.path().join(STORE)).unwrap();
    fs::remove_file(&switch).unwrap();
    program.until("the store stays closed: restart paygate").await;
    // The first words, unless the file is removed in the middle of an attempt.
    let named = ["was removed or replaced", "only its -wal file is there"];
    assert!(named.iter().any(|words| program.logged.contains(words)), "{}", program.logged);
    check_refuses(&program, "2107151010101541003").await;
    assert!(!program.home.path().join(STORE).exists(), "no empty store is made");
}

/// An existing store or a new one: it is whole when the disk works again.
#[tokio::test]
async fn a_disk_that_fails_at_the_start_ends_it_with_69_and_spoils_nothing() {
    let faults = TempDir::new().unwrap();
    let Some(library) = failing_disk(faults.path()).await else { return };
    let mut variables = mock_mode();
    variables.insert("LD_PRELOAD", library.to_str().unwrap());
    variables.insert("FAILING_DISK", faults.path().to_str().unwrap());
    let variables: Vec<_> = variables.into_iter().collect();
    let no = "2107151010101541001";
    for fault in ["sync", "write"] {
        let home = TempDir::new().unwrap();
        let switch = faults.path().join(fault);
        File::create(&switch).unwrap();
        check_ends(&run(home.path(), &[], &variables).await, "cannot be used");
        assert!(!home.path().join(STORE).exists(), "{fault}: half a store");
        let program = Program::start(home, &[]).await;
        let paid_with = code_url(&program.create(no).await);
        program.signal("KILL").await;
        let home = program.killed().await;
        check_ends(&run(home.path(), &[], &variables).await, "check the disk");
        fs::remove_file(&switch).unwrap();
        let program = Program::start(home, &[]).await;
        assert_eq!(code_url(&program.create(no).await), paid_with, "{fault}");
    }
}

/// The program did not start, and named the store and the remedy.
fn check_ends(ended: &Output, remedy: &str) {
    let stderr = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains(remedy) && stderr.contains(STORE), "{remedy}: {stderr}");
    assert!(!stderr.contains("serving payments"), "{stderr}");
}

/// Each fault of a store at the start, and a part of the remedy's text.
#[tokio::test]
async fn a_store_that_cannot_be_used_ends_the_start_with_69_and_the_remedy() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil, &str); 7] = [
        ("of the other mode", |path| drop(Sqlite::open(path).unwrap()), "PAYGATE_MODE=live"),
        ("newer", |path| tamper(path, "PRAGMA user_version = 99"), "start that version"),
        ("without a table", |path| tamper(path, "DROP TABLE refunds"), "Restore its last copy"),
        ("truncated", truncate, "Restore its last copy"),
        ("no database", |path| fs::write(path, "shopping list").unwrap(), "Restore its last copy"),
        ("empty", |path| fs::write(path, "").unwrap(), "Restore its last copy"),
        ("read-only", read_only, "let paygate's user write it"),
    ];
    for (name, spoil, remedy) in cases {
        let home = TempDir::new().unwrap();
        let path = home.path().join(STORE);
        spoil(&path);
        let before = fs::read(&path).unwrap();
        let variables: Vec<_> = mock_mode().into_iter().collect();
        let ended = run(home.path(), &[], &variables).await;
        check_ends(&ended, remedy);
        assert!(fs::read(&path).unwrap() == before, "{name}: the file has changed");
    }
}

fn tamper(path: &Path, sql: &str) {
    drop(Sqlite::open_as(path, StoreMode::Mock).unwrap());
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn truncate(path: &Path) {
    drop(Sqlite::open_as(path, StoreMode::Mock).unwrap());
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn read_only(path: &Path) {
    drop(Sqlite::open_as(path, StoreMode::Mock).unwrap());
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions).unwrap();
}

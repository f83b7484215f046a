//! `paygate check`: whatever `serve` refuses it refuses, and it makes nothing.

use std::fs;
use std::path::Path;

use super::{CALLER, Program, TempDir, ask, mock_mode, run, text};

type Prepare = fn(&Path);

/// What is wrong, how it is made, the variables, the exit code, and a word of the message.
type Case = (&'static str, Prepare, &'static [(&'static str, &'static str)], i32, &'static str);

const CASES: [Case; 10] = [
    ("a log filter", |_| {}, &[("PAYGATE_LOG", "paygate=loud")], 64, "PAYGATE_LOG"),
    (
        "an upstream's path",
        |_| {},
        &[("PAYGATE_UPSTREAM", "http://127.0.0.1:1/x")],
        64,
        "PAYGATE_UPSTREAM",
    ),
    ("a secret", |_| {}, &[("PAYGATE_CALLER_TOKEN", "short")], 64, "PAYGATE_CALLER_TOKEN"),
    ("no directory", |_| {}, &[("PAYGATE_STORE", "sqlite:none/p.db")], 69, "directory is missing"),
    ("no store", |home| fs::write(home.join("p.db"), "milk").unwrap(), STORE, 69, "no SQLite file"),
    ("an empty file", |home| fs::write(home.join("p.db"), "").unwrap(), STORE, 69, "it is empty"),
    (
        "a lonely log",
        |home| fs::write(home.join("p.db-wal"), "").unwrap(),
        STORE,
        69,
        "only its -wal file is there",
    ),
    ("a lost store", |home| fs::write(home.join("p.db-lock"), LOCK).unwrap(), STORE, 69, "-lock"),
    (
        "a directory in the lock's place",
        |home| fs::create_dir(home.join("p.db-lock")).unwrap(),
        STORE,
        69,
        "p.db-lock",
    ),
    ("a directory", |home| fs::create_dir(home.join("p.db")).unwrap(), STORE, 69, "is a directory"),
];

const STORE: &[(&str, &str)] = &[("PAYGATE_STORE", "sqlite:p.db")];

/// Of a process that wrote three transactions.
const LOCK: &str = "4711                \n3                   \n";

fn names(home: &Path) -> Vec<String> {
    let files = fs::read_dir(home).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The exit code and the message, which a log may come before.
async fn refused(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let mut all = mock_mode();
    all.insert("PAYGATE_LOG_FORMAT", "text");
    all.extend(variables.iter().copied());
    let all: Vec<_> = all.into_iter().collect();
    let output = run(home, arguments, &all).await;
    let said = text(&output.stderr);
    let message = said.find("paygate: ").map_or("", |at| &said[at..]);
    (output.status.code().unwrap(), message.to_owned())
}

#[tokio::test]
async fn what_serve_refuses_check_refuses_in_the_same_words_and_makes_nothing() {
    for (name, prepare, variables, code, word) in CASES {
        let home = TempDir::new().unwrap();
        prepare(home.path());
        let before = names(home.path());
        let checked = refused(home.path(), &["check"], variables).await;
        assert_eq!(names(home.path()), before, "{name}: check made a file");
        assert_eq!(checked.0, code, "{name}: {}", checked.1);
        assert!(checked.1.contains(word), "{name}: {}", checked.1);
        let served = refused(home.path(), &[], variables).await;
        assert_eq!(served, checked, "{name}");
    }
}

#[tokio::test]
async fn check_passes_beside_the_process_that_has_the_store_and_before_there_is_one() {
    let home = TempDir::new().unwrap();
    let variables: Vec<_> = mock_mode().into_iter().collect();
    let output = run(home.path(), &["check"], &variables).await;
    assert_eq!((output.status.code(), names(home.path()).len()), (Some(0), 0));
    let program = Program::start(home, &[]).await;
    program.create("2107151010101541001").await;
    let output = run(program.home.path(), &["check"], &variables).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    program.create("2107151010101541002").await;
    assert_eq!(program.ready().await, 200);
}

#[tokio::test]
async fn check_leaves_a_store_without_its_log_as_it_is() {
    let program = Program::start(TempDir::new().unwrap(), &[]).await;
    program.create("2107151010101541001").await;
    program.signal("KILL").await;
    let home = program.killed().await;
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(home.path().join(format!("paygate-mock.db{suffix}"))).unwrap();
    }
    let before = names(home.path());
    for arguments in [&["check"][..], &[]] {
        let (code, message) = refused(home.path(), arguments, &[]).await;
        assert_eq!(code, 69, "{arguments:?}: {message}");
        assert!(message.contains("lacks orders that paygate wrote"), "{arguments:?}: {message}");
        if arguments == ["check"] {
            assert_eq!(names(home.path()), before);
        }
    }
}

#[tokio::test]
async fn check_lists_the_accounts_of_the_store_and_those_that_no_merchant_has() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("merchants.json"), r#"[{"_id":"001"}]"#).unwrap();
    let merchants = ("PAYGATE_MERCHANTS", "merchants.json");
    let program = Program::start(home, &[merchants]).await;
    program.create("2107151010101541001").await;
    let body = r#"{"provider": "alipay", "needQRcode": true, "data": {"pid": "001", "type": "goods",
        "out_trade_no": "2107151010101541002", "total_fee": 1, "subject": "tea"}}"#;
    let head = format!(
        "POST /pay/createPayment HTTP/1.1\r\nauthorization: Bearer {CALLER}\r\ncontent-type: \
         application/json\r\n"
    );
    let created = ask(program.public(), &head, body).await;
    assert!(created.contains(r#""code":0"#), "{created}");
    program.signal("TERM").await;
    let home = program.killed().await;
    let before = names(home.path());
    let printed = async |more: &[(&str, &str)]| {
        let mut variables = mock_mode();
        variables.extend(more.iter().copied());
        let output = run(home.path(), &["check"], &variables.into_iter().collect::<Vec<_>>()).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let printed = text(&output.stdout);
        let lines = printed.lines().filter(|line| line.starts_with("store: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let own = "store: pid default has orders of the wxpay_v3 account 1900000109";
    let other = "store: pid 001 has orders of the alipay account ";
    let all = printed(&[merchants]).await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[0].starts_with(other) && !all[0].contains(';'), "{all:?}");
    assert_eq!(all[1], own);
    let without = printed(&[]).await;
    let stranded = "; no merchant 001 is configured: paygate can neither query, close nor refund";
    assert!(without[0].starts_with(other) && without[0].contains(stranded), "{without:?}");
    assert_eq!(without[1], own);
    assert_eq!(names(home.path()), before, "check made a file");
}

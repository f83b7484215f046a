//! The log on standard error, and its reader.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::faults::{code_url, library};
use super::{ADMIN, HANGS, Program, TOKEN, TempDir, ask, command, timeout};

const DEAD: (&str, &str) = ("PAYGATE_UPSTREAM", "http://127.0.0.1:1");

/// Standard error is a pipe of 64 KiB, and nobody reads it after the start.
#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing_and_what_is_lost_is_counted() {
    let variables = [DEAD, ("PAYGATE_LOG", "trace")];
    let mut program = Program::start(TempDir::new().unwrap(), &variables).await;
    // More lines than wait for a reader.
    for n in 0..2_000 {
        let answer = ask(program.public(), &format!("GET /{n} HTTP/1.1\r\n"), "").await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
    code_url(&program.create("2107151010101541001").await);
    assert_eq!(program.ready().await, 200);
    let metrics = ask(program.addresses[ADMIN], "GET /metrics HTTP/1.1\r\n", "").await;
    let lost = metrics.lines().find_map(|it| it.strip_prefix("paygate_log_lines_dropped_total "));
    assert!(lost.unwrap().parse::<u64>().unwrap() > 0, "{metrics}");
    program.signal("TERM").await;
    let ended = timeout(HANGS, program.child.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn a_log_that_goes_to_no_terminal_is_json() {
    let variables = [("PAYGATE_LOG_FORMAT", "auto")];
    let program = Program::start(TempDir::new().unwrap(), &variables).await;
    program.signal("TERM").await;
    let (_, log) = program.ended().await;
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
}

/// The program's main thread panics when it stops.
struct Panicking {
    faults: TempDir,
    program: Program,
}

impl Panicking {
    /// None without a C compiler.
    async fn start(variable: (&str, &str)) -> Option<Panicking> {
        let faults = TempDir::new().unwrap();
        let clock = library(faults.path(), "failing_clock").await?;
        let switch = faults.path().join("clock");
        let variables = [
            ("LD_PRELOAD", clock.to_str().unwrap()),
            ("FAILING_CLOCK", switch.to_str().unwrap()),
            variable,
        ];
        let program = Program::start(TempDir::new().unwrap(), &variables).await;
        Some(Panicking { faults, program })
    }

    async fn stop(&self) {
        File::create(self.faults.path().join("clock")).unwrap();
        self.program.signal("TERM").await;
    }
}

#[tokio::test]
async fn the_message_of_a_panic_is_the_last_line_of_the_log_and_the_program_exits_with_70() {
    let Some(panicking) = Panicking::start(DEAD).await else { return };
    panicking.stop().await;
    let (ended, log) = panicking.program.ended().await;
    assert_eq!(ended.code(), Some(70), "{log}");
    let last = log.lines().last().unwrap();
    assert!(last.contains("a thread panicked") && last.contains("Result::unwrap"), "{log}");
}

#[tokio::test]
async fn a_panic_ends_the_program_although_nobody_reads_the_log() {
    let Some(mut panicking) = Panicking::start(DEAD).await else { return };
    // The pipe is full, and the thread that writes the log waits for its reader.
    for n in 0..1_000 {
        ask(panicking.program.public(), &format!("GET /{n} HTTP/1.1\r\n"), "").await;
    }
    panicking.stop().await;
    let ended = timeout(HANGS, panicking.program.child.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(70));
}

#[tokio::test]
async fn an_error_of_the_arguments_or_the_configuration_ends_the_program_although_nobody_reads_it()
{
    for arguments in [&[][..], &["sreve"], &["help", "erors"]] {
        let (mut full, _reader) = UnixStream::pair().unwrap();
        full.set_nonblocking(true).unwrap();
        while full.write(&[b'x'; 4096]).is_ok() {}
        full.set_nonblocking(false).unwrap();
        let home = TempDir::new().unwrap();
        let mut child =
            command(home.path(), arguments, &[]).stderr(OwnedFd::from(full)).spawn().unwrap();
        let ended = timeout(HANGS, child.wait()).await.expect("it ends").unwrap();
        assert_eq!(ended.code(), Some(64), "{arguments:?}");
    }
}

#[tokio::test]
async fn an_operator_reads_in_the_log_what_became_of_an_order_and_who_asked_for_it() {
    const ORDER: &str = "2107151010101541009";
    let variables = [("PAYGATE_LOG", "debug"), ("PAYGATE_ADMIN_TOKEN", TOKEN)];
    let mut program = Program::start(TempDir::new().unwrap(), &variables).await;
    code_url(&program.create(ORDER).await);
    code_url(&program.create(ORDER).await);
    program.pay(ORDER).await;
    program.until("a buyer paid an order").await;
    program.until(PARKED).await;
    let refund = format!(r#"{{"out_trade_no":"{ORDER}","out_refund_no":"r-0000001"}}"#);
    let admin = program.addresses[ADMIN];
    let json = "content-type: application/json\r\n";
    for (token, status) in [("wrong", 401), ("wrong", 401), (TOKEN, 200)] {
        let head = format!(
            "POST /pay/refund HTTP/1.1\r\nx-request-id: by-hand\r\n\
             authorization: Bearer {token}\r\n{json}"
        );
        let answer = ask(admin, &head, &refund).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    program.until("a provider refunded a buyer").await;
    program.signal("TERM").await;
    let (_, log) = program.ended().await;
    let all: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rejected = all.iter().filter(|it| it["message"] == REJECTED).collect::<Vec<_>>();
    assert_eq!(rejected.len(), 1, "once a minute: {log}");
    assert_eq!((&rejected[0]["from"], &rejected[0]["count"]), (&json!("127.0.0.1"), &json!(1)));

    let about = all.iter().filter(|line| line["out_trade_no"] == ORDER);
    let about = about.filter(|line| line["level"] != "DEBUG" || line["message"] == REPEATED);
    let read: Vec<_> = about.map(|it| (&it["level"], &it["message"], &it["operation"])).collect();
    let expected = json!([
        ["INFO", "paygate opened a payment", "createPayment"],
        ["DEBUG", REPEATED, "createPayment"],
        ["INFO", "a buyer paid an order", "notify"],
        ["ERROR", PARKED, null],
        ["INFO", "an operator requests a refund", "refund"],
    ]);
    assert_eq!(json!(read[..5]), expected, "{log}");
    let by_hand = |message| {
        let line = all.iter().find(|line| line["message"] == message).unwrap();
        (&line["requestId"], &line["from"], &line["pid"], &line["refund_fee"])
    };
    let wanted = by_hand("an operator requests a refund");
    assert_eq!((wanted.0, wanted.1), (&json!("by-hand"), &json!("127.0.0.1")), "{log}");
    assert_eq!(by_hand("a provider refunded a buyer").3, &json!(1), "{log}");
    let paid = all.iter().find(|line| line["message"] == "a buyer paid an order").unwrap();
    let account = (&paid["provider"], &paid["pid"], &paid["event"], &paid["paid_fee"]);
    let wanted = (&json!("wxpay"), &json!("default"), &json!("payment.succeeded"), &json!(1));
    assert_eq!(account, wanted, "{paid}");
    assert!(paid["requestId"].is_string(), "{paid}");
}

const REPEATED: &str = "paygate answered a repeated request from memory";
const PARKED: &str = "paygate parked an event: the shop has to get it some other way";
const REJECTED: &str = "paygate refused operators without the admin token";

//! The program itself, started as a user starts it: variables in, exit code and output out.
//!
//! Every program runs in an empty directory with no variables but the given ones, on ports that
//! the operating system picks; it logs them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

mod alerts;
#[path = "../it/manual/blocks.rs"]
mod blocks;
mod check;
mod copies;
mod edge;
mod faults;
mod incidents;
mod log;
mod mock;
#[cfg(unix)]
mod restart;
mod snippets;
mod walk;

/// A program that takes longer than this for anything hangs.
const HANGS: Duration = Duration::from_secs(60);

const PROGRAM: &str = env!("CARGO_BIN_EXE_paygate");

const TOKEN: &str = "canary-admin-token-of-more-than-32-characters";
const CALLER: &str = "canary-caller-token-of-more-than-32-characters";

#[tokio::test]
async fn without_variables_it_shows_both_ways_to_start() {
    let home = TempDir::new().unwrap();
    let output = run(home.path(), &[], &[]).await;
    assert_eq!(output.status.code(), Some(64));
    let stderr = text(&output.stderr);
    for words in ["PAYGATE_MODE=mock", "PAYGATE_PUBLIC_URL", "PAYGATE_STORE", "PAYGATE_PRICING"] {
        assert!(stderr.contains(words), "{stderr}");
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing was created");
}

#[tokio::test]
async fn help_names_every_variable_and_an_unknown_command_is_64() {
    let home = TempDir::new().unwrap();
    let help = run(home.path(), &["--help"], &[]).await;
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("PAYGATE_SHUTDOWN_GRACE"));
    let unknown = run(home.path(), &["sreve"], &[]).await;
    assert_eq!(unknown.status.code(), Some(64));
}

#[tokio::test]
async fn help_lists_the_chapters_and_prints_one() {
    let home = TempDir::new().unwrap();
    let list = run(home.path(), &["help"], &[]).await;
    assert_eq!(list.status.code(), Some(0));
    for chapter in paygate::manual::chapters() {
        assert!(text(&list.stdout).contains(&format!("\n  {} ", chapter.name)), "{}", chapter.name);
        let printed = run(home.path(), &["help", chapter.name], &[]).await;
        let printed = text(&printed.stdout);
        assert_eq!(printed.lines().next(), chapter.text.lines().next());
        // Marks of generated tables and targets of links are for browsers.
        assert!(!printed.contains("\n<!--") && !printed.contains(".md\n"), "{}", chapter.name);
    }
}

#[tokio::test]
async fn an_unknown_chapter_is_64_with_the_nearest_name() {
    let home = TempDir::new().unwrap();
    let unknown = run(home.path(), &["help", "erors"], &[]).await;
    assert_eq!(unknown.status.code(), Some(64));
    assert_eq!(unknown.stdout, b"");
    assert!(text(&unknown.stderr).contains("did you mean errors?"), "{}", text(&unknown.stderr));
}

#[tokio::test]
async fn a_reader_may_close_its_end_of_what_is_printed() {
    let home = TempDir::new().unwrap();
    let printing = ["help configuration", "schema create-payment", "check", "mock --print-env"];
    for arguments in printing {
        // `true` reads nothing; the status is the program's.
        let line = format!("set -o pipefail; '{PROGRAM}' {arguments} | true");
        let mut shell = Command::new("bash");
        shell.args(["-c", &line]).current_dir(home.path()).env("PAYGATE_MODE", "mock");
        let output = timeout(HANGS, shell.output()).await.expect("it ends").unwrap();
        assert_eq!(text(&output.stderr), "", "{arguments}");
        assert_eq!(output.status.code(), Some(0), "{arguments}");
    }
}

#[tokio::test]
async fn it_serves_and_ends_on_sigterm() {
    let program = Program::start(TempDir::new().unwrap(), &[]).await;
    assert_eq!(program.ready().await, 200);
    assert_eq!(program.health().await.code(), Some(0));
    // Its terminal closes: that ends nothing.
    program.signal("HUP").await;
    let answer = program.create("no-2107151010101541001").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"code\":0"), "{answer}");
    program.signal("TERM").await;
    let (ended, _) = program.ended().await;
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn a_request_in_flight_outlives_the_signal() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let mut program = Program::start(TempDir::new().unwrap(), &[("PAYGATE_UPSTREAM", &url)]).await;
    let mut client = TcpStream::connect(program.public()).await.unwrap();
    client.write_all(b"GET /slow HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    let mut served = BufReader::new(upstream.accept().await.unwrap().0);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        served.read_line(&mut line).await.unwrap();
    }
    program.signal("TERM").await;
    program.until("stopping").await;
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
    served.get_mut().write_all(response).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("done"), "{answer}");
    assert_eq!(program.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn an_address_in_use_is_named_with_its_variable_and_exits_69() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for variable in ["PAYGATE_LISTEN", "PAYGATE_ADMIN_LISTEN", "PAYGATE_MOCK_LISTEN"] {
        let home = TempDir::new().unwrap();
        let mut variables = mock_mode();
        variables.insert(variable, &addr);
        let output = run(home.path(), &[], &variables.into_iter().collect::<Vec<_>>()).await;
        assert_eq!(output.status.code(), Some(69), "{variable}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(variable) && stderr.contains(&addr), "{stderr}");
    }
}

#[tokio::test]
async fn a_store_has_one_process_and_outlives_kill_9() {
    let first = Program::start(TempDir::new().unwrap(), &[]).await;
    let created = first.create("no-2107151010101541002").await;
    let variables: Vec<_> = mock_mode().into_iter().collect();
    let second = run(first.home.path(), &[], &variables).await;
    assert_eq!(second.status.code(), Some(69), "{}", text(&second.stderr));

    first.signal("KILL").await;
    let home = first.killed().await;
    let again = Program::start(home, &[]).await;
    let replayed = again.create("no-2107151010101541002").await;
    assert!(replayed.to_lowercase().contains("idempotent-replayed: true"), "{replayed}");
    let material = |answer: &str| {
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str::<serde_json::Value>(body).unwrap()["orderInfo"]["codeUrl"].clone()
    };
    assert!(material(&created).is_string(), "{created}");
    assert_eq!(material(&created), material(&replayed));
    again.signal("TERM").await;
    assert_eq!(again.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn two_hundred_first_requests_at_once_are_one_order_at_the_provider() {
    let program = Program::start(TempDir::new().unwrap(), &[]).await;
    let answers = (0..200).map(|_| program.create("no-2107151010101541003"));
    for answer in futures_util::future::join_all(answers).await {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let providers = program.addresses["simulating WeChat Pay and Alipay"];
    let ledger = ask(providers, "GET /_mock/ledger HTTP/1.1\r\n", "").await;
    let ledger = ledger.split_once("\r\n\r\n").unwrap().1;
    let ledger: serde_json::Value = serde_json::from_str(ledger).unwrap();
    let orders = ledger["orders"].as_array().unwrap();
    let counts: Vec<_> =
        orders.iter().map(|order| order["create_calls"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1], "{ledger}");
}

#[tokio::test]
async fn in_a_container_mock_mode_listens_everywhere_and_payments_work() {
    let everywhere = [("PAYGATE_LISTEN", "0.0.0.0:0"), ("PAYGATE_MOCK_EXPOSE", "true")];
    let mut program = Program::start(TempDir::new().unwrap(), &everywhere).await;
    let port = program.public().port();
    let local = SocketAddr::from(([127, 0, 0, 1], port));
    program.addresses.insert("serving payments".to_owned(), local);
    let answer = program.create("no-2107151010101541004").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn health_exits_1_without_an_answer_and_64_without_an_address() {
    let home = TempDir::new().unwrap();
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let unanswered = run(home.path(), &["health"], &[("PAYGATE_ADMIN_LISTEN", &unused)]).await;
    assert_eq!(unanswered.status.code(), Some(1));
    let off = run(home.path(), &["health"], &[("PAYGATE_ADMIN_LISTEN", "off")]).await;
    assert_eq!(off.status.code(), Some(64));
}

#[tokio::test]
async fn no_secret_is_in_any_output() {
    let secrets = [
        ("PAYGATE_ADMIN_TOKEN", TOKEN),
        ("PAYGATE_PRICING", "trusted"),
        ("PAYGATE_CALLER_TOKEN", CALLER),
        ("PAYGATE_LOG", "trace"),
    ];
    let program = Program::start(TempDir::new().unwrap(), &secrets).await;
    let answer = program.create("no-2107151010101541003").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    program.signal("TERM").await;
    let (_, log) = program.ended().await;

    let home = TempDir::new().unwrap();
    let mut variables = mock_mode();
    variables.extend(secrets);
    let variables: Vec<_> = variables.into_iter().collect();
    let checked = run(home.path(), &["check"], &variables).await;
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    for output in [log, text(&checked.stdout), text(&checked.stderr)] {
        assert!(!output.contains("canary"), "{output}");
    }
}

// ---- the program ----

fn mock_mode() -> HashMap<&'static str, &'static str> {
    HashMap::from([
        ("PAYGATE_MODE", "mock"),
        ("PAYGATE_LISTEN", "127.0.0.1:0"),
        ("PAYGATE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("PAYGATE_MOCK_LISTEN", "127.0.0.1:0"),
        ("PAYGATE_LOG_FORMAT", "json"),
    ])
}

fn command(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let line: Vec<&str> = std::iter::once(PROGRAM).chain(arguments.iter().copied()).collect();
    command_line(&line, home, variables)
}

fn command_line(line: &[&str], home: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(line[0]);
    command
        .args(&line[1..])
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(home)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs the program to its end.
async fn run(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let output = command(home, arguments, variables).output();
    timeout(HANGS, output).await.expect("it ends by itself").unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running sidecar in mock mode.
struct Program {
    home: TempDir,
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Every line of the log until now.
    logged: String,
    /// By the log message that holds them.
    addresses: HashMap<String, SocketAddr>,
}

impl Program {
    /// Starts it and waits until it serves.
    async fn start(home: TempDir, variables: &[(&str, &str)]) -> Program {
        Program::start_as(&[PROGRAM], home, variables).await
    }

    /// Starts it by a command line.
    async fn start_as(line: &[&str], home: TempDir, variables: &[(&str, &str)]) -> Program {
        let mut all: HashMap<&str, &str> = mock_mode();
        all.extend(variables.iter().copied());
        let all: Vec<_> = all.into_iter().collect();
        let mut child = command_line(line, home.path(), &all)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let addresses = HashMap::new();
        let mut program = Program { home, child, log, logged: String::new(), addresses };
        program.until(ADMIN).await;
        program
    }

    /// Reads the log up to a message, and the addresses on the way.
    async fn until(&mut self, message: &str) {
        loop {
            let line = timeout(HANGS, self.log.next_line()).await.expect("it goes on").unwrap();
            let line =
                line.unwrap_or_else(|| panic!("it ended before {message:?}:\n{}", self.logged));
            self.logged += &format!("{line}\n");
            let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            let logged = event["message"].as_str().unwrap_or_default();
            if let Some(addr) = event["addr"].as_str().and_then(|addr| addr.parse().ok()) {
                self.addresses.insert(logged.to_owned(), addr);
            }
            if logged == message {
                return;
            }
        }
    }

    fn public(&self) -> SocketAddr {
        self.addresses["serving payments"]
    }

    /// The status of `/readyz`.
    async fn ready(&self) -> u16 {
        let answer = ask(self.addresses[ADMIN], "GET /readyz HTTP/1.1\r\n", "").await;
        answer["HTTP/1.1 ".len()..][..3].parse().unwrap()
    }

    /// The exit code of `paygate health`.
    async fn health(&self) -> ExitStatus {
        let admin = self.addresses[ADMIN].to_string();
        run(self.home.path(), &["health"], &[("PAYGATE_ADMIN_LISTEN", &admin)]).await.status
    }

    /// The answer to a payment by QR code.
    async fn create(&self, out_trade_no: &str) -> String {
        self.create_by("wxpay", out_trade_no).await
    }

    async fn create_by(&self, provider: &str, out_trade_no: &str) -> String {
        let body = serde_json::json!({
            "provider": provider,
            "needQRcode": true,
            "data": {
                "out_trade_no": out_trade_no, "total_fee": 1, "subject": "tea", "type": "goods"
            },
        });
        let head = format!(
            "POST /pay/createPayment HTTP/1.1\r\nauthorization: Bearer {CALLER}\r\n\
             content-type: application/json\r\n"
        );
        ask(self.public(), &head, &body.to_string()).await
    }

    /// Sends it a signal.
    async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs");
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().await;
        assert!(sent.unwrap().success());
    }

    /// Waits for its end: the exit code, and the whole log.
    async fn ended(mut self) -> (ExitStatus, String) {
        while let Some(line) = timeout(HANGS, self.log.next_line()).await.expect("it ends").unwrap()
        {
            self.logged += &format!("{line}\n");
        }
        (self.child.wait().await.unwrap(), self.logged)
    }

    /// Waits for its end, and gives its directory to another one.
    async fn killed(mut self) -> TempDir {
        timeout(HANGS, self.child.wait()).await.expect("it is killed").unwrap();
        self.home
    }
}

/// The last message of a start.
const ADMIN: &str = "serving health and admin";

/// One request on a connection of its own: the whole answer.
async fn ask(addr: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let length = body.len();
    let request = format!(
        "{head}host: {addr}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

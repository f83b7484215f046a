//! The alerts that a group robot, or another endpoint, gets.

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::faults::code_url;
use super::{
    AsyncReadExt, AsyncWriteExt, BufReader, HANGS, Program, SocketAddr, TcpListener, TempDir,
    mock_mode, run, text, timeout,
};
use tokio::io::AsyncBufReadExt;

const ORDER: &str = "2107151010101541001";

/// A receiver that answers each request with the next of its answers, and with the last of them
/// from then on.
pub(super) struct Robot {
    addr: SocketAddr,
    received: mpsc::UnboundedReceiver<(String, Value)>,
    _running: JoinSet<()>,
}

impl Robot {
    /// One that answers with status 200 and these bodies.
    pub(super) async fn start(bodies: &'static [&'static str]) -> Robot {
        Robot::start_with("200 OK", bodies).await
    }

    pub(super) async fn start_with(status: &'static str, bodies: &'static [&'static str]) -> Robot {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let mut running = JoinSet::new();
        running.spawn(async move {
            for n in 0.. {
                let mut stream = BufReader::new(listener.accept().await.unwrap().0);
                let (mut head, mut line) = (String::new(), String::new());
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).await.unwrap();
                    head += &line.to_lowercase();
                }
                let length = head.split("content-length: ").nth(1).unwrap();
                let length = length.lines().next().unwrap().parse().unwrap();
                let mut received = vec![0; length];
                stream.read_exact(&mut received).await.unwrap();
                let body = bodies.get(n).or(bodies.last()).unwrap();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                sender.send((target, serde_json::from_slice(&received).unwrap())).unwrap();
            }
        });
        Robot { addr, received, _running: running }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/robot?key=canary-key", self.addr)
    }

    /// The target and the body of the next request.
    pub(super) async fn next(&mut self) -> (String, Value) {
        timeout(HANGS, self.received.recv()).await.expect("an alert comes").unwrap()
    }
}

#[tokio::test]
async fn an_operators_group_gets_a_parked_event_with_its_order_and_what_to_look_for() {
    let mut robot = Robot::start(&["", "{}"]).await;
    let url = robot.url();
    // The alert does not depend on what the log lets pass.
    let variables = [("PAYGATE_ALERT_URL", url.as_str()), ("PAYGATE_LOG", "off,paygate=info")];
    let program = Program::start(TempDir::new().unwrap(), &variables).await;
    code_url(&program.create(ORDER).await);
    program.pay(ORDER).await;
    let (target, alert) = robot.next().await;
    assert_eq!(target, "/robot?key=canary-key");
    let parked = "paygate parked an event: the shop has to get it some other way";
    assert_eq!((&alert["message"], &alert["count"]), (&json!(parked), &json!(1)), "{alert}");
    let line = &alert["lines"][0];
    assert_eq!(line["out_trade_no"], ORDER, "{alert}");
    assert_eq!((&line["provider"], &line["pid"]), (&json!("wxpay"), &json!("default")), "{line}");
    assert_eq!(
        (&line["event"], &alert["source"]),
        (&json!("payment.succeeded"), &json!("paygate"))
    );
    let shown = alert["text"].as_str().unwrap();
    assert!(
        shown.starts_with(&format!("[paygate] {parked}\n")) && shown.contains(ORDER),
        "{shown}"
    );
    assert!(shown.contains("/pay (mock)\n"), "{shown}");
    program.signal("TERM").await;
    let (ended, log) = program.ended().await;
    assert_eq!(ended.code(), Some(0));
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn a_robot_that_refuses_is_in_the_log_and_gets_the_alert_again() {
    const REFUSED: &str = r#"{"errcode":310000,"errmsg":"sign not match"}"#;
    let mut robot = Robot::start(&[REFUSED, r#"{"errcode":0,"errmsg":"ok"}"#]).await;
    let url = robot.url();
    let variables = [
        ("PAYGATE_ALERT_URL", url.as_str()),
        ("PAYGATE_ALERT_FORMAT", "dingtalk"),
        ("PAYGATE_ALERT_SECRET", "SEC-canary"),
    ];
    let mut program = Program::start(TempDir::new().unwrap(), &variables).await;
    code_url(&program.create(ORDER).await);
    program.pay(ORDER).await;
    let (target, first) = robot.next().await;
    assert!(target.starts_with("/robot?key=canary-key&timestamp="), "{target}");
    assert!(target.contains("&sign="), "{target}");
    assert!(first["text"]["content"].as_str().unwrap().contains(ORDER), "{first}");
    program.until("an alert was not delivered").await;
    assert!(program.logged.contains("DingTalk answered 310000 sign not match"));
    assert_eq!(robot.next().await.1, first);
    program.signal("TERM").await;
    let (_, log) = program.ended().await;
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn a_start_that_fails_is_an_alert_and_in_json_a_line_of_the_log() {
    let mut robot = Robot::start(&[r#"{"code":0}"#]).await;
    let url = robot.url();
    let first = Program::start(TempDir::new().unwrap(), &[]).await;
    let mut variables = mock_mode();
    variables.extend([("PAYGATE_ALERT_URL", url.as_str()), ("PAYGATE_ALERT_FORMAT", "feishu")]);
    let variables: Vec<_> = variables.into_iter().collect();
    let second = run(first.home.path(), &[], &variables).await;
    assert_eq!(second.status.code(), Some(69));
    let log = text(&second.stderr);
    let line: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let shown = (&line["level"], &line["message"], &line["code"]);
    assert_eq!(shown, (&json!("ERROR"), &json!("paygate exits"), &json!(69)), "{line}");
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("one process owns a store"), "{reason}");
    let alert = robot.next().await.1;
    let alert = alert["content"]["text"].as_str().unwrap();
    assert!(alert.starts_with("[paygate] paygate exits\n") && alert.contains(reason), "{alert}");
}

#[tokio::test]
async fn an_operator_sends_a_test_and_reads_what_the_receiver_answered() {
    let home = TempDir::new().unwrap();
    let unset = run(home.path(), &["test-alert"], &[]).await;
    assert_eq!(unset.status.code(), Some(64));
    assert!(text(&unset.stderr).contains("PAYGATE_ALERT_URL"), "{}", text(&unset.stderr));
    const REFUSED: &str = r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#;
    let mut robot = Robot::start(&[REFUSED, r#"{"errcode":0}"#]).await;
    let url = robot.url();
    let variables = [("PAYGATE_ALERT_URL", url.as_str()), ("PAYGATE_ALERT_FORMAT", "wecom")];
    let tested = run(home.path(), &["test-alert"], &variables).await;
    assert_eq!(tested.status.code(), Some(69));
    let answer = "paygate: WeCom answered 93000 invalid webhook url\n";
    assert_eq!(text(&tested.stderr), answer);
    let tested = run(home.path(), &["test-alert"], &variables).await;
    assert_eq!(
        (tested.status.code(), text(&tested.stdout).as_str()),
        (Some(0), "WeCom took the alert\n")
    );
    let sent = robot.next().await.1;
    assert!(sent["text"]["content"].as_str().unwrap().starts_with("[paygate] this is a test"));
}

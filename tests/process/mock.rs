//! `paygate mock`: what another program configures to use it, and how mock mode starts over; and
//! the cashier of the sidecar, which knows the shop's events.

use std::path::PathBuf;

use paygate::mock::keys;
use paygate::store::{Sqlite, StoreMode};
use serde_json::{Value, json};

use super::*;

/// The JSON in the body of an answer.
fn json_of(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

impl Program {
    fn providers(&self) -> SocketAddr {
        self.addresses["simulating WeChat Pay and Alipay"]
    }

    /// Asks for one of the mock's own operations.
    pub(super) async fn mock(&self, method: &str, path: &str, body: &Value) -> Value {
        let head = format!("{method} /_mock/{path} HTTP/1.1\r\ncontent-type: application/json\r\n");
        json_of(&ask(self.providers(), &head, &body.to_string()).await)
    }

    /// A buyer pays the WeChat Pay order, and returns the payment's number.
    pub(super) async fn pay(&self, out_trade_no: &str) -> String {
        let purchase = json!({ "provider": "wxpay", "out_trade_no": out_trade_no });
        let order = self.mock("POST", "pay", &purchase).await;
        order["transaction_id"].as_str().unwrap().to_owned()
    }

    /// The only event of a payment, as soon as it is as `wanted`.
    pub(super) async fn event(
        &self,
        transaction_id: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let path = format!("events?provider=wxpay&transaction_id={transaction_id}");
        let found = async {
            loop {
                let mut answer = self.mock("GET", &path, &Value::Null).await;
                match answer["events"].as_array().map(Vec::len) {
                    Some(1) if wanted(&answer["events"][0]) => return answer["events"][0].take(),
                    Some(0 | 1) => tokio::task::yield_now().await,
                    _ => panic!("{answer}"),
                }
            }
        };
        timeout(HANGS, found).await.expect("the event comes")
    }
}

#[tokio::test]
async fn the_cashier_of_the_sidecar_shows_the_shops_event_with_its_answer() {
    let shop = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", shop.local_addr().unwrap());
    let webhook = [
        ("PAYGATE_WEBHOOK_URL", url.as_str()),
        ("PAYGATE_WEBHOOK_SECRET", "whsec_cGF5Z2F0ZS1wcm9jZXNzLXRlc3Qtc2VjcmV0"),
    ];
    let program = Program::start(TempDir::new().unwrap(), &webhook).await;
    program.create("no-2107151010101541001").await;
    let transaction_id = program.pay("no-2107151010101541001").await;
    for response in [
        "HTTP/1.1 500 Busy\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbusy",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    ] {
        let (mut stream, _) = timeout(HANGS, shop.accept()).await.expect("it comes").unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        stream.write_all(response.as_bytes()).await.unwrap();
        if response.contains("500") {
            let refused = program.event(&transaction_id, |event| event["tries"] == 1).await;
            assert_eq!(refused["state"], "pending", "{refused}");
            let refusal = refused["deliveries"][0]["refusal"].as_str().unwrap();
            assert!(refusal.contains("500"), "{refused}");
        }
    }
    let event = program.event(&transaction_id, |event| event["state"] == "accepted").await;
    assert_eq!(event["type"], "payment.succeeded");
    assert_eq!(event["out_trade_no"], "no-2107151010101541001");
    assert_eq!(event["deliveries"].as_array().unwrap().len(), 2, "{event}");
    assert_eq!(event["deliveries"][1]["refusal"], Value::Null);
}

#[tokio::test]
async fn without_a_webhook_the_cashier_shows_that_the_event_is_parked() {
    let program = Program::start(TempDir::new().unwrap(), &[]).await;
    program.create("no-2107151010101541001").await;
    let transaction_id = program.pay("no-2107151010101541001").await;
    let event = program.event(&transaction_id, |event| event["state"] == "parked").await;
    assert_eq!(event["deliveries"], json!([]));
}

// ---- starting over ----

async fn reset(home: &Path, variables: &[(&str, &str)]) -> Output {
    run(home, &["mock", "--reset"], variables).await
}

/// The files of a directory without those that SQLite makes when it reads a database.
fn own_files(home: &Path) -> Vec<String> {
    let made = |name: &str| ["-lock", "-wal", "-shm"].iter().any(|end| name.ends_with(end));
    files(home).into_iter().filter(|name| !made(name)).collect()
}

fn files(home: &Path) -> Vec<String> {
    let entries = home.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn after_a_reset_mock_mode_starts_over() {
    let first = Program::start(TempDir::new().unwrap(), &[]).await;
    first.create("no-2107151010101541001").await;
    let held = reset(first.home.path(), &[]).await;
    assert_eq!(held.status.code(), Some(69), "{}", text(&held.stderr));
    assert!(text(&held.stderr).contains("is held by process"), "{}", text(&held.stderr));
    first.signal("KILL").await;
    let home = first.killed().await;
    assert!(files(home.path()).contains(&"paygate-mock.db-ledger.json".to_owned()));
    assert!(files(home.path()).contains(&"paygate-mock.db-wal".to_owned()));
    std::fs::write(home.path().join("paygate-mock.db.copy"), "a person's own").unwrap();
    let output = reset(home.path(), &[("PAYGATE_MODE", "mock")]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for name in ["paygate-mock.db-ledger.json", "paygate-mock.db-wal", "paygate-mock.db\n"] {
        assert!(text(&output.stdout).contains(name), "{}", text(&output.stdout));
    }
    assert_eq!(files(home.path()), ["paygate-mock.db-lock", "paygate-mock.db.copy"]);
    let again = reset(home.path(), &[]).await;
    assert_eq!(again.status.code(), Some(0), "it can be repeated");
    assert!(text(&again.stdout).contains("nothing to remove"), "{}", text(&again.stdout));

    let second = Program::start(home, &[]).await;
    let ledger = second.mock("GET", "ledger", &Value::Null).await;
    assert_eq!(ledger["orders"], json!([]));
    let answer = second.create("no-2107151010101541001").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(!answer.to_lowercase().contains("idempotent-replayed"), "{answer}");
}

#[tokio::test]
async fn a_ledger_without_its_store_is_removed_too() {
    let home = TempDir::new().unwrap();
    std::fs::write(home.path().join("paygate-mock.db-ledger.json"), "").unwrap();
    let output = reset(home.path(), &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(files(home.path()), ["paygate-mock.db-lock"]);
}

#[tokio::test]
async fn a_reset_removes_nothing_that_is_not_mock_modes() {
    let home = TempDir::new().unwrap();
    let path = |name: &str| -> PathBuf { home.path().join(name) };
    drop(Sqlite::open(path("live.db")).unwrap());
    let live = std::fs::read(path("live.db")).unwrap();
    std::fs::write(path("text.db"), "a person's own text").unwrap();
    drop(Sqlite::open_as(path("mock.db"), StoreMode::Mock).unwrap());
    std::fs::write(path("mock.db-ledger.json"), "not a ledger\n").unwrap();
    std::fs::create_dir(path("directory.db")).unwrap();
    for (store, code, words) in [
        ("sqlite:live.db", 69, "belongs to live mode"),
        ("sqlite:text.db", 69, "no paygate store"),
        ("sqlite:mock.db", 69, "mock.db-ledger.json cannot be removed"),
        ("sqlite:directory.db", 69, "is a directory"),
        ("nowhere", 64, "is not a store"),
    ] {
        let before = own_files(home.path());
        let output = reset(home.path(), &[("PAYGATE_STORE", store)]).await;
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{store}: {stderr}");
        assert!(stderr.contains(words), "{store}: {stderr}");
        assert_eq!(own_files(home.path()), before, "{store}");
    }
    assert_eq!(std::fs::read(path("live.db")).unwrap(), live);
    assert_eq!(std::fs::read(path("text.db")).unwrap(), b"a person's own text");
    drop(Sqlite::open(path("live.db")).unwrap());
    let live_mode = [("PAYGATE_MODE", "live"), ("PAYGATE_STORE", "sqlite:mock.db")];
    let output = reset(home.path(), &live_mode).await;
    assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("PAYGATE_MODE: is live"), "{}", text(&output.stderr));
    let memory = reset(home.path(), &[("PAYGATE_STORE", "memory:")]).await;
    assert_eq!(memory.status.code(), Some(0));
    assert!(text(&memory.stdout).contains("nothing to remove"));
}

// ---- the environment of another program ----

#[tokio::test]
async fn a_shell_reads_what_another_program_configures() {
    let home = TempDir::new().unwrap();
    let listen = [("PAYGATE_MOCK_LISTEN", "0.0.0.0:8789"), ("PAYGATE_MOCK_EXPOSE", "true")];
    let output = run(home.path(), &["mock", "--print-env"], &listen).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).lines().any(|line| line.starts_with("PAYGATE_")));
    std::fs::write(home.path().join("mock.env"), &output.stdout).unwrap();
    let script = "set -eua; . ./mock.env; printf '%s\\n' \"$WXPAY_BASE_URL\" \"$WXPAY_MCH_ID\" \
                  \"$WXPAY_SERIAL_NO\" \"$WXPAY_API_V3_KEY\" \"$ALIPAY_GATEWAY_URL\" \
                  \"$ALIPAY_APP_ID_H5\"; printf '%b' \"$WXPAY_PRIVATE_KEY\" \"$ALIPAY_PUBLIC_KEY\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env_clear().current_dir(home.path());
    let shell = shell.output().await.unwrap();
    assert!(shell.status.success(), "{}", text(&shell.stderr));
    let expected = [
        "http://127.0.0.1:8789\n",
        &format!("{}\n{}\n", keys::MCH_ID, keys::MERCHANT_SERIAL_NO),
        &format!("{}\n", keys::API_V3_KEY),
        "http://127.0.0.1:8789/gateway.do\n",
        &format!("{}\n", keys::ALIPAY_APP_H5),
        keys::WXPAY_MERCHANT_KEY_PEM,
        keys::ALIPAY_PUBLIC_KEY_PEM,
    ];
    assert_eq!(text(&shell.stdout), expected.concat());
}

#[tokio::test]
async fn an_unknown_port_and_two_tasks_at_once_are_64() {
    let home = TempDir::new().unwrap();
    let any =
        run(home.path(), &["mock", "--print-env"], &[("PAYGATE_MOCK_LISTEN", "[::1]:0")]).await;
    assert_eq!(any.status.code(), Some(64));
    assert!(text(&any.stderr).contains("PAYGATE_MOCK_LISTEN"), "{}", text(&any.stderr));
    let both = run(home.path(), &["mock", "--print-env", "--reset"], &[]).await;
    assert_eq!(both.status.code(), Some(64));
}

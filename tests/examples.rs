//! The examples, run as their headers describe, and called over HTTP.
//!
//! `cargo test` builds them; `cargo test --test examples` alone runs the last build.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Client, Response, Url};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A program that takes longer than this for anything hangs.
const HANGS: Duration = Duration::from_secs(60);

/// The secret in `sidecar.env`.
const WEBHOOK_SECRET: &str = "whsec_ZXZlcnlib2R5LWtub3dzLXRoZS1zZWNyZXQtb2YtdGhpcy1kZW1vLXNob3A=";

/// The token in `axum_shop`'s header.
const CALLER_TOKEN: &str = "the-checkout-of-this-demo-shop-knows-it";

#[tokio::test]
async fn the_axum_shop_takes_payments_beside_its_own_pages() {
    let home = TempDir::new().unwrap();
    let shop = || example("axum_shop", home.path(), &["127.0.0.1:0", "shop.db"]);
    let first = Program::listening(shop()).await;
    assert_eq!(first.page("/").await, "tea, 1 fen\n");
    let whoami = first.page("/whoami").await;
    assert!(whoami.starts_with("h5 at 127.0.0.1, no PC, request "), "{whoami}");

    let refused = first.create(&order(1), None).await;
    assert_eq!(refused.status(), 401);
    let created = first.create(&order(1), Some(CALLER_TOKEN)).await;
    assert_eq!(created.headers()["x-paygate-mode"], "mock");
    let created = code_url(created).await;
    first.interrupted().await;

    let second = Program::listening(shop()).await;
    let again = second.create(&order(1), Some(CALLER_TOKEN)).await;
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(code_url(again).await, created);
    assert_eq!(second.create(&order(2), Some(CALLER_TOKEN)).await.status(), 422);
    second.interrupted().await;
}

#[tokio::test]
async fn the_hyper_shop_is_configured_by_its_environment() {
    let home = TempDir::new().unwrap();
    let mut shop = example("hyper_shop", home.path(), &[]);
    shop.envs([
        ("PAYGATE_MODE", "mock"),
        ("PAYGATE_LISTEN", "127.0.0.1:0"),
        ("PAYGATE_MOCK_LISTEN", "127.0.0.1:0"),
    ]);
    let shop = Program::listening(shop).await;
    assert_eq!(shop.page("/cup?size=2").await, "tea, 1 fen (you asked for /cup)\n");
    let mut alipay = order(1);
    alipay["provider"] = json!("alipay");
    let created = shop.create(&alipay, None).await;
    let code = code_url(created).await;
    let page = Client::new().get(&code).send().await.unwrap();
    assert_eq!(page.status(), 200, "the mock's Alipay code opens its cashier: {code}");
    let disguised = Client::new().post(shop.at("/pay//createPayment")).send().await.unwrap();
    assert_eq!(disguised.status(), 404);
    shop.interrupted().await;
}

#[tokio::test]
async fn the_hyper_shop_reports_an_invalid_environment() {
    let home = TempDir::new().unwrap();
    let mut shop = example("hyper_shop", home.path(), &[]);
    let Output { status, stderr, .. } = ended(shop.env("PAYGATE_MODE", "moc")).await;
    assert_eq!(status.code(), Some(1));
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.contains("PAYGATE_MODE: ") && stderr.contains("live or mock"), "{stderr}");
}

#[tokio::test]
async fn a_store_of_ones_own_keeps_an_order_and_its_price() {
    let home = TempDir::new().unwrap();
    let Output { status, stdout, .. } = ended(&mut example("custom_store", home.path(), &[])).await;
    let stdout = String::from_utf8(stdout).unwrap();
    assert_eq!(status.code(), Some(0), "{stdout}");
    let lines: Vec<&str> =
        stdout.lines().map(|line| line.split_once(": ").unwrap().1.trim()).collect();
    let [created, again, other, calls] = lines[..] else { panic!("{stdout}") };
    let material = created.strip_suffix(" (replayed: false)").unwrap();
    assert!(material.contains("weixin://"), "{stdout}");
    assert_eq!(again.strip_suffix(" (replayed: true)"), Some(material));
    assert_eq!(other, "refused, it differs at /data/total_fee");
    assert_eq!(calls, "1");
}

#[tokio::test]
async fn the_example_environment_runs_the_sidecar_without_a_reader_of_its_log() {
    let home = TempDir::new().unwrap();
    let unused = "http://127.0.0.1:1".parse().unwrap();
    let sidecar = Program::sidecar(home.path(), &unused, &[]).await;
    assert!(code_url(sidecar.create(&order(1), None).await).await.starts_with("weixin://"));
    assert!(home.path().join("paygate-mock.db").exists());
    // It logs its stop into a closed pipe.
    sidecar.interrupted().await;
}

#[tokio::test]
async fn a_waiting_query_does_not_delay_the_end() {
    let home = TempDir::new().unwrap();
    let unused = "http://127.0.0.1:1".parse().unwrap();
    let sidecar = Program::sidecar(home.path(), &unused, &[]).await;
    let created = read_json(sidecar.create(&order(1), None).await).await;
    let no = &created["out_trade_no"];
    let body = json!({"out_trade_no": no, "await_notify": true, "await_max_time": 40}).to_string();
    let mut stream = BufReader::new(TcpStream::connect(sidecar.addr()).await.unwrap());
    let head = format!(
        "POST /pay/queryPayment HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        sidecar.addr(),
        body.len()
    );
    stream.get_mut().write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(HANGS, stream.read_line(&mut answer)).await.expect("it reads the body").unwrap();
    assert!(answer.starts_with("HTTP/1.1 100 "), "{answer}");
    sidecar.interrupt().await;
    stream.get_mut().write_all(body.as_bytes()).await.unwrap();
    timeout(HANGS, stream.read_to_string(&mut answer)).await.expect("it answers").unwrap();
    assert!(answer.contains("HTTP/1.1 200 OK") && answer.contains("\"code\":2002"), "{answer}");
    sidecar.ended().await;
}

#[tokio::test]
async fn the_node_shop_behind_the_sidecar_works_unchanged() {
    let Ok(_) = Command::new("node").arg("--version").output().await else {
        println!("skipped: node is not on the PATH (apt-get install nodejs)");
        return;
    };
    let home = TempDir::new().unwrap();
    let mut shop = Command::new("node");
    shop.arg(root().join("examples/node-shop/server.mjs"));
    shop.env("PORT", "0").env("PAYGATE_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let shop = Program::started(shop, "shop on ").await;
    let price = shop.at("/paygate/price");
    let pricing = [("PAYGATE_PRICING", "callback"), ("PAYGATE_PRICING_URL", price.as_str())];
    let sidecar = Program::sidecar(home.path(), &shop.base, &pricing).await;

    let page = sidecar.page("/").await;
    assert!(page.contains("<html") && page.contains("/pay/createPayment"), "{page}");
    check_headers(&sidecar).await;
    check_order(&sidecar).await;
    check_echo(&sidecar).await;
    check_upgrade(sidecar.addr()).await;
}

/// The shop sees the client's headers and its address.
async fn check_headers(sidecar: &Program) {
    let request = Client::new()
        .get(sidecar.at("/headers"))
        .header("x-cup", "small")
        .header("x-forwarded-for", "1.2.3.4")
        .header("connection", "x-hop")
        .header("x-hop", "1");
    let seen: Value = read_json(request.send().await.unwrap()).await;
    let authority = sidecar.addr().to_string();
    for (name, value) in [
        ("x-cup", "small"),
        ("host", &authority),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", &authority),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    assert_eq!(seen["x-hop"], Value::Null);
}

/// The shop opens an order and names its price, paygate answers with a QR code; the buyer pays, and
/// the shop gets the event.
async fn check_order(sidecar: &Program) {
    let tea = Client::new().post(sidecar.at("/api/orders")).body(r#"{"product":"tea"}"#);
    let opened: Value = read_json(tea.send().await.unwrap()).await;
    let no = opened["out_trade_no"].as_str().unwrap();
    let body = json!({"provider": "wxpay", "isPC": true, "data": {"out_trade_no": no}});
    let code_url = code_url(sidecar.create(&body, None).await).await;
    assert!(code_url.starts_with("weixin://"));
    let unknown = json!({"provider": "wxpay", "isPC": true, "data": {"out_trade_no": "unknown-1"}});
    assert_eq!(sidecar.create(&unknown, None).await.status(), 404);
    let order = async || -> Value {
        serde_json::from_str(&sidecar.page(&format!("/api/orders/{no}")).await).unwrap()
    };
    assert_eq!(order().await["paid"], false);

    let purchase = json!({"provider": "wxpay", "code_url": code_url});
    let mock = sidecar.mock.as_ref().unwrap();
    let pay = Client::new().post(mock.join("/_mock/pay").unwrap());
    let pay = pay.header("content-type", "application/json");
    read_json(pay.body(purchase.to_string()).send().await.unwrap()).await;
    let waiting = json!({"out_trade_no": no, "await_notify": true, "await_max_time": 40});
    let queried = sidecar.post("/pay/queryPayment", &waiting, None).await;
    assert_eq!(read_json(queried).await["user_order_success"], true);
    assert_eq!(order().await["paid"], true);
    let taken: Value = serde_json::from_str(&sidecar.page("/paygate/events").await).unwrap();
    let [event] = &taken["events"].as_array().unwrap()[..] else { panic!("{taken}") };
    assert_eq!((&event["type"], &event["out_trade_no"]), (&json!("payment.succeeded"), &json!(no)));
    let forged = Client::new().post(sidecar.at("/paygate/events"));
    let forged = forged.header("webhook-id", "evt_x").body(r#"{"type":"payment.succeeded"}"#);
    assert_eq!(forged.send().await.unwrap().status(), 401);
}

/// A sized body, and a streamed one: each piece comes back before the next is sent.
async fn check_echo(sidecar: &Program) {
    let large: Bytes = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let request = Client::new().post(sidecar.at("/echo")).body(large.clone());
    assert!(request.send().await.unwrap().bytes().await.unwrap() == large, "the body came back");

    let (sender, receiver) = mpsc::channel::<&str>(1);
    let pieces = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|piece| (Ok::<_, Infallible>(piece), receiver))
    });
    sender.send("first").await.unwrap();
    let request = Client::new().post(sidecar.at("/echo")).body(Body::wrap_stream(pieces));
    let mut response = timeout(HANGS, request.send()).await.expect("it streams").unwrap();
    for (piece, next) in [("first", Some("second")), ("second", Some("third")), ("third", None)] {
        let echoed = timeout(HANGS, response.chunk()).await.expect("it streams").unwrap();
        assert_eq!(echoed.unwrap(), piece);
        match next {
            Some(next) => sender.send(next).await.unwrap(),
            None => break,
        }
    }
    drop(sender);
    assert_eq!(response.chunk().await.unwrap(), None);
}

/// A WebSocket frame goes to the shop and back (RFC 6455, sections 1.3 and 5.2).
async fn check_upgrade(addr: SocketAddr) {
    let mut stream = BufReader::new(TcpStream::connect(addr).await.unwrap());
    let request = format!(
        "GET /chat HTTP/1.1\r\nhost: {addr}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.get_mut().write_all(request.as_bytes()).await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let line = timeout(HANGS, stream.read_line(&mut head)).await.expect("it answers").unwrap();
        assert_ne!(line, 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    let masked = b"\x81\x85\x00\x00\x00\x00hello";
    stream.get_mut().write_all(masked).await.unwrap();
    let mut echoed = [0; 7];
    timeout(HANGS, stream.read_exact(&mut echoed)).await.expect("it echoes").unwrap();
    assert_eq!(&echoed, b"\x81\x05hello");
}

// ---- the programs ----

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An example, to be run in `home` with no variables.
fn example(name: &str, home: &Path, arguments: &[&str]) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_paygate")).parent().unwrap();
    let path: PathBuf = programs.join("examples").join(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{} is missing: `cargo build --examples` makes it", path.display());
    let mut command = Command::new(path);
    command.args(arguments).env_clear().current_dir(home);
    command
}

/// Runs a program to its end.
async fn ended(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    timeout(HANGS, output).await.expect("it ends by itself").unwrap()
}

/// A program that serves.
struct Program {
    child: Child,
    base: Url,
    /// The simulated providers of the sidecar.
    mock: Option<Url>,
}

impl Program {
    /// Starts an example and waits until it prints its address.
    async fn listening(command: Command) -> Program {
        Program::started(command, "listening on ").await
    }

    /// Starts a program and waits for the line with its address after `words`.
    async fn started(mut command: Command, words: &str) -> Program {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let base = first_found(&mut lines, |line| line.strip_prefix(words)?.parse().ok()).await;
        Program { child, base, mock: None }
    }

    /// The sidecar as `examples/sidecar.env` configures it, before `upstream` and on ports that
    /// the operating system picks. The test reads its log up to the address, no further.
    async fn sidecar(home: &Path, upstream: &Url, more: &[(&str, &str)]) -> Program {
        let file = std::fs::read_to_string(root().join("examples/sidecar.env")).unwrap();
        let lines = file.lines().filter(|line| !line.starts_with('#'));
        let mut variables: BTreeMap<_, _> = lines.filter_map(|line| line.split_once('=')).collect();
        for name in ["PAYGATE_LISTEN", "PAYGATE_ADMIN_LISTEN", "PAYGATE_MOCK_LISTEN"] {
            variables.insert(name, "127.0.0.1:0");
        }
        variables.insert("PAYGATE_UPSTREAM", upstream.as_str());
        let events = upstream.join("/paygate/events").unwrap();
        variables.insert("PAYGATE_WEBHOOK_URL", events.as_str());
        variables.extend(more.iter().copied());
        variables.insert("PAYGATE_LOG_FORMAT", "json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_paygate"));
        command.env_clear().envs(variables).current_dir(home).kill_on_drop(true);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = async |message: &str| -> Url {
            let address = first_found(&mut lines, |line| {
                let event: Value = serde_json::from_str(line).ok()?;
                let addr = event["addr"].as_str()?;
                (event["message"] == message).then(|| format!("http://{addr}"))?.parse().ok()
            });
            address.await
        };
        let mock = Some(address("simulating WeChat Pay and Alipay").await);
        let base = address("serving payments").await;
        Program { child, base, mock }
    }

    fn at(&self, path: &str) -> Url {
        self.base.join(path).unwrap()
    }

    fn addr(&self) -> SocketAddr {
        self.base.socket_addrs(|| None).unwrap()[0]
    }

    /// One of the shop's own pages.
    async fn page(&self, path: &str) -> String {
        let response = Client::new().get(self.at(path)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    }

    async fn create(&self, body: &Value, token: Option<&str>) -> Response {
        self.post("/pay/createPayment", body, token).await
    }

    async fn post(&self, path: &str, body: &Value, token: Option<&str>) -> Response {
        let request = Client::new()
            .post(self.at(path))
            .header("content-type", "application/json")
            .body(body.to_string());
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// Sends it Ctrl-C and waits for its clean end.
    async fn interrupted(self) {
        self.interrupt().await;
        self.ended().await;
    }

    async fn interrupt(&self) {
        let id = self.child.id().expect("it runs");
        let kill = Command::new("sh").arg("-c").arg(format!("kill -INT {id}")).status().await;
        assert!(kill.unwrap().success());
    }

    async fn ended(mut self) {
        let status = timeout(HANGS, self.child.wait()).await.expect("it ends").unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

/// The first thing that `find` finds in a line.
async fn first_found<T>(
    lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>,
    find: impl Fn(&str) -> Option<T>,
) -> T {
    let mut all = String::new();
    loop {
        let line = timeout(HANGS, lines.next_line()).await.expect("it goes on").unwrap();
        let line = line.unwrap_or_else(|| panic!("it ended after:\n{all}"));
        if let Some(found) = find(&line) {
            return found;
        }
        all += &format!("{line}\n");
    }
}

fn order(total_fee: u64) -> Value {
    json!({
        "provider": "wxpay", "isPC": true,
        "data": {
            "out_trade_no": "2107151010101541001", "total_fee": total_fee, "subject": "tea",
            "type": "goods",
        },
    })
}

/// A successful answer's JSON.
async fn read_json(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn code_url(response: Response) -> String {
    read_json(response).await["orderInfo"]["codeUrl"].as_str().unwrap().to_owned()
}

//! The program, as a user starts it in mock mode.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A program that takes longer than this to start hangs.
const HANGS: Duration = Duration::from_secs(60);

/// A port that is free, and that no connection is given by chance (RFC 6335, section 6, and
/// Linux' `ip_local_port_range`).
pub(crate) fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let first = u16::try_from(std::process::id() % 8_000).unwrap() + 20_000;
    (first..32_000).find(is_free).expect("some port is free")
}

/// A running sidecar with the providers that it simulates.
pub(crate) struct Program {
    child: Child,
    addresses: HashMap<String, SocketAddr>,
    alarms: Arc<Mutex<Vec<String>>>,
    _log: JoinSet<()>,
}

impl Program {
    /// Starts it in `home` and waits until it serves: at `port`, where providers reach it again
    /// after it was killed.
    pub(crate) async fn start(home: &Path, port: u16, more: &[(&str, String)]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_paygate"))
            .env_clear()
            .envs([
                ("PAYGATE_MODE", "mock"),
                ("PAYGATE_ADMIN_LISTEN", "127.0.0.1:0"),
                ("PAYGATE_MOCK_LISTEN", "127.0.0.1:0"),
                ("PAYGATE_CALL_TIMEOUT", "2s"),
                ("PAYGATE_CALL_BUDGET", "5s"),
                ("PAYGATE_LOG_FORMAT", "json"),
            ])
            .env("PAYGATE_LISTEN", format!("127.0.0.1:{port}"))
            .envs(more.iter().map(|(name, value)| (name, value)))
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut addresses = HashMap::new();
        let mut said = String::new();
        while !addresses.contains_key("serving health and admin") {
            let line = timeout(HANGS, log.next_line()).await.expect("it starts").unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended:\n{said}"));
            said += &format!("{line}\n");
            let event: serde_json::Value =
                serde_json::from_str(&line).unwrap_or_else(|_| panic!("it said: {line}"));
            if let Some(addr) = event["addr"].as_str().and_then(|addr| addr.parse().ok()) {
                addresses.insert(event["message"].as_str().unwrap().to_owned(), addr);
            }
        }
        let alarms = Arc::new(Mutex::new(Vec::new()));
        let heard = alarms.clone();
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                if line.contains("\"ERROR\"") || line.contains("panicked") {
                    heard.lock().unwrap().push(line);
                }
            }
        });
        Program { child, addresses, alarms, _log: reader }
    }

    /// Where it takes payments.
    pub(crate) fn public(&self) -> SocketAddr {
        self.addresses["serving payments"]
    }

    /// Every event in its outbox.
    pub(crate) async fn webhooks(&self, token: &str) -> serde_json::Value {
        let admin = self.addresses["serving health and admin"];
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(format!("http://{admin}/pay/webhooks")).bearer_auth(token);
        let bytes = request.send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Where the simulated providers are.
    pub(crate) fn providers(&self) -> SocketAddr {
        self.addresses["simulating WeChat Pay and Alipay"]
    }

    /// SIGKILL, whatever it does.
    pub(crate) async fn kill(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert_eq!(ended, None, "it ended by itself: {:?}", self.alarms());
        self.child.kill().await.unwrap();
    }

    /// Errors and panics that it logged.
    pub(crate) fn alarms(&self) -> Vec<String> {
        self.alarms.lock().unwrap().clone()
    }
}

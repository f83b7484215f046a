//! The shop's endpoint for events, which checks their signature by its own means: HMAC-SHA256 as
//! RFC 2104 writes it, over a hash of another library than paygate's.
#![cfg(feature = "mock")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// One event as it came.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedEvent {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl ReceivedEvent {
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|it| it.split_once(": "));
        let mut values = lines.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, it)| it);
        let value = values.next().unwrap_or_else(|| panic!("no {name} in {}", self.head));
        assert_eq!(values.next(), None, "{name} comes once");
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Whether the signature is the key's, over exactly these bytes.
    pub(crate) fn is_signed(&self, key: &[u8]) -> bool {
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let expected = hmac_sha256(key, format!("{id}.{timestamp}.{}", self.body).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(expected));
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    match key.len() <= 64 {
        true => block[..key.len()].copy_from_slice(key),
        false => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let padded = |with: u8| block.map(|it| it ^ with);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

/// The endpoint. It answers what it was told to.
pub(crate) struct WebhookEndpoint {
    pub(crate) addr: SocketAddr,
    answer: Arc<Mutex<String>>,
    events: mpsc::UnboundedReceiver<ReceivedEvent>,
    _running: JoinSet<()>,
}

impl WebhookEndpoint {
    pub(crate) async fn start() -> WebhookEndpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answered("200 OK", r#"{"code":0}"#)));
        let (sender, events) = mpsc::unbounded_channel();
        let mut running = JoinSet::new();
        let to_send = answer.clone();
        running.spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let event = read(&mut stream).await;
                let answer = to_send.lock().unwrap().clone();
                stream.write_all(answer.as_bytes()).await.unwrap();
                // Silence keeps the connection open.
                held.extend(answer.is_empty().then_some(stream));
                let _ = sender.send(event);
            }
        });
        WebhookEndpoint { addr, answer, events, _running: running }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/events/{{type}}?of={{type}}", self.addr)
    }

    pub(crate) fn respond(&self, status: &str, body: &str) {
        self.respond_raw(answered(status, body));
    }

    pub(crate) fn respond_raw(&self, bytes: String) {
        *self.answer.lock().unwrap() = bytes;
    }

    /// What came since the last call.
    pub(crate) fn received(&mut self) -> Vec<ReceivedEvent> {
        let mut all = Vec::new();
        while let Ok(one) = self.events.try_recv() {
            all.push(one);
        }
        all
    }

    /// The next event, waited for.
    #[cfg(feature = "sidecar")]
    pub(crate) async fn next(&mut self) -> ReceivedEvent {
        self.events.recv().await.unwrap()
    }
}

fn answered(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

async fn read(stream: &mut TcpStream) -> ReceivedEvent {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    ReceivedEvent { head, body: String::from_utf8(body).unwrap() }
}

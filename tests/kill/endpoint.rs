//! The shop's endpoint for events: it checks signatures, fails, hangs and dies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::rng::Rng;

/// What the program signs with.
pub(crate) const SECRET: &str = "whsec_dGhlIHNob3Agb2YgdGhlIGtpbGwgcHJvZ3JhbQ==";

/// The shop's own list of what happened.
#[derive(Debug)]
pub(crate) struct Endpoint {
    port: u16,
    rng: Rng,
    state: Mutex<Book>,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Every accepted event by its id.
    pub(crate) accepted: BTreeMap<String, Value>,
    /// How many events came, and how many of them were not accepted.
    pub(crate) came: u32,
    pub(crate) refused: u32,
    /// How often the endpoint died.
    pub(crate) deaths: u32,
    pub(crate) violations: Vec<String>,
    is_calm: bool,
}

impl Endpoint {
    pub(crate) fn new(port: u16, rng: Rng) -> Arc<Endpoint> {
        Arc::new(Endpoint { port, rng, state: Mutex::default() })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/events/{{type}}", self.port)
    }

    /// Nothing fails any more.
    pub(crate) fn calm(&self) {
        self.state.lock().unwrap().is_calm = true;
    }

    pub(crate) fn book<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.state.lock().unwrap())
    }

    /// Listens, and dies now and then, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
            let app = Router::new().route("/events/goods", post(take)).with_state(self.clone());
            let mut serving = JoinSet::new();
            serving.spawn(async move { axum::serve(listener, app).await });
            sleep(Duration::from_millis(500 + self.rng.below(6_000))).await;
            while self.book(|it| it.is_calm) {
                sleep(Duration::from_secs(1)).await;
            }
            serving.shutdown().await;
            self.state.lock().unwrap().deaths += 1;
            sleep(Duration::from_millis(self.rng.below(3_000))).await;
        }
    }
}

async fn take(
    State(shop): State<Arc<Endpoint>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let trouble = if shop.book(|it| it.is_calm) { 9 } else { shop.rng.below(10) };
    let status = shop.keep(&headers, &body, trouble);
    match trouble {
        // It keeps the event, and the answer does not come, or not soon.
        2 => sleep(Duration::from_secs(15)).await,
        3 => sleep(Duration::from_millis(shop.rng.below(3_000))).await,
        _ => {}
    }
    (status, if trouble == 1 { r#"{"code":500,"msg":"later"}"# } else { r#"{"code":0}"# })
}

impl Endpoint {
    /// Writes an event down, unless the shop has the trouble 0 or 1.
    fn keep(&self, headers: &HeaderMap, body: &[u8], trouble: u64) -> StatusCode {
        let mut book = self.state.lock().unwrap();
        book.came += 1;
        let Some(id) = signed(headers, body) else {
            book.violations.push(format!("an event with a bad signature: {headers:?}"));
            return StatusCode::UNAUTHORIZED;
        };
        if trouble < 2 {
            book.refused += 1;
            return if trouble == 0 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        }
        let event: Value = serde_json::from_slice(body).unwrap();
        let before = book.accepted.insert(id.clone(), event.clone());
        if before.is_some_and(|it| it != event) {
            book.violations.push(format!("{id} became another event: {event}"));
        }
        StatusCode::OK
    }
}

/// The event's id, if the headers sign it (Standard Webhooks, "Verifying webhook authenticity").
fn signed(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let (id, timestamp) = (text("webhook-id")?, text("webhook-timestamp")?);
    let age_s = jiff::Timestamp::now().as_second() - timestamp.parse::<i64>().ok()?;
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_")?).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let message = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let mut signatures = text("webhook-signature")?.split(' ');
    let is_signed = signatures.any(|it| {
        let tag = it.strip_prefix("v1,").and_then(|it| STANDARD.decode(it).ok());
        tag.is_some_and(|tag| hmac::verify(&key, &message, &tag).is_ok())
    });
    (is_signed && age_s.abs() < 300).then(|| id.to_owned())
}

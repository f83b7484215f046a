//! A server that ends while clients wait: the wait ends with the signal, and nothing is lost.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use paygate::domain::{DeliveryState, EventType, Millis, OutboxEvent, ProviderId};
use paygate::engine::{Builder, Deliver, OrderEvent};
use paygate::error::Kind;
use paygate::mock::InProcess;
use paygate::provider::{Transport, TransportFailure};
use paygate::store::{BoxFuture, Store};
use paygate::{Memory, PaymentLayer, Pricing};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use super::order;
use crate::support::requests::qr;
use crate::support::shop::{ManualClock, Shop, kind, run_background};

/// Connections in memory, so that the virtual clock stands still while bytes are on their way.
struct InMemory(mpsc::Receiver<DuplexStream>);

impl axum::serve::Listener for InMemory {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        match self.0.recv().await {
            Some(stream) => (stream, SocketAddr::from(([127, 0, 0, 1], 1))),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 80)))
    }
}

/// Sends one request and leaves the connection open.
async fn request(connections: &mpsc::Sender<DuplexStream>, body: &str) -> DuplexStream {
    request_of(connections, "queryPayment", body.len(), body).await
}

/// Sends a request with a body of `length` bytes, of which `sent` are sent.
async fn request_of(
    connections: &mpsc::Sender<DuplexStream>,
    operation: &str,
    length: usize,
    sent: &str,
) -> DuplexStream {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    connections.send(server).await.unwrap();
    let request = format!(
        "POST /pay/{operation} HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{sent}"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

#[tokio::test(start_paused = true)]
async fn a_graceful_shutdown_does_not_wait_for_await_notify() {
    let shop = Shop::open().await;
    shop.create(&order(1)).await.unwrap();
    let payments = PaymentLayer::new(shop.engine.clone(), Pricing::danger_trust_every_caller());
    let (connections, listener) = mpsc::channel(1);
    let (signal, stopped) = oneshot::channel::<()>();
    let waits = shop.engine.clone();
    let app = Router::new().layer(payments);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        axum::serve(InMemory(listener), app)
            .with_graceful_shutdown(async move {
                drop(stopped.await);
                waits.stop_waiting();
            })
            .await
    });
    let body = serde_json::json!({
        "out_trade_no": super::NO, "await_notify": true, "await_max_time": 40
    });
    let mut client = request(&connections, &body.to_string()).await;
    run_background().await;
    let began = tokio::time::Instant::now();
    signal.send(()).unwrap();
    serving.join_next().await.unwrap().unwrap().unwrap();
    shop.engine.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("\"code\":2002"), "{answer}");
}

#[tokio::test]
async fn a_wait_that_begins_after_the_signal_ends_at_once() {
    let shop = Shop::open().await;
    shop.create(&order(1)).await.unwrap();
    shop.engine.stop_waiting();
    let query = paygate::Query {
        number: paygate::OrderNumber::OutTradeNo(super::NO.parse().unwrap()),
        await_accepted: Some(Duration::from_secs(3_600)),
    };
    assert_eq!(shop.engine.query(query).await.unwrap().user_order_success, None);
}

#[tokio::test]
async fn the_shutdown_awaits_a_handler_and_records_that_it_accepted() {
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (begun.clone(), may_end.clone());
    let (store, clock) = (Memory::new(), ManualClock::new());
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    let shop = Shop::at(clock, store.reopen(), providers, |engine| {
        let engine = engine.reconcile_every(Some(Duration::from_secs(1)));
        engine.on_any(EventType::PaymentSucceeded, move |_: OrderEvent| {
            let (begins, ends) = (begins.clone(), ends.clone());
            async move {
                begins.notify_one();
                ends.notified().await;
            }
        })
    })
    .await;
    let created = shop.create(&order(1)).await.unwrap();
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    begun.notified().await;
    let is_down = Arc::new(AtomicBool::new(false));
    let (engine, down) = (shop.engine.clone(), is_down.clone());
    let mut shutdown = JoinSet::new();
    shutdown.spawn(async move {
        engine.shutdown().await;
        down.store(true, Ordering::SeqCst);
    });
    run_background().await;
    assert!(!is_down.load(Ordering::SeqCst), "the handler is in flight");
    may_end.notify_one();
    shutdown.join_next().await.unwrap().unwrap();
    let accepted = store.reopen().outbox_list(DeliveryState::Accepted, 9).await.unwrap();
    let accepted: Vec<_> = accepted.iter().map(|event| event.event).collect();
    assert_eq!(accepted, [EventType::PaymentSucceeded]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_does_not_hold_the_store() {
    let shop = Shop::open().await;
    let payments = PaymentLayer::new(shop.engine.clone(), Pricing::danger_trust_every_caller());
    let (connections, listener) = mpsc::channel(1);
    let app = Router::new().layer(payments);
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(InMemory(listener), app).await });
    for operation in ["createPayment", "queryPayment", "notify/wxpay/wxpay_h5/default"] {
        let mut client = request_of(&connections, operation, 9, "{").await;
        run_background().await;
        let began = tokio::time::Instant::now();
        shop.engine.shutdown().await;
        assert!(began.elapsed() < Duration::from_secs(2), "{operation}: {:?}", began.elapsed());
        let mut answer = [0; 256];
        let read = client.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{operation}: {answer}");
        assert!(answer.contains("retry-after: "), "{operation}: {answer}");
    }
}

#[tokio::test]
async fn after_the_shutdown_no_request_is_answered_from_memory() {
    let shop = Shop::open().await;
    shop.create(&order(1)).await.unwrap();
    shop.engine.shutdown().await;
    assert_eq!(kind(shop.create(&order(1)).await), Some(Kind::NotSent), "a replay");
    assert_eq!(kind(shop.create(&qr(ProviderId::Alipay)).await), Some(Kind::NotSent));
    let number = paygate::OrderNumber::OutTradeNo(super::NO.parse().unwrap());
    let query = paygate::Query { number, await_accepted: None };
    assert_eq!(kind(shop.engine.query(query).await), Some(Kind::NotSent));
    assert_eq!((shop.engine.reconcile().await, shop.engine.dispatch().await), (0, 0));
    assert_eq!(shop.creates(), 1);
}

/// The store of a shop whose engine is built by `more`, when one order is paid.
async fn paid_shop(more: impl FnOnce(Builder) -> Builder) -> (Shop, Memory) {
    let (store, clock) = (Memory::new(), ManualClock::new());
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    let shop = Shop::at(clock, store.reopen(), providers, |engine| {
        more(engine.reconcile_every(Some(Duration::from_secs(1))))
    })
    .await;
    let created = shop.create(&order(1)).await.unwrap();
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    run_background().await;
    (shop, store)
}

/// The next process sends it at once, as if it had never been sent.
async fn check_still_due(store: &Memory) {
    let pending = store.reopen().outbox_list(DeliveryState::Pending, 9).await.unwrap();
    let pending: Vec<_> = pending.iter().map(|event| (event.event, event.tries)).collect();
    assert_eq!(pending, [(EventType::PaymentSucceeded, 0)]);
}

/// The shop's endpoint, or a provider, that never answers.
#[derive(Debug)]
struct Silent;

impl Deliver for Silent {
    fn deliver<'a>(&'a self, _: &'a OutboxEvent, _: Millis) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::pending())
    }
}

impl Transport for Silent {
    fn send<'a>(
        &'a self,
        _: http::Request<Bytes>,
        _: Duration,
    ) -> BoxFuture<'a, Result<http::Response<Bytes>, TransportFailure>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_never_answers_does_not_hold_the_store() {
    let (shop, store) = paid_shop(|engine| engine.webhook(Silent)).await;
    let began = tokio::time::Instant::now();
    shop.engine.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    check_still_due(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_the_reconciler_does_not_hold_the_store() {
    let (store, clock) = (Memory::new(), ManualClock::new());
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    let shop = Shop::at(clock.clone(), store.reopen(), providers.clone(), |engine| engine).await;
    shop.create(&order(1)).await.unwrap();
    clock.advance_ms(60 * 60 * 1_000);
    let shop = Shop::at(clock, store.reopen(), providers, |engine| {
        engine.transport(Silent).reconcile_every(Some(Duration::from_secs(1)))
    })
    .await;
    run_background().await;
    let began = tokio::time::Instant::now();
    shop.engine.shutdown().await;
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert!(waited >= Duration::from_millis(900), "the query was in flight: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_returns_holds_the_shutdown_for_the_grace_and_no_longer() {
    let (handler, dropped) = (Arc::new(()), Duration::from_secs(7));
    let held = handler.clone();
    let (shop, store) = paid_shop(|engine| {
        engine.shutdown_grace(dropped).on_any(EventType::PaymentSucceeded, move |_: OrderEvent| {
            let held = held.clone();
            async move {
                std::future::pending::<()>().await;
                drop(held);
            }
        })
    })
    .await;
    assert_eq!(Arc::strong_count(&handler), 3, "it runs");
    let began = tokio::time::Instant::now();
    shop.engine.shutdown().await;
    let waited = began.elapsed().as_secs_f64();
    assert!((7.0..7.1).contains(&waited), "{waited}");
    run_background().await;
    assert_eq!(Arc::strong_count(&handler), 2, "it ended: the store may be another process's");
    check_still_due(&store).await;
    shop.engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_dropped_leaves_the_calls_running() {
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (begun.clone(), may_end.clone());
    let (shop, store) = paid_shop(|engine| {
        engine.on_any(EventType::PaymentSucceeded, move |_: OrderEvent| {
            let (begins, ends) = (begins.clone(), ends.clone());
            async move {
                begins.notify_one();
                ends.notified().await;
            }
        })
    })
    .await;
    begun.notified().await;
    let dropped = tokio::time::timeout(Duration::from_secs(1), shop.engine.shutdown()).await;
    assert!(dropped.is_err(), "the handler is in flight");
    may_end.notify_one();
    shop.engine.shutdown().await;
    let accepted = store.reopen().outbox_list(DeliveryState::Accepted, 9).await.unwrap();
    assert_eq!(accepted.len(), 1);
}

//! A server that ends while clients wait: the wait ends with the signal, and nothing is lost.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use paygate::domain::{DeliveryState, EventType};
use paygate::engine::OrderEvent;
use paygate::mock::InProcess;
use paygate::store::Store;
use paygate::{Memory, PaymentLayer, Pricing};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use super::order;
use crate::support::shop::{ManualClock, Shop, run_background};

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
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    connections.send(server).await.unwrap();
    let head = format!(
        "POST /pay/queryPayment HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
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

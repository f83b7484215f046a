//! The end: nothing new begins, what has begun ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use paygate::domain::{EventType, ProviderId};
use paygate::engine::OrderEvent;
use paygate::sidecar::{Listeners, bind};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::rig::{OK, Rig, Wanted, Wire, header};
use crate::support::requests::qr;

const READYZ: &str = "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";

/// Nobody listens any more. The connections hear of the end in any order with the listener, so
/// the first attempts may still meet it.
async fn refused(addr: SocketAddr) {
    for _ in 0..1000 {
        if TcpStream::connect(addr).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{addr} still accepts");
}

#[tokio::test]
async fn a_request_in_flight_ends_and_nothing_new_begins() {
    let mut rig = Rig::start(Wanted::default()).await;
    let mut idle = rig.client().await;
    let mut client = rig.client().await;
    client.send("GET /long HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    assert!(rig.ask_admin(READYZ).await.starts_with("HTTP/1.1 200 "));

    rig.end();
    assert_eq!(idle.rest().await, "", "an idle connection is closed");
    refused(rig.public).await;

    upstream.send(OK).await;
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with("\r\n\r\nok"), "{got}");
    assert_eq!(header(&got, "connection").as_deref(), Some("close"));
    rig.ended().await;
    refused(rig.admin).await;
}

/// An order is paid, and a handler of its event runs until the returned one is notified.
async fn busy_engine(rig: &Rig) -> (Arc<Notify>, JoinSet<usize>) {
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (begun.clone(), may_end.clone());
    rig.shop.engine.on_any(EventType::PaymentSucceeded, move |_: OrderEvent| {
        let (begins, ends) = (begins.clone(), ends.clone());
        async move {
            begins.notify_one();
            ends.notified().await;
        }
    });
    let created = rig.shop.create(&qr(ProviderId::Wxpay)).await.unwrap();
    rig.shop.pay(&created).unwrap();
    assert_eq!(rig.shop.notify().await, [Ok(())]);
    let (engine, mut dispatching) = (rig.shop.engine.clone(), JoinSet::new());
    dispatching.spawn(async move { engine.dispatch().await });
    begun.notified().await;
    (may_end, dispatching)
}

#[tokio::test]
async fn the_admin_listener_reports_the_stop_until_the_engine_is_done() {
    let mut rig = Rig::start(Wanted::default()).await;
    let (may_end, mut dispatching) = busy_engine(&rig).await;
    let mut client = rig.client().await;
    client.send("GET /long HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    rig.end();
    refused(rig.public).await;
    let unready = rig.ask_admin(READYZ).await;
    assert!(unready.starts_with("HTTP/1.1 503 "), "{unready}");
    may_end.notify_one();
    assert_eq!(dispatching.join_next().await.unwrap().unwrap(), 1);
    // The port is the next process's before the upstream has answered.
    while TcpStream::connect(rig.admin).await.is_ok() {
        tokio::task::yield_now().await;
    }
    upstream.send(OK).await;
    assert!(client.rest().await.ends_with("\r\n\r\nok"));
    rig.ended().await;
}

#[tokio::test]
async fn upgraded_connections_end_when_the_engine_is_done() {
    let mut rig = Rig::start(Wanted::default()).await;
    let (may_end, _dispatching) = busy_engine(&rig).await;
    let (mut client, mut upstream) = upgraded(&rig).await;
    let mut slow = rig.client().await;
    slow.send("GET /long HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut service = rig.upstream().await;
    service.head().await;
    rig.end();
    refused(rig.public).await;
    client.send("goes on").await;
    assert_eq!(upstream.until("goes on").await, "goes on");
    may_end.notify_one();
    assert_eq!(client.rest().await, "");
    assert_eq!(upstream.rest().await, "");
    service.send(OK).await;
    assert!(slow.rest().await.ends_with("\r\n\r\nok"), "it outlives them");
    rig.ended().await;
}

#[tokio::test]
async fn a_request_that_is_on_the_way_when_the_stop_begins_is_answered() {
    let mut rig = Rig::start(Wanted::default()).await;
    let mut kept_alive = rig.client().await;
    let unknown = "GET /pay/createpayment HTTP/1.1\r\nhost: shop\r\n\r\n";
    kept_alive.send(unknown).await;
    kept_alive.message().await;
    let client = rig.client().await;
    // It was accepted before this one.
    rig.ask(unknown).await;
    rig.end();
    refused(rig.public).await;
    for mut client in [client, kept_alive] {
        client.send("GET /x HTTP/1.1\r\nhost: shop\r\n\r\n").await;
        let mut upstream = tokio::select! {
            upstream = rig.upstream() => upstream,
            got = client.rest() => panic!("it was closed: {got}"),
        };
        upstream.head().await;
        upstream.send(OK).await;
        let got = client.rest().await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
        assert_eq!(header(&got, "connection").as_deref(), Some("close"));
    }
    rig.ended().await;
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let mut rig = Rig::start(Wanted { grace: Duration::ZERO, ..Wanted::default() }).await;
    let mut client = rig.client().await;
    client.send("GET /long HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    rig.end();
    rig.ended().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(upstream.rest().await, "");
}

/// Both ends of an upgraded connection.
async fn upgraded(rig: &Rig) -> (Wire, Wire) {
    let mut client = rig.client().await;
    client
        .send("GET / HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    upstream
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await;
    client.head().await;
    (client, upstream)
}

#[tokio::test]
async fn an_upgraded_connection_does_not_outlive_the_program() {
    let mut rig = Rig::start(Wanted { grace: Duration::ZERO, ..Wanted::default() }).await;
    let (mut client, mut upstream) = upgraded(&rig).await;
    client.send("hello").await;
    assert_eq!(upstream.until("hello").await, "hello");
    rig.end();
    rig.ended().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(upstream.rest().await, "");
}

#[tokio::test]
async fn a_taken_address_is_reported_with_its_variable() {
    let taken = bind("PAYGATE_MOCK_LISTEN", ([127, 0, 0, 1], 0).into()).await.unwrap();
    let addr = taken.local_addr().unwrap();
    let any = ([127, 0, 0, 1], 0).into();
    let public = Listeners::bind(addr, None).await.unwrap_err().to_string();
    assert!(public.starts_with(&format!("PAYGATE_LISTEN: cannot listen on {addr}: ")), "{public}");
    let admin = Listeners::bind(any, Some(addr)).await.unwrap_err().to_string();
    assert!(
        admin.starts_with(&format!("PAYGATE_ADMIN_LISTEN: cannot listen on {addr}")),
        "{admin}"
    );
}

//! The end: nothing new begins, what has begun ends.

use std::net::SocketAddr;
use std::time::Duration;

use paygate::sidecar::{Listeners, bind};
use tokio::net::TcpStream;

use super::rig::{OK, Rig, Wanted, header};

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
    assert_eq!(idle.rest().await, "", "idle connections are closed at once");
    refused(rig.public).await;
    let unready = rig.ask_admin(READYZ).await;
    assert!(unready.starts_with("HTTP/1.1 503 "), "{unready}");

    upstream.send(OK).await;
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with("\r\n\r\nok"), "{got}");
    assert_eq!(header(&got, "connection").as_deref(), Some("close"));
    rig.ended().await;
    refused(rig.admin).await;
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

#[tokio::test]
async fn an_upgraded_connection_does_not_outlive_the_program() {
    let mut rig = Rig::start(Wanted { grace: Duration::ZERO, ..Wanted::default() }).await;
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

//! Slow and greedy clients. The limits are short here, so that the sidecar's end of the
//! connection can be waited for.

use std::time::Duration;

use paygate::sidecar::server::Limits;
use tokio::io::AsyncWriteExt;

use super::rig::{OK, Rig, Wanted};

/// Long enough for no test to meet it.
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(50);

fn patient() -> Limits {
    Limits { head: NEVER, idle: NEVER, stall: NEVER, ..Limits::default() }
}

async fn start(limits: Limits) -> Rig {
    Rig::start(Wanted { limits, ..Wanted::default() }).await
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let rig = start(Limits { head: SOON, ..patient() }).await;
    for begun in ["P", "POST", "GET / HTTP/1.1\r\nhost: shop\r\nx-a: ", "PRI * HTTP/2.0\r\n"] {
        let mut client = rig.client().await;
        client.send(begun).await;
        assert_eq!(client.rest().await, "", "{begun}");
    }
}

#[tokio::test]
async fn a_second_head_that_does_not_end_is_cut_too() {
    let rig = start(Limits { head: SOON, ..patient() }).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    client.message().await;
    client.send("GET /").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let rig = start(Limits { idle: SOON, ..patient() }).await;
    assert_eq!(rig.client().await.rest().await, "");
}

#[tokio::test]
async fn a_long_request_is_no_idle_one() {
    let rig = start(Limits { head: SOON, idle: SOON, ..patient() }).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    // While this one waits, others are found idle and closed.
    for _ in 0..3 {
        assert_eq!(rig.client().await.rest().await, "");
    }
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await;
    client.until("1\r\na\r\n").await;
    for _ in 0..3 {
        assert_eq!(rig.client().await.rest().await, "");
    }
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.until("0\r\n\r\n").await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_body_that_does_not_go_on_is_a_408() {
    let rig = start(Limits { stall: SOON, ..patient() }).await;
    let mut client = rig.client().await;
    client.send("POST /x HTTP/1.1\r\nhost: shop\r\ncontent-length: 5\r\n\r\nab").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    assert_eq!(upstream.rest().await, "ab");
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 408 ") && got.contains("body_timeout"), "{got}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let rig = start(Limits { stall: SOON, ..patient() }).await;
    let mut client = rig.client().await;
    client.send("GET /x HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
    let piece = vec![b'x'; 64 * 1024];
    let mut written = 0_usize;
    while upstream.0.write_all(&piece).await.is_ok() {
        written += piece.len();
        assert!(written < 500_000_000, "the whole body was taken");
    }
}

#[tokio::test]
async fn a_head_has_bounds() {
    let rig = start(patient()).await;
    let long = "x".repeat(70_000);
    let many = "x-a: 1\r\n".repeat(101);
    for lines in [format!("x-a: {long}\r\n"), many] {
        let mut client = rig.client().await;
        client.send(&format!("GET / HTTP/1.1\r\nhost: shop\r\n{lines}\r\n")).await;
        let got = client.rest().await;
        assert!(got.is_empty() || got.starts_with("HTTP/1.1 431 "), "{got}");
    }
}

#[tokio::test]
async fn one_connection_too_many_waits_for_its_turn() {
    let rig = start(Limits { connections: 1, ..patient() }).await;
    let mut first = rig.client().await;
    first.send("GET /first HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    assert!(upstream.head().await.starts_with("GET /first "));
    let mut second = rig.client().await;
    second.send("GET /second HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    upstream.send(OK).await;
    first.message().await;
    first.send("GET /third HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    assert!(upstream.head().await.starts_with("GET /third "));
    upstream.send(OK).await;
    first.message().await;
    drop(first);
    assert!(upstream.head().await.starts_with("GET /second "));
    upstream.send(OK).await;
    second.message().await;
}

//! Bodies stream both ways: any length, any pace, in constant memory.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rig::{OK, Rig, Wanted, header};

const LARGE: usize = 64 * 1024 * 1024;

/// More than the operating system holds in its four socket buffers, and hyper in its two.
const HELD_MAX: usize = LARGE / 2;

/// Writes until the peer takes no more, and returns how much it took. A pause that is only the
/// machine's makes the number smaller, never larger.
async fn write_until_full(stream: &mut TcpStream) -> usize {
    let piece = vec![b'x'; 64 * 1024];
    let mut written = 0;
    while written < LARGE {
        let most = piece.len().min(LARGE - written);
        match timeout(Duration::from_millis(300), stream.write(&piece[..most])).await {
            Ok(bytes) => written += bytes.unwrap(),
            Err(_) => break,
        }
    }
    written
}

/// Moves the rest of the large body from one end to the other.
async fn move_rest(from: &mut TcpStream, to: &mut TcpStream, written: usize) {
    let write = async {
        let piece = vec![b'x'; 64 * 1024];
        let mut left = LARGE - written;
        while left > 0 {
            let most = piece.len().min(left);
            from.write_all(&piece[..most]).await.unwrap();
            left -= most;
        }
    };
    let read = async {
        let mut piece = vec![0; 64 * 1024];
        let mut left = LARGE;
        while left > 0 {
            let most = piece.len().min(left);
            let read = to.read(&mut piece[..most]).await.unwrap();
            assert!(read > 0, "{left} bytes are missing");
            assert!(piece[..read].iter().all(|byte| *byte == b'x'));
            left -= read;
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn a_large_body_waits_at_its_sender_not_here() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client
        .send(&format!("POST /x HTTP/1.1\r\nhost: shop\r\ncontent-length: {LARGE}\r\n\r\n"))
        .await;
    let mut upstream = rig.upstream().await;
    let seen = upstream.head().await;
    assert_eq!(header(&seen, "content-length"), Some(LARGE.to_string()));
    let held = write_until_full(&mut client.0).await;
    assert!(held < HELD_MAX, "{held} bytes are somewhere");
    move_rest(&mut client.0, &mut upstream.0, held).await;

    upstream.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")).await;
    client.head().await;
    let held = write_until_full(&mut upstream.0).await;
    assert!(held < HELD_MAX, "{held} bytes are somewhere");
    move_rest(&mut upstream.0, &mut client.0, held).await;

    client.send("GET /again HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    assert!(upstream.head().await.starts_with("GET /again "), "both connections go on");
}

#[tokio::test]
async fn every_piece_goes_on_as_it_comes() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client.send("POST /x HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    let seen = upstream.head().await;
    assert_eq!(header(&seen, "transfer-encoding").as_deref(), Some("chunked"));
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let got = client.head().await;
    assert_eq!(header(&got, "transfer-encoding").as_deref(), Some("chunked"));
    for _ in 0..3 {
        client.send("3\r\nabc\r\n").await;
        assert_eq!(upstream.until("abc\r\n").await, "3\r\nabc\r\n");
        upstream.send("2\r\nde\r\n").await;
        assert_eq!(client.until("de\r\n").await, "2\r\nde\r\n");
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(upstream.until("\r\n\r\n").await, "0\r\n\r\n");
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.until("\r\n\r\n").await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_get_may_have_a_body_too() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client
        .send(
            "GET /x HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\n\r\n",
        )
        .await;
    let mut upstream = rig.upstream().await;
    let seen = upstream.head().await;
    assert_eq!(header(&seen, "transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!(upstream.until("0\r\n\r\n").await, "3\r\nabc\r\n0\r\n\r\n");
    upstream.send(OK).await;
    assert!(client.message().await.ends_with("ok"));
}

#[tokio::test]
async fn announced_trailers_pass() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client
        .send(
            "POST /x HTTP/1.1\r\nhost: shop\r\nte: trailers\r\ntrailer: x-sum\r\n\
             transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 7\r\n\r\n",
        )
        .await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    assert_eq!(upstream.until("\r\n\r\n").await, "1\r\na\r\n0\r\nx-sum: 7\r\n\r\n");
    upstream
        .send(
            "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
             1\r\nb\r\n0\r\nx-sum: 8\r\n\r\n",
        )
        .await;
    client.head().await;
    assert_eq!(client.until("\r\n\r\n").await, "1\r\nb\r\n0\r\nx-sum: 8\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client
        .send("PUT /x HTTP/1.1\r\nhost: shop\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        .await;
    let mut upstream = rig.upstream().await;
    assert!(upstream.head().await.starts_with("PUT /x "));
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc").await;
    assert_eq!(upstream.until("abc").await, "abc");
    upstream.send(&format!("HTTP/1.1 100 Continue\r\n\r\n{OK}")).await;
    assert!(client.message().await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_request_at_the_upstream() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client.send("GET /long HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    drop(client);
    // A client that closes its side may still read: the first bytes find that nobody does.
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    while upstream.0.write_all(b"1\r\na\r\n").await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_response_that_ends_early_is_no_whole_response_for_the_client() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await;
    drop(upstream);
    let got = client.rest().await;
    assert!(!got.contains("0\r\n\r\n"), "{got}");
}

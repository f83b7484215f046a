//! Slow and greedy clients. The limits are short here, so that the sidecar's end of the
//! connection can be waited for.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use paygate::sidecar::server::Limits;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::rig::{OK, Rig, Wanted, Wire, header};

/// Long enough for no test to meet it.
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(50);

fn patient() -> Limits {
    Limits { head: NEVER, idle: NEVER, stall: NEVER, upstream: NEVER, ..Limits::default() }
}

async fn start(limits: Limits) -> Rig {
    Rig::start(Wanted { limits, ..Wanted::default() }).await
}

/// Waits until `/metrics` has the limits that acted, and how often; the others have 0. An end that
/// a client sees is counted at the same time.
async fn check_counted(rig: &Rig, expected: &[(&str, u64)]) {
    loop {
        let metrics = rig.ask_admin("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let acted: Vec<(&str, u64)> = metrics
            .lines()
            .filter_map(|line| {
                line.strip_prefix("paygate_limited_total{limit=\"")?.split_once("\"} ")
            })
            .map(|(limit, count)| (limit, count.parse().unwrap()))
            .filter(|(_, count)| *count > 0)
            .collect();
        if acted == expected {
            return;
        }
        let over = acted.iter().any(|it| {
            expected.iter().find(|(limit, _)| *limit == it.0).is_none_or(|known| known.1 < it.1)
        });
        assert!(!over, "{acted:?} instead of {expected:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let rig = start(Limits { head: SOON, ..patient() }).await;
    for begun in ["P", "POST", "GET / HTTP/1.1\r\nhost: shop\r\nx-a: ", "PRI * HTTP/2.0\r\n"] {
        let mut client = rig.client().await;
        client.send(begun).await;
        assert_eq!(client.rest().await, "", "{begun}");
    }
    check_counted(&rig, &[("head_timeout", 4)]).await;
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
    check_counted(&rig, &[("idle_timeout", 1)]).await;
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
    check_counted(&rig, &[("stall_timeout", 1)]).await;
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
    check_counted(&rig, &[("stall_timeout", 1)]).await;
}

#[tokio::test]
async fn a_connection_in_use_keeps_its_place() {
    let rig = start(Limits { connections: 1, ..patient() }).await;
    let mut first = rig.client().await;
    first.send("GET /first HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    assert!(upstream.head().await.starts_with("GET /first "));
    let mut second = rig.client().await;
    second.send("GET /second HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    upstream.send(OK).await;
    first.message().await;
    // Idle, it makes room for the second one.
    assert_eq!(first.rest().await, "");
    assert!(upstream.head().await.starts_with("GET /second "));
    upstream.send(OK).await;
    second.message().await;
}

#[tokio::test]
async fn the_longest_idle_connection_ends_for_a_new_one() {
    let rig = start(Limits { connections: 3, ..patient() }).await;
    let mut upstreams = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = rig.client().await;
        client.send("GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
        let mut upstream = rig.upstream().await;
        upstream.head().await;
        upstreams.push(upstream);
        clients.push(client);
    }
    // The third one becomes idle first, and the first one stays in use.
    for at in [2, 1] {
        upstreams[at].send(OK).await;
        clients[at].message().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let payment = "POST /pay/createPayment HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\n\r\n";
    let mut new = rig.client().await;
    new.send(payment).await;
    assert!(new.message().await.starts_with("HTTP/1.1 415 "));
    assert_eq!(clients[2].rest().await, "");
    clients[1].send(payment).await;
    assert!(clients[1].message().await.starts_with("HTTP/1.1 415 "));
    upstreams[0].send(OK).await;
    assert!(clients[0].message().await.starts_with("HTTP/1.1 200 "));
    check_counted(&rig, &[("connections", 1), ("connections_shed", 1)]).await;
}

#[tokio::test]
async fn every_connection_to_the_upstream_in_use_is_a_503() {
    let rig = start(Limits { upstreams: 1, ..patient() }).await;
    let get = "GET / HTTP/1.1\r\nhost: shop\r\n\r\n";
    let mut first = rig.client().await;
    first.send(get).await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    let busy = rig.ask(get).await;
    assert!(busy.starts_with("HTTP/1.1 503 ") && busy.contains("upstream_busy"), "{busy}");
    assert_eq!(header(&busy, "retry-after").as_deref(), Some("1"));
    upstream.send(OK).await;
    first.message().await;
    first.send(get).await;
    upstream.head().await;
    upstream.send(OK).await;
    assert!(first.message().await.starts_with("HTTP/1.1 200 "));
    check_counted(&rig, &[("upstream_connections", 1)]).await;
}

#[tokio::test]
async fn an_upstream_that_answers_nobody_leaves_connections_to_payments() {
    let rig = start(patient().with_connections(16)).await;
    let get = "GET / HTTP/1.1\r\nhost: shop\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..14 {
        let mut client = rig.client().await;
        client.send(get).await;
        let mut upstream = rig.upstream().await;
        upstream.head().await;
        held.push((client, upstream));
    }
    let mut refused = Vec::new();
    for _ in 0..20 {
        let mut client = rig.client().await;
        client.send(get).await;
        let busy = client.message().await;
        assert!(busy.contains("upstream_busy"), "{busy}");
        refused.push(client);
    }
    let payment = "POST /pay/createPayment HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\n\r\n";
    for _ in 0..3 {
        let mut client = rig.client().await;
        client.send(payment).await;
        assert!(client.message().await.starts_with("HTTP/1.1 415 "));
        refused.push(client);
    }
    for (client, upstream) in &mut held {
        upstream.send(OK).await;
        assert!(client.message().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_a_504() {
    let rig = start(Limits { upstream: SOON, ..patient() }).await;
    let mut client = rig.client().await;
    client.send("POST /x HTTP/1.1\r\nhost: shop\r\ncontent-length: 2\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    // The client is waited for, not the upstream.
    tokio::time::sleep(3 * SOON).await;
    client.send("ab").await;
    let got = client.message().await;
    assert!(got.starts_with("HTTP/1.1 504 ") && got.contains("upstream_timeout"), "{got}");
    assert_eq!(upstream.rest().await, "ab");
    check_counted(&rig, &[("upstream_timeout", 1)]).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_a_408() {
    // The pieces come sooner than the stall limit, and slower than the least rate.
    let rig = start(Limits { body_rate: 1_000_000_000, ..patient() }).await;
    tokio::time::pause();
    let mut client = rig.client().await;
    client.send("POST /x HTTP/1.1\r\nhost: shop\r\ncontent-length: 100\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    for _ in 0..12 {
        if client.0.write_all(b"a").await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 408 ") && got.contains("body_timeout"), "{got}");
    check_counted(&rig, &[("body_rate", 1)]).await;
}

#[tokio::test]
async fn a_quiet_tunnel_ends() {
    let rig = start(Limits { tunnel: SOON, ..patient() }).await;
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
    assert_eq!(client.rest().await, "");
    assert_eq!(upstream.rest().await, "");
    check_counted(&rig, &[("tunnel_timeout", 1)]).await;
}

/// A connection of HTTP/2 that opens no window for responses.
async fn closed_window(
    rig: &Rig,
) -> (hyper::client::conn::http2::SendRequest<Empty<Bytes>>, JoinSet<()>) {
    let socket = TokioIo::new(rig.client().await.0);
    let mut http = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    http.initial_stream_window_size(0);
    let (sender, connection) = http.handshake(socket).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let _ = connection.await;
    });
    (sender, tasks)
}

#[tokio::test]
async fn a_stream_whose_window_stays_closed_is_reset() {
    let rig = start(Limits { stall: SOON, ..patient() }).await;
    let (mut sender, _tasks) = closed_window(&rig).await;
    let request = || http::Request::get("http://shop/large").body(Empty::<Bytes>::new()).unwrap();
    let answers = [sender.send_request(request()), sender.send_request(request())];
    let serve = async {
        for _ in 0..2 {
            let mut upstream = rig.upstream().await;
            upstream.head().await;
            upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n").await;
            // The connection to the upstream ends with the stream.
            let piece = [b'x'; 10_000];
            while upstream.0.write_all(&piece).await.is_ok() {}
        }
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(answers), serve);
    for answer in answers {
        let body = answer.unwrap().into_body();
        assert!(body.collect().await.is_err(), "the stream is reset");
    }
    check_counted(&rig, &[("stall_timeout", 2)]).await;
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_in_http_2() {
    let rig = start(patient()).await;
    for addr in [rig.public, rig.admin] {
        let socket = TokioIo::new(Wire::to(addr).await.0);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), socket).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        for path in ["/readyz", "/pay/createPayment", "/pay//createPayment", "/livez"] {
            let head = http::Request::head(format!("http://shop{path}"));
            // The proxy's own requests wait for the upstream.
            if addr == rig.public && path.ends_with('z') {
                continue;
            }
            let answer = sender.send_request(head.body(Empty::<Bytes>::new()).unwrap()).await;
            let answer = answer.unwrap();
            assert_ne!(answer.headers()["content-length"], "0", "{path}");
            assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty(), "{path}");
        }
    }
}

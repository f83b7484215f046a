//! Where one message ends and the next begins: no client can make the sidecar and the upstream see
//! that differently.

use super::rig::{OK, Rig, Wanted, header};

/// `request` is refused, and the upstream sees nothing of it: the next request is the first one
/// that it sees.
async fn check_refused(rig: &Rig, what: &str, request: &str) {
    let mut client = rig.client().await;
    client.send(request).await;
    let got = tokio::select! {
        got = client.rest() => got,
        mut upstream = rig.upstream() => panic!("{what}: {}", upstream.head().await),
    };
    assert!(got.is_empty() || got.starts_with("HTTP/1.1 400 "), "{what}: {got}");
    let marked = format!("GET /after?{} HTTP/1.1\r\nhost: shop\r\n\r\n", what.replace(' ', "+"));
    let (seen, _) = rig.exchange(&marked, OK).await;
    assert!(seen.starts_with(&marked[..marked.len() - 4]), "{what}: {seen}");
}

#[tokio::test]
async fn invalidly_framed_requests_do_not_reach_the_upstream() {
    let rig = Rig::start(Wanted::default()).await;
    for (what, lines) in [
        ("two lengths", "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
        ("list of lengths", "content-length: 3, 4\r\n\r\nabcd"),
        ("signed length", "content-length: +3\r\n\r\nabc"),
        ("unknown coding", "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("coding after chunked", "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("folded line", "x-a: 1\r\n 2\r\n\r\n"),
        ("space before colon", "x-a : 1\r\n\r\n"),
        ("NUL in a value", "x-a: 1\0\r\n\r\n"),
        ("CR in a value", "x-a: 1\rx-b: 2\r\n\r\n"),
        ("no name", ": 1\r\n\r\n"),
    ] {
        let request = format!("POST /evil HTTP/1.1\r\nhost: shop\r\n{lines}");
        check_refused(&rig, what, &request).await;
    }
    let old = "POST /evil HTTP/1.0\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    check_refused(&rig, "chunked in 1.0", old).await;
    check_refused(&rig, "space in the target", "GET /a b HTTP/1.1\r\nhost: shop\r\n\r\n").await;
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let rig = Rig::start(Wanted::default()).await;
    for (what, lines) in [
        ("two hosts", "host: bank\r\nconnection: close\r\n\r\n"),
        (
            "coding under chunked",
            "transfer-encoding: gzip, chunked\r\nconnection: close\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked twice",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
             0\r\n\r\n",
        ),
    ] {
        let request = format!("POST /evil HTTP/1.1\r\nhost: shop\r\n{lines}");
        check_refused(&rig, what, &request).await;
    }
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_count_and_nothing_follows() {
    let rig = Rig::start(Wanted::default()).await;
    for lengths in ["content-length: 5\r\ntransfer-encoding", "transfer-encoding"] {
        let after = if lengths.len() > 20 { "" } else { "content-length: 5\r\n" };
        let mut client = rig.client().await;
        client
            .send(&format!(
                "POST /x HTTP/1.1\r\nhost: shop\r\n{lengths}: chunked\r\n{after}\r\n0\r\n\r\n\
                 GET /smuggled HTTP/1.1\r\nhost: shop\r\n\r\n"
            ))
            .await;
        let mut upstream = rig.upstream().await;
        let seen = upstream.head().await;
        assert_eq!(header(&seen, "content-length"), None, "{seen}");
        assert_eq!(header(&seen, "transfer-encoding").as_deref(), Some("chunked"), "{seen}");
        assert_eq!(upstream.until("0\r\n\r\n").await, "0\r\n\r\n");
        upstream.send(OK).await;
        let got = client.rest().await;
        assert_eq!(got.matches("HTTP/1.1").count(), 1, "{got}");
        assert!(got.starts_with("HTTP/1.1 200 OK"), "{got}");
    }
}

#[tokio::test]
async fn the_same_length_twice_is_one_length_and_bare_line_feeds_end_lines_as_for_us() {
    let rig = Rig::start(Wanted::default()).await;
    let twice =
        "POST /x HTTP/1.1\r\nhost: shop\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab";
    let (seen, _) = rig.exchange(twice, OK).await;
    assert_eq!(header(&seen, "content-length").as_deref(), Some("2"));
    let (seen, _) = rig.exchange("GET /x HTTP/1.1\nhost: shop\nx-a: 1\n\n", OK).await;
    assert!(seen.starts_with("GET /x HTTP/1.1\r\n"), "{seen}");
    assert_eq!(header(&seen, "x-a").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_connection_on_which_the_upstream_sent_too_much_is_not_used_again() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client.send("GET /first HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    upstream.send(&format!("{OK}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")).await;
    assert!(client.message().await.ends_with("ok"));
    assert_eq!(upstream.rest().await, "");
    client.send("GET /second HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    assert!(upstream.head().await.starts_with("GET /second "));
    upstream.send(OK).await;
    assert!(client.message().await.ends_with("ok"));
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_whole_request_for_the_upstream() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client
        .send("POST /x HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nZZ")
        .await;
    client.send("\r\n").await;
    let mut upstream = rig.upstream().await;
    assert_eq!(upstream.rest().await.matches("0\r\n").count(), 0);
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 400 ") && got.contains("body_broken"), "{got}");
}

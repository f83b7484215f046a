//! Where one message ends and the next begins: no client can make the sidecar and the upstream see
//! that differently.

use tokio::io::AsyncWriteExt;

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
        ("the host twice", "host: shop\r\nconnection: close\r\n\r\n"),
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
        for path in ["/evil", "/pay/createPayment"] {
            let request = format!("POST {path} HTTP/1.1\r\nhost: shop\r\n{lines}");
            check_refused(&rig, what, &request).await;
        }
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
    let forwarded = upstream.rest().await;
    assert!(!forwarded.contains("\r\n0\r\n"), "the last chunk: {forwarded}");
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 400 ") && got.contains("body_broken"), "{got}");
}

/// The status of the refusal of `request` at both listeners, which has words.
async fn check_answered(rig: &Rig, request: &str, status: u16, error: &str) {
    for got in [rig.ask(request).await, rig.ask_admin(request).await] {
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {got}");
        assert!(got.contains(&format!("\"error\":\"{error}\"")), "{request}: {got}");
    }
}

#[tokio::test]
async fn a_request_line_and_a_host_leave_nothing_to_interpretation() {
    let rig = Rig::start(Wanted::default()).await;
    for host in [
        "",
        "host: a b\r\n",
        "host: evil.com/path\r\n",
        "host: u@h\r\n",
        "host: http://x\r\n",
        "host: a,b\r\n",
        "host: [::1\r\n",
        "host: \r\n",
        "host: a\r\nhost: b\r\n",
    ] {
        for line in ["GET /x HTTP/1.1", "POST /pay/createPayment HTTP/1.1"] {
            check_answered(&rig, &format!("{line}\r\n{host}\r\n"), 400, "bad_request").await;
        }
    }
    for target in ["orders", "evil.example:80", "*", "http://u@evil/x", "ftp://evil/x"] {
        let request = format!("DELETE {target} HTTP/1.1\r\nhost: shop\r\n\r\n");
        check_answered(&rig, &request, 400, "bad_request").await;
    }
    for method in ["TRACE /x", "CONNECT shop:80"] {
        let request = format!("{method} HTTP/1.1\r\nhost: shop\r\n\r\n");
        check_answered(&rig, &request, 405, "method_not_allowed").await;
    }
    for target in ["/x#y", "/#", "http://shop/x#y", "http://shop#y", "/x?y#z"] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: shop\r\n\r\n");
        check_answered(&rig, &request, 400, "bad_request").await;
    }
    let order = "POST /pay/createPayment#x HTTP/1.1\r\nhost: shop\r\n\r\n";
    check_answered(&rig, order, 400, "bad_request").await;
    // An old health check has no host; the upstream would get its own address for one.
    let old = rig.ask_admin("GET /livez HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
    let old = rig.ask("GET /x HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 400 "), "{old}");
}

#[tokio::test]
async fn a_fragment_is_refused_behind_other_requests_too() {
    let rig = Rig::start(Wanted::default()).await;
    let good = "GET /good HTTP/1.1\r\nhost: shop\r\nreferer: /#a\r\n\r\n";
    let body = "POST /good HTTP/1.1\r\nhost: shop\r\ncontent-length: 19\r\n\r\n\
                GET /x#y HTTP/1.1\r\n";
    let chunks = "POST /good HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n\
                  2;a=#\r\n#\n\r\n0\r\nx-a: #\r\n\r\n";
    for before in [good, body, chunks] {
        let mut client = rig.client().await;
        let bad = "GET /x#y HTTP/1.1\r\nhost: shop\r\n\r\n";
        client.send(&format!("{before}{bad}{bad}")).await;
        let mut upstream = rig.upstream().await;
        assert!(upstream.head().await.contains(" /good "));
        upstream.send(OK).await;
        assert!(client.message().await.starts_with("HTTP/1.1 200 "), "{before}");
        let got = client.message().await;
        assert!(got.starts_with("HTTP/1.1 400 ") && got.contains("bad_request"), "{before}: {got}");
        assert_eq!(client.rest().await, "", "what follows a fragment is not read");
        let mut next = rig.client().await;
        next.send("GET /next HTTP/1.1\r\nhost: shop\r\n\r\n").await;
        let seen = upstream.until("GET /next ").await;
        assert!(!seen.contains("GET /x HTTP"), "{before}: {seen}");
    }
}

#[tokio::test]
async fn a_length_reaches_the_upstream_in_one_form() {
    let rig = Rig::start(Wanted::default()).await;
    let octal = "POST /x HTTP/1.1\r\nhost: shop\r\ncontent-length: 002\r\n\r\nab";
    let (seen, _) = rig.exchange(octal, OK).await;
    assert_eq!(header(&seen, "content-length").as_deref(), Some("2"));
}

#[tokio::test]
async fn a_request_with_trailers_keeps_its_connection() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    for _ in 0..2 {
        client
            .send(
                "POST /x HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n\
                 1\r\na\r\n0\r\nx-sum: 7\r\n\r\n",
            )
            .await;
        let mut upstream = rig.upstream().await;
        upstream.until("0\r\n\r\n").await;
        upstream.send(OK).await;
        let got = client.message().await;
        assert_eq!(header(&got, "connection"), None, "{got}");
    }
}

#[tokio::test]
async fn http_1_0_has_no_upgrades() {
    let rig = Rig::start(Wanted::default()).await;
    let old = "GET /x HTTP/1.0\r\nhost: shop\r\nconnection: upgrade\r\n\
               upgrade: websocket\r\n\r\n";
    let (seen, got) = rig.exchange(old, OK).await;
    assert_eq!(header(&seen, "upgrade"), None, "{seen}");
    assert_eq!(header(&seen, "connection"), None, "{seen}");
    assert!(got.starts_with("HTTP/1.0 200 "), "{got}");
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_refused_with_words() {
    let rig = Rig::start(Wanted::default()).await;
    let get = "GET /x HTTP/1.1\r\nhost: shop\r\n";
    let lines = "x-a: 1\r\n".repeat(100);
    check_answered(&rig, &format!("{get}{lines}\r\n"), 431, "head_too_large").await;
    let long = format!("{get}x-a: {}\r\n\r\n", "x".repeat(70_000));
    check_answered(&rig, &long, 431, "head_too_large").await;
    check_answered(&rig, &format!("{get}x a: 1\r\n\r\n"), 400, "bad_request").await;
    let length = |length: &str| format!("{get}content-length: {length}\r\n\r\n");
    check_answered(&rig, &length("18446744073709551614"), 413, "body_too_large").await;
    check_answered(&rig, &length("18446744073709551616"), 400, "bad_request").await;
}

#[tokio::test]
async fn an_upstreams_own_empty_refusal_gets_no_words() {
    let rig = Rig::start(Wanted::default()).await;
    let empty = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let (_, got) = rig.exchange("GET /x HTTP/1.1\r\nhost: shop\r\n\r\n", empty).await;
    assert!(got.starts_with("HTTP/1.1 400 ") && got.ends_with("\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn a_body_that_is_not_read_ends_the_connection_and_the_client_gets_the_answer() {
    let rig = Rig::start(Wanted::default()).await;
    let large = "x".repeat(8_000_000);
    let json = "content-type: application/json\r\n";
    for (request, kind, status) in [
        ("POST /pay/createPayment", json, 413),
        ("POST /pay/createPayment", "", 415),
        ("PUT /pay/createPayment", json, 405),
        ("POST /pay//createPayment", json, 404),
        ("TRACE /x", json, 405),
    ] {
        let mut client = rig.client().await;
        let length = large.len();
        client
            .send(&format!(
                "{request} HTTP/1.1\r\nhost: shop\r\n{kind}content-length: {length}\r\n\r\n"
            ))
            .await;
        // All of it, as Node's and Python's clients do, and only then the answer.
        client.send(&large).await;
        let got = client.message().await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {got}");
        assert_eq!(header(&got, "connection").as_deref(), Some("close"), "{request}");
    }
}

#[tokio::test]
async fn an_upstreams_early_answer_ends_the_connection_too() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client.send("POST /x HTTP/1.1\r\nhost: shop\r\ncontent-length: 8000000\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert_eq!(header(&head, "connection").as_deref(), Some("close"));
}

#[tokio::test]
async fn a_request_whose_body_was_read_keeps_its_connection() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    for body in
        ["content-length: 2\r\n\r\n{}", "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
    {
        client
            .send(&format!(
                "POST /pay/createPayment HTTP/1.1\r\nhost: shop\r\n\
                 content-type: application/json\r\n{body}"
            ))
            .await;
        let got = client.message().await;
        assert!(got.starts_with("HTTP/1.1 422 "), "{got}");
        assert_eq!(header(&got, "connection"), None);
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_gets_the_answer() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client.send("GET /x HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    client.0.shutdown().await.unwrap();
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    assert!(client.message().await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_response_is_framed_in_one_way_or_refused() {
    let rig = Rig::start(Wanted::default()).await;
    let request = "GET /x HTTP/1.1\r\nhost: shop\r\n\r\n";
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    let both = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = rig.client().await;
    client.send(request).await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    upstream.send(&format!("{both}{chunks}")).await;
    let head = client.head().await;
    assert_eq!(header(&head, "content-length"), None, "{head}");
    assert_eq!(client.until("0\r\n\r\n").await, chunks);
    drop(upstream);

    for lengths in ["2, 2", "2\r\ncontent-length: 2"] {
        let twice = format!("HTTP/1.1 200 OK\r\ncontent-length: {lengths}\r\n\r\nok");
        let (_, got) = rig.exchange(request, &twice).await;
        assert_eq!(header(&got, "content-length").as_deref(), Some("2"));
        assert!(got.ends_with("\r\n\r\nok"), "{got}");
    }

    for coding in ["gzip, chunked", "gzip", "identity", "chunked\r\ntransfer-encoding: chunked"] {
        let coded = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {coding}\r\n\r\n{chunks}");
        let (_, got) = rig.exchange(request, &coded).await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{coding}: {got}");
    }
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: 1\r\n".repeat(101));
    let (_, got) = rig.exchange(request, &many).await;
    assert!(got.starts_with("HTTP/1.1 502 ") && got.contains("upstream_head_too_large"), "{got}");
}

#[tokio::test]
async fn trailers_that_look_like_headers_of_ours_do_not_pass() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client
        .send(
            "POST /x HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\
             trailer: X-Forwarded-For, x-sum, x_real_ip\r\n\r\n1\r\na\r\n0\r\n\
             x-forwarded-for: 1.2.3.4\r\nx-sum: 7\r\nx_real_ip: 1.2.3.4\r\n\r\n",
        )
        .await;
    let mut upstream = rig.upstream().await;
    let head = upstream.head().await;
    assert_eq!(header(&head, "trailer").as_deref(), Some("x-sum"));
    assert_eq!(upstream.until("\r\n\r\n").await, "1\r\na\r\n0\r\nx-sum: 7\r\n\r\n");
    upstream.send(OK).await;
    client.message().await;
}

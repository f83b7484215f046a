//! Requests and responses go through as they are, but for what belongs to one connection.

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use super::rig::{OK, Rig, Wanted, header};

#[tokio::test]
async fn method_path_and_query_arrive_byte_for_byte() {
    let rig = Rig::start(Wanted::default()).await;
    for target in ["/a%2Fb//c;x?y=%zz", "//evil.example/x", "/./../a/%2e/", "/?", "/x?a=/../b"] {
        let request = format!("BREW {target} HTTP/1.1\r\nhost: shop\r\n\r\n");
        let (seen, _) = rig.exchange(&request, OK).await;
        assert_eq!(seen.lines().next(), Some(format!("BREW {target} HTTP/1.1").as_str()));
    }
    let (seen, _) = rig.exchange("OPTIONS * HTTP/1.1\r\nhost: shop\r\n\r\n", OK).await;
    assert!(seen.starts_with("OPTIONS * HTTP/1.1\r\n"), "{seen}");
}

#[tokio::test]
async fn a_request_in_absolute_form_changes_the_host_and_never_the_upstream() {
    let rig = Rig::start(Wanted::default()).await;
    let request = "GET http://evil.example:81/x?y HTTP/1.1\r\nhost: shop\r\n\r\n";
    let (seen, _) = rig.exchange(request, OK).await;
    assert!(seen.starts_with("GET /x?y HTTP/1.1\r\n"), "{seen}");
    assert_eq!(header(&seen, "host").as_deref(), Some("evil.example:81"));
}

#[tokio::test]
async fn what_belongs_to_one_connection_ends_here() {
    let rig = Rig::start(Wanted::default()).await;
    let request = "GET / HTTP/1.1\r\nhost: shop\r\nconnection: keep-alive, x-mine\r\n\
        x-mine: 1\r\nkeep-alive: 5\r\nproxy-connection: x\r\nproxy: evil\r\nte: trailers\r\n\
        cookie: a=1\r\nx-twice: 1\r\nx-twice: 2\r\n\r\n";
    let response = "HTTP/1.1 207 So So\r\nconnection: close, x-theirs\r\nx-theirs: 1\r\n\
        set-cookie: a=1\r\nset-cookie: b=2\r\nserver: theirs\r\ncontent-length: 2\r\n\r\nok";
    let (seen, got) = rig.exchange(request, response).await;
    for name in ["connection", "x-mine", "keep-alive", "proxy-connection", "proxy"] {
        assert_eq!(header(&seen, name), None, "{seen}");
    }
    assert_eq!(header(&seen, "host").as_deref(), Some("shop"));
    assert_eq!(header(&seen, "te").as_deref(), Some("trailers"));
    assert_eq!(header(&seen, "cookie").as_deref(), Some("a=1"));
    assert_eq!(header(&seen, "x-twice").as_deref(), Some("1 | 2"));
    assert!(got.starts_with("HTTP/1.1 207 So So\r\n") && got.ends_with("\r\n\r\nok"), "{got}");
    assert_eq!(header(&got, "x-theirs"), None);
    assert_eq!(header(&got, "connection"), None);
    assert_eq!(header(&got, "set-cookie").as_deref(), Some("a=1 | b=2"));
    assert_eq!(header(&got, "server").as_deref(), Some("theirs"));
}

#[track_caller]
fn check_forwarded(seen: &str, [chain, proto, host]: [&str; 3]) {
    assert_eq!(header(seen, "x-forwarded-for").as_deref(), Some(chain), "{seen}");
    assert_eq!(header(seen, "x-forwarded-proto").as_deref(), Some(proto), "{seen}");
    assert_eq!(header(seen, "x-forwarded-host").as_deref(), Some(host), "{seen}");
}

#[tokio::test]
async fn the_upstream_receives_the_forwarded_headers() {
    let request = "GET / HTTP/1.1\r\nhost: shop\r\nx-forwarded-for: 1.2.3.4\r\n\
        x-forwarded-for: 5.6.7.8\r\nx-forwarded-proto: https\r\nx-forwarded-host: bank\r\n\
        x-forwarded-prefix: /x\r\n\r\n";

    let strangers = Rig::start(Wanted::default()).await;
    let (seen, _) = strangers.exchange(request, OK).await;
    check_forwarded(&seen, ["127.0.0.1", "http", "shop"]);
    assert_eq!(header(&seen, "x-forwarded-prefix"), None);
    let folded = "GET / HTTP/1.1\r\nhost: shop\r\nX_Forwarded_For: 1.2.3.4\r\n\
        X-Forwarded_Proto: https\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n\
        X_Real_IP: 1.2.3.4\r\n\r\n";
    let (seen, _) = strangers.exchange(folded, OK).await;
    check_forwarded(&seen, ["127.0.0.1", "http", "shop"]);
    assert!(!seen.contains('_') && !seen.contains("1.2.3.4"), "{seen}");
    assert_eq!(header(&seen, "x-real-ip").as_deref(), Some("127.0.0.1"));

    let trusted = Wanted { trusted: "127.0.0.0/8", ..Wanted::default() };
    let trusted = Rig::start(trusted).await;
    let (seen, _) = trusted.exchange(request, OK).await;
    check_forwarded(&seen, ["1.2.3.4, 5.6.7.8, 127.0.0.1", "https", "bank"]);
    assert_eq!(header(&seen, "x-forwarded-prefix").as_deref(), Some("/x"));
    let (seen, _) = trusted.exchange("GET / HTTP/1.1\r\nhost: shop\r\n\r\n", OK).await;
    check_forwarded(&seen, ["127.0.0.1", "http", "shop"]);
}

#[tokio::test]
async fn a_request_that_comes_back_is_a_loop() {
    let rig = Rig::start(Wanted::default()).await;
    let (seen, _) = rig.exchange("GET / HTTP/1.1\r\nhost: shop\r\n\r\n", OK).await;
    let mark = header(&seen, "x-paygate-via").unwrap();
    let back =
        format!("POST /pay/refund HTTP/1.1\r\nhost: shop\r\nx-paygate-via: x, {mark}\r\n\r\n");
    for got in [rig.ask(&back).await, rig.ask_admin(&back).await] {
        assert!(got.starts_with("HTTP/1.1 508 ") && got.contains("loop_detected"), "{got}");
    }
    // Another process's mark is legal, and stays.
    let other = "GET / HTTP/1.1\r\nhost: shop\r\nx-paygate-via: other\r\n\r\n";
    let (seen, got) = rig.exchange(other, OK).await;
    assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
    assert_eq!(header(&seen, "x-paygate-via"), Some(format!("other | {mark}")));
}

#[tokio::test]
async fn responses_without_a_body_keep_their_length() {
    let rig = Rig::start(Wanted::default()).await;
    let sized = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n";
    let mut client = rig.client().await;
    client.send("HEAD / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut upstream = rig.upstream().await;
    upstream.head().await;
    upstream.send(sized).await;
    let head = client.head().await;
    assert_eq!(header(&head, "content-length").as_deref(), Some("7"));

    client.send("GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    upstream.head().await;
    upstream.send("HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 304 ") && head.contains("etag: \"x\""), "{head}");
}

#[tokio::test]
async fn old_and_new_versions_are_spoken_in_front_and_1_1_behind() {
    let rig = Rig::start(Wanted::default()).await;
    let (seen, got) = rig.exchange("GET /old HTTP/1.0\r\nhost: shop\r\n\r\n", OK).await;
    assert!(seen.starts_with("GET /old HTTP/1.1\r\n"), "{seen}");
    assert_eq!(header(&seen, "host").as_deref(), Some("shop"));
    assert!(got.starts_with("HTTP/1.0 200 OK\r\n"), "{got}");

    let old = "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let (_, got) = rig.exchange("GET /new HTTP/1.1\r\nhost: shop\r\n\r\n", old).await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
}

#[tokio::test]
async fn http_2_reaches_an_upstream_that_speaks_1_1() {
    let rig = Rig::start(Wanted::default()).await;
    let socket = TokioIo::new(rig.client().await.0);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), socket).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::post("http://shop.example/a%2Fb?c")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::new(Bytes::from_static(b"hello")))
        .unwrap();
    let upstream = async {
        let mut upstream = rig.upstream().await;
        let seen = upstream.message().await;
        upstream.send("HTTP/1.1 200 OK\r\nconnection: x\r\ncontent-length: 2\r\n\r\nok").await;
        seen
    };
    let (response, seen) = tokio::join!(sender.send_request(request), upstream);
    assert!(seen.starts_with("POST /a%2Fb?c HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\nhello"), "{seen}");
    assert_eq!(header(&seen, "host").as_deref(), Some("shop.example"));
    assert_eq!(header(&seen, "cookie").as_deref(), Some("a=1; b=2"));
    assert_eq!(header(&seen, "x-forwarded-host").as_deref(), Some("shop.example"));
    let response = response.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 200));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn an_upgrade_joins_both_sides() {
    let rig = Rig::start(Wanted::default()).await;
    let mut client = rig.client().await;
    client
        .send(
            "GET /chat HTTP/1.1\r\nhost: shop\r\nconnection: keep-alive, Upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-key: x\r\n\r\n",
        )
        .await;
    let mut upstream = rig.upstream().await;
    let seen = upstream.head().await;
    assert_eq!(header(&seen, "connection").as_deref(), Some("upgrade"));
    assert_eq!(header(&seen, "upgrade").as_deref(), Some("websocket"));
    assert_eq!(header(&seen, "sec-websocket-key").as_deref(), Some("x"));
    upstream
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n\
             upgrade: websocket\r\n\r\nhi",
        )
        .await;
    let got = client.head().await;
    assert!(got.starts_with("HTTP/1.1 101 "), "{got}");
    assert_eq!(header(&got, "upgrade").as_deref(), Some("websocket"));
    assert_eq!(client.until("hi").await, "hi");
    client.send("\0there").await;
    assert_eq!(upstream.until("there").await, "\0there");
    drop(upstream);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn an_upgrade_that_the_upstream_declines_is_a_plain_response() {
    let rig = Rig::start(Wanted::default()).await;
    let request =
        "GET / HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let (_, got) = rig.exchange(request, OK).await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
}

#[tokio::test]
async fn http_cannot_be_tunnelled_past_the_payment_layer() {
    let rig = Rig::start(Wanted::default()).await;
    let request = "GET / HTTP/1.1\r\nhost: shop\r\nconnection: upgrade, http2-settings\r\n\
        upgrade: h2c\r\nhttp2-settings: x\r\n\r\n";
    let switched =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
    let (seen, got) = rig.exchange(request, switched).await;
    assert_eq!(header(&seen, "upgrade"), None);
    assert_eq!(header(&seen, "http2-settings"), None);
    assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
    let connect = rig.ask("CONNECT bank:443 HTTP/1.1\r\nhost: bank:443\r\n\r\n").await;
    assert!(connect.starts_with("HTTP/1.1 405 "), "{connect}");
}

#[track_caller]
fn check_refusal(got: &str, status: &str, error: &str) {
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], status.parse::<u16>().unwrap());
    assert_eq!(body["error"], error);
    assert_eq!(body["requestId"], "r-1");
    assert_eq!(header(head, "x-request-id").as_deref(), Some("r-1"));
}

#[tokio::test]
async fn without_an_answer_of_the_upstream_paygate_answers() {
    let request = "GET /x HTTP/1.1\r\nhost: shop\r\nx-request-id: r-1\r\n\r\n";
    let mut rig = Rig::start(Wanted::default()).await;
    let (_, got) = rig.exchange(request, "").await;
    check_refusal(&got, "502", "upstream_failed");
    let (_, got) = rig.exchange(request, "SMTP ready\r\n\r\n").await;
    check_refusal(&got, "502", "upstream_failed");
    rig.upstream_dies();
    check_refusal(&rig.ask(request).await, "502", "upstream_unreachable");
    let alone = Rig::start(Wanted { upstream: false, ..Wanted::default() }).await;
    check_refusal(&alone.ask(request).await, "404", "not_found");
}

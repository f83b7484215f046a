//! The wire: what was sent, what may have been, and what never is.

use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::Request;
use paygate::provider::{Http, Transport, TransportFailure};
use paygate::testing::transport::allows;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::TransportResult;

/// Long enough never to end a test's request, which a machine under load may slow down.
const LONG: Duration = Duration::from_secs(60);
/// Short, since it always passes to its end.
const SHORT: Duration = Duration::from_millis(30);

fn get(uri: &str) -> Request<Bytes> {
    Request::get(uri).body(Bytes::new()).unwrap()
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    (listener, authority)
}

/// What the client makes of a server that treats each connection, one after the other, as
/// `serve` does.
async fn sent_to<F: Future<Output = TcpStream>>(
    http: &Http,
    (uri, timeout): (&str, Duration),
    (listener, serve): (&TcpListener, impl Fn(TcpStream) -> F),
) -> TransportResult {
    let server = async {
        let mut held = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            held.push(serve(stream).await);
        }
    };
    let client = http.send(get(uri), timeout);
    match select(pin!(server), client).await {
        Either::Left(_) => unreachable!("the server never ends"),
        Either::Right((result, _)) => result,
    }
}

/// Reads a request's head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Reads a request and answers with `text`; hangs up when `text` says it will.
async fn answered(mut stream: TcpStream, text: &str) -> TcpStream {
    head(&mut stream).await;
    // A client that had enough hangs up.
    let _ = stream.write_all(text.as_bytes()).await;
    if text.contains("close") {
        let _ = stream.shutdown().await;
    }
    stream
}

/// The answer to a server that says `text`.
async fn check_answer(text: &str) -> TransportResult {
    let (listener, authority) = listener().await;
    let uri = format!("http://{authority}/");
    sent_to(&Http::new(), (&uri, LONG), (&listener, |it| answered(it, text))).await
}

#[tokio::test]
async fn a_refused_connection_sent_nothing() {
    let (listener, authority) = listener().await;
    drop(listener);
    for scheme in ["http", "https"] {
        let result = Http::new().send(get(&format!("{scheme}://{authority}/")), LONG).await;
        assert!(matches!(result, Err(TransportFailure::NotSent(_))), "{result:?}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_sent_nothing() {
    let http = Http::with_connect_timeout(SHORT);
    let result = http.send(get("https://no-such-host.invalid/"), LONG).await;
    assert!(matches!(result, Err(TransportFailure::NotSent(_))), "{result:?}");
}

#[tokio::test]
async fn a_tls_handshake_that_fails_or_hangs_sent_nothing() {
    let (listener, authority) = listener().await;
    let uri = format!("https://{authority}/");
    let http = Http::with_connect_timeout(SHORT);
    let hangs = async |stream: TcpStream| stream;
    let result = sent_to(&http, (&uri, LONG), (&listener, hangs)).await;
    assert!(matches!(result, Err(TransportFailure::NotSent(_))), "{result:?}");

    let is_no_tls = async |mut stream: TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        stream
    };
    let result = sent_to(&Http::new(), (&uri, LONG), (&listener, is_no_tls)).await;
    assert!(matches!(result, Err(TransportFailure::NotSent(_))), "{result:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_unknown() {
    let (listener, authority) = listener().await;
    let uri = format!("http://{authority}/");
    let http = Http::new();
    let hangs_up_unread = async |mut stream: TcpStream| {
        let _ = stream.shutdown().await;
        stream
    };
    let result = sent_to(&http, (&uri, LONG), (&listener, hangs_up_unread)).await;
    assert!(matches!(result, Err(TransportFailure::OutcomeUnknown(_))), "{result:?}");

    for text in [
        "close",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "SSH-2.0-OpenSSH_9.6 close\r\n",
    ] {
        let result = check_answer(text).await;
        assert!(matches!(result, Err(TransportFailure::OutcomeUnknown(_))), "{text}: {result:?}");
    }
}

#[tokio::test]
async fn no_answer_in_time_leaves_the_outcome_unknown() {
    let (listener, authority) = listener().await;
    let uri = format!("http://{authority}/");
    let silent = async |stream: TcpStream| stream;
    let result = sent_to(&Http::new(), (&uri, SHORT), (&listener, silent)).await;
    assert_eq!(
        result.unwrap_err(),
        TransportFailure::OutcomeUnknown("no answer in time".to_owned())
    );

    let head_only = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let result =
        sent_to(&Http::new(), (&uri, SHORT), (&listener, |it| answered(it, head_only))).await;
    assert!(matches!(result, Err(TransportFailure::OutcomeUnknown(_))), "{result:?}");
}

#[tokio::test]
async fn a_response_comes_whole_and_a_redirect_is_one() {
    let text = "HTTP/1.1 404 Not Found\r\nrequest-id: 1\r\ncontent-length: 2\r\n\r\n{}";
    let response = check_answer(text).await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["request-id"], "1");
    assert_eq!(response.body(), "{}");

    for status in [301, 302, 303, 307, 308] {
        let text = format!(
            "HTTP/1.1 {status} Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
        );
        assert_eq!(check_answer(&text).await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn a_body_is_at_most_one_mebibyte() {
    let sized = |bytes: usize| {
        let body = "x".repeat(bytes);
        format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{body}")
    };
    let whole = check_answer(&sized(1 << 20)).await.unwrap();
    assert_eq!(whole.body().len(), 1 << 20);
    let result = check_answer(&sized((1 << 20) + 1)).await;
    assert!(matches!(result, Err(TransportFailure::OutcomeUnknown(_))));

    let (listener, authority) = listener().await;
    let uri = format!("http://{authority}/");
    let endless = async |mut stream: TcpStream| {
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = stream.write_all(chunked).await;
        while stream.write_all(b"4\r\nxxxx\r\n").await.is_ok() {}
        stream
    };
    let result = sent_to(&Http::new(), (&uri, LONG), (&listener, endless)).await;
    assert!(matches!(result, Err(TransportFailure::OutcomeUnknown(_))));
}

#[tokio::test]
async fn a_connection_is_used_again_and_names_our_user_agent() {
    let (listener, authority) = listener().await;
    let uri = format!("http://{authority}/v3/certificates?a=%7C");
    let http = Http::new();
    let heads = Mutex::new(Vec::new());
    // Two requests on one connection: a second connection would not be answered.
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            let head = head(&mut stream).await;
            heads.lock().unwrap().push(head);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    };
    let client = async {
        for _ in 0..2 {
            assert_eq!(http.send(get(&uri), LONG).await.unwrap().status(), 204);
        }
    };
    tokio::join!(server, client);
    for head in heads.into_inner().unwrap() {
        assert!(head.starts_with("GET /v3/certificates?a=%7C HTTP/1.1\r\n"), "{head}");
        let agent = concat!("user-agent: paygate/", env!("CARGO_PKG_VERSION"), "\r\n");
        assert!(head.contains(agent), "{head}");
        assert!(!head.to_lowercase().contains("accept-encoding"), "{head}");
    }
}

#[tokio::test]
async fn plain_http_goes_to_loopback_only() {
    let yes = [
        "https://api.mch.weixin.qq.com/v3/certificates",
        "http://127.0.0.1:8789/",
        "http://[::1]/",
        "http://127.8.9.1/",
        "http://localhost:8789/",
        "https://10.0.0.1/",
    ];
    for uri in yes {
        assert!(allows(&uri.parse().unwrap()), "{uri}");
    }
    let no = [
        "http://api.mch.weixin.qq.com/",
        "http://127.0.0.1.example.com/",
        "http://10.0.0.1/",
        "http://localhost.example.com/",
        "http://0.0.0.0/",
        "http://[::ffff:10.0.0.1]/",
        "ftp://127.0.0.1/",
        "/v3/certificates",
        "http://169.254.169.254/",
    ];
    for uri in no {
        assert!(!allows(&uri.parse().unwrap()), "{uri}");
        let result = Http::new().send(get(uri), LONG).await;
        assert!(matches!(result, Err(TransportFailure::NotSent(_))), "{uri}: {result:?}");
    }
}

#[tokio::test]
async fn an_error_never_repeats_the_url() {
    let (listener, authority) = listener().await;
    drop(listener);
    let uri = format!("http://{authority}/?app_auth_token=canary");
    let result = Http::new().send(get(&uri), LONG).await;
    assert!(!format!("{result:?}").contains("canary"), "{result:?}");
    let Err(TransportFailure::NotSent(reason)) = result else { panic!("{result:?}") };
    assert!(reason.starts_with("127.0.0.1 cannot be reached: "), "{reason}");
    assert!(reason.contains("Connection refused"), "the last cause: {reason}");
    assert!(!format!("{:?}", Http::new()).is_empty());
}

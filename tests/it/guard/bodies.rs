//! Reading a body.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use paygate::domain::{CreateRequest, MountPath};
use paygate::error::{Error, Kind};
use paygate::testing::guard::body::{read, read_json};
use paygate::testing::guard::{Guard, Mount};

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().expect("a header value"));
    }
    headers
}

async fn read_typed(pairs: &[(&'static str, &str)]) -> Result<Bytes, Kind> {
    let body = Full::new(Bytes::from_static(b"{}"));
    read_json(&headers(pairs), body, 64).await.map_err(|it| it.kind())
}

#[tokio::test]
async fn only_plain_json_is_read() {
    let good = [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json; charset=\"utf-8\"",
        "application/json;",
    ];
    for text in good {
        assert_eq!(read_typed(&[("content-type", text)]).await, Ok(Bytes::from("{}")), "{text}");
    }
    let bad = [
        "",
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "application/json; charset=gbk",
        "application/json; boundary=x",
        "application/jsonp",
        "application/problem+json",
    ];
    for text in bad {
        let refused = read_typed(&[("content-type", text)]).await;
        assert_eq!(refused, Err(Kind::UnsupportedMediaType), "{text}");
    }
    assert_eq!(read_typed(&[]).await, Err(Kind::UnsupportedMediaType));
    let json = ("content-type", "application/json");
    assert_eq!(read_typed(&[json, json]).await, Err(Kind::UnsupportedMediaType));
    for encoding in ["gzip", "br", "identity", "deflate, gzip", ""] {
        let refused = read_typed(&[json, ("content-encoding", encoding)]).await;
        assert_eq!(refused, Err(Kind::UnsupportedMediaType), "{encoding}");
    }
}

/// A body of `count` chunks of 16 bytes that counts how many were taken from it.
fn chunks(
    count: usize,
) -> (impl http_body::Body<Data = Bytes, Error = Infallible>, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let frames = stream::iter((0..count).map(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Frame::data(Bytes::from_static(b"0123456789abcdef")))
    }));
    (StreamBody::new(frames), taken)
}

#[tokio::test]
async fn a_body_is_refused_at_the_limit_before_more_is_taken() {
    for (count, kept) in [(0, 0), (1, 16), (4, 64)] {
        let (body, _) = chunks(count);
        let bytes = read(&HeaderMap::new(), body, 64).await.unwrap();
        assert_eq!(bytes, "0123456789abcdef".repeat(count));
        assert_eq!(bytes.len(), kept);
    }
    let (endless, taken) = chunks(usize::MAX);
    let refused = read(&HeaderMap::new(), endless, 64).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::BodyTooLarge);
    assert_eq!(taken.load(Ordering::Relaxed), 5);

    // An announced length is believed when it is too large, and never when it is small.
    for length in ["65", "1073741824", "18446744073709551615"] {
        let (body, taken) = chunks(1);
        let refused = read(&headers(&[("content-length", length)]), body, 64).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::BodyTooLarge);
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }
    let (body, _) = chunks(5);
    let refused = read(&headers(&[("content-length", "1")]), body, 64).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::BodyTooLarge);
    let full = Full::new(Bytes::from(vec![b' '; 65]));
    let large = read(&HeaderMap::new(), full, 64).await.unwrap_err();
    assert_eq!(large.kind(), Kind::BodyTooLarge);
    assert_eq!(large.texts(), ("请求体超过 64 字节", "the body is larger than 64 bytes"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let slow = read(&HeaderMap::new(), never, 64).await.unwrap_err();
    assert_eq!(
        (slow.kind(), slow.texts().1),
        (Kind::BodyTimeout, "the body did not arrive within 10 seconds")
    );
}

#[tokio::test]
async fn a_broken_connection_is_an_unreadable_body_and_trailers_are_skipped() {
    let data = || Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"{")));
    let broken = stream::iter([data(), Err(io::Error::other("gone"))]);
    let refused = read(&HeaderMap::new(), StreamBody::new(broken), 64).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::BodyUnreadable);
    let trailed = stream::iter([data(), Ok(Frame::trailers(HeaderMap::new()))]);
    let bytes = read(&HeaderMap::new(), StreamBody::new(trailed), 64).await.unwrap();
    assert_eq!(bytes, "{");
}

async fn create(method: &str, body: &str) -> Result<CreateRequest, Error> {
    let guard = Guard::new(Mount::new(MountPath::default()), 64 * 1024);
    let request = Request::builder()
        .method(method)
        .uri("/pay/createPayment?x=1")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let (parts, body) = request.into_parts();
    guard.create(&parts, body).await
}

#[tokio::test]
async fn the_refusals_come_in_order() {
    let good = super::priced("1");
    assert_eq!(create("POST", &good).await.unwrap().terms.total_fee.fen(), 1);
    for method in ["GET", "PUT", "post", "DELETE", "HEAD"] {
        let refused = create(method, &"x".repeat(70_000)).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::MethodNotAllowed, "{method}");
    }
    let large = create("POST", &"x".repeat(70_000)).await.unwrap_err();
    assert_eq!(large.kind(), Kind::BodyTooLarge);
    assert_eq!(create("POST", "x").await.unwrap_err().kind(), Kind::BodyUnreadable);
    assert_eq!(create("POST", "{}").await.unwrap_err().kind(), Kind::Invalid);
}

//! Calls from a browser's page on another origin.

use http::Request;
use http::request::Builder;
use paygate::PaymentLayer;

use super::{Answer, ask, create_as, empty, open_layer, order, posted};

const LISTED: &str = "https://shop.example.com";
/// Origins that a browser distinguishes from a listed one.
const UNLISTED: [&str; 5] = [
    "https://evil.example.com",
    "http://shop.example.com",
    "https://shop.example.com:8443",
    "https://shop.example.com.evil.com",
    "null",
];

async fn layer() -> PaymentLayer {
    open_layer().await.cors_origins([LISTED.to_owned(), "http://localhost:3000".to_owned()])
}

fn preflight(origin: &str) -> Builder {
    Request::options("/pay/createPayment")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-client-info")
}

/// The CORS headers of an answer.
fn cors_headers(answer: &Answer) -> Vec<&str> {
    let names = answer.headers.keys().map(http::HeaderName::as_str);
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test]
async fn a_preflight_of_a_listed_origin_is_answered() {
    let answer = ask(&layer().await, empty(preflight(LISTED))).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(LISTED));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    let headers = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    assert!(headers.contains("content-type") && headers.contains("x-client-info"), "{headers}");
    assert!(answer.header("access-control-max-age").is_some());
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

#[tokio::test]
async fn a_preflight_of_any_other_origin_is_a_wrong_method() {
    let layer = layer().await;
    for origin in UNLISTED {
        let answer = ask(&layer, empty(preflight(origin))).await;
        assert_eq!(answer.status, 405, "{origin}");
        assert_eq!(cors_headers(&answer), [""; 0], "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{origin}");
    }
    let no_preflight = Request::options("/pay/createPayment").header("origin", LISTED);
    assert_eq!(ask(&layer, empty(no_preflight)).await.status, 405);
}

#[tokio::test]
async fn a_listed_origins_page_may_read_answers_and_refusals() {
    let layer = layer().await;
    for (fee, status) in [(1, 200), (2, 422)] {
        let request = posted("/pay/createPayment").header("origin", LISTED);
        let answer = ask(&layer, create_as(request, &order(fee))).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(LISTED));
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, Some("Idempotent-Replayed, Retry-After"));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn another_origins_page_may_read_nothing() {
    let layer = layer().await;
    for origin in UNLISTED {
        let request = posted("/pay/createPayment").header("origin", origin);
        let answer = ask(&layer, create_as(request, &order(1))).await;
        assert_eq!(cors_headers(&answer), [""; 0], "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{origin}");
    }
}

#[tokio::test]
async fn where_no_origin_is_listed_no_answer_depends_on_it() {
    let layer = open_layer().await;
    let request = posted("/pay/createPayment").header("origin", LISTED);
    let answer = ask(&layer, create_as(request, &order(1))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(cors_headers(&answer), [""; 0]);
    assert_eq!(answer.header("vary"), None);
    assert_eq!(ask(&layer, empty(preflight(LISTED))).await.status, 405);
}

//! The usual layers of tower-http around paygate's, on a plain service and on an axum router.

use std::fmt::Debug;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use paygate::ResponseBody;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use super::{open_layer, order, shop_page};

const PATIENCE: Duration = Duration::from_secs(60);

async fn answer<S, R>(app: S, request: Request<Body>) -> (u16, HeaderMap, Bytes)
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Debug,
    R: http_body::Body<Data = Bytes>,
    R::Error: Debug,
{
    let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
    (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes())
}

fn create() -> Request<Body> {
    let request = super::posted("/pay/createPayment").header("accept-encoding", "gzip");
    request.header("origin", "https://a.example").body(Body::from(order(1).to_string())).unwrap()
}

/// The answers pass through every layer, and the layers do their work.
async fn check<S, R>(app: S)
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    S::Error: Debug,
    R: http_body::Body<Data = Bytes>,
    R::Error: Debug,
{
    let (status, headers, body) = answer(app.clone(), create()).await;
    assert_eq!((status, &headers["access-control-allow-origin"]), (200, &"*".parse().unwrap()));
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(body[..2], [0x1f, 0x8b], "the body of a gzip file");

    let preflight = Request::options("/pay/createPayment")
        .header("origin", "https://a.example")
        .header("access-control-request-method", "POST");
    let preflight = preflight.body(Body::empty()).unwrap();
    let (status, headers, body) = answer(app.clone(), preflight).await;
    assert_eq!((status, body.len()), (200, 0), "the CORS layer answers, with an empty body");
    assert!(headers.contains_key("access-control-allow-methods"));

    let long = super::posted("/pay/createPayment").header("content-length", 10_000);
    let long = long.body(Body::from("x".repeat(10_000))).unwrap();
    assert_eq!(answer(app.clone(), long).await.0, 413, "the limit's layer answers");
    let home = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(answer(app, home).await.0, 200);
}

#[tokio::test]
async fn tower_https_layers_go_around_the_layer_on_a_plain_service() {
    let app = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new())
        .layer(CorsLayer::permissive())
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, PATIENCE))
        .layer(RequestBodyLimitLayer::new(4_096))
        .layer(open_layer().await)
        .service(service_fn(shop_page));
    check(app).await;
}

#[tokio::test]
async fn tower_https_layers_go_around_the_layer_on_an_axum_router() {
    let layers = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new())
        .layer(CorsLayer::permissive())
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, PATIENCE))
        .layer(RequestBodyLimitLayer::new(4_096))
        .layer(open_layer().await);
    check(Router::new().route("/", get(async || "home")).layer(layers)).await;
}

#[tokio::test]
async fn a_default_body_is_empty_and_at_its_end() {
    // Of a body that has no default itself.
    struct Stream;
    impl http_body::Body for Stream {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }
    }
    let body = ResponseBody::<Stream>::default();
    assert!(http_body::Body::is_end_stream(&body));
    assert_eq!(body.collect().await.unwrap().to_bytes(), Bytes::new());
}

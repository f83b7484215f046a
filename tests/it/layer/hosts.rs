//! The layer in and around an axum router, and the context that it puts into requests.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::{Request, Response};
use http_body_util::BodyExt;
use paygate::domain::Platform;
use paygate::{CallerContext, PaymentLayer, Pricing};
use serde_json::Value;
use tower::{Layer, Service, ServiceExt};

use super::{PHONE, open_layer, order};
use crate::support::shop::Shop;

fn router() -> Router {
    Router::new()
        .route("/", get(async || "home"))
        .route("/pay/{name}", post(async |Path(name): Path<String>| name))
}

fn posted(path: &str, body: &Value) -> Request<Body> {
    super::posted(path).body(Body::from(body.to_string())).unwrap()
}

fn request_for(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// Status and body of the answer.
async fn ask<S>(app: &S, request: Request<Body>) -> (u16, String)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
}

/// The layer answers payments, whatever the router has under their path; the rest is the router's.
async fn check<S>(app: S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let (status, created) = ask(&app, posted("/pay/createPayment", &order(1))).await;
    assert_eq!(status, 200);
    assert!(created.contains("\"codeUrl\""), "{created}");
    assert_eq!(ask(&app, posted("/pay/CreatePayment", &order(1))).await.0, 404);
    assert_eq!(ask(&app, posted("/pay/tea", &order(1))).await, (200, "tea".to_owned()));
    assert_eq!(ask(&app, request_for("/")).await, (200, "home".to_owned()));
    assert_eq!(ask(&app, request_for("/nowhere")).await, (404, String::new()));
}

#[tokio::test]
async fn a_router_takes_the_layer() {
    check(router().layer(open_layer().await)).await;
}

#[tokio::test]
async fn the_layer_takes_a_router() {
    let app = open_layer().await.layer(router());
    let app = ServiceExt::<Request<Body>>::map_response(app, |it| it.map(Body::new));
    check(app).await;
}

/// The context that the handler of `/` finds in its request.
async fn seen(layer: PaymentLayer, request: Request<Body>) -> Option<CallerContext> {
    let (sender, received) = std::sync::mpsc::channel();
    let home = async move |context: Option<Extension<CallerContext>>| {
        sender.send(context.map(|Extension(it)| it)).unwrap();
    };
    let app = Router::new().route("/", get(home)).layer(layer);
    assert_eq!(ask(&app, request).await.0, 200);
    received.recv().unwrap()
}

/// From a phone behind a proxy at 10.0.0.7.
fn from_a_proxy() -> Request<Body> {
    let mut request = request_for("/");
    let headers = request.headers_mut();
    headers.insert("user-agent", PHONE.parse().unwrap());
    headers.insert("x-forwarded-for", "1.2.3.4, 114.114.114.114".parse().unwrap());
    headers.insert("x-request-id", "r-1".parse().unwrap());
    let peer = SocketAddr::from(([10, 0, 0, 7], 50_000));
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

async fn injecting() -> PaymentLayer {
    let pricing = Pricing::danger_trust_every_caller();
    PaymentLayer::new(Shop::open().await.engine, pricing).inject_context()
}

fn with_peer(layer: PaymentLayer) -> PaymentLayer {
    layer.peer_addr(|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0))
}

#[tokio::test]
async fn a_handler_finds_the_callers_context() {
    let caller = seen(with_peer(injecting().await), from_a_proxy()).await.unwrap();
    assert_eq!(caller.client_ip, Some([10, 0, 0, 7].into()), "no proxy is trusted");
    assert_eq!((caller.platform, caller.is_pc), (Platform::H5, false));
    assert_eq!((caller.user_agent.as_str(), caller.request_id.as_str()), (PHONE, "r-1"));
    assert_eq!(caller.source, "http");

    let trusting = with_peer(injecting().await).trusted_proxies("10.0.0.0/8".parse().unwrap());
    let caller = seen(trusting, from_a_proxy()).await.unwrap();
    assert_eq!(caller.client_ip, Some([114, 114, 114, 114].into()));
}

#[tokio::test]
async fn without_a_peers_address_the_callers_is_unknown_and_is_not_made_up() {
    let caller = seen(injecting().await, from_a_proxy()).await.unwrap();
    assert_eq!(caller.client_ip, None);
}

#[tokio::test]
async fn nothing_is_put_into_requests_by_default() {
    assert_eq!(seen(open_layer().await, from_a_proxy()).await, None);
}

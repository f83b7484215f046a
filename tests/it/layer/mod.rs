//! The layer, asked as tower asks it: what passes, what is answered, and in which order.
//!
//! That nothing is allocated on the way through is not counted here: a counting allocator is
//! unsafe code, which this package forbids.
#![cfg(feature = "mock")]

mod answers;
mod hosts;
mod nested;
mod origins;
mod passing;
mod shutdown;
mod tower_http;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Builder;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use paygate::domain::ProviderId;
use paygate::{PaymentLayer, Pricing};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};

use crate::support::shop::{Shop, body};

const NO: &str = "2107151010101541001";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 \
                     Mobile/15E148 Safari/604.1";

/// An inner service that no payment operation may reach.
#[derive(Clone, Debug)]
struct Untouched;

impl<B> Service<Request<B>> for Untouched {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        panic!("{} reached the inner service", request.uri());
    }
}

/// An inner service that answers with the requested path.
fn shop_page<B>(request: Request<B>) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    ready(Ok(Response::new(Full::from(format!("shop: {}", request.uri())))))
}

/// A layer that lets everybody ask, with a peer's address where a request has one.
async fn open_layer() -> PaymentLayer {
    let shop = Shop::open().await;
    PaymentLayer::new(shop.engine, Pricing::danger_trust_every_caller())
        .peer_addr(|parts| parts.extensions.get::<SocketAddr>().copied())
}

/// The whole of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn code(&self) -> (u16, &Value) {
        (self.status, &self.body["code"])
    }
}

/// The answer of `layer` itself.
pub(crate) async fn ask(layer: &PaymentLayer, request: Request<Full<Bytes>>) -> Answer {
    let response = layer.layer(Untouched).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// A `createPayment` of a client at a PC.
fn order(total_fee: u64) -> Value {
    body(ProviderId::Wxpay, NO, total_fee)
}

pub(crate) fn posted(path: &str) -> Builder {
    Request::post(path).header("content-type", "application/json")
}

fn create(body: &Value) -> Request<Full<Bytes>> {
    create_as(posted("/pay/createPayment"), body)
}

pub(crate) fn create_as(builder: Builder, body: &Value) -> Request<Full<Bytes>> {
    builder.body(Full::from(body.to_string())).unwrap()
}

pub(crate) fn empty(builder: Builder) -> Request<Full<Bytes>> {
    builder.body(Full::default()).unwrap()
}

/// The order of a client in a phone's browser, which pays on WeChat Pay's page.
fn on_a_phone() -> Value {
    let mut body = order(1);
    body["isPC"] = json!(false);
    body
}

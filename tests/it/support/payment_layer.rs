//! A payment layer in memory, and the orders behind it.
#![cfg(feature = "mock")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use paygate::PaymentLayer;
use paygate::domain::ProviderId;
use paygate::engine::Created;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::shop::{Shop, body};

pub(crate) const NO: &str = "2107151010101541001";
pub(crate) const OTHER_NO: &str = "2107151010101541002";
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What `layer` answers, in bytes.
pub(crate) async fn send(layer: &PaymentLayer, request: Request<Full<Bytes>>) -> Response<Bytes> {
    let inner =
        service_fn(async |_: Request<Full<Bytes>>| -> Result<_, std::convert::Infallible> {
            Ok(Response::new(Full::<Bytes>::from("the shop's own")))
        });
    let mut service = layer.layer(inner);
    let response = service.ready().await.unwrap().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// An order that waits for its buyer.
pub(crate) async fn opened(shop: &Shop, provider: ProviderId, no: &str) -> Created {
    shop.create(&body(provider, no, 100)).await.unwrap()
}

/// An order that its buyer paid at the provider, which has not told yet.
pub(crate) async fn paid(shop: &Shop, provider: ProviderId, no: &str) {
    let created = opened(shop, provider, no).await;
    shop.pay(&created).unwrap();
}

pub(crate) fn by_number(no: &str) -> Value {
    json!({ "out_trade_no": no })
}

//! What a callback sees of the request besides its credentials: extensions and named headers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::HeaderName;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use paygate::pricing::{Price, PriceOperation, PriceQuery, PricingError};
use paygate::{PaymentLayer, Pricing};
use serde_json::{Value, json};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use super::{NO, client, price, request};
use crate::layer::{ask, create_as, posted};
use crate::support::payment_layer::by_number;
use crate::support::shop::{Shop, body};

/// What the app's session layer puts into a request.
#[derive(Clone)]
struct Session {
    buyer: &'static str,
}

/// Lets the buyers of sessions pay, and query what is theirs: `NO` is Ann's.
async fn by_session(query: PriceQuery) -> Result<Price, PricingError> {
    let session = query.extensions.get::<Session>().cloned();
    let Some(Session { buyer }) = session else {
        return Err(PricingError::refused(401, 10_001, "log in first"));
    };
    match query.operation {
        PriceOperation::QueryPayment if buyer == "ann" => Ok(Price::allow()),
        PriceOperation::QueryPayment => Err(PricingError::refused(403, 10_002, "not yours")),
        _ => Price::of(&price(query.out_trade_no.as_str(), json!({ "user_id": buyer }))),
    }
}

/// The answer of a layer inside a session layer, which reads `x-session`.
async fn ask_inside_sessions(layer: &PaymentLayer, asked: Request<Full<Bytes>>) -> (u16, Value) {
    let page = async |_: Request<Full<Bytes>>| -> Result<_, std::convert::Infallible> {
        Ok(Response::new(Full::<Bytes>::default()))
    };
    let sessions = tower::util::MapRequestLayer::new(|mut request: Request<Full<Bytes>>| {
        let session = match request.headers().get("x-session").map(|it| it.as_bytes()) {
            Some(b"1") => Some(Session { buyer: "ann" }),
            Some(b"2") => Some(Session { buyer: "bob" }),
            _ => None,
        };
        if let Some(session) = session {
            request.extensions_mut().insert(session);
        }
        request
    });
    let app = ServiceBuilder::new().layer(sessions).service(layer.layer(service_fn(page)));
    let (parts, body) = app.oneshot(asked).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn a_callback_reads_what_an_outer_layer_put_into_the_request() {
    let shop = Shop::open().await;
    let layer = PaymentLayer::new(shop.engine.clone(), Pricing::callback(by_session));
    let body = client(NO, json!({}));
    let (status, answer) = ask_inside_sessions(&layer, create_as(request(), &body)).await;
    assert_eq!((status, &answer["code"]), (401, &json!(10_001)));
    let known = request().header("x-session", "1");
    let (status, answer) = ask_inside_sessions(&layer, create_as(known, &body)).await;
    assert_eq!((status, &answer["code"]), (200, &json!(0)), "{answer}");
    assert_eq!(shop.order(NO).await.terms.user_id.as_deref(), Some("ann"));
}

#[tokio::test]
async fn a_session_of_no_credential_is_asked_about_every_time() {
    let shop = Shop::open().await;
    let layer = PaymentLayer::new(shop.engine.clone(), Pricing::callback(by_session));
    shop.create(&body(paygate::ProviderId::Wxpay, NO, 100)).await.unwrap();
    let query = |session: &str| {
        create_as(posted("/pay/queryPayment").header("x-session", session), &by_number(NO))
    };
    for (session, status) in [("1", 200), ("1", 200), ("2", 403), ("1", 200)] {
        assert_eq!(ask_inside_sessions(&layer, query(session)).await.0, status, "{session}");
    }
}

#[tokio::test]
async fn a_callback_sees_the_headers_that_the_app_names_and_they_are_credentials() {
    let shop = Shop::open().await;
    shop.create(&body(paygate::ProviderId::Wxpay, NO, 100)).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let session = HeaderName::from_static("x-session");
    let pricing = Pricing::callback(move |query: PriceQuery| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(!format!("{query:?}").contains("canary"), "a header may be a secret");
            assert!(!query.headers.contains_key("x-other"), "it is not named");
            match query.headers.get("x-session").map(|it| it.as_bytes()) {
                Some(b"canary-ann") => Ok(Price::allow()),
                _ => Err(PricingError::refused(403, 10_002, "not yours")),
            }
        }
    });
    let layer = PaymentLayer::new(shop.engine.clone(), pricing.with_headers([session]));
    let query = async |session: &str| {
        let request = posted("/pay/queryPayment").header("x-other", "canary");
        let request = request.header("cookie", "theme=dark").header("x-session", session);
        ask(&layer, create_as(request, &by_number(NO))).await.status
    };
    assert_eq!((query("canary-ann").await, asked.load(Ordering::SeqCst)), (200, 1));
    assert_eq!((query("canary-ann").await, asked.load(Ordering::SeqCst)), (200, 1), "remembered");
    assert_eq!((query("canary-bob").await, asked.load(Ordering::SeqCst)), (403, 2));
}

//! What the listeners answer while the engine has not started.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use paygate::sidecar::{DeferredSettings, PaymentSlot};
use paygate::{PaymentLayer, Pricing};
use tower::{ServiceExt, service_fn};

use crate::support::requests::qr;
use crate::support::shop::Shop;

const ORIGIN: &str = "https://shop.example.com";

fn slot() -> PaymentSlot {
    PaymentSlot::new(DeferredSettings {
        mount: "/pay".to_owned(),
        cors_origins: vec![ORIGIN.to_owned()],
        credentials: true,
        simulated: true,
    })
    .unwrap()
}

/// The answer to a request with a page's origin.
async fn ask(slot: &PaymentSlot, method: &str, path: &str, body: &str) -> Response<()> {
    let inner = service_fn(|_: Request<Full<Bytes>>| async {
        let mut answer = Response::new(Full::new(Bytes::new()));
        *answer.status_mut() = StatusCode::IM_A_TEAPOT;
        Ok::<_, Infallible>(answer)
    });
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "shop")
        .header("origin", ORIGIN)
        .header("access-control-request-method", "POST")
        .header("content-type", "application/json")
        .body(Full::from(body.to_owned()))
        .unwrap();
    slot.in_front_of(inner).oneshot(request).await.unwrap().map(drop)
}

#[tokio::test]
async fn without_an_engine_payments_are_refused_for_now_and_everything_else_goes_on() {
    let slot = slot();
    let cases = [
        ("POST", "/pay/createPayment", 503),
        ("POST", "/pay/queryPayment", 503),
        ("POST", "/pay/notify/wxpay/wxpay_h5/default", 503),
        ("POST", "/pay/createpayment", 404),
        ("OPTIONS", "/pay/createPayment", 204),
        ("GET", "/cart", 418),
    ];
    for (method, path, status) in cases {
        let answer = ask(&slot, method, path, "{}").await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let headers = answer.headers();
        assert_eq!(headers.contains_key("retry-after"), status == 503, "{method} {path}");
        if status != 418 {
            assert_eq!(headers["access-control-allow-origin"], ORIGIN, "{method} {path}");
            assert_eq!(headers["access-control-allow-credentials"], "true", "{method} {path}");
        }
        if path == "/pay/createPayment" && method == "POST" {
            assert_eq!(headers["x-paygate-mode"], "mock");
        }
    }
}

#[tokio::test]
async fn as_soon_as_the_engine_is_there_the_same_service_takes_payments() {
    let (slot, shop) = (slot(), Shop::open().await);
    let body = qr(paygate::domain::ProviderId::Wxpay).to_string();
    assert_eq!(ask(&slot, "POST", "/pay/createPayment", &body).await.status(), 503);
    let pricing = Pricing::danger_trust_every_caller();
    slot.set(&PaymentLayer::new(shop.engine.clone(), pricing));
    assert_eq!(ask(&slot, "POST", "/pay/createPayment", &body).await.status(), 200);
    assert_eq!(ask(&slot, "GET", "/cart", "").await.status(), 418);
}

//! What a notification may look like at all.

use http::Request;
use http_body_util::Full;
use paygate::{PaymentLayer, Pricing};

use crate::support::notifications::address;
use crate::support::payment_layer::send;
use crate::support::shop::Shop;
use paygate::domain::ProviderId;

async fn layer() -> PaymentLayer {
    PaymentLayer::new(Shop::open().await.engine, Pricing::danger_trust_every_caller())
}

#[tokio::test]
async fn a_notification_is_a_post_of_any_type_and_bounded() {
    let layer = layer().await;
    for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
        let to = address(provider);
        let post = || Request::post(&to);
        let rows = [
            (Request::get(&to), 0, 405),
            (Request::put(&to), 0, 405),
            (post(), 10, 401),
            (post().header("content-type", "text/xml"), 10, 401),
            (post().header("content-type", "application/octet-stream"), 64 * 1024, 401),
            (post().header("content-encoding", "gzip"), 10, 415),
            (post(), 64 * 1024 + 1, 413),
            (post().header("content-length", "1000000000"), 0, 413),
        ];
        for (n, (request, length, status)) in rows.into_iter().enumerate() {
            let request = request.body(Full::from(vec![b'x'; length])).unwrap();
            let answer = send(&layer, request).await;
            assert_eq!(answer.status(), status, "{provider} {n}");
            let allow = answer.headers().get("allow").map(|it| it.to_str().unwrap());
            assert_eq!(allow, (status == 405).then_some("POST"), "{provider} {n}");
        }
    }
}

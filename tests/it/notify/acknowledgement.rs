//! What a provider tells, and what it hears.

use http::header::{HeaderMap, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use paygate::domain::{OrderStatus, ProviderId};
use paygate::{PaymentLayer, Pricing};

use crate::support::notifications::{address, address_of, notification};
use crate::support::payment_layer::{NO, OTHER_NO, opened, paid, send};
use crate::support::shop::Shop;

const PROVIDERS: [ProviderId; 2] = [ProviderId::Wxpay, ProviderId::Alipay];

fn layer(shop: &Shop) -> PaymentLayer {
    // Nobody may ask, and providers may tell.
    let pricing = Pricing::caller_token("a-caller-token-of-more-than-32-characters").unwrap();
    PaymentLayer::new(shop.engine.clone(), pricing).body_bytes_max(100)
}

#[track_caller]
fn check_acknowledged(provider: ProviderId, answer: &Response<bytes::Bytes>) {
    let body: &[u8] = match provider {
        ProviderId::Wxpay => b"",
        ProviderId::Alipay => b"success",
    };
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, body), "{answer:?}");
}

#[track_caller]
fn check_refused(provider: ProviderId, answer: &Response<bytes::Bytes>, status: u16) {
    assert_eq!(answer.status(), status, "{answer:?}");
    let body = std::str::from_utf8(answer.body()).unwrap();
    match provider {
        ProviderId::Wxpay => assert_eq!(body, r#"{"code":"FAIL","message":"失败"}"#),
        ProviderId::Alipay => assert_eq!(body, "failure"),
    }
}

#[tokio::test]
async fn a_payment_is_acknowledged_in_its_providers_own_words_and_again_when_it_comes_again() {
    for provider in PROVIDERS {
        let shop = Shop::open().await;
        let layer = layer(&shop);
        paid(&shop, provider, NO).await;
        for _ in 0..3 {
            let answer = send(&layer, notification(&shop, provider, NO, &address(provider))).await;
            check_acknowledged(provider, &answer);
            let order = shop.order(NO).await;
            assert_eq!((order.status, order.payments.len()), (OrderStatus::Paid, 1));
        }
    }
}

#[tokio::test]
async fn a_forger_hears_one_text_and_touches_nothing() {
    for provider in PROVIDERS {
        let shop = Shop::open().await;
        let layer = layer(&shop);
        paid(&shop, provider, NO).await;
        let before = shop.order(NO).await;
        let calls = shop.providers.calls("wxpay.query") + shop.providers.calls("alipay.query");
        let genuine = notification(&shop, provider, NO, &address(provider));
        for forged in rejected(genuine).await {
            check_refused(provider, &send(&layer, forged).await, 401);
        }
        assert_eq!(shop.order(NO).await, before);
        let after = shop.providers.calls("wxpay.query") + shop.providers.calls("alipay.query");
        assert_eq!(after, calls, "a stranger makes us call nobody");
    }
}

type Incoming = Request<Full<bytes::Bytes>>;

/// `genuine` with one thing changed, each in its own way.
async fn rejected(genuine: Incoming) -> Vec<Incoming> {
    let (parts, body) = genuine.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let with = |headers: HeaderMap, body: Vec<u8>| {
        let mut request = Request::post(parts.uri.clone()).body(Full::from(body)).unwrap();
        *request.headers_mut() = headers;
        request
    };
    let mut flipped = body.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut probe = parts.headers.clone();
    let mut forged = vec![
        with(parts.headers.clone(), flipped),
        with(parts.headers.clone(), Vec::new()),
        with(parts.headers.clone(), b"{}".to_vec()),
    ];
    if let Some(signature) = probe.get_mut("wechatpay-signature") {
        let text = format!("WECHATPAY/SIGNTEST/{}", signature.to_str().unwrap());
        *signature = HeaderValue::from_str(&text).unwrap();
        forged.push(with(probe, body.to_vec()));
        forged.push(with(HeaderMap::new(), body.to_vec()));
    }
    forged
}

#[tokio::test]
async fn at_the_url_of_another_pay_type_the_signed_body_decides() {
    for (provider, other) in [(ProviderId::Wxpay, "mweb"), (ProviderId::Alipay, "app-plus")] {
        let shop = Shop::open().await;
        paid(&shop, provider, NO).await;
        let to = address_of(provider, other, "default");
        let answer = send(&layer(&shop), notification(&shop, provider, NO, &to)).await;
        check_acknowledged(provider, &answer);
        assert_eq!(shop.order(NO).await.status, OrderStatus::Paid);
    }
}

#[tokio::test]
async fn at_the_url_of_another_merchant_nothing_is_taken() {
    for provider in PROVIDERS {
        let shop = Shop::open().await;
        let layer = layer(&shop);
        paid(&shop, provider, NO).await;
        for merchant in ["001", "nobody", "%30%30%31", "%F0%9F%8D%B5"] {
            let to = address_of(provider, "h5", merchant);
            let answer = send(&layer, notification(&shop, provider, NO, &to)).await;
            // Both merchants have the mock's one set of keys: the order is not the other's.
            check_refused(provider, &answer, 404);
        }
        assert_eq!(shop.order(NO).await.status, OrderStatus::Open);
        let percent = address_of(provider, "h5", "%64efault");
        let answer = send(&layer, notification(&shop, provider, NO, &percent)).await;
        check_acknowledged(provider, &answer);
    }
}

#[tokio::test]
async fn an_unknown_pay_type_is_no_address() {
    let shop = Shop::open().await;
    paid(&shop, ProviderId::Wxpay, NO).await;
    for to in [
        "/pay/notify/wxpay/wxpay_x/default",
        "/pay/notify/alipay/wxpay_h5/default",
        "/pay/notify/wxpay/wxpay_h5/default/",
        "/pay/notify/wxpay/wxpay_h5",
        "/pay/notify/wxpay/wxpay_h5/%FF",
    ] {
        let answer = send(&layer(&shop), notification(&shop, ProviderId::Wxpay, NO, to)).await;
        assert_eq!(answer.status(), 404, "{to}");
        assert_ne!(&answer.body()[..], b"the shop's own", "{to}");
    }
    assert_eq!(shop.order(NO).await.status, OrderStatus::Open);
}

#[tokio::test]
async fn a_payment_of_an_unknown_order_is_not_acknowledged_so_that_it_comes_again() {
    for provider in PROVIDERS {
        let (shop, other) = (Shop::open().await, Shop::open().await);
        paid(&shop, provider, OTHER_NO).await;
        let early = notification(&shop, provider, OTHER_NO, &address(provider));
        check_refused(provider, &send(&layer(&other), early).await, 404);
    }
}

#[tokio::test]
async fn a_payment_of_another_amount_is_not_acknowledged() {
    for provider in PROVIDERS {
        let (shop, cheap) = (Shop::open().await, Shop::open().await);
        opened(&shop, provider, NO).await;
        let created = cheap.create(&crate::support::shop::body(provider, NO, 1)).await.unwrap();
        cheap.pay(&created).unwrap();
        let notification = notification(&cheap, provider, NO, &address(provider));
        check_refused(provider, &send(&layer(&shop), notification).await, 409);
        let order = shop.order(NO).await;
        assert_eq!((order.status, order.flags.mismatch), (OrderStatus::Open, true));
    }
}

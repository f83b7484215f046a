//! The mount: one place names it, and providers notify where the layer answers, also in an axum
//! router below a path.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use paygate::domain::ProviderId;
use paygate::engine::Builder;
use paygate::{PaymentLayer, Pricing};
use tower::{Layer, ServiceExt};

use super::order;
use crate::support::payment_layer::opened;
use crate::support::shop::Shop;

/// A shop, and the layer of its engine.
async fn shop(settings: impl FnOnce(Builder) -> Builder) -> (Shop, PaymentLayer) {
    let shop = Shop::open_as(settings).await;
    let payments = PaymentLayer::new(shop.engine.clone(), Pricing::danger_trust_every_caller());
    (shop, payments)
}

/// A router of the shop's own, without a path of paygate's.
fn pages() -> Router {
    Router::new().route("/", get(async || "home"))
}

/// The app answers `createPayment` at `path`, and its provider's notification where the provider
/// sends it.
async fn check(app: Router, shop: &Shop, path: &str) {
    let create = super::posted(path).body(Body::from(order(100).to_string())).unwrap();
    assert_eq!(app.clone().oneshot(create).await.unwrap().status(), 200, "{path}");
    let created = opened(shop, ProviderId::Wxpay, super::NO).await;
    shop.pay(&created).unwrap();
    let notification = shop.providers.notifications().remove(0);
    let mut notify = Request::post(notification.url.path());
    *notify.headers_mut().unwrap() = notification.headers.clone();
    let notify = notify.body(Body::from(notification.body.clone())).unwrap();
    let answer = app.oneshot(notify).await.unwrap();
    assert_eq!(answer.status(), 200, "{}", notification.url);
    assert!(shop.order(super::NO).await.winning_payment().is_some());
}

#[tokio::test]
async fn the_layer_answers_and_providers_notify_at_the_engines_mount() {
    let (shop, payments) = shop(|engine| engine.mount("/api/pay")).await;
    assert_eq!(shop.engine.mount().as_str(), "/api/pay");
    check(pages().layer(payments), &shop, "/api/pay/createPayment").await;
}

#[tokio::test]
async fn around_a_nested_router_the_mount_is_the_whole_path() {
    let (shop, payments) = shop(|engine| engine.mount("/shop/pay")).await;
    let app = Router::new().nest("/shop", pages()).layer(payments);
    check(app, &shop, "/shop/pay/createPayment").await;
}

#[tokio::test]
async fn inside_a_nested_service_the_public_url_has_the_path_of_the_nest() {
    let nested = "https://shop.example.com/shop";
    let (shop, payments) = shop(|engine| engine.public_url(nested.parse().unwrap())).await;
    let app = Router::new().nest_service("/shop", payments.layer(pages()));
    check(app, &shop, "/shop/pay/createPayment").await;
}

#[tokio::test]
async fn a_layer_on_a_nested_router_sees_the_paths_that_the_router_has_and_no_others() {
    // axum gives a path that a nested router does not have to the outer router: so says the manual,
    // and names the two ways above.
    let (_, payments) = shop(|engine| engine).await;
    let app = Router::new().nest("/shop", pages().layer(payments));
    let create = super::posted("/shop/pay/createPayment");
    let create = create.body(Body::from(order(100).to_string())).unwrap();
    let answer = app.oneshot(create).await.unwrap();
    let is_paygates = answer.headers().contains_key("x-request-id");
    assert_eq!((answer.status().as_u16(), is_paygates), (404, false));
}

#[tokio::test]
async fn a_mount_that_the_sidecar_refuses_starts_no_engine() {
    for (mount, reason) in [
        ("", "does not start with /"),
        ("pay", "does not start with /"),
        ("/", "has an empty segment"),
        ("/pay/", "has an empty segment"),
        ("/pay/{x}", "a character that is not accepted"),
        ("/a/b/c/d/e/f/g/h/i", "has more than 8 segments"),
    ] {
        let variables = [("PAYGATE_MODE", "mock"), ("PAYGATE_MOUNT", mount)];
        let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let problems = paygate::Config::read(&std::collections::BTreeMap::from(variables));
        // An empty variable counts as none.
        assert!(mount.is_empty() || problems.unwrap_err().to_string().contains(reason), "{mount}");
        let merchant = paygate::mock::keys::wxpay_merchant("http://127.0.0.1:1".parse().unwrap());
        let engine = paygate::Engine::builder()
            .store(paygate::Memory::new())
            .provider(paygate::wxpay::V3::new(merchant).unwrap())
            .simulated()
            .public_url("https://shop.example.com".parse().unwrap())
            .mount(mount);
        let refused = engine.start().await.unwrap_err().to_string();
        assert!(refused.starts_with("mount() ") && refused.contains(reason), "{mount}: {refused}");
    }
}

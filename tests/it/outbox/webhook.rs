//! Events as the shop gets them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use paygate::domain::{DeliveryState, Millis, ProviderId};
use paygate::engine::Deliver;
use paygate::testing::guard::schema;
use paygate::{PaymentLayer, Pricing, Webhook};
use serde_json::json;

use crate::layer::{ask, create_as, posted};
use crate::support::endpoint::WebhookEndpoint;
use crate::support::notifications::{address, notification};
use crate::support::payment_layer::{NO, SECRET, by_number, opened, paid, send};
use crate::support::shop::Shop;
use crate::support::webhook::shop_with_webhook;

/// A shop that is told at `endpoint`, and its layer.
async fn shop_with_endpoint(endpoint: &WebhookEndpoint, secret: &str) -> (Shop, PaymentLayer) {
    let webhook = Webhook::new(&endpoint.url(), secret).unwrap();
    let shop = Shop::open_as(|builder| builder.webhook(webhook)).await;
    let layer = PaymentLayer::new(shop.engine.clone(), Pricing::danger_trust_every_caller());
    (shop, layer)
}

async fn pay(shop: &Shop, layer: &PaymentLayer) {
    paid(shop, ProviderId::Wxpay, NO).await;
    let notification = notification(shop, ProviderId::Wxpay, NO, &address(ProviderId::Wxpay));
    assert_eq!(send(layer, notification).await.status(), 200);
}

async fn is_accepted(layer: &PaymentLayer) -> Option<bool> {
    let answer = ask(layer, create_as(posted("/pay/queryPayment"), &by_number(NO))).await;
    assert_eq!(answer.code(), (200, &json!(0)));
    answer.body["user_order_success"].as_bool()
}

#[tokio::test]
async fn an_event_is_signed_over_its_id_its_time_and_its_raw_bytes() {
    let long = "long".repeat(16);
    let own = (SECRET.to_owned(), STANDARD.decode(&SECRET["whsec_".len()..]).unwrap());
    for (secret, key) in [own, (format!("whsec_{}", STANDARD.encode(&long)), long.into())] {
        let mut endpoint = WebhookEndpoint::start().await;
        let (shop, layer) = shop_with_endpoint(&endpoint, &secret).await;
        pay(&shop, &layer).await;
        assert_eq!(is_accepted(&layer).await, Some(false), "nobody has told it yet");
        shop.engine.dispatch().await;

        let [event] = &endpoint.received()[..] else { panic!("it is told once") };
        assert!(event.head.starts_with("POST "), "{}", event.head);
        assert_eq!(event.path(), "/events/goods?of=goods");
        assert_eq!(event.header("content-type"), "application/json");
        assert_eq!(event.header("webhook-timestamp"), "1763900000");
        assert!(event.is_signed(&key));
        assert!(!event.is_signed(b"another key"));
        assert_eq!(schema::accepts("event-payment-succeeded", event.body.as_bytes()), Some(true));
        let json = event.json();
        assert_eq!(json["data"]["out_trade_no"], NO);
        assert_eq!(json["livemode"], false);
        assert_eq!(is_accepted(&layer).await, Some(true));
    }
}

#[tokio::test]
async fn during_a_rotation_an_event_is_signed_with_both_secrets() {
    let [old, new] = ["old", "new"].map(|key| key.repeat(8));
    let secret = [&new, &old].map(|key| format!("whsec_{}", STANDARD.encode(key))).join(",");
    let mut endpoint = WebhookEndpoint::start().await;
    let (shop, layer) = shop_with_endpoint(&endpoint, &secret).await;
    pay(&shop, &layer).await;
    shop.engine.dispatch().await;
    let [event] = &endpoint.received()[..] else { panic!("it is delivered once") };
    assert!(event.is_signed(old.as_bytes()) && event.is_signed(new.as_bytes()));
}

#[tokio::test]
async fn an_event_that_is_not_accepted_comes_again_with_the_same_id_and_bytes() {
    let mut endpoint = WebhookEndpoint::start().await;
    let (shop, layer) = shop_with_endpoint(&endpoint, SECRET).await;
    let redirect_target = WebhookEndpoint::start().await;
    let to = redirect_target.addr;
    pay(&shop, &layer).await;
    let long = format!(r#"{{"code":0,"x":"{}"}}"#, "x".repeat(64 * 1024));
    let refusals = [
        ("500 Internal Server Error", r#"{"code":0}"#.to_owned()),
        ("401 Unauthorized", r#"{"code":0}"#.to_owned()),
        ("200 OK", r#"{"code":1,"msg":"busy"}"#.to_owned()),
        ("200 OK", r#"{"code":"0"}"#.to_owned()),
        ("200 OK", long),
    ];
    let mut first = None;
    for (n, (status, body)) in (1..).zip(refusals) {
        endpoint.respond(status, &body);
        shop.engine.dispatch().await;
        let event = endpoint.received().remove(0);
        let id = event.header("webhook-id").to_owned();
        let (same_id, same_body) = first.get_or_insert_with(|| (id.clone(), event.body.clone()));
        assert_eq!((&id, &event.body), (&*same_id, &*same_body), "{status}");
        assert_eq!(is_accepted(&layer).await, Some(false), "{status}");
        let waiting = shop.engine.events(DeliveryState::Pending, 10).await.unwrap();
        assert_eq!((waiting.len(), waiting[0].tries), (1, n));
        shop.clock.advance_ms(3_600_000);
    }
    endpoint.respond_raw(format!(
        "HTTP/1.1 307 Temporary\r\nconnection: close\r\nlocation: http://{to}/\r\n\
         content-length: 0\r\n\r\n"
    ));
    shop.engine.dispatch().await;
    assert_eq!(is_accepted(&layer).await, Some(false), "no redirect is followed");
    assert_eq!({ redirect_target }.received().len(), 0);
    endpoint.respond("204 No Content", "");
    shop.clock.advance_ms(3_600_000);
    shop.engine.dispatch().await;
    assert_eq!(is_accepted(&layer).await, Some(true));
    assert_eq!(shop.engine.dispatch().await, 0, "it is told no more");
}

#[tokio::test]
async fn a_listener_that_waits_hears_as_soon_as_the_shop_has_accepted() {
    let endpoint = WebhookEndpoint::start().await;
    let (shop, layer) = shop_with_endpoint(&endpoint, SECRET).await;
    paid(&shop, ProviderId::Alipay, NO).await;
    let body = json!({"out_trade_no": NO, "await_notify": true, "await_max_time": 40});
    let waiting = ask(&layer, create_as(posted("/pay/queryPayment"), &body));
    let meanwhile = async {
        let notification =
            notification(&shop, ProviderId::Alipay, NO, &address(ProviderId::Alipay));
        assert_eq!(send(&layer, notification).await.status(), 200);
        shop.engine.dispatch().await;
    };
    let (answer, ()) = tokio::join!(waiting, meanwhile);
    assert_eq!(answer.body["user_order_success"], true);
}

#[tokio::test]
async fn a_wait_ends_when_the_engine_is_told_to_stop() {
    let shop = Shop::open().await;
    paid(&shop, ProviderId::Wxpay, NO).await;
    let layer = PaymentLayer::new(shop.engine.clone(), Pricing::danger_trust_every_caller());
    let body = json!({"out_trade_no": NO, "await_notify": true, "await_max_time": 40});
    let waiting = ask(&layer, create_as(posted("/pay/queryPayment"), &body));
    let meanwhile = async { shop.engine.stop_waiting() };
    let (answer, ()) = tokio::join!(waiting, meanwhile);
    assert_eq!(answer.code(), (200, &json!(2002)));
    let again = ask(&layer, create_as(posted("/pay/queryPayment"), &body)).await;
    assert_eq!(again.code(), (200, &json!(2002)), "nobody waits any more");
}

#[test]
fn an_address_that_lets_a_type_choose_the_host_is_refused() {
    for url in ["http://{type}.example.com/", "ftp://example.com/", "example.com"] {
        assert!(Webhook::new(url, SECRET).is_err(), "{url}");
    }
    for secret in ["", "whsec_", "whsec_%%%", "whsec_c2VjcmV0", "a text of more than 24 bytes"] {
        let refused = Webhook::new("http://example.com/", secret).unwrap_err();
        assert!(!refused.to_string().contains("%%%"));
    }
    let secret = "whsec_canarycanarycanarycanarycanarycanary";
    let webhook = Webhook::new("http://u:canary@example.com/?k=canary", secret).unwrap();
    assert!(!format!("{webhook:?}").contains("canary"));
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_named_by_its_address_and_not_by_its_url() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let webhook =
        Webhook::new(&format!("http://u:canary@{closed}/canary?k=canary"), SECRET).unwrap();
    let (shop, recorded) = shop_with_webhook().await;
    shop.pay(&opened(&shop, ProviderId::Wxpay, NO).await).unwrap();
    shop.notify().await;
    shop.engine.dispatch().await;
    let event = recorded.received().remove(0);
    let refused = webhook.deliver(&event, Millis(1_763_900_000_000)).await.unwrap_err();
    assert!(refused.starts_with(&format!("{closed} cannot be reached: ")), "{refused}");
    assert!(!refused.contains("canary"), "{refused}");
}

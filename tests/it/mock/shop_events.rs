//! The shop's events on the cashier page, from a source beside the providers.

use paygate::domain::{DeliveryState, EventId, EventType, TransactionId};
use paygate::mock::{ShopDelivery, ShopEvent, ShopEvents};
use paygate::store::BoxFuture;

use super::*;

/// A source with one event of the payment "tx-1", which fails for every other payment.
#[derive(Debug)]
struct OneEvent;

impl ShopEvents for OneEvent {
    fn of_payment<'a>(
        &'a self,
        provider: ProviderId,
        transaction_id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Vec<ShopEvent>, String>> {
        Box::pin(async move {
            if (provider, &*transaction_id.0) != (ProviderId::Wxpay, "tx-1") {
                return Err("the store cannot be read".to_owned());
            }
            Ok(vec![ShopEvent {
                id: EventId::parse(&format!("evt_{}", "0a".repeat(16))).unwrap(),
                event: EventType::PaymentSucceeded,
                out_trade_no: NO.to_owned(),
                created_at: Millis(1),
                state: DeliveryState::Pending,
                tries: 1,
                next_at: Millis(3),
                deliveries: vec![ShopDelivery { at: Millis(2), refusal: Some("HTTP 500".into()) }],
            }])
        })
    }

    fn has_webhook(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn the_cashier_shows_the_shops_events_from_the_source_that_it_got() {
    let merchant = Merchant::new();
    merchant.providers.set_shop_events(Arc::new(OneEvent));
    let path = "events?provider=wxpay&transaction_id=tx-1";
    let (status, answer) = merchant.control("GET", path, "").await;
    assert_eq!((status, &answer["has_webhook"]), (200, &json!(true)));
    let expected = json!({
        "id": format!("evt_{}", "0a".repeat(16)), "type": "payment.succeeded", "out_trade_no": NO,
        "created_at": 1, "state": "pending", "tries": 1, "next_at": 3,
        "deliveries": [{ "at": 2, "refusal": "HTTP 500" }],
    });
    assert_eq!(answer["events"], json!([expected]));
    for (path, status, code) in [
        ("events?provider=alipay&transaction_id=tx-1", 503, "UNREADABLE"),
        ("events?provider=wxpay", 400, "BAD_REQUEST"),
        ("events?provider=other&transaction_id=tx-1", 400, "BAD_REQUEST"),
    ] {
        let (got, answer) = merchant.control("GET", path, "").await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{path}");
    }
}

#[tokio::test]
async fn providers_without_paygate_have_no_events_of_a_shop_and_state_so() {
    let merchant = Merchant::new();
    let path = "events?provider=wxpay&transaction_id=tx-1";
    let (status, answer) = merchant.control("GET", path, "").await;
    assert_eq!((status, &answer["code"]), (404, &json!("NO_PAYGATE")));
}

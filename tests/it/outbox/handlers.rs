//! Handlers in Rust: typed events, and a handler for every type of order.

use std::sync::{Arc, Mutex};

use paygate::domain::{EventType, ProviderId, RefundState};
use paygate::engine::{OrderEvent, RefundRequest};
use paygate::{Fen, OutTradeNo};
use serde_json::json;

use crate::support::requests::NO;
use crate::support::shop::{Shop, body, with};
use crate::support::webhook::shop_with_webhook;

/// An order of `kind` that its buyer paid, and whose events were sent.
async fn paid(shop: &Shop, provider: ProviderId, kind: &str) {
    let order = with(body(provider, NO, 100), "/data/type", json!(kind));
    let order = with(order, "/data/user_id", json!("u-1"));
    let order = with(order, "/data/custom", json!({"recharge_balance": 100}));
    let created = shop.create(&order).await.unwrap();
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    shop.engine.dispatch().await;
}

#[tokio::test]
async fn a_handler_for_any_type_gets_what_no_handler_of_its_own_type_takes() {
    for (kind, taken_by) in [("goods", "own"), ("vip", "any"), ("recharge", "any")] {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let record = |name: &'static str| {
            let calls = calls.clone();
            move |event: OrderEvent| {
                let calls = calls.clone();
                async move {
                    calls.lock().unwrap().push((name, event.order_type().to_owned()));
                }
            }
        };
        let (own, any) = (record("own"), record("any"));
        let shop = Shop::open_as(|engine| {
            let paid = EventType::PaymentSucceeded;
            engine.on_any(paid, any).on(paid, "goods", own)
        })
        .await;
        paid(&shop, ProviderId::Wxpay, kind).await;
        assert_eq!(*calls.lock().unwrap(), [(taken_by, kind.to_owned())]);
        let number: OutTradeNo = NO.parse().unwrap();
        let queried = shop.engine.query(number).await.unwrap();
        assert_eq!(queried.user_order_success, Some(true), "{kind}");
    }
}

#[tokio::test]
async fn an_event_names_its_order_payment_and_refund() {
    for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider, "goods").await;
        let event = OrderEvent::try_from(&webhook.received().remove(0)).unwrap();
        assert_eq!(event.event_type(), EventType::PaymentSucceeded);
        assert_eq!((event.out_trade_no().as_str(), event.order_type()), (NO, "goods"));
        assert_eq!((event.total_fee().fen(), event.paid_fee()), (100, Fen::new(100)));
        let payment = shop.order(NO).await.winning_payment().unwrap().clone();
        assert_eq!(event.transaction_id(), Some(payment.transaction_id));
        assert_eq!(event.paid_at(), Some(payment.paid_at));
        assert_eq!((event.provider(), event.pid().as_str()), (Some(provider), "default"));
        assert!(event.pay_type().is_some_and(|it| it.provider() == provider));
        assert_eq!(event.user_id(), Some("u-1"));
        assert!(event.openid().is_some(), "{provider}: the buyer at the provider");
        assert_eq!(event.custom(), Some(&json!({"recharge_balance": 100})));
        assert_eq!((event.refund(), event.is_live()), (None, false));
        assert_eq!(event.body()["data"]["recharge_balance"], 100);

        let wanted = RefundRequest {
            out_trade_no: NO.parse().unwrap(),
            out_refund_no: Some("return-1".to_owned()),
            refund_fee: Fen::new(30),
            refund_desc: None,
            transaction_id: None,
        };
        let mut refunded = shop.engine.refund(wanted.clone()).await.unwrap();
        while refunded.refund.state == RefundState::Processing {
            shop.clock.advance_ms(60_000);
            shop.engine.reconcile().await;
            refunded = shop.engine.query_refund("return-1").await.unwrap();
        }
        shop.engine.dispatch().await;
        let event = webhook.received().pop().unwrap();
        let event = OrderEvent::try_from(&event).unwrap();
        assert_eq!(event.event_type(), EventType::RefundSucceeded);
        let refund = event.refund().unwrap();
        assert_eq!((refund.out_refund_no.as_str(), refund.refund_fee.fen()), ("return-1", 30));
        assert_eq!(refund.state, RefundState::Success);
        assert_eq!(refund.refunded_at, refunded.refund.refunded_at);
    }
}

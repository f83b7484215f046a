//! What the log has of an order, and of a stop.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay", feature = "sidecar"))]

use std::time::Duration;

use paygate::domain::ProviderId::Wxpay;
use paygate::domain::{EventType, Millis, OutboxEvent};
use paygate::engine::{Builder, Deliver, OrderEvent};
use paygate::store::BoxFuture;

use crate::support::log::Log;
use crate::support::refunds::number;
use crate::support::requests::{NO, qr};
use crate::support::shop::{Shop, run_background};

#[tokio::test]
async fn an_order_is_closed_by_one_line_whose_span_names_its_account() {
    let (log, _guard) = Log::start();
    let shop = Shop::open().await;
    shop.create(&qr(Wxpay)).await.unwrap();
    for _ in 0..2 {
        shop.engine.close(&number(NO)).await.unwrap();
    }
    let line = format!(
        "INFO order{{out_trade_no={NO} pid=\"default\" provider=\"wxpay\"}}: \
         paygate closed an order out_trade_no={NO} total_fee=100"
    );
    assert_eq!(log.lines("paygate closed an order"), [line]);
}

/// A shop with a paid order, whose event was sent.
async fn paid_shop(more: impl FnOnce(Builder) -> Builder) -> Shop {
    let often = Some(Duration::from_secs(1));
    let shop = Shop::open_as(|engine| more(engine.reconcile_every(often))).await;
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    run_background().await;
    shop
}

#[tokio::test(start_paused = true)]
async fn a_stop_warns_of_operations_that_it_did_not_wait_for_and_of_no_others() {
    const WARNING: &str = "the stop did not wait for operations in flight";
    let (log, _guard) = Log::start();
    Shop::open().await.engine.shutdown().await;
    assert_eq!(log.lines(WARNING), [""; 0]);
    let shop = paid_shop(|engine| {
        let engine = engine.shutdown_grace(Duration::from_secs(1));
        engine.on_any(EventType::PaymentSucceeded, |_: OrderEvent| std::future::pending::<()>())
    })
    .await;
    shop.engine.shutdown().await;
    assert_eq!(log.lines(WARNING), [format!("WARN {WARNING} operations=1")]);
}

/// An endpoint that refuses everything.
#[derive(Debug)]
struct Refusing;

impl Deliver for Refusing {
    fn deliver<'a>(&'a self, _: &'a OutboxEvent, _: Millis) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Err("not now".to_owned()) })
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_and_sent_again_is_not_logged_as_parked() {
    let (log, _guard) = Log::start();
    let _shop = paid_shop(|engine| engine.webhook(Refusing)).await;
    let refused = log.lines("an event was not accepted");
    assert!(refused.len() == 1 && refused[0].starts_with("WARN "), "{refused:?}");
    assert_eq!(log.lines("paygate parked an event"), [""; 0]);
}

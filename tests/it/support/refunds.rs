//! Orders that are paid and refunded, and what the shop hears of it.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

use paygate::domain::{Fen, OutTradeNo, ProviderId, RefundState, TransactionId};
use paygate::engine::{RefundRequest, Refunded};
use paygate::error::Error;
use paygate::mock::{MoneyTotals, PayWith, SimulatedPurchase};

use super::requests::{MINUTE, NO, qr};
use super::shop::{Shop, run_background};
use super::webhook::RecordingWebhook;

pub(crate) fn number(no: &str) -> OutTradeNo {
    OutTradeNo::parse(no).unwrap()
}

/// Whatever was handed out last at `provider`.
pub(crate) fn purchase(provider: ProviderId) -> SimulatedPurchase {
    SimulatedPurchase { provider, with: PayWith::OutTradeNo(NO.to_owned()), payer: None }
}

/// The order is paid, and known to be.
pub(crate) async fn paid(shop: &Shop, provider: ProviderId) -> TransactionId {
    let created = shop.create(&qr(provider)).await.unwrap();
    let paid = shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Ok(())], "{provider}");
    TransactionId(paid.transaction_id.unwrap().into())
}

/// Everything that is left.
pub(crate) fn refund_all() -> RefundRequest {
    RefundRequest {
        out_trade_no: number(NO),
        out_refund_no: None,
        refund_fee: None,
        refund_desc: None,
        transaction_id: None,
    }
}

/// So much, under a number.
pub(crate) fn partial_refund(out_refund_no: &str, fee: u64) -> RefundRequest {
    RefundRequest {
        out_refund_no: Some(out_refund_no.to_owned()),
        refund_fee: Fen::new(fee),
        refund_desc: Some("one cup broke".to_owned()),
        ..refund_all()
    }
}

/// Everything that is left of one payment.
pub(crate) fn refund_all_of(id: &TransactionId) -> RefundRequest {
    RefundRequest { transaction_id: Some(id.clone()), ..refund_all() }
}

pub(crate) async fn refund(shop: &Shop, no: &str, fee: u64) -> Result<Refunded, Error> {
    shop.engine.refund(partial_refund(no, fee)).await
}

/// Time goes by: whatever is due is told, asked and sent.
pub(crate) async fn settle(shop: &Shop) {
    for _ in 0..4 {
        shop.clock.advance_ms(MINUTE);
        shop.notify().await;
        run_background().await;
        shop.engine.reconcile().await;
        run_background().await;
    }
}

/// What the shop was told, in alphabetical order.
pub(crate) async fn sent_events(shop: &Shop, webhook: &RecordingWebhook) -> Vec<&'static str> {
    while shop.engine.dispatch().await > 0 {}
    let mut events = webhook.events();
    events.sort_unstable();
    events
}

/// Where the refund `no` stands here.
pub(crate) async fn state(shop: &Shop, no: &str) -> RefundState {
    shop.order(NO).await.refund(no).unwrap().1.state
}

pub(crate) async fn status(shop: &Shop) -> i8 {
    shop.order(NO).await.status.number()
}

/// What the buyers paid and have back, in fen, as the providers know it: nothing is on its way.
#[track_caller]
pub(crate) fn check_money(shop: &Shop, paid: u64, returned: u64) {
    assert_eq!(shop.providers.money(), MoneyTotals { paid, refunded: returned, refunding: 0 });
}

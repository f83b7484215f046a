//! Payments that a verified message reports and that the provider, or the order, knows otherwise.

use std::sync::Arc;
use std::time::Duration;

use paygate::domain::PaymentRole::{Mismatch, Winning};
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::{
    AutoRefundPolicy, Fen, Millis, Receipt, TradeUpdate, TransactionId, Transition,
};
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation, SimulatedOrder};
use paygate::store::{Committed, Memory, Store};
use serde_json::json;
use tokio::time::Instant;

use crate::support::notifications::{address, notification_of, take};
use crate::support::requests::{NO, app, qr};
use crate::support::shop::Shop;

/// A number that WeChat Pay gave to no payment of the order.
const OTHER_ID: &str = "4200009999202511230000000099";

/// A shop with an order that was paid at WeChat Pay, which did not notify of it yet, and the store.
async fn paid_order() -> (Shop, Arc<Memory>) {
    let other = Shop::open().await;
    let store = Arc::new(Memory::new());
    let (clock, providers) = (other.clock.clone(), other.providers.clone());
    let shop = Shop::over(clock, store.clone(), providers, |it| it).await;
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    (shop, store)
}

/// Records that the order was paid by `transaction_id`, with an amount that is not the order's.
async fn claim_paid(shop: &Shop, store: &Memory, transaction_id: &str) {
    let receipt = Receipt {
        transaction_id: TransactionId(transaction_id.into()),
        total_fee: Fen::new(999).unwrap(),
        paid_at: Millis(1),
        openid: None,
        matches_order: true,
        refunded: false,
        auto_refund: AutoRefundPolicy { duplicate: true, late: true },
        message: Arc::new(json!({})),
    };
    let update = TradeUpdate::Paid(receipt);
    let paid = Transition::TradeQueried { n: 1, at: Millis(1), update };
    let next = shop.order(NO).await.apply(paid).unwrap();
    assert_eq!(store.commit(&next, &[]).await, Ok(Committed::Done));
}

/// WeChat Pay's notification of `order`, verified by the default merchant.
async fn notify(shop: &Shop, order: &SimulatedOrder) -> Result<(), Kind> {
    let notification = notification_of(shop, order, &address(Wxpay));
    take(shop, Wxpay, notification).await
}

#[tokio::test]
async fn a_dispute_is_not_settled_by_what_the_provider_answers_about_another_payment() {
    let (shop, store) = paid_order().await;
    claim_paid(&shop, &store, OTHER_ID).await;
    let before = shop.order(NO).await;
    let known = shop.ledger(NO).remove(0);
    let other = SimulatedOrder { transaction_id: Some(OTHER_ID.to_owned()), ..known };
    assert_eq!(notify(&shop, &other).await, Err(Kind::OutcomeUnknown));
    assert_eq!(shop.providers.calls("wxpay.query"), 1);
    assert_eq!(shop.order(NO).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_provider_waits_3_s_for_the_answer_to_a_disputed_notification() {
    let (shop, store) = paid_order().await;
    let known = shop.ledger(NO).remove(0);
    claim_paid(&shop, &store, known.transaction_id.as_deref().unwrap()).await;
    shop.fault_of(ProviderOperation::Query, FaultKind::Delay { ms: 60_000 });
    let began = Instant::now();
    assert_eq!(notify(&shop, &known).await, Err(Kind::OutcomeUnknown));
    let waited = began.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_millis(3_100)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn an_unmatched_payment_is_recorded_as_its_provider_answers_about_it_and_no_other() {
    for (is_other, amount) in [(false, 100), (true, 777)] {
        let (before, _) = paid_order().await;
        let (clock, providers) = (before.clock.clone(), before.providers.clone());
        let shop = Shop::at(clock, Memory::new(), providers, |it| it).await;
        let mut claimed = shop.ledger(NO).remove(0);
        claimed.terms.amount = Fen::new(777).unwrap();
        if is_other {
            claimed.transaction_id = Some(OTHER_ID.to_owned());
        }
        assert_eq!(notify(&shop, &claimed).await, Err(Kind::NoSuchOrder));
        let [unmatched] = &shop.engine.unmatched(9).await.unwrap()[..] else { panic!("one") };
        assert_eq!(Some(unmatched.transaction_id.0.to_string()), claimed.transaction_id);
        assert_eq!(unmatched.total_fee.fen(), amount, "{is_other}");
    }
}

/// The order was opened in another of the merchant's accounts than the one that is paid.
async fn paid_in_another_account() -> Shop {
    let (shop, store) = paid_order().await;
    let mut opened = shop.order(NO).await;
    opened.version += 1;
    let own = &mut opened.attempts[0];
    let account = own.account.as_mut().unwrap();
    let paid = account.id.clone();
    account.id = "1900000002".to_owned();
    own.params.document = own.params.document.replace(&paid, &account.id);
    assert_eq!(store.commit(&opened, &[]).await, Ok(Committed::Done));
    shop
}

#[tokio::test]
async fn a_payment_to_another_account_under_the_number_is_none_of_the_orders_own_trade() {
    let shop = paid_in_another_account().await;
    let before = shop.order(NO).await;
    let known = shop.ledger(NO).remove(0);
    for _ in 0..2 {
        assert_eq!(notify(&shop, &known).await, Err(Kind::Mismatched));
        let order = shop.order(NO).await;
        let [payment] = &order.payments[..] else { panic!("one payment") };
        assert_eq!((payment.role, payment.attempt), (Mismatch, 2));
        let account = order.attempt(2).unwrap().account.as_ref().unwrap();
        assert_eq!(account.id, known.merchant, "it can be refunded there");
        assert_eq!(order.attempts[0].state, before.attempts[0].state, "the own trade is not paid");
        assert_eq!(order.status.number(), 0);
    }
    assert_eq!(shop.providers.calls("wxpay.query"), 0, "nobody disputes it");
}

#[tokio::test]
async fn a_disputed_amount_in_another_account_is_corrected_and_pays_no_order() {
    let shop = paid_in_another_account().await;
    let known = shop.ledger(NO).remove(0);
    let mut claimed = known.clone();
    claimed.terms.amount = Fen::new(777).unwrap();
    assert_eq!(notify(&shop, &claimed).await, Err(Kind::Mismatched));
    assert_eq!(notify(&shop, &known).await, Err(Kind::Mismatched));
    let order = shop.order(NO).await;
    let [payment] = &order.payments[..] else { panic!("one payment") };
    assert_eq!((payment.role, payment.total_fee.fen()), (Mismatch, 100));
    assert_eq!(order.status.number(), 0);
}

#[tokio::test]
async fn a_payment_in_another_app_of_the_account_is_a_mismatch_of_the_orders_own_trade() {
    let (shop, _) = paid_order().await;
    let mut known = shop.ledger(NO).remove(0);
    known.terms.app_id = "wx0000000000000000".to_owned();
    assert_eq!(notify(&shop, &known).await, Err(Kind::Mismatched));
    let order = shop.order(NO).await;
    assert_eq!((order.payments[0].role, order.payments[0].attempt), (Mismatch, 1));
    assert_eq!(order.attempts.len(), 1, "one account has one trade under the number");
}

#[tokio::test]
async fn a_contradiction_about_the_app_is_settled_by_the_provider_whichever_message_comes_first() {
    let (shop, _) = paid_order().await;
    let known = shop.ledger(NO).remove(0);
    let mut other = known.clone();
    other.terms.app_id = "wx0000000000000000".to_owned();
    assert_eq!(notify(&shop, &other).await, Err(Kind::Mismatched));
    for (message, queries) in [(&known, 1), (&known, 1), (&other, 2)] {
        assert_eq!(notify(&shop, message).await, Ok(()));
        assert_eq!(shop.providers.calls("wxpay.query"), queries);
        let order = shop.order(NO).await;
        assert_eq!((order.payments[0].role, order.status.number()), (Winning, 1));
    }
}

#[tokio::test]
async fn a_payment_of_a_trade_that_two_attempts_share_is_disputed_by_nobody() {
    let shop = Shop::open().await;
    shop.create(&qr(Alipay)).await.unwrap();
    let string = shop.create(&app(Alipay)).await.unwrap();
    shop.pay(&string).unwrap();
    let notification = shop.providers.notifications().remove(0);
    let queries = shop.providers.calls("alipay.query");
    for _ in 0..3 {
        assert_eq!(shop.take(&notification).await, Ok(()));
    }
    assert_eq!(shop.order(NO).await.payments[0].role, Winning);
    assert_eq!(shop.providers.calls("alipay.query"), queries);
}

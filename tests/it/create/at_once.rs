//! Requests for one number at once, and requests while its payment method changes.

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation, State};
use serde_json::{Value, json};

use crate::support::refunds::{number, status};
use crate::support::requests::{NO, material, qr, refuse};
use crate::support::shop::{Shop, kind, with};

#[tokio::test]
async fn of_requests_at_once_those_with_other_terms_get_nothing_of_the_first_one() {
    // The provider answers at once, or after all of them have come.
    for delay in [None, Some(5)] {
        let shop = Shop::open().await;
        if let Some(ms) = delay {
            shop.fault(FaultKind::Delay { ms });
        }
        let other = |n: u64| -> Value {
            match n % 3 {
                0 => qr(Wxpay),
                1 => with(qr(Wxpay), "/data/total_fee", json!(101)),
                _ => with(qr(Wxpay), "/data/subject", json!("coffee")),
            }
        };
        let mut requests = tokio::task::JoinSet::new();
        for n in 0..60 {
            let (shop, request) = (shop.clone(), other(n));
            requests.spawn(async move { (n, shop.create(&request).await) });
        }
        while let Some(answered) = requests.join_next().await {
            let (n, answer) = answered.unwrap();
            let expected = if n % 3 == 0 { None } else { Some(Kind::Different) };
            assert_eq!(kind(answer), expected, "{delay:?} {n}");
        }
        assert_eq!(shop.creates(), 1, "{delay:?}");
    }
}

#[tokio::test]
async fn a_request_that_follows_another_order_is_judged_by_what_is_stored() {
    // The first request opens nothing: its terms are not those of the number.
    let shop = Shop::open().await;
    shop.create(&qr(Wxpay)).await.unwrap();
    let other = with(qr(Alipay), "/data/total_fee", json!(101));
    let mine = qr(Alipay);
    let (first, second) = tokio::join!(shop.create(&other), shop.create(&mine));
    assert_eq!((kind(first), kind(second)), (Some(Kind::Different), None));
}

#[tokio::test]
async fn a_superseded_code_that_is_handed_out_again_is_the_current_one() {
    let shop = Shop::open().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    for _ in 0..3 {
        shop.fault(FaultKind::LoseRequest);
    }
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown));
    assert_eq!(shop.order(NO).await.current().n, 2, "Alipay's code is superseded");
    let again = shop.create(&qr(Alipay)).await.unwrap();
    assert!(again.replayed);
    assert_eq!(material(&again), material(&code));
    assert_eq!(shop.order(NO).await.current().n, 1, "the buyer holds it");
    // It is not closed under the buyer's hands.
    shop.scan(&again).unwrap();
    shop.clock.advance_ms(60_000);
    shop.engine.reconcile().await;
    assert!(shop.pay(&again).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_code_is_not_handed_out_while_it_is_closed() {
    for (is_switch, answer) in [(true, Kind::Busy), (false, Kind::Closed)] {
        let shop = Shop::open().await;
        shop.create(&qr(Wxpay)).await.unwrap();
        shop.fault_of(ProviderOperation::Close, FaultKind::Delay { ms: 2_000 });
        let close = async {
            match is_switch {
                true => shop.create(&qr(Alipay)).await.map(drop),
                false => shop.engine.close(&number(NO)).await,
            }
        };
        let repeat = async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            shop.create(&qr(Wxpay)).await
        };
        let (closed, repeated) = tokio::join!(close, repeat);
        assert_eq!((kind(closed), kind(repeated)), (None, Some(answer)), "{is_switch}");
        let wxpay = shop.states().into_iter().find(|(provider, _)| *provider == Wxpay);
        assert_eq!(wxpay, Some((Wxpay, State::Closed)));
    }
}

#[tokio::test]
async fn a_closed_order_hands_out_no_code_from_memory() {
    // Alipay closes nothing of a code that nobody scanned.
    let shop = Shop::open().await;
    shop.create(&qr(Alipay)).await.unwrap();
    assert!(shop.create(&qr(Alipay)).await.unwrap().replayed, "it is in memory");
    shop.engine.close(&number(NO)).await.unwrap();
    assert_eq!(kind(shop.create(&qr(Alipay)).await), Some(Kind::Closed));
}

#[tokio::test]
async fn a_trade_that_its_provider_calls_paid_and_unpaid_is_not_ended() {
    let refusals = [(Wxpay, "ORDER_PAID"), (Alipay, "ACQ.TRADE_STATUS_ERROR")];
    for (provider, code) in refusals {
        let shop = Shop::open().await;
        let created = shop.create(&qr(provider)).await.unwrap();
        shop.scan(&created).unwrap();
        let other = qr(if provider == Wxpay { Alipay } else { Wxpay });
        shop.fault_of(ProviderOperation::Close, refuse(code, "it is paid"));
        assert_eq!(kind(shop.create(&other).await), Some(Kind::Busy), "{provider}");
        assert_eq!(shop.creates(), 1, "{provider}: no second trade opens");
        shop.fault_of(ProviderOperation::Close, refuse(code, "it is paid"));
        assert_eq!(kind(shop.engine.close(&number(NO)).await), Some(Kind::Busy), "{provider}");
        assert_eq!(status(&shop).await, 0, "{provider}: the order stays open");
        assert!(shop.pay(&created).is_ok(), "{provider}");
    }
}

//! What the shop asks to send back.

use std::sync::Arc;

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::RefundState::{Abnormal, Closed, Processing, Success};
use paygate::domain::TransactionId;
use paygate::engine::RefundRequest;
use paygate::error::Kind;
use paygate::mock::{FaultKind, InProcess, ProviderOperation, RefundEnd, RefundSettings};
use paygate::store::Memory;

use crate::support::crashing_store::{Crashing, Moment, Then};
use crate::support::refunds::{
    check_money, number, paid, partial_refund, refund, refund_all, refund_all_of, sent_events,
    settle, state, status,
};
use crate::support::requests::{MINUTE, NO, qr};
use crate::support::shop::{ManualClock, Shop, body, kind, with};
use crate::support::webhook::shop_with_webhook;

#[tokio::test]
async fn a_payment_goes_back_in_parts_until_nothing_is_left() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        let mut back = 0;
        for (no, fee) in [("r-1", 30), ("r-2", 30), ("r-3", 40)] {
            let refunded = refund(&shop, no, fee).await.unwrap();
            assert_eq!(refunded.refund.out_refund_no, no);
            assert_eq!(refunded.refund.refund_fee.fen(), fee);
            settle(&shop).await;
            back += fee;
            assert_eq!(state(&shop, no).await, Success, "{provider} {no}");
            assert_eq!(status(&shop).await, if back < 100 { 2 } else { 3 }, "{provider} {no}");
            check_money(&shop, 100, back);
        }
        assert_eq!(kind(refund(&shop, "r-4", 1).await), Some(Kind::RefundExceeds), "{provider}");
        assert_eq!(kind(shop.engine.refund(refund_all()).await), Some(Kind::RefundExceeds));

        let sent = shop.providers.calls(&format!("{provider}.refund"));
        let again = refund(&shop, "r-1", 30).await.unwrap();
        assert_eq!((again.refund.state, again.refund.refund_fee.fen()), (Success, 30));
        let other = refund(&shop, "r-1", 31).await.unwrap_err();
        assert_eq!(other.kind(), Kind::Different);
        assert_eq!(other.violations()[0].path, "/refund_fee");
        assert_eq!(shop.providers.calls(&format!("{provider}.refund")), sent, "a replay is none");

        let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
        assert_eq!((all.refunds.len(), all.refund_fee, all.refund_unknown), (3, 100, false));
        let succeeded = "refund.succeeded";
        let expected = ["payment.succeeded", succeeded, succeeded, succeeded];
        assert_eq!(sent_events(&shop, &webhook).await, expected, "{provider}");
        check_money(&shop, 100, 100);
    }
}

#[tokio::test]
async fn two_refunds_of_everything_at_once_are_one() {
    for provider in [Wxpay, Alipay] {
        let (shop, _) = shop_with_webhook().await;
        paid(&shop, provider).await;
        let both = tokio::join!(shop.engine.refund(refund_all()), shop.engine.refund(refund_all()));
        let (one, two) = (both.0.unwrap(), both.1.unwrap());
        assert_eq!(one.refund.out_refund_no, two.refund.out_refund_no, "one is a replay");
        settle(&shop).await;
        check_money(&shop, 100, 100);

        let (shop, _) = shop_with_webhook().await;
        paid(&shop, provider).await;
        let both = tokio::join!(refund(&shop, "r-1", 100), refund(&shop, "r-2", 100));
        let kinds = [kind(both.0), kind(both.1)];
        assert!(kinds.contains(&None) && kinds.contains(&Some(Kind::RefundExceeds)), "{kinds:?}");
        settle(&shop).await;
        check_money(&shop, 100, 100);
        assert_eq!(shop.order(NO).await.payments[0].refunds.len(), 1, "{provider}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_not_a_second_refund() {
    for provider in [Wxpay, Alipay] {
        for lost in [FaultKind::LoseReply, FaultKind::LoseRequest, FaultKind::Status500] {
            let (shop, webhook) = shop_with_webhook().await;
            paid(&shop, provider).await;
            shop.fault_of(ProviderOperation::Refund, lost.clone());
            let first = shop.engine.refund(refund_all()).await.unwrap();
            assert_eq!(first.refund.state, Processing, "{provider} {lost:?}");
            assert_eq!(status(&shop).await, 1, "nobody knows yet");
            let again = shop.engine.refund(refund_all()).await.unwrap();
            assert_eq!(again.refund.out_refund_no, first.refund.out_refund_no);
            settle(&shop).await;
            assert_eq!(state(&shop, &first.refund.out_refund_no).await, Success);
            assert_eq!(shop.ledger(NO)[0].payments[0].refunds.len(), 1, "{provider} {lost:?}");
            check_money(&shop, 100, 100);
            assert_eq!(
                sent_events(&shop, &webhook).await,
                ["payment.succeeded", "refund.succeeded"]
            );
        }
    }
}

#[tokio::test]
async fn what_nobody_asks_about_again_is_finished() {
    for provider in [Wxpay, Alipay] {
        for lost in [FaultKind::LoseReply, FaultKind::LoseRequest, FaultKind::TooSoon] {
            let (shop, _) = shop_with_webhook().await;
            paid(&shop, provider).await;
            shop.fault_of(ProviderOperation::Refund, lost.clone());
            let first = refund(&shop, "r-1", 60).await.unwrap();
            assert_eq!(first.refund.state, Processing, "{provider} {lost:?}");
            settle(&shop).await;
            assert_eq!(state(&shop, "r-1").await, Success, "{provider} {lost:?}");
            check_money(&shop, 100, 60);
        }
    }
}

#[tokio::test]
async fn two_refunds_in_a_moment_are_both_taken_and_the_provider_gets_its_interval() {
    for provider in [Wxpay, Alipay] {
        let (shop, _) = shop_with_webhook().await;
        paid(&shop, provider).await;
        refund(&shop, "r-1", 30).await.unwrap();
        let second = refund(&shop, "r-2", 40).await.unwrap();
        assert_eq!(second.refund.state, Processing, "{provider}");
        assert_eq!(kind(refund(&shop, "r-3", 31).await), Some(Kind::RefundExceeds));
        settle(&shop).await;
        assert_eq!((state(&shop, "r-1").await, state(&shop, "r-2").await), (Success, Success));
        check_money(&shop, 100, 70);
    }
}

#[tokio::test]
async fn a_refund_on_its_way_is_processing_until_its_provider_says_otherwise() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        let slow = FaultKind::RefundSlow { ms: 3_600_000 };
        shop.fault_of(ProviderOperation::Refund, slow);
        assert_eq!(refund(&shop, "r-1", 100).await.unwrap().refund.state, Processing);
        settle(&shop).await;
        let found = shop.engine.query_refund("r-1").await.unwrap();
        assert_eq!((found.refund.state, status(&shop).await), (Processing, 1), "{provider}");
        assert_eq!(shop.engine.query_refunds(&number(NO)).await.unwrap().refund_fee, 0);
        assert_eq!(kind(refund(&shop, "r-2", 1).await), Some(Kind::RefundExceeds), "it counts");
        assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded"]);
        shop.clock.advance_ms(60 * MINUTE);
        let found = shop.engine.query_refund("r-1").await.unwrap();
        assert_eq!((found.refund.state, status(&shop).await), (Success, 3), "{provider}");
        settle(&shop).await;
        assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded", "refund.succeeded"]);
        check_money(&shop, 100, 100);
    }
}

#[tokio::test]
async fn a_refusal_frees_what_was_to_go_back_and_its_number() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        shop.fault_of(ProviderOperation::Refund, FaultKind::NotEnough);
        let refused = refund(&shop, "r-1", 100).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::ProviderRefused, "{provider}");
        assert!(refused.provider().is_some_and(|(code, _)| code.contains("NOT_ENOUGH")));
        assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Closed, 1));
        settle(&shop).await;
        check_money(&shop, 100, 0);
        let other = refund(&shop, "r-2", 60).await.unwrap();
        assert_ne!(other.refund.state, Closed, "the amount is free");
        settle(&shop).await;
        assert_eq!(kind(refund(&shop, "r-1", 100).await), Some(Kind::RefundExceeds), "{provider}");
        assert_eq!(kind(refund(&shop, "r-1", 40).await), Some(Kind::Different), "{provider}");
        check_money(&shop, 100, 60);
        let events = sent_events(&shop, &webhook).await;
        assert_eq!(events, ["payment.succeeded", "refund.closed", "refund.succeeded"]);

        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        for _ in 0..2 {
            shop.clock.advance_ms(MINUTE);
            shop.fault_of(ProviderOperation::Refund, FaultKind::NotEnough);
            refund(&shop, "r-1", 100).await.unwrap_err();
        }
        let again = refund(&shop, "r-1", 100).await.unwrap();
        assert_ne!(again.refund.state, Closed, "{provider}: under the same number");
        settle(&shop).await;
        assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Success, 3), "{provider}");
        check_money(&shop, 100, 100);
        let events = sent_events(&shop, &webhook).await;
        let closed = "refund.closed";
        assert_eq!(events, ["payment.succeeded", closed, closed, "refund.succeeded"]);
    }
}

#[tokio::test]
async fn a_refund_that_needs_a_person_is_told_and_holds_its_amount() {
    let (shop, webhook) = shop_with_webhook().await;
    paid(&shop, Wxpay).await;
    shop.fault_of(ProviderOperation::Refund, FaultKind::RefundEnds { state: Abnormal });
    refund(&shop, "r-1", 60).await.unwrap();
    settle(&shop).await;
    assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Abnormal, 1));
    assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded", "refund.abnormal"]);
    assert_eq!(kind(refund(&shop, "r-2", 41).await), Some(Kind::RefundExceeds));
    let again = refund(&shop, "r-1", 60).await.unwrap();
    assert_eq!(again.refund.state, Abnormal, "a repeat is a replay");
    let done = RefundEnd {
        provider: Wxpay,
        out_trade_no: NO.to_owned(),
        out_refund_no: "r-1".to_owned(),
        state: Success,
    };
    shop.providers.end_refund(&done).unwrap();
    settle(&shop).await;
    assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Success, 2));
    let events = sent_events(&shop, &webhook).await;
    assert_eq!(events, ["payment.succeeded", "refund.abnormal", "refund.succeeded"]);
    check_money(&shop, 100, 60);
}

#[tokio::test]
async fn a_refund_that_its_provider_closes_frees_its_amount() {
    let (shop, webhook) = shop_with_webhook().await;
    paid(&shop, Wxpay).await;
    shop.fault_of(ProviderOperation::Refund, FaultKind::RefundEnds { state: Closed });
    refund(&shop, "r-1", 100).await.unwrap();
    settle(&shop).await;
    assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Closed, 1));
    refund(&shop, "r-2", 100).await.unwrap();
    settle(&shop).await;
    assert_eq!((state(&shop, "r-2").await, status(&shop).await), (Success, 3));
    check_money(&shop, 100, 100);
    let events = sent_events(&shop, &webhook).await;
    assert_eq!(events, ["payment.succeeded", "refund.closed", "refund.succeeded"]);
}

#[tokio::test]
async fn a_refund_during_a_notification_loses_nothing() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr(provider)).await.unwrap();
        shop.pay(&created).unwrap();
        let news = shop.providers.notifications().remove(0);
        let (heard, asked) = tokio::join!(shop.take(&news), shop.engine.refund(refund_all()));
        assert_eq!(heard, Ok(()), "{provider}");
        if let Err(error) = asked {
            assert_eq!(error.kind(), Kind::NotPaid, "{provider}: it was not known yet");
        }
        let (asked, heard) = tokio::join!(shop.engine.refund(refund_all()), shop.take(&news));
        assert_eq!((kind(asked), heard), (None, Ok(())), "{provider}");
        settle(&shop).await;
        let order = shop.order(NO).await;
        assert_eq!((order.payments.len(), order.payments[0].refunds.len()), (1, 1));
        assert_eq!(order.status.number(), 3, "{provider}");
        assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded", "refund.succeeded"]);
        check_money(&shop, 100, 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refund_of_a_busy_order_records_and_sends_nothing() {
    let (shop, _) = shop_with_webhook().await;
    paid(&shop, Wxpay).await;
    shop.fault_of(ProviderOperation::Refund, FaultKind::Delay { ms: 5_000 });
    let second = async {
        tokio::task::yield_now().await;
        refund(&shop, "r-2", 10).await
    };
    let (first, second) = tokio::join!(refund(&shop, "r-1", 30), second);
    assert_eq!((kind(first), kind(second)), (None, Some(Kind::TooSoon)));
    assert_eq!(shop.order(NO).await.payments[0].refunds.len(), 1);
    let asked = shop.engine.query_refund("r-2").await;
    assert_eq!(kind(asked), Some(Kind::NotRefunded));
    settle(&shop).await;
    check_money(&shop, 100, 30);
}

#[tokio::test]
async fn a_refund_that_arrives_after_its_refusal_is_found() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        shop.providers
            .set_refund_settings(RefundSettings { takes_ms: 3_000, alipay_notifies: false });
        shop.fault_of(ProviderOperation::Refund, FaultKind::Late { ms: 46_000 });
        assert_eq!(refund(&shop, "r-1", 30).await.unwrap().refund.state, Processing);
        shop.clock.advance_ms(10_000);
        shop.fault_of(ProviderOperation::Refund, FaultKind::NotEnough);
        let again = refund(&shop, "r-1", 30).await.unwrap();
        assert_eq!(again.refund.state, Processing, "{provider}: a repeat is a replay");
        shop.engine.reconcile().await;
        assert_eq!(state(&shop, "r-1").await, Processing, "{provider}: refused, and on its way");
        let other = refund(&shop, "r-2", 71).await;
        assert_eq!(kind(other), Some(Kind::RefundExceeds), "{provider}: its amount is bound");
        for _ in 0..3 {
            settle(&shop).await;
        }
        assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Success, 2), "{provider}");
        let events = sent_events(&shop, &webhook).await;
        assert_eq!(events, ["payment.succeeded", "refund.succeeded"]);
        check_money(&shop, 100, 30);
    }
}

#[tokio::test]
async fn a_refund_that_cannot_be_recorded_is_not_sent() {
    for at in 1..=3 {
        let clock = ManualClock::new();
        let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
        // Three writes make a paid order; the fourth is the wish, the fifth says that it is sent,
        // the sixth what came of it.
        let store = Crashing::at(Memory::new(), 3 + at, Moment::Before, Then::Fails);
        let shop = Shop::at(clock.clone(), store.clone(), providers.clone(), |it| it).await;
        paid(&shop, Wxpay).await;
        let answer = refund(&shop, "r-1", 100).await;
        let sent = providers.calls("wxpay.refund");
        match at {
            1 => assert_eq!((kind(answer), sent), (Some(Kind::NotSent), 0)),
            2 => assert_eq!((answer.unwrap().refund.state, sent), (Processing, 0)),
            _ => assert_eq!((answer.unwrap().refund.state, sent), (Processing, 1)),
        }
        let reopened = store.store().reopen();
        let shop = Shop::at(clock, reopened, providers, |it| it).await;
        refund(&shop, "r-1", 100).await.unwrap();
        settle(&shop).await;
        assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Success, 3));
        assert_eq!(shop.ledger(NO)[0].payments[0].refunds.len(), 1);
        check_money(&shop, 100, 100);
    }
}

#[tokio::test]
async fn what_is_not_paid_or_not_this_orders_is_not_returned() {
    let (shop, _) = shop_with_webhook().await;
    assert_eq!(kind(shop.engine.refund(refund_all()).await), Some(Kind::NoSuchOrder));
    assert_eq!(kind(shop.engine.query_refunds(&number(NO)).await), Some(Kind::NoSuchOrder));
    shop.create(&qr(Wxpay)).await.unwrap();
    assert_eq!(kind(shop.engine.refund(refund_all()).await), Some(Kind::NotPaid));
    assert_eq!(kind(shop.engine.query_refunds(&number(NO)).await), Some(Kind::NotRefunded));
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    shop.notify().await;
    let stranger = refund_all_of(&TransactionId("4200000000000000".into()));
    assert_eq!(kind(shop.engine.refund(stranger).await), Some(Kind::NoSuchOrder));
    assert_eq!(kind(shop.engine.query_refund("r-1").await), Some(Kind::NotRefunded));
    assert_eq!(shop.providers.calls("wxpay.refund"), 0);
}

#[tokio::test]
async fn a_number_is_of_one_refund_of_a_merchant() {
    let (shop, _) = shop_with_webhook().await;
    paid(&shop, Wxpay).await;
    refund(&shop, "r-1", 30).await.unwrap();
    let pay = async |pid: &str, no: &str| {
        let wanted = with(body(Wxpay, no, 100), "/data/pid", pid.into());
        let created = shop.create(&wanted).await.unwrap();
        shop.pay(&created).unwrap();
        shop.notify().await;
        RefundRequest { out_trade_no: number(no), ..partial_refund("r-1", 30) }
    };
    let same = pay("default", "order-0002").await;
    let error = shop.engine.refund(same).await.unwrap_err();
    assert_eq!((error.kind(), &*error.violations()[0].path), (Kind::Different, "/out_trade_no"));
    let other = pay("001", "order-0003").await;
    let refunded = shop.engine.refund(other).await;
    assert_eq!(refunded.unwrap().out_trade_no.as_str(), "order-0003", "another merchant's own");
}

#[tokio::test]
async fn a_refusal_frees_nothing_while_an_earlier_sending_is_unaccounted_for() {
    for provider in [Wxpay, Alipay] {
        for lost in [FaultKind::LoseReply, FaultKind::LoseRequest] {
            let (shop, webhook) = shop_with_webhook().await;
            paid(&shop, provider).await;
            shop.providers
                .set_refund_settings(RefundSettings { takes_ms: 3_000, alipay_notifies: false });
            let arrives = lost == FaultKind::LoseReply;
            shop.fault_of(ProviderOperation::Refund, lost);
            shop.fault_of(ProviderOperation::RefundQuery, FaultKind::LoseRequest);
            assert_eq!(refund(&shop, "r-1", 60).await.unwrap().refund.state, Processing);
            if !arrives {
                shop.fault_of(ProviderOperation::Refund, FaultKind::NotEnough);
            }
            shop.clock.advance_ms(MINUTE);
            shop.engine.reconcile().await;
            assert_eq!(state(&shop, "r-1").await, Processing, "{provider}");
            assert_eq!(kind(refund(&shop, "r-2", 41).await), Some(Kind::RefundExceeds));
            settle(&shop).await;
            if arrives {
                assert_eq!(state(&shop, "r-1").await, Success, "{provider}");
                check_money(&shop, 100, 60);
                continue;
            }
            let sent = shop.providers.calls(&format!("{provider}.refund"));
            for _ in 0..23 {
                shop.clock.advance_ms(60 * MINUTE);
                shop.engine.reconcile().await;
                assert_eq!(state(&shop, "r-1").await, Processing, "{provider}: for 24 h");
            }
            for _ in 0..3 {
                shop.clock.advance_ms(60 * MINUTE);
                shop.engine.reconcile().await;
            }
            assert_eq!(state(&shop, "r-1").await, Closed, "{provider}");
            assert_eq!(shop.providers.calls(&format!("{provider}.refund")), sent, "asked only");
            assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded", "refund.closed"]);
            refund(&shop, "r-2", 100).await.unwrap();
            settle(&shop).await;
            check_money(&shop, 100, 100);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorded_number_is_answered_from_the_store_while_the_order_is_busy() {
    let (shop, _) = shop_with_webhook().await;
    paid(&shop, Wxpay).await;
    shop.fault_of(ProviderOperation::Refund, FaultKind::Delay { ms: 7_000 });
    let began = tokio::time::Instant::now();
    let repeat = async {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        let again = refund(&shop, "r-1", 30).await;
        (again, began.elapsed())
    };
    let (first, (again, after)) = tokio::join!(refund(&shop, "r-1", 30), repeat);
    assert_eq!(again.unwrap().refund.state, Processing);
    assert!(after.as_millis() < 100, "it waited for nobody: {after:?}");
    assert!(first.is_ok());
    assert_eq!(kind(refund(&shop, "r-1", 31).await), Some(Kind::Different));
}

#[tokio::test]
async fn a_refund_that_exceeds_the_payment_is_refused_with_what_is_left() {
    for provider in [Wxpay, Alipay] {
        let shop = Shop::open().await;
        paid(&shop, provider).await;
        refund(&shop, "r-1", 30).await.unwrap();
        let error = refund(&shop, "r-2", 71).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::RefundExceeds, 4106));
        let (zh, en) = error.texts();
        assert!(zh.contains("70 分") && en.contains("70 fen"), "{provider}: {zh} {en}");
        refund(&shop, "r-3", 70).await.unwrap();
        let error = refund(&shop, "r-4", 1).await.unwrap_err();
        assert!(error.to_string().contains("0 fen"), "{provider}: {error}");
    }
}

#[tokio::test]
async fn a_pending_refund_is_asked_about_once_in_5_s_and_a_finished_one_never() {
    let (shop, _) = shop_with_webhook().await;
    paid(&shop, Wxpay).await;
    shop.fault_of(ProviderOperation::Refund, FaultKind::RefundSlow { ms: 20_000 });
    assert_eq!(refund(&shop, "r-1", 30).await.unwrap().refund.state, Processing);
    let queries = || shop.providers.calls("wxpay.refund_query");
    for asked in 0..=2 {
        for ms in [0, 4_999] {
            shop.clock.advance_ms(ms);
            shop.engine.query_refund("r-1").await.unwrap();
            assert_eq!(queries(), asked, "{ms} ms after {} s", 5 * asked);
        }
        shop.clock.advance_ms(1);
    }
    settle(&shop).await;
    let before = queries();
    shop.clock.advance_ms(MINUTE);
    assert_eq!(shop.engine.query_refund("r-1").await.unwrap().refund.state, Success);
    assert_eq!(queries(), before);
}

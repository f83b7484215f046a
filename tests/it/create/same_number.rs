//! The same number again: a replay, a refusal, or one call to the provider.

use std::sync::Arc;

use paygate::domain::ProviderId;
use paygate::error::Kind;
use paygate::mock::{FaultKind, InProcess, Refuse};
#[cfg(feature = "sqlite")]
use paygate::store::{Sqlite, StoreMode};
use serde_json::{Value, json};

use crate::support::shop::{ManualClock, Shop, body, kind, order_info, with};

const NO: &str = "2107151010101541001";

fn wxpay() -> Value {
    body(ProviderId::Wxpay, NO, 100)
}

#[tokio::test]
async fn the_same_request_twice_is_one_provider_call() {
    let shop = Shop::open().await;
    let first = shop.create(&wxpay()).await.unwrap();
    let second = shop.create(&wxpay()).await.unwrap();
    assert!(!first.replayed);
    assert!(second.replayed);
    assert_eq!(order_info(&first), order_info(&second));
    assert_eq!(shop.creates(), 1);
}

#[tokio::test]
async fn two_hundred_first_requests_at_once_are_one_provider_call() {
    let shop = Shop::open().await;
    shop.fault(FaultKind::Delay { ms: 5 });
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let shop = shop.clone();
        requests.spawn(async move { shop.create(&wxpay()).await });
    }
    let mut urls = Vec::new();
    while let Some(answer) = requests.join_next().await {
        urls.push(order_info(&answer.unwrap().unwrap()));
    }
    assert_eq!(urls.len(), 200);
    assert!(urls.iter().all(|it| *it == urls[0]));
    assert_eq!(shop.creates(), 1);
    assert_eq!(shop.ledger(NO).len(), 1);
}

#[tokio::test]
async fn other_parameters_under_the_same_number_are_named_and_change_nothing() {
    let shop = Shop::open().await;
    let first = shop.create(&wxpay()).await.unwrap();
    let changes = [
        ("/data/total_fee", json!(101)),
        ("/data/subject", json!("coffee")),
        ("/data/body", json!("a cup")),
        ("/data/type", json!("other")),
        ("/data/custom", json!({"a": 1})),
        ("/data/user_id", json!("u1")),
        ("/data/pid", json!("001")),
        ("/data/other", json!({"attach": "x"})),
        ("/data/sub_appid", json!("wx1234567890abcdef")),
        ("/data/sub_mchid", json!("1900000110")),
        ("/data/profit_sharing", json!(true)),
    ];
    for (at, value) in changes {
        let error = shop.create(&with(wxpay(), at, value)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Different, "{at}");
        let paths: Vec<&str> = error.violations().iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, [at]);
    }
    assert_eq!(shop.creates(), 1);
    assert_eq!(order_info(&shop.create(&wxpay()).await.unwrap()), order_info(&first));
}

#[tokio::test]
async fn what_only_looks_different_is_a_replay() {
    let shop = Shop::open().await;
    let custom = json!({"a": 1, "b": [1.0, "\u{61}"]});
    let first = with(wxpay(), "/data/custom", custom);
    assert!(!shop.create(&first).await.unwrap().replayed);
    let text = r#"{"data":{"type":"go\u006fds","custom":{"b":[1e0,"a"],"a":1.0},"subject":"tea",
        "total_fee":1e2,"out_trade_no":"2107151010101541001"},"context":{"PLATFORM":"web"},
        "isPC":true,"provider":"wxpay"}"#;
    let request = paygate::testing::guard::read_create(text.as_bytes()).unwrap();
    let said =
        paygate::testing::caller::ClientInfo { claims: &request.claims, is_pc: request.is_pc };
    let rules = paygate::testing::caller::CallerRules::default();
    let caller =
        paygate::testing::caller::resolve(&http::HeaderMap::new(), None, said, &rules).unwrap();
    assert!(shop.engine.create(request, caller).await.unwrap().replayed);
    assert_eq!(shop.creates(), 1);
}

#[tokio::test]
async fn an_amount_as_text_is_refused_and_the_number_is_still_free() {
    let shop = Shop::open().await;
    let text = with(wxpay(), "/data/total_fee", json!("1"));
    let error = shop.create(&text).await.unwrap_err();
    assert_eq!(error.violations()[0].code.number(), 1003);
    let number = with(wxpay(), "/data/total_fee", json!(1));
    assert!(!shop.create(&number).await.unwrap().replayed);
}

#[tokio::test]
async fn address_agent_and_deadline_are_not_compared_and_the_first_deadline_stays() {
    let shop = Shop::open().await;
    let deadline = |minutes: i64| {
        let at = paygate::Clock::now(&shop.clock).0 + minutes * 60_000;
        with(wxpay(), "/data/time_expire", json!(at))
    };
    shop.create(&deadline(10)).await.unwrap();
    let expires = shop.ledger(NO)[0].terms.expires;
    let again = with(deadline(20), "/data/nickname", json!("buyer"));
    assert!(shop.create_from(&again, "8.8.8.8").await.unwrap().replayed);
    assert_eq!(shop.ledger(NO)[0].terms.expires, expires);
    // A deadline is judged when an attempt opens only: a replay ignores an impossible one.
    assert!(shop.create(&deadline(-5)).await.unwrap().replayed);
}

#[tokio::test]
async fn a_deadline_too_near_or_too_far_opens_nothing() {
    let shop = Shop::open().await;
    let now = paygate::Clock::now(&shop.clock).0;
    for at in [now - 1, now + 59_999, now + 7 * 86_400_000 + 1] {
        let error = shop.create(&with(wxpay(), "/data/time_expire", json!(at))).await.unwrap_err();
        assert_eq!(error.violations()[0].path, "/data/time_expire");
    }
    assert_eq!(shop.creates(), 0);
    let in_time = with(wxpay(), "/data/time_expire", json!(now + 61_000));
    assert!(!shop.create(&in_time).await.unwrap().replayed, "the number is still free");
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_its_order() {
    let shop = Shop::open().await;
    shop.fault(FaultKind::Delay { ms: 20 });
    let leaving = wxpay();
    let request = shop.create(&leaving);
    tokio::select! {
        biased;
        _ = request => panic!("the provider answers late"),
        () = wait_until(|| shop.creates() == 1) => {}
    }
    let again = shop.create(&wxpay()).await.unwrap();
    assert_eq!(shop.creates(), 1);
    assert_eq!(shop.ledger(NO).len(), 1);
    assert!(order_info(&again)["codeUrl"].is_string());
}

/// Lets other tasks run until `reached`.
async fn wait_until(reached: impl Fn() -> bool) {
    while !reached() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_number_belongs_to_one_merchant_and_nothing_of_it_is_shown_to_another() {
    let shop = Shop::open().await;
    shop.create(&wxpay()).await.unwrap();
    let error = shop.create(&with(wxpay(), "/data/pid", json!("001"))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Different);
    assert_eq!(error.violations()[0].path, "/data/pid");
    let unknown = shop.create(&with(wxpay(), "/data/pid", json!("002"))).await.unwrap_err();
    assert_eq!(unknown.violations()[0].code.number(), 4003);
}

#[tokio::test]
async fn what_is_signed_with_a_time_is_signed_anew_once_a_minute() {
    let shop = Shop::open().await;
    let mini = with(wxpay(), "/context/PLATFORM", json!("mp-weixin"));
    let mini = with(mini, "/data/openid", json!("o-buyer"));
    let first = order_info(&shop.create(&mini).await.unwrap());
    shop.clock.advance_ms(59_000);
    assert_eq!(order_info(&shop.create(&mini).await.unwrap()), first);
    shop.clock.advance_ms(1_000);
    let later = order_info(&shop.create(&mini).await.unwrap());
    assert_eq!(later["package"], first["package"], "the same prepay_id");
    assert_ne!(later["timeStamp"], first["timeStamp"]);
    assert_ne!(later["paySign"], first["paySign"]);
    assert_eq!(shop.creates(), 1);
}

#[tokio::test]
async fn a_provider_that_was_not_reached_leaves_the_number_free_to_repeat() {
    let shop = Shop::built(
        paygate::store::Memory::new(),
        InProcess::open(None, Arc::new(ManualClock::new())).unwrap(),
        |it| it.transport(Unplugged),
    )
    .await;
    assert_eq!(kind(shop.create(&wxpay()).await), Some(Kind::NotSent));
    assert_eq!(kind(shop.create(&wxpay()).await), Some(Kind::NotSent), "it is tried again");
}

/// A wire that is not plugged in.
#[derive(Debug)]
struct Unplugged;

impl paygate::provider::Transport for Unplugged {
    fn send<'a>(
        &'a self,
        _: http::Request<bytes::Bytes>,
        _: std::time::Duration,
    ) -> paygate::provider::BoxFuture<
        'a,
        Result<http::Response<bytes::Bytes>, paygate::provider::TransportFailure>,
    > {
        let failure = paygate::provider::TransportFailure::NotSent("unplugged".to_owned());
        Box::pin(async { Err(failure) })
    }
}

#[tokio::test]
async fn a_refusal_names_the_providers_own_words() {
    let shop = Shop::open().await;
    let refuse =
        Refuse { code: "PARAM_ERROR".to_owned(), message: "wrong openid".to_owned(), status: None };
    shop.fault(FaultKind::Refuse(refuse));
    let error = shop.create(&wxpay()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::ProviderRefused);
    assert_eq!(error.provider(), Some(("PARAM_ERROR", "wrong openid")));
}

#[tokio::test]
async fn another_way_to_pay_is_busy_while_the_first_one_opens() {
    let shop = Shop::open().await;
    shop.fault(FaultKind::Delay { ms: 20 });
    let (asked, other) = (wxpay(), body(ProviderId::Alipay, NO, 100));
    let (first, second) = tokio::join!(shop.create(&asked), shop.create(&other));
    assert!(first.is_ok());
    assert_eq!(kind(second), Some(Kind::Busy));
    assert_eq!(shop.creates(), 1);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn orders_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    let providers = InProcess::open(None, Arc::new(ManualClock::new())).unwrap();
    let open = || Sqlite::open_as(&path, StoreMode::Mock).unwrap();
    let shop = Shop::with(open(), providers.clone()).await;
    let first = shop.create(&wxpay()).await.unwrap();
    shop.engine.shutdown().await;
    drop(shop);
    let shop = Shop::with(open(), providers).await;
    let again = shop.create(&wxpay()).await.unwrap();
    assert!(again.replayed);
    assert_eq!(order_info(&again), order_info(&first));
    assert_eq!(shop.creates(), 1);
    let other = shop.create(&with(wxpay(), "/data/total_fee", json!(1))).await;
    assert_eq!(kind(other), Some(Kind::Different));
}

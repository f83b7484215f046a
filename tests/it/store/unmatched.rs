//! What every store promises of payments that belong to no order.

use paygate::domain::{
    ChannelNo, DeliveryState, EventId, EventType, Fen, Millis, OutboxEvent, Pid, ProviderId,
    TransactionId, UnmatchedPayment,
};
use paygate::store::{Store, StoreError};

use super::contract::{claimed, committed};
use super::orders::{later, live, number, order, payment};

/// A payment that became known at `known` milliseconds.
pub(crate) fn unmatched(transaction_id: &str, known: i64) -> UnmatchedPayment {
    UnmatchedPayment {
        provider: ProviderId::Wxpay,
        pid: Pid::default(),
        account: "1900000001".to_owned(),
        channel_no: ChannelNo::first(&number("of-no-order")),
        transaction_id: TransactionId(transaction_id.into()),
        total_fee: Fen::new(100).unwrap(),
        currency: None,
        paid_at: Some(Millis(known - 1)),
        discovered_at: Millis(known),
        message: r#"{"appid": "wx0000000000000001", "payer": "\u0061热"}"#.to_owned(),
    }
}

/// What tells of it.
pub(crate) fn telling(of: &UnmatchedPayment) -> OutboxEvent {
    OutboxEvent {
        id: EventId::of_unmatched(of.provider, &of.pid, &of.transaction_id),
        event: EventType::PaymentUnmatched,
        out_trade_no: number(of.channel_no.as_str()),
        kind: UnmatchedPayment::KIND.to_owned(),
        body: r#"{"data":{"total_fee":100}}"#.to_owned(),
        created_at: of.discovered_at,
        state: DeliveryState::Pending,
        tries: 0,
        next_at: of.discovered_at,
    }
}

pub(crate) async fn added(store: &dyn Store, it: &UnmatchedPayment) -> Result<bool, StoreError> {
    store.add_unmatched(it, &telling(it)).await
}

pub(super) async fn a_payment_of_no_order_is_recorded_and_told_once(store: &dyn Store) {
    let first = unmatched("4200001", 1);
    assert_eq!(added(store, &first).await, Ok(true));
    let event = telling(&first);
    assert_eq!(store.outbox_due(Millis(9), 9).await, Ok(vec![event.clone()]));
    let sent = OutboxEvent { state: DeliveryState::Accepted, tries: 1, ..event.clone() };
    store.outbox_set(&sent).await.unwrap();
    // Told again, and with other words: what was recorded stays.
    let again = UnmatchedPayment {
        total_fee: Fen::new(7).unwrap(),
        discovered_at: Millis(5),
        ..first.clone()
    };
    assert_eq!(added(store, &again).await, Ok(false));
    assert_eq!(store.outbox_find(&event.id).await, Ok(Some(sent)));
    // The same transaction of another merchant, or at another provider, is another payment.
    let dollars = Some("USD".to_owned());
    let others = [
        UnmatchedPayment {
            pid: Pid::new("001"),
            paid_at: None,
            discovered_at: Millis(2),
            ..first.clone()
        },
        UnmatchedPayment {
            provider: ProviderId::Alipay,
            currency: dollars,
            discovered_at: Millis(3),
            ..first.clone()
        },
    ];
    for other in &others {
        assert_eq!(added(store, other).await, Ok(true));
        assert_eq!(store.outbox_find(&telling(other).id).await, Ok(Some(telling(other))));
    }
    let [second, third] = others;
    assert_eq!(store.unmatched(9).await, Ok(vec![first.clone(), second, third]));
    assert_eq!(store.load(&number(first.channel_no.as_str())).await, Ok(None), "no order of it");
}

pub(super) async fn a_payment_whose_order_is_known_by_now_is_not_listed(store: &dyn Store) {
    let (mine, other) = (unmatched("4200001", 1), unmatched("4200002", 2));
    for it in [&mine, &other] {
        assert_eq!(added(store, it).await, Ok(true));
    }
    let first = order("of-no-order", 3);
    claimed(store, &first).await;
    assert_eq!(store.unmatched(9).await, Ok(vec![mine.clone(), other.clone()]));
    let mut paid = later(&first, live());
    paid.payments.push(payment("4200001", "r-1"));
    committed(store, &paid).await;
    assert_eq!(store.unmatched(9).await, Ok(vec![other.clone()]));
    assert_eq!(added(store, &mine).await, Ok(false), "it is known all the same");
    assert_eq!(store.unmatched(9).await, Ok(vec![other]));
}

pub(super) async fn the_newest_payments_of_no_order_are_listed_and_come_last(store: &dyn Store) {
    let all: Vec<UnmatchedPayment> = [5, 1, 3, 3]
        .into_iter()
        .zip(1..)
        .map(|(known, n)| unmatched(&format!("420{n}"), known))
        .collect();
    for it in &all {
        assert_eq!(added(store, it).await, Ok(true));
    }
    let expected: Vec<UnmatchedPayment> =
        [1, 2, 3, 0].into_iter().map(|at| all[at].clone()).collect();
    for limit in 0..=5_usize {
        let older = expected.len().saturating_sub(limit);
        assert_eq!(store.unmatched(limit).await, Ok(expected[older..].to_vec()), "{limit}");
    }
}

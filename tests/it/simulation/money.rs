//! Where the money is: by the providers' ledger, by the store, and by the events the shop got.

use std::collections::BTreeSet;

use paygate::domain::{EventId, EventType, Order, OrderStatus, PaymentRole, RefundState};
use paygate::engine::Queried;
use paygate::mock;
use paygate::mock::{SignedNotification, State};
use serde_json::Value;

use super::buyers::Case;
use super::shop::ShopEvent;
use super::world::Shared;

/// The shop hears something: it is so at the provider at that moment.
pub(super) fn check_event(shared: &Shared, heard: &ShopEvent, body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{}: the shop was told {what}: {body}", heard.no));
        }
    };
    let Some(case) = shared.cases.iter().find(|it| it.no == heard.no) else {
        return vec![format!("{} is nobody's order", heard.no)];
    };
    let data = &body["data"];
    let text = |key: &str| data[key].as_str().unwrap_or_default();
    let trades = shared.providers.orders();
    let mut payments = trades
        .iter()
        .filter(|it| it.terms.subject == case.subject)
        .flat_map(|it| &it.payments)
        .filter(|it| it.transaction_id == text("transaction_id"));
    let payment = payments.next();
    must(payment.is_some(), "of a payment that nobody made");
    must(body["type"] == heard.event.name() && text("out_trade_no") == case.no, "of another order");
    let paid = payment.map(|it| it.amount.fen());
    must(heard.paid.is_some() && heard.paid == paid, "another amount");
    let shop = &shared.shop;
    match heard.event {
        EventType::PaymentSucceeded => {
            must(data["total_fee"].as_u64() == paid, "that it is paid, with another amount");
            let ids = ids(&shop.events_of(&case.no), EventType::PaymentSucceeded);
            must(ids.iter().all(|it| *it == heard.id), "twice that it is paid");
        }
        EventType::RefundSucceeded | EventType::DuplicateRefunded | EventType::LateRefunded => {
            let back = payment.and_then(|it| returned_by(it, text("out_refund_no")));
            must(back.is_some() && back == heard.refunded, "of a refund that is none");
        }
        EventType::PaymentDuplicate
        | EventType::PaymentLate
        | EventType::PaymentMismatch
        | EventType::PaymentUnmatched
        | EventType::RefundAbnormal
        | EventType::RefundClosed => {}
    }
    found
}

/// A provider may forget what was acknowledged.
pub(super) fn acknowledged(shared: &Shared, notification: &SignedNotification) -> Vec<String> {
    let trades = shared.providers.orders().into_iter();
    let mut trades = trades.filter(|it| it.provider == notification.provider);
    let trade = trades.find(|it| it.out_trade_no == notification.out_trade_no);
    let case = shared
        .cases
        .iter()
        .find(|case| trade.as_ref().is_some_and(|it| it.terms.subject == case.subject));
    let order = case.and_then(|it| shared.records.order(&it.no));
    let is_known = |payment: &mock::SimulatedPayment| {
        let known = |it: &Order| it.payments.iter().any(|it| is_same(it, payment));
        order.as_ref().is_some_and(known)
    };
    let is_durable = trade.is_some_and(|it| it.payments.iter().all(is_known));
    let what = format!("{}: acknowledged, and not durable", notification.out_trade_no);
    if is_durable { Vec::new() } else { vec![what] }
}

/// Whether the answer to an operator's query may be true.
pub(super) fn queried(shared: &Shared, case: &Case, queried: &Queried) -> bool {
    let trades = shared.providers.orders();
    let is_paid_there =
        trades.iter().any(|it| it.terms.subject == case.subject && it.state == State::Paid);
    let is_paid = queried.order.status.number() > 0;
    let has_accepted = shared
        .shop
        .events_of(&case.no)
        .iter()
        .any(|it| it.event == EventType::PaymentSucceeded && it.is_accepted);
    let accepted = match queried.user_order_success {
        None => !is_paid,
        Some(false) => true,
        Some(true) => is_paid && has_accepted,
    };
    accepted && (is_paid_there || !is_paid)
}

/// Whether a person returned something that the provider never managed to tell.
pub(super) fn has_unreported_refund(trades: &[&mock::SimulatedOrder]) -> bool {
    let mut refunds = trades.iter().flat_map(|it| &it.payments).flat_map(|it| &it.refunds);
    refunds.any(|it| it.from_console && it.notification.acknowledged.is_none())
}

/// What is wrong in the end with what went back of an order.
pub(super) fn returned(order: &Order, trades: &[&mock::SimulatedOrder]) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    for payment in trades.iter().flat_map(|it| &it.payments) {
        let Some(known) = order.payments.iter().find(|it| is_same(it, payment)) else { continue };
        let (there, here) = (payment.refunded_fen(), known.refunded());
        must(there <= payment.amount.fen(), format!("{there} fen went back of {payment:?}"));
        must(there == here, format!("{there} fen went back, and {here} here: {known:?}"));
        let unfinished = known
            .refunds
            .iter()
            .find(|it| matches!(it.state, RefundState::Processing | RefundState::Abnormal));
        must(unfinished.is_none(), format!("a refund that never ends: {unfinished:?}"));
        let is_back = !known.auto_refund || here == known.total_fee.fen();
        must(is_back, format!("a payment too many that stays: {known:?}"));
    }
    let winning = order.payments.iter().find(|it| it.role == PaymentRole::Winning);
    let expected = winning.map(|it| match it.refunded() {
        0 => OrderStatus::Paid,
        back if back == it.total_fee.fen() => OrderStatus::Refunded,
        _ => OrderStatus::PartRefunded,
    });
    must(expected.is_none_or(|it| it == order.status), "the status says what is back".to_owned());
    found
}

/// What the shop must have heard of an order in the end, and nothing else.
pub(super) fn heard(order: &Order, heard: &[ShopEvent]) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            let events: Vec<_> = heard.iter().map(|it| (it.event, it.is_accepted)).collect();
            found.push(format!("the shop was told {what}: {events:?}"));
        }
    };
    // What did not fit when it was reported first, and was settled by asking.
    let is_settled = |it: &ShopEvent| {
        let mut payments = order.payments.iter();
        let payment = payments.find(|known| *known.transaction_id.0 == *it.transaction_id);
        let is_mended = payment.is_some_and(|it| it.role != PaymentRole::Mismatch);
        it.event == EventType::PaymentMismatch && is_mended
    };
    for event in EventType::ALL {
        let all = heard.iter().filter(|it| it.event == event && !is_settled(it));
        let all: Vec<&ShopEvent> = all.collect();
        let accepted = |id: &EventId| all.iter().any(|it| it.id == *id && it.is_accepted);
        let ids: BTreeSet<&EventId> = all.iter().map(|it| &it.id).collect();
        must(ids.iter().all(|it| accepted(it)), &format!("of {event} and never took it"));
        let paid = |role| order.payments.iter().filter(|it| it.role == role).count();
        let back = |roles: &[PaymentRole]| {
            let payments = order.payments.iter().filter(|it| roles.contains(&it.role));
            let refunds = payments.flat_map(|it| &it.refunds);
            refunds.filter(|it| it.state == RefundState::Success).count()
        };
        let expected = match event {
            EventType::PaymentSucceeded => paid(PaymentRole::Winning),
            EventType::PaymentDuplicate => paid(PaymentRole::Duplicate),
            EventType::PaymentLate => paid(PaymentRole::Late),
            EventType::PaymentMismatch => paid(PaymentRole::Mismatch),
            EventType::RefundSucceeded => back(&[PaymentRole::Winning, PaymentRole::Mismatch]),
            EventType::DuplicateRefunded => back(&[PaymentRole::Duplicate]),
            EventType::LateRefunded => back(&[PaymentRole::Late]),
            EventType::PaymentUnmatched => 0,
            // They may be tried again.
            EventType::RefundAbnormal | EventType::RefundClosed => continue,
        };
        must(ids.len() == expected, &format!("of {} {event}, not {expected}", ids.len()));
    }
    found
}

/// The shop's own books: what came in less what was refunded, by the events.
pub(super) fn books(heard: &[ShopEvent]) -> i128 {
    let mut known = BTreeSet::new();
    let mut balance = 0_i128;
    let is_settled = |event: &ShopEvent| {
        let mut others = heard.iter().filter(|it| it.transaction_id == event.transaction_id);
        let is_payment = |it: &ShopEvent| {
            let matches_order =
                [EventType::PaymentSucceeded, EventType::PaymentDuplicate, EventType::PaymentLate];
            it.is_accepted && matches_order.contains(&it.event)
        };
        event.event == EventType::PaymentMismatch && others.any(is_payment)
    };
    for it in heard.iter().filter(|it| it.is_accepted && !is_settled(it)) {
        if !known.insert(&it.id) {
            continue;
        }
        balance += match it.event {
            EventType::PaymentSucceeded
            | EventType::PaymentDuplicate
            | EventType::PaymentLate
            | EventType::PaymentMismatch => i128::from(it.paid.unwrap_or_default()),
            EventType::RefundSucceeded | EventType::DuplicateRefunded | EventType::LateRefunded => {
                -i128::from(it.refunded.unwrap_or_default())
            }
            // Nothing here is paid without an order.
            EventType::PaymentUnmatched | EventType::RefundAbnormal | EventType::RefundClosed => 0,
        };
    }
    balance
}

/// The providers' books.
pub(super) fn ledger(trades: &[&mock::SimulatedOrder]) -> i128 {
    let payments = trades.iter().flat_map(|it| &it.payments);
    payments.map(|it| i128::from(it.amount.fen()) - i128::from(it.refunded_fen())).sum()
}

fn returned_by(payment: &mock::SimulatedPayment, out_refund_no: &str) -> Option<u64> {
    let mut refunds = payment.refunds.iter();
    let found = refunds.find(|it| it.out_refund_no == out_refund_no)?;
    (found.state == RefundState::Success).then(|| found.amount.fen())
}

fn is_same(known: &paygate::domain::Payment, payment: &mock::SimulatedPayment) -> bool {
    *known.transaction_id.0 == *payment.transaction_id && known.total_fee == payment.amount
}

fn ids(heard: &[ShopEvent], event: EventType) -> BTreeSet<EventId> {
    heard.iter().filter(|it| it.event == event).map(|it| it.id.clone()).collect()
}

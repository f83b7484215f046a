//! Where the money is: by the providers' ledger, by the store, and by the events the shop got.

use std::collections::BTreeSet;

use paygate::domain::{
    EventId, EventType, Order, OrderStatus, Payment, PaymentRole, Refund, RefundState,
};
use paygate::engine::Queried;
use paygate::mock;
use paygate::mock::{SignedNotification, State};
use serde_json::Value;

use super::buyers::Case;
use super::shared::Shared;
use super::shop::ShopEvent;

/// The shop hears something: it is so at the provider at that moment.
pub(super) fn check_event(shared: &Shared, heard: &ShopEvent, body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{}: the shop was told {what}: {body}", heard.no));
        }
    };
    let data = &body["data"];
    let text = |key: &str| data[key].as_str().unwrap_or_default();
    let trades = shared.providers.orders();
    // Another program pays under numbers of its own, too.
    let is_unmatched = heard.event == EventType::PaymentUnmatched;
    let subject = trades
        .iter()
        .find(|it| it.out_trade_no == heard.no && is_unmatched)
        .map(|it| &it.terms.subject);
    let is_its = |it: &&Case| it.no == heard.no || subject == Some(&it.subject);
    let Some(case) = shared.cases.iter().find(is_its) else {
        return vec![format!("{} is nobody's order", heard.no)];
    };
    let mut payments = trades
        .iter()
        .filter(|it| it.terms.subject == case.subject)
        .flat_map(|it| &it.payments)
        .filter(|it| it.transaction_id == text("transaction_id"));
    let payment = payments.next();
    must(payment.is_some(), "of a payment that nobody made");
    must(
        body["type"] == heard.event.name() && text("out_trade_no") == heard.no,
        "of another order",
    );
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
            let number = text("out_refund_no");
            let back = match payment {
                // A refund of which the provider gave no number.
                Some(payment)
                    if number.starts_with("console-")
                        && shared.irregularities.has_numberless_refunds =>
                {
                    heard.refunded.filter(|it| *it <= payment.refunded_fen())
                }
                payment => payment.and_then(|it| returned_by(it, number)),
            };
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
    let is_refund_known = |number: &String| {
        let is_recorded = |it: &Order| {
            it.refund(number).is_some() || it.payments.iter().any(Payment::has_unknown_refund)
        };
        shared.irregularities.has_numberless_refunds || order.as_ref().is_some_and(is_recorded)
    };
    let is_durable = trade.is_some_and(|it| it.payments.iter().all(is_known))
        && notification.out_refund_no.iter().all(is_refund_known);
    let what = format!("{}: acknowledged, and not durable", notification.out_trade_no);
    if is_durable { Vec::new() } else { vec![what] }
}

/// Whether the answer to an operator's query may be true, which came when the order was `before`.
pub(super) fn queried(
    shared: &Shared,
    (case, before): (&Case, Option<&Order>),
    queried: &Queried,
) -> bool {
    let is_newest = before.is_none_or(|it| it.version <= queried.order.version);
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
    accepted && is_newest && (is_paid_there || !is_paid)
}

/// Whether a refund that the shop was told is done is done at its provider.
pub(super) fn is_refunded(shared: &Shared, case: &Case, refund: &Refund) -> bool {
    let trades = shared.providers.orders().into_iter();
    let mut trades = trades.filter(|it| it.terms.subject == case.subject);
    trades.any(|it| {
        let mut returned = it.payments.iter().map(|it| returned_by(it, &refund.out_refund_no));
        returned.any(|it| it == Some(refund.refund_fee.fen()))
    })
}

/// How much of a payment a person returned, in fen, that the provider never managed to report.
fn unreported(payment: &mock::SimulatedPayment) -> u64 {
    let refunds = payment.refunds.iter().filter(|it| {
        let is_unreported = it.from_console && it.notification.acknowledged.is_none();
        is_unreported && it.state == RefundState::Success
    });
    refunds.map(|it| it.amount.fen()).sum()
}

/// How much of a payment went back, in fen, that the shop cannot know: nobody could report it, or
/// the shop heard that there is a refund of which nobody knows how much it is.
fn unknown(known: &Payment, payment: &mock::SimulatedPayment) -> u64 {
    match known.has_unknown_refund() {
        true => payment.refunded_fen().saturating_sub(known.refunded()),
        false => unreported(payment),
    }
}

/// Payments of what another program ordered, and that belong to no order of the shop: it hears of
/// each once, if the provider ever sends a notification.
pub(super) fn unmatched(shared: &Shared, trades: &[&mock::SimulatedOrder]) -> Vec<String> {
    let heard = |trade: &mock::SimulatedOrder, id: &str| {
        let events = shared.shop.events_of(&trade.out_trade_no);
        let unmatched = events.iter().filter(|it| it.event == EventType::PaymentUnmatched);
        let ids = unmatched.filter(|it| it.transaction_id == id).map(|it| &it.id);
        ids.collect::<BTreeSet<_>>().len()
    };
    let is_reported = |it: &&&mock::SimulatedOrder| {
        it.payments.iter().any(|it| !it.notification.deliveries.is_empty())
    };
    let paid = trades.iter().filter(|it| is_reported(it) && shared.shop.listens());
    let wrong = paid.filter(|it| heard(it, &it.payments[0].transaction_id) != 1);
    wrong.map(|it| format!("the shop did not hear once of {it:?}")).collect()
}

/// The shop's books against the providers'. Of what they could not report, the shop may know.
pub(super) fn balanced(
    order: &Order,
    trades: &[&mock::SimulatedOrder],
    heard: &[ShopEvent],
) -> Option<String> {
    let (there, here) = (ledger(trades), books(heard));
    let payments = trades.iter().flat_map(|it| &it.payments);
    let hidden = payments.map(|payment| {
        let known = order.payments.iter().find(|it| is_same(it, payment));
        known.map_or(0, |known| unknown(known, payment))
    });
    let hidden: u64 = hidden.sum();
    let is_balanced = (there..=there + i128::from(hidden)).contains(&here);
    let what =
        format!("the providers hold {there} fen, the shop heard of {here}, {hidden} unreported");
    (!is_balanced).then_some(what)
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
        let hidden = unknown(known, payment);
        let is_recorded = |number: &str| {
            known.refunds.iter().any(|it| it.out_refund_no == number && it.times_sent > 0)
        };
        let mut sent = payment.refunds.iter().filter(|it| !it.from_console);
        let unrecorded = sent.find(|it| !is_recorded(&it.out_refund_no));
        must(unrecorded.is_none(), format!("sent without a record: {unrecorded:?}"));
        must(there <= payment.amount.fen(), format!("{there} fen went back of {payment:?}"));
        let is_known = here <= there && there <= here + hidden;
        must(is_known, format!("{there} fen went back, and {here} here: {known:?}"));
        if hidden > 0 {
            continue;
        }
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
        0 if it.has_unknown_refund() => OrderStatus::PartRefunded,
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
            // Of an order that the shop made later.
            EventType::PaymentUnmatched => continue,
            // They may be tried again.
            EventType::RefundAbnormal | EventType::RefundClosed => continue,
        };
        must(ids.len() == expected, &format!("of {} {event}, not {expected}", ids.len()));
    }
    found
}

/// The shop's own books: what came in less what was refunded, by the events.
fn books(heard: &[ShopEvent]) -> i128 {
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
fn ledger(trades: &[&mock::SimulatedOrder]) -> i128 {
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

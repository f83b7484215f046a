//! The events that follow from a change of an order.

use super::refunds::{paid, paid_with, refund};
use super::{fen, receipt};
use crate::domain::ids::TransactionId;
use crate::domain::order::payment::PaymentRole;
use crate::domain::order::refund::Refund;
use crate::domain::order::{Order, TradeUpdate, Transition};
use crate::domain::time::Millis;

/// The events that follow from a change, each with the payment that it is about.
fn events(before: &Order, after: &Order) -> Vec<(&'static str, String)> {
    let effects = after.effects_since(before);
    effects.iter().map(|it| (it.event.name(), it.transaction_id.to_string())).collect()
}

fn about_first(event: &'static str) -> Vec<(&'static str, String)> {
    vec![(event, "420001".to_owned())]
}

#[test]
fn a_payment_is_an_event_once_and_so_is_its_duplicate() {
    let paid = paid();
    let unpaid = Order { payments: Vec::new(), ..paid.clone() };
    assert_eq!(events(&unpaid, &paid), about_first("payment.succeeded"));
    assert_eq!(events(&paid, &paid), []);
    let update = TradeUpdate::Paid(receipt("second", 100));
    let twice = paid.apply(Transition::TradeQueried { n: 1, at: Millis(1), update }).unwrap();
    assert_eq!(events(&paid, &twice), [("payment.duplicate", "second".to_owned())]);
    assert_eq!(events(&twice, &twice), []);
}

#[test]
fn a_corrected_payment_is_an_event_of_its_role_or_a_mismatch_of_its_amount() {
    let paid = paid();
    let mut mismatch = paid.clone();
    mismatch.payments[0].role = PaymentRole::Mismatch;
    mismatch.payments[0].total_fee = fen(90);
    assert_eq!(events(&mismatch, &paid), about_first("payment.succeeded"));
    assert_eq!(events(&paid, &mismatch), about_first("payment.mismatch"));
    let mut corrected = paid.clone();
    corrected.payments[0].total_fee = fen(90);
    assert_eq!(events(&paid, &corrected), about_first("payment.mismatch"));
}

#[test]
fn a_refund_of_an_unknown_amount_is_an_event_once() {
    let paid = paid();
    let mut unknown = paid.clone();
    unknown.payments[0].refund_unknown = true;
    assert_eq!(events(&paid, &unknown), about_first("refund.abnormal"));
    assert_eq!(events(&unknown, &unknown), []);
    assert_eq!(events(&unknown, &paid), []);
    let unpaid = Order { payments: Vec::new(), ..paid };
    let both = events(&unpaid, &unknown);
    assert_eq!(
        both.iter().map(|it| it.0).collect::<Vec<_>>(),
        ["payment.succeeded", "refund.abnormal"]
    );
}

/// Columns: a refund before and after, what follows from the change, and whether the shop may
/// request the refund again.
#[test]
fn a_refunds_new_state_is_an_event_of_its_payments_role() {
    use PaymentRole::{Duplicate, Late, Mismatch, Winning};
    let rows = [
        (Winning, "sent", "done", Some("refund.succeeded"), false),
        (Mismatch, "sent", "done", Some("refund.succeeded"), false),
        (Duplicate, "sent", "done", Some("duplicate.refunded"), false),
        (Late, "sent", "done", Some("late.refunded"), false),
        (Winning, "refused", "done", Some("refund.succeeded"), false),
        (Winning, "sent", "refused", Some("refund.closed"), true),
        (Winning, "sent", "abnormal", Some("refund.abnormal"), true),
        (Winning, "refused", "sent", None, false),
        (Winning, "recorded", "sent", None, false),
        (Winning, "done", "done", None, false),
    ];
    for (role, before, after, event, is_repeatable) in rows {
        let order = |named: &str, automatic: bool| {
            let mut order = paid_with(vec![Refund { automatic, ..refund(named) }]);
            order.payments[0].role = role;
            order
        };
        for automatic in [false, true] {
            let row = format!("{role:?} {before} {after} {automatic}");
            let effects = order(after, automatic).effects_since(&order(before, automatic));
            let found: Vec<_> = effects.iter().map(|it| it.event.name()).collect();
            assert_eq!(found, event.into_iter().collect::<Vec<_>>(), "{row}");
            for effect in effects {
                assert_eq!(effect.transaction_id, TransactionId("420001".into()), "{row}");
                assert_eq!(effect.out_refund_no.as_deref(), Some("r-1"), "{row}");
                let requested_at = (is_repeatable && !automatic).then_some(Millis(0));
                assert_eq!(effect.requested_at, requested_at, "{row}");
            }
        }
    }
}

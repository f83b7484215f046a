//! What is recorded of a request for a refund, and of its sendings.

use super::refunds::{paid, paid_with, refund};
use super::{fen, receipt, rows};
use crate::domain::ids::TransactionId;
use crate::domain::order::refund::{Refund, RefundState};
use crate::domain::order::{Order, TradeUpdate, Transition};
use crate::domain::time::Millis;

fn request(order: &Order, payment: &str, number: &str, fee: u64) -> Option<Order> {
    let refund = Refund::pending(number.to_owned(), fen(fee), Millis(9));
    let transaction_id = TransactionId(payment.into());
    order.apply(Transition::RefundRequested { transaction_id, refund: Box::new(refund) })
}

/// Columns: a refund of 40 of 100 fen that is recorded under `r-1`, the number and the amount of
/// the request, and what becomes of it.
#[test]
fn a_refund_is_recorded_once_and_within_what_is_left() {
    let table = "
        recorded | r-2 | 60  | recorded
        recorded | r-2 | 61  | -
        sent     | r-2 | 60  | recorded
        sent     | r-2 | 61  | -
        abnormal | r-2 | 60  | recorded
        abnormal | r-2 | 61  | -
        done     | r-2 | 60  | recorded
        done     | r-2 | 61  | -
        refused  | r-2 | 100 | recorded
        refused  | r-2 | 101 | -
        given up | r-2 | 100 | recorded
        recorded | r-1 | 40  | -
        sent     | r-1 | 40  | -
        abnormal | r-1 | 40  | -
        done     | r-1 | 40  | -
        refused  | r-1 | 40  | anew
        refused  | r-1 | 101 | -
    ";
    for row in rows(table) {
        let [before, number, fee, outcome] = row[..] else { panic!("{row:?}") };
        let order = paid_with(vec![refund(before)]);
        let next = request(&order, "420001", number, fee.parse().unwrap());
        let count = next.as_ref().map(|next| next.payments[0].refunds.len());
        let expected = match outcome {
            "recorded" => Some(2),
            "anew" => Some(1),
            _ => None,
        };
        assert_eq!(count, expected, "{row:?}");
        let recorded = next.as_ref().and_then(|next| next.refund(number));
        let pending = recorded.map(|(_, refund)| (refund.state, refund.requested_at));
        assert_eq!(pending, expected.map(|_| (RefundState::Processing, Millis(9))), "{row:?}");
    }
    assert_eq!(request(&paid(), "other", "r-1", 40), None, "no such payment");
}

#[test]
fn a_number_is_a_refund_of_one_payment_of_the_order() {
    for before in ["recorded", "sent", "abnormal", "done", "refused", "given up"] {
        let order = paid_with(vec![refund(before)]);
        let update = TradeUpdate::Paid(receipt("second", 100));
        let twice = order.apply(Transition::TradeQueried { n: 1, at: Millis(1), update }).unwrap();
        assert_eq!(request(&twice, "second", "r-1", 40), None, "{before}");
        assert!(request(&twice, "second", "r-2", 40).is_some(), "{before}");
    }
}

/// Columns: the refund, whether it may have been sent before, and how often it may have been after
/// it is sent once more; `-`: it is not sent.
#[test]
fn only_a_pending_refund_is_sent_and_each_sending_is_counted() {
    let table = "
        recorded              | never | 1
        sent                  | once  | 2
        sent twice            | once  | 3
        refused once of twice | once  | 3
        abnormal              | once  | -
        refused               | once  | -
        given up              | once  | -
        done                  | once  | -
    ";
    let send = |order: &Order| {
        let sending = Transition::RefundSending { out_refund_no: "r-1".to_owned() };
        let next = order.apply(sending)?;
        next.refund("r-1").map(|(_, refund)| refund.times_sent)
    };
    for row in rows(table) {
        let [before, sent, times] = row[..] else { panic!("{row:?}") };
        let refund = refund(before);
        assert_eq!(refund.may_have_been_sent(), sent == "once", "{row:?}");
        assert_eq!(send(&paid_with(vec![refund])), times.parse().ok(), "{row:?}");
    }
    assert_eq!(send(&paid()), None, "no such refund");
    // An earlier version stored no address with a refund, and counted nothing.
    let old = Refund { notify_url: None, ..refund("recorded") };
    assert_eq!(send(&paid_with(vec![old])), Some(2));
    let queried = Refund { last_queried_at: Some(Millis(1)), ..refund("recorded") };
    assert_eq!(send(&paid_with(vec![queried])), Some(2));
}

/// Columns: the refunds of a payment of 100 fen, how much of it is refunded, and how much can be.
#[test]
fn every_refund_but_a_closed_one_holds_its_amount() {
    let table = "
        -        | 0  | 100
        recorded | 0  | 60
        sent     | 0  | 60
        abnormal | 0  | 60
        done     | 40 | 60
        refused  | 0  | 100
        given up | 0  | 100
    ";
    for row in rows(table) {
        let [before, refunded, left] = row[..] else { panic!("{row:?}") };
        let refunds = if before == "-" { vec![] } else { vec![refund(before)] };
        let payment = paid_with(refunds).payments.remove(0);
        let found = (payment.refunded().to_string(), payment.refundable().to_string());
        assert_eq!(found, (refunded.to_owned(), left.to_owned()), "{row:?}");
    }
    let mut reported = paid_with(vec![refund("done")]).payments.remove(0);
    reported.reported_refund_total = Some(fen(90));
    assert_eq!(reported.refundable(), 10, "50 more are reported, by whomever");
}

#[test]
fn a_refused_refund_that_is_requested_again_keeps_its_sendings_and_forgets_its_refusal() {
    let refused = Refund {
        refused_at: Some(Millis(1)),
        last_queried_at: Some(Millis(2)),
        ..refund("refused")
    };
    let again = refused.clone().requested_again(Millis(9));
    let expected = Refund {
        state: RefundState::Processing,
        requested_at: Millis(9),
        refused_at: None,
        ..refused
    };
    assert_eq!(again, expected);
    assert!(again.may_have_been_sent());
}

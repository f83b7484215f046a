//! One payment and its refunds.

use super::*;
use crate::domain::time::DAY_MS;

fn payment(refunds: Vec<Refund>) -> Payment {
    Payment {
        attempt: 1,
        transaction_id: TransactionId("4200000001".into()),
        total_fee: Fen::new(100).unwrap(),
        paid_at: Millis(0),
        openid: None,
        discovered_at: Millis(0),
        role: PaymentRole::Duplicate,
        auto_refund: true,
        refund_unknown: false,
        reported_refund_total: None,
        unidentified_since: None,
        refunds,
    }
}

fn refund(number: String, fee: u64, state: RefundState) -> Refund {
    let notify_url = Some("https://shop.example.com".to_owned());
    let pending = Refund::pending(number, Fen::new(fee).unwrap(), Millis(0));
    Refund { state, notify_url, ..pending }
}

#[test]
fn a_refusal_frees_the_amount_only_when_it_answers_the_only_sending() {
    let mut once = refund("r-1".to_owned(), 60, RefundState::Processing);
    once.count_sending();
    let mut twice = once.clone();
    once.record_refusal(Millis(1));
    assert_eq!(once.state, RefundState::Closed);
    twice.count_sending();
    twice.record_refusal(Millis(1));
    assert_eq!((twice.state, twice.refused_at), (RefundState::Processing, Some(Millis(1))));
    twice.record_not_found(Millis(DAY_MS));
    assert_eq!(twice.state, RefundState::Processing, "it is queried for a day");
    twice.record_not_found(Millis(DAY_MS + 1));
    assert_eq!(twice.state, RefundState::Closed);
    assert_eq!((twice.times_sent, twice.times_answered), (2, 2));
    // An earlier version stored no address with a refund, and did not count.
    let mut old = Refund { notify_url: None, ..refund(String::new(), 1, once.state) };
    old.state = RefundState::Processing;
    assert!(old.may_have_been_sent());
    old.count_sending();
    old.record_refusal(Millis(1));
    assert_eq!(old.state, RefundState::Processing);
}

#[test]
fn an_automatic_refund_takes_a_number_that_is_free() {
    let out_trade_no = OutTradeNo::parse("order-1").unwrap();
    let derived = |nth| derived_refund_no(&out_trade_no, &TransactionId("4200000001".into()), nth);
    let number = |refunds| payment(refunds).automatic_refund_no(&out_trade_no);
    let closed = |nth, fee| refund(derived(nth), fee, RefundState::Closed);
    let done = |nth, fee| refund(derived(nth), fee, RefundState::Success);
    assert_eq!(number(vec![]), derived(0));
    assert_eq!(number(vec![closed(0, 100)]), derived(0), "the same refund again");
    assert_eq!(number(vec![closed(0, 60)]), derived(1), "another amount");
    assert_eq!(number(vec![closed(0, 100), done(1, 70)]), derived(2));
    let spent = Refund { refund_id: Some("5030".to_owned()), ..closed(0, 100) };
    assert_eq!(number(vec![spent]), derived(1), "the provider gave it up");
}

#[test]
fn only_numbers_of_the_derived_form_are_kept_for_paygate() {
    let out_trade_no = OutTradeNo::parse("order-1").unwrap();
    let derived = derived_refund_no(&out_trade_no, &TransactionId("4200000001".into()), 0);
    assert!(is_derived_refund_no(&derived), "{derived}");
    let (head, last) = derived.split_at(derived.len() - 1);
    for other in [head, &format!("{derived}0"), &format!("{head}g"), &format!("{head}A"), last] {
        assert!(!is_derived_refund_no(other), "{other}");
    }
    assert!(!is_derived_refund_no(&derived.replace("pgr", "shop")));
}

#[test]
fn a_refund_of_everything_left_keeps_its_number_until_that_is_used_up() {
    let out_trade_no = OutTradeNo::parse("order-1").unwrap();
    let derived = |nth| derived_refund_no(&out_trade_no, &TransactionId("4200000001".into()), nth);
    let number = |refunds| payment(refunds).derived_refund_no(&out_trade_no);
    let closed = |nth, fee| refund(derived(nth), fee, RefundState::Closed);
    assert_eq!(number(vec![]), derived(0));
    assert_eq!(number(vec![closed(0, 100)]), derived(0), "the refused one again");
    assert_eq!(number(vec![closed(0, 60)]), derived(1), "another amount");
    let spent = Refund { refund_id: Some("5030".to_owned()), ..closed(0, 100) };
    assert_eq!(number(vec![spent]), derived(1), "the provider gave it up");
    for state in [RefundState::Processing, RefundState::Success] {
        assert_eq!(number(vec![refund(derived(0), 100, state)]), derived(0), "a replay");
    }
}

#[test]
fn a_reported_total_is_never_forgotten() {
    let mut payment = payment(vec![refund("r-1".to_owned(), 30, RefundState::Processing)]);
    payment.record_refund_total(Fen::new(30), Millis(5));
    assert!(!payment.has_unknown_refund(), "it may be the pending one");
    payment.refunds[0].state = RefundState::Closed;
    assert!(payment.has_unknown_refund(), "it was not");
    assert_eq!(payment.refundable(), 70);
    assert!(payment.unidentified_due().is_some());
    let refund = refund("c-1".to_owned(), 30, RefundState::Success);
    payment.add_external_refund(ExternalRefund::Known { refund, total: None });
    payment.record_refund_total(Fen::new(30), Millis(6));
    assert!(!payment.has_unknown_refund());
    assert_eq!(payment.unidentified_due(), None);
}

#[test]
fn a_notification_has_two_minutes_before_paygate_reports_a_refund_that_it_does_not_know() {
    let mut payment = payment(vec![]);
    payment.record_refund_total(Fen::new(30), Millis(5));
    assert_eq!(payment.unidentified_due(), Some(Millis(120_005)));
    payment.record_refund_total(Fen::new(40), Millis(9));
    assert_eq!(payment.unidentified_due(), Some(Millis(120_005)), "since the first report");
    // A record of an earlier version has no time of the report.
    payment.unidentified_since = None;
    payment.discovered_at = Millis(1);
    assert_eq!(payment.unidentified_due(), Some(Millis(120_001)));
}

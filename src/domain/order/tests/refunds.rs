//! What becomes of a refund, and of its payment.

use std::sync::Arc;

use super::{fen, live, order_of, receipt, rows};
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::order::payment::{Payment, PaymentRole};
use crate::domain::order::refund::{
    ExternalRefund, Refund, RefundState, RefundStatus, RefundUpdate,
};
use crate::domain::order::{Order, OrderStatus, TradeUpdate, Transition};
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};

/// The order after `fee` fen of a payment were refunded in the provider's console.
pub(super) fn returned(order: &Order, payment: &str, fee: u64) -> Order {
    let refund = external(&format!("console-{fee}"), fee, None);
    let transaction_id = TransactionId(payment.into());
    let (refund, at) = (Box::new(refund), Millis(2_000));
    order.apply(Transition::RefundedExternally { transaction_id, refund, at }).unwrap()
}

/// A refund of the console with its amount, and the total that is reported with it.
fn external(number: &str, fee: u64, total: Option<u64>) -> ExternalRefund {
    let refund = Refund {
        state: RefundState::Success,
        ..Refund::pending(number.to_owned(), fen(fee), Millis(0))
    };
    ExternalRefund::Known { refund, total: total.map(fen) }
}

/// A paid order of 100 fen.
pub(super) fn paid() -> Order {
    let order = order_of(100, vec![super::attempt(1, live())]);
    let update = TradeUpdate::Paid(receipt("420001", 100));
    order.apply(Transition::TradeQueried { n: 1, at: Millis(0), update }).unwrap()
}

/// The paid order with these refunds.
pub(super) fn paid_with(refunds: Vec<Refund>) -> Order {
    let mut order = paid();
    order.payments[0].refunds = refunds;
    order.recompute_status();
    order
}

/// A refund of 40 fen that the shop requested at 0, in one of the states that it can have.
pub(super) fn refund(named: &str) -> Refund {
    let number = "r-1".to_owned();
    let recorded = Refund {
        notify_url: Some("https://shop.example.com".to_owned()),
        ..Refund::pending(number, fen(40), Millis(0))
    };
    let sent = Refund { times_sent: 1, ..recorded.clone() };
    let refund_id = Some("5030".to_owned());
    let answered = Refund { times_answered: 1, ..sent.clone() };
    match named {
        "recorded" => recorded,
        "sent" => sent,
        "sent twice" => Refund { times_sent: 2, ..recorded },
        "refused once of twice" => {
            Refund { times_sent: 2, times_answered: 1, refused_at: Some(Millis(0)), ..recorded }
        }
        "refused" => Refund { state: RefundState::Closed, ..answered },
        "abnormal" => Refund { state: RefundState::Abnormal, refund_id, ..sent },
        "given up" => Refund { state: RefundState::Closed, refund_id, ..sent },
        "done" => Refund { state: RefundState::Success, refund_id, ..sent },
        other => panic!("{other}"),
    }
}

fn status(state: RefundState) -> RefundStatus {
    RefundStatus {
        refund_id: Some("5030".to_owned()),
        state,
        refund_fee: Some(fen(40)),
        refunded_total: None,
        cash_refund_fee: None,
        refunded_at: None,
        message: Arc::new(serde_json::Value::Null),
    }
}

fn answer(order: &Order, at: i64, update: RefundUpdate) -> Order {
    let (out_refund_no, at) = ("r-1".to_owned(), Millis(at));
    order.apply(Transition::RefundQueried { out_refund_no, at, update }).unwrap()
}

fn state(order: &Order) -> &'static str {
    order.refund("r-1").unwrap().1.state.name()
}

/// Columns: the refund before; then what follows from the provider's answer: none that can be
/// believed, not done, not found, not found a day after a refusal, refused, and the reported states
/// `PROCESSING`, `ABNORMAL`, `CLOSED` and `SUCCESS`. `=`: the state stays.
#[test]
fn a_late_answer_of_a_refund_never_undoes_a_final_one() {
    let table = "
        recorded              | = | = | = | =      | CLOSED | = | ABNORMAL | CLOSED | SUCCESS
        sent                  | = | = | = | =      | CLOSED | = | ABNORMAL | CLOSED | SUCCESS
        sent twice            | = | = | = | =      | =      | = | ABNORMAL | CLOSED | SUCCESS
        refused once of twice | = | = | = | CLOSED | CLOSED | = | ABNORMAL | CLOSED | SUCCESS
        abnormal              | = | = | = | =      | =      | = | =        | CLOSED | SUCCESS
        refused               | = | = | = | =      | =      | = | =        | =      | SUCCESS
        given up              | = | = | = | =      | =      | = | =        | =      | SUCCESS
        done                  | = | = | = | =      | =      | = | =        | =      | =
    ";
    let updates = [
        (1, RefundUpdate::NoAnswer),
        (1, RefundUpdate::NotDone),
        (DAY_MS - 1, RefundUpdate::NotFound),
        (DAY_MS, RefundUpdate::NotFound),
        (1, RefundUpdate::Refused),
        (1, RefundUpdate::Status(status(RefundState::Processing))),
        (1, RefundUpdate::Status(status(RefundState::Abnormal))),
        (1, RefundUpdate::Status(status(RefundState::Closed))),
        (1, RefundUpdate::Status(status(RefundState::Success))),
    ];
    for row in rows(table) {
        let (before, cells) = row.split_first().unwrap();
        assert_eq!(cells.len(), updates.len(), "{before}");
        for (cell, (at, update)) in cells.iter().zip(updates.clone()) {
            let earlier = paid_with(vec![refund(before)]);
            let expected = if *cell == "=" { state(&earlier) } else { cell };
            let later = answer(&earlier, at, update.clone());
            assert_eq!(state(&later), expected, "{before}, {update:?}");
            assert_eq!(later.refund("r-1").unwrap().1.last_queried_at, Some(Millis(at)));
            let is_refunded = expected == "SUCCESS";
            let status = if is_refunded { OrderStatus::PartRefunded } else { OrderStatus::Paid };
            assert_eq!(later.status, status, "{before}, {update:?}");
        }
    }
}

/// Columns: the refund before, the answer, how many sendings were answered, and since when its
/// refusal waits for an earlier sending.
#[test]
fn an_answer_counts_for_one_sending() {
    let rows: [(&str, RefundUpdate, u32, Option<i64>); 7] = [
        ("sent", RefundUpdate::NoAnswer, 0, None),
        ("sent", RefundUpdate::NotFound, 0, None),
        ("sent", RefundUpdate::NotDone, 1, None),
        ("sent", RefundUpdate::Refused, 1, None),
        ("sent twice", RefundUpdate::Refused, 1, Some(7)),
        ("refused once of twice", RefundUpdate::Refused, 2, Some(0)),
        ("refused", RefundUpdate::NotDone, 1, None),
    ];
    for (before, update, answered, refused_at) in rows {
        let later = answer(&paid_with(vec![refund(before)]), 7, update.clone());
        let (_, refund) = later.refund("r-1").unwrap();
        let found = (refund.times_answered, refund.refused_at);
        assert_eq!(found, (answered, refused_at.map(Millis)), "{before}, {update:?}");
    }
}

#[test]
fn a_later_report_of_a_refund_completes_the_earlier_one() {
    let cash = Some(fen(38));
    let whole = RefundStatus {
        cash_refund_fee: cash,
        refunded_at: Some(Millis(5)),
        ..status(RefundState::Success)
    };
    let bare = RefundStatus { refund_id: None, ..status(RefundState::Success) };
    let first = answer(&paid_with(vec![refund("sent")]), 6, RefundUpdate::Status(whole));
    let second = answer(&first, 7, RefundUpdate::Status(bare));
    let (_, refund) = second.refund("r-1").unwrap();
    let found = (refund.refund_id.as_deref(), refund.cash_refund_fee, refund.refunded_at);
    assert_eq!(found, (Some("5030"), cash, Some(Millis(5))));
}

/// Columns: the refund, how long after the request it was queried last, and how long after that
/// it is queried or sent again.
#[test]
fn a_refund_is_queried_until_it_is_final_and_a_refused_one_for_a_day() {
    let table = "
        recorded | never   | at once
        sent     | 1s      | 5s
        sent     | 40s     | 10s
        sent     | 8h      | 1h
        abnormal | 1s      | 1h
        refused  | 1s      | 5m
        refused  | 299s    | 5m
        refused  | 300s    | 1h
        refused  | 86399s  | 1h
        refused  | 86400s  | never
        given up | 1s      | never
        done     | 1s      | never
        done     | never   | never
    ";
    for row in rows(table) {
        let [before, queried, again] = row[..] else { panic!("{row:?}") };
        let last_queried_at = millis(queried);
        let refund = Refund { last_queried_at: last_queried_at.map(Millis), ..refund(before) };
        let since = last_queried_at.unwrap_or_default();
        let expected = match again {
            "at once" => Some(Millis(0)),
            again => millis(again).map(|ms| Millis(since + ms)),
        };
        assert_eq!(refund.due(), expected, "{row:?}");
    }
    let automatic =
        Refund { automatic: true, last_queried_at: Some(Millis(1)), ..refund("refused") };
    assert_eq!(automatic.due(), None, "paygate requests it anew instead");
}

/// A time with its unit; [`None`] for `never`.
fn millis(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1_000,
        "m" => MINUTE_MS,
        "h" => HOUR_MS,
        _ => return None,
    };
    number.parse::<i64>().ok().map(|number| number * unit)
}

/// Rows: the payment's role, and when paygate refunds it. It was discovered at 0.
#[test]
fn paygate_refunds_a_payment_at_once_then_each_hour_that_its_provider_refused_it() {
    let payment = |refunds: Vec<Refund>| {
        let mut payment = paid_with(refunds).payments.remove(0);
        (payment.role, payment.auto_refund) = (PaymentRole::Duplicate, true);
        payment
    };
    let automatic = |named: &str, queried_at: i64| Refund {
        automatic: true,
        last_queried_at: Some(Millis(queried_at)),
        ..refund(named)
    };
    let all = |refund: Refund| Refund { refund_fee: fen(100), ..refund };
    assert_eq!(payment(vec![]).auto_refund_due(), Some(Millis(0)));
    assert_eq!(payment(vec![automatic("refused", 9)]).auto_refund_due(), Some(Millis(9 + HOUR_MS)));
    let given_up = vec![automatic("given up", 5), automatic("given up", 9)];
    assert_eq!(payment(given_up).auto_refund_due(), Some(Millis(9 + 2 * HOUR_MS)));
    let often = vec![automatic("given up", 9); 30];
    assert_eq!(payment(often).auto_refund_due(), Some(Millis(9 + DAY_MS)));
    assert_eq!(payment(vec![refund("done")]).auto_refund_due(), Some(Millis(0)), "what is left");
    for pending in ["recorded", "sent", "abnormal", "done"] {
        assert_eq!(payment(vec![all(refund(pending))]).auto_refund_due(), None, "{pending}");
    }
    let unknown = Payment { refund_unknown: true, ..payment(vec![]) };
    assert_eq!(unknown.auto_refund_due(), None, "a person refunded some of it");
    let unwanted = Payment { auto_refund: false, ..payment(vec![]) };
    assert_eq!(unwanted.auto_refund_due(), None);
}

#[test]
fn paygate_stops_its_own_refunds_while_nobody_knows_how_much_is_refunded() {
    let ours = Refund { automatic: true, ..refund("recorded") };
    let requested = Refund { out_refund_no: "r-2".to_owned(), ..refund("recorded") };
    let mut payment = paid_with(vec![ours, requested]).payments.remove(0);
    let active = |payment: &Payment| -> Vec<String> {
        payment.active_refunds().map(|refund| refund.out_refund_no.clone()).collect()
    };
    assert_eq!(active(&payment), ["r-1", "r-2"]);
    payment.refund_unknown = true;
    assert_eq!(active(&payment), ["r-2"]);
    payment.refund_unknown = false;
    payment.reported_refund_total = Fen::new(81);
    assert_eq!(active(&payment), ["r-2"], "80 are known");
}

/// Columns: the refunds in the console that were reported, each with its amount and the total that
/// came with it, and whether a refund of unknown amount, known to exist before, is accounted for.
#[test]
fn an_unknown_refund_stays_unknown_until_the_known_ones_account_for_it() {
    let table: [(&[(u64, Option<u64>)], bool); 6] = [
        (&[(40, None)], false),
        (&[(40, Some(60))], false),
        (&[(40, Some(40))], true),
        (&[(40, None), (20, None)], false),
        (&[(40, Some(60)), (20, Some(60))], true),
        (&[(40, None), (60, None)], true),
    ];
    for (reported, is_known) in table {
        let report = |order: &Order, refund: ExternalRefund| {
            let (transaction_id, at) = (TransactionId("420001".into()), Millis(3));
            let refund = Box::new(refund);
            order.apply(Transition::RefundedExternally { transaction_id, refund, at })
        };
        let mut order = report(&paid(), ExternalRefund::UnknownAmount).unwrap();
        assert_eq!(report(&order, ExternalRefund::UnknownAmount), None, "that is known");
        assert_eq!(order.status, OrderStatus::PartRefunded);
        for (fee, total) in reported {
            let refund = external(&format!("console-{fee}"), *fee, *total);
            order = report(&order, refund.clone()).unwrap();
            assert_eq!(report(&order, refund), None, "it counts once");
        }
        assert_eq!(order.payments[0].has_unknown_refund(), !is_known, "{reported:?}");
        let sum: u64 = reported.iter().map(|(fee, _)| fee).sum();
        let status = if sum == 100 { OrderStatus::Refunded } else { OrderStatus::PartRefunded };
        assert_eq!(order.status, status, "{reported:?}");
    }
}

/// Columns: the state of a refund of 40 fen here, the total that the provider then reports with a
/// refund in its console of an amount that it does not report, and that refund's amount.
#[test]
fn a_total_is_split_into_what_is_done_here_and_the_rest() {
    let rows = [
        ("done", 100, Some(60)),
        ("done", 41, Some(1)),
        ("done", 40, None),
        ("done", 30, None),
        ("sent", 60, Some(60)),
        ("refused", 60, Some(60)),
    ];
    for (before, total, expected) in rows {
        let order = paid_with(vec![refund(before)]);
        let console = Refund {
            state: RefundState::Success,
            ..Refund::pending("console".to_owned(), fen(total), Millis(0))
        };
        let external = ExternalRefund::RunningTotal { refund: console, total: fen(total) };
        let (transaction_id, at) = (TransactionId("420001".into()), Millis(3));
        let refund = Box::new(external);
        let transition = Transition::RefundedExternally { transaction_id, refund, at };
        let next = order.apply(transition).unwrap_or(order);
        let found = next.refund("console").map(|(_, refund)| refund.refund_fee.fen());
        assert_eq!(found, expected, "{before}, {total}");
    }
}

#[test]
fn a_mismatched_payment_that_is_refunded_whole_no_longer_holds_the_order_back() {
    let order = order_of(100, vec![super::attempt(1, live())]);
    let update = TradeUpdate::Paid(receipt("420001", 90));
    let order = order.apply(Transition::TradeQueried { n: 1, at: Millis(0), update }).unwrap();
    assert!(order.flags.mismatch);
    let part = returned(&order, "420001", 50);
    assert!(part.flags.mismatch && !part.is_unpaid());
    let whole = returned(&part, "420001", 40);
    assert!(!whole.flags.mismatch && whole.is_unpaid());
    assert_eq!(whole.status, OrderStatus::Open, "nobody paid its price");
}

//! What becomes of an order: its status, its flags, the attempt that it offers, its payments.

use super::{attempt, live, lost, method, order_of, receipt, refused, rows};
use crate::domain::channel::ProviderId;
use crate::domain::ids::TransactionId;
use crate::domain::order::attempt::{Attempt, AttemptState};
use crate::domain::order::payment::{Payment, PaymentRole};
use crate::domain::order::{
    AutoRefundPolicy, Flags, Order, OrderStatus, Receipt, TradeUpdate, Transition,
};
use crate::domain::product::Product;
use crate::domain::request::OrderTerms;
use crate::domain::time::Millis;

/// The price of the orders here.
const PRICE: u64 = 100;

/// An order of 100 fen with an attempt at WeChat Pay and one at Alipay.
fn open() -> Order {
    let alipay = Attempt { method: method(Product::Precreate), ..attempt(2, live()) };
    order_of(PRICE, vec![attempt(1, live()), alipay])
}

/// The order after a payment of attempt `n` became known at 1 000.
fn pay(order: &Order, n: u32, receipt: Receipt) -> Order {
    let (at, update) = (Millis(1_000), TradeUpdate::Paid(receipt));
    order.apply(Transition::TradeQueried { n, at, update }).unwrap()
}

/// The order in this status, which it has by payments, refunds and closes.
fn order_in(status: &str) -> Order {
    let paid = || pay(&open(), 1, receipt("winning", PRICE));
    match status {
        "open" => open(),
        "closed" => open().apply(Transition::Closed).unwrap(),
        "paid" => paid(),
        "part_refunded" => super::refunds::returned(&paid(), "winning", 30),
        "refunded" => super::refunds::returned(&paid(), "winning", PRICE),
        other => panic!("{other}"),
    }
}

fn status_name(order: &Order) -> String {
    serde_json::to_value(order.status).unwrap().as_str().unwrap().to_owned()
}

fn flag_names(flags: Flags) -> String {
    let flags = [
        (flags.duplicate_paid, "duplicate"),
        (flags.late_paid, "late"),
        (flags.mismatch, "mismatch"),
    ];
    let set: Vec<_> = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
    if set.is_empty() { "-".to_owned() } else { set.join(" ") }
}

/// Columns: the order's status, the payment, what the payment is to the order, and the order's
/// status and flags with it.
#[test]
fn a_payment_is_judged_by_the_orders_status_its_amount_and_its_account() {
    let table = "
        open          | the price      | winning   | paid          | -
        open          | another amount | mismatch  | open          | mismatch
        open          | another app    | mismatch  | open          | mismatch
        closed        | the price      | late      | closed        | late
        closed        | another amount | mismatch  | closed        | mismatch
        closed        | another app    | mismatch  | closed        | mismatch
        paid          | the price      | duplicate | paid          | duplicate
        paid          | another amount | duplicate | paid          | duplicate
        paid          | another app    | mismatch  | paid          | mismatch
        part_refunded | the price      | duplicate | part_refunded | duplicate
        part_refunded | another amount | duplicate | part_refunded | duplicate
        part_refunded | another app    | mismatch  | part_refunded | mismatch
        refunded      | the price      | duplicate | refunded      | duplicate
        refunded      | another amount | duplicate | refunded      | duplicate
        refunded      | another app    | mismatch  | refunded      | mismatch
    ";
    for row in rows(table) {
        let [status, payment, role, after, flags] = row[..] else { panic!("{row:?}") };
        let receipt = match payment {
            "the price" => receipt("second", PRICE),
            "another amount" => receipt("second", PRICE + 1),
            _ => Receipt { matches_order: false, ..receipt("second", PRICE) },
        };
        let paid = pay(&order_in(status), 2, receipt);
        let payment = paid.payment(&TransactionId("second".into())).unwrap();
        assert_eq!(payment.role.name(), role, "{row:?}");
        assert_eq!((status_name(&paid).as_str(), &*flag_names(paid.flags)), (after, flags));
        assert_eq!(payment.discovered_at, Millis(1_000));
        assert!(!paid.is_unpaid(), "{row:?}");
    }
}

#[test]
fn the_same_payment_counts_once_whoever_reports_it() {
    let paid = pay(&open(), 1, receipt("420001", PRICE));
    let again = pay(&paid, 1, receipt("420001", PRICE + 1));
    assert_eq!(again.payments, paid.payments);
    assert_eq!((again.status, again.flags), (OrderStatus::Paid, Flags::default()));
}

#[test]
fn paygate_refunds_only_duplicate_and_late_payments_and_only_as_configured() {
    let policies = [(true, true), (true, false), (false, true), (false, false)];
    for (duplicate, late) in policies {
        let policy = AutoRefundPolicy { duplicate, late };
        let expected = [
            (PaymentRole::Winning, false),
            (PaymentRole::Duplicate, duplicate),
            (PaymentRole::Late, late),
            (PaymentRole::Mismatch, false),
        ];
        for (role, refunds) in expected {
            assert_eq!(policy.applies_to(role), refunds, "{policy:?} {role:?}");
        }
        let second = Receipt { auto_refund: policy, ..receipt("second", PRICE) };
        for (status, refunds) in [("open", false), ("closed", late), ("paid", duplicate)] {
            let paid = pay(&order_in(status), 2, second.clone());
            assert_eq!(paid.payments.last().unwrap().auto_refund, refunds, "{policy:?} {status}");
        }
    }
}

/// Columns: the order's status, and what `closePayment` makes of it; `-`: nothing.
#[test]
fn only_an_open_order_is_closed() {
    for (status, after) in [
        ("open", Some("closed")),
        ("closed", None),
        ("paid", None),
        ("part_refunded", None),
        ("refunded", None),
    ] {
        let closed = order_in(status).apply(Transition::Closed);
        assert_eq!(closed.as_ref().map(status_name).as_deref(), after, "{status}");
        assert!(closed.is_none_or(|order| order.attempts.iter().all(|it| it.superseded)));
    }
}

#[test]
fn a_payment_and_another_attempt_supersede_what_has_not_ended() {
    let superseded = |order: &Order| -> Vec<bool> {
        order.attempts.iter().map(|attempt| attempt.superseded).collect()
    };
    let mut order = open();
    order.attempts.push(attempt(3, AttemptState::Closed));
    let opened = order.apply(Transition::Opened(Box::new(attempt(4, lost())))).unwrap();
    assert_eq!(superseded(&opened), [true, true, false, false]);
    assert_eq!(opened.current().n, 4);
    let back = opened.apply(Transition::Offered { n: 2 }).unwrap();
    assert_eq!(superseded(&back), [true, false, false, true]);
    assert_eq!(back.current().n, 2);
    assert_eq!(opened.apply(Transition::Offered { n: 9 }), None, "no such attempt");
    for n in [3, 4, 6] {
        let number_is_used = Transition::Opened(Box::new(attempt(n, lost())));
        assert_eq!(opened.apply(number_is_used), None, "{n} is not the next number");
    }
    let paid = pay(&open(), 1, receipt("420001", PRICE));
    assert_eq!(superseded(&paid), [false, true], "the first one has ended");
}

#[test]
fn an_attempt_is_offered_while_the_order_waits_for_its_payment() {
    let order = open();
    let offered = |order: &Order, n: u32| order.is_offered(order.attempt(n).unwrap());
    assert!(offered(&order, 1) && offered(&order, 2));
    let opened = order.apply(Transition::Opened(Box::new(attempt(3, lost())))).unwrap();
    assert!(!offered(&opened, 2), "superseded");
    assert!(!offered(&opened, 3), "nothing to hand out");
    let answered = Attempt { superseded: false, ..attempt(3, live()) };
    let sharing = Order { attempts: [&opened.attempts[..2], &[answered]].concat(), ..opened };
    assert!(offered(&sharing, 1), "attempt 3 has the same trade");
    let until = sharing.offered_until(&sharing.attempts[0]);
    assert_eq!(until, Some(sharing.attempts[2].lapses()));
    assert_eq!(sharing.offered_until(&sharing.attempts[1]), None);
    let mismatched = pay(&order, 1, receipt("420001", PRICE + 1));
    assert!(!offered(&mismatched, 2), "the order holds a payment");
}

#[test]
fn an_adopted_trade_is_paid_and_offered_to_nobody() {
    let order = open();
    let adopt = |n| Transition::Adopted {
        attempt: Box::new(attempt(n, AttemptState::Prepared)),
        at: Millis(1_000),
        receipt: receipt("foreign", PRICE),
    };
    let adopted = order.apply(adopt(3)).unwrap();
    let attempt = adopted.attempt(3).unwrap();
    assert!(attempt.superseded && attempt.handed_out);
    assert_eq!((&attempt.state, adopted.status), (&AttemptState::Paid, OrderStatus::Paid));
    assert_eq!(adopted.payments[0].attempt, 3);
    assert_eq!(order.apply(adopt(2)), None, "that number is another attempt's");
}

/// Columns: the order's status, the payment as it was recorded, the answer that corrects it, what
/// the payment is then, its amount, and the order's status.
#[test]
fn a_correction_resolves_a_mismatch_and_otherwise_only_changes_the_amount() {
    let table = "
        open   | 101 | 100 | winning   | 100 | paid
        open   | 101 | 102 | mismatch  | 102 | open
        closed | 101 | 100 | late      | 100 | closed
        open   | 100 | 90  | winning   | 90  | paid
        closed | 100 | 90  | late      | 90  | closed
        paid   | 100 | 90  | duplicate | 90  | paid
    ";
    for row in rows(table) {
        let [status, recorded, answer, role, amount, after] = row[..] else { panic!("{row:?}") };
        let fee = |text: &str| text.parse::<u64>().unwrap();
        let before = pay(&order_in(status), 2, receipt("420001", fee(recorded)));
        let correct = |amount| Transition::Corrected { n: 2, receipt: receipt("420001", amount) };
        let corrected = before.apply(correct(fee(answer))).unwrap();
        let payment = corrected.payment(&TransactionId("420001".into())).unwrap();
        assert_eq!((payment.role.name(), payment.total_fee.fen()), (role, fee(amount)), "{row:?}");
        assert_eq!(status_name(&corrected), after, "{row:?}");
        assert!(!corrected.flags.mismatch || role == "mismatch", "{row:?}");
        assert_eq!(corrected.apply(correct(fee(answer))), None, "that is recorded");
    }
    let unknown = Transition::Corrected { n: 2, receipt: receipt("other", PRICE) };
    assert_eq!(open().apply(unknown), None, "no such payment");
}

#[test]
fn an_order_is_due_with_each_provider_by_what_is_there() {
    let mut order = open();
    order.attempts[0].state = lost();
    let wxpay = order.due_with(ProviderId::Wxpay);
    assert_eq!(wxpay, Some(Millis(5_000)));
    assert!(order.due_with(ProviderId::Alipay) > wxpay);
    assert_eq!(order.due(), wxpay, "the first of them");
    let paid = pay(&order_in("paid"), 2, receipt("second", PRICE));
    let is_duplicate = |payment: &&Payment| payment.role == PaymentRole::Duplicate;
    let duplicate = paid.payments.iter().find(is_duplicate).unwrap();
    assert_eq!(paid.provider_of(duplicate), Some(ProviderId::Alipay));
    assert_eq!(paid.due_with(ProviderId::Alipay), Some(Millis(1_000)), "it is to be refunded");
    assert_eq!(paid.due_with(ProviderId::Wxpay), None);
}

#[test]
fn an_order_from_an_older_copy_of_its_store_may_have_handed_out_each_open_attempt() {
    let prepared = AttemptState::Prepared;
    let ended = AttemptState::Closed;
    let later = Attempt { opened_at: Millis(700), ..attempt(3, prepared.clone()) };
    let order = order_of(PRICE, vec![attempt(1, prepared), attempt(2, ended), later]);
    let restored = order.restored(Millis(700));
    let handed_out: Vec<_> = restored.attempts.iter().map(|it| it.handed_out).collect();
    assert_eq!(handed_out, [true, false, false]);
}

#[test]
fn the_current_attempt_is_the_last_that_was_not_superseded_and_has_not_ended() {
    let superseded = |n, state| Attempt { superseded: true, ..attempt(n, state) };
    let table = [
        (vec![attempt(1, live())], 1),
        (vec![attempt(1, live()), attempt(2, AttemptState::Closed)], 1),
        (vec![superseded(1, live()), attempt(2, AttemptState::Closed)], 2),
        (vec![attempt(1, refused()), superseded(2, live())], 1),
        (vec![superseded(1, live()), superseded(2, live())], 2),
    ];
    for (attempts, current) in table {
        assert_eq!(order_of(PRICE, attempts.clone()).current().n, current, "{attempts:?}");
    }
}

#[test]
fn an_offer_ends_with_what_is_offered_of_the_trade() {
    let later = |state| Attempt { expires_at: Millis(9_000_000), ..attempt(2, state) };
    let superseded = Attempt { superseded: true, ..later(live()) };
    for beside in [superseded, later(refused())] {
        let order = order_of(PRICE, vec![attempt(1, live()), beside.clone()]);
        let until = order.attempts[0].lapses();
        assert_eq!(order.offered_until(&order.attempts[0]), Some(until), "{beside:?}");
        for (now, stays) in [(0, true), (until.0 - 1, true), (until.0, false)] {
            assert_eq!(order.stays_open(&order.attempts[0], Millis(now)), stays, "{now}");
        }
    }
    let closed = order_in("closed");
    assert!(!closed.stays_open(&closed.attempts[0], Millis(0)), "it is offered to nobody");
}

#[test]
fn paygate_sends_a_lost_attempt_again_only_while_its_buyer_waits_for_it() {
    let waiting = || order_of(PRICE, vec![attempt(1, lost())]);
    let last = Millis(super::EXPIRES - 60_001);
    let awaits = |order: &Order, now| order.awaits_material(&order.attempts[0], now);
    assert!(awaits(&waiting(), last));
    assert!(!awaits(&waiting(), last.plus(1)), "it expires in a minute");
    let of = |attempt| order_of(PRICE, vec![attempt]);
    let lost_as = || attempt(1, lost());
    assert!(!awaits(&of(attempt(1, live())), last), "it has material");
    assert!(!awaits(&of(Attempt { superseded: true, ..lost_as() }), last));
    assert!(!awaits(&of(Attempt { close_intended: true, ..lost_as() }), last));
    assert!(!awaits(&Order { status: OrderStatus::Closed, ..waiting() }, last));
    let chosen_since = Attempt { method: method(Product::Precreate), ..attempt(2, lost()) };
    assert!(!awaits(&order_of(PRICE, vec![lost_as(), chosen_since]), last));
}

#[test]
fn a_corrected_payment_has_an_unknown_refund_where_its_provider_reports_one() {
    let id = TransactionId("420001".into());
    let corrected = |order: &Order, amount, refunded| {
        let receipt = Receipt { refunded, ..receipt("420001", amount) };
        order.apply(Transition::Corrected { n: 1, receipt }).unwrap()
    };
    let unknown = |order: &Order| order.payment(&id).unwrap().refund_unknown;
    let paid = pay(&open(), 1, receipt("420001", PRICE));
    assert!(!unknown(&corrected(&paid, 90, false)));
    let reported = corrected(&paid, 90, true);
    assert!(unknown(&reported));
    assert!(unknown(&corrected(&reported, 80, false)), "it stays unknown");
    let known = super::refunds::returned(&paid, "420001", 30);
    assert!(!unknown(&corrected(&known, 90, true)), "the refund that is known is the reported one");
}

#[test]
fn what_can_be_paid_or_has_no_answer_is_an_open_trade() {
    assert_eq!(open().open_trades(), [2, 1]);
    for (state, is_open) in [
        (live(), true),
        (lost(), true),
        (AttemptState::Prepared, true),
        (refused(), false),
        (AttemptState::Closed, false),
        (AttemptState::Paid, false),
    ] {
        let order = order_of(PRICE, vec![attempt(1, state)]);
        assert_eq!(order.open_trades().len(), usize::from(is_open), "{order:?}");
    }
}

#[test]
fn the_buyer_reads_the_body_of_an_order_or_else_its_subject() {
    let with_body = OrderTerms { body: Some("two cups of tea".to_owned()), ..super::terms(1) };
    assert_eq!(
        (super::terms(1).description(), with_body.description()),
        ("tea", "two cups of tea")
    );
}

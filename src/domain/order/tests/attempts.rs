//! What becomes of an attempt.

use super::{
    EXPIRES, attempt, in_use, live, lost, method, order, order_of, receipt, refused, states,
};
use crate::domain::order::attempt::{Attempt, AttemptState, Material, valid_until};
use crate::domain::order::{Order, TradeUpdate, Transition};
use crate::domain::product::Product;
use crate::domain::time::{MINUTE_MS, Millis};

/// When the provider has stopped taking money for an attempt.
const LAPSES: i64 = EXPIRES + 61_000;

fn not_sent() -> Transition {
    Transition::NotSent { n: 1 }
}

fn outcome_unknown() -> Transition {
    Transition::OutcomeUnknown { n: 1, reason: "timeout".to_owned() }
}

fn refusal() -> Transition {
    Transition::Refused { n: 1, code: "PARAM_ERROR".to_owned(), message: String::new() }
}

fn number_in_use() -> Transition {
    Transition::NumberInUse { n: 1, code: "OUT_TRADE_NO_USED".to_owned() }
}

fn answered() -> Transition {
    Transition::Answered { n: 1, material: Material::Signed, valid_until: Millis(9) }
}

fn queried(at: i64, update: TradeUpdate) -> Transition {
    Transition::TradeQueried { n: 1, at: Millis(at), update }
}

/// The provider finds no trade at `at`, by paygate's clock and by its own.
fn not_found(at: i64) -> Transition {
    queried(at, TradeUpdate::NotFound { date: Some(Millis(at)) })
}

fn paid() -> Transition {
    queried(1, TradeUpdate::Paid(receipt("420001", 1)))
}

/// An order whose only attempt has `product` and `state`.
fn order_by(product: Product, state: AttemptState) -> Order {
    let first = attempt(1, state);
    order_of(1, vec![Attempt { method: method(product), ..first }])
}

/// `rows`: what happens, and the states that it changes. It adds nothing to the other states.
#[test]
fn what_happens_to_an_attempt_changes_exactly_these_states() {
    type Changes<'a> = &'a [(&'a str, &'a str)];
    let rows: [(Transition, Changes<'_>); 6] = [
        (not_sent(), &[("prepared", "not_sent"), ("outcome_unknown", "not_sent")]),
        (outcome_unknown(), &[("prepared", "outcome_unknown")]),
        (refusal(), &[("prepared", "refused"), ("outcome_unknown", "refused")]),
        (
            number_in_use(),
            &[
                ("prepared", "number_in_use"),
                ("outcome_unknown", "number_in_use"),
                ("not_sent", "number_in_use"),
                ("refused", "number_in_use"),
                ("not_found", "number_in_use"),
            ],
        ),
        (
            answered(),
            &[
                ("prepared", "payable"),
                ("outcome_unknown", "payable"),
                ("not_sent", "payable"),
                ("refused", "payable"),
                ("not_found", "payable"),
                ("number_in_use", "payable"),
                ("payable", "payable"),
            ],
        ),
        (
            Transition::Resending { n: 1 },
            &[("not_sent", "prepared"), ("refused", "prepared"), ("not_found", "prepared")],
        ),
    ];
    for (transition, changes) in rows {
        for state in states() {
            let change = changes.iter().find(|(before, _)| *before == state.name());
            let next = order(state.clone()).apply(transition.clone());
            let found = next.as_ref().map(|next| next.latest().state.name());
            assert_eq!(found, change.map(|(_, after)| *after), "{} {transition:?}", state.name());
            assert!(next.is_none_or(|next| next.version == 2), "one version on");
        }
    }
}

/// As above, but the time of the query is recorded in any case.
#[test]
fn a_providers_answer_about_a_trade_changes_exactly_these_states() {
    type Changes<'a> = &'a [(&'a str, &'a str)];
    let unanswered = [("prepared", "not_found"), ("outcome_unknown", "not_found")];
    let missing = [unanswered[0], unanswered[1], ("refused", "not_found")];
    let lapsed =
        [missing[0], missing[1], missing[2], ("payable", "closed"), ("number_in_use", "closed")];
    let without_date = queried(LAPSES, TradeUpdate::NotFound { date: None });
    let behind = TradeUpdate::NotFound { date: Some(Millis(LAPSES - 1)) };
    let rows: [(Transition, Changes<'_>); 7] = [
        (queried(1, TradeUpdate::NoAnswer), &[]),
        (queried(1, TradeUpdate::Unpaid), &[]),
        (not_found(1), &missing),
        (not_found(LAPSES - 1), &missing),
        (without_date, &missing),
        (queried(LAPSES, behind), &missing),
        (not_found(LAPSES), &lapsed),
    ];
    for (transition, changes) in rows {
        for state in states() {
            let change = changes.iter().find(|(before, _)| *before == state.name());
            let expected = change.map_or(state.name(), |(_, after)| *after);
            let next = order(state.clone()).apply(transition.clone()).unwrap();
            assert_eq!(next.latest().state.name(), expected, "{} {transition:?}", state.name());
            assert!(next.latest().last_queried_at.is_some(), "{transition:?}");
        }
    }
    for state in states() {
        let closed = order(state.clone()).apply(queried(1, TradeUpdate::Closed)).unwrap();
        let is_paid = state == AttemptState::Paid;
        assert_eq!(closed.latest().state.name(), if is_paid { "paid" } else { "closed" });
        let paid = order(state).apply(paid()).unwrap();
        assert_eq!(paid.latest().state, AttemptState::Paid, "a payment is a payment");
        assert_eq!(paid.payments.len(), 1);
    }
}

#[test]
fn a_missing_trade_that_the_buyer_may_find_ends_only_when_it_lapsed() {
    // Alipay makes the trade of `Create` when it gets the call, and shows it to the buyer.
    let rows = [
        (AttemptState::Prepared, "not_found", "closed"),
        (lost(), "not_found", "closed"),
        (AttemptState::NotFound, "not_found", "closed"),
        (AttemptState::NotSent, "not_sent", "not_sent"),
        (refused(), "not_found", "not_found"),
        (live(), "payable", "closed"),
    ];
    for (state, before, after) in rows {
        let create = order_by(Product::Create, state);
        let early = create.apply(not_found(LAPSES - 1)).unwrap();
        let late = create.apply(not_found(LAPSES)).unwrap();
        assert_eq!((early.latest().state.name(), late.latest().state.name()), (before, after));
    }
}

#[test]
fn material_that_a_buyer_may_hold_stays_handed_out() {
    let handed_out = |order: &Order| order.latest().handed_out;
    let native = order(AttemptState::Prepared);
    assert!(!handed_out(&native));
    assert!(handed_out(&native.apply(answered()).unwrap()));
    assert!(handed_out(&native.apply(number_in_use()).unwrap()), "another program may have");
    assert!(!handed_out(&native.apply(outcome_unknown()).unwrap()), "nobody has its code");
    let create = order_by(Product::Create, AttemptState::Prepared);
    let unknown = create.apply(outcome_unknown()).unwrap();
    assert!(handed_out(&unknown), "the buyer finds it in Alipay");
    let refused = unknown.apply(refusal()).unwrap();
    assert!(handed_out(&refused) && refused.latest().is_payable(), "whatever comes later");
}

/// Columns: whether a buyer may pay it, its outcome is open, its material is handed out again, a
/// request with its method resumes it, and it may be sent once more.
#[test]
fn each_state_of_an_attempt_has_these_properties() {
    let table = "
        prepared        | -       | unanswered | -           | resumable | -
        not_sent        | -       | -          | -           | resumable | resent
        outcome_unknown | -       | unanswered | -           | resumable | -
        refused         | -       | -          | -           | resumable | resent
        not_found       | -       | -          | -           | resumable | resent
        number_in_use   | payable | -          | -           | resumable | -
        payable         | payable | -          | presentable | -         | -
        closed          | -       | -          | -           | -         | -
        paid            | -       | -          | -           | -         | -
    ";
    let word = |holds: bool, word: &'static str| if holds { word } else { "-" };
    let rows = super::rows(table);
    assert_eq!(rows.len(), states().len());
    for (row, state) in rows.into_iter().zip(states()) {
        let attempt = attempt(1, state);
        let found = [
            attempt.state.name(),
            word(attempt.is_payable(), "payable"),
            word(attempt.is_unanswered(), "unanswered"),
            word(attempt.is_presentable(), "presentable"),
            word(attempt.is_resumable(), "resumable"),
            word(attempt.state.may_be_resent(), "resent"),
        ];
        assert_eq!(row, found);
        let closing = Attempt { close_intended: true, ..attempt.clone() };
        assert!(!closing.is_presentable() && !closing.is_resumable(), "{:?}", closing.state);
        let superseded = Attempt { superseded: true, ..attempt };
        let is_refused = matches!(superseded.state, AttemptState::Refused { .. });
        assert_eq!(superseded.is_unanswered(), superseded.is_unknown() || is_refused);
    }
}

#[test]
fn nothing_left_this_machine_of_a_signed_product_that_was_not_handed_out() {
    for state in states() {
        let is_begun = matches!(
            state,
            AttemptState::Prepared | AttemptState::NotSent | AttemptState::NotFound
        );
        for product in [Product::AppPay, Product::WapPay, Product::PagePay] {
            let mut signed = order_by(product, state.clone()).attempts.remove(0);
            assert_eq!(signed.is_unsigned(), is_begun, "{product:?} {state:?}");
            signed.handed_out = true;
            assert!(!signed.is_unsigned());
        }
        assert!(!attempt(1, state).is_unsigned(), "WeChat Pay gets a call");
    }
}

#[test]
fn a_trade_that_is_there_at_once_contradicts_an_answer_that_it_is_not() {
    let rows = [
        (Product::Native, live(), true),
        (Product::Create, live(), true),
        (Product::Precreate, live(), false),
        (Product::AppPay, live(), false),
        (Product::Native, in_use(), false),
        (Product::Native, lost(), false),
        (Product::Native, AttemptState::Closed, false),
    ];
    for (product, state, expected) in rows {
        let order = order_by(product, state);
        assert_eq!(order.latest().has_trade_at_once(), expected, "{product:?}");
    }
}

#[test]
fn a_close_is_intended_for_every_attempt_with_the_same_trade() {
    let other_trade = Attempt { method: method(Product::Precreate), ..attempt(3, live()) };
    let order = order_of(1, vec![attempt(1, live()), attempt(2, live()), other_trade]);
    let intended = |order: &Order| -> Vec<bool> {
        order.attempts.iter().map(|attempt| attempt.close_intended).collect()
    };
    let closing = order.apply(Transition::CloseIntended { n: 2 }).unwrap();
    assert_eq!(intended(&closing), [true, true, false]);
    assert_eq!(closing.apply(Transition::CloseIntended { n: 1 }), None, "it is intended");
    let refused = closing.apply(Transition::CloseRefused { n: 1 }).unwrap();
    assert_eq!(intended(&refused), [false, false, false]);
    assert_eq!(order.apply(Transition::CloseRefused { n: 1 }), None, "none was intended");
    assert_eq!(order.apply(Transition::CloseIntended { n: 9 }), None, "no such attempt");
    for ended in [AttemptState::Closed, AttemptState::Paid] {
        assert_eq!(super::order(ended).apply(Transition::CloseIntended { n: 1 }), None);
    }
}

#[test]
fn of_attempts_that_share_a_trade_one_is_paid_and_the_others_end() {
    let order = order_of(1, vec![attempt(1, live()), attempt(2, live())]);
    let paid = order.apply(paid()).unwrap();
    let states: Vec<_> = paid.attempts.iter().map(|attempt| attempt.state.name()).collect();
    assert_eq!(states, ["paid", "closed"]);
    let closed = order.apply(queried(1, TradeUpdate::Closed)).unwrap();
    assert!(closed.attempts.iter().all(|attempt| attempt.state == AttemptState::Closed));
    assert_eq!(order.trades(Attempt::is_payable), [2], "one for each trade, the latest");
}

#[test]
fn paygate_queries_an_attempt_the_later_the_older_it_is() {
    let seconds = |at: i64| at * 1_000;
    // Opened at 0, and queried last at this time: it is queried next at that one.
    for (last, next) in [(0, 5), (8, 13), (80, 90), (480, 540), (4_800, 4_860)] {
        let queried =
            Attempt { last_queried_at: Some(Millis(seconds(last))), ..attempt(1, lost()) };
        assert_eq!(queried.next_query(), Millis(seconds(next)), "{last}");
    }
    assert_eq!(attempt(1, lost()).next_query(), Millis(5_000));
}

#[test]
fn paygate_queries_an_offered_attempt_a_minute_before_it_expires_and_when_it_lapsed() {
    let (minute_before, none) = (Millis(EXPIRES - MINUTE_MS), None::<Millis>);
    let due = |order: &Order| order.due_of(order.latest());
    let offered = order(live());
    assert_eq!(due(&offered), Some(minute_before));
    let queried = offered.apply(queried(EXPIRES - MINUTE_MS, TradeUpdate::Unpaid)).unwrap();
    assert_eq!(due(&queried), Some(Millis(LAPSES)));
    let closed = offered.apply(Transition::Closed).unwrap();
    assert_eq!(due(&closed), Some(Millis(5_000)), "nobody should pay it");
    let closing = offered.apply(Transition::CloseIntended { n: 1 }).unwrap();
    assert_eq!(due(&closing), Some(Millis(5_000)), "the outcome of a close is open");
    for state in [AttemptState::NotSent, refused(), AttemptState::NotFound, AttemptState::Closed] {
        assert_eq!(due(&order(state)), none);
    }
    assert_eq!(due(&order(lost())), Some(Millis(5_000)));
}

#[test]
fn material_is_handed_out_until_30_seconds_before_its_end_or_the_attempts_expiry() {
    let rows = [
        (Product::Native, 3 * 3_600_000, 7_200_000),
        (Product::Native, 3_600_000, 3_600_000),
        (Product::H5, 3_600_000, 300_000),
        (Product::Precreate, 7_200_000, 7_200_000),
        (Product::AppPay, 3 * 3_600_000, 3 * 3_600_000),
    ];
    for (product, expires_at, end) in rows {
        let found = valid_until(product, Millis(0), Millis(expires_at));
        assert_eq!(found, Millis(end - 30_000), "{product:?}");
    }
}

#[test]
fn an_attempt_is_unchanged_while_nobody_sent_or_queried_it() {
    let before = attempt(1, lost());
    let queried = Attempt { last_queried_at: Some(Millis(1)), ..before.clone() };
    assert!(before.is_unchanged_since(&before));
    assert!(!queried.is_unchanged_since(&before));
    assert!(!attempt(1, live()).is_unchanged_since(&before));
}

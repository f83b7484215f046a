//! The decision about a request for a stored order: a pure function, tested as a table.

use super::attempt::{Attempt, AttemptState};
use super::{Order, OrderStatus};
use crate::domain::product::PaymentMethod;
use crate::domain::request::Fingerprint;
use crate::domain::time::Millis;
use crate::domain::variant_names::variant_names;

/// The decision about one `createPayment` request for a stored order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The request has other terms under the same number: the names of the fields.
    Conflict(Vec<&'static str>),
    /// The order is paid or refunded, or holds a payment of another amount: vk-uni-pay's status
    /// number.
    AlreadyPaid(i8),
    /// `closePayment` closed the order.
    Closed,
    /// Paygate hands out the material of this attempt again.
    Replay(u32),
    /// The attempt expires within a minute, or has within the last minute: the client tries again.
    Wait,
    /// This attempt has the same method and a live trade, but its material is stale: paygate sends
    /// its parameters again.
    Renew(u32),
    /// This attempt has the same method, and paygate has handed out nothing of it: paygate queries
    /// its outcome, and sends its parameters again.
    Resume(u32),
    /// The method is another one, or its attempt has ended or is superseded: paygate queries and
    /// closes every attempt that the buyer may pay, then opens another one.
    NewAttempt,
}

variant_names! {
    Admission {
        Admission::Conflict(_) => "conflict",
        Admission::AlreadyPaid(_) => "already_paid",
        Admission::Closed => "closed",
        Admission::Replay(_) => "replay",
        Admission::Wait => "wait",
        Admission::Renew(_) => "renew",
        Admission::Resume(_) => "resume",
        Admission::NewAttempt => "new_attempt",
    }
}

/// Judges a request with `fingerprint` and `method` for the stored `order` at `now`.
///
/// Differences come before the status, the status before a replay.
#[must_use]
pub fn judge(
    order: &Order,
    fingerprint: &Fingerprint,
    method: &PaymentMethod,
    now: Millis,
) -> Admission {
    let differences = order.fingerprint.differences(fingerprint);
    if !differences.is_empty() {
        return Admission::Conflict(differences);
    }
    match order.status {
        OrderStatus::Paid | OrderStatus::PartRefunded | OrderStatus::Refunded => {
            Admission::AlreadyPaid(order.status.number())
        }
        OrderStatus::Open | OrderStatus::Closed if order.flags.mismatch => {
            Admission::AlreadyPaid(order.status.number())
        }
        OrderStatus::Closed => Admission::Closed,
        OrderStatus::Open => judge_attempts(order, method, now),
    }
}

fn judge_attempts(order: &Order, method: &PaymentMethod, now: Millis) -> Admission {
    let same_method = || order.attempts.iter().rev().filter(|attempt| attempt.method == *method);
    let presented = same_method().find(|attempt| attempt.is_presentable());
    let decided = presented.map_or(Admission::NewAttempt, |attempt| judge_live(attempt, now));
    if decided != Admission::NewAttempt {
        return decided;
    }
    let resumed = same_method().find(|attempt| attempt.is_resumable());
    let resumed = resumed.filter(|attempt| attempt.has_time(now));
    resumed.map_or(Admission::NewAttempt, |attempt| Admission::Resume(attempt.n))
}

fn judge_live(attempt: &Attempt, now: Millis) -> Admission {
    if matches!(attempt.state, AttemptState::Payable { valid_until, .. } if now < valid_until) {
        Admission::Replay(attempt.n)
    } else if attempt.has_time(now) && attempt.superseded {
        Admission::NewAttempt
    } else if attempt.has_time(now) {
        Admission::Renew(attempt.n)
    } else if attempt.is_before_lapse(now) {
        Admission::Wait
    } else {
        Admission::NewAttempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::attempt::Material;
    use crate::domain::order::tests::{
        EXPIRES, VALID_UNTIL, attempt, in_use, live, lost, method, order, refused, terms,
    };
    use crate::domain::order::{Flags, TradeUpdate, Transition};
    use crate::domain::product::Product;

    #[test]
    fn the_latest_attempt_and_the_time_decide_about_an_open_order() {
        use Admission::{NewAttempt, Renew, Replay, Resume, Wait};
        let (same, other) = (Product::Native, Product::Jsapi);
        let table = [
            (AttemptState::Prepared, same, 0, Resume(1)),
            (AttemptState::Prepared, other, 0, NewAttempt),
            (AttemptState::Prepared, same, EXPIRES - 60_000, NewAttempt),
            (AttemptState::NotSent, same, 0, Resume(1)),
            (AttemptState::NotSent, other, 0, NewAttempt),
            (lost(), same, 0, Resume(1)),
            (lost(), other, 0, NewAttempt),
            (lost(), same, EXPIRES - 60_001, Resume(1)),
            (lost(), same, EXPIRES - 60_000, NewAttempt),
            (refused(), same, 0, Resume(1)),
            (refused(), other, 0, NewAttempt),
            (refused(), same, EXPIRES - 60_000, NewAttempt),
            (in_use(), same, 0, Resume(1)),
            (in_use(), other, 0, NewAttempt),
            (AttemptState::NotFound, same, 0, Resume(1)),
            (AttemptState::NotFound, other, 0, NewAttempt),
            (live(), same, 0, Replay(1)),
            (live(), same, VALID_UNTIL - 1, Replay(1)),
            (live(), same, VALID_UNTIL, Renew(1)),
            (live(), other, 0, NewAttempt),
            (live(), same, EXPIRES - 60_001, Renew(1)),
            (live(), same, EXPIRES - 60_000, Wait),
            (live(), same, EXPIRES + 60_999, Wait),
            (live(), same, EXPIRES + 61_000, NewAttempt),
            (live(), other, EXPIRES + 60_001, NewAttempt),
            (AttemptState::Closed, same, 0, NewAttempt),
        ];
        for (state, product, now, expected) in table {
            let order = order(state);
            let fingerprint = order.fingerprint.clone();
            let found = judge(&order, &fingerprint, &method(product), Millis(now));
            assert_eq!(found, expected, "{:?} {product:?} at {now}", order.latest().state);
        }
    }

    #[test]
    fn differences_come_before_the_status_and_the_status_before_a_replay() {
        let (mine, other) = (terms(1).fingerprint(), terms(2).fingerprint());
        let judged = |status, flags, fingerprint: &Fingerprint| {
            let order = Order { status, flags, ..order(live()) };
            judge(&order, fingerprint, &method(Product::Native), Millis(0))
        };
        let (none, mismatch) = (Flags::default(), Flags { mismatch: true, ..Flags::default() });
        let statuses = [
            (OrderStatus::Open, none, Admission::Replay(1)),
            (OrderStatus::Open, mismatch, Admission::AlreadyPaid(0)),
            (OrderStatus::Closed, none, Admission::Closed),
            (OrderStatus::Paid, none, Admission::AlreadyPaid(1)),
            (OrderStatus::PartRefunded, none, Admission::AlreadyPaid(2)),
            (OrderStatus::Refunded, none, Admission::AlreadyPaid(3)),
        ];
        for (status, flags, expected) in statuses {
            assert_eq!(judged(status, flags, &mine), expected, "{status:?} {flags:?}");
            let conflict = Admission::Conflict(vec!["total_fee"]);
            assert_eq!(judged(status, flags, &other), conflict, "{status:?} {flags:?}");
        }
    }

    #[test]
    fn the_precedence_of_an_attempts_state_only_rises() {
        let states = [
            AttemptState::Prepared,
            lost(),
            refused(),
            live(),
            AttemptState::Closed,
            AttemptState::Paid,
        ];
        for state in states {
            let order = order(state.clone());
            let lost = order.apply(Transition::OutcomeUnknown { n: 1, reason: String::new() });
            assert_eq!(lost.is_some(), state == AttemptState::Prepared, "{state:?}");
            let answered =
                Transition::Answered { n: 1, material: Material::Signed, valid_until: Millis(1) };
            let answered = order.apply(answered);
            // Newer material takes the place of older material.
            assert_eq!(answered.is_some(), state.precedence() <= live().precedence(), "{state:?}");
            assert!(answered.is_none_or(|next| next.version == order.version + 1));
        }
        assert_eq!(order(live()).apply(Transition::NotSent { n: 2 }), None, "no such attempt");
    }

    #[test]
    fn an_attempts_number_is_never_used_again() {
        let open = |order: &Order, n| {
            order.apply(Transition::Opened(Box::new(attempt(n, AttemptState::Prepared))))
        };
        for state in [AttemptState::NotSent, refused(), AttemptState::NotFound, live()] {
            let order = order(state);
            assert_eq!(open(&order, 1), None);
            let followed = open(&order, 2).expect("attempt 2 follows");
            assert_eq!(followed.attempts.len(), 2, "the first one stays");
            assert!(followed.attempts[0].superseded);
            assert_eq!(followed.current().n, 2);
            let back = followed
                .apply(Transition::Offered { n: 1 })
                .expect("the buyer chooses attempt 1 again");
            assert_eq!(back.current().n, 1);
        }
    }

    #[test]
    fn paygate_hands_out_no_attempt_that_it_may_have_closed() {
        let (same, now) = (method(Product::Native), Millis(0));
        let closing = order(live()).apply(Transition::CloseIntended { n: 1 }).unwrap();
        assert_eq!(judge(&closing, &closing.fingerprint, &same, now), Admission::NewAttempt);
        assert!(!closing.is_offered(closing.latest()));
        assert!(closing.due_of(closing.latest()).is_some(), "paygate queries it");
        let answered = Transition::Answered { n: 1, material: Material::Signed, valid_until: now };
        assert_eq!(closing.apply(answered), None);
        assert_eq!(closing.apply(Transition::CloseIntended { n: 1 }), None, "once is enough");
        let refused = closing.apply(Transition::CloseRefused { n: 1 }).unwrap();
        assert_eq!(judge(&refused, &refused.fingerprint, &same, now), Admission::Replay(1));
    }

    #[test]
    fn a_buyer_may_pay_only_what_paygate_handed_out() {
        let states = [
            (AttemptState::Prepared, false),
            (AttemptState::NotSent, false),
            (lost(), false),
            (refused(), false),
            (AttemptState::NotFound, false),
            (live(), true),
            (AttemptState::Closed, false),
            (AttemptState::Paid, false),
        ];
        for (state, expected) in states {
            let plain = order(state.clone());
            assert_eq!(plain.latest().is_payable(), expected, "{state:?}");
            // Alipay makes such a trade at once, and its buyer may find it.
            let mut create = order(state.clone());
            create.attempts[0].method.product = Product::Create;
            let may_exist = create.latest().is_unknown() || state == AttemptState::NotFound;
            assert_eq!(create.latest().is_payable(), expected || may_exist, "{state:?}");
        }
        let taken = Transition::NumberInUse { n: 1, code: "OUT_TRADE_NO_USED".to_owned() };
        let taken = order(AttemptState::Prepared).apply(taken).unwrap();
        assert!(taken.latest().is_payable(), "somebody ordered under its number");
        let mut create = order(AttemptState::Prepared);
        create.attempts[0].method.product = Product::Create;
        let lost =
            create.apply(Transition::OutcomeUnknown { n: 1, reason: String::new() }).unwrap();
        let (code, message) = ("X".to_owned(), String::new());
        let refused = lost.apply(Transition::Refused { n: 1, code, message }).unwrap();
        assert!(refused.latest().is_payable(), "a refusal ends nothing that may exist");
    }

    #[test]
    fn paygate_queries_a_superseded_attempt_until_its_provider_answers() {
        for state in [AttemptState::Prepared, lost(), refused()] {
            let order = order(state.clone());
            let other = Attempt { method: method(Product::Jsapi), ..attempt(2, live()) };
            let next = order.apply(Transition::Opened(Box::new(other))).unwrap();
            assert!(next.due_of(&next.attempts[0]).is_some(), "{state:?}");
            let closed = order.apply(Transition::Closed).unwrap();
            assert!(closed.due().is_some(), "{state:?}: also of a closed order");
            let (at, update) = (Millis(1), TradeUpdate::NotFound { date: None });
            let answered = closed.apply(Transition::TradeQueried { n: 1, at, update }).unwrap();
            assert_eq!(answered.due(), None, "{state:?}");
        }
    }

    #[test]
    fn an_attempt_lapses_by_both_clocks() {
        let attempt = attempt(1, live());
        let lapses = attempt.lapses();
        let late = lapses.plus(299_000);
        assert!(attempt.has_lapsed(lapses, Some(lapses)));
        assert!(!attempt.has_lapsed(late, Some(lapses.plus(-1))), "the provider's clock");
        assert!(!attempt.has_lapsed(lapses.plus(-1), Some(late)), "ours");
        assert!(!attempt.has_lapsed(late, None), "an answer without a date");
        assert!(attempt.has_lapsed(lapses.plus(300_000), None));
    }
}

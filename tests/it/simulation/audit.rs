//! What may not be, whatever happened.

use std::sync::Arc;

use paygate::domain::{
    Attempt, AttemptState, Order, OrderStatus, Payment, PaymentRole, Product, ProviderId,
    TransactionId,
};
use paygate::error::Kind;
use paygate::mock::State;
use paygate::{Clock as _, mock};

use super::buyers::{Answer, Case, Item};
use super::money;
use super::shared::Shared;
use crate::support::shop::order_info;

/// At every change of an order: one trade is offered at most.
pub(super) fn offered(order: &Order) -> Vec<String> {
    let mut offered = order.attempts.iter().filter(|it| order.is_offered(it));
    let one = offered.next();
    let several = one.is_some_and(|one| offered.any(|it| !it.shares_trade(one)));
    let what = format!("{}: two trades are offered: {:#?}", order.out_trade_no(), summary(order));
    if several { vec![what] } else { Vec::new() }
}

/// When another attempt opens, or hands out something for the first time: what buyers hold besides
/// can be paid at no provider that closes it when it is told to. (A buyer who goes back to material
/// that nobody could close gets it without a provider being called; what it replaces is closed a
/// moment later.)
pub(super) fn standing(shared: &Arc<Shared>, change: (Option<&Order>, &Order)) -> Vec<String> {
    let (before, order) = change;
    let no = order.out_trade_no().as_str();
    let Some(case) = shared.cases.iter().find(|it| it.no == no) else {
        return vec![format!("{no} is nobody's order")];
    };
    let is_as_before = |it: &Attempt| {
        let old = before.and_then(|before| before.attempt(it.n));
        // What another program opened, and was paid, is nothing that was opened here.
        old.is_some_and(|old| old.handed_out == it.handed_out) || it.state == AttemptState::Paid
    };
    if order.status != OrderStatus::Open || order.attempts.iter().all(is_as_before) {
        return Vec::new();
    }
    let (now, ledger) = (shared.clock.now(), shared.providers.orders());
    let mut found = Vec::new();
    for item in case.items() {
        let is_its =
            |it: &&mock::SimulatedOrder| it.provider == item.provider && it.out_trade_no == item.no;
        let Some(trade) = ledger.iter().find(is_its) else { continue };
        let mut attempts = order.attempts.iter().filter(|it| {
            it.method.provider() == item.provider && it.channel_no.as_str() == item.no
        });
        let offered = attempts.clone().any(|it| order.is_offered(it));
        if offered || trade.state != State::Unpaid || trade.terms.expires <= now {
            continue;
        }
        if is_closable(item.product) {
            found.push(format!("{no}: {item:?} can be paid, and is not offered"));
        }
        let was_offered = |n: u32| {
            before.is_some_and(|it| it.attempt(n).is_some_and(|attempt| it.is_offered(attempt)))
        };
        let known = shared.known(item.provider, &item.no);
        if known == Some(State::Unpaid) && attempts.any(|it| was_offered(it.n)) {
            found.push(format!("{no}: {item:?} had a trade, and was superseded, not closed"));
        }
    }
    found
}

/// Whether a provider has a trade as soon as it gives out material, and so one to close.
fn is_closable(product: Product) -> bool {
    match product {
        Product::Jsapi | Product::App | Product::H5 | Product::Native | Product::Create => true,
        Product::AppPay | Product::Precreate | Product::WapPay | Product::PagePay => false,
    }
}

/// An answer to a request for `fee`, which came when the order was `before`.
pub(super) fn answer(
    shared: &Shared,
    case: &Case,
    (fee, before): (u64, Option<&Order>),
    answer: &Answer,
) -> Vec<String> {
    let stored = shared.records.order(&case.no);
    let owner = stored.as_ref().map(|it| it.terms.total_fee.fen());
    let wrong = match answer {
        Answer::Given(created) => {
            let is_settled = |it: &Order| it.status != OrderStatus::Open || it.flags.mismatch;
            let was_paid = before.is_some_and(is_settled);
            was_paid || owner != Some(fee) || created.total_fee.fen() != fee
        }
        Answer::Refused(error) => match error.kind() {
            Kind::Different => owner == Some(fee),
            Kind::AlreadyPaid => stored
                .as_ref()
                .is_none_or(|it| it.status == OrderStatus::Open && !it.flags.mismatch),
            Kind::Busy
            | Kind::SwitchRejected
            | Kind::Closed
            | Kind::Invalid
            | Kind::ProviderRefused
            | Kind::NotSent
            | Kind::OutcomeUnknown => false,
            _ => true,
        },
        Answer::Broken => false,
    };
    let outcome = match answer {
        Answer::Given(created) => format!("{created:?}"),
        Answer::Refused(error) => format!("{error:?}"),
        Answer::Broken => "nothing".to_owned(),
    };
    let what = format!("{}: asked for {fee} fen of {owner:?}, told {outcome}", case.no);
    if wrong { vec![what] } else { Vec::new() }
}

/// What a client was given, when the order was `before`: no material again whose every attempt had
/// ended by then.
pub(super) fn ended(
    case: &Case,
    before: Option<&Order>,
    (item, replayed): (&Item, bool),
) -> Vec<String> {
    let attempts = before.iter().flat_map(|it| &it.attempts);
    let is_its = |it: &&Attempt| {
        it.method.provider() == item.provider
            && it.channel_no.as_str() == item.no
            && it.method.product == item.product
    };
    let mut its = attempts.filter(is_its).peekable();
    let has_ended = its.peek().is_some() && its.all(Attempt::is_ended);
    let what = format!("{}: {item:?} was given again, and has ended", case.no);
    if replayed && has_ended { vec![what] } else { Vec::new() }
}

/// The shop closed an order: no buyer can pay what a provider closes when it is asked to.
pub(super) fn closed(shared: &Shared, case: &Case) -> Vec<String> {
    let (now, ledger) = (shared.clock.now(), shared.providers.orders());
    let mut items = case.items();
    items.retain(|item| {
        let is_its = |it: &mock::SimulatedOrder| {
            let is_open = it.state == State::Unpaid && it.terms.expires > now;
            it.provider == item.provider && it.out_trade_no == item.no && is_open
        };
        is_closable(item.product) && ledger.iter().any(is_its)
    });
    items.iter().map(|it| format!("{} is closed, and {it:?} can be paid", case.no)).collect()
}

/// Whether a payment still counts as a mismatch, because a notification misstated it, and its
/// provider has yet to send the right one.
pub(super) fn is_contradicted(shared: &Shared) -> bool {
    let ledger = shared.providers.orders();
    shared.records.all().iter().flat_map(|it| &it.payments).any(|payment| {
        let mut paid = ledger.iter().filter(|it| {
            it.payments.iter().any(|it| *it.transaction_id == *payment.transaction_id.0)
        });
        let is_open = |it: &mock::SimulatedOrder| {
            let state = &it.payments[0].notification;
            state.acknowledged.is_none() && state.due.is_some()
        };
        payment.role == PaymentRole::Mismatch
            && paid.any(|it| {
                shared.irregularities.was_misstated(it.provider, &it.out_trade_no) && is_open(it)
            })
    })
}

/// The same request twice, when nothing happens between.
pub(super) fn stable(case: &Case, one: &Answer, again: &Answer) -> Vec<String> {
    let same = match (one, again) {
        (Answer::Given(one), Answer::Given(again)) => {
            let (one, outcome) = (order_info(one), order_info(again));
            let is_signed = outcome.is_string() || outcome.get("payUrl").is_some();
            again.replayed
                && (is_signed
                    || ["codeUrl", "package", "prepayid", "h5Url"]
                        .iter()
                        .all(|key| one.get(key) == outcome.get(key)))
        }
        (Answer::Refused(one), Answer::Refused(again)) => {
            let passing = matches!(one.kind(), Kind::OutcomeUnknown | Kind::Busy);
            one.kind() == again.kind() && !passing
        }
        _ => false,
    };
    let outcome = |answer: &Answer| match answer {
        Answer::Given(it) => format!("{it:?}"),
        Answer::Refused(error) => format!("{:?}", error.kind()),
        Answer::Broken => "nothing".to_owned(),
    };
    let what = format!("{}: told {}, then {}", case.no, outcome(one), outcome(again));
    if same { Vec::new() } else { vec![what] }
}

/// When nothing has gone wrong for longer than anything lives.
pub(super) fn quiet(shared: &Shared) -> Vec<String> {
    let ledger = shared.providers.orders();
    let mut found = Vec::new();
    for case in &shared.cases {
        let order = shared.records.order(&case.no);
        let trades = ledger.iter().filter(|it| it.terms.subject == case.subject);
        let is_another_programs = |it: &&mock::SimulatedOrder| {
            let mut attempts = order.iter().flat_map(|it| &it.attempts);
            // An attempt that never left does not show what stands at its provider.
            let is_reported = it.payments.iter().any(|it| !it.notification.deliveries.is_empty());
            let is_its = |attempt: &Attempt| {
                attempt.method.provider() == it.provider
                    && attempt.channel_no.as_str() == it.out_trade_no
                    && (attempt.state != AttemptState::NotSent || is_reported)
            };
            case.is_contested && !attempts.any(is_its)
        };
        let (others, trades): (Vec<_>, Vec<_>) = trades.partition(is_another_programs);
        // The buyer paid what the merchant sells under this number by another of its apps.
        if order.as_ref().is_some_and(|order| is_of_another_app(order, &trades)) {
            continue;
        }
        let mut said = settled(shared, (case, order.as_ref()), &trades);
        said.extend(money::unmatched(shared, &others));
        let heard = shared.shop.events_of(&case.no);
        if let Some(order) = order.as_ref() {
            said.extend(money::returned(order, &trades));
            if shared.shop.listens() {
                said.extend(money::heard(order, &heard));
                said.extend(money::balanced(order, &trades, &heard));
            }
        }
        let known = order.as_ref().map(summary);
        found.extend(said.into_iter().map(|it| format!("{}: {it}: {known:#?}", case.no)));
        let paid = trades.iter().filter(|it| it.state == State::Paid).count();
        shared.count(|it| {
            it.attempts += order.as_ref().map_or(0, |order| order.attempts.len() as u64);
            it.paid += u64::from(paid > 0);
            it.paid_twice += u64::from(paid > 1);
            it.refunds += order
                .as_ref()
                .map_or(0, |order| order.payments.iter().map(|it| it.refunds.len() as u64).sum());
            it.closed += u64::from(order.is_some_and(|it| it.status == OrderStatus::Closed));
            it.heard += heard.len() as u64;
        });
    }
    found
}

/// What the store knows, for the reader of a log.
pub(super) fn summary(order: &Order) -> Vec<String> {
    let attempt = |it: &Attempt| {
        let (n, no, product) = (it.n, &it.channel_no, it.method.product);
        let (state, expires) = (it.state.name(), it.expires_at.since(order.created_at));
        let marks = [(it.superseded, "superseded"), (it.handed_out, "handed out")];
        let marks: Vec<_> = marks.into_iter().filter(|it| it.0).map(|it| it.1).collect();
        format!("{n} {no:?} {product:?} {state}, expires after {expires} ms, {marks:?}")
    };
    let payment = |it: &Payment| format!("attempt {} paid, {:?}", it.attempt, it.role);
    let status = format!("{:?} {:?}", order.status, order.flags);
    let attempts = order.attempts.iter().map(attempt);
    [status].into_iter().chain(attempts).chain(order.payments.iter().map(payment)).collect()
}

/// Whether what arrived late at a provider made a trade by an app that the attempt, which took its
/// place under the number, is not of: its payment is for a person to judge, and known.
fn is_of_another_app(order: &Order, trades: &[&mock::SimulatedOrder]) -> bool {
    let mut mismatched = order.payments.iter().filter(|it| it.role == PaymentRole::Mismatch);
    mismatched.any(|payment| {
        let attempt = order.attempt(payment.attempt);
        let trade = trades.iter().find(|it| {
            it.payments.iter().any(|it| *it.transaction_id == *payment.transaction_id.0)
        });
        let apps = attempt.zip(trade).map(|(ours, its)| (&*ours.method.app_id, &*its.terms.app_id));
        apps.is_some_and(|(ours, its)| ours != its)
    })
}

/// What is wrong with an order in the end, by what the providers know of it.
pub(super) fn settled(
    shared: &Shared,
    (case, order): (&Case, Option<&Order>),
    trades: &[&mock::SimulatedOrder],
) -> Vec<String> {
    let Some(order) = order else {
        return match trades {
            [] => Vec::new(),
            _ => vec!["the providers know it, and the store does not".to_owned()],
        };
    };
    let mut found = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    let paid: Vec<_> = trades.iter().filter(|it| it.state == State::Paid).collect();
    let at = |provider| paid.iter().filter(|it| it.provider == provider).count();
    // What another program ordered nobody here can close.
    let is_contested = case.is_contested;
    must(is_contested || at(ProviderId::Wxpay) <= 1, "paid twice at WeChat Pay");
    // Under a number that is said to be taken nothing more can be ordered.
    let is_once = is_contested || at(ProviderId::Alipay) <= 1 || shared.was_lied_to(trades);
    must(is_once, "paid twice at Alipay");
    let unpreventable = |it: &&&&mock::SimulatedOrder| {
        it.provider == ProviderId::Alipay && !is_closable(it.terms.product)
    };
    let avoidable = !is_contested && paid.len() > 1 && !paid.iter().any(|it| unpreventable(&it));
    must(!avoidable, "paid twice, and something could have been closed");
    let is_attempt = |trade: &mock::SimulatedOrder| {
        order.attempts.iter().any(|it| {
            it.method.provider() == trade.provider && it.channel_no.as_str() == trade.out_trade_no
        })
    };
    let is_opened_here = is_contested || trades.iter().all(|it| is_attempt(it));
    must(is_opened_here, "a trade that no attempt opened");
    must(order.payments.len() == paid.len(), "payments that the providers know");
    let count = |role| order.payments.iter().filter(|it| it.role == role).count();
    let (winning, late) = (count(PaymentRole::Winning), count(PaymentRole::Late));
    let (duplicate, mismatch) = (count(PaymentRole::Duplicate), count(PaymentRole::Mismatch));
    let is_kept = |it: &&Payment| it.refunded() < it.total_fee.fen();
    let mut mismatches = order.payments.iter().filter(|it| it.role == PaymentRole::Mismatch);
    must(order.flags.mismatch == mismatches.any(|it| is_kept(&it)), "a mismatch is flagged");
    match order.status {
        OrderStatus::Open => must(mismatch == paid.len(), "paid there, and open here"),
        OrderStatus::Closed => must(late + mismatch == paid.len(), "paid there, and closed here"),
        OrderStatus::Paid | OrderStatus::PartRefunded | OrderStatus::Refunded => {
            must(winning == 1 && late == 0, "one payment wins, the others are duplicates");
        }
    }
    must(order.flags.duplicate_paid == (duplicate > 0), "a duplicate is flagged");
    must(order.flags.late_paid == (late > 0), "a late payment is flagged");
    must(!order.attempts.iter().any(|it| it.is_unknown()), "an outcome that stays unknown");
    must(!order.attempts.iter().any(|it| it.is_payable()), "an attempt that nobody ended");
    found.extend(paid.iter().flat_map(|it| known(shared, order, it)));
    found
}

/// What is wrong with what the store knows of a trade that was paid.
fn known(shared: &Shared, order: &Order, trade: &mock::SimulatedOrder) -> Vec<String> {
    let payment = &trade.payments[0];
    let known = order.payment(&TransactionId((&*payment.transaction_id).into()));
    let is_foreign = shared.irregularities.is_foreign(trade.provider, &trade.out_trade_no);
    let is_price = payment.amount == order.terms.total_fee;
    let Some(known) = known.filter(|it| it.total_fee == payment.amount) else {
        return vec!["a payment that nobody noticed".to_owned()];
    };
    let is_right = match known.role {
        PaymentRole::Winning | PaymentRole::Late => is_price && !is_foreign,
        PaymentRole::Mismatch => !is_price || is_foreign,
        PaymentRole::Duplicate => !is_foreign,
    };
    let what = format!("{:?} is the role of another payment", known.role);
    if is_right { Vec::new() } else { vec![what] }
}

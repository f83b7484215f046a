//! What to do with a request whose number is known: a pure decision, tested as a table.

use super::attempt::{Attempt, AttemptState};
use super::channel::Way;
use super::order::{Order, OrderStatus};
use super::request::Fingerprint;
use super::time::{MINUTE_MS, Millis};

/// The decision about one `createPayment` request for a known number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Other parameters under the same number: the names of the fields.
    Conflict(Vec<&'static str>),
    /// Paid, refunded, or holding a payment that does not match: vk-uni-pay's status number.
    Done(i8),
    /// Closed by `closePayment`.
    Closed,
    /// The material of attempt `n` again.
    Replay(u32),
    /// What became of attempt `n` is unknown: its provider must be asked before anything else.
    Ask(u32),
    /// The provider refused attempt `n`: it must be asked before another one opens.
    Refused(u32),
    /// The last attempt was never sent: open attempt `n` in its place.
    Open(u32),
    /// Attempt `n` is the same way, its material is stale, its trade is not.
    Reenter(u32),
    /// Within a minute of attempt `n`'s expiry, on either side.
    Wait(u32),
    /// Attempt `n` expired.
    Expired(u32),
    /// Another way to pay.
    Switch,
}

/// Judges a request with `fingerprint`, paying by `way`, for the known `order` at `now`.
///
/// Differences come before the status, the status before a replay.
#[must_use]
pub fn judge(order: &Order, fingerprint: &Fingerprint, way: &Way, now: Millis) -> Admission {
    let differences = order.fingerprint.differences(fingerprint);
    if !differences.is_empty() {
        return Admission::Conflict(differences);
    }
    match order.status {
        OrderStatus::Paid | OrderStatus::PartRefunded | OrderStatus::Refunded => {
            return Admission::Done(order.status.number());
        }
        OrderStatus::Open | OrderStatus::Closed if order.flags.mismatch => {
            return Admission::Done(order.status.number());
        }
        OrderStatus::Closed => return Admission::Closed,
        OrderStatus::Open => {}
    }
    judge_attempts(order, way, now)
}

fn judge_attempts(order: &Order, way: &Way, now: Millis) -> Admission {
    let replayable =
        order.attempts.iter().rev().find(|it| it.way == *way && material_valid(it, now));
    if let Some(attempt) = replayable {
        return Admission::Replay(attempt.n);
    }
    let latest = order.latest();
    match latest.state {
        AttemptState::Unsent => Admission::Open(latest.n),
        AttemptState::Prepared | AttemptState::Ambiguous { .. } | AttemptState::Absent => {
            Admission::Ask(latest.n)
        }
        AttemptState::Refused { .. } => Admission::Refused(latest.n),
        AttemptState::Paid => Admission::Done(OrderStatus::Paid.number()),
        AttemptState::Closed => Admission::Switch,
        AttemptState::Live { .. } => judge_live(latest, way, now),
    }
}

fn judge_live(latest: &Attempt, way: &Way, now: Millis) -> Admission {
    let left_ms = latest.expires.since(now);
    if left_ms < MINUTE_MS.saturating_neg() {
        Admission::Expired(latest.n)
    } else if latest.way != *way {
        Admission::Switch
    } else if left_ms <= MINUTE_MS {
        Admission::Wait(latest.n)
    } else {
        Admission::Reenter(latest.n)
    }
}

fn material_valid(attempt: &Attempt, now: Millis) -> bool {
    matches!(attempt.state, AttemptState::Live { valid_until, .. } if now < valid_until)
}

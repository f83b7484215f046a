//! What the next attempt of an order is called, and how long it may live.

use super::attempt::{Attempt, AttemptState};
use super::state::Order;
use crate::domain::channel::ProviderId;
use crate::domain::ids::ChannelNo;
use crate::domain::time::{MINUTE_MS, Millis};

/// The trade that an order's next attempt at a provider makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextAttempt {
    /// The attempt's number.
    pub n: u32,
    /// The number the provider will know it by.
    pub channel_no: ChannelNo,
    /// It must expire no later than this: it shares a trade with an attempt that does.
    pub expires_max: Option<Millis>,
}

/// The most attempts that may have handed out material for one order.
const HANDED_OUT_MAX: usize = 8;

/// The most attempts of one order, whatever became of them: a stranger who asks for one new way
/// to pay after another does not make its row grow without end. Who goes to and fro between the
/// same ways resumes the same attempts, and never gets here.
const ATTEMPTS_MAX: usize = 128;

impl Order {
    /// The trade of the next attempt at `provider`, once every live attempt was asked about and,
    /// where that is possible, ended. `None` when the order had attempts enough.
    ///
    /// The first attempt at a provider uses the order's own number. A number is used again where
    /// the provider has nothing under it, and, where attempts may share one
    /// ([`ProviderId::shares_numbers`]), while no trade exists and nothing expired. Every other
    /// number is burned.
    #[must_use]
    pub fn next_attempt(&self, provider: ProviderId, now: Millis) -> Option<NextAttempt> {
        let n = self.latest().n.saturating_add(1);
        let handed_out = self.attempts.iter().filter(|it| it.is_handed_out()).count();
        if handed_out >= HANDED_OUT_MAX || self.attempts.len() >= ATTEMPTS_MAX {
            return None;
        }
        let (out_trade_no, pid) = (self.out_trade_no(), &self.terms.pid);
        let at_provider = || self.attempts.iter().filter(|it| it.method.provider() == provider);
        let Some(last) = at_provider().next_back() else {
            return Some(NextAttempt {
                n,
                channel_no: ChannelNo::first(out_trade_no),
                expires_max: None,
            });
        };
        let sharing: Vec<&Attempt> = at_provider().filter(|it| it.shares_trade(last)).collect();
        let is_shareable = |it: &Attempt| provider.shares_numbers() && is_unscanned(it, now);
        let (channel_no, expires_max) =
            if sharing.iter().all(|it| has_no_trade(it) || is_shareable(it)) {
                let live = sharing.iter().filter(|it| it.is_payable());
                (last.channel_no.clone(), live.map(|it| it.expires_at).min())
            } else {
                (ChannelNo::derived(pid, out_trade_no, n), None)
            };
        Some(NextAttempt { n, channel_no, expires_max })
    }
}

/// Whether the provider has nothing under the number of an attempt: it was never sent, or the
/// provider said so when it was asked.
fn has_no_trade(attempt: &Attempt) -> bool {
    let is_free = matches!(attempt.state, AttemptState::NotSent | AttemptState::NotFound);
    is_free && !attempt.is_handed_out()
}

/// Whether an attempt that was asked about just now has no trade yet, and time for one.
fn is_unscanned(attempt: &Attempt, now: Millis) -> bool {
    let may_come = matches!(attempt.state, AttemptState::Payable { .. } | AttemptState::NotFound);
    may_come && !attempt.close_intended && attempt.expires_at.since(now) > MINUTE_MS
}

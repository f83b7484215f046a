//! The numbers and the expiry of an order's next attempt.

use std::ops::RangeInclusive;

use super::attempt::{Attempt, AttemptState};
use super::state::Order;
use crate::domain::channel::ProviderId;
use crate::domain::ids::ChannelNo;
use crate::domain::time::{DAY_MS, MINUTE_MS, Millis};

/// The trade that an order's next attempt at a provider makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextAttempt {
    /// The attempt's number.
    pub n: u32,
    /// The order number that the provider gets for it.
    pub channel_no: ChannelNo,
    /// The latest time at which it may expire: that of the attempts whose trade it shares.
    pub expires_max: Option<Millis>,
}

/// How long an order may stay open at a provider, in milliseconds: a buyer needs 5 minutes to pay,
/// and WeChat Pay keeps an order for 7 days at most.
pub(crate) const ORDER_TTL_MS: RangeInclusive<i64> =
    MINUTE_MS.saturating_mul(5)..=DAY_MS.saturating_mul(7);

/// The most attempts that may have handed out material for one order.
const HANDED_OUT_MAX: usize = 8;

/// The most attempts of one order, in any state, so that a client with ever new payment methods
/// cannot make its row grow without end. A buyer that alternates between the same methods resumes
/// the same attempts, and never reaches the limit.
const ATTEMPTS_MAX: usize = 128;

impl Order {
    /// The trade of the next attempt at `provider`, once paygate has queried every live attempt and
    /// closed it where that is possible. `None` when the order has reached its limit of attempts.
    ///
    /// The first attempt at a provider uses the order's own number. The next one uses the number
    /// again where the provider has nothing under it, and, where attempts may share one
    /// ([`ProviderId::shares_numbers`]), while no trade exists and nothing expired. Otherwise it
    /// gets a derived number.
    #[must_use]
    pub fn next_attempt(&self, provider: ProviderId, now: Millis) -> Option<NextAttempt> {
        let n = self.latest().n.saturating_add(1);
        let handed_out = self.attempts.iter().filter(|attempt| attempt.is_handed_out()).count();
        if handed_out >= HANDED_OUT_MAX || self.attempts.len() >= ATTEMPTS_MAX {
            return None;
        }
        let (out_trade_no, pid) = (self.out_trade_no(), &self.terms.pid);
        let at_provider =
            || self.attempts.iter().filter(|attempt| attempt.method.provider() == provider);
        let Some(last) = at_provider().next_back() else {
            return Some(NextAttempt {
                n,
                channel_no: ChannelNo::first(out_trade_no),
                expires_max: None,
            });
        };
        let sharing: Vec<&Attempt> =
            at_provider().filter(|attempt| attempt.shares_trade(last)).collect();
        let is_shareable =
            |attempt: &Attempt| provider.shares_numbers() && has_time_for_trade(attempt, now);
        let (channel_no, expires_max) =
            if sharing.iter().all(|attempt| has_no_trade(attempt) || is_shareable(attempt)) {
                let live = sharing.iter().filter(|attempt| attempt.is_payable());
                (last.channel_no.clone(), live.map(|attempt| attempt.expires_at).min())
            } else {
                (ChannelNo::derived(pid, out_trade_no, n), None)
            };
        Some(NextAttempt { n, channel_no, expires_max })
    }
}

/// Whether the provider has nothing under the number of an attempt: paygate never sent it, or the
/// provider answered so in the last query.
fn has_no_trade(attempt: &Attempt) -> bool {
    let is_free = matches!(attempt.state, AttemptState::NotSent | AttemptState::NotFound);
    is_free && !attempt.is_handed_out()
}

/// Whether an attempt that paygate has just queried has no trade yet, and time for one.
fn has_time_for_trade(attempt: &Attempt, now: Millis) -> bool {
    let may_exist = matches!(attempt.state, AttemptState::Payable { .. } | AttemptState::NotFound);
    may_exist && !attempt.close_intended && attempt.has_time(now)
}

//! What a world held, and what all worlds of a run did.

use super::coverage::Coverage;

/// What a world held.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) log: Vec<String>,
    pub(super) violations: Vec<String>,
    pub(super) orders: u64,
    pub(super) answers: u64,
    pub(super) calls: u64,
    /// How many attempts the orders had in the end.
    pub(super) attempts: u64,
    pub(super) paid: u64,
    pub(super) paid_twice: u64,
    pub(super) refunds: u64,
    pub(super) closed: u64,
    /// How many events the shop got.
    pub(super) heard: u64,
    pub(super) crashes: u64,
    /// How many buyers went to the other provider during an outage, and how many of them could
    /// pay there.
    pub(super) turned: u64,
    pub(super) served: u64,
    pub(super) coverage: Coverage,
}

impl Report {
    pub(super) fn add_to(&self, total: &mut Total) {
        total.orders += self.orders;
        total.answers += self.answers;
        total.calls += self.calls;
        total.attempts += self.attempts;
        total.paid += self.paid;
        total.paid_twice += self.paid_twice;
        total.refunds += self.refunds;
        total.closed += self.closed;
        total.heard += self.heard;
        total.crashes += self.crashes;
        total.turned += self.turned;
        total.served += self.served;
    }
}

/// What all worlds of a run held.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub(super) orders: u64,
    pub(super) answers: u64,
    pub(super) calls: u64,
    pub(super) attempts: u64,
    pub(super) paid: u64,
    pub(super) paid_twice: u64,
    pub(super) refunds: u64,
    pub(super) closed: u64,
    pub(super) heard: u64,
    pub(super) crashes: u64,
    /// How many buyers went to the other provider during an outage, and how many of them could
    /// pay there.
    pub(super) turned: u64,
    pub(super) served: u64,
    /// The worlds that broke the promise.
    pub(super) violated: Vec<u64>,
}

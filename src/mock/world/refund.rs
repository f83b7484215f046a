//! Money that goes back to a buyer, as a provider knows it.

use serde::{Deserialize, Serialize};

use super::Providers;
use super::faults::FaultKind;
use super::ledger::{Order, Payment};
use super::notice::Notice;
use super::numbers;
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;
use crate::mock::notifier;

/// Money on its way back, or back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The merchant's number: `out_refund_no`, `out_request_no`.
    pub out_refund_no: String,
    /// WeChat Pay's number; Alipay gives none.
    pub refund_id: Option<String>,
    /// In fen.
    pub amount: Fen,
    /// Why, for the buyer.
    pub reason: Option<String>,
    /// Where it stands. Alipay has no `ABNORMAL`, and tells nothing of what is `CLOSED`.
    pub state: RefundState,
    /// When it was taken.
    pub asked: Millis,
    /// Until when it is `PROCESSING`.
    pub ends: Millis,
    /// What it is from then on.
    pub ends_as: RefundState,
    /// When the buyer had it.
    pub refunded_at: Option<Millis>,
    /// Whether somebody made it in the provider's console.
    pub from_console: bool,
    /// Whether WeChat Pay reports it as it did before V3, so that nobody can read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_told_in_xml: bool,
    /// How many calls for it were accepted: it goes back once.
    pub calls: u32,
    /// What the shop was told of it.
    pub notice: Notice,
}

/// How refunds go, until it is said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refunding {
    /// How long WeChat Pay takes, in milliseconds. Alipay takes no time.
    pub takes_ms: u32,
    /// Whether Alipay tells the shop of refunds: it depends on the contract.
    pub alipay_tells: bool,
}

impl Default for Refunding {
    fn default() -> Refunding {
        Refunding { takes_ms: 3_000, alipay_tells: true }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(in crate::mock) struct Asked {
    pub(in crate::mock) out_refund_no: String,
    pub(in crate::mock) amount: Fen,
    pub(in crate::mock) reason: Option<String>,
    /// Where WeChat Pay reports it. Alipay reports to where it reported the payment.
    pub(in crate::mock) notify_url: Option<String>,
    pub(in crate::mock) from_console: bool,
}

/// How a refund ends that is to end as `state`. Alipay has nothing between success and failure.
pub(in crate::mock) fn end_of(provider: ProviderId, state: RefundState) -> RefundState {
    match (provider, state) {
        (ProviderId::Alipay, RefundState::Abnormal) => RefundState::Closed,
        (_, state) => state,
    }
}

/// A refund that is taken at `now`: it ends as the faults to come say.
pub(in crate::mock) fn taken(
    providers: &Providers,
    order: &Order,
    asked: Asked,
    now: Millis,
) -> Refund {
    let provider = order.provider;
    let refunding = providers.refunding();
    let happens = |matches_order: fn(&FaultKind) -> bool| {
        providers.faults().take_of_refund(provider, matches_order)
    };
    let ends_as = match happens(|it| matches!(it, FaultKind::RefundEnds { .. })) {
        Some(FaultKind::RefundEnds { state }) => end_of(provider, state),
        _ => RefundState::Success,
    };
    let slow = happens(|it| matches!(it, FaultKind::RefundSlow { .. }));
    let takes_ms = match (slow, provider) {
        (Some(FaultKind::RefundSlow { ms }), _) => i64::from(ms),
        (_, ProviderId::Wxpay) => i64::from(refunding.takes_ms),
        (_, ProviderId::Alipay) => 0,
    };
    let ends = now.plus(takes_ms);
    let is_told = match provider {
        ProviderId::Wxpay => true,
        ProviderId::Alipay => refunding.alipay_tells && ends_as == RefundState::Success,
    };
    let url = match provider {
        ProviderId::Wxpay => asked.notify_url,
        ProviderId::Alipay => notifier::url_of(order),
    };
    let mut refund = Refund {
        out_refund_no: asked.out_refund_no,
        refund_id: (provider == ProviderId::Wxpay).then(|| numbers::refund_id(now)),
        amount: asked.amount,
        reason: asked.reason,
        state: RefundState::Processing,
        asked: now,
        ends,
        ends_as,
        refunded_at: None,
        from_console: asked.from_console,
        is_told_in_xml: false,
        calls: u32::from(!asked.from_console),
        notice: notifier::notice_of_refund(providers, provider, (url.filter(|_| is_told), ends)),
    };
    refund.settle(now);
    refund
}

impl Refund {
    /// Ends it, if its time has come by `now`.
    pub(in crate::mock) fn settle(&mut self, now: Millis) {
        if self.state == RefundState::Processing && self.ends <= now {
            self.end(self.ends_as, self.ends);
        }
    }

    /// Ends it as `state`.
    pub(in crate::mock) fn end(&mut self, state: RefundState, at: Millis) {
        self.state = state;
        self.refunded_at = (state == RefundState::Success).then(|| at.floor_to_second());
    }

    /// Whether what it is of is not free to go back by another.
    fn holds(&self) -> bool {
        self.state != RefundState::Closed
    }
}

impl Payment {
    /// What of it the buyer has back, in fen.
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.sum(|it| it.state == RefundState::Success)
    }

    /// What of it is on its way back, or waits for a person, in fen.
    #[must_use]
    pub fn returning(&self) -> u64 {
        self.sum(|it| it.holds() && it.state != RefundState::Success)
    }

    /// What can still go back, in fen.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.amount.fen().saturating_sub(self.sum(Refund::holds))
    }

    /// Whether a query tells that money goes back.
    pub(in crate::mock) fn is_refunded(&self) -> bool {
        self.refunds.iter().any(Refund::holds)
    }

    /// Whether all of it went back.
    pub(in crate::mock) fn is_returned(&self) -> bool {
        self.returned() >= self.amount.fen()
    }

    /// What went back by `refund` and all before it, in fen.
    pub(in crate::mock) fn returned_by(&self, refund: &Refund) -> u64 {
        let at = |it: &Refund| (it.refunded_at, it.asked);
        self.sum(|it| it.state == RefundState::Success && at(it) <= at(refund))
    }

    /// When the last refund was taken.
    pub(in crate::mock) fn last_refund(&self) -> Option<Millis> {
        self.refunds.iter().map(|it| it.asked).max()
    }

    /// The refund with this number.
    #[must_use]
    pub fn refund(&self, out_refund_no: &str) -> Option<&Refund> {
        self.refunds.iter().find(|it| it.out_refund_no == out_refund_no)
    }

    fn sum(&self, counts: impl Fn(&Refund) -> bool) -> u64 {
        let counted = self.refunds.iter().filter(|it| counts(it));
        counted.fold(0, |sum, it| sum.saturating_add(it.amount.fen()))
    }
}

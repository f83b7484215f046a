//! What there is to exercise, by name: each list comes of the same arms as a match without a
//! wildcard, so that a new variant does not compile until it has its name here.

use paygate::domain::{EventType, Material, ProviderId, RefundState, RefundStatus};
use paygate::mock::FaultKind;
use paygate::provider::{
    CloseOutcome, Failure, Notification, NotificationError, RefundFee, RefundNotification,
    TradeState,
};
use paygate::store::{Claim, Committed, EventUpdate};

/// A list of names, and the function that gives a value its name.
macro_rules! kinds {
    ($name:ident, $all:ident: $kind:ty, $type:ty { $($variant:pat => $value:expr,)* }) => {
        /// Every one of them.
        pub(super) const $all: &[$kind] = &[$($value),*];

        pub(super) fn $name(it: &$type) -> $kind {
            match it {
                $($variant => $value,)*
            }
        }
    };
}

/// The operations of a provider that the engine calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Create,
    Query,
    Close,
    Refund,
    RefundQuery,
}

kinds! { operation, OPERATIONS: (What, &'static str), What {
    What::Create => (What::Create, "create"),
    What::Query => (What::Query, "query"),
    What::Close => (What::Close, "close"),
    What::Refund => (What::Refund, "refund"),
    What::RefundQuery => (What::RefundQuery, "refund_query"),
} }

impl What {
    pub(super) fn name(self) -> &'static str {
        operation(&self).1
    }

    /// What a call of it can come to.
    pub(super) fn answers(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            What::Create => MATERIALS,
            What::Query => TRADE_STATES,
            What::Close => CLOSES,
            What::Refund => REFUND_STATES,
            What::RefundQuery => &[REFUND_STATES, &[NO_REFUND]].concat(),
        };
        [own, FAILURES].concat()
    }
}

kinds! { provider, PROVIDERS: (ProviderId, &'static str), ProviderId {
    ProviderId::Wxpay => (ProviderId::Wxpay, "wxpay"),
    ProviderId::Alipay => (ProviderId::Alipay, "alipay"),
} }

/// How a query answers about a refund that is not there.
pub(super) const NO_REFUND: &str = "none";

kinds! { material, MATERIALS: &'static str, Material {
    Material::Prepay { .. } => "prepay_id",
    Material::QrCode { .. } => "qr_code",
    Material::H5 { .. } => "h5_url",
    Material::Trade { .. } => "trade_no",
    Material::Signed => "signed",
} }

kinds! { trade_state, TRADE_STATES: &'static str, TradeState {
    TradeState::NotFound { .. } => "not_found",
    TradeState::Unpaid { .. } => "unpaid",
    TradeState::Closed => "closed",
    TradeState::Paid(paygate::provider::PaidTrade { matches_order: false, .. }) => "paid_mismatch",
    TradeState::Paid(paygate::provider::PaidTrade { refunded: true, .. }) => "paid_and_refunded",
    TradeState::Paid(_) => "paid",
} }

kinds! { close_outcome, CLOSES: &'static str, CloseOutcome {
    CloseOutcome::Closed => "closed",
    CloseOutcome::NotFound => "not_found",
    CloseOutcome::Paid => "paid",
    CloseOutcome::TooEarly => "too_early",
} }

kinds! { refund_state, REFUND_STATES: &'static str, RefundState {
    RefundState::Processing => "processing",
    RefundState::Success => "success",
    RefundState::Abnormal => "abnormal",
    RefundState::Closed => "closed",
} }

kinds! { failure, FAILURES: &'static str, Failure {
    Failure::Refused { .. } => "refused",
    Failure::NumberInUse { .. } => "number_in_use",
    Failure::Throttled { .. } => "throttled",
    Failure::NotSent(_) | Failure::Unverifiable { .. } => "not_sent",
    Failure::OutcomeUnknown { provider_error: None, .. } => "unknown",
    Failure::OutcomeUnknown { provider_error: Some(_), .. } => "unknown_by_an_unsigned_answer",
} }

kinds! { notification, NOTIFICATIONS: &'static str, Notification {
    Notification::Payment { .. } => "payment",
    Notification::OtherCurrencyPayment { .. } => "payment_in_another_currency",
    Notification::Refund(RefundNotification { out_refund_no: None, .. }) => "refund_without_number",
    Notification::Refund(RefundNotification { refund_fee: RefundFee::This(_), .. }) =>
        "refund_with_amount",
    Notification::Refund(RefundNotification { refund_fee: RefundFee::Total(_), .. }) =>
        "refund_with_total",
    Notification::Refund(RefundNotification { refund_fee: RefundFee::Unknown, .. }) =>
        "refund_without_amount",
    Notification::Other { .. } => "other",
} }

kinds! { unread, UNREAD: &'static str, NotificationError {
    NotificationError::Forged { .. } => "forged",
    NotificationError::Unreadable { .. } => "unreadable",
} }

/// What a fault of the simulated providers happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hits {
    AnyCall,
    /// A call about a trade that a buyer can pay.
    Trades,
    /// A refund, and a query about one if `true`.
    Refunds(bool),
    Payments,
    /// Nothing here: `irregular` brings the same about, for the trades that it chooses.
    Irregular,
}

kinds! { fault, FAULTS: (&'static str, Hits), FaultKind {
    FaultKind::LoseRequest => ("lose_request", Hits::AnyCall),
    FaultKind::LoseReply => ("lose_reply", Hits::AnyCall),
    FaultKind::Delay { .. } => ("delay", Hits::AnyCall),
    FaultKind::Refuse(_) => ("refuse", Hits::AnyCall),
    FaultKind::Status500 => ("status_500", Hits::AnyCall),
    FaultKind::BadSignature => ("bad_signature", Hits::AnyCall),
    FaultKind::Unsigned => ("unsigned", Hits::AnyCall),
    FaultKind::Malformed => ("malformed", Hits::AnyCall),
    FaultKind::Reset => ("reset", Hits::AnyCall),
    FaultKind::Late { .. } => ("late", Hits::AnyCall),
    FaultKind::PayFirst => ("pay_first", Hits::Trades),
    FaultKind::PayBeforeReply { .. } => ("pay_before_reply", Hits::Trades),
    FaultKind::NotEnough => ("not_enough", Hits::Refunds(false)),
    FaultKind::TooSoon => ("too_soon", Hits::Refunds(true)),
    FaultKind::RefundSlow { .. } => ("refund_slow", Hits::Refunds(false)),
    FaultKind::RefundEnds { .. } => ("refund_ends", Hits::Refunds(false)),
    FaultKind::WrongAmount => ("wrong_amount", Hits::Payments),
    FaultKind::ForeignCurrency => ("foreign_currency", Hits::Irregular),
    FaultKind::NotifyNever => ("notify_never", Hits::Payments),
    FaultKind::NotifyTwice => ("notify_twice", Hits::Payments),
    FaultKind::NotifySlow { .. } => ("notify_slow", Hits::Payments),
    FaultKind::NotifyWrongKey => ("notify_wrong_key", Hits::Payments),
    FaultKind::NotifyProbe => ("notify_probe", Hits::Payments),
} }

/// No connection: what happens to a call on its way, before a provider can do anything about it.
pub(super) const NO_ROUTE: &str = "no_route";

/// Every fault that a call of `what` can meet.
pub(super) fn faults_of(what: What) -> Vec<&'static str> {
    let is_its = |hits: Hits| match hits {
        Hits::AnyCall => true,
        Hits::Trades => matches!(what, What::Create | What::Query | What::Close),
        Hits::Refunds(queries) => what == What::Refund || (queries && what == What::RefundQuery),
        Hits::Payments | Hits::Irregular => false,
    };
    let of_providers = FAULTS.iter().filter(|it| is_its(it.1)).map(|it| it.0);
    of_providers.chain([NO_ROUTE]).collect()
}

/// Every fault of a payment and its notification.
pub(super) fn faults_of_payments() -> impl Iterator<Item = &'static str> {
    FAULTS.iter().filter(|it| it.1 == Hits::Payments).map(|it| it.0)
}

kinds! { claim, CLAIMS: &'static str, Claim {
    Claim::Fresh => "claim fresh",
    Claim::Existing(_) => "claim existing",
} }

kinds! { committed, COMMITS: &'static str, Committed {
    Committed::Done => "commit done",
    Committed::OtherVersion(_) => "commit other_version",
    Committed::Lost => "commit lost",
} }

kinds! { event_update, EVENT_UPDATES: &'static str, EventUpdate {
    EventUpdate::Done => "outbox done",
    EventUpdate::Missing => "outbox missing",
    EventUpdate::Lost => "outbox lost",
} }

kinds! { event, EVENTS: &'static str, EventType {
    EventType::PaymentSucceeded => "payment.succeeded",
    EventType::PaymentDuplicate => "payment.duplicate",
    EventType::DuplicateRefunded => "duplicate.refunded",
    EventType::PaymentLate => "payment.late",
    EventType::LateRefunded => "late.refunded",
    EventType::PaymentMismatch => "payment.mismatch",
    EventType::PaymentUnmatched => "payment.unmatched",
    EventType::RefundSucceeded => "refund.succeeded",
    EventType::RefundAbnormal => "refund.abnormal",
    EventType::RefundClosed => "refund.closed",
} }

/// What a query about a refund answers.
pub(super) fn refund_answer(status: &RefundStatus) -> &'static str {
    refund_state(&status.state)
}

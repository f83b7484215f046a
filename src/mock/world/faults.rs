//! Faults on demand: they spoil the next calls, payments, refunds and notifications.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::channel::ProviderId;
use crate::domain::order::refund::RefundState;

/// A fault that happens to the next calls, payments, refunds or notifications that match it.
///
/// As JSON: `{"provider":"wxpay","operation":"create","fault":"lose_reply","times":2}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedFault {
    /// The provider to which it happens; both when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    /// The operation to which it happens; every operation when absent. A fault of payments names
    /// none, as payments are no calls. A fault of notifications happens to those of payments and
    /// refunds when absent, and only to those of refunds when it is
    /// [`ProviderOperation::Refund`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<ProviderOperation>,
    /// The kind of the fault.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// How many times it happens; 1 when absent.
    #[serde(default = "one_time")]
    pub times: u32,
}

/// The operation that a call requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderOperation {
    /// An order of any product.
    Create,
    /// A query.
    Query,
    /// A close.
    Close,
    /// A refund; a fault with it also happens to refunds' notifications.
    Refund,
    /// A query of a refund.
    RefundQuery,
    /// WeChat Pay's platform certificates.
    Certificates,
    /// Alipay's wap and page products.
    Page,
}

impl ProviderOperation {
    /// The name in JSON.
    pub(in crate::mock) fn name(self) -> &'static str {
        match self {
            ProviderOperation::Create => "create",
            ProviderOperation::Query => "query",
            ProviderOperation::Close => "close",
            ProviderOperation::Refund => "refund",
            ProviderOperation::RefundQuery => "refund_query",
            ProviderOperation::Certificates => "certificates",
            ProviderOperation::Page => "page",
        }
    }
}

/// The kind of a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum FaultKind {
    /// The provider never gets the request; the connection ends without an answer.
    LoseRequest,
    /// The provider acts; the connection ends without an answer.
    LoseReply,
    /// The provider acts, and answers so many milliseconds later.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// The provider refuses and does not act.
    Refuse(Refuse),
    /// The provider acts, and answers with HTTP status 500.
    #[serde(rename = "status_500")]
    Status500,
    /// The provider acts; the reply's signature is over another text.
    BadSignature,
    /// The provider acts; the reply carries no signature.
    Unsigned,
    /// The provider acts; the reply is cut off in the middle, and the signature fits what is left.
    Malformed,
    /// The provider never gets the request; the connection is reset.
    Reset,
    /// The connection ends without an answer, and the provider gets the request so many
    /// milliseconds later.
    Late {
        /// Milliseconds; WeChat Pay refuses a request that is five minutes late (V3,
        /// `timestamp`).
        ms: u32,
    },
    /// The provider does not act: the merchant's account has not enough money for the refund.
    NotEnough,
    /// The provider does not act: the merchant must repeat the refund, or its query, later.
    TooSoon,
    /// The next refund takes so many milliseconds, at Alipay too.
    RefundSlow {
        /// Milliseconds.
        ms: u32,
    },
    /// The provider accepts the next refund, which ends in this state. Alipay does not notify of
    /// one that ends `ABNORMAL` or `CLOSED`.
    RefundEnds {
        /// `ABNORMAL`, `CLOSED`, `SUCCESS`.
        state: RefundState,
    },
    /// A buyer pays with the last code of the order, just before the provider acts.
    PayFirst,
    /// The provider acts; a buyer pays at once, and the provider answers so many milliseconds
    /// later: the notification comes before the answer.
    PayBeforeReply {
        /// Milliseconds.
        ms: u64,
    },
    /// The next payment is one fen more than the amount of the order.
    WrongAmount,
    /// A buyer pays WeChat Pay's next payment in US dollars, of which the amount is as many cents.
    ForeignCurrency,
    /// The provider does not notify of the next payment or refund.
    NotifyNever,
    /// The provider notifies of the next payment or refund twice at once.
    NotifyTwice,
    /// The provider notifies of the next payment or refund so many milliseconds later.
    NotifySlow {
        /// Milliseconds.
        ms: u32,
    },
    /// The provider sends one that another key signed before the next notification.
    NotifyWrongKey,
    /// WeChat Pay probes whether the shop verifies signatures before the next notification.
    NotifyProbe,
}

/// A refusal on demand. WeChat Pay answers `code` with its HTTP `status`. Alipay answers an `ACQ.`
/// code as a signed business failure, and a five-digit one as an unsigned failure of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// The provider's code.
    pub code: String,
    /// The provider's message.
    pub message: String,
    /// The HTTP status, where it is not the usual one of the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl FaultKind {
    /// How much later than usual the provider answers.
    pub(in crate::mock) fn delay(&self) -> Duration {
        match self {
            FaultKind::Delay { ms } | FaultKind::PayBeforeReply { ms } => {
                Duration::from_millis(*ms)
            }
            _ => Duration::ZERO,
        }
    }

    /// Whether it can happen to a call that requests `operation`.
    fn happens_to(&self, operation: ProviderOperation) -> bool {
        match self {
            FaultKind::NotEnough => operation == ProviderOperation::Refund,
            FaultKind::TooSoon => {
                matches!(operation, ProviderOperation::Refund | ProviderOperation::RefundQuery)
            }
            _ => !self.is_of_payments(),
        }
    }

    /// Whether it happens to payments, refunds and their notifications, and not to the merchant's
    /// calls.
    fn is_of_payments(&self) -> bool {
        match self {
            FaultKind::WrongAmount
            | FaultKind::ForeignCurrency
            | FaultKind::NotifyNever
            | FaultKind::NotifyTwice
            | FaultKind::NotifySlow { .. }
            | FaultKind::NotifyWrongKey
            | FaultKind::NotifyProbe
            | FaultKind::RefundSlow { .. }
            | FaultKind::RefundEnds { .. } => true,
            FaultKind::LoseRequest
            | FaultKind::LoseReply
            | FaultKind::Delay { .. }
            | FaultKind::Refuse(_)
            | FaultKind::Status500
            | FaultKind::BadSignature
            | FaultKind::Unsigned
            | FaultKind::Malformed
            | FaultKind::Reset
            | FaultKind::Late { .. }
            | FaultKind::NotEnough
            | FaultKind::TooSoon
            | FaultKind::PayFirst
            | FaultKind::PayBeforeReply { .. } => false,
        }
    }
}

/// The faults that have not happened yet, in the order in which they were added.
#[derive(Debug, Default)]
pub(in crate::mock) struct Faults(Vec<SimulatedFault>);

impl Faults {
    pub(in crate::mock) fn add(&mut self, fault: SimulatedFault) {
        self.0.push(fault);
    }

    pub(in crate::mock) fn clear(&mut self) {
        self.0.clear();
    }

    pub(in crate::mock) fn pending(&self) -> Vec<SimulatedFault> {
        self.0.clone()
    }

    /// Takes the first fault that matches this call.
    pub(in crate::mock) fn take(
        &mut self,
        provider: ProviderId,
        operation: ProviderOperation,
    ) -> Option<FaultKind> {
        self.take_first(|fault| {
            fault.kind.happens_to(operation)
                && fault.provider.is_none_or(|wanted| wanted == provider)
                && fault.operation.is_none_or(|wanted| wanted == operation)
        })
    }

    /// Takes the first fault of payments at `provider` for which `is_wanted` holds.
    pub(in crate::mock) fn take_of_payment(
        &mut self,
        provider: ProviderId,
        is_wanted: impl Fn(&FaultKind) -> bool,
    ) -> Option<FaultKind> {
        self.take_first(|fault| {
            fault.operation != Some(ProviderOperation::Refund)
                && fault.provider.is_none_or(|wanted| wanted == provider)
                && is_wanted(&fault.kind)
        })
    }

    /// Takes the first fault of refunds at `provider` for which `is_wanted` holds.
    pub(in crate::mock) fn take_of_refund(
        &mut self,
        provider: ProviderId,
        is_wanted: impl Fn(&FaultKind) -> bool,
    ) -> Option<FaultKind> {
        self.take_first(|fault| {
            fault.operation.is_none_or(|wanted| wanted == ProviderOperation::Refund)
                && fault.provider.is_none_or(|wanted| wanted == provider)
                && is_wanted(&fault.kind)
        })
    }

    fn take_first(&mut self, is_wanted: impl Fn(&SimulatedFault) -> bool) -> Option<FaultKind> {
        self.0.retain(|fault| fault.times > 0);
        let fault = self.0.iter_mut().find(|fault| is_wanted(fault))?;
        fault.times -= 1;
        Some(fault.kind.clone())
    }
}

fn one_time() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_many_times_as_it_names_and_only_to_calls_that_match() {
        let mut faults = Faults::default();
        let json = r#"{"provider":"wxpay","operation":"create","fault":"delay","ms":5,"times":2}"#;
        faults.add(serde_json::from_str(json).unwrap());
        assert_eq!(faults.take(ProviderId::Alipay, ProviderOperation::Create), None);
        assert_eq!(faults.take(ProviderId::Wxpay, ProviderOperation::Query), None);
        for _ in 0..2 {
            let fault = faults.take(ProviderId::Wxpay, ProviderOperation::Create);
            assert_eq!(fault, Some(FaultKind::Delay { ms: 5 }));
        }
        assert_eq!(faults.take(ProviderId::Wxpay, ProviderOperation::Create), None);
    }

    #[test]
    fn every_fault_has_its_name_in_json() {
        let names = [
            "lose_request",
            "lose_reply",
            "status_500",
            "bad_signature",
            "unsigned",
            "malformed",
            "reset",
            "not_enough",
            "too_soon",
            "pay_first",
            "wrong_amount",
            "foreign_currency",
            "notify_never",
            "notify_twice",
            "notify_wrong_key",
            "notify_probe",
        ];
        for name in names {
            let fault: SimulatedFault =
                serde_json::from_str(&format!(r#"{{"fault":"{name}"}}"#)).unwrap();
            assert_eq!((fault.times, fault.provider, fault.operation), (1, None, None));
        }
        let refuse = r#"{"fault":"refuse","code":"FREQUENCY_LIMITED","message":"later"}"#;
        assert!(serde_json::from_str::<SimulatedFault>(refuse).is_ok());
        assert!(serde_json::from_str::<SimulatedFault>(r#"{"fault":"explode"}"#).is_err());
    }
}

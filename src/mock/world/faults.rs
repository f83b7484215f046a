//! Faults on demand: what goes wrong with the next calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::channel::ProviderId;
use crate::domain::order::refund::RefundState;

/// Something that goes wrong with the next calls it fits.
///
/// As JSON: `{"provider":"wxpay","operation":"create","fault":"lose_reply","times":2}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Calls to this provider; to both when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    /// Calls of this kind; all when absent. Payments are no calls: what goes wrong with them names
    /// none. What goes wrong with notifications happens to payments' and refunds' when absent, and
    /// to refunds' only when it is [`Operation::Refund`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// With how many calls; 1 when absent.
    #[serde(default = "once")]
    pub times: u32,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// An order of any product.
    Create,
    /// A query.
    Query,
    /// A close.
    Close,
    /// A refund; also what goes wrong with refunds and their notifications only.
    Refund,
    /// A query of a refund.
    RefundQuery,
    /// WeChat Pay's platform certificates.
    Certificates,
    /// Alipay's wap and page products.
    Page,
}

impl Operation {
    /// The name in JSON.
    pub(in crate::mock) fn name(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Query => "query",
            Operation::Close => "close",
            Operation::Refund => "refund",
            Operation::RefundQuery => "refund_query",
            Operation::Certificates => "certificates",
            Operation::Page => "page",
        }
    }
}

/// What goes wrong.
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
    /// The provider does not act and refuses.
    Refuse(Refuse),
    /// The provider acts, and answers with HTTP status 500.
    #[serde(rename = "status_500")]
    Status500,
    /// The provider acts; the reply's signature is over something else.
    BadSignature,
    /// The provider acts; the reply carries no signature.
    Unsigned,
    /// The provider acts; the reply, rightly signed, is cut off in the middle.
    Malformed,
    /// The provider never gets the request; the connection is reset.
    Reset,
    /// The connection ends without an answer, and the provider gets the request so many
    /// milliseconds later.
    Late {
        /// Milliseconds; a request that is five minutes late is no longer taken (WeChat Pay V3,
        /// `timestamp`).
        ms: u32,
    },
    /// The provider does not act: there is not enough in the merchant's account to send back.
    NotEnough,
    /// The provider does not act: the same refund, or query of one, is to come later.
    TooSoon,
    /// The next refund takes so many milliseconds, at Alipay too.
    RefundSlow {
        /// Milliseconds.
        ms: u32,
    },
    /// The next refund is taken, and ends so. Alipay tells nothing of one that ends `ABNORMAL` or
    /// `CLOSED`.
    RefundEnds {
        /// `ABNORMAL`, `CLOSED`, `SUCCESS`.
        state: RefundState,
    },
    /// A buyer pays with what was handed out last for the number, just before the provider acts.
    PayFirst,
    /// The provider acts; a buyer pays at once, and the provider answers so many milliseconds
    /// later: the notification comes before the answer.
    PayBeforeReply {
        /// Milliseconds.
        ms: u64,
    },
    /// The next payment is of one fen more than was ordered.
    WrongAmount,
    /// The shop is never told of the next payment or refund.
    NotifyNever,
    /// The shop is told of the next payment or refund twice at once.
    NotifyTwice,
    /// The shop is told of the next payment or refund so many milliseconds later.
    NotifySlow {
        /// Milliseconds.
        ms: u32,
    },
    /// Before the next notification comes one that another key signed.
    NotifyWrongKey,
    /// Before the next notification WeChat Pay tries whether the shop checks signatures.
    NotifyProbe,
}

/// A refusal on demand. WeChat Pay: `code` with the HTTP `status` that belongs to it. Alipay: an
/// `ACQ.` code is a signed business failure, a five-digit one an unsigned failure of the gateway.
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
    /// How much later than usual the answer comes.
    pub(in crate::mock) fn delay(&self) -> Duration {
        match self {
            FaultKind::Delay { ms } | FaultKind::PayBeforeReply { ms } => {
                Duration::from_millis(*ms)
            }
            _ => Duration::ZERO,
        }
    }

    /// Whether it can happen to a call of this kind.
    fn matches_order(&self, operation: Operation) -> bool {
        match self {
            FaultKind::NotEnough => operation == Operation::Refund,
            FaultKind::TooSoon => matches!(operation, Operation::Refund | Operation::RefundQuery),
            _ => !self.is_of_money(),
        }
    }

    /// Whether it happens to payments, refunds and their notifications, and not to the merchant's
    /// calls.
    fn is_of_money(&self) -> bool {
        match self {
            FaultKind::WrongAmount
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

/// The faults that are still to happen, in the order they were asked for.
#[derive(Debug, Default)]
pub(in crate::mock) struct Faults(Vec<Fault>);

impl Faults {
    pub(in crate::mock) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(in crate::mock) fn clear(&mut self) {
        self.0.clear();
    }

    pub(in crate::mock) fn pending(&self) -> Vec<Fault> {
        self.0.clone()
    }

    /// Uses up the first fault that fits this call.
    pub(in crate::mock) fn take(
        &mut self,
        provider: ProviderId,
        operation: Operation,
    ) -> Option<FaultKind> {
        self.first(|fault| {
            fault.kind.matches_order(operation)
                && fault.provider.is_none_or(|it| it == provider)
                && fault.operation.is_none_or(|it| it == operation)
        })
    }

    /// Uses up the first fault of payments at `provider` that `fits`.
    pub(in crate::mock) fn take_of_payment(
        &mut self,
        provider: ProviderId,
        matches_order: impl Fn(&FaultKind) -> bool,
    ) -> Option<FaultKind> {
        self.first(|fault| {
            fault.operation != Some(Operation::Refund)
                && fault.provider.is_none_or(|it| it == provider)
                && matches_order(&fault.kind)
        })
    }

    /// Uses up the first fault of refunds at `provider` that `fits`.
    pub(in crate::mock) fn take_of_refund(
        &mut self,
        provider: ProviderId,
        matches_order: impl Fn(&FaultKind) -> bool,
    ) -> Option<FaultKind> {
        self.first(|fault| {
            fault.operation.is_none_or(|it| it == Operation::Refund)
                && fault.provider.is_none_or(|it| it == provider)
                && matches_order(&fault.kind)
        })
    }

    fn first(&mut self, matches_order: impl Fn(&Fault) -> bool) -> Option<FaultKind> {
        self.0.retain(|fault| fault.times > 0);
        let fault = self.0.iter_mut().find(|fault| matches_order(fault))?;
        fault.times -= 1;
        Some(fault.kind.clone())
    }
}

fn once() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_so_often_as_was_asked_and_only_to_the_calls_it_fits() {
        let mut faults = Faults::default();
        let json = r#"{"provider":"wxpay","operation":"create","fault":"delay","ms":5,"times":2}"#;
        faults.add(serde_json::from_str(json).unwrap());
        assert_eq!(faults.take(ProviderId::Alipay, Operation::Create), None);
        assert_eq!(faults.take(ProviderId::Wxpay, Operation::Query), None);
        for _ in 0..2 {
            let fault = faults.take(ProviderId::Wxpay, Operation::Create);
            assert_eq!(fault, Some(FaultKind::Delay { ms: 5 }));
        }
        assert_eq!(faults.take(ProviderId::Wxpay, Operation::Create), None);
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
            "notify_never",
            "notify_twice",
            "notify_wrong_key",
            "notify_probe",
        ];
        for name in names {
            let fault: Fault = serde_json::from_str(&format!(r#"{{"fault":"{name}"}}"#)).unwrap();
            assert_eq!((fault.times, fault.provider, fault.operation), (1, None, None));
        }
        let refuse = r#"{"fault":"refuse","code":"FREQUENCY_LIMITED","message":"later"}"#;
        assert!(serde_json::from_str::<Fault>(refuse).is_ok());
        assert!(serde_json::from_str::<Fault>(r#"{"fault":"explode"}"#).is_err());
    }
}

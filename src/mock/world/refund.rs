//! A refund as a provider keeps it.

use serde::{Deserialize, Serialize};

use super::notification::NotificationState;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;

/// A refund of a payment, pending or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedRefund {
    /// The merchant's number: `out_refund_no`, `out_request_no`.
    pub out_refund_no: String,
    /// WeChat Pay's number; Alipay assigns none.
    pub refund_id: Option<String>,
    /// The amount, in fen.
    pub amount: Fen,
    /// The reason that the buyer sees.
    pub reason: Option<String>,
    /// The state. Alipay has no `ABNORMAL`, and its query does not report a `CLOSED` refund.
    pub state: RefundState,
    /// The time at which the provider accepted the refund.
    #[serde(rename = "asked")]
    pub requested_at: Millis,
    /// The time until which the refund is `PROCESSING`.
    #[serde(rename = "ends")]
    pub ends_at: Millis,
    /// The state of the refund from then on.
    #[serde(rename = "ends_as")]
    pub final_state: RefundState,
    /// The time at which the buyer received the money.
    pub refunded_at: Option<Millis>,
    /// Whether an operator made the refund in the provider's console.
    pub from_console: bool,
    /// Whether WeChat Pay notifies of it in the XML of V2, which a merchant of V3 cannot decrypt.
    #[serde(default, rename = "is_told_in_xml", skip_serializing_if = "std::ops::Not::not")]
    pub is_notified_in_xml: bool,
    /// Whether Alipay notifies of it without its number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_notified_unnumbered: bool,
    /// How many calls for the refund the provider accepted: it pays the money out once.
    pub calls: u32,
    /// The notification of the refund.
    #[serde(rename = "notice")]
    pub notification: NotificationState,
}

/// How the providers execute refunds that no fault changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundSettings {
    /// How long WeChat Pay takes for a refund, in milliseconds. Alipay takes no time.
    pub takes_ms: u32,
    /// Whether Alipay notifies the shop of refunds: it depends on the merchant's contract.
    #[serde(rename = "alipay_tells")]
    pub alipay_notifies: bool,
}

impl Default for RefundSettings {
    fn default() -> RefundSettings {
        RefundSettings { takes_ms: 3_000, alipay_notifies: true }
    }
}

impl SimulatedRefund {
    /// Ends the refund, if its time has come by `now`.
    pub(in crate::mock) fn settle(&mut self, now: Millis) {
        if self.state == RefundState::Processing && self.ends_at <= now {
            self.end(self.final_state, self.ends_at);
        }
    }

    /// Ends the refund as `state`.
    pub(in crate::mock) fn end(&mut self, state: RefundState, at: Millis) {
        self.state = state;
        self.refunded_at = (state == RefundState::Success).then(|| at.floor_to_second());
    }

    /// Whether no other refund can ask for the amount.
    pub(super) fn reserves_amount(&self) -> bool {
        self.state != RefundState::Closed
    }
}

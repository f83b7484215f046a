//! The events for the shop: which follow from a change of an order, and the state of their
//! delivery.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::channel::ProviderId;
use super::ids::{OutTradeNo, Pid, TransactionId};
use super::order::Order;
use super::order::payment::{Payment, PaymentRole};
use super::order::refund::{Refund, RefundState};
use super::parse_error::ParseError;
use super::time::{HOUR_MS, Millis};

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventType {
    /// The order is paid: ship it.
    #[serde(rename = "payment.succeeded")]
    PaymentSucceeded,
    /// A paid order was paid again.
    #[serde(rename = "payment.duplicate")]
    PaymentDuplicate,
    /// The provider refunded the second payment of a paid order.
    #[serde(rename = "duplicate.refunded")]
    DuplicateRefunded,
    /// The buyer paid after `closePayment`.
    #[serde(rename = "payment.late")]
    PaymentLate,
    /// The provider refunded the payment that came after `closePayment`.
    #[serde(rename = "late.refunded")]
    LateRefunded,
    /// The buyer paid another amount.
    #[serde(rename = "payment.mismatch")]
    PaymentMismatch,
    /// A provider reported a payment that belongs to no order.
    #[serde(rename = "payment.unmatched")]
    PaymentUnmatched,
    /// The provider refunded the buyer.
    #[serde(rename = "refund.succeeded")]
    RefundSucceeded,
    /// A refund needs an operator.
    #[serde(rename = "refund.abnormal")]
    RefundAbnormal,
    /// A refund ended, and the buyer got no money.
    #[serde(rename = "refund.closed")]
    RefundClosed,
}

impl EventType {
    /// Every type, in the order of the documentation.
    pub const ALL: [EventType; 10] = [
        EventType::PaymentSucceeded,
        EventType::PaymentDuplicate,
        EventType::DuplicateRefunded,
        EventType::PaymentLate,
        EventType::LateRefunded,
        EventType::PaymentMismatch,
        EventType::PaymentUnmatched,
        EventType::RefundSucceeded,
        EventType::RefundAbnormal,
        EventType::RefundClosed,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
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
        }
    }

    /// Reads the name on the wire.
    #[must_use]
    pub fn parse(name: &str) -> Option<EventType> {
        EventType::ALL.into_iter().find(|event| event.name() == name)
    }
}

impl FromStr for EventType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<EventType, ParseError> {
        EventType::parse(text).ok_or(ParseError("an event type, such as payment.succeeded"))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A change of an order that the shop gets as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The type of the event.
    pub event: EventType,
    /// The payment that changed.
    pub transaction_id: TransactionId,
    /// The refund that changed, if one did.
    pub out_refund_no: Option<String>,
    /// When the shop requested the refund, if it may request it again and it may end the same
    /// again.
    pub requested_at: Option<Millis>,
}

impl Order {
    /// The events that follow from the change from `before` to this order.
    #[must_use]
    pub fn effects_since(&self, before: &Order) -> Vec<Effect> {
        let mut effects = Vec::new();
        for payment in &self.payments {
            let known = before.payments.iter().find(|earlier| earlier.is_same(payment));
            match known {
                // The provider settled a contradiction of two messages.
                Some(known) if known.role != payment.role => {
                    effects.push(payment.effect(payment_event(payment.role)));
                }
                Some(known) if known.total_fee != payment.total_fee => {
                    effects.push(payment.effect(EventType::PaymentMismatch));
                }
                Some(_) => {}
                None => effects.push(payment.effect(payment_event(payment.role))),
            }
            if payment.refund_unknown && known.is_none_or(|known| !known.refund_unknown) {
                effects.push(payment.effect(EventType::RefundAbnormal));
            }
            let refunds = known.map(|known| known.refunds.as_slice()).unwrap_or_default();
            for refund in &payment.refunds {
                let before =
                    refunds.iter().find(|earlier| earlier.out_refund_no == refund.out_refund_no);
                if let Some(event) = refund_event(payment.role, before, refund) {
                    // The shop may request the refund again, and it may end the same again.
                    let is_repeatable = refund.state != RefundState::Success && !refund.automatic;
                    effects.push(Effect {
                        out_refund_no: Some(refund.out_refund_no.clone()),
                        requested_at: is_repeatable.then_some(refund.requested_at),
                        ..payment.effect(event)
                    });
                }
            }
        }
        effects
    }
}

impl Payment {
    fn is_same(&self, other: &Payment) -> bool {
        self.transaction_id == other.transaction_id
    }

    fn effect(&self, event: EventType) -> Effect {
        let transaction_id = self.transaction_id.clone();
        Effect { event, transaction_id, out_refund_no: None, requested_at: None }
    }
}

fn payment_event(role: PaymentRole) -> EventType {
    match role {
        PaymentRole::Winning => EventType::PaymentSucceeded,
        PaymentRole::Duplicate => EventType::PaymentDuplicate,
        PaymentRole::Late => EventType::PaymentLate,
        PaymentRole::Mismatch => EventType::PaymentMismatch,
    }
}

fn refund_event(role: PaymentRole, before: Option<&Refund>, now: &Refund) -> Option<EventType> {
    if before.map(|refund| refund.state) == Some(now.state) {
        return None;
    }
    match (now.state, role) {
        (RefundState::Processing, _) => None,
        (RefundState::Success, PaymentRole::Duplicate) => Some(EventType::DuplicateRefunded),
        (RefundState::Success, PaymentRole::Late) => Some(EventType::LateRefunded),
        (RefundState::Success, _) => Some(EventType::RefundSucceeded),
        (RefundState::Abnormal, _) => Some(EventType::RefundAbnormal),
        (RefundState::Closed, _) => Some(EventType::RefundClosed),
    }
}

/// The number of an event (`webhook-id`): a hash of the change, so that it is always the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Arc<str>);

impl EventId {
    /// The number of the event that reports `effect` on the order `out_trade_no`.
    #[must_use]
    pub fn of(out_trade_no: &OutTradeNo, effect: &Effect) -> EventId {
        let mut hash = Sha256::new()
            .chain_update(out_trade_no.as_str())
            .chain_update([0])
            .chain_update(effect.event.name())
            .chain_update([0])
            .chain_update(effect.transaction_id.0.as_bytes())
            .chain_update([0])
            .chain_update(effect.out_refund_no.as_deref().unwrap_or_default());
        if let Some(requested_at) = effect.requested_at {
            hash = hash.chain_update([0]).chain_update(requested_at.0.to_be_bytes());
        }
        EventId::hashed(hash)
    }

    /// The number of the event that reports a payment of no order. It never equals an order's
    /// event: no order's number has a full stop.
    #[must_use]
    pub fn of_unmatched(provider: ProviderId, pid: &Pid, transaction: &TransactionId) -> EventId {
        let hash = Sha256::new()
            .chain_update(EventType::PaymentUnmatched.name())
            .chain_update([0])
            .chain_update(provider.name())
            .chain_update([0])
            .chain_update(pid.as_str())
            .chain_update([0])
            .chain_update(transaction.0.as_bytes());
        EventId::hashed(hash)
    }

    fn hashed(hash: Sha256) -> EventId {
        let hash = hash.finalize();
        let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        EventId(format!("evt_{hex}").into())
    }

    /// Reads a number as it is written.
    #[must_use]
    pub fn parse(text: &str) -> Option<EventId> {
        let hex = text.strip_prefix("evt_")?;
        let is_hex = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| EventId(text.into()))
    }

    /// The number as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<EventId, ParseError> {
        EventId::parse(text).ok_or(ParseError("an event id, which is evt_ and 32 hex digits"))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event on its way to the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEvent {
    /// Its number.
    pub id: EventId,
    /// Its type.
    pub event: EventType,
    /// The order.
    pub out_trade_no: OutTradeNo,
    /// The order's type: it selects the handler, and stands for `{type}` in the webhook's URL.
    #[serde(rename = "type")]
    pub kind: String,
    /// The JSON that paygate sends to the shop, byte for byte.
    pub body: String,
    /// When paygate recorded the change.
    pub created_at: Millis,
    /// The state of its delivery.
    pub state: DeliveryState,
    /// How often paygate sent it.
    pub tries: u32,
    /// When paygate sends it next.
    pub next_at: Millis,
}

impl OutboxEvent {
    /// The longest time between two sendings of an event, in milliseconds.
    pub const WAIT_MS_MAX: i64 = HOUR_MS.saturating_mul(6).wrapping_div(5);

    /// Whether paygate sends it at `now`. No event waits longer than [`OutboxEvent::WAIT_MS_MAX`]:
    /// a next sending that is further ahead was written while the clock was ahead.
    #[must_use]
    pub fn is_due(&self, now: Millis) -> bool {
        let is_time = self.next_at <= now || self.next_at > now.plus(OutboxEvent::WAIT_MS_MAX);
        self.state == DeliveryState::Pending && is_time
    }
}

/// The state of an event's delivery to the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Paygate sends it until the shop accepts it.
    Pending,
    /// The shop accepted it.
    Accepted,
    /// Paygate sends it no more until an operator resends it.
    Parked,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [DeliveryState; 3] =
        [DeliveryState::Pending, DeliveryState::Accepted, DeliveryState::Parked];

    /// The name in a store and on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Accepted => "accepted",
            DeliveryState::Parked => "parked",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<DeliveryState> {
        DeliveryState::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl FromStr for DeliveryState {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<DeliveryState, ParseError> {
        const FORM: &str = "a state of an event: pending, accepted or parked";
        DeliveryState::parse(text).ok_or(ParseError(FORM))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_and_state_is_read_by_the_name_that_it_is_written_by() {
        for event in EventType::ALL {
            assert_eq!(EventType::parse(&event.to_string()), Some(event));
            assert_eq!(event.to_string(), event.name());
        }
        assert_eq!(EventType::parse("payment.unknown"), None);
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.name()), Some(state));
        }
        assert_eq!(DeliveryState::parse("unknown"), None);
        assert_eq!(EventId::parse("evt_0a").map(|id| id.to_string()), None, "too short");
    }
}

//! What the shop is told: the events that follow from a change of an order, and their way to it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::channel::ProviderId;
use super::ids::{OutTradeNo, Pid, TransactionId};
use super::order::Order;
use super::order::payment::{Payment, PaymentRole};
use super::order::refund::{Refund, RefundState};
use super::time::Millis;

/// What happened, in the shop's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventType {
    /// The order is paid: ship it.
    #[serde(rename = "payment.succeeded")]
    PaymentSucceeded,
    /// A paid order was paid again.
    #[serde(rename = "payment.duplicate")]
    PaymentDuplicate,
    /// The second payment of a paid order went back.
    #[serde(rename = "duplicate.refunded")]
    DuplicateRefunded,
    /// A payment came after `closePayment`.
    #[serde(rename = "payment.late")]
    PaymentLate,
    /// The payment that came after `closePayment` went back.
    #[serde(rename = "late.refunded")]
    LateRefunded,
    /// A payment of another amount came.
    #[serde(rename = "payment.mismatch")]
    PaymentMismatch,
    /// A payment came that belongs to no order.
    #[serde(rename = "payment.unmatched")]
    PaymentUnmatched,
    /// A refund reached the buyer.
    #[serde(rename = "refund.succeeded")]
    RefundSucceeded,
    /// A refund needs a person.
    #[serde(rename = "refund.abnormal")]
    RefundAbnormal,
    /// A refund ended without money going back.
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
        EventType::ALL.into_iter().find(|it| it.name() == name)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a change of an order means to the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What happened.
    pub event: EventType,
    /// To which payment.
    pub transaction_id: TransactionId,
    /// By which refund.
    pub out_refund_no: Option<String>,
    /// When the refund was asked for, if it may be asked for again and end the same again.
    pub requested_at: Option<Millis>,
}

impl Order {
    /// What the change from `before` to this order means to the shop.
    #[must_use]
    pub fn effects_since(&self, before: &Order) -> Vec<Effect> {
        let mut effects = Vec::new();
        for payment in &self.payments {
            let known = before.payments.iter().find(|it| it.is_same(payment));
            match known {
                // Its provider settled what two messages said of it.
                Some(known) if known.role != payment.role => {
                    effects.push(payment.effect(payment_event(payment.role)));
                }
                Some(known) if known.total_fee != payment.total_fee => {
                    effects.push(payment.effect(EventType::PaymentMismatch));
                }
                Some(_) => {}
                None => effects.push(payment.effect(payment_event(payment.role))),
            }
            if payment.refund_unknown && known.is_none_or(|it| !it.refund_unknown) {
                effects.push(payment.effect(EventType::RefundAbnormal));
            }
            let states = known.map(|it| it.refunds.as_slice()).unwrap_or_default();
            for refund in &payment.refunds {
                let was = states.iter().find(|it| it.out_refund_no == refund.out_refund_no);
                if let Some(event) = refund_event(payment.role, was, refund) {
                    // What the shop asks for again may end the same again.
                    let is_anew = refund.state != RefundState::Success && !refund.automatic;
                    effects.push(Effect {
                        out_refund_no: Some(refund.out_refund_no.clone()),
                        requested_at: is_anew.then_some(refund.requested_at),
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

fn refund_event(role: PaymentRole, was: Option<&Refund>, now: &Refund) -> Option<EventType> {
    if was.map(|it| it.state) == Some(now.state) {
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

/// The number of an event (`webhook-id`): the same forever, because it follows from what happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Arc<str>);

impl EventId {
    /// The number of `effect` on the order `no`.
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

    /// The number of the event that tells of a payment of no order. It never meets an order's:
    /// no order's number has a full stop.
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
        let is_hex = hex.len() == 32 && hex.bytes().all(|it| it.is_ascii_hexdigit());
        is_hex.then(|| EventId(text.into()))
    }

    /// The number as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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
    /// What happened.
    pub event: EventType,
    /// The order.
    pub out_trade_no: OutTradeNo,
    /// The order's type: which handler, and `{type}` in the webhook's URL.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the shop is sent, byte for byte: JSON.
    pub body: String,
    /// When it happened.
    pub created_at: Millis,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was sent.
    pub tries: u32,
    /// When it is sent next.
    pub next_at: Millis,
}

/// Where an event stands on its way to the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is sent, and sent again.
    Pending,
    /// The shop has it.
    Accepted,
    /// It is not sent again until somebody says so.
    Parked,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [DeliveryState; 3] =
        [DeliveryState::Pending, DeliveryState::Accepted, DeliveryState::Parked];

    /// The name in a store. The admin operations call [`DeliveryState::Pending`] `waiting`.
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
        DeliveryState::ALL.into_iter().find(|it| it.name() == name)
    }
}

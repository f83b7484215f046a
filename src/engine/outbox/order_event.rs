//! An event as a handler in Rust gets it.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::domain::channel::{PayType, ProviderId};
use crate::domain::event::{EventId, EventType, OutboxEvent};
use crate::domain::ids::{OutTradeNo, Pid, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::parse_error::ParseError;
use crate::domain::time::Millis;

/// An event as a handler gets it: which order, which payment or refund, how much.
///
/// ```
/// use paygate::{EventType, OrderEvent};
///
/// /// What the shop does with every event.
/// async fn handle(event: OrderEvent) -> Result<(), std::io::Error> {
///     let (order, fen) = (event.out_trade_no(), event.total_fee().fen());
///     match (event.event_type(), event.refund()) {
///         (EventType::PaymentSucceeded, _) => println!("ship {order}, paid with {fen} fen"),
///         (EventType::RefundSucceeded, Some(refund)) => {
///             println!("{} of {order} went to the buyer", refund.out_refund_no);
///         }
///         (other, _) => println!("{other} of {order}: an operator has a look"),
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct OrderEvent {
    id: EventId,
    event_type: EventType,
    out_trade_no: OutTradeNo,
    order_type: String,
    total_fee: Fen,
    body: Value,
}

/// The refund of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventRefund {
    /// The shop's number of the refund.
    pub out_refund_no: String,
    /// The provider's number.
    pub refund_id: Option<String>,
    /// How much the buyer gets by this refund.
    pub refund_fee: Fen,
    /// Its state.
    pub state: RefundState,
    /// When the provider made it.
    pub refunded_at: Option<Millis>,
}

impl OrderEvent {
    /// Its id: the same whenever paygate sends it again.
    #[must_use]
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// What happened.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        self.event_type
    }

    /// The order's number.
    #[must_use]
    pub fn out_trade_no(&self) -> &OutTradeNo {
        &self.out_trade_no
    }

    /// The order's type (`data.type`).
    #[must_use]
    pub fn order_type(&self) -> &str {
        &self.order_type
    }

    /// The order's amount.
    #[must_use]
    pub fn total_fee(&self) -> Fen {
        self.total_fee
    }

    /// The amount that the buyer paid: another one in
    /// [`PaymentMismatch`](EventType::PaymentMismatch).
    #[must_use]
    pub fn paid_fee(&self) -> Option<Fen> {
        self.fen("paid_fee")
    }

    /// The provider's number of the payment.
    #[must_use]
    pub fn transaction_id(&self) -> Option<TransactionId> {
        self.text("transaction_id").map(TransactionId::from)
    }

    /// When the buyer paid.
    #[must_use]
    pub fn paid_at(&self) -> Option<Millis> {
        self.millis("pay_date")
    }

    /// The provider that the buyer paid through.
    #[must_use]
    pub fn provider(&self) -> Option<ProviderId> {
        self.text("provider").and_then(ProviderId::parse)
    }

    /// How the buyer paid.
    #[must_use]
    pub fn pay_type(&self) -> Option<PayType> {
        self.text("pay_type").and_then(PayType::parse)
    }

    /// The merchant.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.text("pid").map_or_else(Pid::default, Pid::new)
    }

    /// `data.user_id`, or the text that `custom` has by this name.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.text("user_id")
    }

    /// The buyer at the provider.
    #[must_use]
    pub fn openid(&self) -> Option<&str> {
        self.text("openid")
    }

    /// `data.custom`: what the shop put into its order.
    #[must_use]
    pub fn custom(&self) -> Option<&Value> {
        self.member("custom")
    }

    /// The refund that the event is about. [`RefundAbnormal`](EventType::RefundAbnormal) has none
    /// where the provider refunded an amount that paygate does not know.
    #[must_use]
    pub fn refund(&self) -> Option<EventRefund> {
        let state = RefundState::deserialize(self.member("refund_status")?).ok()?;
        Some(EventRefund {
            out_refund_no: self.text("out_refund_no")?.to_owned(),
            refund_id: self.text("refund_id").map(str::to_owned),
            refund_fee: self.fen("refund_fee")?,
            state,
            refunded_at: self.millis("refund_date"),
        })
    }

    /// Whether the money is real: not from simulated providers.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.body.get("livemode").and_then(Value::as_bool).unwrap_or_default()
    }

    /// The whole event, as the webhook would get it: `paygate schema event` describes it.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }

    fn member(&self, name: &str) -> Option<&Value> {
        self.body.get("data")?.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.member(name)?.as_str()
    }

    fn fen(&self, name: &str) -> Option<Fen> {
        self.member(name)?.as_u64().and_then(Fen::new)
    }

    fn millis(&self, name: &str) -> Option<Millis> {
        self.member(name)?.as_i64().map(Millis)
    }
}

/// Without the body, which has the buyer's ids and address: they stand in no log.
impl fmt::Debug for OrderEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderEvent")
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .field("out_trade_no", &self.out_trade_no)
            .finish_non_exhaustive()
    }
}

/// Reads an event of [`Engine::events`](crate::Engine::events), or a test's.
impl TryFrom<&OutboxEvent> for OrderEvent {
    type Error = ParseError;

    fn try_from(event: &OutboxEvent) -> Result<OrderEvent, ParseError> {
        const FORM: &str = "an event's body, which is JSON with a total_fee";
        let body: Value = serde_json::from_str(&event.body).map_err(|_| ParseError(FORM))?;
        let total_fee = body.pointer("/data/total_fee").and_then(Value::as_u64);
        Ok(OrderEvent {
            id: event.id.clone(),
            event_type: event.event,
            out_trade_no: event.out_trade_no.clone(),
            order_type: event.kind.clone(),
            total_fee: total_fee.and_then(Fen::new).ok_or(ParseError(FORM))?,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::DeliveryState;

    fn event(livemode: bool) -> OrderEvent {
        let body = serde_json::json!({
            "livemode": livemode,
            "data": {"total_fee": 100, "pid": "001", "openid": "o1", "user_id": null},
        });
        let stored = OutboxEvent {
            id: EventId::parse(&format!("evt_{}", "0a".repeat(16))).expect("an id"),
            event: EventType::PaymentSucceeded,
            out_trade_no: OutTradeNo::parse("order-1").expect("a number"),
            kind: "goods".to_owned(),
            body: body.to_string(),
            created_at: Millis(0),
            state: DeliveryState::Pending,
            tries: 0,
            next_at: Millis(0),
        };
        OrderEvent::try_from(&stored).expect("an event")
    }

    #[test]
    fn an_event_is_read_as_its_body_states_it() {
        let event = event(true);
        assert_eq!(
            (event.pid(), event.openid(), event.user_id()),
            (Pid::new("001"), Some("o1"), None)
        );
        assert!(event.is_live());
        assert!(!self::event(false).is_live());
    }
}

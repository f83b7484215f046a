//! What the shop is told: an event's body, made once and kept byte for byte.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::Inner;
use crate::domain::order::Order;
use crate::domain::outbox::{DeliveryState, Effect, EventId, EventType, Outgoing};
use crate::domain::refund::{Payment, Refund, RefundState};
use crate::domain::time::Millis;

impl Inner {
    /// The events that follow from a change of an order. `message` is the provider's, of which
    /// the change came.
    pub(super) fn outgoing(
        &self,
        before: &Order,
        after: &Order,
        message: Option<&Value>,
    ) -> Vec<Outgoing> {
        let now = self.clock.now();
        let effects = after.effects_since(before);
        effects.iter().map(|effect| self.event(after, effect, now, message)).collect()
    }

    fn event(
        &self,
        order: &Order,
        effect: &Effect,
        now: Millis,
        message: Option<&Value>,
    ) -> Outgoing {
        let body = Body {
            event: effect.event.name(),
            timestamp: now.to_rfc3339(),
            livemode: !self.settings.simulated,
            data: data(order, effect),
            verify_result: message,
        };
        Outgoing {
            id: EventId::of(order.out_trade_no(), effect),
            event: effect.event,
            out_trade_no: order.out_trade_no().clone(),
            kind: order.facts.kind.clone(),
            body: serde_json::to_string(&body).expect("texts, numbers and raw JSON"),
            created: now,
            state: DeliveryState::Pending,
            tries: 0,
            next: now,
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    event: &'static str,
    timestamp: String,
    livemode: bool,
    data: BTreeMap<String, Box<RawValue>>,
    #[serde(rename = "verifyResult", skip_serializing_if = "Option::is_none")]
    verify_result: Option<&'a Value>,
}

/// The order as it stands, what the event is about, and `custom`: whole, and its keys beside it,
/// as vk-uni-pay hands them to the shop.
fn data(order: &Order, effect: &Effect) -> BTreeMap<String, Box<RawValue>> {
    let mut data = BTreeMap::new();
    if let Some(custom) = &order.facts.custom {
        if let Ok(keys) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(custom.as_str()) {
            data.extend(keys);
        }
        if let Ok(whole) = RawValue::from_string(custom.as_str().to_owned()) {
            data.insert("custom".to_owned(), whole);
        }
    }
    let payment = order.payments.iter().find(|it| it.transaction_id == effect.transaction_id);
    let refund = payment.and_then(|it| {
        it.refunds.iter().find(|it| Some(&it.out_refund_no) == effect.out_refund_no.as_ref())
    });
    let mut own = of_order(order);
    own.extend(payment.map(|it| of_payment(order, it)).into_iter().flatten());
    match refund {
        Some(refund) => own.extend(of_refund(refund)),
        None if effect.event == EventType::RefundAbnormal => own.extend(of_unknown_refund()),
        None => {}
    }
    let raw = |(key, value)| to_raw_value(&value).ok().map(|raw| (key, raw));
    data.extend(own.into_iter().filter_map(raw));
    data
}

fn of_order(order: &Order) -> Map<String, Value> {
    let facts = &order.facts;
    members(json!({
        "out_trade_no": facts.out_trade_no,
        "total_fee": facts.total_fee.fen(),
        "subject": facts.subject,
        "body": facts.body,
        "type": facts.kind,
        "pid": facts.pid.as_str(),
        "user_id": facts.user_id,
        "nickname": order.origin.nickname,
        "platform": order.origin.platform,
        "status": order.status.number(),
    }))
}

fn of_payment(order: &Order, payment: &Payment) -> Map<String, Value> {
    let attempt = order.attempt(payment.attempt).unwrap_or_else(|| order.latest());
    members(json!({
        "channel_trade_no": attempt.channel_no,
        "transaction_id": payment.transaction_id,
        "paid_fee": payment.total_fee.fen(),
        "provider": attempt.way.provider(),
        "pay_type": attempt.way.pay_type,
        "appid": attempt.way.app_id,
        "openid": payment.openid.as_ref().or(attempt.way.openid.as_ref()),
        "pay_date": payment.paid_at,
    }))
}

fn of_refund(refund: &Refund) -> Map<String, Value> {
    members(json!({
        "out_refund_no": refund.out_refund_no,
        "refund_id": refund.refund_id,
        "refund_fee": refund.refund_fee.fen(),
        "refund_status": refund.state,
        "refund_desc": refund.refund_desc,
        "refund_date": refund.refunded_at,
    }))
}

/// Something went back that nobody here knows the amount of.
fn of_unknown_refund() -> Map<String, Value> {
    members(json!({ "refund_status": RefundState::Abnormal, "refund_unknown": true }))
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

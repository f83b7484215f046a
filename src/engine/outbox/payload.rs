//! The body of an event for the shop: paygate builds it once, and sends it byte for byte.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::domain::event::{DeliveryState, Effect, EventId, EventType, OutboxEvent};
use crate::domain::json::RawJson;
use crate::domain::order::Order;
use crate::domain::order::attempt::Attempt;
use crate::domain::order::payment::Payment;
use crate::domain::order::refund::{Refund, RefundState};
use crate::domain::time::Millis;

/// The cause of an event.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Cause<'a> {
    /// When paygate recorded the change.
    pub(in crate::engine) at: Millis,
    /// The provider's message, if one caused the change.
    pub(in crate::engine) message: Option<&'a Value>,
    /// Whether the money is real.
    pub(in crate::engine) livemode: bool,
}

/// The event that reports `effect` to the shop, due at once.
pub(in crate::engine) fn outbox_event(
    order: &Order,
    effect: &Effect,
    cause: Cause<'_>,
) -> OutboxEvent {
    let body = Body {
        event: effect.event.name(),
        version: VERSION,
        timestamp: cause.at.to_rfc3339(),
        livemode: cause.livemode,
        data: data(order, effect),
        verify_result: cause.message,
    };
    OutboxEvent {
        id: EventId::of(order.out_trade_no(), effect),
        event: effect.event,
        out_trade_no: order.out_trade_no().clone(),
        kind: order.terms.kind.clone(),
        body: serde_json::to_string(&body).expect("texts, numbers and raw JSON"),
        created_at: cause.at,
        state: DeliveryState::Pending,
        tries: 0,
        next_at: cause.at,
    }
}

/// A field's meaning changes only with it.
pub(in crate::engine) const VERSION: u8 = 1;

/// An event's body.
#[derive(Serialize)]
pub(in crate::engine) struct Body<'a, M> {
    #[serde(rename = "type")]
    pub(in crate::engine) event: &'static str,
    /// The version of this form.
    pub(in crate::engine) version: u8,
    pub(in crate::engine) timestamp: String,
    pub(in crate::engine) livemode: bool,
    pub(in crate::engine) data: BTreeMap<String, Box<RawValue>>,
    #[serde(rename = "verifyResult", skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) verify_result: Option<&'a M>,
}

/// The order, the payment or refund of the event, and `custom`: whole, and its keys beside it, as
/// vk-uni-pay passes them to the shop.
fn data(order: &Order, effect: &Effect) -> BTreeMap<String, Box<RawValue>> {
    let source = Source::of(order, effect);
    let mut data: BTreeMap<String, Box<RawValue>> = BTreeMap::new();
    if let Some(custom) = &order.terms.custom {
        data.extend(serde_json::from_str::<BTreeMap<_, _>>(custom.as_str()).into_iter().flatten());
    }
    for (name, value) in DATA {
        let Some(value) = value(&source) else { continue };
        // `custom` may have a field that the request lacks.
        let is_absent = ECHOED.contains(&name) && value.get() == "null";
        let is_customs = (is_absent || CLIENTS.contains(&name)) && data.contains_key(name);
        if !is_customs {
            data.insert(name.to_owned(), value);
        }
    }
    data
}

/// The source of an event's `data`: an order, and the payment and refund of the event.
struct Source<'a> {
    order: &'a Order,
    payment: Option<&'a Payment>,
    refund: Option<&'a Refund>,
    /// Whether the provider refunded an amount that paygate does not know.
    refund_unknown: bool,
}

impl<'a> Source<'a> {
    fn of(order: &'a Order, effect: &Effect) -> Source<'a> {
        let payment =
            order.payments.iter().find(|payment| payment.transaction_id == effect.transaction_id);
        let refund = payment.and_then(|payment| {
            let number = effect.out_refund_no.as_ref();
            payment.refunds.iter().find(|refund| Some(&refund.out_refund_no) == number)
        });
        let refund_unknown = refund.is_none() && effect.event == EventType::RefundAbnormal;
        Source { order, payment, refund, refund_unknown }
    }

    /// The attempt that the buyer paid.
    fn attempt(&self) -> Option<&'a Attempt> {
        let payment = self.payment?;
        Some(self.order.attempt(payment.attempt).unwrap_or_else(|| self.order.latest()))
    }

    fn openid(&self) -> Option<&'a String> {
        self.payment?.openid.as_ref().or(self.attempt()?.method.openid.as_ref())
    }

    fn refund_status(&self) -> Option<RefundState> {
        let unknown = self.refund_unknown.then_some(RefundState::Abnormal);
        self.refund.map(|refund| refund.state).or(unknown)
    }
}

/// A name in an event's `data`, and its value; `None` where the event does not have it.
type Member = (&'static str, fn(&Source<'_>) -> Option<Box<RawValue>>);

/// Every name in an event's `data` that paygate sets. `custom` must have none of them, except those
/// in [`ECHOED`] and in [`CLIENTS`]: `createPayment`'s schema has this list too.
const DATA: [Member; 33] = [
    ("out_trade_no", |source| json(&source.order.terms.out_trade_no)),
    ("total_fee", |source| json(source.order.terms.total_fee.fen())),
    ("subject", |source| json(&source.order.terms.subject)),
    ("body", |source| json(&source.order.terms.body)),
    ("type", |source| json(&source.order.terms.kind)),
    ("pid", |source| json(source.order.terms.pid.as_str())),
    ("user_id", |source| json(&source.order.terms.user_id)),
    ("nickname", |source| json(&source.order.client.nickname)),
    ("platform", |source| json(&source.order.client.platform)),
    ("uni_platform", |source| json(source.order.client.uni_platform())),
    ("appid", |source| json(source.order.client.app_id.as_ref()?)),
    ("device_id", |source| json(source.order.client.device_id.as_ref()?)),
    ("client_ip", |source| json(source.order.client.client_ip.as_ref()?)),
    ("create_date", |source| json(source.order.created_at)),
    ("status", |source| json(source.order.status.number())),
    ("custom", |source| raw(source.order.terms.custom.as_ref()?)),
    ("channel_trade_no", |source| json(&source.attempt()?.channel_no)),
    ("transaction_id", |source| json(&source.payment?.transaction_id)),
    ("paid_fee", |source| json(source.payment?.total_fee.fen())),
    ("provider", |source| json(source.attempt()?.method.provider())),
    ("pay_type", |source| json(source.attempt()?.method.pay_type)),
    ("provider_appid", |source| json(&source.attempt()?.method.app_id)),
    ("mch_id", |source| json(source.attempt()?.mch_id()?)),
    ("openid", |source| source.payment.and_then(|_| json(source.openid()))),
    ("pay_date", |source| json(source.payment?.paid_at)),
    ("notify_date", |source| json(source.payment?.discovered_at)),
    ("out_refund_no", |source| json(&source.refund?.out_refund_no)),
    ("refund_id", |source| json(&source.refund?.refund_id)),
    ("refund_fee", |source| json(source.refund?.refund_fee.fen())),
    ("refund_status", |source| json(source.refund_status()?)),
    ("refund_desc", |source| json(&source.refund?.refund_desc)),
    ("refund_date", |source| json(source.refund?.refunded_at)),
    ("refund_unknown", |source| source.refund_unknown.then_some(true).and_then(json)),
];

/// The names in [`DATA`] that only repeat an optional field of the request. Where the request lacks
/// the field, `custom` may have the name, and its value is the event's.
const ECHOED: [&str; 3] = ["user_id", "nickname", "body"];

/// The names in [`DATA`] that describe the buyer's client, which decide nothing. Where `custom` has
/// such a name, its value is the event's: the shop knows its own.
const CLIENTS: [&str; 3] = ["uni_platform", "device_id", "client_ip"];

/// `custom` as it was written.
fn raw(custom: &RawJson) -> Option<Box<RawValue>> {
    RawValue::from_string(custom.as_str().to_owned()).ok()
}

fn json(value: impl Serialize) -> Option<Box<RawValue>> {
    to_raw_value(&value).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{CLIENTS, DATA, ECHOED};
    use crate::guard::schema;

    fn parsed(name: &str) -> Value {
        serde_json::from_str(schema::text(name).expect("a schema")).expect("JSON")
    }

    #[test]
    fn the_schemas_have_every_name_that_an_event_can_carry() {
        let names: BTreeSet<&str> = DATA.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), DATA.len(), "a name twice");
        let event = parsed("event");
        let described = event["properties"]["data"]["properties"].as_object().expect("names");
        assert_eq!(names, described.keys().map(String::as_str).collect());

        let request = parsed("create-payment");
        let refused = request["$defs"]["taken_by_the_order"]["enum"].as_array().expect("names");
        let customs: BTreeSet<&str> = ECHOED.into_iter().chain(CLIENTS).collect();
        let kept: BTreeSet<&str> = names.difference(&customs).copied().collect();
        assert_eq!(kept, refused.iter().filter_map(Value::as_str).collect());
        assert!(customs.is_subset(&names));
    }
}

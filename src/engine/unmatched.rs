//! Payments of no order: paygate records each once, reports it to the shop, and lists it until its
//! order is known.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::failures::store_unreachable;
use super::outbox::payload::{Body, VERSION};
use super::parts::{Engine, EngineParts};
use crate::domain::channel::ProviderId;
use crate::domain::event::{DeliveryState, EventId, EventType, OutboxEvent};
use crate::domain::ids::OutTradeNo;
use crate::domain::unmatched::UnmatchedPayment;
use crate::error::{Error, Kind};

impl Engine {
    /// The last `limit` payments that belong to no order, the newest last: an operator has to
    /// settle them. A payment whose order has become known is not among them.
    ///
    /// A handler for [`EventType::PaymentUnmatched`] of type `unmatched` gets an event of each.
    ///
    /// # Errors
    ///
    /// [`Kind::NotSent`] when the store cannot be read.
    pub async fn unmatched(&self, limit: usize) -> Result<Vec<UnmatchedPayment>, Error> {
        let _operation = self.begin_operation()?;
        self.0.store.unmatched(limit).await.map_err(|error| store_unreachable(&error))
    }
}

impl EngineParts {
    /// Makes a payment of no order durable, together with its event for the shop.
    ///
    /// # Errors
    ///
    /// [`Kind::NotSent`] when the store failed.
    pub(super) async fn record_unmatched(&self, unmatched: UnmatchedPayment) -> Result<(), Error> {
        let event = unmatched_event(&unmatched, !self.settings.simulated)?;
        let added = self.store.add_unmatched(&unmatched, &event).await;
        if added.map_err(|error| store_unreachable(&error))? {
            let (channel_no, provider) = (&unmatched.channel_no, unmatched.provider);
            let transaction_id = &*unmatched.transaction_id.0;
            tracing::error!(
                %channel_no,
                %provider,
                transaction_id,
                "a provider reports a payment that belongs to no order"
            );
            self.outbox.wake();
        }
        Ok(())
    }
}

/// The event that reports the payment to the shop. The provider's number of the payment's order
/// becomes the event's `out_trade_no`.
fn unmatched_event(unmatched: &UnmatchedPayment, livemode: bool) -> Result<OutboxEvent, Error> {
    let out_trade_no = OutTradeNo::parse(unmatched.channel_no.as_str());
    let out_trade_no = out_trade_no.ok_or_else(|| Error::new(Kind::NoSuchOrder))?;
    let (provider, pid) = (unmatched.provider, &unmatched.pid);
    let event = EventType::PaymentUnmatched;
    let message: Option<Box<RawValue>> = serde_json::from_str(&unmatched.message).ok();
    let body = Body {
        event: event.name(),
        version: VERSION,
        timestamp: unmatched.discovered_at.to_rfc3339(),
        livemode,
        data: data(unmatched, &out_trade_no),
        verify_result: message.as_ref(),
    };
    Ok(OutboxEvent {
        id: EventId::of_unmatched(provider, pid, &unmatched.transaction_id),
        event,
        out_trade_no,
        kind: UnmatchedPayment::KIND.to_owned(),
        body: serde_json::to_string(&body).expect("texts, numbers and raw JSON"),
        created_at: unmatched.discovered_at,
        state: DeliveryState::Pending,
        tries: 0,
        next_at: unmatched.discovered_at,
    })
}

fn data(
    unmatched: &UnmatchedPayment,
    out_trade_no: &OutTradeNo,
) -> BTreeMap<String, Box<RawValue>> {
    let app: App = serde_json::from_str(&unmatched.message).unwrap_or_default();
    // An account at Alipay is an app.
    let is_wxpay = unmatched.provider == ProviderId::Wxpay;
    let members = [
        ("out_trade_no", Some(json!(out_trade_no))),
        ("channel_trade_no", Some(json!(unmatched.channel_no))),
        ("transaction_id", Some(json!(unmatched.transaction_id))),
        ("total_fee", Some(json!(unmatched.total_fee.fen()))),
        ("paid_fee", Some(json!(unmatched.total_fee.fen()))),
        ("type", Some(json!(UnmatchedPayment::KIND))),
        ("provider", Some(json!(unmatched.provider))),
        ("pid", Some(json!(unmatched.pid))),
        ("provider_appid", app.id.map(|id| json!(id))),
        ("mch_id", is_wxpay.then(|| json!(unmatched.account))),
        ("pay_date", unmatched.paid_at.map(|paid_at| json!(paid_at))),
        ("notify_date", Some(json!(unmatched.discovered_at))),
    ];
    let present = members.into_iter().filter_map(|(key, value)| {
        let raw = to_raw_value(&value?).ok()?;
        Some((key.to_owned(), raw))
    });
    present.collect()
}

/// The app that the buyer paid with, in the provider's message.
#[derive(Default, Deserialize)]
struct App {
    #[serde(rename = "appid", alias = "app_id")]
    id: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::ids::{ChannelNo, Pid, TransactionId};
    use crate::domain::money::Fen;
    use crate::domain::time::Millis;

    fn unmatched(message: &str) -> UnmatchedPayment {
        UnmatchedPayment {
            provider: ProviderId::Wxpay,
            pid: Pid::new("001"),
            account: "1900000001".to_owned(),
            channel_no: ChannelNo::first(&OutTradeNo::parse("old-system-1").unwrap()),
            transaction_id: TransactionId("4200001".into()),
            total_fee: Fen::new(100).unwrap(),
            currency: None,
            paid_at: Some(Millis(1_763_899_999_000)),
            discovered_at: Millis(1_763_900_000_000),
            message: message.to_owned(),
        }
    }

    #[test]
    fn the_event_of_a_payment_of_no_order_carries_its_providers_message() {
        let message = r#"{"appid":"wx1","amount":{"total":100}}"#;
        let event = unmatched_event(&unmatched(message), true).unwrap();
        assert_eq!((event.kind.as_str(), event.event.name()), ("unmatched", "payment.unmatched"));
        assert_eq!(event.out_trade_no.as_str(), "old-system-1");
        let body: Value = serde_json::from_str(&event.body).unwrap();
        let expected = json!({
            "type": "payment.unmatched",
            "version": 1,
            "timestamp": "2025-11-23T12:13:20.000Z",
            "livemode": true,
            "data": {
                "out_trade_no": "old-system-1", "channel_trade_no": "old-system-1",
                "transaction_id": "4200001", "total_fee": 100, "paid_fee": 100,
                "type": "unmatched", "provider": "wxpay", "pid": "001", "provider_appid": "wx1",
                "mch_id": "1900000001", "pay_date": 1_763_899_999_000_i64,
                "notify_date": 1_763_900_000_000_i64,
            },
            "verifyResult": { "appid": "wx1", "amount": { "total": 100 } },
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn the_event_lacks_what_its_providers_message_lacks() {
        let sparse = UnmatchedPayment { paid_at: None, ..unmatched("{}") };
        let event = unmatched_event(&sparse, false).unwrap();
        let body: Value = serde_json::from_str(&event.body).unwrap();
        assert_eq!(
            (&body["data"]["provider_appid"], &body["data"]["pay_date"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(body["livemode"], false);
    }
}

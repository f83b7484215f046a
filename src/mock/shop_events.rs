//! The events that paygate sends to the shop, as the cashier shows them beside the providers'
//! notifications.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::page::{self, json_response};
use crate::domain::channel::ProviderId;
use crate::domain::event::{DeliveryState, EventId, EventType};
use crate::domain::ids::TransactionId;
use crate::domain::time::Millis;
use crate::provider::BoxFuture;

/// Reads the shop's events, where paygate and the simulated providers run in one process.
pub trait ShopEvents: Send + Sync + Debug {
    /// The events of the order that the payment belongs to, oldest first.
    ///
    /// # Errors
    ///
    /// Why they cannot be read, for a person.
    fn of_payment<'a>(
        &'a self,
        provider: ProviderId,
        transaction_id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Vec<ShopEvent>, String>>;

    /// Whether the shop has an endpoint for events.
    fn has_webhook(&self) -> bool;
}

/// An event for the shop, and its deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShopEvent {
    /// Its number: the `webhook-id` of every delivery.
    pub id: EventId,
    /// Its type.
    #[serde(rename = "type")]
    pub event: EventType,
    /// The order's number in the shop.
    pub out_trade_no: String,
    /// When paygate recorded the change.
    pub created_at: Millis,
    /// The state of its delivery.
    pub state: DeliveryState,
    /// How often paygate sent it.
    pub tries: u32,
    /// When paygate sends it next, while it is pending.
    pub next_at: Millis,
    /// The last deliveries since paygate started, oldest first.
    pub deliveries: Vec<ShopDelivery>,
}

/// One delivery of an event to the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShopDelivery {
    /// The time at which paygate sent it.
    pub at: Millis,
    /// Why the shop did not accept it; `None` where it did.
    pub refusal: Option<String>,
}

/// The answer to a request for the shop's events; `None` for any other request.
pub(super) async fn answer(
    source: Option<&Arc<dyn ShopEvents>>,
    request: &Request<Bytes>,
) -> Option<Response<Bytes>> {
    if request.method() != Method::GET || request.uri().path() != PATH {
        return None;
    }
    let refused = |status, code: &str, message: &str| {
        json_response(status, &json!({ "code": code, "message": message }))
    };
    let Some(source) = source else {
        let message = "the providers run without paygate, which sends the shop's events";
        return Some(refused(StatusCode::NOT_FOUND, "NO_PAYGATE", message));
    };
    let provider = page::parameter(request, "provider").and_then(|name| ProviderId::parse(&name));
    let transaction_id = page::parameter(request, "transaction_id");
    let (Some(provider), Some(id)) = (provider, transaction_id) else {
        let message = "provider and transaction_id are needed";
        return Some(refused(StatusCode::BAD_REQUEST, "BAD_REQUEST", message));
    };
    Some(match source.of_payment(provider, &TransactionId(id.into())).await {
        Ok(events) => {
            let value = json!({ "has_webhook": source.has_webhook(), "events": events });
            json_response(StatusCode::OK, &value)
        }
        Err(reason) => refused(StatusCode::SERVICE_UNAVAILABLE, "UNREADABLE", &reason),
    })
}

const PATH: &str = "/_mock/events";

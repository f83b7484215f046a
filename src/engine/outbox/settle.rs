//! Settles an event after it was sent: accepted, to be sent again, or parked.

use std::fmt::{self, Display};
use std::time::Duration;

use serde::Deserialize;

use crate::domain::event::{DeliveryState, EventId, OutboxEvent};
use crate::domain::time::{DAY_MS, HOUR_MS, SECOND_MS};
use crate::engine::parts::EngineParts;
use crate::store::EventUpdate;

/// How long paygate waits before it goes on after the store did not record a delivery.
const STORE_PAUSE: Duration = Duration::from_secs(1);

impl EngineParts {
    /// Makes durable how the delivery of `event` ended.
    pub(super) async fn settle(&self, event: OutboxEvent, delivered: Result<(), Undelivered>) {
        if let Err(Undelivered::CutOff) = delivered {
            // It stays due: the next process sends it.
            let (id, out_trade_no) = (&event.id, &event.out_trade_no);
            tracing::info!(%id, %out_trade_no, "the stop did not wait for the answer to an event");
            return;
        }
        let now = self.clock.now();
        let tries = event.tries.saturating_add(1);
        let (state, next_at) = match &delivered {
            Ok(()) => (DeliveryState::Accepted, now),
            Err(Undelivered::NoReceiver) => (DeliveryState::Parked, now),
            Err(Undelivered::Failed(_) | Undelivered::CutOff) if is_last_try(tries, &event.id) => {
                (DeliveryState::Parked, now)
            }
            Err(Undelivered::Failed(_) | Undelivered::CutOff) => {
                (DeliveryState::Pending, now.plus(retry_delay_ms(tries, &event.id)))
            }
        };
        let settled = OutboxEvent { state, tries, next_at, ..event };
        log_delivery(&settled, &delivered);
        match self.store.outbox_set(&settled).await {
            Ok(EventUpdate::Done) => self.waiters.wake(&settled.out_trade_no),
            // Paygate sends it again under the same id, but not all the time because a disk is
            // full.
            Ok(EventUpdate::Missing | EventUpdate::Lost) => {
                let id = &settled.id;
                tracing::error!(%id, "another process owns the store: restart paygate");
                tokio::time::sleep(STORE_PAUSE).await;
            }
            Err(error) => {
                tracing::error!(%error, "the store did not record the delivery of an event");
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    }
}

fn log_delivery(settled: &OutboxEvent, delivered: &Result<(), Undelivered>) {
    let OutboxEvent { id, out_trade_no, tries, .. } = settled;
    let event = settled.event.name();
    let (provider, pid) = account_of(settled);
    match delivered {
        Ok(()) => tracing::info!(
            %id, event, %out_trade_no, provider, pid, tries,
            "the shop accepted an event"
        ),
        Err(why) if settled.state == DeliveryState::Parked => tracing::error!(
            %id, event, %out_trade_no, provider, pid, tries, %why,
            "paygate parked an event: the shop has to get it some other way"
        ),
        Err(why) => tracing::warn!(
            %id, event, %out_trade_no, provider, pid, tries, %why,
            "an event was not accepted"
        ),
    }
}

/// Provider and merchant of an event's order, as its body has them.
fn account_of(event: &OutboxEvent) -> (Option<String>, Option<String>) {
    #[derive(Deserialize)]
    struct EventBody {
        data: EventAccount,
    }
    #[derive(Deserialize)]
    struct EventAccount {
        provider: Option<String>,
        pid: Option<String>,
    }
    let body = serde_json::from_str::<EventBody>(&event.body);
    body.map_or((None, None), |body| (body.data.provider, body.data.pid))
}

/// Why an event was not accepted.
pub(super) enum Undelivered {
    /// There is neither a handler nor a webhook for it.
    NoReceiver,
    /// The receiver refused it, or was not reached.
    Failed(String),
    /// The engine stopped before the receiver answered.
    CutOff,
}

impl Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undelivered::NoReceiver => f.write_str("there is neither a webhook nor a handler"),
            Undelivered::Failed(why) => f.write_str(why),
            Undelivered::CutOff => f.write_str("paygate stopped before it was answered"),
        }
    }
}

/// The fewest sendings before paygate parks an event.
const TRIES_MIN: u32 = 34;

/// Whether paygate parks an event that was refused `tries` times: after at least a day of waits
/// between its sendings. The clock has no say: a machine that was off, or whose clock jumped, sent
/// nothing meanwhile.
fn is_last_try(tries: u32, id: &EventId) -> bool {
    // With so many, the day is over by any spread.
    let waited_ms: i64 = (1..tries.min(64)).map(|tries| retry_delay_ms(tries, id)).sum();
    tries >= TRIES_MIN && waited_ms >= DAY_MS
}

/// How long after its `tries`-th sending an event is sent again, in milliseconds: 4 s, then twice
/// as long each time, up to an hour; give or take a fifth, so that many events do not reach a shop
/// that recovers at the same moment.
fn retry_delay_ms(tries: u32, id: &EventId) -> i64 {
    let doublings = tries.saturating_sub(1).min(10);
    let delay_ms = ((4 * SECOND_MS) << doublings).min(HOUR_MS);
    let spread = id.as_str().bytes().chain(tries.to_be_bytes());
    let hash = spread.fold(0_i64, |hash, byte| (hash * 31 + i64::from(byte)) % 401);
    delay_ms * (800 + hash) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failed_delivery_is_the_receivers_or_that_there_is_none() {
        let failed = Undelivered::Failed("HTTP 500".to_owned());
        assert_eq!(failed.to_string(), "HTTP 500");
        let nobody = Undelivered::NoReceiver.to_string();
        assert_eq!(nobody, "there is neither a webhook nor a handler");
    }

    #[test]
    fn an_event_is_sent_again_within_5_s_then_twice_as_long_up_to_an_hour_for_a_day() {
        let id = EventId::parse(&format!("evt_{}", "0a".repeat(16))).unwrap();
        let waits: Vec<i64> = (1..=40).map(|tries| retry_delay_ms(tries, &id)).collect();
        assert!((1..=5_000).contains(&waits[0]));
        assert_eq!(waits[..4], [4_092, 8_192, 16_400, 32_832], "this event's own spread");
        for (n, wait) in waits.iter().enumerate() {
            let middle = (4_000_i64 << n.min(20)).min(HOUR_MS);
            let range = middle * 8 / 10..=middle * 12 / 10;
            assert!(range.contains(wait), "{n}: {wait} of {middle}");
        }
        let last = (1..).find(|tries| is_last_try(*tries, &id)).unwrap();
        let waited_ms: i64 = waits[..last as usize - 1].iter().sum();
        assert!((34..=36).contains(&last) && waited_ms >= DAY_MS, "{last}: {waited_ms}");
        assert!(is_last_try(u32::MAX, &id), "also for a number that no schedule reaches");
        let spread: std::collections::BTreeSet<i64> = waits[15..].iter().copied().collect();
        assert!(spread.len() > 5, "no two shops are in step");
    }
}

//! When a provider sends the notification of a new payment or refund.

use super::world::World;
use super::world::faults::FaultKind;
use super::world::notification::NotificationState;
use super::world::order::SimulatedOrder;
use crate::domain::channel::ProviderId;
use crate::domain::time::Millis;
use crate::secret::random_text;

/// The notification of a payment of `order`, due at `now` unless a fault changes it.
pub(super) fn for_payment(world: &World, order: &SimulatedOrder, now: Millis) -> NotificationState {
    let mut faults = world.faults();
    schedule(order.notify_url(), now, |is_wanted| faults.take_of_payment(order.provider, is_wanted))
}

/// The notification of a refund to `url`, due at `ends_at` unless a fault changes it.
pub(super) fn for_refund(
    world: &World,
    provider: ProviderId,
    url: Option<String>,
    ends_at: Millis,
) -> NotificationState {
    let mut faults = world.faults();
    schedule(url, ends_at, |is_wanted| faults.take_of_refund(provider, is_wanted))
}

/// The notification that follows `before`, to the same URL, due at `now`.
pub(super) fn after(before: &NotificationState, now: Millis) -> NotificationState {
    let was_scheduled = before.due.is_some() || before.tries > 0;
    let due = before.url.as_ref().filter(|_| was_scheduled).map(|_| now);
    NotificationState {
        id: random_text(),
        url: before.url.clone(),
        due,
        ..NotificationState::default()
    }
}

fn schedule(
    url: Option<String>,
    now: Millis,
    mut take_fault: impl FnMut(fn(&FaultKind) -> bool) -> Option<FaultKind>,
) -> NotificationState {
    let never = take_fault(|fault| matches!(fault, FaultKind::NotifyNever)).is_some();
    let twice = take_fault(|fault| matches!(fault, FaultKind::NotifyTwice)).is_some();
    let delay_ms = match take_fault(|fault| matches!(fault, FaultKind::NotifySlow { .. })) {
        Some(FaultKind::NotifySlow { ms }) => i64::from(ms),
        _ => 0,
    };
    let due = (url.is_some() && !never).then(|| now.plus(delay_ms));
    NotificationState {
        id: random_text(),
        url,
        due,
        copies: u32::from(twice),
        ..NotificationState::default()
    }
}

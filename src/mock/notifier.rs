//! Sends the notifications that are due, signed at the moment of sending.

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use url::Url;

use super::provider::SigningOptions;
use super::providers;
use super::purchase::ActionRefused;
use super::world::faults::FaultKind;
use super::world::ledger::OrderKey;
use super::world::notification::{DeliveryResult, InvalidSignature, MerchantAnswer, RetrySchedule};
use super::world::notification_content::{NotificationContent, NotificationKey};
use super::world::order::{MerchantAccount, SimulatedOrder};
use super::world::{NotWritten, World};
use crate::domain::channel::ProviderId;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;

/// A POST by which a provider notifies the shop of a payment or a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNotification {
    /// The provider that sends it.
    pub provider: ProviderId,
    /// The merchant's order number, as the provider knows it.
    pub out_trade_no: String,
    /// The number of the refund; `None` in the notification of a payment.
    pub out_refund_no: Option<String>,
    /// The URL to POST to.
    pub url: Url,
    /// The headers, signature included.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    merchant: String,
    transaction_id: String,
    number: u32,
}

/// The notification that an operator repeats: `{"provider":"wxpay","out_trade_no":"…"}`, with
/// `out_refund_no` that of a refund.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResendRequest {
    provider: ProviderId,
    out_trade_no: String,
    #[serde(default)]
    out_refund_no: Option<String>,
}

/// The notifications that are due now. They count as sent.
pub(super) fn due(world: &World) -> Vec<SignedNotification> {
    let now = world.now();
    let due = world.orders_due(now);
    due.iter().flat_map(|order| send(world, order, now)).collect()
}

fn send(world: &World, order: &OrderKey, now: Millis) -> Vec<SignedNotification> {
    let (provider, merchant, number) = order;
    let (provider, signed_at) = (*provider, world.clock_time());
    let schedule = retry_schedule(world, provider);
    let mut sent = Vec::new();
    let recorded = world.change(&MerchantAccount { provider, id: merchant }, number, |existing| {
        let mut order = existing.expect("an order with a due notification is in the ledger");
        let due = NotificationContent::all(&order).filter(|content| content.state().is_due(now));
        let due: Vec<NotificationKey> = due.map(|content| content.key()).collect();
        for key in due {
            let invalid_signature =
                take_signature_fault(world, provider, key.out_refund_no.is_some());
            let state = key.state(&mut order).expect("the order has the notification");
            let numbers = state.record_sent(now, schedule, invalid_signature);
            sent.push((key, numbers, SigningOptions { signed_at, invalid_signature }));
        }
        Ok::<_, NotWritten>(order)
    });
    let Ok(order) = recorded else { return Vec::new() };
    let copies = |(key, numbers, signing): (NotificationKey, Vec<u32>, SigningOptions)| {
        let content = NotificationContent::all(&order).find(|content| content.key() == key);
        let signed = content.and_then(|content| sign(content, signing));
        numbers
            .into_iter()
            .filter_map(move |number| Some(SignedNotification { number, ..signed.clone()? }))
    };
    sent.into_iter().flat_map(copies).collect()
}

/// How a fault makes the signature of the next delivery invalid.
fn take_signature_fault(
    world: &World,
    provider: ProviderId,
    is_refund: bool,
) -> Option<InvalidSignature> {
    let is_wanted =
        |fault: &FaultKind| matches!(fault, FaultKind::NotifyWrongKey | FaultKind::NotifyProbe);
    let mut faults = world.faults();
    let fault = match is_refund {
        true => faults.take_of_refund(provider, is_wanted),
        false => faults.take_of_payment(provider, is_wanted),
    };
    match fault? {
        FaultKind::NotifyProbe => Some(InvalidSignature::Probe),
        _ => Some(InvalidSignature::WrongKey),
    }
}

fn sign(content: NotificationContent<'_>, signing: SigningOptions) -> Option<SignedNotification> {
    let NotificationContent { order, payment, refund } = content;
    let url = content.state().url.as_deref()?.parse().ok()?;
    let (headers, body) = providers::by_id(order.provider).notification(content, signing);
    Some(SignedNotification {
        provider: order.provider,
        out_trade_no: order.out_trade_no.clone(),
        out_refund_no: refund.map(|refund| refund.out_refund_no.clone()),
        url,
        headers,
        body: body.into(),
        merchant: order.merchant.clone(),
        transaction_id: payment.transaction_id.clone(),
        number: 0,
    })
}

/// Records the shop's answer to `notification`.
pub(super) fn record_answer(
    world: &World,
    notification: &SignedNotification,
    answer: MerchantAnswer<'_>,
) {
    let provider = notification.provider;
    let schedule = retry_schedule(world, provider);
    let now = world.now();
    let result = DeliveryResult {
        number: notification.number,
        answer,
        is_acknowledgement: providers::by_id(provider).acknowledges(answer),
    };
    let merchant = MerchantAccount { provider, id: &notification.merchant };
    let recorded = world.change(&merchant, &notification.out_trade_no, |existing| {
        let mut order = existing.expect("a payment's order stays in the ledger");
        let key = NotificationKey {
            transaction_id: notification.transaction_id.clone(),
            out_refund_no: notification.out_refund_no.clone(),
        };
        if let Some(state) = key.state(&mut order) {
            state.record_result(result, now, schedule);
        }
        Ok::<_, NotWritten>(order)
    });
    if recorded.is_ok() {
        world.wake_delivery();
    }
}

/// Sends the notification of a paid order, or of a refund that has ended, now, whatever became of
/// it before.
pub(super) fn resend(
    world: &World,
    request: &ResendRequest,
) -> Result<SimulatedOrder, ActionRefused> {
    let now = world.now();
    let unknown = || ActionRefused::new("ORDER_NOT_EXIST", "no such order here");
    let number = &request.out_trade_no;
    let found = world.find_by_number(request.provider, number).ok_or_else(unknown)?;
    let merchant = MerchantAccount { provider: request.provider, id: &found.merchant };
    let order = world.change(&merchant, number, |existing| {
        let mut order = existing.ok_or_else(unknown)?;
        let is_meant = |content: &NotificationContent<'_>| {
            let refund = content.refund;
            let has_ended = refund.is_none_or(|refund| refund.state != RefundState::Processing);
            refund.map(|refund| &refund.out_refund_no) == request.out_refund_no.as_ref()
                && has_ended
                && content.state().url.is_some()
        };
        let content = NotificationContent::all(&order).find(is_meant);
        let key = content.map(|content| content.key());
        let state = key.and_then(|key| key.state(&mut order)).ok_or_else(|| {
            let message = "no payment or ended refund to notify of, or it names no notify_url";
            ActionRefused::new("NOT_NOTIFIED", message)
        })?;
        state.due = Some(now);
        Ok::<_, ActionRefused>(order)
    })?;
    world.wake_delivery();
    Ok(order)
}

fn retry_schedule(world: &World, provider: ProviderId) -> RetrySchedule {
    let waits_ms = providers::by_id(provider).retry_waits_ms();
    RetrySchedule { waits_ms, time_scale: world.time_scale() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SECOND_MS;
    use crate::mock::world::notification::{ANSWER_MS_MAX, NotificationState};

    fn schedule(provider: ProviderId, time_scale: u32) -> RetrySchedule {
        RetrySchedule { waits_ms: providers::by_id(provider).retry_waits_ms(), time_scale }
    }

    /// The times, in seconds from the first, at which the provider notifies a shop that always
    /// refuses.
    fn notified_at(provider: ProviderId, time_scale: u32) -> Vec<i64> {
        let schedule = schedule(provider, time_scale);
        let mut state = NotificationState { due: Some(Millis(0)), ..NotificationState::default() };
        let mut times = Vec::new();
        while let Some(now) = state.due {
            let numbers = state.record_sent(now, schedule, None);
            let answer = MerchantAnswer { status: Some(503), text: "later" };
            let number = numbers[0];
            let is_acknowledgement = providers::by_id(provider).acknowledges(answer);
            let result = DeliveryResult { number, answer, is_acknowledgement };
            state.record_result(result, now, schedule);
            times.push(now.seconds());
        }
        times
    }

    #[test]
    fn a_shop_that_always_refuses_is_notified_for_a_day_at_the_providers_own_times() {
        let wxpay = notified_at(ProviderId::Wxpay, 1);
        assert_eq!(wxpay[..6], [0, 15, 30, 60, 240, 840]);
        assert_eq!((wxpay.len(), wxpay.last()), (16, Some(&(24 * 3600 + 4 * 60))));
        let alipay = notified_at(ProviderId::Alipay, 1);
        assert_eq!(alipay, [0, 240, 840, 1440, 5040, 12_240, 33_840, 87_840]);
        assert_eq!(notified_at(ProviderId::Alipay, 60)[..4], [0, 4, 14, 24]);
    }

    #[test]
    fn only_the_providers_own_acknowledgement_counts() {
        let cases = [
            (ProviderId::Wxpay, Some(200), "{\"code\":\"FAIL\"}", true),
            (ProviderId::Wxpay, Some(204), "", true),
            (ProviderId::Wxpay, Some(201), "", false),
            (ProviderId::Wxpay, Some(302), "", false),
            (ProviderId::Wxpay, None, "no answer in time", false),
            (ProviderId::Alipay, Some(200), "success", true),
            (ProviderId::Alipay, Some(200), "success\n", false),
            (ProviderId::Alipay, Some(200), "SUCCESS", false),
            (ProviderId::Alipay, Some(200), "\"success\"", false),
            (ProviderId::Alipay, Some(204), "success", false),
            (ProviderId::Alipay, None, "success", false),
        ];
        for (provider, status, text, expected) in cases {
            let answer = MerchantAnswer { status, text };
            let acknowledges = providers::by_id(provider).acknowledges(answer);
            assert_eq!(acknowledges, expected, "{provider} {status:?} {text}");
        }
    }

    #[test]
    fn a_delivery_that_nobody_answered_is_sent_again() {
        let schedule = schedule(ProviderId::Wxpay, 1);
        let mut state = NotificationState { due: Some(Millis(0)), ..NotificationState::default() };
        state.record_sent(Millis(0), schedule, None);
        assert!(!state.is_due(Millis(ANSWER_MS_MAX + 15 * SECOND_MS - 1)));
        assert!(state.is_due(Millis(ANSWER_MS_MAX + 15 * SECOND_MS)));
    }
}

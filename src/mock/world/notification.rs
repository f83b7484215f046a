//! The state of a notification: when the provider sends it, and how the shop answered.

use serde::{Deserialize, Serialize};

use crate::domain::time::{Millis, SECOND_MS};

/// The state of a notification. Every delivery of it has the same content, until the shop has
/// acknowledged it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationState {
    /// The provider's number of it: WeChat Pay's `id`, Alipay's `notify_id`.
    pub id: String,
    /// The URL that the order names.
    pub url: Option<String>,
    /// The time at which the provider sends it next, if it does.
    pub due: Option<Millis>,
    /// The time at which the shop acknowledged it first.
    pub acknowledged: Option<Millis>,
    /// How many times the provider sent it on schedule.
    pub tries: u32,
    /// How many more copies the provider sends with the next delivery.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copies: u32,
    /// The deliveries, oldest first; the last [`DELIVERIES_MAX`].
    pub deliveries: Vec<Delivery>,
}

/// One POST to the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number, from 1.
    pub number: u32,
    /// The time at which it was sent.
    pub at: Millis,
    /// How its signature is invalid, where it is.
    #[serde(default, rename = "forged", skip_serializing_if = "Option::is_none")]
    pub invalid_signature: Option<InvalidSignature>,
    /// The HTTP status of the answer; `None` while there is no answer.
    pub status: Option<u16>,
    /// The first 200 characters of the answer, or the reason why there is none.
    pub answer: String,
}

/// How the signature of a delivery is invalid, so that the shop must refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvalidSignature {
    /// Another key than the provider's signs.
    WrongKey,
    /// WeChat Pay probes whether the shop verifies signatures (V3, "verifying signatures": a
    /// signature that begins with `WECHATPAY/SIGNTEST/`). At Alipay as
    /// [`InvalidSignature::WrongKey`].
    Probe,
}

/// How many deliveries of one notification the ledger keeps.
pub const DELIVERIES_MAX: usize = 32;

/// How many characters of an answer the ledger keeps.
const ANSWER_CHARS_MAX: usize = 200;

/// How long the provider waits for an answer (WeChat Pay V3, "payment success notification":
/// 5 seconds).
pub(in crate::mock) const ANSWER_MS_MAX: i64 = 5 * SECOND_MS;

/// How long a provider waits from one try to the next.
#[derive(Clone, Copy, Debug)]
pub(in crate::mock) struct RetrySchedule {
    /// The provider's real waits, in milliseconds.
    pub(in crate::mock) waits_ms: &'static [i64],
    /// The divisor of the real waits.
    pub(in crate::mock) time_scale: u32,
}

impl RetrySchedule {
    /// The wait in milliseconds after so many tries; `None` after the last.
    fn wait_ms(self, tries: u32) -> Option<i64> {
        let last = usize::try_from(tries).ok()?.checked_sub(1)?;
        Some(self.waits_ms.get(last)? / i64::from(self.time_scale.max(1)))
    }
}

/// The shop's answer to a delivery.
#[derive(Clone, Copy, Debug)]
pub(in crate::mock) struct MerchantAnswer<'a> {
    /// The HTTP status; `None` where there was no answer.
    pub(in crate::mock) status: Option<u16>,
    /// The body, or the reason why there is none.
    pub(in crate::mock) text: &'a str,
}

/// How the delivery with this number ended.
#[derive(Clone, Copy, Debug)]
pub(in crate::mock) struct DeliveryResult<'a> {
    pub(in crate::mock) number: u32,
    pub(in crate::mock) answer: MerchantAnswer<'a>,
    /// Whether the provider accepts the answer as an acknowledgement.
    pub(in crate::mock) is_acknowledgement: bool,
}

impl NotificationState {
    pub(in crate::mock) fn is_due(&self, now: Millis) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Records that the provider sends it at `now`, and returns the numbers of the deliveries.
    /// They count as failed until the shop answers, so that the provider sends the notification
    /// again should the process end.
    pub(in crate::mock) fn record_sent(
        &mut self,
        now: Millis,
        schedule: RetrySchedule,
        invalid_signature: Option<InvalidSignature>,
    ) -> Vec<u32> {
        let in_time = now.plus(ANSWER_MS_MAX);
        if invalid_signature.is_some() {
            // The genuine one follows.
            self.due = Some(in_time);
            return vec![self.add_delivery(now, invalid_signature)];
        }
        self.tries = self.tries.saturating_add(1);
        self.due = schedule.wait_ms(self.tries).map(|wait_ms| in_time.plus(wait_ms));
        let copies = std::mem::take(&mut self.copies);
        (0..=copies).map(|_| self.add_delivery(now, None)).collect()
    }

    /// Records how a delivery ended at `now`.
    pub(in crate::mock) fn record_result(
        &mut self,
        result: DeliveryResult<'_>,
        now: Millis,
        schedule: RetrySchedule,
    ) {
        let DeliveryResult { number, answer, is_acknowledgement } = result;
        let is_last = self.deliveries.last().is_some_and(|delivery| delivery.number == number);
        let mut deliveries = self.deliveries.iter_mut();
        let Some(delivery) = deliveries.find(|delivery| delivery.number == number) else {
            return;
        };
        delivery.status = answer.status;
        delivery.answer = answer.text.chars().take(ANSWER_CHARS_MAX).collect();
        if delivery.invalid_signature.is_some() {
            self.due = self.due.map(|_| now);
        } else if is_acknowledgement {
            self.acknowledged = self.acknowledged.or(Some(now));
            self.due = None;
        } else if self.acknowledged.is_some() {
            self.due = None;
        } else if is_last {
            self.due = schedule.wait_ms(self.tries).map(|wait_ms| now.plus(wait_ms));
        }
    }

    fn add_delivery(&mut self, at: Millis, invalid_signature: Option<InvalidSignature>) -> u32 {
        let number = self.deliveries.last().map_or(1, |last| last.number.saturating_add(1));
        if self.deliveries.len() >= DELIVERIES_MAX {
            self.deliveries.remove(0);
        }
        let answer = String::new();
        self.deliveries.push(Delivery { number, at, invalid_signature, status: None, answer });
        number
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

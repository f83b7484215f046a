//! What a provider has told the shop of a payment, and what it still has to tell.
//!
//! WeChat Pay V3, "payment success notification": 15 tries after the first, until 200 or 204.
//! Alipay open platform, "asynchronous notification": 7 tries after the first, until `success`.

use serde::{Deserialize, Serialize};

use crate::domain::channel::ProviderId;
use crate::domain::time::{HOUR_MS, MINUTE_MS, Millis, SECOND_MS};

/// What is told of a payment: the same to every delivery, until the shop has acknowledged it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The provider's number of it: WeChat Pay's `id`, Alipay's `notify_id`.
    pub id: String,
    /// Where to, as the order was given it.
    pub url: Option<String>,
    /// When it is delivered next, if it is.
    pub due: Option<Millis>,
    /// When the shop acknowledged it first.
    pub acknowledged: Option<Millis>,
    /// How often it was sent on schedule.
    pub tries: u32,
    /// How often the next delivery happens besides.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copies: u32,
    /// What was sent, oldest first; the last [`DELIVERIES_MAX`].
    pub deliveries: Vec<Delivery>,
}

/// One POST to the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number, from 1.
    pub number: u32,
    /// When it was sent.
    pub at: Millis,
    /// By whom, where it was not the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forged: Option<Forgery>,
    /// The HTTP status of the answer; none while there is no answer.
    pub status: Option<u16>,
    /// The first 200 characters of the answer, or why there is none.
    pub answer: String,
}

/// How a delivery is signed that nobody may believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgery {
    /// By another key than the provider's.
    WrongKey,
    /// WeChat Pay tries whether signatures are checked (V3, "verifying signatures": a signature
    /// that begins with `WECHATPAY/SIGNTEST/`). At Alipay as [`Forgery::WrongKey`].
    Probe,
}

/// How many deliveries of one notice are kept.
pub const DELIVERIES_MAX: usize = 32;

/// How many characters of an answer are kept.
const ANSWER_CHARS_MAX: usize = 200;

/// How long the provider waits for an answer (WeChat Pay V3, "payment success notification":
/// 5 seconds).
pub(in crate::mock) const ANSWER_MS_MAX: i64 = 5 * SECOND_MS;

const WXPAY_WAITS_MS: [i64; 15] = [
    15 * SECOND_MS,
    15 * SECOND_MS,
    30 * SECOND_MS,
    3 * MINUTE_MS,
    10 * MINUTE_MS,
    20 * MINUTE_MS,
    30 * MINUTE_MS,
    30 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    3 * HOUR_MS,
    3 * HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    6 * HOUR_MS,
];

const ALIPAY_WAITS_MS: [i64; 7] = [
    4 * MINUTE_MS,
    10 * MINUTE_MS,
    10 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
    6 * HOUR_MS,
    15 * HOUR_MS,
];

/// How long a provider waits from one try to the next.
#[derive(Clone, Copy, Debug)]
pub(in crate::mock) struct Pace {
    pub(in crate::mock) provider: ProviderId,
    /// What its real waits are divided by.
    pub(in crate::mock) hurry: u32,
}

impl Pace {
    /// The wait after so many tries; none after the last.
    fn wait_ms(self, tries: u32) -> Option<i64> {
        let waits = match self.provider {
            ProviderId::Wxpay => &WXPAY_WAITS_MS[..],
            ProviderId::Alipay => &ALIPAY_WAITS_MS[..],
        };
        let last = usize::try_from(tries).ok()?.checked_sub(1)?;
        Some(waits.get(last)? / i64::from(self.hurry.max(1)))
    }
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug)]
pub(in crate::mock) struct Answer<'a> {
    pub(in crate::mock) status: Option<u16>,
    pub(in crate::mock) text: &'a str,
}

impl Answer<'_> {
    /// Whether `provider` takes it for an acknowledgement.
    fn acknowledges(&self, provider: ProviderId) -> bool {
        match provider {
            ProviderId::Wxpay => matches!(self.status, Some(200 | 204)),
            ProviderId::Alipay => self.status == Some(200) && self.text == "success",
        }
    }
}

impl Notice {
    pub(in crate::mock) fn is_due(&self, now: Millis) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Notes that it is sent at `now`, and returns the numbers of the deliveries. Until they are
    /// answered, they count as failed: so they are, should the process end.
    pub(in crate::mock) fn send(
        &mut self,
        now: Millis,
        pace: Pace,
        forged: Option<Forgery>,
    ) -> Vec<u32> {
        let in_time = now.plus(ANSWER_MS_MAX);
        if forged.is_some() {
            // The true one follows.
            self.due = Some(in_time);
            return vec![self.deliver(now, forged)];
        }
        self.tries = self.tries.saturating_add(1);
        self.due = pace.wait_ms(self.tries).map(|wait| in_time.plus(wait));
        let copies = std::mem::take(&mut self.copies);
        (0..=copies).map(|_| self.deliver(now, None)).collect()
    }

    /// Notes what the shop answered at `now` to the delivery `number`.
    pub(in crate::mock) fn answered(
        &mut self,
        number: u32,
        answer: Answer<'_>,
        (now, pace): (Millis, Pace),
    ) {
        let is_last = self.deliveries.last().is_some_and(|it| it.number == number);
        let Some(delivery) = self.deliveries.iter_mut().find(|it| it.number == number) else {
            return;
        };
        delivery.status = answer.status;
        delivery.answer = answer.text.chars().take(ANSWER_CHARS_MAX).collect();
        if delivery.forged.is_some() {
            self.due = self.due.map(|_| now);
        } else if answer.acknowledges(pace.provider) {
            self.acknowledged = self.acknowledged.or(Some(now));
            self.due = None;
        } else if self.acknowledged.is_some() {
            self.due = None;
        } else if is_last {
            self.due = pace.wait_ms(self.tries).map(|wait| now.plus(wait));
        }
    }

    fn deliver(&mut self, at: Millis, forged: Option<Forgery>) -> u32 {
        let number = self.deliveries.last().map_or(1, |it| it.number.saturating_add(1));
        if self.deliveries.len() >= DELIVERIES_MAX {
            self.deliveries.remove(0);
        }
        self.deliveries.push(Delivery { number, at, forged, status: None, answer: String::new() });
        number
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times, in seconds from the first, at which a shop that always refuses is told.
    fn told_at(provider: ProviderId, hurry: u32) -> Vec<i64> {
        let pace = Pace { provider, hurry };
        let mut notice = Notice { due: Some(Millis(0)), ..Notice::default() };
        let mut times = Vec::new();
        while let Some(now) = notice.due {
            let numbers = notice.send(now, pace, None);
            let answer = Answer { status: Some(503), text: "later" };
            notice.answered(numbers[0], answer, (now, pace));
            times.push(now.seconds());
        }
        times
    }

    #[test]
    fn a_shop_that_always_refuses_is_told_for_a_day_at_the_providers_own_times() {
        let wxpay = told_at(ProviderId::Wxpay, 1);
        assert_eq!(wxpay[..6], [0, 15, 30, 60, 240, 840]);
        assert_eq!((wxpay.len(), wxpay.last()), (16, Some(&(24 * 3600 + 4 * 60))));
        let alipay = told_at(ProviderId::Alipay, 1);
        assert_eq!(alipay, [0, 240, 840, 1440, 5040, 12_240, 33_840, 87_840]);
        assert_eq!(told_at(ProviderId::Alipay, 60)[..4], [0, 4, 14, 24]);
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
            let answer = Answer { status, text };
            assert_eq!(answer.acknowledges(provider), expected, "{provider} {status:?} {text}");
        }
    }

    #[test]
    fn what_was_sent_and_never_answered_is_sent_again() {
        let pace = Pace { provider: ProviderId::Wxpay, hurry: 1 };
        let mut notice = Notice { due: Some(Millis(0)), ..Notice::default() };
        notice.send(Millis(0), pace, None);
        assert!(!notice.is_due(Millis(ANSWER_MS_MAX + 15 * SECOND_MS - 1)));
        assert!(notice.is_due(Millis(ANSWER_MS_MAX + 15 * SECOND_MS)));
    }
}

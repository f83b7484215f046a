//! The alerts that wait: the first line of a text is due at once, and those that follow are
//! gathered for a minute, then two, and at most an hour, until a pause passes without one.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::time::Millis;
use crate::sidecar::telemetry::fields::LogFields;

/// A line of the log that an alert is about.
#[derive(Clone, Debug)]
pub(super) struct AlertLine {
    pub(super) at: Millis,
    pub(super) fields: LogFields,
}

/// Lines with the same text, in one message.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub(super) text: String,
    /// How many lines there are.
    pub(super) count: u64,
    /// The first of them, [`LINES_MAX`] at most.
    pub(super) lines: Vec<AlertLine>,
}

/// The lines that wait to be sent. The log has few texts of level ERROR, so these are few, too.
#[derive(Debug, Default)]
pub(super) struct PendingAlerts {
    of_texts: Vec<PendingText>,
    /// When the last alerts were taken, [`MINUTE_MAX`] at most.
    taken_at: VecDeque<Instant>,
}

#[derive(Debug)]
struct PendingText {
    alert: Alert,
    due_at: Instant,
    /// How long lines were gathered for the last alert.
    pause: Duration,
    /// How long the last alert that was not taken waits.
    retry: Duration,
}

/// The most lines that one alert has in full.
const LINES_MAX: usize = 10;

/// The most alerts in a minute. The robots of WeCom and DingTalk take 20, and DingTalk's then takes
/// none for ten minutes.
const MINUTE_MAX: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// The first pause after an alert that the receiver did not take, and the longest.
const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// The longest time for which lines are gathered.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

impl PendingAlerts {
    /// Adds a line.
    pub(super) fn add(&mut self, text: String, line: AlertLine, now: Instant) {
        let at = self.of_texts.iter().position(|pending| pending.alert.text == text);
        let at = at.unwrap_or_else(|| {
            let alert = Alert { text, count: 0, lines: Vec::new() };
            self.of_texts.push(PendingText {
                alert,
                due_at: now,
                pause: Duration::ZERO,
                retry: Duration::ZERO,
            });
            self.of_texts.len().saturating_sub(1)
        });
        let Some(PendingText { alert, .. }) = self.of_texts.get_mut(at) else { return };
        alert.count = alert.count.saturating_add(1);
        if alert.lines.len() < LINES_MAX {
            alert.lines.push(line);
        }
    }

    /// Takes the alert that is due for longest, unless the last minute had too many.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Alert> {
        self.of_texts.retain(|pending| pending.alert.count > 0 || pending.due_at > now);
        if self.free_at(now) > now {
            return None;
        }
        let due = self.of_texts.iter_mut().filter(|it| it.alert.count > 0 && it.due_at <= now);
        let due = due.min_by_key(|pending| pending.due_at)?;
        due.pause = (due.pause * 2).clamp(MINUTE, PAUSE_MAX);
        due.due_at = now + due.pause;
        let alert = due.take();
        self.taken_at.push_back(now);
        Some(alert)
    }

    /// Notes that the receiver took the last alert of `text`.
    pub(super) fn taken(&mut self, text: &str) {
        let of_text = self.of_texts.iter_mut().find(|pending| pending.alert.text == text);
        of_text.into_iter().for_each(|pending| pending.retry = Duration::ZERO);
    }

    /// Puts back an alert that the receiver did not take, with what came since. It waits for 5
    /// seconds, then for twice as long each time, and at most for 5 minutes.
    pub(super) fn put_back(&mut self, alert: Alert, now: Instant) {
        let Alert { text, count, mut lines } = alert;
        let of_text = self.of_texts.iter_mut().find(|pending| pending.alert.text == text);
        let Some(pending) = of_text else { return };
        pending.alert.count = pending.alert.count.saturating_add(count);
        lines.append(&mut pending.alert.lines);
        lines.truncate(LINES_MAX);
        pending.alert.lines = lines;
        pending.retry = (pending.retry * 2).clamp(RETRY_MIN, RETRY_MAX);
        pending.due_at = now + pending.retry;
    }

    /// How many lines wait.
    pub(super) fn waiting(&self) -> u64 {
        self.of_texts.iter().map(|pending| pending.alert.count).sum()
    }

    /// Takes an alert, due or not.
    pub(super) fn take_any(&mut self) -> Option<Alert> {
        self.of_texts.iter_mut().find(|pending| pending.alert.count > 0).map(PendingText::take)
    }

    /// When the next alert is due, if one waits.
    pub(super) fn next_at(&mut self, now: Instant) -> Option<Instant> {
        let free_at = self.free_at(now);
        let waiting = self.of_texts.iter().filter(|pending| pending.alert.count > 0);
        waiting.map(|pending| pending.due_at.max(free_at)).min()
    }

    /// From when on one more alert may be taken.
    fn free_at(&mut self, now: Instant) -> Instant {
        while self.taken_at.front().is_some_and(|taken| *taken + MINUTE <= now) {
            self.taken_at.pop_front();
        }
        match self.taken_at.front() {
            Some(oldest) if self.taken_at.len() >= MINUTE_MAX => *oldest + MINUTE,
            _ => now,
        }
    }
}

impl PendingText {
    fn take(&mut self) -> Alert {
        let empty = Alert { text: self.alert.text.clone(), count: 0, lines: Vec::new() };
        std::mem::replace(&mut self.alert, empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(pending: &mut PendingAlerts, text: &str, now: Instant) {
        let line = AlertLine { at: Millis(0), fields: LogFields::default() };
        pending.add(text.to_owned(), line, now);
    }

    fn taken(pending: &mut PendingAlerts, now: Instant) -> Option<(String, u64)> {
        pending.take_due(now).map(|alert| (alert.text, alert.count))
    }

    #[test]
    fn a_fault_that_repeats_is_one_alert_at_once_then_after_1_2_4_minutes_and_at_most_an_hour() {
        let mut pending = PendingAlerts::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            add(&mut pending, "broken", now);
            add(&mut pending, "broken", now);
            let due_at = pending.next_at(now).unwrap();
            pauses.push((due_at - now).as_secs() / 60);
            assert_eq!(taken(&mut pending, due_at - Duration::from_nanos(1)), None);
            assert_eq!(taken(&mut pending, due_at), Some(("broken".to_owned(), 2)));
            assert_eq!(pending.next_at(due_at), None, "nothing waits");
            now = due_at;
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        // After an hour without one, the next is due at once.
        now += PAUSE_MAX;
        assert_eq!(taken(&mut pending, now), None);
        add(&mut pending, "broken", now);
        assert_eq!(taken(&mut pending, now), Some(("broken".to_owned(), 1)));
        assert_eq!(pending.next_at(now), None);
        add(&mut pending, "broken", now);
        assert_eq!(pending.next_at(now), Some(now + MINUTE));
    }

    #[test]
    fn alerts_of_several_texts_are_ten_a_minute_the_oldest_first() {
        let mut pending = PendingAlerts::default();
        let start = Instant::now();
        for n in 0..12_u64 {
            add(&mut pending, &format!("text {n}"), start + Duration::from_millis(n));
        }
        let second = start + Duration::from_secs(1);
        for n in 0..10 {
            assert_eq!(taken(&mut pending, second), Some((format!("text {n}"), 1)));
        }
        assert_eq!(taken(&mut pending, second), None);
        assert_eq!(pending.next_at(second), Some(second + MINUTE));
        assert_eq!(taken(&mut pending, second + MINUTE).unwrap().0, "text 10");
        let left: Vec<_> = std::iter::from_fn(|| pending.take_any()).map(|it| it.text).collect();
        assert_eq!(left, ["text 11"]);
    }

    #[test]
    fn an_alert_has_ten_lines_in_full_and_the_number_of_all() {
        let mut pending = PendingAlerts::default();
        let now = Instant::now();
        (0..25).for_each(|_| add(&mut pending, "unmatched", now));
        let alert = pending.take_due(now).unwrap();
        assert_eq!((alert.count, alert.lines.len()), (25, LINES_MAX));
    }
}

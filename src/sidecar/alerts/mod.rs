//! Alerts: the ERROR lines of the log, sent to a group robot or another endpoint.
//!
//! A line is sent at once. Those with the same text that follow it are gathered, so that a fault
//! that repeats does not flood the group. Nothing that logs waits for the receiver: a task sends,
//! and repeats what the receiver did not take.
//!
//! What waits is in memory. The log has every line, and the store every event.

mod layer;
mod message;
mod pending;
mod receiver;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use self::pending::Alert;
use self::receiver::{Receive, Robot};
use self::waiting::WaitingAlerts;
use super::exit::Exit;
use super::telemetry::fields::LogFields;
use super::telemetry::{EXITS, OtherLogs};
use crate::config::{AlertConfig, Config, Mode};

/// The sender of alerts.
#[derive(Debug)]
pub(super) struct Alerts {
    waiting: Arc<WaitingAlerts>,
    stop: watch::Sender<bool>,
    sending: JoinSet<()>,
}

impl Alerts {
    /// Starts it, if `config` has a receiver.
    ///
    /// # Errors
    ///
    /// The reason why no request can be sent.
    pub(super) fn start(config: &Config) -> Result<Option<Alerts>, String> {
        let Some(receiver) = &config.alerts else { return Ok(None) };
        let receiver = Robot::new(receiver.clone(), origin(config))?;
        let waiting = Arc::<WaitingAlerts>::default();
        let (stop, stopping) = watch::channel(false);
        let mut sending = JoinSet::new();
        sending.spawn(send_all(Arc::clone(&waiting), receiver, stopping));
        Ok(Some(Alerts { waiting, stop, sending }))
    }

    /// What hands the lines of the log over.
    pub(super) fn logs(&self) -> OtherLogs {
        layer::alerting(Arc::clone(&self.waiting))
    }

    /// Adds the end of a program that fails, of which the log has no line.
    pub(super) fn add_exit(&self, exit: Exit, reason: &str) {
        let mut fields = LogFields::default();
        fields.add("code", (exit as u8).into());
        fields.add("reason", reason.into());
        self.waiting.add(EXITS.to_owned(), fields);
    }

    /// Sends what still waits, each once, and takes no longer than [`LAST_ALERTS`].
    pub(super) async fn finish(mut self) {
        self.stop.send_replace(true);
        if timeout(LAST_ALERTS, self.sending.join_next()).await.is_err() {
            let lines = self.waiting.pending().waiting();
            tracing::warn!(lines, "an alert was not delivered: the stop did not wait for it");
        }
    }
}

/// Sends one alert, so that the operator sees whether it arrives.
///
/// # Errors
///
/// Why the receiver did not take it.
pub async fn send_test(config: AlertConfig) -> Result<(), String> {
    let receiver = Robot::new(config, "paygate test-alert".to_owned())?;
    let text = "this is a test: paygate reaches the receiver of its alerts".to_owned();
    receiver.send(&Alert { text, count: 0, lines: Vec::new() }).await
}

/// How long the end of the program waits for the receiver.
const LAST_ALERTS: Duration = Duration::from_secs(2);

/// Which paygate sends.
fn origin(config: &Config) -> String {
    let mode = match config.mode {
        Mode::Live => "live",
        Mode::Mock => "mock",
    };
    let listen = || format!("http://{}", config.listen);
    let base = config.public_url.as_ref().map_or_else(listen, |url| url.to_string());
    format!("{}{} ({mode})", base.trim_end_matches('/'), config.mount)
}

/// Sends alerts until `stopping`, and then those that are left.
async fn send_all(
    waiting: Arc<WaitingAlerts>,
    receiver: impl Receive,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let alert = tokio::select! {
            biased;
            _ = stopping.wait_for(|stops| *stops) => break,
            alert = waiting.next() => alert,
        };
        let is_taken = try_once(&alert, &receiver).await;
        let mut pending = waiting.pending();
        match is_taken {
            true => pending.taken(&alert.text),
            false => pending.put_back(alert, Instant::now()),
        }
    }
    loop {
        let left = waiting.pending().take_any();
        let Some(alert) = left else { return };
        try_once(&alert, &receiver).await;
    }
}

/// Whether the receiver took the alert.
async fn try_once(alert: &Alert, receiver: &impl Receive) -> bool {
    let sent = receiver.send(alert).await;
    if let Err(why) = &sent {
        tracing::warn!(alert = alert.text, why, "an alert was not delivered");
    }
    sent.is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use tokio::time::sleep;

    use super::*;
    use crate::provider::BoxFuture;

    /// A receiver that does not take some alerts, and keeps when which came.
    #[derive(Default)]
    struct TestReceiver {
        refusals: Mutex<VecDeque<&'static str>>,
        /// Text, number of lines, and seconds since `started`.
        received: Mutex<Vec<(String, u64, u64)>>,
        started: Option<Instant>,
    }

    impl Receive for Arc<TestReceiver> {
        fn send<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, Result<(), String>> {
            let seconds = self.started.unwrap().elapsed().as_secs();
            self.received.lock().unwrap().push((alert.text.clone(), alert.count, seconds));
            let refusal = self.refusals.lock().unwrap().pop_front();
            Box::pin(async move { refusal.map_or(Ok(()), |why| Err(why.to_owned())) })
        }
    }

    struct Rig {
        alerts: Alerts,
        receiver: Arc<TestReceiver>,
    }

    impl Rig {
        fn start(refusals: usize) -> Rig {
            let refusals = Mutex::new(vec!["not now"; refusals].into());
            let started = Some(Instant::now());
            let receiver = Arc::new(TestReceiver { refusals, started, ..TestReceiver::default() });
            let waiting = Arc::<WaitingAlerts>::default();
            let (stop, stopping) = watch::channel(false);
            let mut sending = JoinSet::new();
            sending.spawn(send_all(Arc::clone(&waiting), Arc::clone(&receiver), stopping));
            Rig { alerts: Alerts { waiting, stop, sending }, receiver }
        }

        fn add(&self, text: &str) {
            self.alerts.waiting.add(text.to_owned(), LogFields::default());
        }

        fn received(&self) -> Vec<(String, u64, u64)> {
            std::mem::take(&mut *self.receiver.received.lock().unwrap())
        }
    }

    fn sent(text: &str, count: u64, seconds: u64) -> (String, u64, u64) {
        (text.to_owned(), count, seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn an_alert_that_is_not_taken_is_sent_again_until_it_is_and_holds_up_no_other() {
        let rig = Rig::start(1);
        rig.add("first");
        sleep(Duration::from_secs(1)).await;
        rig.add("second");
        rig.add("first");
        sleep(Duration::from_secs(3600)).await;
        let expected = [sent("first", 1, 0), sent("second", 1, 1), sent("first", 2, 5)];
        assert_eq!(rig.received(), expected);

        let rig = Rig::start(9);
        rig.add("first");
        sleep(Duration::from_secs(3600)).await;
        let pauses = [0, 5, 10, 20, 40, 80, 160, 300, 300, 300];
        let seconds = pauses.iter().scan(0, |sum, pause| {
            *sum += pause;
            Some(*sum)
        });
        let expected: Vec<_> = seconds.map(|seconds| sent("first", 1, seconds)).collect();
        assert_eq!(rig.received(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_repeat_are_one_alert_after_a_minute_or_at_the_end_of_the_program() {
        let rig = Rig::start(0);
        for _ in 0..70 {
            rig.add("broken");
            sleep(Duration::from_secs(1)).await;
        }
        rig.add("other");
        sleep(Duration::from_secs(1)).await;
        let expected = [sent("broken", 1, 0), sent("broken", 60, 60), sent("other", 1, 70)];
        assert_eq!(rig.received(), expected);
        let Rig { alerts, receiver } = rig;
        alerts.finish().await;
        let left = std::mem::take(&mut *receiver.received.lock().unwrap());
        assert_eq!(left, [sent("broken", 9, 71)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_program_sends_what_is_left_once_although_the_receiver_refuses() {
        let rig = Rig::start(100);
        rig.add("first");
        sleep(Duration::from_secs(1)).await;
        rig.add("second");
        rig.alerts.add_exit(Exit::Unavailable, "the store is gone");
        let Rig { alerts, receiver } = rig;
        alerts.finish().await;
        let received = receiver.received.lock().unwrap();
        let expected =
            [sent("first", 1, 0), sent("first", 1, 1), sent("second", 1, 1), sent(EXITS, 1, 1)];
        assert_eq!(*received, expected);
    }
}

//! Delivers notifications over the network.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::in_process::InProcess;
use super::notifier::SignedNotification;
use super::world::notification::ANSWER_MS_MAX;
use crate::merchant::client::MerchantHttp;

/// How long the providers wait for an answer.
const TIMEOUT: Duration = Duration::from_millis(ANSWER_MS_MAX.unsigned_abs());

/// The longest pause between two checks for due notifications: the ledger's clock is not the
/// timer's.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Delivers the notifications that are due until `stop` changes, then waits for the deliveries in
/// flight.
pub(super) async fn deliver(providers: InProcess, mut stop: watch::Receiver<bool>) {
    let mut in_flight = JoinSet::new();
    loop {
        for notification in providers.notifications() {
            in_flight.spawn(post(providers.clone(), notification));
        }
        let pause = providers.until_next().unwrap_or(CHECK_INTERVAL).min(CHECK_INTERVAL);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = providers.delivery_woken() => {}
            Some(_) = in_flight.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    while in_flight.join_next().await.is_some() {}
}

async fn post(providers: InProcess, notification: SignedNotification) {
    let SignedNotification { url, headers, body, .. } = &notification;
    let answer = match &MerchantHttp::new(url, TIMEOUT) {
        Ok(client) => client.post(url, headers.clone(), body.clone()).await,
        Err(_) => {
            let reason = "no TLS: the system has no root certificates";
            return providers.record_no_answer(&notification, reason);
        }
    };
    match answer {
        Ok(answer) => providers.record_answer(&notification, answer.status, &answer.body),
        Err(error) => providers.record_no_answer(&notification, &error.to_string()),
    }
}

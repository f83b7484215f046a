//! Delivers notifications over the network.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::in_process::InProcess;
use super::notifier::Notification;
use super::world::notice::ANSWER_MS_MAX;
use crate::merchant::client::MerchantHttp;

/// How long the providers wait for an answer.
const TIMEOUT: Duration = Duration::from_millis(ANSWER_MS_MAX.unsigned_abs());

/// The ledger's clock is not the timer's: it is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// Delivers what is due until `stop` changes, then ends what is on its way.
pub(super) async fn deliver(providers: InProcess, mut stop: watch::Receiver<bool>) {
    let mut on_their_way = JoinSet::new();
    loop {
        for notification in providers.notifications() {
            on_their_way.spawn(post(providers.clone(), notification));
        }
        let look = providers.until_next().unwrap_or(LOOK).min(LOOK);
        tokio::select! {
            () = tokio::time::sleep(look) => {}
            () = providers.woken() => {}
            Some(_) = on_their_way.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    while on_their_way.join_next().await.is_some() {}
}

async fn post(providers: InProcess, told: Notification) {
    let client = MerchantHttp::new(&told.url, TIMEOUT);
    let answer = match &client {
        Ok(client) => client.post(&told.url, told.headers.clone(), told.body.clone()).await,
        Err(_) => {
            return providers.unanswered(&told, "no TLS: the system has no root certificates");
        }
    };
    match answer {
        Ok(answer) => providers.answered(&told, answer.status, &answer.body),
        Err(why) => providers.unanswered(&told, &why.to_string()),
    }
}

//! The providers' notifications on their way to whichever process is there: lost, late, twice.

use std::sync::Arc;
use std::time::Duration;

use paygate::domain::Pid;
use paygate::error::Kind;
use paygate::mock::SignedNotification;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::flaw::Flaw;
use super::money;
use super::rng::Rng;
use super::shared::Shared;

/// How long a provider waits for an answer (WeChat Pay V3, "payment success notification").
const PATIENCE: Duration = Duration::from_secs(5);

/// Brings whatever the providers have to tell, for ever.
pub(super) async fn deliver_notifications(shared: Arc<Shared>, rng: Rng) {
    let mut on_their_way = JoinSet::new();
    loop {
        sleep(shared.pace(rng.time(Duration::from_secs(3)))).await;
        for notification in shared.providers.notifications() {
            on_their_way.spawn(bring(shared.clone(), notification, rng.fork()));
        }
        while on_their_way.try_join_next().is_some() {}
    }
}

async fn bring(shared: Arc<Shared>, notification: SignedNotification, rng: Rng) {
    if shared.has(Flaw::RefundNotificationsAreDropped) && notification.out_refund_no.is_some() {
        return shared.providers.record_answer(&notification, 200, b"success");
    }
    let trouble = if shared.troubled() && rng.percent(shared.trouble) { rng.below(5) } else { 9 };
    let (provider, no) = (notification.provider, &notification.out_trade_no);
    shared.log(format!("{provider} notifies of {no}, trouble {trouble}"));
    sleep(rng.time(Duration::from_millis(100))).await;
    match trouble {
        0 => return shared.providers.record_no_answer(&notification, "lost"),
        1 => sleep(rng.time(Duration::from_secs(30))).await,
        2 => {
            deliver(&shared, &notification).await;
        }
        _ => {}
    }
    let answer = match deliver(&shared, &notification).await {
        Some(_) if trouble == 3 => None,
        answer => answer,
    };
    match answer {
        None => shared.providers.record_no_answer(&notification, "no answer in time"),
        Some(Ok(())) => shared.providers.record_answer(&notification, 200, b"success"),
        Some(Err(_)) => shared.providers.record_answer(&notification, 503, b"failure"),
    }
    if trouble == 4 {
        // Somebody kept it.
        sleep(rng.time(Duration::from_secs(600))).await;
        deliver(&shared, &notification).await;
    }
}

/// What the process answers that takes requests now, if it does in time. One that stalls goes on
/// with it when it wakes up.
async fn deliver(
    shared: &Arc<Shared>,
    notification: &SignedNotification,
) -> Option<Result<(), Kind>> {
    let process = shared.front();
    let (done, answered) = oneshot::channel();
    let (engine, message, crash_switch) =
        (process.engine, notification.clone(), process.crash_switch.clone());
    shared.works(async move {
        crash_switch.pass().await;
        let (headers, body) = (&message.headers, message.body.clone());
        let taken = engine.notify(message.provider, &Pid::default(), headers, body).await;
        crash_switch.pass().await;
        // Who asked may not wait any more.
        done.send(taken.map_err(|error| error.kind())).ok();
    });
    let answer = tokio::select! {
        biased;
        () = process.crash_switch.stopped() => None,
        answer = answered => answer.ok(),
        () = sleep(PATIENCE) => None,
    };
    shared.log(format!("{} of {}: {answer:?}", notification.provider, notification.out_trade_no));
    if answer == Some(Ok(())) {
        shared.saw(money::acknowledged(shared, notification));
    }
    answer
}

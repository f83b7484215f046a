//! The providers' notifications on their way to whichever process is there: lost, late, twice.

use std::sync::Arc;
use std::time::Duration;

use paygate::domain::ids::Pid;
use paygate::error::Kind;
use paygate::mock::Notification;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::money;
use super::rng::Chance;
use super::world::Shared;

/// How long a provider waits for an answer (WeChat Pay V3, "payment success notification").
const PATIENCE: Duration = Duration::from_secs(5);

/// Brings whatever the providers have to tell, for ever.
pub(super) async fn courier(shared: Arc<Shared>, chance: Chance) {
    let mut on_their_way = JoinSet::new();
    loop {
        sleep(shared.pace(chance.time(Duration::from_secs(3)))).await;
        for told in shared.providers.notifications() {
            on_their_way.spawn(bring(shared.clone(), told, chance.fork()));
        }
        while on_their_way.try_join_next().is_some() {}
    }
}

async fn bring(shared: Arc<Shared>, told: Notification, chance: Chance) {
    let trouble =
        if shared.troubled() && chance.percent(shared.trouble) { chance.below(5) } else { 9 };
    let (provider, no) = (told.provider, &told.out_trade_no);
    shared.tell(format!("{provider} notifies of {no}, trouble {trouble}"));
    sleep(chance.time(Duration::from_millis(100))).await;
    match trouble {
        0 => return shared.providers.unanswered(&told, "lost"),
        1 => sleep(chance.time(Duration::from_secs(30))).await,
        2 => {
            deliver(&shared, &told).await;
        }
        _ => {}
    }
    let answer = match deliver(&shared, &told).await {
        Some(_) if trouble == 3 => None,
        answer => answer,
    };
    match answer {
        None => shared.providers.unanswered(&told, "no answer in time"),
        Some(Ok(())) => shared.providers.answered(&told, 200, b"success"),
        Some(Err(_)) => shared.providers.answered(&told, 503, b"failure"),
    }
    if trouble == 4 {
        // Somebody kept it.
        sleep(chance.time(Duration::from_secs(600))).await;
        deliver(&shared, &told).await;
    }
}

/// What the process answers that takes requests now, if it does in time. One that stalls goes on
/// with it when it wakes up.
async fn deliver(shared: &Arc<Shared>, told: &Notification) -> Option<Result<(), Kind>> {
    let process = shared.front();
    let (done, answered) = oneshot::channel();
    let (told_to, message, power) = (process.engine, told.clone(), process.power.clone());
    shared.works(async move {
        power.pass().await;
        let (headers, body) = (&message.headers, message.body.clone());
        let taken = told_to.notify(message.provider, &Pid::default(), headers, body).await;
        power.pass().await;
        // Who asked may not wait any more.
        done.send(taken.map_err(|error| error.kind())).ok();
    });
    let answer = tokio::select! {
        biased;
        () = process.power.stopped() => None,
        answer = answered => answer.ok(),
        () = sleep(PATIENCE) => None,
    };
    shared.tell(format!("{} of {}: {answer:?}", told.provider, told.out_trade_no));
    if answer == Some(Ok(())) {
        shared.saw(money::acknowledged(shared, told));
    }
    answer
}

//! `createPayment`: at most one request works on an order, the others get its answer.

pub(super) mod created;
mod present;
mod resolve;
mod run;
mod switch;
mod plan;

use std::sync::Arc;

use tokio::sync::watch;
use tracing::Instrument as _;

use self::created::Created;
use self::resolve::Resolved;
use self::run::CreateRun;
use super::claim::Claimed;
use super::failures::{busy, different_order, interrupted};
use super::locked::LockedWork;
use super::order_lock::{Follower, Join};
use super::order_log::request_span;
use super::parts::{Engine, EngineParts};
use super::progress::{LockGuard, Progress, RequestKey};
use crate::domain::caller::CallerContext;
use crate::domain::request::CreateRequest;
use crate::error::Error;

/// How often a request starts over when the leader that it followed asked for other terms.
const ROUNDS_MAX: usize = 3;

impl Engine {
    /// Gives the caller what it needs to pay for the order: the first request with an
    /// `out_trade_no` opens it at the provider, and every repeat gets the same answer.
    ///
    /// # Errors
    ///
    /// [`Error::kind`] says why not; [`Error::money`] what that means for the money.
    ///
    /// # Cancel safety
    ///
    /// A dropped future stops nothing that was begun: the outcome is recorded, and the next
    /// request with this number gets it.
    pub async fn create(
        &self,
        request: CreateRequest,
        caller: CallerContext,
    ) -> Result<Created, Error> {
        let _operation = self.begin_operation()?;
        let resolved = Arc::new(self.0.resolve(request, caller)?);
        if let Some(known) = self.0.replay_from_cache(&resolved) {
            let out_trade_no = &resolved.request.terms.out_trade_no;
            tracing::debug!(%out_trade_no, "paygate answered a repeated request from memory");
            return known;
        }
        for _ in 0..ROUNDS_MAX {
            let out_trade_no = &resolved.request.terms.out_trade_no;
            match self.0.locks.join(out_trade_no, &resolved.key).await {
                Join::Leader(guard) => return self.0.lead(guard, resolved).await,
                Join::Full => return Err(busy()),
                Join::Follower(follower) => {
                    if let Some(answer) = self.0.follow(*follower, &resolved).await {
                        return answer;
                    }
                }
            }
        }
        Err(busy())
    }
}

impl EngineParts {
    /// Works on the order in a task of its own, which a leaving client does not stop.
    async fn lead(
        self: &Arc<Self>,
        guard: LockGuard,
        resolved: Arc<Resolved>,
    ) -> Result<Created, Error> {
        let progress = guard.watch();
        let locked = LockedWork::new(self.clone(), guard);
        let span = request_span(&resolved.request);
        let work = async move {
            let result = Box::pin(work(&locked, &resolved)).await;
            locked.guard.finish(Progress::Done(Box::new(result)));
        };
        self.tasks.spawn(work.instrument(span));
        end_of(progress).await
    }

    /// Watches the work of the request that leads. [`None`] when that asked for other terms.
    async fn follow(
        &self,
        mut follower: Follower<RequestKey, Progress>,
        resolved: &Resolved,
    ) -> Option<Result<Created, Error>> {
        let RequestKey { method, fingerprint } = &resolved.key;
        let (same_order, same_method) = match &follower.request {
            Some(leader) => (leader.fingerprint == *fingerprint, leader.method == *method),
            None => (false, false),
        };
        let limit = self.settings.call_budget;
        let is_claimed = |progress: &Progress| !matches!(progress, Progress::Claiming);
        let claimed = follower.progress.wait_for(is_claimed);
        match tokio::time::timeout(limit, claimed).await {
            Err(_) => return Some(Err(busy())),
            Ok(Err(_)) => return Some(Err(interrupted())),
            Ok(Ok(progress)) => {
                if let Progress::Claimed(owner) = &*progress {
                    let differences = owner.differences(fingerprint);
                    if !differences.is_empty() {
                        return Some(Err(different_order(&differences)));
                    }
                    if same_order && !same_method {
                        return Some(Err(busy()));
                    }
                }
            }
        }
        if same_order && same_method {
            let done = tokio::time::timeout(limit, end_of(follower.progress)).await;
            return Some(done.unwrap_or_else(|_| Err(busy())));
        }
        // The leader's request named another order's terms; the store knows whose number it is.
        let ended = follower.progress.wait_for(|progress| matches!(progress, Progress::Done(_)));
        match tokio::time::timeout(limit, ended).await {
            Ok(_) => None,
            Err(_) => Some(Err(busy())),
        }
    }
}

/// The leader's work: it claims the number of a new order, or goes on with the stored order.
async fn work(locked: &LockedWork, resolved: &Resolved) -> Result<Created, Error> {
    let commits = &locked.engine.commits;
    let run = CreateRun::new(locked, resolved);
    if let Some(known) = commits.find(&resolved.request.terms.out_trade_no).await? {
        let fingerprint = Box::new(known.fingerprint.clone());
        locked.guard.publish(Progress::Claimed(fingerprint));
        return run.resume(known).await;
    }
    let order = locked.engine.new_order(resolved)?;
    match commits.claim(&locked.guard, order).await? {
        Claimed::Fresh(order) => run.start(order).await,
        Claimed::Known(order) => run.resume(order).await,
    }
}

/// Waits for the end of the leader's work. Its outcome is unknown when it ended without a result.
async fn end_of(mut progress: watch::Receiver<Progress>) -> Result<Created, Error> {
    match progress.wait_for(|progress| matches!(progress, Progress::Done(_))).await {
        Ok(progress) => match &*progress {
            Progress::Done(result) => (**result).clone(),
            Progress::Claiming | Progress::Claimed(_) => Err(interrupted()),
        },
        Err(_) => Err(interrupted()),
    }
}

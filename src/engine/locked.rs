//! Work on one order under its lock.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use super::commit::Report;
use super::failures::interrupted;
use super::order_log::{name_account, order_span};
use super::parts::EngineParts;
use super::progress::{LockGuard, Progress};
use super::providers::CallBudget;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::{Order, TradeUpdate, Transition};
use crate::error::Error;
use crate::provider::TradeState;

/// How long an operation waits for another one on the same order.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// What an operation does when another one has the order's lock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// It does nothing.
    No,
    /// It waits so long for the lock.
    AtMost(Duration),
}

/// One order's lock, and the time that the work under it has for provider calls.
pub(super) struct LockedWork {
    pub(super) engine: Arc<EngineParts>,
    pub(super) guard: LockGuard,
    pub(super) budget: CallBudget,
}

impl EngineParts {
    /// Does `work` on the stored order under its lock, in a task of its own that a leaving caller
    /// does not stop. [`None`] when another operation has the lock.
    ///
    /// # Errors
    ///
    /// The work's; [`Kind::NoSuchOrder`](crate::error::Kind::NoSuchOrder).
    pub(super) async fn exclusively<T, F>(
        self: &Arc<Self>,
        out_trade_no: &OutTradeNo,
        wait: Wait,
        work: impl FnOnce(LockedWork, Order) -> F + Send + 'static,
    ) -> Result<Option<T>, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let guard = match wait {
            Wait::No => self.locks.try_lock(out_trade_no).await,
            Wait::AtMost(timeout) => self.locks.lock(out_trade_no, timeout).await,
        };
        let Some(guard) = guard else { return Ok(None) };
        let locked = LockedWork::new(self.clone(), guard);
        let out_trade_no = out_trade_no.clone();
        let (done, result) = tokio::sync::oneshot::channel();
        let span = order_span(&out_trade_no);
        let work = async move {
            let result = match locked.engine.commits.load(&out_trade_no).await {
                Ok(order) => {
                    name_account(&order);
                    let fingerprint = Box::new(order.fingerprint.clone());
                    locked.guard.publish(Progress::Claimed(fingerprint));
                    work(locked, order).await
                }
                Err(error) => Err(error),
            };
            // The caller may have left.
            drop(done.send(result));
        };
        self.tasks.spawn(work.instrument(span));
        result.await.unwrap_or_else(|_| Err(interrupted())).map(Some)
    }
}

impl LockedWork {
    pub(super) fn new(engine: Arc<EngineParts>, guard: LockGuard) -> LockedWork {
        let budget = engine.providers.budget();
        LockedWork { engine, guard, budget }
    }

    /// Makes a transition of the order durable.
    ///
    /// # Errors
    ///
    /// As [`Commits::record`](super::commit::Commits::record).
    pub(super) async fn record(
        &self,
        order: Order,
        transition: Transition,
    ) -> Result<Order, Error> {
        self.engine.commits.record(&self.guard, order, transition).await
    }

    /// Makes durable what the provider reports of attempt `n`.
    ///
    /// # Errors
    ///
    /// As [`Commits::record`](super::commit::Commits::record).
    pub(super) async fn record_trade(
        &self,
        order: Order,
        n: u32,
        update: TradeUpdate,
    ) -> Result<Order, Error> {
        let report = Report::trade(n, self.engine.clock.now(), update);
        self.engine.commits.report(order, report).await
    }

    /// Queries the trade of attempt `n`, and makes the answer durable.
    ///
    /// # Errors
    ///
    /// 5002 when the provider does not answer, or its answer cannot be recorded.
    pub(super) async fn query_trade(
        &self,
        order: Order,
        n: u32,
    ) -> Result<(Order, TradeState), Error> {
        let providers = &self.engine.providers;
        let context = providers.context(&order, n)?;
        let queried = providers.query_trade(context, providers.next_call(self.budget)?).await;
        let trade = queried.map_err(|failure| failure.call_error())?;
        let order = self.record_trade(order, n, providers.trade_update(&trade)).await?;
        Ok((order, trade))
    }
}

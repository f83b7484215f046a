//! Claims an order's number: the new order is durable, with its first attempt, before anything is
//! sent.

use super::commit::Commits;
use super::failures::store_unreachable;
use super::progress::{LockGuard, Progress};
use crate::domain::order::Order;
use crate::error::Error;
use crate::store::Claim;

/// The order that has a claimed number.
pub(super) enum Claimed {
    /// The new one.
    Fresh(Order),
    /// The one that was stored before.
    Known(Order),
}

impl Commits {
    /// Makes a new order durable, with its first attempt, unless its number is another order's.
    ///
    /// # Errors
    ///
    /// [`Kind::NotSent`] when the store failed.
    pub(super) async fn claim(&self, guard: &LockGuard, order: Order) -> Result<Claimed, Error> {
        let claimed = self.store.claim(&order).await.map_err(|error| store_unreachable(&error))?;
        let claimed = match claimed {
            Claim::Fresh => Claimed::Fresh(order),
            Claim::Existing(order) => Claimed::Known(self.by_clock(*order)),
        };
        let (Claimed::Fresh(order) | Claimed::Known(order)) = &claimed;
        guard.publish(Progress::Claimed(Box::new(order.fingerprint.clone())));
        Ok(claimed)
    }
}

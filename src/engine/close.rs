//! `closePayment`: the shop wants no payment any more, and what the provider says wins.

use std::time::Duration;

use super::create::switch::already_paid;
use super::{Engine, Inner};
use crate::domain::ids::OutTradeNo;
use crate::domain::order::{Order, OrderStatus, Transition};
use crate::error::{Error, Kind};

/// How long an operation waits for another one on the same order.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

impl Engine {
    /// Closes an unpaid order: asks about every attempt that a buyer may pay, and closes it. An
    /// Alipay attempt whose trade does not exist yet is closed here, and watched until it expires;
    /// what was handed out to nobody is not waited for. Closing a closed order is closing it again.
    ///
    /// ```
    /// # use paygate::{Engine, Error, domain::ids::OutTradeNo};
    /// use paygate::error::Kind;
    ///
    /// /// Whether the goods can go back on the shelf: not when the buyer was faster.
    /// async fn give_up(engine: &Engine, order: &OutTradeNo) -> Result<bool, Error> {
    ///     match engine.close(order).await {
    ///         Ok(()) => Ok(true),
    ///         Err(error) if error.kind() == Kind::AlreadyPaid => Ok(false),
    ///         Err(error) => Err(error),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Kind::AlreadyPaid`] with the order's status; [`Kind::Busy`] when it is too early or the
    /// buyer is paying, and the order stays open; [`Kind::NoSuchOrder`]; any other when nothing is
    /// known, and the order stays open.
    ///
    /// # Cancel safety
    ///
    /// A dropped future stops nothing that was begun.
    pub async fn close(&self, out_trade_no: &OutTradeNo) -> Result<(), Error> {
        let known = self.0.load(out_trade_no).await?;
        let turn = self.0.locks.lock(out_trade_no, LOCK_TIMEOUT).await;
        let lead = turn.ok_or_else(|| Error::new(Kind::Busy))?;
        let (engine, out_trade_no) = (self.0.clone(), out_trade_no.clone());
        let (done, closed) = tokio::sync::oneshot::channel();
        self.0.tasks.spawn(async move {
            lead.claimed(&known.fingerprint);
            let result = engine.close_order(&out_trade_no).await;
            drop(lead);
            // Who asked may have left.
            drop(done.send(result));
        });
        closed.await.unwrap_or_else(|_| Err(Error::new(Kind::OutcomeUnknown)))
    }
}

impl Inner {
    async fn close_order(&self, out_trade_no: &OutTradeNo) -> Result<(), Error> {
        let order = self.load(out_trade_no).await?;
        match order.status {
            OrderStatus::Closed => return Ok(()),
            OrderStatus::Open if !order.flags.mismatch => {}
            OrderStatus::Open
            | OrderStatus::Paid
            | OrderStatus::PartRefunded
            | OrderStatus::Refunded => return Err(already_paid(&order)),
        }
        self.forget(&order);
        let order = self.close_payable_trades(order, self.budget()).await?;
        let order = self.record(order, Transition::Closed).await?;
        self.ended(&order);
        match order.status {
            OrderStatus::Closed => Ok(()),
            _ => Err(already_paid(&order)),
        }
    }

    /// Hands out nothing more of `order`, and tells who waits for it.
    fn ended(&self, order: &Order) {
        self.forget(order);
        self.waiters.tell(order.out_trade_no());
    }
}

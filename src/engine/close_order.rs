//! `closePayment`: the shop closes an unpaid order, unless a buyer paid it first.

use super::failures::{already_paid, busy};
use super::locked::{LOCK_TIMEOUT, LockedWork, Wait};
use super::parts::Engine;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::{Order, OrderStatus, Transition};
use crate::error::Error;

impl Engine {
    /// Closes an unpaid order: queries every attempt that a buyer may pay, and closes it. An
    /// Alipay attempt whose trade does not exist yet is closed here, and queried until it expires;
    /// an attempt that was never handed out holds nothing back. Closing a closed order succeeds.
    ///
    /// ```
    /// # use paygate::{Engine, Error};
    /// # use paygate::domain::OutTradeNo;
    /// use paygate::error::Kind;
    ///
    /// /// Whether the goods can return to the shelf: not when the buyer was faster.
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
    /// buyer is paying, and the order stays open; [`Kind::NoSuchOrder`]; any other when the
    /// outcome is unknown, and the order stays open.
    ///
    /// # Cancel safety
    ///
    /// A dropped future stops nothing that was begun.
    ///
    /// [`Kind::AlreadyPaid`]: crate::error::Kind::AlreadyPaid
    /// [`Kind::Busy`]: crate::error::Kind::Busy
    /// [`Kind::NoSuchOrder`]: crate::error::Kind::NoSuchOrder
    pub async fn close(&self, out_trade_no: &OutTradeNo) -> Result<(), Error> {
        let _operation = self.begin_operation()?;
        // An unknown number is answered without the lock.
        self.0.commits.load(out_trade_no).await?;
        let closed = self.0.exclusively(
            out_trade_no,
            Wait::AtMost(LOCK_TIMEOUT),
            |locked, order| async move { locked.close_order(order).await },
        );
        closed.await?.ok_or_else(busy)
    }
}

impl LockedWork {
    async fn close_order(&self, order: Order) -> Result<(), Error> {
        if order.status == OrderStatus::Closed {
            return Ok(());
        }
        if !order.is_unpaid() {
            return Err(already_paid(&order));
        }
        let order = Box::pin(self.close_payable_trades(order)).await?;
        let order = self.record(order, Transition::Closed).await?;
        match order.status {
            OrderStatus::Closed => Ok(()),
            _ => Err(already_paid(&order)),
        }
    }
}

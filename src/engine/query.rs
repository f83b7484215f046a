//! `queryPayment`: the state of an order. Paygate queries the provider when its last answer is old.

use std::convert::Infallible;
use std::time::Duration;

use super::failures::store_unreachable;
use super::locked::{LockedWork, Wait};
use super::parts::{Engine, EngineParts};
use super::waiters::Waiter;
use crate::domain::event::{DeliveryState, Effect, EventId, EventType};
use crate::domain::ids::{OrderNumber, OutTradeNo};
use crate::domain::order::attempt::{Attempt, AttemptState};
use crate::domain::order::{Order, OrderStatus, TradeUpdate};
use crate::domain::time::{Millis, SECOND_MS};
use crate::error::{Error, Kind};

/// A request for the state of an order.
#[derive(Clone, Debug)]
pub struct Query {
    /// The order's number, or the number of one of its payments.
    pub number: OrderNumber,
    /// How long the query waits at most until the shop has accepted the payment; `None`: not at
    /// all.
    pub await_accepted: Option<Duration>,
}

/// A query that does not wait.
impl<N: Into<OrderNumber>> From<N> for Query {
    fn from(number: N) -> Query {
        Query { number: number.into(), await_accepted: None }
    }
}

/// The state of an order.
#[derive(Clone, Debug)]
pub struct Queried {
    /// The order.
    pub order: Order,
    /// Whether the shop has accepted the payment; `None` when neither a webhook nor a handler gets
    /// the event, or nothing is paid.
    pub user_order_success: Option<bool>,
    /// The provider's name for the state of an order that is not paid, such as `NOTPAY`.
    pub trade_state: Option<String>,
}

/// How long a query waits for the provider after `await_accepted` has passed.
const LAST_QUERY: Duration = Duration::from_secs(2);

/// How long a query that waits leaves the provider alone at first.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Paygate queries the provider of an unpaid order again when so many milliseconds have passed.
const STALE_MS: i64 = 5 * SECOND_MS;

impl Engine {
    /// Returns the state of an order. Paygate queries the provider of an unpaid one, at most once
    /// in 5 s.
    ///
    /// ```
    /// # use paygate::{Engine, OutTradeNo};
    /// # async fn is_paid(engine: Engine) -> Result<bool, Box<dyn std::error::Error>> {
    /// let number: OutTradeNo = "2107151010101541001".parse()?;
    /// let queried = engine.query(number).await?;
    /// # Ok(
    /// queried.order.winning_payment().is_some()
    /// # )
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchOrder`] when no order has the number, [`Kind::NotSent`] when the store cannot
    /// be read.
    ///
    /// # Cancel safety
    ///
    /// A dropped future ends the wait, and no provider call that has begun.
    pub async fn query(&self, query: impl Into<Query>) -> Result<Queried, Error> {
        let _operation = self.begin_operation()?;
        self.query_state(query.into()).await
    }

    async fn query_state(&self, query: Query) -> Result<Queried, Error> {
        let out_trade_no = self.0.number(&query.number).await?;
        let waiter = query.await_accepted.and_then(|_| self.0.waiters.wait(&out_trade_no));
        let order = self.0.commits.load(&out_trade_no).await?;
        let order = Box::pin(self.refreshed(order)).await?;
        match (waiter, query.await_accepted) {
            (Some(waiter), Some(limit)) => {
                Box::pin(self.accepted_within(&out_trade_no, waiter, limit)).await
            }
            _ => self.0.order_state(order).await,
        }
    }

    /// Waits until the shop has accepted the payment. The provider's notification may never come,
    /// so the provider is queried meanwhile, and once more when `limit` has passed.
    async fn accepted_within(
        &self,
        out_trade_no: &OutTradeNo,
        waiter: Waiter,
        limit: Duration,
    ) -> Result<Queried, Error> {
        let accepted = tokio::time::timeout(limit, self.0.accepted(out_trade_no, waiter));
        let answer = tokio::select! {
            answer = accepted => answer,
            never = Box::pin(self.refresh_repeatedly(out_trade_no)) => match never {},
        };
        if let Ok(answer) = answer {
            return answer;
        }
        let order = self.0.commits.load(out_trade_no).await?;
        let refreshed = tokio::time::timeout(LAST_QUERY, Box::pin(self.refreshed(order))).await;
        let order = match refreshed {
            Ok(order) => order?,
            Err(_) => self.0.commits.load(out_trade_no).await?,
        };
        self.0.order_state(order).await
    }

    /// Queries the provider of an unpaid order after 5 s, then after twice as long each time. A
    /// payment that it finds wakes the order's waiters.
    async fn refresh_repeatedly(&self, out_trade_no: &OutTradeNo) -> Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
            if let Ok(order) = self.0.commits.load(out_trade_no).await {
                // Without an answer the next query follows, and at last the one after `limit`.
                drop(self.refreshed(order).await);
            }
        }
    }

    /// The order, after its provider was queried in a task of its own.
    async fn refreshed(&self, order: Order) -> Result<Order, Error> {
        if !self.0.is_stale(&order) {
            return Ok(order);
        }
        let out_trade_no = order.out_trade_no().clone();
        let refreshed = self.0.exclusively(&out_trade_no, Wait::No, |locked, order| async move {
            Ok(Box::pin(locked.refresh(order)).await)
        });
        match refreshed.await {
            Ok(refreshed) => Ok(refreshed.unwrap_or(order)),
            Err(_) => self.0.commits.load(&out_trade_no).await,
        }
    }
}

impl EngineParts {
    async fn number(&self, number: &OrderNumber) -> Result<OutTradeNo, Error> {
        match number {
            OrderNumber::OutTradeNo(out_trade_no) => Ok(out_trade_no.clone()),
            OrderNumber::TransactionId(id) => {
                let found = self.store.find_transaction(id).await;
                let found = found.map_err(|error| store_unreachable(&error))?;
                found.ok_or_else(|| Error::new(Kind::NoSuchOrder))
            }
        }
    }

    /// Waits until the shop has accepted the payment, or, where neither a webhook nor a handler
    /// gets the event, until the order is paid.
    async fn accepted(&self, out_trade_no: &OutTradeNo, waiter: Waiter) -> Result<Queried, Error> {
        let mut waiter = waiter;
        let mut stopping = self.stopping.subscribe();
        loop {
            let found = self.order_state(self.commits.load(out_trade_no).await?).await?;
            let is_done = match found.order.status {
                OrderStatus::Open => found.order.flags.mismatch,
                OrderStatus::Closed => true,
                OrderStatus::Paid | OrderStatus::PartRefunded | OrderStatus::Refunded => {
                    found.user_order_success != Some(false)
                }
            };
            if is_done || *stopping.borrow() {
                return Ok(found);
            }
            tokio::select! {
                () = waiter.changed() => {}
                _ = stopping.changed() => return Ok(found),
            }
        }
    }

    fn is_stale(&self, order: &Order) -> bool {
        let now = self.clock.now();
        let attempts = order.attempts.iter().filter(|attempt| is_queried(attempt));
        let last_queried_at: Option<Millis> =
            attempts.map(|attempt| attempt.last_queried_at.unwrap_or(attempt.opened_at)).max();
        let is_open = order.status == OrderStatus::Open;
        is_open && last_queried_at.is_some_and(|at| now.since(at) >= STALE_MS)
    }

    async fn order_state(&self, order: Order) -> Result<Queried, Error> {
        let user_order_success = self.is_accepted(&order).await?;
        let trade_state = trade_state(&order);
        Ok(Queried { order, user_order_success, trade_state })
    }

    /// Whether the shop has accepted the payment that made the order paid.
    async fn is_accepted(&self, order: &Order) -> Result<Option<bool>, Error> {
        let winning = order.winning_payment();
        let Some(payment) = winning.filter(|_| self.outbox.has_listener(&order.terms.kind)) else {
            return Ok(None);
        };
        let effect = Effect {
            event: EventType::PaymentSucceeded,
            transaction_id: payment.transaction_id.clone(),
            out_refund_no: None,
            requested_at: None,
        };
        let id = EventId::of(order.out_trade_no(), &effect);
        let found = self.store.outbox_find(&id).await;
        let found = found.map_err(|error| store_unreachable(&error))?;
        Ok(Some(found.is_some_and(|event| event.state == DeliveryState::Accepted)))
    }
}

impl LockedWork {
    /// Queries every attempt that a buyer may pay, and the one that the buyer waits for.
    async fn refresh(&self, order: Order) -> Order {
        let mut order = order;
        for n in order.trades(is_queried) {
            order = match self.query_trade(order.clone(), n).await {
                Ok((order, _)) => order,
                // The recorded time keeps paygate from another query at once.
                Err(_) => match self.record_trade(order.clone(), n, TradeUpdate::NoAnswer).await {
                    Ok(order) => order,
                    Err(_) => return order,
                },
            };
        }
        order
    }
}

/// Whether a client's query reaches the provider of this attempt. The reconciler queries a
/// superseded attempt that was never handed out.
fn is_queried(attempt: &Attempt) -> bool {
    let is_awaited = attempt.is_unknown() && !attempt.superseded && !attempt.is_unsigned();
    attempt.is_payable() || is_awaited
}

/// The current attempt's state in its provider's words, for an order that is not paid.
fn trade_state(order: &Order) -> Option<String> {
    let state = match order.status {
        OrderStatus::Paid | OrderStatus::PartRefunded | OrderStatus::Refunded => return None,
        OrderStatus::Closed => "CLOSED",
        OrderStatus::Open => provider_state(order.current()),
    };
    Some(state.to_owned())
}

fn provider_state(attempt: &Attempt) -> &'static str {
    let provider = attempt.method.provider();
    match attempt.state {
        AttemptState::Closed => provider.closed_state(),
        _ => provider.unpaid_state(),
    }
}

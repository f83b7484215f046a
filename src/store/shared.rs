//! A store that several hold.

use std::sync::Arc;

use super::{BoxFuture, Claim, Committed, Settled, Store, StoreError};
use crate::domain::channel::ProviderId;
use crate::domain::event::{DeliveryState, EventId, OutboxEvent};
use crate::domain::ids::{ChannelNo, OutTradeNo, Pid, TransactionId};
use crate::domain::order::Order;
use crate::domain::time::Millis;
use crate::domain::unmatched::UnmatchedPayment;

impl<S: Store + ?Sized> Store for Arc<S> {
    fn load<'a>(
        &'a self,
        out_trade_no: &'a OutTradeNo,
    ) -> BoxFuture<'a, Result<Option<Order>, StoreError>> {
        self.as_ref().load(out_trade_no)
    }

    fn claim<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Claim, StoreError>> {
        self.as_ref().claim(order)
    }

    fn commit<'a>(
        &'a self,
        order: &'a Order,
        outbox: &'a [OutboxEvent],
    ) -> BoxFuture<'a, Result<Committed, StoreError>> {
        self.as_ref().commit(order, outbox)
    }

    fn find_channel<'a>(
        &'a self,
        provider: ProviderId,
        pid: &'a Pid,
        channel_no: &'a ChannelNo,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        self.as_ref().find_channel(provider, pid, channel_no)
    }

    fn find_transaction<'a>(
        &'a self,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        self.as_ref().find_transaction(id)
    }

    fn find_refund<'a>(
        &'a self,
        pid: &'a Pid,
        out_refund_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        self.as_ref().find_refund(pid, out_refund_no)
    }

    fn due(&self, now: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<OutTradeNo>, StoreError>> {
        self.as_ref().due(now, limit)
    }

    fn outbox_due(
        &self,
        now: Millis,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        self.as_ref().outbox_due(now, limit)
    }

    fn outbox_list(
        &self,
        state: DeliveryState,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        self.as_ref().outbox_list(state, limit)
    }

    fn outbox_find<'a>(
        &'a self,
        id: &'a EventId,
    ) -> BoxFuture<'a, Result<Option<OutboxEvent>, StoreError>> {
        self.as_ref().outbox_find(id)
    }

    fn outbox_set<'a>(
        &'a self,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<Settled, StoreError>> {
        self.as_ref().outbox_set(event)
    }

    fn add_unmatched<'a>(
        &'a self,
        unmatched: &'a UnmatchedPayment,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.as_ref().add_unmatched(unmatched, event)
    }

    fn unmatched(&self, limit: usize) -> BoxFuture<'_, Result<Vec<UnmatchedPayment>, StoreError>> {
        self.as_ref().unmatched(limit)
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.as_ref().ready()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.as_ref().close()
    }
}

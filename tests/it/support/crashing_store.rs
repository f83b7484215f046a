//! A store whose process dies, stalls or breaks at a chosen write.
//!
//! Clones are one store. [`Crashing::counting`] only counts the commit points: claims and commits
//! begun. [`Crashing::at`] does what [`Then`] says at the `write`-th of them, from 1, before it is
//! written or after it (the reply is lost, and with it every later one). Await
//! [`Crashing::struck`] beside the work, since a dead store never answers; let go of the dead one
//! with `crashing.store().close()`, and open the next one over the same file, or
//! `crashing.store().reopen()` for `Memory`.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use paygate::domain::{
    ChannelNo, DeliveryState, EventId, Millis, Order, OutTradeNo, OutboxEvent, Pid, ProviderId,
    TransactionId, UnmatchedPayment,
};
use paygate::store::{BoxFuture, Claim, Committed, EventUpdate, Store, StoreError, StoreErrorKind};
use tokio::sync::watch;

/// The directory of a store: in memory where the system has such a place, since a process dies
/// here, and no disk does.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// On which side of the write it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The write does not happen.
    Before,
    /// The write happens, and nobody hears of it.
    After,
}

/// What becomes of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It never answers again, as for a process that died.
    Dies,
    /// It answers with an error, as one whose disk failed.
    Fails,
    /// It does not answer until [`Crashing::wake`], and then goes on where it was.
    Stalls,
    /// This write does not answer until [`Crashing::wake`]; whatever else is asked goes on.
    Delays,
    /// This write answers with an error; whatever else is asked goes on.
    FailsOnce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sound,
    Struck,
    Awake,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Crashing<S>(Arc<Inner<S>>);

impl<S> Clone for Crashing<S> {
    fn clone(&self) -> Crashing<S> {
        Crashing(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Inner<S> {
    store: S,
    /// The fatal write, and how.
    plan: Option<(u64, Moment, Then)>,
    writes: AtomicU64,
    state: watch::Sender<State>,
}

impl<S: Store> Crashing<S> {
    /// Nothing happens to it.
    pub(crate) fn counting(store: S) -> Crashing<S> {
        Crashing::planned(store, None)
    }

    /// It happens at the `write`-th claim or commit, from 1.
    pub(crate) fn at(store: S, write: u64, moment: Moment, then: Then) -> Crashing<S> {
        Crashing::planned(store, Some((write, moment, then)))
    }

    fn planned(store: S, plan: Option<(u64, Moment, Then)>) -> Crashing<S> {
        let state = watch::Sender::new(State::Sound);
        Crashing(Arc::new(Inner { store, plan, writes: AtomicU64::new(0), state }))
    }

    /// How many claims and commits were begun.
    pub(crate) fn writes(&self) -> u64 {
        self.0.writes.load(Ordering::SeqCst)
    }

    /// Waits until it happened.
    pub(crate) async fn struck(&self) {
        let mut state = self.0.state.subscribe();
        state.wait_for(|it| *it != State::Sound).await.unwrap();
    }

    /// Ends a stall.
    pub(crate) fn wake(&self) {
        self.0.state.send_replace(State::Awake);
    }

    /// What is underneath, and goes on after the death.
    pub(crate) fn store(&self) -> &S {
        &self.0.store
    }

    /// Passes while the store is sound; else does what the plan says.
    async fn gate(&self) -> Result<(), StoreError> {
        let state = *self.0.state.borrow();
        match (state, self.0.plan) {
            (State::Struck, Some((.., Then::Delays | Then::FailsOnce))) => Ok(()),
            (State::Struck, Some((.., then))) => self.end(then).await,
            (State::Sound | State::Struck | State::Awake, _) => Ok(()),
        }
    }

    /// The gate of one side of a write.
    async fn write_gate(&self, write: u64, moment: Moment) -> Result<(), StoreError> {
        match self.0.plan {
            Some((at, when, then @ (Then::Delays | Then::FailsOnce)))
                if (at, when) == (write, moment) =>
            {
                self.0.state.send_replace(State::Struck);
                self.end(then).await
            }
            _ => {
                self.strike_if(write, moment);
                self.gate().await
            }
        }
    }

    async fn end(&self, then: Then) -> Result<(), StoreError> {
        match then {
            Then::Dies => pending().await,
            Then::Fails | Then::FailsOnce => {
                Err(StoreError::new(StoreErrorKind::Io, "the disk failed, on demand"))
            }
            Then::Stalls | Then::Delays => {
                let mut state = self.0.state.subscribe();
                state.wait_for(|it| *it == State::Awake).await.unwrap();
                Ok(())
            }
        }
    }

    fn strike_if(&self, write: u64, moment: Moment) {
        if self.0.plan.is_some_and(|(at, when, _)| (at, when) == (write, moment)) {
            self.0.state.send_replace(State::Struck);
        }
    }

    async fn look_up<T>(&self, answer: BoxFuture<'_, Result<T, StoreError>>) -> Answer<T> {
        self.gate().await?;
        let answer = wait_for(answer);
        self.gate().await?;
        answer
    }

    async fn write<T>(&self, answer: BoxFuture<'_, Result<T, StoreError>>) -> Answer<T> {
        self.gate().await?;
        let write = self.0.writes.fetch_add(1, Ordering::SeqCst) + 1;
        self.write_gate(write, Moment::Before).await?;
        let answer = wait_for(answer);
        self.write_gate(write, Moment::After).await?;
        answer
    }
}

type Answer<T> = Result<T, StoreError>;

/// Waits for the answer of a store that works in threads of its own, as one that answers at once:
/// the writes of a test come in the same order each time.
fn wait_for<T>(mut answer: BoxFuture<'_, T>) -> T {
    let waker = Waker::from(Arc::new(Unparks(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match answer.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Unparks(Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<S: Store> Store for Crashing<S> {
    fn load<'a>(&'a self, no: &'a OutTradeNo) -> BoxFuture<'a, Answer<Option<Order>>> {
        Box::pin(self.look_up(self.0.store.load(no)))
    }

    fn claim<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Answer<Claim>> {
        Box::pin(self.write(self.0.store.claim(order)))
    }

    fn commit<'a>(
        &'a self,
        order: &'a Order,
        outbox: &'a [OutboxEvent],
    ) -> BoxFuture<'a, Answer<Committed>> {
        Box::pin(self.write(self.0.store.commit(order, outbox)))
    }

    fn find_channel<'a>(
        &'a self,
        provider: ProviderId,
        pid: &'a Pid,
        channel_no: &'a ChannelNo,
    ) -> BoxFuture<'a, Answer<Option<OutTradeNo>>> {
        Box::pin(self.look_up(self.0.store.find_channel(provider, pid, channel_no)))
    }

    fn find_transaction<'a>(
        &'a self,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Answer<Option<OutTradeNo>>> {
        Box::pin(self.look_up(self.0.store.find_transaction(id)))
    }

    fn find_refund<'a>(
        &'a self,
        pid: &'a Pid,
        out_refund_no: &'a str,
    ) -> BoxFuture<'a, Answer<Option<OutTradeNo>>> {
        Box::pin(self.look_up(self.0.store.find_refund(pid, out_refund_no)))
    }

    fn due(&self, now: Millis, limit: usize) -> BoxFuture<'_, Answer<Vec<OutTradeNo>>> {
        Box::pin(self.look_up(self.0.store.due(now, limit)))
    }

    fn outbox_due(&self, now: Millis, limit: usize) -> BoxFuture<'_, Answer<Vec<OutboxEvent>>> {
        Box::pin(self.look_up(self.0.store.outbox_due(now, limit)))
    }

    fn outbox_list(
        &self,
        state: DeliveryState,
        limit: usize,
    ) -> BoxFuture<'_, Answer<Vec<OutboxEvent>>> {
        Box::pin(self.look_up(self.0.store.outbox_list(state, limit)))
    }

    fn outbox_find<'a>(&'a self, id: &'a EventId) -> BoxFuture<'a, Answer<Option<OutboxEvent>>> {
        Box::pin(self.look_up(self.0.store.outbox_find(id)))
    }

    fn outbox_set<'a>(&'a self, event: &'a OutboxEvent) -> BoxFuture<'a, Answer<EventUpdate>> {
        Box::pin(self.write(self.0.store.outbox_set(event)))
    }

    fn add_unmatched<'a>(
        &'a self,
        unmatched: &'a UnmatchedPayment,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Answer<bool>> {
        Box::pin(self.write(self.0.store.add_unmatched(unmatched, event)))
    }

    fn unmatched(&self, limit: usize) -> BoxFuture<'_, Answer<Vec<UnmatchedPayment>>> {
        Box::pin(self.look_up(self.0.store.unmatched(limit)))
    }

    fn ready(&self) -> BoxFuture<'_, Answer<()>> {
        Box::pin(self.look_up(self.0.store.ready()))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A store that failed is closed all the same.
            drop(self.gate().await);
            self.0.store.close().await;
        })
    }
}

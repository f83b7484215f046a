//! In-flight joins: at most one story at a time works on a number, the others watch it.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::{Entry, VacantEntry};
use tokio::sync::watch;

use super::create::Created;
use crate::domain::channel::Way;
use crate::domain::ids::OutTradeNo;
use crate::domain::request::Fingerprint;
use crate::error::Error;

/// The most requests that wait for one number; a further one is told to come back.
const FOLLOWERS_MAX: usize = 10_000;

/// Every number that is being worked on.
#[derive(Debug, Default)]
pub(super) struct Flights(DashMap<OutTradeNo, Flight>);

/// One number that is being worked on.
#[derive(Debug)]
struct Flight {
    /// The request that leads; none when the reconciler does.
    asked: Option<(Way, Fingerprint)>,
    phase: watch::Sender<Phase>,
}

/// How far the work on a number is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// The number's owner is not known yet.
    Claiming,
    /// The number is an order's with this fingerprint: who differs need not wait.
    Claimed(Box<Fingerprint>),
    /// The work ended.
    Done(Box<Result<Created, Error>>),
}

/// What a request is to the work on its number.
pub(super) enum Part {
    /// It does the work and tells the others.
    Lead(Lead),
    /// It watches the same work, or another's.
    Follow(Box<Follow>),
    /// Too many watch already.
    Crowded,
}

/// The right to work on a number. Dropping it, in a panic too, ends the flight.
pub(super) struct Lead {
    flights: Arc<Flights>,
    no: OutTradeNo,
    phase: watch::Sender<Phase>,
}

/// A view of somebody's work on a number.
pub(super) struct Follow {
    /// How the leader pays and what it buys; none when the reconciler leads.
    pub(super) asked: Option<(Way, Fingerprint)>,
    /// How far it is; closed without [`Phase::Done`] when the work broke off.
    pub(super) phase: watch::Receiver<Phase>,
}

impl Flights {
    /// Leads the work on `no`, or follows who does.
    pub(super) fn enter(self: &Arc<Self>, no: &OutTradeNo, way: &Way, fp: &Fingerprint) -> Part {
        match self.0.entry(no.clone()) {
            Entry::Occupied(flight) => flight.get().follow(),
            Entry::Vacant(free) => Part::Lead(self.lead(no, free, Some((way.clone(), fp.clone())))),
        }
    }

    /// Leads the work on `no` without a request, unless somebody leads it.
    pub(super) fn seize(self: &Arc<Self>, no: &OutTradeNo) -> Option<Lead> {
        match self.0.entry(no.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => Some(self.lead(no, free, None)),
        }
    }

    /// Leads the work on `no` without a request, as soon as nobody else does. `None` when somebody
    /// still does after `limit`.
    pub(super) async fn await_turn(
        self: &Arc<Self>,
        no: &OutTradeNo,
        limit: Duration,
    ) -> Option<Lead> {
        let turn = async {
            loop {
                if let Some(lead) = self.seize(no) {
                    return lead;
                }
                let watched = self.0.get(no).map(|flight| flight.phase.subscribe());
                if let Some(mut phase) = watched {
                    // It ends with its result, or by its leader's being dropped.
                    drop(phase.wait_for(|phase| matches!(phase, Phase::Done(_))).await);
                }
                // Whoever led is about to leave the map.
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(limit, turn).await.ok()
    }

    fn lead(
        self: &Arc<Self>,
        no: &OutTradeNo,
        free: VacantEntry<'_, OutTradeNo, Flight>,
        asked: Option<(Way, Fingerprint)>,
    ) -> Lead {
        let phase = watch::Sender::new(Phase::Claiming);
        free.insert(Flight { asked, phase: phase.clone() });
        Lead { flights: self.clone(), no: no.clone(), phase }
    }
}

impl Flight {
    fn follow(&self) -> Part {
        if self.phase.receiver_count() >= FOLLOWERS_MAX {
            return Part::Crowded;
        }
        Part::Follow(Box::new(Follow { asked: self.asked.clone(), phase: self.phase.subscribe() }))
    }
}

impl Lead {
    /// The leader's own view of its work, which may outlive its client.
    pub(super) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Tells the followers whose number it is.
    pub(super) fn claimed(&self, fingerprint: &Fingerprint) {
        self.phase.send_replace(Phase::Claimed(Box::new(fingerprint.clone())));
    }

    /// Ends the flight with its result.
    pub(super) fn done(self, result: Result<Created, Error>) {
        self.flights.0.remove(&self.no);
        self.phase.send_replace(Phase::Done(Box::new(result)));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.0.remove_if(&self.no, |_, flight| flight.phase.same_channel(&self.phase));
    }
}

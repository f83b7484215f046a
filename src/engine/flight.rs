//! In-flight joins: at most one story at a time works on a number, the others watch it.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
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
    way: Way,
    fingerprint: Fingerprint,
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
    /// How the leader pays.
    pub(super) way: Way,
    /// What the leader buys.
    pub(super) fingerprint: Fingerprint,
    /// How far it is; closed without [`Phase::Done`] when the work broke off.
    pub(super) phase: watch::Receiver<Phase>,
}

impl Flights {
    /// Leads the work on `no`, or follows who does.
    pub(super) fn enter(self: &Arc<Self>, no: &OutTradeNo, way: &Way, fp: &Fingerprint) -> Part {
        match self.0.entry(no.clone()) {
            Entry::Occupied(flight) => flight.get().follow(),
            Entry::Vacant(free) => {
                let phase = watch::Sender::new(Phase::Claiming);
                free.insert(Flight {
                    way: way.clone(),
                    fingerprint: fp.clone(),
                    phase: phase.clone(),
                });
                Part::Lead(Lead { flights: self.clone(), no: no.clone(), phase })
            }
        }
    }
}

impl Flight {
    fn follow(&self) -> Part {
        if self.phase.receiver_count() >= FOLLOWERS_MAX {
            return Part::Crowded;
        }
        Part::Follow(Box::new(Follow {
            way: self.way.clone(),
            fingerprint: self.fingerprint.clone(),
            phase: self.phase.subscribe(),
        }))
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

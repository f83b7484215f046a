//! Simulated shops: the real engine, the simulated providers, and everything that goes wrong,
//! in worlds that follow from a number.
//!
//! At its end a run prints what its worlds exercised, and how often: the transitions of orders, the
//! verdicts on requests, the answers of each provider to each operation, the faults, and the steps
//! at which a process stopped. What exists and was never exercised fails the run, unless
//! [`coverage`] holds the reason. That the invariants notice anything, faults show that are planted
//! in the store, on the wire, at the providers and at the shop ([`flaw`]).
//!
//! A world has a few orders, clients who ask again and in other ways, buyers who pay whatever they
//! were given, lost and late messages, crashes, workers that stall and wake up again, providers
//! that are down for hours, and clocks that jump. Time is virtual: an hour takes a moment. What the
//! providers' ledger says in the end is what counts, and the engine must know it.
//!
//! ```sh
//! cargo test --test it simulation::                                # 500 worlds
//! SEED=4711 cargo test --test it simulation:: -- --nocapture       # one of them, and its log
//! SEED=3 FLAW=AnyAmountFits cargo test --test it simulation:: -- --nocapture   # with a fault
//! SEEDS=51000 cargo test --release --test it simulation::          # more: 100 000 orders
//! ```
#![cfg(feature = "mock")]

mod audit;
mod coverage;
mod kinds;
mod money;
mod outage;
mod records;
mod shop;
mod trace;
mod watched;
mod world;
mod buyers;
mod crash;
mod delivery;
mod flaw;
mod irregular;
mod network;
mod operator;
mod other_program;
mod process;
mod report;
mod rng;
mod shared;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use coverage::Coverage;
use flaw::Flaw;
use report::{Report, Total};
use trace::Trace;
use world::World;

/// Worlds of an ordinary run.
const SEEDS: u64 = 500;

/// Worlds from which on a run has to exercise everything that can happen; a shorter one prints what
/// it exercised.
const SEEDS_OF_COVERAGE: u64 = SEEDS;

/// The most worlds that it takes until a planted fault is noticed.
const WORLDS_TO_NOTICE: u64 = 150;

#[test]
fn no_world_makes_an_order_be_paid_twice() {
    if let Some(seed) = argument("SEED") {
        let flaw = text_argument("FLAW").map(|name| Flaw::named(&name));
        let report = simulate(seed, flaw);
        println!("{}\n{}", report.log.join("\n"), report.coverage);
        assert!(report.violations.is_empty(), "SEED={seed}: {:#?}", report.violations);
        return;
    }
    let seeds = argument("SEEDS").unwrap_or(SEEDS);
    let first = argument("FIRST_SEED").unwrap_or(0);
    let (total, coverage) = search(first..first.saturating_add(seeds));
    println!("{coverage}{seeds} worlds: {total:?}");
    assert!(total.violated.is_empty(), "replay one: SEED={}", total.violated[0]);
    assert!(total.orders >= seeds && (total.paid > 0 || seeds < 50), "{total:?}");
    assert_eq!(coverage.unlisted(), [""; 0], "these have no place in a list");
    assert_eq!(coverage.wrongly_excused(), [""; 0], "strike the excuses");
    let missed = if seeds < SEEDS_OF_COVERAGE { Vec::new() } else { coverage.missed() };
    assert!(missed.is_empty(), "no world exercised these: {missed:#?}");
}

#[test]
fn a_number_is_a_world() {
    for seed in [1, 2, 3] {
        let (one, again) = (simulate(seed, None), simulate(seed, None));
        assert_eq!(one.log, again.log, "SEED={seed}");
    }
}

#[test]
fn every_fault_that_is_planted_is_noticed() {
    let next = AtomicUsize::new(0);
    let unnoticed = Mutex::new(Vec::new());
    on_every_core(|| {
        while let Some(&flaw) = Flaw::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let noticed = (0..WORLDS_TO_NOTICE).find_map(|seed| {
                let violation = simulate(seed, Some(flaw)).violations.into_iter().next()?;
                Some((seed, violation))
            });
            match noticed {
                Some((seed, violation)) => {
                    let violation: String = violation.chars().take(160).collect();
                    println!("{flaw:?}: world {seed} notices: {violation}");
                }
                None => unnoticed.lock().unwrap().push(flaw),
            }
        }
    });
    assert_eq!(*unnoticed.lock().unwrap(), [], "no invariant notices these");
}

/// Simulates every world, on every core.
fn search(seeds: std::ops::Range<u64>) -> (Total, Coverage) {
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new((Total::default(), Coverage::default()));
    on_every_core(|| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = simulate(seed, None);
            let count = seed - seeds.start + 1;
            if count.is_multiple_of(5_000) {
                println!("{count} worlds");
            }
            let (total, coverage) = &mut *total.lock().unwrap();
            if let Some(violation) = report.violations.first() {
                println!("SEED={seed}: {violation}");
                total.violated.push(seed);
            }
            report.add_to(total);
            coverage.add(&report.coverage);
        }
    });
    total.into_inner().unwrap()
}

fn on_every_core(work: impl Fn() + Sync) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(&work)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// With a single subscriber, a thread without any decides whether the others' events are recorded.
static ANOTHER_SUBSCRIBER: LazyLock<tracing::Dispatch> =
    LazyLock::new(|| tracing::Dispatch::new(Trace::default()));

/// Lives through the world number `seed`.
fn simulate(seed: u64, flaw: Option<Flaw>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    LazyLock::force(&ANOTHER_SUBSCRIBER);
    let trace = Trace::default();
    let report = tracing::subscriber::with_default(trace.clone(), || {
        runtime.block_on(World::live(seed, flaw, trace))
    });
    runtime.shutdown_timeout(Duration::ZERO);
    report
}

#[expect(clippy::disallowed_methods, reason = "an argument of this test, which has no other way")]
fn text_argument(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn argument(name: &str) -> Option<u64> {
    let text = text_argument(name)?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

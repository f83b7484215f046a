//! Simulated shops: the real engine, the simulated providers, and everything that goes wrong,
//! in worlds that follow from a number.
//!
//! A world has a few orders, clients who ask again and in other ways, buyers who pay whatever they
//! were given, lost and late messages, crashes, workers that stall and wake up again, providers
//! that are down for hours, and clocks that jump. Time is virtual: an hour takes a moment. What the
//! providers' ledger says in the end is what counts, and the engine must know it.
//!
//! ```sh
//! cargo test --test it simulation::                                # 500 worlds
//! SEED=4711 cargo test --test it simulation:: -- --nocapture       # one of them, and its log
//! SEEDS=51000 cargo test --release --test it simulation::          # more: 100 000 orders
//! ```
#![cfg(feature = "mock")]

mod audit;
mod money;
mod outage;
mod records;
mod shop;
mod world;
mod buyers;
mod crash;
mod delivery;
mod network;
mod operator;
mod rng;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use world::{Flaw, Report, World};

/// Worlds of an ordinary run.
const SEEDS: u64 = 500;

#[test]
fn no_world_makes_an_order_be_paid_twice() {
    if let Some(seed) = argument("SEED") {
        let report = simulate(seed, Flaw::None);
        println!("{}", report.log.join("\n"));
        assert!(report.violations.is_empty(), "SEED={seed}: {:#?}", report.violations);
        return;
    }
    let seeds = argument("SEEDS").unwrap_or(SEEDS);
    let first = argument("FIRST_SEED").unwrap_or(0);
    let total = search(first..first.saturating_add(seeds));
    println!("{seeds} worlds: {total:?}");
    assert!(total.violated.is_empty(), "replay one: SEED={}", total.violated[0]);
    assert!(total.orders >= seeds && (total.paid > 0 || seeds < 50), "{total:?}");
}

#[test]
fn a_number_is_a_world() {
    for seed in [1, 2, 3] {
        let (one, again) = (simulate(seed, Flaw::None), simulate(seed, Flaw::None));
        assert_eq!(one.log, again.log, "SEED={seed}");
    }
}

#[test]
fn a_world_that_breaks_the_promise_is_noticed() {
    for flaw in [
        Flaw::CommitsAreLost,
        Flaw::NobodyReconciles,
        Flaw::ClosesAreIgnored,
        Flaw::EventsAreDropped,
        Flaw::RefundsAreDoubled,
    ] {
        let noticed = (0..60).any(|seed| !simulate(seed, flaw).violations.is_empty());
        assert!(noticed, "{flaw:?}");
    }
}

/// What all worlds of a run held.
#[derive(Debug, Default)]
struct Total {
    orders: u64,
    answers: u64,
    calls: u64,
    attempts: u64,
    paid: u64,
    paid_twice: u64,
    refunds: u64,
    closed: u64,
    heard: u64,
    crashes: u64,
    /// How many buyers went to the other provider during an outage, and how many of them could
    /// pay there.
    turned: u64,
    served: u64,
    /// The worlds that broke the promise.
    violated: Vec<u64>,
}

/// Simulates every world, on every core.
fn search(seeds: std::ops::Range<u64>) -> Total {
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Total::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = simulate(seed, Flaw::None);
            let count = seed - seeds.start + 1;
            if count.is_multiple_of(5_000) {
                println!("{count} worlds");
            }
            let mut total = total.lock().unwrap();
            if let Some(violation) = report.violations.first() {
                println!("SEED={seed}: {violation}");
                total.violated.push(seed);
            }
            report.add_to(&mut total);
        };
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    total.into_inner().unwrap()
}

/// Lives through the world number `seed`.
fn simulate(seed: u64, flaw: Flaw) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let report = runtime.block_on(World::live(seed, flaw));
    runtime.shutdown_timeout(Duration::ZERO);
    report
}

#[expect(clippy::disallowed_methods, reason = "an argument of this test, which has no other way")]
fn argument(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

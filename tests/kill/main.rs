//! The real program, killed again and again while clients order: run by hand.
//!
//! ```sh
//! cargo test --test kill                 # 200 times
//! cargo test --test kill -- 20 4711      # 20 times, by the chance that 4711 gives
//! cargo test --test kill -- events 60     # the second run, 60 times
//! ```
//!
//! Twenty clients create 500 orders at the sidecar in mock mode, pay some, and change their minds
//! about how; calls to the providers fail in every way there is; SIGKILL comes at random. In the
//! end every order is asked for until it is answered, twice, and the providers' ledger, which is
//! on disk, says whether anything was ordered twice. What chance decides is repeatable; how far
//! the program was when it was killed is not.
//!
//! In the second run all orders are paid, and the webhook of a shop that fails and dies gets the
//! events.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../it/simulation/rng.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
mod rng;
mod clients;
mod endpoint;
mod program;
mod events;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clients::{Shop, Shopper};
use program::Program;
use rng::Rng;
use tempfile::TempDir;
use tokio::task::JoinSet;

const CLIENTS: usize = 20;
const ORDERS: usize = 500;
const KILLS: u64 = 200;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|it| it.parse::<u64>().ok());
    let kills = arguments.next().unwrap_or(KILLS);
    let seed = arguments.next().unwrap_or(1);
    let are_events_checked = std::env::args().any(|it| it == "events");
    println!("{kills} kills, chance {seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if are_events_checked {
        runtime.block_on(events::run(kills, Rng::new(seed)));
    } else {
        runtime.block_on(run(kills, Rng::new(seed)));
    }
}

async fn run(kills: u64, rng: Rng) {
    let (home, port) = (TempDir::new().unwrap(), program::free_port());
    let mut program = Program::start(home.path(), port, &[]).await;
    let shop = Arc::new(Shop::new(ORDERS, &rng));
    shop.serves(&program);
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let shopper = Shopper::new(shop.clone(), (n, CLIENTS), rng.fork());
        clients.spawn(shopper.shop());
    }
    for count in 1..=kills {
        shop.trouble(&rng).await;
        tokio::time::sleep(Duration::from_millis(rng.below(400))).await;
        program.kill().await;
        program = Program::start(home.path(), port, &[]).await;
        shop.serves(&program);
        if count % 20 == 0 {
            println!("killed {count} times, {} answers", shop.answers.load(Ordering::Relaxed));
        }
    }
    shop.closing.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    shop.calm().await;
    println!("calm; every order is asked for once more");
    let verdict = verdict::reach(&shop).await;
    println!("{verdict:#?}");
    program.kill().await;
    for line in &program.alarms() {
        println!("the last program said: {line}");
    }
    if !verdict.violations.is_empty() {
        let kept = home.keep();
        panic!("{} violations; the files are in {}", verdict.violations.len(), kept.display());
    }
}

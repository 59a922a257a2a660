//! chappe's Pub/Sub backend beside Google's own client: the same messages through the same server, in one run.
//!
//! `chappe-peers-pubsub [--quick]`, with `CHAPPE_TEST_PUBSUB` the host and port of an emulator: `cargo xtask bench
//! pubsub` sets it.

use std::time::Duration;

mod contender;
mod keys;
mod server;
mod times;
#[path = "../../watch.rs"]
mod watch;

use contender::{Contender, ours, raw};
use server::place;
use watch::{Rate, Taken};

/// What a message weighs, how many tasks publish, and how many messages may be out.
pub const BODY: &[u8] = &[b'x'; 256];
pub const PUBLISHERS: usize = 4;
pub const CONCURRENCY: usize = 1000;

/// What is hoped for.
const TARGET_RAW: f64 = 0.9;

const CONTENDERS: [(&str, Contender); 2] = [
    ("google-cloud-pubsub 1.7.0", |place, messages| Box::pin(raw::run(place, messages))),
    ("chappe", |place, messages| Box::pin(ours::run(place, messages))),
];

/// What publishing and consuming took.
pub struct Run {
    pub published: Taken,
    pub consumed: Taken,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (messages, rounds, times, keys) = if quick { (10_000, 3, 20, 1_000) } else { (50_000, 3, 100, 5_000) };
    println!(
        "{messages} messages of {} bytes and four attributes, {PUBLISHERS} publishers, then a consumer with up to \
         {CONCURRENCY} out; medians of {rounds} rounds\n",
        BODY.len()
    );
    // The server is slow before it is warm.
    ours::run(place("warm").await, 2_000).await;
    let mut runs: Vec<Vec<Run>> = CONTENDERS.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for (at, ((_, run), runs)) in CONTENDERS.iter().zip(&mut runs).enumerate() {
            runs.push(run(place(&format!("bench-{round}-{at}")).await, messages).await);
        }
    }
    let rates: Vec<[Rate; 2]> = runs
        .iter()
        .map(|runs| {
            let part = |part: fn(&Run) -> Taken| Rate::of(messages, runs.iter().map(part).collect());
            [part(|run| run.published), part(|run| run.consumed)]
        })
        .collect();
    println!("| | published/s | × raw | client's µs | consumed/s | × raw | client's µs |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for ((name, _), parts) in CONTENDERS.iter().zip(&rates) {
        print!("| {name} |");
        for (part, raw) in parts.iter().zip(&rates[0]) {
            print!(" {:.0} | {:.2} | {:.1} |", part.rate, part.rate / raw.rate, part.processor[1]);
        }
        println!();
    }
    println!();
    for ((what, ours), raw) in ["publishing", "consuming"].into_iter().zip(&rates[1]).zip(&rates[0]) {
        let ratio = ours.rate / raw.rate;
        verdict(&format!("{what} at {ratio:.2} × Google's client, wanted {TARGET_RAW}"), ratio >= TARGET_RAW);
    }
    times::acknowledge(times).await;
    let moved = times::release(times).await;
    verdict(&format!("released messages are elsewhere within {moved:.2?}, wanted 1 s"), moved < Duration::from_secs(1));
    keys::memory(keys).await;
}

pub fn verdict(text: &str, met: bool) {
    println!("chappe: {text} ({})", if met { "met" } else { "MISSED" });
}

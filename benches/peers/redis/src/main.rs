//! chappe's Redis backend beside a loop on the client and beside omniqueue's: the same messages through the same
//! server, in one run.
//!
//! `chappe-peers-redis [--quick]`, with `CHAPPE_TEST_REDIS` the URL of a server: `cargo xtask bench redis` sets it.

use std::time::Duration;

mod contender;
mod latency;
mod server;
#[path = "../../watch.rs"]
mod watch;

use contender::{Contender, omniqueue, ours, raw};
use watch::{Rate, Taken};

/// What a message weighs, how many tasks publish and consume at once, each by a connection of its own, and how many
/// messages the others take at a time.
pub const BODY: &[u8] = &[b'x'; 256];
pub const PUBLISHERS: usize = 4;
pub const CONSUMERS: usize = 2;
pub const CONCURRENCY: usize = 1024;
pub const BATCH: usize = 100;

/// What is hoped for.
const TARGET_RAW: f64 = 0.9;
const TARGET_RATE: f64 = 100_000.0;

/// A contender and how many of the messages it gets: the slow are not waited for.
const CONTENDERS: [(&str, Contender, usize); 4] = [
    ("raw client, 100 at a time", |queue, messages| Box::pin(raw::run(queue, messages, 100)), 1),
    ("raw client, 500 at a time", |queue, messages| Box::pin(raw::run(queue, messages, 500)), 1),
    ("chappe", |queue, messages| Box::pin(ours::run(queue, messages)), 1),
    ("omniqueue 0.3.0", |queue, messages| Box::pin(omniqueue::run(queue, messages)), 10),
];

/// What publishing and consuming took.
pub struct Run {
    pub published: Taken,
    pub consumed: Taken,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (messages, rounds, lone, idle) = if quick { (40_000, 3, 100, 10) } else { (200_000, 3, 500, 30) };
    println!(
        "{messages} messages of {} bytes and four attributes, {PUBLISHERS} publishers, then {CONSUMERS} connections \
         that consume; medians of {rounds} rounds\n",
        BODY.len()
    );
    let mut runs: Vec<Vec<Run>> = CONTENDERS.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for (at, ((_, run, share), runs)) in CONTENDERS.iter().zip(&mut runs).enumerate() {
            let queue = format!("bench-{}-{round}-{at}", std::process::id());
            runs.push(run(queue.clone(), messages / share).await);
            server::forget(&queue).await;
        }
    }
    let rates: Vec<[Rate; 2]> = CONTENDERS
        .iter()
        .zip(&runs)
        .map(|((_, _, share), runs)| {
            let rate = |part: fn(&Run) -> Taken| Rate::of(messages / share, runs.iter().map(part).collect());
            [rate(|run| run.published), rate(|run| run.consumed)]
        })
        .collect();
    // The raw client at its best is the better of the two, for each part.
    let raw = [0, 1].map(|part| rates[0][part].rate.max(rates[1][part].rate));
    println!("| | published/s | × raw | µs, server and client | consumed/s | × raw | µs, server and client |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for ((name, _, _), parts) in CONTENDERS.iter().zip(&rates) {
        print!("| {name} |");
        for (part, raw) in parts.iter().zip(raw) {
            let (ratio, [server, own]) = (part.rate / raw, part.processor);
            print!(" {:.0} | {ratio:.2} | {server:.1} + {own:.1} |", part.rate);
        }
        println!();
    }
    println!();
    for ((what, ours), raw) in ["publishing", "consuming"].into_iter().zip(&rates[2]).zip(raw) {
        let (rate, ratio) = (ours.rate, ours.rate / raw);
        verdict(&format!("{what} at {ratio:.2} × the raw client, wanted {TARGET_RAW}"), ratio >= TARGET_RAW);
        verdict(&format!("{what} at {rate:.0} messages a second, wanted {TARGET_RATE:.0}"), rate >= TARGET_RATE);
    }
    latency::idle_wake_up(lone).await;
    ours::idle(Duration::from_secs(idle)).await;
}

pub fn verdict(text: &str, met: bool) {
    println!("chappe: {text} ({})", if met { "met" } else { "MISSED" });
}

//! chappe's Redis backend beside a loop on the client and beside omniqueue's: the same messages through the same
//! server, in one run.
//!
//! `chappe-peers-redis [--quick]`, with `CHAPPE_TEST_REDIS` the URL of a server: `cargo xtask bench redis` sets it.

use std::time::Duration;

mod contender;
mod latency;
mod server;

use contender::{Contender, omniqueue, ours, raw};

/// What a message weighs, how many tasks publish and consume at once, and how many messages they take at a time.
pub const BODY: &[u8] = &[b'x'; 256];
pub const PUBLISHERS: usize = 4;
pub const CONCURRENCY: usize = 1024;
pub const BATCH: usize = 100;

/// What is hoped for.
const TARGET_RAW: f64 = 0.9;
const TARGET_RATE: f64 = 100_000.0;

/// A contender and how many of the messages it gets: the slow are not waited for.
const CONTENDERS: [(&str, Contender, usize); 3] = [
    ("raw client, batches of 100", |queue, messages| Box::pin(raw::run(queue, messages)), 1),
    ("chappe", |queue, messages| Box::pin(ours::run(queue, messages)), 1),
    ("omniqueue 0.3.0", |queue, messages| Box::pin(omniqueue::run(queue, messages)), 10),
];

/// How long publishing and consuming took.
pub struct Run {
    pub published: Duration,
    pub consumed: Duration,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (messages, rounds, lone, idle) = if quick { (40_000, 3, 100, 10) } else { (200_000, 3, 500, 30) };
    println!(
        "{messages} messages of {} bytes and four attributes, {PUBLISHERS} publishers, then {PUBLISHERS} consumers of \
         {BATCH} or {CONCURRENCY} handlers; medians of {rounds} rounds\n",
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
    let rates: Vec<(f64, f64)> = CONTENDERS
        .iter()
        .zip(&runs)
        .map(|((_, _, share), runs)| {
            let rate = |time: fn(&Run) -> Duration| {
                let mut times: Vec<Duration> = runs.iter().map(time).collect();
                times.sort_unstable();
                (messages / share) as f64 / times[times.len() / 2].as_secs_f64()
            };
            (rate(|run| run.published), rate(|run| run.consumed))
        })
        .collect();
    println!("| | published/s | × raw | consumed/s | × raw |");
    println!("|---|---:|---:|---:|---:|");
    for ((name, _, _), (published, consumed)) in CONTENDERS.iter().zip(&rates) {
        let (of_published, of_consumed) = (published / rates[0].0, consumed / rates[0].1);
        println!("| {name} | {published:.0} | {of_published:.2} | {consumed:.0} | {of_consumed:.2} |");
    }
    println!();
    for (what, rate, ratio) in
        [("publishing", rates[1].0, rates[1].0 / rates[0].0), ("consuming", rates[1].1, rates[1].1 / rates[0].1)]
    {
        verdict(&format!("{what} at {ratio:.2} × the raw client, wanted {TARGET_RAW}"), ratio >= TARGET_RAW);
        verdict(&format!("{what} at {rate:.0} messages a second, wanted {TARGET_RATE:.0}"), rate >= TARGET_RATE);
    }
    latency::idle_wake_up(lone).await;
    ours::idle(Duration::from_secs(idle)).await;
}

pub fn verdict(text: &str, met: bool) {
    println!("chappe: {text} ({})", if met { "met" } else { "MISSED" });
}

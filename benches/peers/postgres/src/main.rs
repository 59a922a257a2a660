//! chappe's PostgreSQL backend beside the client in loops one would write by hand, and beside a table as pgmq keeps
//! it: the same messages through the same server, in one run.
//!
//! `chappe-peers-postgres [--quick]`, with the environment of a server: `cargo xtask bench postgres` sets it.

use std::time::Duration;

mod contender;
mod server;
#[path = "../../watch.rs"]
mod watch;

use contender::{Kind, hold, ours};
use watch::Rate;

/// What a publisher and a consumer move, and how many of each are under way.
pub const BODY: &str = include_str!("body.txt");
pub const PUBLISHERS: usize = 2;
pub const CONSUMERS: usize = 2;
/// What the loops by hand take at a time: more is no faster.
pub const BATCH: usize = 250;
pub const CONCURRENCY: usize = 1_000;

/// What is hoped for.
const TARGET_RAW: f64 = 0.9;
const TARGET_RATE: f64 = 20_000.0;
const TARGET_HELD: f64 = 0.5;
const TARGET_WAKE: Duration = Duration::from_millis(20);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (messages, rounds, window, held, wakes, idle) =
        if quick { (20_000, 3, 6, 10, 100, 15) } else { (50_000, 3, 9, 60, 300, 60) };
    let seconds = Duration::from_secs;
    println!(
        "{messages} messages of {} bytes and four attributes, published and settled to the disk; medians of {rounds} \
         rounds\n",
        BODY.len()
    );

    let mut runs = Kind::ALL.map(|_| Vec::new());
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for (kind, runs) in Kind::ALL.into_iter().zip(&mut runs) {
            let contender = kind.make().await;
            runs.push((contender.publish(messages).await, contender.consume(messages).await));
            contender.remove().await;
        }
    }
    let rates = runs.map(|runs| {
        let (published, consumed) = runs.into_iter().unzip();
        [Rate::of(messages, published), Rate::of(messages, consumed)]
    });
    println!("| | published/s | × raw | µs, server and client | settled/s | × raw | µs, server and client |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (kind, parts) in Kind::ALL.iter().zip(&rates) {
        print!("| {} |", kind.name());
        for (part, raw) in parts.iter().zip(&rates[0]) {
            let (ratio, [server, own]) = (part.rate / raw.rate, part.processor);
            print!(" {:.0} | {ratio:.2} | {server:.0} + {own:.1} |", part.rate);
        }
        println!();
    }

    println!("\n| both sides at once | messages/s | with a transaction held for {held} s | |\n|---|---:|---:|---:|");
    let mut ours = (0.0, 0.0);
    for kind in Kind::ALL {
        eprintln!("both sides at once: {}", kind.name());
        let contender = kind.make().await;
        let free = contender.flow(seconds(window)).await;
        let holding = hold().await;
        let under = contender.flow(seconds(held)).await;
        drop(holding);
        contender.remove().await;
        println!("| {} | {free:.0} | {under:.0} | {:.2} |", kind.name(), under / free);
        if kind == Kind::Ours {
            ours = (free, under);
        }
    }

    eprintln!("wake-ups");
    let (published, woken) = ours::wakes(wakes).await;
    let [publish, wake] = [published, woken].map(|mut times| {
        times.sort_unstable();
        [50, 99].map(|part| times[(times.len() - 1) * part / 100])
    });
    println!("\n| idle, from publish to | p50 | p99 |\n|---|---:|---:|");
    for (what, [half, most]) in [("its answer", publish), ("the handler", wake)] {
        println!("| {what} | {half:.1?} | {most:.1?} |");
    }
    println!();
    for ((what, ours), raw) in ["publishing", "consuming"].into_iter().zip(&rates[1]).zip(&rates[0]) {
        let ratio = ours.rate / raw.rate;
        verdict(&format!("{what} at {ratio:.2} × the raw client, wanted {TARGET_RAW}"), ratio >= TARGET_RAW);
    }
    let (free, under) = ours;
    verdict(&format!("{free:.0} messages/s end to end, wanted {TARGET_RATE:.0}"), free >= TARGET_RATE);
    let kept = under / free;
    verdict(&format!("{kept:.2} of that under a held transaction, wanted {TARGET_HELD}"), kept >= TARGET_HELD);
    verdict(&format!("idle wake-up p99 {:.1?}, wanted {TARGET_WAKE:?}", wake[1]), wake[1] <= TARGET_WAKE);
    let asked = ours::idle(seconds(idle)).await;
    println!("\nidle: {:.0} queries a minute", asked as f64 * 60.0 / idle as f64);
}

fn verdict(text: &str, met: bool) {
    println!("chappe: {text} ({})", if met { "met" } else { "MISSED" });
}

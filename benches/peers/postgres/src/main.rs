//! chappe's PostgreSQL backend beside the client in loops one would write by hand, and beside a table as pgmq keeps
//! it: the same messages through the same server, in one run.
//!
//! `chappe-peers-postgres [--quick]`, with the environment of a server: `cargo xtask bench postgres` sets it.

use std::time::Duration;

mod contender;

use contender::raw::{Style, Table};
use contender::{hold, ours};

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

const NAMES: [&str; 3] = ["raw client, batches of 250", "chappe", "as pgmq, batches of 250"];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (messages, rounds, window, held, wakes, idle) =
        if quick { (20_000, 3, 6, 15, 100, 15) } else { (50_000, 3, 9, 60, 300, 60) };
    let seconds = Duration::from_secs;
    println!(
        "{messages} messages of {} bytes and four attributes, published and settled to the disk; medians of {rounds} \
         rounds\n",
        BODY.len()
    );

    let mut runs: [Vec<(Duration, Duration)>; 3] = Default::default();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for (at, style) in [(0, Style::Best), (2, Style::Pgmq)] {
            let table = Table::make(style).await;
            runs[at].push((table.publish(messages).await, table.consume(messages).await));
            table.remove().await;
        }
        let queue = ours::queue().await;
        runs[1].push((ours::publish(&queue, messages).await, ours::consume(&queue, messages).await));
    }
    let median = |times: Vec<Duration>| {
        let mut times = times;
        times.sort_unstable();
        messages as f64 / times[times.len() / 2].as_secs_f64()
    };
    let rates = runs.map(|runs| {
        let (published, consumed): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        (median(published), median(consumed))
    });
    println!("| | published/s | × raw | fetched and settled/s | × raw |\n|---|---:|---:|---:|---:|");
    for (name, (published, consumed)) in NAMES.iter().zip(rates) {
        let (raw_published, raw_consumed) = rates[0];
        println!(
            "| {name} | {published:.0} | {:.2} | {consumed:.0} | {:.2} |",
            published / raw_published,
            consumed / raw_consumed
        );
    }

    println!("\n| both sides at once | messages/s | with a transaction held for {held} s | |\n|---|---:|---:|---:|");
    let mut ends = (0.0, 0.0);
    for (at, name) in NAMES.iter().enumerate() {
        eprintln!("both sides at once: {name}");
        let (free, under) = match at {
            1 => {
                let queue = ours::queue().await;
                let free = ours::flow(&queue, seconds(window)).await;
                let holding = hold().await;
                let under = ours::flow(&queue, seconds(held)).await;
                drop(holding);
                ends = (free, under);
                ends
            }
            _ => {
                let table = Table::make(if at == 0 { Style::Best } else { Style::Pgmq }).await;
                let free = table.flow(seconds(window)).await;
                let holding = hold().await;
                let under = table.flow(seconds(held)).await;
                drop(holding);
                table.remove().await;
                (free, under)
            }
        };
        println!("| {name} | {free:.0} | {under:.0} | {:.2} |", under / free);
    }

    eprintln!("wake-ups");
    let mut times = ours::wakes(wakes).await;
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    println!("\n| from publish to handler, idle | p50 | p99 |\n|---|---:|---:|\n| chappe | {:?} | {:?} |\n", at(50), at(99));

    for (what, ratio) in [("publishing", rates[1].0 / rates[0].0), ("consuming", rates[1].1 / rates[0].1)] {
        verdict(&format!("{what} at {ratio:.2} × the raw client, wanted {TARGET_RAW}"), ratio >= TARGET_RAW);
    }
    let (free, under) = ends;
    verdict(&format!("{free:.0} messages/s end to end, wanted {TARGET_RATE:.0}"), free >= TARGET_RATE);
    let kept = under / free;
    verdict(&format!("{kept:.2} of that under a held transaction, wanted {TARGET_HELD}"), kept >= TARGET_HELD);
    verdict(&format!("idle wake-up p99 {:?}, wanted {TARGET_WAKE:?}", at(99)), at(99) <= TARGET_WAKE);
    let asked = ours::idle(seconds(idle)).await;
    println!("\nidle: {:.0} queries a minute, the server's own among them", asked as f64 * 60.0 / idle as f64);
}

fn verdict(text: &str, met: bool) {
    println!("chappe: {text} ({})", if met { "met" } else { "MISSED" });
}

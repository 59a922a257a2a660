//! chappe's PostgreSQL backend beside the client in loops one would write by hand, and beside a table as pgmq keeps
//! it: the same messages through the same server, in one run.
//!
//! `chappe-peers-postgres [--quick]`, with the environment of a server: `cargo xtask bench postgres` sets it.

use std::time::Duration;

mod contender;

use contender::{Kind, hold, ours};

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
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        messages as f64 / times[times.len() / 2].as_secs_f64()
    };
    let rates = runs.map(|runs| {
        let (published, consumed): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        (median(published), median(consumed))
    });
    println!("| | published/s | × raw | fetched and settled/s | × raw |\n|---|---:|---:|---:|---:|");
    let ratios = rates.map(|(published, consumed)| (published / rates[0].0, consumed / rates[0].1));
    for ((kind, (published, consumed)), ratio) in Kind::ALL.iter().zip(rates).zip(ratios) {
        println!("| {} | {published:.0} | {:.2} | {consumed:.0} | {:.2} |", kind.name(), ratio.0, ratio.1);
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
    let mut times = ours::wakes(wakes).await;
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    println!(
        "\n| from publish to handler, idle | p50 | p99 |\n|---|---:|---:|\n| chappe | {:?} | {:?} |\n",
        at(50),
        at(99)
    );

    for (what, ratio) in [("publishing", ratios[1].0), ("consuming", ratios[1].1)] {
        verdict(&format!("{what} at {ratio:.2} × the raw client, wanted {TARGET_RAW}"), ratio >= TARGET_RAW);
    }
    let (free, under) = ours;
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

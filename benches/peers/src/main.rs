//! Runs every contender in turn, several rounds, and prints what they took and how they compare.
//!
//! `chappe-peers [--quick] [--allocations FILE]`; the file is what the program `allocations` prints.

use std::collections::HashMap;
use std::time::Duration;

use chappe_peers::support::{Load, Sink, Threads, latency, served};
use chappe_peers::{CONTENDERS, Kind, OURS, RAW};

const SETTINGS: [(&str, Threads, u64); 3] = [
    ("2 workers, 1 publisher", Threads::Workers(2), 1),
    ("2 workers, 4 publishers", Threads::Workers(2), 4),
    ("current thread, 1 publisher", Threads::Current, 1),
];

const CONCURRENCY: usize = 64;

/// What is hoped for, beside what was measured.
const TARGET_RAW: f64 = 1.5;
const TARGET_PEER: f64 = 2.0;
const TARGET_LATENCY: f64 = 2.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let quick = args.iter().any(|arg| arg == "--quick");
    let (messages, rounds) = if quick { (200_000, 5) } else { (1_000_000, 5) };
    let allocations = args.iter().position(|arg| arg == "--allocations").map(|at| read_allocations(&args[at + 1]));
    let allocations = allocations.unwrap_or_default();

    println!(
        "{messages} messages of 256 bytes and 4 attributes, concurrency {CONCURRENCY}, medians of {rounds} rounds"
    );
    for (name, threads, publishers) in SETTINGS {
        let load = Load { messages, publishers, concurrency: CONCURRENCY };
        let medians = rounds_of(rounds, threads, load);
        println!("\n## {name}\n");
        table(&medians, messages, &allocations);
        targets(&medians);
    }
    latencies(if quick { 2_000 } else { 10_000 });
}

/// Medians in the order of [`CONTENDERS`], from rounds in which each has its turn.
fn rounds_of(rounds: usize, threads: Threads, load: Load) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(rounds); CONTENDERS.len()];
    for round in 1..=rounds {
        eprintln!("{threads:?}, {} publishers, round {round} of {rounds}", load.publishers);
        for (contender, times) in CONTENDERS.iter().zip(&mut times) {
            let runtime = threads.runtime();
            let sink = Sink::new(load);
            runtime.block_on((contender.run)(load, sink.clone()));
            times.push(sink.elapsed());
            runtime.shutdown_background();
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    times.into_iter().map(median).collect()
}

fn table(medians: &[Duration], messages: u64, allocations: &HashMap<String, String>) {
    println!("| | ns/message | messages/s | × raw | allocations/message |");
    println!("|---|---:|---:|---:|---:|");
    for (contender, median) in CONTENDERS.iter().zip(medians) {
        let nanos = median.as_nanos() as f64 / messages as f64;
        let rate = messages as f64 / median.as_secs_f64();
        let ratio = median.as_secs_f64() / medians[0].as_secs_f64();
        let allocations = allocations.get(contender.name).map_or("–", String::as_str);
        println!("| {} | {nanos:.0} | {:.2} M | {ratio:.2} | {allocations} |", contender.name, rate / 1e6);
    }
}

fn targets(medians: &[Duration]) {
    let of = |name: &str| CONTENDERS.iter().zip(medians).find(|(contender, _)| contender.name == name);
    let (Some((_, raw)), Some((_, ours))) = (of(RAW), of(OURS)) else { return };
    let ratio = ours.as_secs_f64() / raw.as_secs_f64();
    println!("\n{OURS}: {ratio:.2} × raw, wanted at most {TARGET_RAW} ({})", verdict(ratio <= TARGET_RAW));
    for (peer, time) in CONTENDERS.iter().zip(medians).filter(|(contender, _)| contender.kind != Kind::Ours) {
        let factor = time.as_secs_f64() / ours.as_secs_f64();
        let wanted = if peer.kind == Kind::Server { TARGET_PEER } else { 1.0 };
        println!("{OURS}: {factor:.2} times as fast as {}, wanted {wanted} ({})", peer.name, verdict(factor >= wanted));
    }
}

fn latencies(messages: usize) {
    let (raw, ours) = (latency::raw(messages), served::latency(messages));
    let ratio = ours.p99.as_secs_f64() / raw.p99.as_secs_f64();
    println!("\n## From publishing to the handler, one message at a time\n");
    println!("| | p50 | p99 |\n|---|---:|---:|");
    println!("| {RAW} | {:?} | {:?} |\n| chappe | {:?} | {:?} |", raw.p50, raw.p99, ours.p50, ours.p99);
    println!(
        "\nchappe: p99 is {ratio:.2} × raw, wanted at most {TARGET_LATENCY} ({})",
        verdict(ratio <= TARGET_LATENCY)
    );
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn read_allocations(path: &str) -> HashMap<String, String> {
    let text = std::fs::read_to_string(path).expect("the file of allocations can be read");
    text.lines().filter_map(|line| line.split_once('\t')).map(|(name, count)| (name.into(), count.into())).collect()
}

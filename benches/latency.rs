//! How long a message takes from publishing to its handler under light load, beside the raw channel.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]
#![allow(missing_docs, reason = "a program")]

mod support;

use support::{latency, served};

fn main() {
    // Cargo runs a bench with `--bench`, and a test of it without.
    let messages = if std::env::args().any(|arg| arg == "--bench") { 10_000 } else { 10 };
    for (name, measured) in [("raw", latency::raw(messages)), ("chappe", served::latency(messages))] {
        println!("{name}: p50 {:?}, p99 {:?}", measured.p50, measured.p99);
    }
}

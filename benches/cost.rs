//! What a message costs, for the gates: a program that does one kind of work and says what it took.
//!
//! `cargo xtask gates` runs it. Everything is on one thread and the clock stands still, so that the numbers
//! repeat: a worker takes more at once the faster it gets on, and under callgrind it would get on slowly.
//!
//! - `cost cases` prints the kinds of work, each with the most it may allocate per message.
//! - `cost run CASE MESSAGES` does the work, for callgrind to count instructions.
//! - `cost allocations CASE MESSAGES` does the work and prints how often it allocated.
//! - `cost blocked MESSAGES` queues them before a receiver that never finishes, and fails if the server
//!   fetches more than it may or keeps more memory than a fixed amount.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]
#![allow(missing_docs, reason = "a program")]

use std::alloc::System;
use std::future::Future;
use std::pin::Pin;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Builder;

mod support;

use support::{Load, Sink, Threads, raw, served};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONCURRENCY: usize = 64;

/// What a server may keep for itself however much is queued: a few KB for each handler under way.
const SERVER_BYTES: isize = 512 * 1024;

type Run = Pin<Box<dyn Future<Output = ()>>>;

struct Case {
    name: &'static str,
    /// The most it may allocate per message, over building the message.
    allocations: f64,
    run: fn(Load, Sink) -> Run,
}

const CASES: [Case; 7] = [
    Case { name: "raw", allocations: 0.05, run: |load, sink| Box::pin(raw::run(load, sink)) },
    Case { name: "plain", allocations: 0.05, run: |load, sink| Box::pin(served::plain(load, sink)) },
    Case { name: "three_layers", allocations: 0.05, run: |load, sink| Box::pin(served::three_layers(load, sink)) },
    Case { name: "six_layers", allocations: 0.05, run: |load, sink| Box::pin(served::six_layers(load, sink)) },
    Case { name: "boxed", allocations: 1.05, run: |load, sink| Box::pin(served::boxed(load, sink)) },
    Case { name: "routed", allocations: 1.05, run: |load, sink| Box::pin(served::routed(load, sink)) },
    // Building it takes one allocation for what the publisher wrote and one for the body.
    Case { name: "written", allocations: 2.05, run: |load, sink| Box::pin(served::written(load, sink)) },
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["cases"] => CASES.iter().for_each(|case| println!("{}\t{}", case.name, case.allocations)),
        ["run", case, messages] => run(find(case), number(messages)),
        ["allocations", case, messages] => {
            let region = Region::new(ALLOCATOR);
            run(find(case), number(messages));
            let change = region.change();
            println!("{}", change.allocations + change.reallocations);
        }
        ["blocked", messages] => blocked(number(messages)),
        // Cargo runs a bench with `--bench`, and a test of it without: nothing is measured then.
        _ => println!("run by `cargo xtask gates`"),
    }
}

fn run(case: &Case, messages: u64) {
    let load = Load { messages, publishers: 1, concurrency: CONCURRENCY };
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime can be built").block_on((case.run)(load, Sink::new(load)));
}

fn blocked(messages: u64) {
    let (fetched, kept) = Threads::Current.runtime().block_on(served::blocked(messages, CONCURRENCY, || {
        let stats = ALLOCATOR.stats();
        let bytes = |bytes: usize| isize::try_from(bytes).expect("memory is smaller than the address space");
        bytes(stats.bytes_allocated) - bytes(stats.bytes_deallocated)
    }));
    println!("{messages} queued, {fetched} fetched, the server keeps {kept} bytes");
    assert_eq!(fetched, CONCURRENCY, "messages fetched");
    assert!(kept <= SERVER_BYTES, "a server keeps at most {SERVER_BYTES} bytes");
}

fn find(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).expect("a case that `cost cases` prints")
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number of messages")
}

//! Counts what each contender allocates per message, and prints one line for each.
//!
//! A program of its own, because counting takes time that would be measured with the rest.

use std::alloc::System;

use chappe_peers::support::{Load, Sink, Threads};
use chappe_peers::{CONTENDERS, Contender};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MESSAGES: u64 = 20_000;

fn main() {
    for contender in CONTENDERS {
        let (short, long) = (allocations(contender, MESSAGES), allocations(contender, 2 * MESSAGES));
        // What happens once is in both and cancels.
        println!("{}\t{:.2}", contender.name, (long - short) / MESSAGES as f64);
    }
}

fn allocations(contender: Contender, messages: u64) -> f64 {
    let load = Load { messages, publishers: 1, concurrency: 64 };
    let region = Region::new(ALLOCATOR);
    let runtime = Threads::Current.runtime();
    let sink = Sink::new(load);
    runtime.block_on((contender.run)(load, sink.clone()));
    drop(runtime);
    let change = region.change();
    (change.allocations + change.reallocations) as f64
}

//! Throughput in memory, end to end: threads, concurrency and layers, beside the raw channel.
#![allow(missing_docs, reason = "a program")]

use std::future::Future;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

mod support;

use support::{Load, Sink, Threads, raw, served};

/// Messages in one iteration, enough to make nothing of starting and stopping a server.
const MESSAGES: u64 = 20_000;

const TWO: Threads = Threads::Workers(2);

fn threads(criterion: &mut Criterion) {
    let mut group = group(criterion, "threads");
    for (name, threads) in [("current", Threads::Current), ("1 worker", Threads::Workers(1)), ("2 workers", TWO)] {
        for publishers in [1, 4] {
            let load = Load { messages: MESSAGES, publishers, concurrency: 64 };
            let parameter = format!("{name}, {publishers} publishers");
            bench(&mut group, BenchmarkId::new("raw", &parameter), threads, load, raw::run);
            bench(&mut group, BenchmarkId::new("chappe", &parameter), threads, load, served::plain);
        }
    }
}

fn concurrency(criterion: &mut Criterion) {
    let mut group = group(criterion, "concurrency");
    for concurrency in [1, 16, 256] {
        let load = Load { messages: MESSAGES, publishers: 1, concurrency };
        bench(&mut group, BenchmarkId::from_parameter(concurrency), TWO, load, served::plain);
    }
}

fn layers(criterion: &mut Criterion) {
    let mut group = group(criterion, "layers");
    let load = Load { messages: MESSAGES, publishers: 1, concurrency: 64 };
    bench(&mut group, BenchmarkId::from_parameter("0"), TWO, load, served::plain);
    bench(&mut group, BenchmarkId::from_parameter("3"), TWO, load, served::three_layers);
    bench(&mut group, BenchmarkId::from_parameter("6"), TWO, load, served::six_layers);
    bench(&mut group, BenchmarkId::from_parameter("boxed"), TWO, load, served::boxed);
    bench(&mut group, BenchmarkId::from_parameter("written"), TWO, load, served::written);
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(MESSAGES)).sample_size(20).measurement_time(Duration::from_secs(3));
    group
}

fn bench<F: Future<Output = ()>>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    threads: Threads,
    load: Load,
    run: impl Fn(Load, Sink) -> F,
) {
    let runtime = threads.runtime();
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|iterations| {
            let load = Load { messages: load.messages * iterations, ..load };
            let sink = Sink::new(load);
            runtime.block_on(run(load, sink.clone()));
            sink.elapsed()
        });
    });
}

criterion_group!(benches, threads, concurrency, layers);
criterion_main!(benches);

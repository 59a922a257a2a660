//! chappe beside other crates, in one process and doing the same work.

#[path = "../../support/mod.rs"]
pub mod support;

pub mod peer;

use std::pin::Pin;

use support::{Load, Sink, served};

/// One run of a contender, on whatever runtime it is polled.
pub type Run = Pin<Box<dyn Future<Output = ()>>>;

/// One way of doing the work.
#[derive(Clone, Copy)]
pub struct Contender {
    /// Crate and manner.
    pub name: &'static str,
    /// What it is compared as.
    pub kind: Kind,
    /// Runs a load to its end.
    pub run: fn(Load, Sink) -> Run,
}

/// What a contender is compared as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The limit and ourselves.
    Ours,
    /// Another crate, without a server.
    Loop,
    /// Another crate that keeps several handlers running.
    Server,
}

impl Contender {
    const fn new(name: &'static str, kind: Kind, run: fn(Load, Sink) -> Run) -> Self {
        Self { name, kind, run }
    }
}

/// What everything is compared with; always the first.
pub const RAW: &str = "raw tokio::mpsc + recv_many";

/// The contender whose ratios to the others have targets.
pub const OURS: &str = "chappe, 3 layers";

/// All of them, in the order they are shown.
pub const CONTENDERS: [Contender; 13] = [
    Contender::new(RAW, Kind::Ours, |load, sink| Box::pin(support::raw::run(load, sink))),
    Contender::new("chappe", Kind::Ours, |load, sink| Box::pin(served::plain(load, sink))),
    Contender::new(OURS, Kind::Ours, |load, sink| Box::pin(served::three_layers(load, sink))),
    Contender::new("chappe, 6 layers", Kind::Ours, |load, sink| Box::pin(served::six_layers(load, sink))),
    Contender::new("chappe, boxed handler", Kind::Ours, |load, sink| Box::pin(served::boxed(load, sink))),
    Contender::new("chappe, router and handler", Kind::Ours, |load, sink| Box::pin(served::routed(load, sink))),
    Contender::new("omniqueue, bare loop", Kind::Loop, |load, sink| Box::pin(peer::omniqueue::bare(load, sink))),
    Contender::new("omniqueue, spawn + semaphore", Kind::Server, |load, sink| {
        Box::pin(peer::omniqueue::pool(load, sink))
    }),
    Contender::new("apalis, concurrency", Kind::Server, |load, sink| Box::pin(peer::apalis::concurrent(load, sink))),
    Contender::new("apalis, parallelize(spawn)", Kind::Server, |load, sink| {
        Box::pin(peer::apalis::parallel(load, sink))
    }),
    Contender::new("RustStream, 64 workers", Kind::Server, |load, sink| {
        Box::pin(peer::ruststream::workers(load, sink))
    }),
    Contender::new("shove, prefetch", Kind::Server, |load, sink| Box::pin(peer::shove::prefetch(load, sink))),
    Contender::new("mq-bridge, route", Kind::Server, |load, sink| Box::pin(peer::mq_bridge::route(load, sink))),
];

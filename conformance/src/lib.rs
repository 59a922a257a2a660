#![doc = include_str!("../README.md")]

mod broadcast;
mod case;
mod fault;
mod harness;
mod ledger;
mod probe;
mod queue;
mod relay;
mod rig;
mod run;
mod server;
mod tap;
mod wrap;

pub use broadcast::{BroadcastHarness, BusFixture};
pub use fault::Faults;
pub use harness::{Fixture, FixtureOf, Harness, Setup, Timing};
pub use ledger::{Balance, Ledger};
pub use relay::{Direction, Relay};
pub use run::Report;
pub use wrap::{Decorated, Erased};

use broadcast::BusBench;
use case::Case;
use rig::Bench;

/// Runs every case on queues of `harness`, prints a line for each that was skipped or failed, and fails if
/// one failed.
///
/// Cases whose theme and name do not contain the text of the environment variable `CHAPPE_CASE` are left out.
///
/// # Panics
///
/// If a case failed, after the others have run, with the list of all that did.
///
/// # Cancel safety
///
/// Dropped, the case that runs is dropped with its queue.
pub async fn run_all<H: Harness>(harness: &H) {
    run(harness).await.check();
}

/// Runs every case on queues of `harness` and tells how each ended.
///
/// # Cancel safety
///
/// As [`run_all`].
pub async fn run<H: Harness>(harness: &H) -> Report {
    let limits = (harness.parallel(), harness.timing().limit);
    run::run_cases(&all(), harness.exemptions(), limits, || Bench(harness)).await
}

/// Runs every case about buses on those of `harness`, and fails if one failed.
///
/// # Panics
///
/// As [`run_all`].
///
/// # Cancel safety
///
/// As [`run_all`].
pub async fn run_broadcast<H: BroadcastHarness>(harness: &H) {
    let limits = (harness.parallel(), harness.timing().limit);
    run::run_cases(&broadcast::cases(), harness.exemptions(), limits, || BusBench(harness)).await.check();
}

/// The cases [`run_all`] runs, as theme and name.
#[must_use]
pub fn cases<H: Harness>() -> Vec<(&'static str, &'static str)> {
    all::<H>().iter().map(|case| (case.theme, case.name)).collect()
}

/// The cases [`run_broadcast`] runs, as theme and name.
#[must_use]
pub fn broadcast_cases<H: BroadcastHarness>() -> Vec<(&'static str, &'static str)> {
    broadcast::cases::<H>().iter().map(|case| (case.theme, case.name)).collect()
}

fn all<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    [queue::cases(), server::cases()].concat()
}

//! The conformance suite every chappe backend passes.

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

pub use case::Case;
pub use fault::Faults;
pub use harness::{Fixture, FixtureOf, Harness, Setup, Timing};
pub use ledger::{Balance, Ledger};
pub use relay::{Direction, Relay};
pub use run::Report;
pub use wrap::{Decorated, Erased};

/// Runs every case on queues of `harness`.
///
/// # Panics
///
/// If a case fails.
pub async fn run_all<H: Harness>(harness: &H) {
    let limits = (harness.parallel(), harness.timing().limit);
    let cases = [queue::cases(), server::cases()].concat();
    run::run_cases(&cases, harness.exemptions(), limits, || rig::Bench(harness)).await.check();
}

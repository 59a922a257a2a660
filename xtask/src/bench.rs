//! `cargo xtask bench`: chappe beside the raw channel and beside other crates, in one run.

use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::{cargo, output, root, run as run_command};
use crate::service;

/// The comparison is a package of its own; it is built below our `target` all the same.
const MANIFEST: &str = "benches/peers/Cargo.toml";
const TARGET: &str = "target/peers";

/// The brokers there is a comparison for: a package below `benches/peers` and a service, both of that name.
pub(crate) const BROKERS: [&str; 4] = ["aws", "postgres", "pubsub", "redis"];

/// Builds the comparison with other ways to use a broker, and runs it beside that; `quick` takes a fifth of the
/// messages.
pub(crate) fn broker(service: &str, quick: bool) -> Result<()> {
    let package = format!("chappe-peers-{service}");
    let profile = ["build", "--profile", "network", "--manifest-path", MANIFEST, "--target-dir", TARGET];
    run_command(&mut cargo(&[&profile[..], &["--package", &package]].concat()))?;
    let program = root().join(TARGET).join("network").join(package);
    let program = program.to_str().context("the repository is in a folder whose name is no text")?;
    let arguments = if quick { &["--quick"][..] } else { &[] };
    service::run(&[service], Some(&[&[program], arguments].concat()))
}

/// Builds the comparison and prints its tables; `quick` takes a fifth of the messages.
pub(crate) fn run(quick: bool) -> Result<()> {
    run_command(&mut cargo(&["build", "--release", "--manifest-path", MANIFEST, "--target-dir", TARGET]))?;
    let folder = root().join(TARGET);
    let program = |name: &str| Command::new(folder.join("release").join(name));

    let allocations = folder.join("allocations.tsv");
    let counted = output(&mut program("allocations"))?;
    std::fs::write(&allocations, counted).with_context(|| format!("cannot write {}", allocations.display()))?;

    let mut compare = program("chappe-peers");
    compare.arg("--allocations").arg(&allocations).args(quick.then_some("--quick"));
    run_command(&mut compare)
}

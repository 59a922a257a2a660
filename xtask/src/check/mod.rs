//! `cargo xtask check`: what has to hold besides the tests.

use anyhow::{Result, bail};

use crate::cargo::{cargo, members, run as run_command};

mod direction;
mod feature;
mod msrv;

type Check = (&'static str, fn() -> Result<()>);

/// Cheap ones first.
const CHECKS: [Check; 6] = [
    ("fmt", fmt),
    ("direction", direction::run),
    ("msrv", msrv::run),
    ("clippy", clippy),
    ("features", feature::run),
    ("docs", docs),
];

/// Runs the named checks, or all of them, and fails if one does, after all have run.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| CHECKS.iter().all(|(known, _)| known != *name)) {
        bail!("there is no check `{unknown}`");
    }
    let mut failed = Vec::new();
    for (name, check) in CHECKS.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        println!("\n== {name}");
        if let Err(error) = check() {
            eprintln!("{name}: {error:#}");
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    println!("\nall checks passed");
    Ok(())
}

fn fmt() -> Result<()> {
    run_command(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    run_command(&mut cargo(&arguments))
}

/// Documentation as docs.rs builds it and as a user of the default features would.
fn docs() -> Result<()> {
    for features in [&["--all-features"][..], &[]] {
        let arguments = [&["doc", "--workspace", "--no-deps", "--exclude", "xtask"][..], features].concat();
        run_command(cargo(&arguments).env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    Ok(())
}

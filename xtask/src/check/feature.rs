//! Every feature alone, none of them and all of them.

use anyhow::Result;

use super::members;
use crate::cargo::{Package, cargo, run as run_command};

/// Packages nobody but us builds.
const OURS: [&str; 2] = ["chappe-conformance", "xtask"];

pub(super) fn run() -> Result<()> {
    // Without features a package is linted with all the others.
    let chosen = |package: &Package| !package.features.is_empty() && !OURS.contains(&package.name.as_str());
    for package in members()?.into_iter().filter(chosen) {
        let lint = |features: &[&str]| {
            let package = ["clippy", "--package", package.name.as_str(), "--lib"];
            run_command(&mut cargo(&[&package, features, &["--", "-D", "warnings"]].concat()))
        };
        lint(&["--no-default-features"])?;
        for feature in package.features.iter().filter(|feature| *feature != "default") {
            lint(&["--no-default-features", "--features", feature])?;
        }
        lint(&["--all-features"])?;
    }
    Ok(())
}

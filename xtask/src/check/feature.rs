//! Every feature alone, none of them and all of them.

use anyhow::Result;

use super::members;
use crate::cargo::{cargo, run as run_command};

/// The packages whose features a user chooses from.
const PACKAGES: [&str; 3] = ["chappe-core", "chappe-middleware", "chappe"];

pub(super) fn run() -> Result<()> {
    for package in members()?.iter().filter(|package| PACKAGES.contains(&package.name.as_str())) {
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

//! Every feature alone, none of them and all of them.

use std::fs;
use std::path::Path;

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
        let source = source(&package.folder.join("src"))?;
        for feature in package.features.iter().filter(|feature| *feature != "default") {
            // Handed on and never asked for here, it is the other package's to be linted with.
            if package.forwarded.contains(feature) && !source.contains(&format!("feature = \"{feature}\"")) {
                continue;
            }
            lint(&["--no-default-features", "--features", feature])?;
        }
        lint(&["--all-features"])?;
    }
    Ok(())
}

/// All that is written in a folder.
fn source(folder: &Path) -> Result<String> {
    let mut all = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        all += &if path.is_dir() { source(&path)? } else { fs::read_to_string(&path)? };
    }
    Ok(all)
}

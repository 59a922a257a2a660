//! Who may depend on whom: `backends/* → core ← middleware`, and `chappe → all`.

use anyhow::{Result, bail};

use super::members;
use crate::cargo::Package;

pub(super) fn run() -> Result<()> {
    let members = members()?;
    let mut wrong = Vec::new();
    for package in &members {
        let ours = package.normal.iter().filter(|name| members.iter().any(|member| member.name == **name));
        let ours: Vec<&str> = ours.map(String::as_str).collect();
        println!("{}: {}", package.name, if ours.is_empty() { "nothing of ours".to_owned() } else { ours.join(", ") });
        wrong.extend(
            ours.into_iter()
                .filter(|name| !may_depend(package, name))
                .map(|name| format!("{} may not depend on {name}", package.name)),
        );
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// Dependencies of tests and benches are free, because no user ever builds them.
fn may_depend(package: &Package, name: &str) -> bool {
    match package.name.as_str() {
        "chappe" => !matches!(name, "chappe-conformance" | "xtask"),
        "chappe-conformance" => name != "xtask",
        "chappe-core" | "xtask" => false,
        _ => name == "chappe-core",
    }
}

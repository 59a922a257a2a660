//! The compiler our packages promise to build with is one their dependencies build with too.
//!
//! Clippy's `incompatible_msrv` looks at our own code, going by the `rust-version` of each package; this
//! looks at what the packages resolve to.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use crate::cargo::{Package, cargo, everything, members, output};

/// The packages a user with an old compiler can have, and how old it may be.
const OLD: [&str; 4] = ["chappe-core", "chappe-middleware", "chappe-memory", "chappe"];
const OLDEST: &str = "1.85";

pub(super) fn run() -> Result<()> {
    let all = everything()?;
    let members = members()?;
    let mut wrong = BTreeSet::new();
    for package in &members {
        let Package { name, rust_version, default_member, .. } = package;
        let Some(promised) = rust_version.as_deref() else { continue };
        let new = number(promised)? > number(OLDEST)?;
        if new && OLD.contains(&name.as_str()) {
            wrong.insert(format!("{name} promises {promised}, it is to build with {OLDEST}"));
        }
        // A backend around an SDK needs what its SDK needs.
        if new && *default_member {
            wrong.insert(format!("{name} needs {promised}, so it must not be among the default members"));
        }
        let used = used_by(name, &all)?;
        println!("{name}: {} packages, to build with {promised}", used.len());
        for package in used {
            let Some(needed) = package.rust_version.as_deref() else { continue };
            if number(needed)? > number(promised)? {
                let Package { name: used, version, .. } = package;
                wrong.insert(format!("{used} {version} needs {needed}, and {name} promises {promised}"));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}", Vec::from_iter(wrong).join("\n"));
    }
    Ok(())
}

/// What `name` is built with under its default features on any system, build scripts and macros included.
fn used_by<'a>(name: &str, all: &'a [Package]) -> Result<Vec<&'a Package>> {
    let tree = "tree --edges normal,build --target all --prefix none --format {p} --package";
    let tree = output(&mut cargo(&tree.split(' ').chain([name]).collect::<Vec<_>>()))?;
    let lines: BTreeSet<&str> = tree.lines().filter(|line| !line.trim().is_empty()).collect();
    lines
        .into_iter()
        .map(|line| find(line, all).with_context(|| format!("cargo metadata does not know {line}")))
        .collect()
}

/// Finds the package of a line such as `tokio v1.54.0 (proc-macro)`.
fn find<'a>(line: &str, all: &'a [Package]) -> Option<&'a Package> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    all.iter().find(|package| package.name == name && package.version == version)
}

/// `1.85` and `1.85.0` are the same compiler.
fn number(version: &str) -> Result<Vec<u32>> {
    let mut parts: Vec<u32> = version
        .split('.')
        .map(|part| part.parse().with_context(|| format!("{version} is not a compiler version")))
        .collect::<Result<_>>()?;
    parts.resize(3, 0);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiler_versions_are_compared_as_numbers() {
        let number = |version| number(version).expect("a version");

        assert_eq!(number("1.85"), number("1.85.0"));
        assert!(number("1.100") > number("1.85.1"));
    }
}

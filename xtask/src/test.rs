//! `cargo xtask test`: every test, and a last line that counts them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, show};

/// Tests counted over all test programs.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs all tests; the last line printed is `N passed, N failed`.
pub(crate) fn run() -> Result<()> {
    // Goes on after a failure, so that the last line counts everything there is.
    let mut command = cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"]);
    let mut counts = Counts::default();
    let clean = watch(&mut command, &mut counts)?;
    if !clean && counts.failed == 0 {
        println!("\na test program did not build or did not end by itself; it counts as one failure");
        counts.failed = 1;
    }
    if counts.ignored > 0 {
        println!("\n{} ignored", counts.ignored);
    }
    println!("\n{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

/// Passes on what `command` writes while adding up the results in it; answers whether it succeeded.
fn watch(command: &mut Command, counts: &mut Counts) -> Result<bool> {
    show(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo has no standard output")?;
    // Tests may write bytes that are no text.
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("cannot read what the tests write")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.add(&line);
    }
    Ok(child.wait().context("cannot wait for cargo")?.success())
}

impl Counts {
    /// Adds up lines such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`.
    fn add(&mut self, line: &str) {
        let Some((_, result)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for part in result.split("; ") {
            match part.split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                Some((count, "ignored")) => self.ignored += count.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_test_programs_are_added_up() {
        let mut counts = Counts::default();

        counts.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s");
        counts.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s");
        counts.add("test some::result ... ok");

        assert_eq!(counts, Counts { passed: 15, failed: 2, ignored: 1 });
    }
}

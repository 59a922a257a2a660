//! `cargo xtask test`: every test, those that need a server included, and a last line that counts them.
//!
//! A test that needs a server is `#[ignore = "needs an SQS emulator: …"]`, so a plain `cargo test` shows that
//! it was left out. Here everything is run as `cargo test` does while servers are being installed, and then
//! the ignored tests whose reasons name servers, beside those.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, show};
use crate::service::{self, Interrupt, Running, Service};

/// Tests counted over all test programs.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
    failures: Vec<String>,
    ignored: Vec<Ignored>,
}

/// A test that was left out.
#[derive(Debug, PartialEq)]
struct Ignored {
    name: String,
    reason: String,
}

impl Ignored {
    fn needs(&self, service: &Service) -> bool {
        service.needs.iter().any(|need| self.reason.contains(need))
    }
}

/// Runs all tests, or those of the packages and names asked for; the last line printed is
/// `N passed, N failed`.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let (packages, filters) = parse(arguments)?;
    let services = service::needed_by(&packages)?;
    // Goes on after a failure, so that the last line counts everything there is.
    let mut test = vec!["test", "--all-features", "--no-fail-fast"];
    match packages[..] {
        [] => test.push("--workspace"),
        ref some => test.extend(some.iter().flat_map(|package| ["--package", *package])),
    }
    let interrupt = Interrupt::listen()?;
    let mut counts = Counts::default();
    let (clean, installed) = thread::scope(|scope| {
        let installing = scope.spawn(|| service::install(&services));
        let mut command = cargo(&[&test[..], &["--"], filters].concat());
        show(&command);
        let clean = watch(&mut command, &mut counts, &interrupt);
        (clean, installing.join().expect("installing does not panic"))
    });
    let mut clean = clean?;

    let (waiting, mut left): (Vec<_>, Vec<_>) =
        counts.ignored.drain(..).partition(|test| services.iter().any(|service| test.needs(service)));
    let mut skipped = Vec::new();
    if !waiting.is_empty() && !interrupt.heard() {
        let (there, mut problems) = installed;
        let (running, failed) = Running::start(&there, &interrupt);
        problems.extend(failed);
        for (service, error) in &problems {
            println!("\n{error:#}");
            clean &= service.optional;
        }
        let able = |test: &Ignored| services.iter().all(|service| !test.needs(service) || running.has(service));
        let (waiting, unable) = waiting.into_iter().partition::<Vec<_>, _>(able);
        skipped = unable;
        clean &= waiting.is_empty() || with_servers(&test, &waiting, &running, &mut counts, &interrupt)?;
    }
    if !clean && counts.failed == 0 {
        println!("\na test program or a server did not come up or did not end by itself; it counts as one failure");
        counts.failed = 1;
    }
    left.append(&mut counts.ignored);
    left.iter().for_each(|test| println!("ignored: {}", test.name));
    skipped.iter().for_each(|test| println!("SKIPPED: {}, {}", test.name, test.reason));
    counts.failures.iter().for_each(|name| println!("FAILED: {name}"));
    println!("\n{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed > 0 || interrupt.heard() {
        bail!("tests failed");
    }
    Ok(())
}

/// Runs the tests that were waiting for servers, beside them.
fn with_servers(
    test: &[&str],
    waiting: &[Ignored],
    running: &Running,
    counts: &mut Counts,
    interrupt: &Interrupt,
) -> Result<bool> {
    // By name: a test that is ignored for another reason stays so.
    let names = waiting.iter().map(|test| test.name.as_str());
    let behind: Vec<&str> = ["--tests", "--", "--ignored", "--exact"].into_iter().chain(names).collect();
    println!("$ cargo {} --tests -- --ignored, {} of them", test.join(" "), waiting.len());
    let mut command = cargo(&[test, &behind].concat());
    // What only the client's own configuration reads would be heard by tests of that configuration, too.
    command.envs(running.environment().into_iter().filter(|(name, _)| name.starts_with("CHAPPE_")));
    watch(&mut command, counts, interrupt)
}

/// Takes `-p PACKAGE` and, behind `--`, parts of names.
fn parse<'a>(mut arguments: &'a [&'a str]) -> Result<(Vec<&'a str>, &'a [&'a str])> {
    let mut packages = Vec::new();
    loop {
        match arguments {
            [] => return Ok((packages, &[])),
            ["--", filters @ ..] => return Ok((packages, filters)),
            ["-p" | "--package", package, rest @ ..] => {
                packages.push(*package);
                arguments = rest;
            }
            [unknown, ..] => bail!("`test` does not know `{unknown}`"),
        }
    }
}

/// Passes on what `command` writes while adding up the results in it; answers whether it succeeded.
fn watch(command: &mut Command, counts: &mut Counts, interrupt: &Interrupt) -> Result<bool> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo has no standard output")?;
    let pass_on = interrupt.pass_on(&child);
    // Tests may write bytes that are no text.
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("cannot read what the tests write")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.add(&line);
    }
    let status = child.wait().context("cannot wait for cargo")?;
    drop(pass_on);
    Ok(status.success())
}

impl Counts {
    /// Adds up lines such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`, and keeps what
    /// is told of a single test that is ignored or failed.
    fn add(&mut self, line: &str) {
        if let Some((_, result)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) {
            for part in result.split("; ") {
                match part.split_once(' ') {
                    Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                    Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                    _ => {}
                }
            }
        } else if let Some((name, reason)) =
            line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ignored"))
        {
            let reason = reason.trim_start_matches(", ").to_owned();
            self.ignored.push(Ignored { name: name.to_owned(), reason });
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
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
        counts.add("test some::other ... FAILED");

        let failures = vec!["some::other".to_owned()];
        assert_eq!(counts, Counts { passed: 15, failed: 2, failures, ignored: Vec::new() });
    }

    #[test]
    fn a_test_waits_for_the_very_server_its_reason_names() {
        let mut counts = Counts::default();
        let services = service::named(&["aws", "aws-referee"]).unwrap();

        counts.add("test queue::keeps_order ... ignored, needs a referee: run by cargo xtask test");
        counts.add("test src/lib.rs - Example (line 3) ... ignored");

        let needed = |at: usize| services.iter().map(|service| counts.ignored[at].needs(service)).collect::<Vec<_>>();
        assert_eq!(counts.ignored[0].name, "queue::keeps_order");
        assert_eq!((needed(0), needed(1)), (vec![false, true], vec![false, false]));
    }

    #[test]
    fn packages_and_parts_of_names_are_told_apart() {
        assert_eq!(parse(&["-p", "a", "-p", "b", "--", "x"]).unwrap(), (vec!["a", "b"], &["x"][..]));
        assert_eq!(parse(&[]).unwrap(), (vec![], &[][..]));
        assert!(parse(&["a"]).is_err());
    }
}

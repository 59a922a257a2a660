//! `cargo xtask gates`: what a message costs may not grow unnoticed.
//!
//! Allocations and instructions repeat from run to run, times do not; so these are held to the budgets in
//! `benches/gates.toml`, and times are only reported (`cargo xtask bench`).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cargo::{cargo, output, root, run as run_command};

const BUDGETS: &str = "benches/gates.toml";

/// Two runs of these lengths: what happens once is in both, and the difference is what messages cost.
const MESSAGES: [u64; 2] = [5_000, 15_000];

/// Messages queued before a receiver that is blocked.
const QUEUED: &str = "1000000";

/// How far allocations may be above their budget: a vector that grows a little later, never one per message.
const ALLOCATION_SLACK: f64 = 0.005;

/// How far instructions may be above their budget, in per cent, with the compiler the budget was made with
/// and with another one.
const INSTRUCTION_SLACK: f64 = 2.0;
const OTHER_COMPILER_SLACK: f64 = 15.0;

type Costs = BTreeMap<String, f64>;

/// The committed budgets.
#[derive(Debug, Default, PartialEq)]
struct Budgets {
    rustc: String,
    allocations: Costs,
    instructions: Costs,
}

/// Measures and compares; with `bless` the measured costs become the budgets.
pub(crate) fn run(bless: bool) -> Result<()> {
    let program = build()?;
    run_command(Command::new(&program).args(["blocked", QUEUED]))?;

    let limits = limits(&program)?;
    let rustc = output(Command::new("rustc").arg("--version"))?;
    let rustc = rustc.split(' ').nth(1).context("rustc does not tell its version")?.to_owned();
    let mut measured = Budgets { rustc, ..Budgets::default() };
    for case in limits.keys() {
        measured.allocations.insert(case.clone(), per_message(|messages| allocations(&program, case, messages))?);
    }
    if Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()) {
        for case in limits.keys() {
            measured.instructions.insert(case.clone(), per_message(|messages| instructions(&program, case, messages))?);
        }
    } else {
        println!("SKIPPED: valgrind is not installed, so instructions are not counted");
    }

    let mut wrong = over_limits(&measured.allocations, &limits);
    let path = root().join(BUDGETS);
    if bless {
        ensure!(wrong.is_empty(), "not blessed:\n{}", wrong.join("\n"));
        ensure!(!measured.instructions.is_empty(), "not blessed: that takes valgrind");
        std::fs::write(&path, measured.to_toml()).with_context(|| format!("cannot write {BUDGETS}"))?;
        println!("{BUDGETS} is rewritten:\n\n{}", measured.to_toml());
        return Ok(());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {BUDGETS}"))?;
    let budgets = Budgets::from_toml(&text)?;
    let slack = if budgets.rustc == measured.rustc { INSTRUCTION_SLACK } else { OTHER_COMPILER_SLACK };
    wrong.extend(compare("allocations", &measured.allocations, &budgets.allocations, |budget| {
        budget + ALLOCATION_SLACK
    }));
    wrong.extend(compare("instructions", &measured.instructions, &budgets.instructions, |budget| {
        budget * (1.0 + slack / 100.0)
    }));
    if !wrong.is_empty() {
        bail!(
            "{}\nif this is meant to be, run `cargo xtask gates --bless` and say why in the commit",
            wrong.join("\n")
        );
    }
    println!("\nall costs are within their budgets");
    Ok(())
}

/// Builds the program that does the work and answers where it is.
fn build() -> Result<PathBuf> {
    let mut command = cargo(&["bench", "--package", "chappe", "--bench", "cost", "--no-run", "--message-format=json"]);
    crate::cargo::show(&command);
    let messages = output(&mut command)?;
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable = built
        .filter(|message| message["target"]["name"] == "cost")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.context("cargo does not say where it put the bench `cost`")
}

/// The most each kind of work may allocate per message, which no blessing can raise.
fn limits(program: &Path) -> Result<Costs> {
    let lines = output(Command::new(program).arg("cases"))?;
    lines
        .lines()
        .map(|line| {
            let (case, limit) = line.split_once('\t').context("a case without a limit")?;
            Ok((case.to_owned(), limit.parse()?))
        })
        .collect()
}

fn per_message(measure: impl Fn(u64) -> Result<f64>) -> Result<f64> {
    let [short, long] = MESSAGES;
    let difference = measure(long)? - measure(short)?;
    Ok(difference / (long - short) as f64)
}

fn allocations(program: &Path, case: &str, messages: u64) -> Result<f64> {
    let count = output(Command::new(program).args(["allocations", case, &messages.to_string()]))?;
    count.trim().parse().with_context(|| format!("{case}: {count} is not a number of allocations"))
}

fn instructions(program: &Path, case: &str, messages: u64) -> Result<f64> {
    let folder = root().join("target/gates");
    std::fs::create_dir_all(&folder)?;
    let profile = folder.join(format!("{case}-{messages}.callgrind"));
    let out = format!("--callgrind-out-file={}", profile.display());
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind", &out]).arg(program).args(["run", case, &messages.to_string()]);
    output(&mut command)?;
    let profile = std::fs::read_to_string(profile)?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind wrote no totals")?;
    Ok(total.trim().parse()?)
}

fn over_limits(measured: &Costs, limits: &Costs) -> Vec<String> {
    let over = measured.iter().filter(|(case, cost)| **cost > limits[*case]);
    over.map(|(case, cost)| format!("{case}: {cost:.3} allocations per message, the limit is {}", limits[case]))
        .collect()
}

/// Prints all costs and answers what is wrong with them: what is over its budget or has none.
fn compare(what: &str, measured: &Costs, budgets: &Costs, most: impl Fn(f64) -> f64) -> Vec<String> {
    println!("\n{what} per message");
    let mut wrong = Vec::new();
    for (case, cost) in measured {
        let Some(budget) = budgets.get(case) else {
            wrong.push(format!("{case}: no budget for {what} in {BUDGETS}"));
            continue;
        };
        let verdict = if *cost > most(*budget) { "OVER" } else { "ok" };
        println!("  {case:<16} {cost:>10.3}   budget {budget:>10.3}   {verdict}");
        if verdict == "OVER" {
            wrong.push(format!("{case}: {cost:.3} {what} per message, the budget is {budget:.3}"));
        }
    }
    wrong
}

impl Budgets {
    fn to_toml(&self) -> String {
        let mut text = String::from("# What a message costs; written by `cargo xtask gates --bless`.\n");
        let _ = writeln!(text, "rustc = \"{}\"", self.rustc);
        for (section, costs, digits) in [("allocations", &self.allocations, 3), ("instructions", &self.instructions, 0)]
        {
            let _ = writeln!(text, "\n[{section}]");
            for (case, cost) in costs {
                let _ = writeln!(text, "{case} = {cost:.digits$}");
            }
        }
        text
    }

    /// Reads what [`to_toml`](Self::to_toml) writes.
    fn from_toml(text: &str) -> Result<Self> {
        let mut budgets = Self::default();
        let mut section = String::new();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut section);
                continue;
            }
            let (name, value) =
                line.split_once(" = ").with_context(|| format!("{BUDGETS}: not `name = value`: {line}"))?;
            let costs = match section.as_str() {
                "" if name == "rustc" => {
                    value.trim_matches('"').clone_into(&mut budgets.rustc);
                    continue;
                }
                "allocations" => &mut budgets.allocations,
                "instructions" => &mut budgets.instructions,
                _ => bail!("{BUDGETS}: unknown: {line}"),
            };
            costs.insert(name.to_owned(), value.parse().with_context(|| format!("{BUDGETS}: not a number: {line}"))?);
        }
        Ok(budgets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(cost: f64) -> Costs {
        Costs::from([("plain".to_owned(), cost)])
    }

    #[test]
    fn budgets_are_read_as_they_were_written() {
        let budgets = Budgets { rustc: "1.95.0".into(), allocations: costs(0.012), instructions: costs(812.0) };

        assert_eq!(Budgets::from_toml(&budgets.to_toml()).expect("readable"), budgets);
    }

    #[test]
    fn a_cost_over_its_budget_is_wrong_and_so_is_one_without() {
        assert!(compare("instructions", &costs(104.0), &costs(100.0), |budget| budget * 1.04).is_empty());
        assert_eq!(compare("instructions", &costs(105.0), &costs(100.0), |budget| budget * 1.04).len(), 1);
        assert_eq!(compare("instructions", &costs(1.0), &Costs::new(), |budget| budget).len(), 1);
    }

    #[test]
    fn no_blessing_gets_over_a_limit() {
        assert_eq!(over_limits(&costs(0.06), &costs(0.05)).len(), 1);
        assert!(over_limits(&costs(0.05), &costs(0.05)).is_empty());
    }
}

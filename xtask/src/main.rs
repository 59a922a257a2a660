//! The repository's own tasks: `cargo xtask <task>`.
//!
//! Everything written goes below `target/`, everything done is printed, and a task that fails says so with
//! its exit status.
#![allow(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

use std::process::ExitCode;

use anyhow::{Result, bail};

mod bench;
mod cargo;
mod check;
mod gates;
mod service;
mod test;

const HELP: &str = "\
cargo xtask <task>

  test [-p PACKAGE]... [-- NAME]...
                       runs every test of the workspace, or those asked for, against real servers where they
                       need them; doctests and the build of the examples included
  services [NAME]... [-- PROGRAM [ARGUMENT]...]
                       starts servers, all that tests need or the named ones: aws, aws-referee, pgbouncer,
                       postgres, pubsub, pubsub-emulator, redis, valkey; says how to reach them until Ctrl-C, or runs a program beside them
  check [NAME]...      runs all checks, or the named ones: fmt, clippy, docs, features, direction, msrv
  gates [--bless]      holds allocations and instructions per message to benches/gates.toml, or rewrites it
  bench [--quick]      measures chappe beside a raw channel and other crates, and prints how they compare
  bench BROKER [--quick]
                       the same through a broker, beside its client used by hand: aws, with calls and cost
                       counted, postgres, pubsub or redis
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<()> {
    match args {
        ["test", arguments @ ..] => test::run(arguments),
        ["services", arguments @ ..] => match arguments.iter().position(|argument| *argument == "--") {
            Some(at) => service::run(&arguments[..at], Some(&arguments[at + 1..])),
            None => service::run(arguments, None),
        },
        ["check", names @ ..] => check::run(names),
        ["gates"] => gates::run(false),
        ["gates", "--bless"] => gates::run(true),
        ["bench"] => bench::run(false),
        ["bench", "--quick"] => bench::run(true),
        ["bench", broker] if bench::BROKERS.contains(broker) => bench::broker(broker, false),
        ["bench", broker, "--quick"] if bench::BROKERS.contains(broker) => bench::broker(broker, true),
        ["help" | "--help" | "-h"] | [] => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no task `{}`\n\n{HELP}", other.join(" ")),
    }
}

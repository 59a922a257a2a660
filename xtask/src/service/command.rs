//! `cargo xtask services`: starts servers for a program, or until Ctrl-C.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Interrupt, Problem, Running, install, named, server};
use crate::cargo::{root, show};

/// Starts the named services, or all; then runs `program` beside them, or says how to reach them and waits
/// for Ctrl-C.
pub(crate) fn run(names: &[&str], program: Option<&[&str]>) -> Result<()> {
    let services = named(names)?;
    let (services, problems) = install(&services);
    allow(problems, names)?;
    let interrupt = Interrupt::listen()?;
    let (mut running, problems) = Running::start(&services, &interrupt);
    allow(problems, names)?;
    let environment = running.environment();
    match program {
        None => {
            for (name, value) in environment {
                println!("export {name}={value}");
            }
            println!("\nCtrl-C stops them");
            running.watch(&interrupt)
        }
        Some([program, arguments @ ..]) => {
            let mut command = Command::new(program);
            command.args(arguments).envs(environment).current_dir(root());
            show(&command);
            let mut child = server::bound(&command).spawn().with_context(|| format!("cannot start {program}"))?;
            let pass_on = interrupt.pass_on(&child);
            let status = child.wait().with_context(|| format!("cannot wait for {program}"))?;
            drop(pass_on);
            if !status.success() && !interrupt.heard() {
                bail!("{program} ended with {status}");
            }
            Ok(())
        }
        Some([]) => bail!("there is no program behind `--`"),
    }
}

/// Goes on, aloud, without what tests can do without, unless it was asked for by name.
fn allow(problems: Vec<Problem>, names: &[&str]) -> Result<()> {
    for (service, error) in problems {
        if !service.optional || names.contains(&service.name) {
            return Err(error);
        }
        println!("{error:#}");
    }
    Ok(())
}

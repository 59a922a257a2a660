//! The real servers that tests, benches and examples talk to.
//!
//! Each kind is one file that says how it is installed below `target/services`, how it is started and what a
//! program has to know to talk to it. To add one, write its file and name it in [`ALL`].

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::cargo::{members, root};

mod apt;
mod command;
mod interrupt;
mod localstack;
mod ministack;
mod pgbouncer;
mod postgres;
mod pubsub;
mod redis;
mod server;
mod valkey;
mod venv;

pub(crate) use command::run;
pub(crate) use interrupt::Interrupt;
pub(crate) use server::{Problem, Running};

/// All there are.
const ALL: [Service; 8] = [
    ministack::SERVICE,
    localstack::SERVICE,
    postgres::SERVICE,
    pgbouncer::SERVICE,
    redis::SERVICE,
    valkey::SERVICE,
    pubsub::SERVICE,
    pubsub::EMULATOR,
];

/// A kind of server.
pub(crate) struct Service {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// The program behind it.
    pub(crate) program: &'static str,
    /// The environment variable that tells tests its URL.
    pub(crate) variable: &'static str,
    /// What a test that needs it says in the reason of its `#[ignore = "needs …"]`: any of these.
    pub(crate) needs: &'static [&'static str],
    /// The packages with tests that need it. Without any it is started only by name.
    packages: &'static [&'static str],
    /// Whether tests go on without it, aloud, where it cannot be had.
    pub(crate) optional: bool,
    /// Installs it into a folder of its own, or finds it there.
    install: fn(&Path) -> Result<()>,
    /// Starts it.
    command: fn(&Site<'_>) -> Command,
    /// Whether it answers at its port.
    ready: fn(u16) -> bool,
    /// Where it is, by its port.
    url: fn(u16) -> String,
    /// What else programs are told, beside the variable: what the client's own configuration reads.
    settings: fn(&str) -> Vec<(&'static str, String)>,
}

/// Where one server runs.
struct Site<'a> {
    /// What `install` has filled.
    installed: &'a Path,
    /// An empty folder that is removed when the server has stopped.
    data: &'a Path,
    /// A free port of 127.0.0.1.
    port: u16,
}

impl Service {
    fn folder(&self) -> PathBuf {
        root().join("target/services").join(self.name)
    }

    fn install(&self) -> Result<()> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Two tasks at once would install over each other.
        let lock = std::fs::File::create(folder.join("lock"))?;
        lock.lock()?;
        (self.install)(&folder).with_context(|| format!("cannot install {} ({})", self.name, self.program))
    }
}

/// The services of these names, or all that tests need.
pub(crate) fn named(names: &[&str]) -> Result<Vec<&'static Service>> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|service| service.name != **name)) {
        let known: Vec<&str> = ALL.iter().map(|service| service.name).collect();
        bail!("there is no service `{unknown}`, there are: {}", known.join(", "));
    }
    let chosen = |service: &&Service| match names {
        [] => !service.packages.is_empty(),
        some => some.contains(&service.name),
    };
    Ok(ALL.iter().filter(chosen).collect())
}

/// The services the tests of these packages need; without names, of the whole workspace.
pub(crate) fn needed_by(packages: &[&str]) -> Result<Vec<&'static Service>> {
    let members = members()?;
    let tested = |name: &&str| match packages {
        [] => members.iter().any(|member| member.name == **name),
        some => some.contains(name),
    };
    Ok(ALL.iter().filter(|service| service.packages.iter().any(tested)).collect())
}

/// Installs services side by side; answers those that are there, and what kept others from it.
pub(crate) fn install(services: &[&'static Service]) -> (Vec<&'static Service>, Vec<Problem>) {
    let installed: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = services.iter().map(|service| scope.spawn(|| service.install())).collect();
        threads.into_iter().map(|thread| thread.join().expect("installing does not panic")).collect()
    });
    let (mut there, mut problems) = (Vec::new(), Vec::new());
    for (service, result) in services.iter().zip(installed) {
        match result {
            Ok(()) => there.push(*service),
            Err(error) => problems.push((*service, error)),
        }
    }
    (there, problems)
}

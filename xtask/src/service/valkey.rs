//! Valkey, beside Redis: `valkey-server` on the path, or Debian's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Service, Site, apt, redis, server::accepts};

const PROGRAM: &str = "valkey-server";
/// Debian 12 has it among the backports alone, from where it is unpacked and not installed.
const BACKPORTS: (&str, [&str; 2]) = ("bookworm", ["valkey-server", "valkey-tools"]);

pub(super) const SERVICE: Service = Service {
    name: "valkey",
    program: PROGRAM,
    variable: "CHAPPE_TEST_VALKEY",
    needs: &["Valkey"],
    packages: &["chappe-redis"],
    optional: true,
    install,
    command,
    ready: accepts,
    url: redis::url,
    settings: |_| Vec::new(),
};

fn install(folder: &Path) -> Result<()> {
    if program(folder).is_some() {
        return Ok(());
    }
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let (release, packages) = BACKPORTS;
    if system.lines().any(|line| line == format!("VERSION_CODENAME={release}")) {
        apt::unpack_backports(folder, release, &packages)?;
    } else {
        apt::install(&[PROGRAM])?;
    }
    program(folder).map(drop).with_context(|| format!("{PROGRAM} was installed and is not on the path"))
}

fn command(site: &Site<'_>) -> Command {
    redis::serve(&program(site.installed).unwrap_or_else(|| PROGRAM.into()), site)
}

fn program(folder: &Path) -> Option<PathBuf> {
    let unpacked = folder.join("usr/bin").join(PROGRAM);
    redis::on_path(PROGRAM).or_else(|| unpacked.is_file().then_some(unpacked))
}

//! Redis by the server that is there: `redis-server` or `valkey-server` on the path, or Debian's.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Service, Site, apt, server::accepts};

/// What it may be called.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

pub(super) const SERVICE: Service = Service {
    name: "redis",
    program: "redis-server",
    variable: "CHAPPE_TEST_REDIS",
    needs: &["Redis"],
    packages: &["chappe", "chappe-redis"],
    optional: false,
    install,
    command,
    ready: accepts,
    url,
    settings,
};

fn install(_: &Path) -> Result<()> {
    if program().is_none() {
        apt::install(&["redis-server"])?;
        program().context("redis-server was installed and is not on the path")?;
    }
    Ok(())
}

fn command(site: &Site<'_>) -> Command {
    serve(&program().unwrap_or_else(|| PROGRAMS[0].into()), site)
}

pub(super) fn serve(program: &Path, site: &Site<'_>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(site.data).args(["--bind", "127.0.0.1", "--port", &site.port.to_string(), "--dir"]);
    // Every write is in a file, and no snapshots of it are made.
    command.arg(site.data).args(["--save", "", "--appendonly", "yes", "--daemonize", "no"]);
    command
}

pub(super) fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// Some tests start servers of their own, to kill them.
fn settings(_: &str) -> Vec<(&'static str, String)> {
    program().map(|path| ("CHAPPE_TEST_REDIS_BIN", path.display().to_string())).into_iter().collect()
}

/// The first of the programs on the path.
fn program() -> Option<PathBuf> {
    PROGRAMS.iter().find_map(|name| on_path(name))
}

/// Where the path has a program.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

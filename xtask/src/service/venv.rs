//! Python packages in a virtual environment of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::apt;

/// What the Debian packages of a usable Python are called.
const PACKAGES: [&str; 2] = ["python3", "python3-venv"];

/// The environment below the folder of a service.
pub(super) fn folder(installed: &Path) -> PathBuf {
    installed.join("venv")
}

/// Makes an environment with `requirements` in it, unless it is there already.
pub(super) fn install(installed: &Path, requirements: &[&str]) -> Result<()> {
    let venv = folder(installed);
    // Written last, so that an installation that was broken off is made again.
    let stamp = venv.join("installed");
    let wanted = requirements.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    println!("installing {}", requirements.join(" "));
    if !can_make() {
        apt::install(&PACKAGES).context("python3 with its venv module is needed")?;
    }
    let make = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).output();
    check("python3 -m venv", make)?;
    let quiet = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"];
    let pip = Command::new(venv.join("bin/python")).args(quiet).args(requirements).stdin(Stdio::null()).output();
    check("pip install", pip)?;
    fs::write(stamp, wanted).context("cannot note what is installed")
}

/// Debian ships `venv` without what it needs to put pip into an environment.
fn can_make() -> bool {
    let mut probe = Command::new("python3");
    probe.args(["-c", "import venv, ensurepip"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

fn check(what: &str, output: std::io::Result<std::process::Output>) -> Result<()> {
    let output = output.with_context(|| format!("cannot start {what}"))?;
    if !output.status.success() {
        let wrote = [output.stdout, output.stderr].concat();
        bail!("{what} ended with {}: {}", output.status, String::from_utf8_lossy(&wrote).trim_end());
    }
    Ok(())
}

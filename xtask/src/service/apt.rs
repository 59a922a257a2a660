//! Packages of Debian and its like, where we may install them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

/// Asked by packages with daemons whether to start them.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// apt installs one thing at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Installs packages, and starts no daemon that comes with them.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let list = packages.join(" ");
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        bail!("install {list} first, for example with: sudo apt-get install {list}");
    }
    println!("installing {list}");
    let policy = Policy::deny()?;
    apt(&["update"])?;
    let result = apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat());
    drop(policy);
    result
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["--quiet", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
    let output = command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).output();
    let output = output.context("cannot start apt-get")?;
    if !output.status.success() {
        let wrote = String::from_utf8_lossy(&output.stderr);
        bail!("apt-get {} ended with {}: {}", arguments.join(" "), output.status, wrote.trim_end());
    }
    Ok(())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Keeps daemons from being started on their default ports, for as long as it lives.
struct Policy(bool);

impl Policy {
    fn deny() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self(false));
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self(true))
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.0 {
            drop(fs::remove_file(POLICY));
        }
    }
}

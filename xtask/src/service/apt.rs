//! Packages of Debian and its like, where we may install them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

/// Asked by packages with daemons whether to start them.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What Debian signs with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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

/// Unpacks packages of the backports of a release of Debian into a folder, and installs nothing. Anybody may.
pub(super) fn unpack_backports(folder: &Path, release: &str, packages: &[&str]) -> Result<()> {
    let suite = format!("{release}-backports");
    println!("unpacking {} of {suite}", packages.join(" "));
    let mirror = mirror(release)?;
    // What apt knows and keeps is apart from the system's.
    let state = folder.join("apt");
    fs::create_dir_all(state.join("lists/partial"))?;
    fs::create_dir_all(state.join("cache/archives/partial"))?;
    let source = state.join("source.list");
    fs::write(&source, format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))?;
    let own = [
        format!("Dir::Etc::SourceList={}", source.display()),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        format!("Dir::State::Lists={}/lists", state.display()),
        format!("Dir::Cache={}/cache", state.display()),
    ];
    let own: Vec<&str> = own.iter().flat_map(|option| ["-o", option]).collect();
    apt_in(folder, &[&own[..], &["update"]].concat())?;
    apt_in(folder, &[&own[..], &["download"], packages].concat())?;
    for archive in fs::read_dir(folder)?.flatten().filter(|file| file.path().extension().is_some_and(|e| e == "deb")) {
        let status = Command::new("dpkg").arg("-x").arg(archive.path()).arg(folder).status();
        if !status.context("cannot start dpkg")?.success() {
            bail!("dpkg cannot unpack {}", archive.path().display());
        }
    }
    Ok(())
}

/// From where the machine has the release itself.
fn mirror(release: &str) -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages", "Component: main"]);
    let output = command.stdin(Stdio::null()).output().context("cannot start apt-get")?;
    let targets = String::from_utf8_lossy(&output.stdout);
    let mut targets = targets.lines().filter_map(|line| line.split_once(' '));
    let found = targets.find(|(name, _)| *name == release);
    found.map(|(_, mirror)| mirror.to_owned()).with_context(|| format!("apt has no packages of {release}"))
}

fn apt(arguments: &[&str]) -> Result<()> {
    apt_in(Path::new("/"), arguments)
}

fn apt_in(folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["--quiet", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
    let output = command.current_dir(folder).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).output();
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

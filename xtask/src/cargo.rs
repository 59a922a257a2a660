//! Running cargo, and what it knows of the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The root of the repository, whatever directory the task was started in.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository").to_path_buf()
}

/// A cargo command in the root of the repository. On a build machine the lock file is taken as it is.
pub(crate) fn cargo(args: &[&str]) -> Command {
    // Before any `--`, behind which everything belongs to the program that is run.
    let at = args.iter().position(|arg| *arg == "--").unwrap_or(args.len());
    let locked = std::env::var_os("CI").is_some() && args.first() != Some(&"fmt");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(&args[..at]).args(locked.then_some("--locked")).args(&args[at..]);
    command
}

/// Shows a command and runs it with its output passed on.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    show(command);
    let status = command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// Runs a command and answers what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{} ended with {}", line(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote what is not UTF-8", line(command)))
}

pub(crate) fn show(command: &Command) {
    println!("$ {}", line(command));
}

fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default().to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

/// One package as `cargo metadata` tells it.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) rust_version: Option<String>,
    pub(crate) features: Vec<String>,
    /// Those of its features that do nothing but switch on features of other packages.
    pub(crate) forwarded: Vec<String>,
    /// The folder of its manifest.
    pub(crate) folder: PathBuf,
    /// Whether a plain `cargo build` builds it.
    pub(crate) default_member: bool,
    /// The names of what it depends on in every build, dev and build dependencies left out.
    pub(crate) normal: Vec<String>,
}

/// The packages of the workspace.
pub(crate) fn members() -> Result<Vec<Package>> {
    packages(&["metadata", "--format-version=1", "--no-deps"])
}

/// The packages of the workspace and all they depend on.
pub(crate) fn everything() -> Result<Vec<Package>> {
    packages(&["metadata", "--format-version=1", "--all-features"])
}

fn packages(args: &[&str]) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(&output(&mut cargo(args))?)?;
    list(&metadata["packages"]).map(|json| package(json, &metadata["workspace_default_members"])).collect()
}

fn package(json: &Value, default_members: &Value) -> Result<Package> {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let features = || json["features"].as_object().into_iter().flatten();
    let elsewhere = |part: &Value| part.as_str().is_some_and(|part| part.contains('/'));
    let manifest = text("manifest_path").context("package without a manifest")?;
    Ok(Package {
        name: text("name").context("package without a name")?,
        version: text("version").context("package without a version")?,
        rust_version: text("rust_version"),
        default_member: list(default_members).any(|id| *id == json["id"]),
        features: features().map(|(name, _)| name.clone()).collect(),
        forwarded: features()
            .filter(|(_, parts)| list(parts).next().is_some() && list(parts).all(elsewhere))
            .map(|(name, _)| name.clone())
            .collect(),
        folder: Path::new(&manifest).parent().context("manifest without a folder")?.to_path_buf(),
        normal: list(&json["dependencies"])
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect(),
    })
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

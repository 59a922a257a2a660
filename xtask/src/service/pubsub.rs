//! Pub/Sub by Google's emulator, where it can be found, or by the in-memory server of Google's Go client.
//!
//! The emulator alone keeps order, counts deliveries, forwards dead letters and goes back in time, so what needs it is
//! a service of its own. Nobody may hand it out: it comes with the Cloud SDK.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Service, Site, apt, server::accepts};
use crate::cargo::root;

/// Names the emulator, where it is in none of the usual places.
const JAR: &str = "PUBSUB_EMULATOR_JAR";

/// Where the Cloud SDK is installed, by its packages and its scripts.
const SDKS: [&str; 4] = [
    "/usr/lib/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/usr/local/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
];

/// What the in-memory server is built of, as Debian has it.
const PACKAGES: [&str; 2] = ["golang-go", "golang-google-cloud-dev"];

/// Its source, which is ours, below the folder of this package.
const SOURCE: &str = "xtask/services/pstest";

pub(super) const SERVICE: Service = Service {
    name: "pubsub",
    program: "Google's Pub/Sub emulator, or its in-memory server",
    variable: "CHAPPE_TEST_PUBSUB",
    needs: &["Pub/Sub server"],
    packages: &["chappe-pubsub", "chappe"],
    optional: true,
    install,
    command,
    ready: accepts,
    url: address,
    settings,
};

pub(super) const EMULATOR: Service = Service {
    name: "pubsub-emulator",
    program: "Google's Pub/Sub emulator",
    variable: "CHAPPE_TEST_PUBSUB_EMULATOR",
    needs: &["Pub/Sub emulator"],
    packages: &["chappe-pubsub"],
    optional: true,
    install: |_| find_emulator().map(drop),
    command,
    ready: accepts,
    url: address,
    settings,
};

fn install(folder: &Path) -> Result<()> {
    if find_emulator().is_ok() {
        return Ok(());
    }
    println!("Google's Pub/Sub emulator is not here; its in-memory server is built instead, for some of the tests");
    if !has("go") || !Path::new("/usr/share/gocode/src/cloud.google.com/go/pubsub/pstest").exists() {
        apt::install(&PACKAGES)?;
    }
    // Without modules: the libraries are those of Debian, and nothing is fetched.
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(in_memory(folder)).arg(".").current_dir(root().join(SOURCE));
    build.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOTOOLCHAIN", "local");
    build.env("GOFLAGS", "").env("GOCACHE", folder.join("cache"));
    let output = build.output().context("cannot start go")?;
    if !output.status.success() {
        bail!("go build ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}

fn command(site: &Site<'_>) -> Command {
    let mut command;
    if let Ok(jar) = find_emulator() {
        command = Command::new("java");
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar"]).arg(jar);
        command.arg("--host=127.0.0.1").arg(format!("--port={}", site.port));
    } else {
        command = Command::new(in_memory(site.installed));
        command.args(["-addr", &address(site.port)]);
    }
    command.current_dir(site.data);
    command
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// What all of Google's clients read.
fn settings(address: &str) -> Vec<(&'static str, String)> {
    vec![("PUBSUB_EMULATOR_HOST", address.to_owned()), ("GOOGLE_CLOUD_PROJECT", "chappe".to_owned())]
}

fn in_memory(folder: &Path) -> PathBuf {
    folder.join("pstest")
}

/// The emulator's archive, and that there is a Java to run it.
fn find_emulator() -> Result<PathBuf> {
    if !has("java") {
        bail!("Google's Pub/Sub emulator needs java");
    }
    if let Some(jar) = env::var_os(JAR) {
        let jar = PathBuf::from(jar);
        if !jar.is_file() {
            bail!("{JAR} is {}, which is no file", jar.display());
        }
        return Ok(jar);
    }
    let home = env::var_os("HOME").map(|home| Path::new(&home).join("google-cloud-sdk"));
    let places = SDKS.iter().map(PathBuf::from).chain(home);
    let jars = places.filter_map(|sdk| fs::read_dir(sdk.join("platform/pubsub-emulator/lib")).ok()).flatten().flatten();
    let mut jars: Vec<_> = jars.map(|entry| entry.path()).filter(|path| is_emulator(path)).collect();
    jars.sort();
    jars.pop().with_context(|| {
        format!(
            "Google's Pub/Sub emulator is in none of the usual places; set {JAR} to its cloud-pubsub-emulator-*-all.jar"
        )
    })
}

fn is_emulator(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("cloud-pubsub-emulator-") && name.ends_with("-all.jar")
}

fn has(program: &str) -> bool {
    let mut probe = Command::new("sh");
    probe.args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

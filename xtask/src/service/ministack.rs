//! SQS and SNS by ministack: fast, and close to the real thing in what it accepts and answers.
//!
//! What it lacks, [`localstack`](super::localstack) has: message move tasks and the dead letter of a
//! subscription.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Service, Site, server::accepts, venv};

const REQUIREMENTS: [&str; 1] = ["ministack==1.5.33"];

/// The packages with tests that talk to SQS or SNS.
pub(super) const PACKAGES: &[&str] = &["chappe", "chappe-sns", "chappe-sqs"];

pub(super) const SERVICE: Service = Service {
    name: "aws",
    program: "ministack 1.5.33",
    variable: "CHAPPE_TEST_AWS",
    needs: &["SQS emulator"],
    packages: PACKAGES,
    optional: false,
    install,
    command,
    ready: accepts,
    url,
    settings,
};

fn install(folder: &Path) -> Result<()> {
    venv::install(folder, &REQUIREMENTS)
}

fn command(site: &Site<'_>) -> Command {
    let mut command = Command::new(venv::folder(site.installed).join("bin/ministack"));
    command.current_dir(site.data).env("TMPDIR", site.data).env_remove("AWS_CA_BUNDLE");
    command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", site.port.to_string()).env("SERVICES", "sqs,sns");
    // One of its own variables would move it back to its default port.
    command.env_remove("EDGE_PORT");
    command
}

pub(super) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// What every AWS SDK reads. Any credentials will do, but there have to be some.
pub(super) fn settings(url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", url.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ]
}

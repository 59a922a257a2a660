//! SQS and SNS by localstack: the referee for what [`ministack`](super::ministack) lacks.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Service, Site, ministack, server::accepts, venv};

/// The last release for Pythons before 3.13. It needs the others older than it says.
const REQUIREMENTS: [&str; 6] = [
    "localstack-core[base-runtime]==4.9.2",
    "moto-ext[sqs,sns]",
    "cbor2<5.8",
    "cryptography<46",
    "pyopenssl<25.2",
    "service_identity<25",
];

pub(super) const SERVICE: Service = Service {
    name: "aws-referee",
    program: "localstack 4.9.2",
    variable: "CHAPPE_TEST_AWS_REFEREE",
    needs: &["referee", "move tasks"],
    packages: ministack::PACKAGES,
    optional: true,
    install,
    command,
    ready: accepts,
    url: ministack::url,
    settings: ministack::settings,
};

fn install(folder: &Path) -> Result<()> {
    venv::install(folder, &REQUIREMENTS)
}

fn command(site: &Site<'_>) -> Command {
    let address = format!("127.0.0.1:{}", site.port);
    let mut command = Command::new(venv::folder(site.installed).join("bin/python"));
    command.args(["-m", "localstack.runtime.main"]).current_dir(site.data).env_remove("AWS_CA_BUNDLE");
    for variable in ["TMPDIR", "HOST_TMP_FOLDER", "LOCALSTACK_VOLUME_DIR", "FILESYSTEM_ROOT"] {
        command.env(variable, site.data);
    }
    command.envs([("GATEWAY_LISTEN", &address), ("LOCALSTACK_HOST", &address)]);
    command.envs([("SERVICES", "sqs,sns"), ("STRICT_SERVICE_LOADING", "1"), ("EAGER_SERVICE_LOADING", "0")]);
    command.envs([("SQS_ENDPOINT_STRATEGY", "path"), ("OVERRIDE_IN_DOCKER", "0"), ("DEBUG", "0")]);
    // It calls nobody and listens to nothing else.
    command.envs([("DISABLE_EVENTS", "1"), ("SKIP_SSL_CERT_DOWNLOAD", "1"), ("SKIP_INFRA_DOWNLOADS", "1")]);
    command.env("DNS_ADDRESS", "0");
    command
}

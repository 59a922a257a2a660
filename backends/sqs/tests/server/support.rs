//! Clients, and queues of one's own.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use chappe_core::Error;
use chappe_sqs::admin::{QueueSpec, ensure_queue};

/// Names the endpoint of an emulator, like `http://127.0.0.1:4566`.
const ENDPOINT: &str = "CHAPPE_TEST_AWS";
/// Names the endpoint of another, which knows move tasks.
const REFEREE: &str = "CHAPPE_TEST_AWS_REFEREE";

/// The endpoint of the emulator.
pub(crate) fn endpoint() -> String {
    named(ENDPOINT)
}

/// A client of the emulator.
pub(crate) fn client() -> Client {
    client_of(&endpoint())
}

/// A client of the other emulator.
pub(crate) fn referee() -> Client {
    client_of(&named(REFEREE))
}

/// A client of an endpoint.
pub(crate) fn client_of(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}

/// A name no other queue has.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("chappe-{:x}-{count}-{:08x}", std::process::id(), fastrand::u32(..))
}

/// The URL of a new standard queue.
pub(crate) async fn standard(client: &Client) -> Result<String, Error> {
    ensure_queue(client, &QueueSpec::new(fresh_name())).await
}

/// The URL of a new FIFO queue.
pub(crate) async fn fifo(client: &Client) -> Result<String, Error> {
    ensure_queue(client, &QueueSpec::new(format!("{}.fifo", fresh_name()))).await
}

fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set; it names an emulator's endpoint, like http://127.0.0.1:4566")
    })
}

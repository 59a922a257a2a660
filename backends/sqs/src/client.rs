//! The clients a handle makes of the one it is given, each with the timeouts of what it does.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take that SQS does not hold back.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long a call may take that the SDK repeats.
const CALL: Duration = Duration::from_secs(30);

/// For long polls: an answer may take as long as the poll, and then some; without a limit a connection that
/// is half open hangs for ever. Nothing is repeated by the SDK, so that we see and count what fails.
pub(crate) fn polling(client: &Client, wait: Duration) -> Client {
    derived(client, RetryConfig::disabled(), TimeoutConfig::builder().operation_attempt_timeout(wait + ATTEMPT))
}

/// For what may be repeated without harm: the SDK does.
pub(crate) fn repeating(client: &Client) -> Client {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(CALL);
    derived(client, RetryConfig::standard(), timeouts)
}

/// For what may not: whether to repeat is decided by who knows the message.
pub(crate) fn sending(client: &Client) -> Client {
    derived(client, RetryConfig::disabled(), TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT))
}

fn derived(
    client: &Client,
    retries: RetryConfig,
    timeouts: aws_sdk_sqs::config::timeout::TimeoutConfigBuilder,
) -> Client {
    let timeouts = timeouts.connect_timeout(CONNECT).build();
    Client::from_conf(client.config().to_builder().retry_config(retries).timeout_config(timeouts).build())
}

/// A client by the rules of the AWS SDKs: credentials, region and endpoint from the environment, the
/// profile, or the machine.
#[cfg(feature = "env")]
pub(crate) async fn from_env(region: Option<&str>, endpoint: Option<&str>) -> Client {
    let mut loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12());
    if let Some(region) = region {
        loader = loader.region(aws_config::Region::new(region.to_owned()));
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    // The future is more than ten kilobytes.
    Client::new(&Box::pin(loader.load()).await)
}

//! The client a publisher makes of the one it is given.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::retry::RetryConfig;
use aws_sdk_sns::config::timeout::TimeoutConfig;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A copy without retries, which are the topic's business: it knows what may be repeated.
pub(crate) fn sending(client: &Client) -> Client {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
    let config = client.config().to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    Client::from_conf(config.build())
}

/// A client by the rules of the AWS SDKs: credentials and endpoint from the environment, the profile, or the
/// machine.
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

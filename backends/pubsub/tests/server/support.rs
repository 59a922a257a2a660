//! Clients, and topics with subscriptions of one's own.

use std::sync::atomic::{AtomicU64, Ordering};

use chappe_core::Error;
use chappe_pubsub::admin::{SubscriptionSpec, ensure_subscription, ensure_topic};
use chappe_pubsub::{PubsubClient, PubsubPublisher, PubsubQueue};

/// Names the host and port of a server.
const SERVER: &str = "CHAPPE_TEST_PUBSUB";
/// Any will do.
pub(crate) const PROJECT: &str = "chappe";

/// The host and port of the server.
pub(crate) fn server() -> String {
    std::env::var(SERVER).unwrap_or_else(|_| panic!("{SERVER} is not set; it names a server, like 127.0.0.1:8085"))
}

/// A client with a connection of its own.
pub(crate) fn client() -> PubsubClient {
    client_of(&server())
}

/// A client of a host and port.
pub(crate) fn client_of(host: &str) -> PubsubClient {
    PubsubClient::emulator(host).expect("it is a host and port").project(PROJECT)
}

/// A name no other topic has.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("chappe-{:x}-{count}-{:08x}", std::process::id(), fastrand::u32(..))
}

/// A new topic and a subscription to it.
pub(crate) async fn pair(
    client: &PubsubClient,
    change: impl FnOnce(SubscriptionSpec) -> SubscriptionSpec,
) -> Result<(PubsubPublisher, PubsubQueue), Error> {
    let name = fresh_name();
    let topic = ensure_topic(client, &name).await?;
    let subscription = ensure_subscription(client, &change(SubscriptionSpec::new(&name, &name))).await?;
    Ok((PubsubPublisher::new(client, topic), PubsubQueue::new(client, subscription)))
}

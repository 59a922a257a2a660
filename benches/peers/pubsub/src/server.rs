//! The server, and topics on it.

use chappe::pubsub::PubsubClient;
use chappe::pubsub::admin::{SubscriptionSpec, ensure_subscription, ensure_topic};

const PROJECT: &str = "bench";

/// The names of a topic and of its subscription, which are not the same to Google's client.
#[derive(Clone)]
pub struct Place {
    pub topic: String,
    pub subscription: String,
}

pub fn host() -> String {
    std::env::var("CHAPPE_TEST_PUBSUB")
        .expect("CHAPPE_TEST_PUBSUB is the host and port of an emulator; cargo xtask bench pubsub sets it")
}

/// A client with a connection of its own.
pub fn client() -> PubsubClient {
    PubsubClient::emulator(&host()).expect("it is a host and port").project(PROJECT)
}

/// Makes a topic with a subscription.
pub async fn place(name: &str) -> Place {
    let (client, name) = (client(), format!("{name}-{}", std::process::id()));
    ensure_topic(&client, &name).await.expect("the topic is made");
    ensure_subscription(&client, &SubscriptionSpec::new(&name, &name)).await.expect("the subscription is made");
    Place {
        topic: format!("projects/{PROJECT}/topics/{name}"),
        subscription: format!("projects/{PROJECT}/subscriptions/{name}"),
    }
}

/// It stands in for Pub/Sub, so what it takes of the processor tells nothing.
pub async fn processor() -> f64 {
    0.0
}

//! The conformance suite on subscriptions with and without order.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use chappe_conformance::{Erased, Faults, Fixture, FixtureOf, Harness, Relay, Setup, Timing, run_all};
use chappe_core::{Error, ErrorKind};
use chappe_pubsub::admin::{SubscriptionSpec, delete_subscription, delete_topic, ensure_subscription, ensure_topic};
use chappe_pubsub::{PubsubClient, PubsubPublisher, PubsubQueue, PubsubTopic};

use crate::shim::Shim;
use crate::support::{client, client_of, is_emulator, server};

/// What no queue passes that is told what it may hold by a server which does not hear it.
const SHARES: (&str, &str) = (
    "a_busy_server_leaves_messages_to_an_idle_one",
    "Google's servers for tests ignore how many messages may be out; `requests` has this with one that does not",
);
/// What no queue behind a network passes.
const WEIGHTS: (&str, &str) = (
    "queues_share_a_server_by_weight",
    "a round trip takes longer than the handlers of the case, so that the heavier queue runs dry meanwhile",
);
/// What no message passes to the in-memory server.
const LIMIT: (&str, &str) = ("a_body_at_the_limit_arrives", "Google's in-memory server takes no request above 4 MiB");

/// How many messages the heavy cases send. Each makes the in-memory server look at all it has.
const VOLUMES: [usize; 2] = [1_000, 3_000];

/// Queues on subscriptions that keep order where the case asks for it.
///
/// The emulator keeps the order of messages without a key, too, in a subscription with order, and hands all of them
/// out again with one that comes again. Pub/Sub does not; so only cases about order have such a subscription.
struct Subscriptions {
    /// Whether the queue keeps the order of keys in every case.
    ordered: bool,
}

impl Harness for Subscriptions {
    type Queue = PubsubQueue;
    type Publisher = PubsubPublisher;
    type Topic = PubsubTopic;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        if setup.ordered && !is_emulator() {
            return Err(Error::new(ErrorKind::Unsupported, "Google's in-memory server keeps no order"));
        }
        fixture(setup, self.ordered || setup.ordered).await
    }

    fn timing(&self) -> Timing {
        timing()
    }

    fn parallel(&self) -> usize {
        16
    }

    fn volume(&self) -> usize {
        VOLUMES[usize::from(is_emulator())]
    }

    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        if is_emulator() { &[SHARES, WEIGHTS] } else { &[SHARES, WEIGHTS, LIMIT] }
    }
}

/// Pub/Sub counts in whole seconds, and no lease is shorter than ten.
fn timing() -> Timing {
    let mut timing = Timing::default();
    timing.lease = Duration::from_secs(10);
    timing.slack = Duration::from_secs(6);
    timing.delay = Duration::from_secs(4);
    timing.patience = Duration::from_secs(60);
    timing.silence = Duration::from_millis(400);
    timing.limit = Duration::from_secs(300);
    timing
}

async fn fixture(setup: &Setup, ordered: bool) -> Result<FixtureOf<Subscriptions>, Error> {
    let shim = Shim::to(&server()).await;
    let relay =
        Relay::to(shim.address).await.map_err(|error| Error::new(ErrorKind::Other, "no relay").with_source(error))?;
    let direct = client();
    let dead_name = format!("{}-dead", setup.name);
    let dead_topic = ensure_topic(&direct, &dead_name).await?;
    // Google's in-memory server has no deadline of its own.
    let spec = |name: &str| SubscriptionSpec::new(name, name).ack_deadline(setup.lease);
    let dead = ensure_subscription(&direct, &spec(&dead_name)).await?;
    let topic = ensure_topic(&direct, &setup.name).await?;
    let subscription = ensure_subscription(&direct, &spec(&setup.name).ordered(setup.ordered)).await?;
    let relayed = client_of(&relay.addr().to_string());
    let publisher = PubsubPublisher::new(&relayed, &topic).keep_attribute_order(true);
    let used = Used {
        client: direct,
        topics: [topic, dead_topic.clone()],
        subscriptions: [subscription.clone(), dead.clone()],
    };
    let open = opener(relayed.clone(), subscription, setup.dead_letter.then_some(dead_topic), setup, ordered);
    let open_dead = opener(relayed, dead, None, setup, false);
    let relay = Arc::new(relay);
    let cut = Arc::clone(&relay);
    let faults = Faults::new()
        .disconnect(move || {
            cut.cut();
            ready(())
        })
        .fail_fetches(shim.fail("StreamingPull"))
        .fail_settles(shim.fail("Acknowledge"))
        .fail_publishes(shim.fail("Publish"));
    Ok(Fixture::new(publisher.clone(), publisher.topic(), open)
        .dead_letter(open_dead)
        .faults(faults)
        .keep((relay, shim, used)))
}

/// What a case has used, deleted when it is over: the emulator would deliver what is left in it for ever.
struct Used {
    client: PubsubClient,
    topics: [String; 2],
    subscriptions: [String; 2],
}

impl Drop for Used {
    fn drop(&mut self) {
        let (client, topics, subscriptions) =
            (self.client.clone(), std::mem::take(&mut self.topics), std::mem::take(&mut self.subscriptions));
        tokio::spawn(async move {
            for subscription in &subscriptions {
                let _ = delete_subscription(&client, subscription).await;
            }
            for topic in &topics {
                let _ = delete_topic(&client, topic).await;
            }
        });
    }
}

fn opener(
    client: PubsubClient,
    subscription: String,
    dead: Option<String>,
    setup: &Setup,
    ordered: bool,
) -> impl Fn() -> std::future::Ready<Result<PubsubQueue, Error>> + Send + Sync + 'static {
    // A look would tell that a subscription without order is not for a queue with it.
    let (lease, inspect) = (setup.lease, setup.ordered || !ordered);
    move || {
        let queue = PubsubQueue::new(&client, &subscription).lease(lease).ordered(ordered).inspect(inspect);
        ready(Ok(match &dead {
            Some(dead) => queue.dead_letter(dead),
            None => queue,
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Pub/Sub server: run by cargo xtask test"]
async fn subscriptions_conform() {
    run_all(&Subscriptions { ordered: false }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Pub/Sub server: run by cargo xtask test"]
async fn ordered_subscriptions_conform() {
    run_all(&Subscriptions { ordered: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Pub/Sub server: run by cargo xtask test"]
async fn erased_subscriptions_conform() {
    run_all(&Erased(Subscriptions { ordered: false })).await;
}

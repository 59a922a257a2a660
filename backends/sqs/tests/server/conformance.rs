//! The conformance suite on standard and on FIFO queues.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use chappe_conformance::{Erased, Faults, Fixture, FixtureOf, Harness, Relay, Setup, Timing, run_all};
use chappe_core::{Error, ErrorKind};
use chappe_sqs::admin::{QueueSpec, ensure_queue};
use chappe_sqs::{SqsPublisher, SqsQueue, SqsTopic};

use crate::shim::Shim;
use crate::support::{client, client_of, endpoint};

/// What no queue behind a network passes.
const WEIGHTS: (&str, &str) = (
    "queues_share_a_server_by_weight",
    "a round trip takes longer than the handlers of the case, so that the heavier queue runs dry meanwhile",
);
/// What a FIFO queue does not tell.
const DUPLICATES: (&str, &str) =
    ("an_id_published_twice_is_stored_once", "SQS stores it once, and answers the second like the first");

/// How many messages the heavy cases send: an emulator takes a millisecond for a request, and more here.
const VOLUME: usize = 3_000;

/// Standard queues, but for the cases about order.
struct Standard;

/// FIFO queues in every case.
struct Fifo;

impl Harness for Standard {
    type Queue = SqsQueue;
    type Publisher = SqsPublisher;
    type Topic = SqsTopic;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        fixture(setup, setup.ordered).await
    }

    fn timing(&self) -> Timing {
        timing()
    }

    fn parallel(&self) -> usize {
        4
    }

    fn volume(&self) -> usize {
        VOLUME
    }

    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        &[WEIGHTS]
    }
}

impl Harness for Fifo {
    type Queue = SqsQueue;
    type Publisher = SqsPublisher;
    type Topic = SqsTopic;

    async fn queue(&self, setup: &Setup) -> Result<FixtureOf<Self>, Error> {
        fixture(setup, true).await
    }

    fn timing(&self) -> Timing {
        timing()
    }

    fn parallel(&self) -> usize {
        4
    }

    fn volume(&self) -> usize {
        VOLUME
    }

    fn exemptions(&self) -> &[(&'static str, &'static str)] {
        &[WEIGHTS, DUPLICATES]
    }
}

/// SQS counts in whole seconds, and a consumer that is stopped ends with its poll.
fn timing() -> Timing {
    let mut timing = Timing::default();
    timing.lease = Duration::from_secs(3);
    timing.patience = Duration::from_secs(40);
    timing.silence = Duration::from_millis(400);
    timing.slack = Duration::from_secs(8);
    timing.stop = Duration::from_secs(20);
    timing.limit = Duration::from_secs(240);
    timing
}

async fn fixture(setup: &Setup, fifo: bool) -> Result<FixtureOf<Standard>, Error> {
    let suffix = if fifo { ".fifo" } else { "" };
    let address: SocketAddr = endpoint().trim_start_matches("http://").parse().expect("the endpoint has an address");
    let relay =
        Relay::to(address).await.map_err(|error| Error::new(ErrorKind::Other, "no relay").with_source(error))?;
    let direct = client();
    let dead = ensure_queue(&direct, &QueueSpec::new(format!("{}-dead{suffix}", setup.name))).await?;
    let url = ensure_queue(&direct, &QueueSpec::new(format!("{}{suffix}", setup.name))).await?;
    let shim = Shim::default();
    let relayed = shim.wrap(&client_of(&format!("http://{}", relay.addr())));
    let publisher = SqsPublisher::new(&relayed, &url).keep_attribute_order(true);
    // The emulator is slower than SQS, and the machine is busy.
    let topic = publisher.topic().max_in_flight(4).timeout(Duration::from_secs(60));
    let open = opener(relayed.clone(), url, setup.dead_letter.then(|| dead.clone()), setup.lease);
    let open_dead = opener(relayed, dead, None, setup.lease);
    let relay = Arc::new(relay);
    let cut = Arc::clone(&relay);
    let (fetches, settles, publishes) = (shim.clone(), shim.clone(), shim);
    let faults = Faults::new()
        .disconnect(move || {
            cut.cut();
            std::future::ready(())
        })
        .fail_fetches(move |calls| fetches.fail("ReceiveMessage", calls, 503, "ServiceUnavailable"))
        // What the SDK would not repeat by itself.
        .fail_settles(move |calls| settles.fail("DeleteMessageBatch", calls, 403, "ExpiredToken"))
        .fail_publishes(move |calls| {
            publishes.fail("SendMessage", calls, 503, "ServiceUnavailable");
            publishes.fail("SendMessageBatch", calls, 503, "ServiceUnavailable");
        });
    Ok(Fixture::new(publisher, topic, open).dead_letter(open_dead).faults(faults).keep(relay))
}

fn opener(
    client: Client,
    url: String,
    dead: Option<String>,
    lease: Duration,
) -> impl Fn() -> std::future::Ready<Result<SqsQueue, Error>> + Send + Sync + 'static {
    move || {
        let queue = SqsQueue::new(&client, &url).lease(lease).wait(Duration::from_secs(1));
        std::future::ready(Ok(match &dead {
            Some(dead) => queue.dead_letter(dead),
            None => queue,
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn standard_queues_conform() {
    run_all(&Standard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn fifo_queues_conform() {
    run_all(&Fifo).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn erased_queues_conform() {
    run_all(&Erased(Standard)).await;
}

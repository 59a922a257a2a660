//! A topic and a queue that is subscribed to it, fresh for each test.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chappe_core::Message;
use chappe_core::backend::{Action, ConsumeOptions, Consumer, Fetch, Queue, Settlement, StopToken};
use chappe_sns::SnsPublisher;
use chappe_sns::admin::{Subscription, ensure_topic, subscribe};
use chappe_sqs::SqsQueue;
use chappe_sqs::admin::{QueueSpec, ensure_queue};

/// How long a message may take from one to the other.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Pair {
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) arn: String,
    pub(crate) queue_url: String,
    pub(crate) queue: SqsQueue,
}

impl Pair {
    /// At the emulator, standard, with raw delivery of everything.
    pub(crate) async fn raw() -> Self {
        Self::of("CHAPPE_TEST_AWS", "", &Subscription::new()).await
    }

    pub(crate) async fn with(subscription: &Subscription) -> Self {
        Self::of("CHAPPE_TEST_AWS", "", subscription).await
    }

    /// `suffix` is `.fifo` or nothing.
    pub(crate) async fn of(variable: &str, suffix: &str, subscription: &Subscription) -> Self {
        let (sns, sqs) = clients(variable);
        let name = fresh_name() + suffix;
        let arn = ensure_topic(&sns, &name).await.unwrap();
        let queue_url = ensure_queue(&sqs, &QueueSpec::new(&name)).await.unwrap();
        subscribe(&sns, &sqs, &arn, &queue_url, subscription).await.unwrap();
        let queue = SqsQueue::new(&sqs, &queue_url).wait(Duration::from_secs(1));
        Self { sns, sqs, arn, queue_url, queue }
    }

    pub(crate) fn publisher(&self) -> SnsPublisher {
        SnsPublisher::new(&self.sns, &self.arn)
    }

    /// Receives and acknowledges so many messages.
    pub(crate) async fn receive(&self, count: usize) -> Vec<Message> {
        receive(&self.queue, count).await
    }
}

pub(crate) async fn receive(queue: &SqsQueue, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    let receiving = async {
        let options = ConsumeOptions::new(StopToken::never(), NonZeroUsize::new(10).unwrap());
        let mut consumer = queue.consume(options).await.unwrap();
        while messages.len() < count {
            let mut deliveries = Vec::new();
            assert!(!matches!(consumer.fetch(count - messages.len(), &mut deliveries).await.unwrap(), Fetch::Stopped));
            let settlements = deliveries.iter().map(|delivery| Settlement::new(delivery.receipt.clone(), Action::Ack));
            queue.settle(&mut settlements.collect::<Vec<_>>()).await.unwrap();
            messages.extend(deliveries.into_iter().map(|delivery| delivery.message));
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, receiving).await;
    assert!(in_time.is_ok(), "{} of {count} messages have come", messages.len());
    messages
}

pub(crate) fn clients(variable: &str) -> (aws_sdk_sns::Client, aws_sdk_sqs::Client) {
    use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region};

    let endpoint = std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set; it names an emulator's endpoint, like http://127.0.0.1:4566")
    });
    let credentials = Credentials::new("test", "test", None, None, "tests");
    let sns = aws_sdk_sns::Config::builder().behavior_version(BehaviorVersion::v2026_01_12());
    let sns = sns.region(Region::new("us-east-1")).credentials_provider(credentials.clone()).endpoint_url(&endpoint);
    let sqs = aws_sdk_sqs::Config::builder().behavior_version(BehaviorVersion::v2026_01_12());
    let sqs = sqs.region(Region::new("us-east-1")).credentials_provider(credentials).endpoint_url(&endpoint);
    (aws_sdk_sns::Client::from_conf(sns.build()), aws_sdk_sqs::Client::from_conf(sqs.build()))
}

/// A name nothing else has.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("chappe-{:x}-{now:x}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

//! A client that counts its calls, and a queue for it.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_sqs::config::{BehaviorVersion, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sqs::error::BoxError;

/// Calls by the name of their operation, every attempt counted.
#[derive(Clone, Debug, Default)]
pub struct Calls(BTreeMap<String, u64>);

impl Calls {
    pub fn all(&self) -> u64 {
        self.0.values().sum()
    }

    /// Those to operations that begin so.
    pub fn of(&self, operation: &str) -> u64 {
        self.0.iter().filter(|(name, _)| name.starts_with(operation)).map(|(_, calls)| calls).sum()
    }
}

impl Sum for Calls {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        let mut total = Self::default();
        for (name, calls) in iter.flat_map(|calls| calls.0) {
            *total.0.entry(name).or_default() += calls;
        }
        total
    }
}

/// A client of the environment's endpoint, with a fresh queue.
pub struct Connection {
    pub client: Client,
    pub url: String,
    counter: Counter,
}

impl Connection {
    pub async fn open() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12()).load().await;
        let counter = Counter::default();
        let config = aws_sdk_sqs::config::Builder::from(&config).interceptor(counter.clone()).build();
        let client = Client::from_conf(config);
        let name = format!("bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let queue = client.create_queue().queue_name(name).send().await.expect("a queue can be made");
        let url = queue.queue_url.expect("a queue has a URL");
        counter.take();
        Self { client, url, counter }
    }

    /// The calls since the last time.
    pub fn calls(&self) -> Calls {
        self.counter.take()
    }
}

#[derive(Clone, Debug, Default)]
struct Counter(Arc<Mutex<Calls>>);

impl Counter {
    fn take(&self) -> Calls {
        std::mem::take(&mut self.0.lock().expect("counting does not panic"))
    }
}

impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "Counter"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        *self.0.lock().expect("counting does not panic").0.entry(operation.to_owned()).or_default() += 1;
        Ok(())
    }
}

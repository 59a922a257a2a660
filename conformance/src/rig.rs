//! [`Bench`] and [`Rig`], what a queue case works with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chappe_core::backend::{
    Action, Attempts, Capabilities, Delivery, Depth, LeaseKind, PublishCapabilities, Publisher, Queue, SettleResult,
    Settlement,
};
use chappe_core::{Error, Message, Published, Topic};
use tokio::time::{Instant, sleep};

use crate::case::{Stop, supported};
use crate::fault::Faults;
use crate::harness::{Fixture, FixtureOf, Harness, Setup, Timing};
use crate::tap::Tap;

/// How much sooner than due a message may come, as clocks and timers have their grain.
pub(crate) const EARLY: Duration = Duration::from_millis(5);
/// How often a case looks whether something is so.
const LOOK: Duration = Duration::from_millis(2);
/// How often a broker is asked for its depth until it has counted.
const COUNTING: Duration = Duration::from_millis(20);

/// The receipts of a harness's queue.
pub(crate) type ReceiptOf<H> = <<H as Harness>::Queue as Queue>::Receipt;
/// The deliveries of a harness's queue.
pub(crate) type DeliveryOf<H> = Delivery<ReceiptOf<H>>;

/// The harness, as a case is given it.
pub(crate) struct Bench<'a, H>(pub(crate) &'a H);

impl<H: Harness> Bench<'_, H> {
    pub(crate) fn timing(&self) -> Timing {
        self.0.timing()
    }

    pub(crate) fn volume(&self) -> usize {
        self.0.volume()
    }

    /// An empty queue with a dead letter, where there is such a thing, and a lease no case outlives.
    pub(crate) async fn open(&self) -> Result<Rig<H>, Stop> {
        self.open_with(|_| {}).await
    }

    /// An empty queue with the shortest leases.
    pub(crate) async fn open_with_short_lease(&self) -> Result<Rig<H>, Stop> {
        let lease = self.timing().lease;
        self.open_with(|setup| setup.lease = lease).await
    }

    /// An empty queue that keeps the order of each key.
    pub(crate) async fn open_ordered(&self) -> Result<Rig<H>, Stop> {
        self.open_with(|setup| setup.ordered = true).await
    }

    /// An empty queue by the wishes of the case.
    pub(crate) async fn open_with(&self, wish: impl FnOnce(&mut Setup) + Send) -> Result<Rig<H>, Stop> {
        let mut setup =
            Setup { name: fresh_name(), lease: self.timing().long_lease, dead_letter: true, ordered: false };
        wish(&mut setup);
        let fixture = supported(self.0.queue(&setup).await)?;
        let queue = (fixture.open)().await?;
        Ok(Rig {
            timing: self.timing(),
            capabilities: queue.capabilities().clone(),
            publish: fixture.publisher.publish_capabilities().clone(),
            queue,
            setup,
            fixture,
        })
    }
}

/// A queue under test.
pub(crate) struct Rig<H: Harness> {
    pub(crate) queue: H::Queue,
    pub(crate) capabilities: Capabilities,
    pub(crate) publish: PublishCapabilities,
    pub(crate) timing: Timing,
    pub(crate) setup: Setup,
    fixture: FixtureOf<H>,
}

impl<H: Harness> Rig<H> {
    pub(crate) fn topic(&self) -> H::Topic {
        self.fixture.topic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn publisher(&self) -> &H::Publisher {
        &self.fixture.publisher
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.fixture.faults
    }

    /// Another handle to the same queue.
    pub(crate) async fn another_queue(&self) -> Result<H::Queue, Stop> {
        Ok((self.fixture.open)().await?)
    }

    /// The dead letter as a queue; skips the case where there is none.
    pub(crate) async fn dead_letter(&self) -> Result<H::Queue, Stop> {
        let Fixture { open_dead_letter: Some(open), .. } = &self.fixture else {
            return Err(Stop::Skip("no way to read the dead letter".to_owned()));
        };
        if !self.capabilities.dead_letter {
            return Err(Stop::Skip("no dead letter".to_owned()));
        }
        Ok(open().await?)
    }

    /// Publishes a message that must be accepted.
    pub(crate) async fn publish(&self, message: impl Into<Message>) -> Published {
        self.topic().publish(message).await.unwrap_or_else(|error| panic!("publishing failed: {error:?}"))
    }

    /// Publishes messages, all of which must be accepted.
    pub(crate) async fn publish_all<M: Into<Message>>(&self, messages: impl IntoIterator<Item = M>) -> Vec<Published> {
        let messages: Vec<Message> = messages.into_iter().map(Into::into).collect();
        let results = self.topic().publish_all(messages).await;
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|error| panic!("publishing failed: {error:?}")))
            .collect()
    }

    /// How long a lease lasts.
    pub(crate) fn lease(&self) -> Duration {
        match self.capabilities.lease {
            LeaseKind::Timed { ttl, .. } => ttl,
            _ => self.setup.lease,
        }
    }

    pub(crate) fn has_timed_lease(&self) -> bool {
        matches!(self.capabilities.lease, LeaseKind::Timed { .. })
    }

    /// Settles one delivery if that can be done, as it need not in the middle of a fault.
    pub(crate) async fn try_settle(&self, delivery: &DeliveryOf<H>, action: Action) -> Result<SettleResult, Error> {
        let mut batch = [self.settlement(delivery, action)];
        self.queue.settle(&mut batch).await?;
        let [settlement] = batch;
        Ok(settlement.result)
    }

    /// A consumer of the queue, tried for as long as it takes a broker to come back.
    pub(crate) async fn tap_again(&self) -> Result<Tap<H::Queue>, Stop> {
        let until = Instant::now() + self.timing.patience;
        loop {
            match Tap::open(&self.queue, &self.timing).await {
                Err(error) if error.is_retryable() && Instant::now() < until => sleep(COUNTING).await,
                tap => return Ok(tap?),
            }
        }
    }

    /// Hands out the topic to what outlives the rig's borrow, such as a handler.
    pub(crate) fn topic_for_handlers(&self) -> impl Fn() -> H::Topic + Clone + Send + 'static + use<H> {
        let topic = Arc::new(Mutex::new(self.topic()));
        move || topic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until something is so, within the patience for a whole case.
    pub(crate) async fn until(&self, so: impl Fn() -> bool + Send) {
        let until = Instant::now() + self.timing.limit / 2;
        while !so() {
            assert!(Instant::now() < until, "it did not come to be");
            sleep(LOOK).await;
        }
    }

    /// A consumer of the queue.
    pub(crate) async fn tap(&self) -> Result<Tap<H::Queue>, Stop> {
        self.tap_into(&self.queue).await
    }

    /// A consumer of another queue at the same broker.
    pub(crate) async fn tap_into(&self, queue: &H::Queue) -> Result<Tap<H::Queue>, Stop> {
        Ok(Tap::open(queue, &self.timing).await?)
    }

    /// Settles one delivery and says what came of it.
    pub(crate) async fn settle(&self, delivery: &DeliveryOf<H>, action: Action) -> SettleResult {
        self.settle_all([(delivery, action)]).await.remove(0)
    }

    /// Settles deliveries in one call and says what came of each.
    pub(crate) async fn settle_all<'a, I>(&self, settlements: I) -> Vec<SettleResult>
    where
        I: IntoIterator<Item = (&'a DeliveryOf<H>, Action)>,
    {
        let mut batch: Vec<_> =
            settlements.into_iter().map(|(delivery, action)| self.settlement(delivery, action)).collect();
        let settled = self.queue.settle(&mut batch).await;
        assert!(settled.is_ok(), "settle failed: {settled:?}");
        for settlement in &batch {
            assert!(!settlement.result.is_pending(), "settle answered Ok and left {:?} pending", settlement.action);
        }
        batch.into_iter().map(|settlement| settlement.result).collect()
    }

    /// What settles a delivery, with the message where the queue declares that it needs it.
    pub(crate) fn settlement(&self, delivery: &DeliveryOf<H>, action: Action) -> Settlement<ReceiptOf<H>> {
        let needed = match action {
            Action::Retry { .. } => self.capabilities.retry_needs_message,
            Action::DeadLetter { .. } => self.capabilities.dead_letter_needs_message,
            _ => false,
        };
        let mut settlement = Settlement::new(delivery.receipt.clone(), action);
        settlement.message = needed.then(|| Box::new(delivery.message.clone()));
        settlement
    }

    /// Settles one delivery, which must be done.
    pub(crate) async fn settle_done(&self, delivery: &DeliveryOf<H>, action: Action) {
        let result = self.settle(delivery, action.clone()).await;
        assert!(matches!(result, SettleResult::Done), "{action:?} came to {result:?}");
    }

    /// Acknowledges a delivery, which must be done.
    pub(crate) async fn ack(&self, delivery: &DeliveryOf<H>) {
        self.settle_done(delivery, Action::Ack).await;
    }

    /// Acknowledges deliveries, all of which must be done, in calls of the declared size.
    pub(crate) async fn ack_all(&self, deliveries: &[DeliveryOf<H>]) {
        self.ack_all_through(&self.queue, deliveries).await;
    }

    /// Acknowledges deliveries through the handle they were fetched from.
    pub(crate) async fn ack_all_through(&self, queue: &H::Queue, deliveries: &[DeliveryOf<H>]) {
        for deliveries in deliveries.chunks(self.capabilities.max_settle_batch.max(1)) {
            let mut batch: Vec<_> = deliveries.iter().map(|delivery| self.settlement(delivery, Action::Ack)).collect();
            let settled = queue.settle(&mut batch).await;
            assert!(settled.is_ok(), "settle failed: {settled:?}");
            for settlement in &batch {
                assert!(matches!(settlement.result, SettleResult::Done), "an ack came to {:?}", settlement.result);
            }
        }
    }

    /// The depth of the queue when it is as expected, as brokers take their time to count.
    pub(crate) async fn depth_when(&self, expected: impl Fn(&Depth) -> bool + Send) -> Result<Depth, Stop> {
        let until = Instant::now() + self.timing.patience;
        loop {
            let depth = self.queue.depth().await?;
            if expected(&depth) {
                return Ok(depth);
            }
            assert!(Instant::now() < until, "the depth stays at {depth:?}");
            sleep(COUNTING).await;
        }
    }

    /// Checks the attempt of a delivery by what the queue declares to count.
    #[track_caller]
    pub(crate) fn check_attempt(&self, delivery: &DeliveryOf<H>, attempt: u32) {
        let seen = delivery.message.attempt();
        let right = match self.capabilities.attempts {
            Attempts::Exact => seen == attempt,
            Attempts::Approximate => seen > 0,
            Attempts::Flag => (seen == 1) == (attempt == 1) && seen > 0,
            Attempts::None => seen == 0,
            _ => true,
        };
        assert!(right, "attempt {attempt} says that it is {seen}, counted {:?}", self.capabilities.attempts);
    }

    /// Publishes a message and checks that it arrives as it was, or, if it does not fit what is declared,
    /// that it is refused with the same kind of error before anything is sent.
    pub(crate) async fn round_trip(&self, message: Message) -> Result<(), Stop> {
        if let Err(refusal) = self.publish.check(&message) {
            let error = match self.topic().publish(message).await {
                Err(error) => error,
                Ok(receipt) => panic!("published as {receipt:?}, but declared to be refused: {refusal:?}"),
            };
            assert_eq!(error.kind(), refusal.kind(), "refused with another error: {error:?}");
            assert!(!error.is_ambiguous(), "refused before it was sent, but ambiguous: {error:?}");
            return Ok(());
        }
        self.publish(message.clone()).await;
        let mut tap = self.tap().await?;
        let delivery = tap.one().await;
        check_same(&delivery.message, &message);
        self.ack(&delivery).await;
        tap.stop().await;
        Ok(())
    }
}

/// Reads everything a queue holds and acknowledges it.
pub(crate) async fn drain<H: Harness>(rig: &Rig<H>, queue: &H::Queue) -> Result<Vec<Message>, Stop> {
    let mut messages = Vec::new();
    let mut tap = rig.tap_into(queue).await?;
    let mut quiet_since = Instant::now();
    loop {
        let deliveries = tap.up_to(100, rig.timing.silence).await;
        let quiet = quiet_since.elapsed();
        if deliveries.is_empty() && (quiet > rig.timing.patience || is_empty(rig, queue, quiet).await) {
            tap.stop().await;
            return Ok(messages);
        }
        if deliveries.is_empty() {
            continue;
        }
        quiet_since = Instant::now();
        rig.ack_all_through(queue, &deliveries).await;
        messages.extend(deliveries.into_iter().map(|delivery| delivery.message));
    }
}

/// Whether nothing waits: a slow broker is silent for a while in between, and one that does not tell its depth is
/// given as long as a message may be late.
async fn is_empty<H: Harness>(rig: &Rig<H>, queue: &H::Queue, quiet: Duration) -> bool {
    queue.depth().await.map_or(quiet > rig.timing.slack, |depth| depth.ready == 0)
}

/// Checks that a message has arrived as it was published: body, key, and every value of every name.
#[track_caller]
pub(crate) fn check_same(received: &Message, published: &Message) {
    assert_eq!(received.body(), published.body(), "the body has changed");
    assert_eq!(received.key(), published.key(), "the key has changed");
    assert_eq!(by_name(received), by_name(published), "the attributes have changed");
}

/// The attributes with the order across names left out, which many brokers do not keep.
fn by_name(message: &Message) -> Vec<(&str, &chappe_core::Value)> {
    let mut attributes: Vec<_> = message.attributes().iter().map(|(name, value)| (name.as_str(), value)).collect();
    attributes.sort_by_key(|(name, _)| *name);
    attributes
}

/// A retry at once.
pub(crate) fn retry() -> Action {
    retry_after(Duration::ZERO)
}

/// A retry after a delay.
pub(crate) fn retry_after(delay: Duration) -> Action {
    Action::Retry { delay, reason: None }
}

/// Checks for a stale receipt's answer.
#[track_caller]
pub(crate) fn check_lost(result: &SettleResult) {
    assert!(matches!(result, SettleResult::Lost), "a stale receipt came to {result:?}");
}

/// Messages whose bodies are their numbers.
pub(crate) fn numbered(numbers: impl IntoIterator<Item = usize>) -> Vec<Message> {
    numbers.into_iter().map(|number| Message::new(number.to_string())).collect()
}

/// The number of a message made by [`numbered`].
pub(crate) fn number_of(message: &Message) -> usize {
    let text = std::str::from_utf8(message.body()).expect("the suite's bodies are text");
    text.parse().expect("the suite's bodies are numbers")
}

/// The error a publish must end with.
#[track_caller]
pub(crate) fn refusal(published: Result<Published, Error>) -> Error {
    match published {
        Err(error) => error,
        Ok(receipt) => panic!("published as {receipt:?}, but should have been refused"),
    }
}

pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("chappe-{:x}-{:x}-{count}", now & 0xffff_ffff, std::process::id())
}

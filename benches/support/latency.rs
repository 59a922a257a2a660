//! How long a message takes from publishing to its handler when there is little to do.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chappe::Message;
use tokio::sync::mpsc;

use super::{Threads, raw, template};

/// The pause between two messages: long enough that every one finds everybody asleep.
const PAUSE: Duration = Duration::from_micros(200);

/// Measures one message at a time.
#[derive(Clone)]
pub struct Clock(Arc<Times>);

struct Times {
    origin: Instant,
    published: AtomicU64,
    measured: Mutex<Vec<u64>>,
}

impl Clock {
    fn new(messages: usize) -> Self {
        let measured = Mutex::new(Vec::with_capacity(messages));
        Self(Arc::new(Times { origin: Instant::now(), published: AtomicU64::new(0), measured }))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.origin.elapsed().as_nanos()).expect("a run takes less than a century")
    }

    fn publishing(&self) {
        self.0.published.store(self.now(), Ordering::Release);
    }

    /// Notes that the handler has the message published last.
    pub fn handled(&self) {
        let taken = self.now() - self.0.published.load(Ordering::Acquire);
        self.0.measured.lock().expect("no handler panics").push(taken);
    }
}

/// What half of the messages and all but one in a hundred take at most.
#[derive(Clone, Copy, Debug)]
pub struct Percentiles {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

/// Publishes from a thread of its own, one message after the other, to what `start` has set up: it is given
/// the clock and answers with what publishes one message.
///
/// # Panics
///
/// If a message was not handled, because then there is nothing to measure.
pub fn measure<P, F>(messages: usize, start: impl FnOnce(Clock) -> P) -> Percentiles
where
    P: FnMut(Message) -> F,
    F: Future<Output = ()>,
{
    let runtime = Threads::Workers(2).runtime();
    let clock = Clock::new(messages);
    let mut publish = {
        let _inside = runtime.enter();
        start(clock.clone())
    };
    let template = template();
    for _ in 0..messages {
        std::thread::sleep(PAUSE);
        clock.publishing();
        runtime.block_on(publish(template.clone()));
    }
    std::thread::sleep(PAUSE * 10);
    let mut measured = clock.0.measured.lock().expect("no handler panics").clone();
    assert_eq!(measured.len(), messages, "messages handled");
    measured.sort_unstable();
    let at = |percent: usize| Duration::from_nanos(measured[(messages - 1) * percent / 100]);
    Percentiles { p50: at(50), p99: at(99) }
}

/// The raw channel.
#[must_use]
pub fn raw(messages: usize) -> Percentiles {
    measure(messages, |clock| {
        let (sender, mut receiver) = mpsc::channel::<Message>(raw::CAPACITY);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while receiver.recv_many(&mut batch, raw::CAPACITY).await > 0 {
                batch.drain(..).for_each(|_| clock.handled());
            }
        });
        move |message| {
            let sender = sender.clone();
            async move { sender.send(message).await.expect("the channel is open") }
        }
    })
}

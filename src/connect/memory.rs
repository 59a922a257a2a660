//! The queues and the bus in memory that URLs name: one of each name in a process.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::Url;
use chappe_memory::{MemoryBus, MemoryQueue};

/// How many ids a queue remembers for as long as the URL says.
const DEDUP_IDS: usize = 100_000;

static QUEUES: LazyLock<Mutex<HashMap<String, Named>>> = LazyLock::new(Mutex::default);
static BUS: LazyLock<MemoryBus> = LazyLock::new(|| MemoryBus::new("memory"));

/// A queue, kept so that its messages outlive the handles, and what it was made with.
struct Named {
    queue: MemoryQueue,
    options: Options,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Options {
    lease: Option<Duration>,
    capacity: Option<usize>,
    max_bytes: Option<usize>,
    max_message_bytes: Option<usize>,
    max_delay: Option<Duration>,
    dedup: Option<Duration>,
    ordered: Option<bool>,
    dead_letter: Option<String>,
}

/// The queue of this name, made if there is none yet.
pub(super) fn queue(url: &str) -> Result<MemoryQueue, Error> {
    let mut url = Url::parse(url)?;
    let name = name(&url)?;
    let options = Options::take(&mut url)?;
    url.finish()?;
    if options.dead_letter.as_ref() == Some(&name) {
        return Err(url.invalid("its dead letter is the queue itself; give it another name"));
    }
    let mut queues = queues();
    match queues.get(&name) {
        Some(named) if options == Options::default() || options == named.options => return Ok(named.queue.clone()),
        Some(_) => return Err(url.invalid("the queue is there with other options; give the same ones, or none")),
        None => {}
    }
    let queue = options.build(&name, &mut queues)?;
    queues.insert(name, Named { queue: queue.clone(), options });
    Ok(queue)
}

/// Another handle on the one bus of the process, which publishes to the topic of this name.
pub(super) fn broadcast(url: &str) -> Result<MemoryBus, Error> {
    let url = Url::parse(url)?;
    url.finish()?;
    Ok(BUS.fork_to(name(&url)?))
}

impl Options {
    fn take(url: &mut Url) -> Result<Self, Error> {
        Ok(Self {
            lease: url.duration("lease")?,
            capacity: url.take("capacity")?,
            max_bytes: url.bytes("max_bytes")?,
            max_message_bytes: url.bytes("max_message_bytes")?,
            max_delay: url.duration("max_delay")?,
            dedup: url.duration("dedup")?,
            ordered: url.take("ordered")?,
            dead_letter: url.take("dead_letter")?,
        })
    }

    fn build(&self, name: &str, queues: &mut HashMap<String, Named>) -> Result<MemoryQueue, Error> {
        let mut builder = MemoryQueue::builder(name);
        builder = self.lease.into_iter().fold(builder, |builder, lease| builder.lease(lease));
        builder = self.capacity.into_iter().fold(builder, |builder, messages| builder.capacity(messages));
        builder = self.max_bytes.into_iter().fold(builder, |builder, bytes| builder.max_bytes(bytes));
        builder = self.max_message_bytes.into_iter().fold(builder, |builder, bytes| builder.max_message_bytes(bytes));
        builder = self.max_delay.into_iter().fold(builder, |builder, delay| builder.max_delay(delay));
        builder = self.dedup.into_iter().fold(builder, |builder, window| builder.dedup(window, DEDUP_IDS));
        builder = self.ordered.into_iter().fold(builder, |builder, ordered| builder.ordered(ordered));
        if let Some(dead) = &self.dead_letter {
            let named = || Named { queue: MemoryQueue::new(dead.as_str()), options: Self::default() };
            builder = builder.dead_letter(&queues.entry(dead.clone()).or_insert_with(named).queue);
        }
        builder.build()
    }
}

fn name(url: &Url) -> Result<String, Error> {
    match (url.authority(), url.segments()) {
        ("", _) => Err(url.invalid("it names no queue, as in memory://orders")),
        (name, []) => Ok(name.to_owned()),
        _ => Err(url.invalid("a queue in memory has a name and no path")),
    }
}

fn queues() -> MutexGuard<'static, HashMap<String, Named>> {
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}

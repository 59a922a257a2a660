//! [`Hub`], what the subscriptions of one handle share: who is subscribed to what, and who gets which message.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use chappe_core::backend::{Status, SubscribeOptions};
use chappe_core::bus::{End, Line, Origin, Progress, Sequence};
use chappe_core::{Error, ErrorKind};
use tokio::sync::Notify;

use super::payload;

pub(super) struct Hub {
    pub(super) origin: Origin,
    pub(super) status: Status,
    topics: Mutex<Topics>,
    /// Rung when there is another channel to subscribe to, or one less.
    pub(super) changed: Notify,
    /// What the listener last achieved.
    pub(super) progress: Progress,
    ignored: AtomicU64,
}

#[derive(Default)]
struct Topics {
    by_name: HashMap<Arc<str>, Topic>,
    /// Which session of the listener may deliver.
    epoch: u64,
    closed: bool,
}

#[derive(Default)]
struct Topic {
    lines: Vec<Arc<Line>>,
    /// Whether the session is subscribed.
    subscribed: bool,
    /// Whether a session that was subscribed was lost, and the subscribers are yet to be told.
    lost: bool,
    sequence: Sequence,
}

impl Hub {
    pub(super) fn new(status: Status) -> Self {
        Self {
            origin: Origin::random(),
            status,
            topics: Mutex::default(),
            changed: Notify::new(),
            progress: Progress::new(),
            ignored: AtomicU64::new(0),
        }
    }

    /// How many messages were none of ours.
    pub(super) fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }

    pub(super) fn subscribe(&self, name: &str, options: &SubscribeOptions) -> Result<Arc<Line>, Error> {
        let mut topics = self.lock();
        if topics.closed {
            return Err(closed(name));
        }
        let name: Arc<str> = name.into();
        let topic = topics.by_name.entry(Arc::clone(&name)).or_default();
        let line = Arc::new(Line::new(name, options, self.status.clone()));
        topic.lines.push(Arc::clone(&line));
        if !topic.subscribed {
            self.changed.notify_one();
        }
        Ok(line)
    }

    /// Waits until the channel of a line is subscribed to.
    ///
    /// # Errors
    ///
    /// What the next attempt to connect failed with, or `Closed`.
    pub(super) async fn subscribed(&self, line: &Line) -> Result<(), Error> {
        let what = format!("cannot subscribe to {}", line.topic);
        let subscribed = || {
            let topics = self.lock();
            if topics.closed {
                return Err(closed(&line.topic));
            }
            Ok(topics.by_name.get(&*line.topic).is_none_or(|topic| topic.subscribed))
        };
        self.progress.until(what, subscribed).await
    }

    /// Takes a line out, and lets nothing more in.
    pub(super) fn remove(&self, line: &Arc<Line>) {
        let mut woken = Vec::new();
        let mut topics = self.lock();
        if let Some(topic) = topics.by_name.get_mut(&*line.topic) {
            topic.lines.retain(|other| !Arc::ptr_eq(other, line));
            if topic.lines.is_empty() {
                topics.by_name.remove(&*line.topic);
                self.changed.notify_one();
            }
        }
        line.end(End::Stopped, &mut woken);
        drop(topics);
        wake(woken);
    }

    /// Ends all subscriptions; a second call does nothing.
    pub(super) fn close(&self) {
        let mut woken = Vec::new();
        let mut topics = self.lock();
        if std::mem::replace(&mut topics.closed, true) {
            return;
        }
        for line in topics.by_name.drain().flat_map(|(_, topic)| topic.lines) {
            line.end(End::Stopped, &mut woken);
        }
        drop(topics);
        wake(woken);
        self.progress.made();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The channels that should be subscribed to.
    pub(super) fn wanted(&self) -> BTreeSet<Arc<str>> {
        self.lock().by_name.keys().cloned().collect()
    }

    /// A session of the listener begins; what those before it still bring is not heard.
    pub(super) fn begin(&self) -> u64 {
        let mut topics = self.lock();
        topics.epoch += 1;
        for topic in topics.by_name.values_mut() {
            topic.lost |= std::mem::replace(&mut topic.subscribed, false);
        }
        topics.epoch
    }

    /// The session is subscribed to these channels: whoever was before learns that it may have missed
    /// something.
    pub(super) fn find(&self, channels: &BTreeSet<Arc<str>>) {
        let mut woken = Vec::new();
        let mut topics = self.lock();
        topics.of(channels).for_each(|topic| topic.find(&mut woken));
        drop(topics);
        wake(woken);
    }

    /// The session is subscribed to these channels: whoever waits for that is subscribed.
    pub(super) fn confirm(&self, channels: &BTreeSet<Arc<str>>) {
        self.lock().of(channels).for_each(|topic| topic.subscribed = true);
        self.progress.made();
    }

    /// A message came. Called on the task that empties the client's buffer, which has no bound, so nothing
    /// here waits for anybody.
    pub(super) fn receive(&self, epoch: u64, channel: &str, payload: Vec<u8>) {
        let bytes = payload.len();
        let opened = payload::open(payload);
        let mut woken = Vec::new();
        let mut topics = self.lock();
        if topics.epoch != epoch {
            return;
        }
        // Not subscribed to any more.
        let Some(topic) = topics.by_name.get_mut(channel) else { return };
        let Some((mark, mut message)) = opened else {
            drop(topics);
            return self.ignore(channel, bytes);
        };
        topic.find(&mut woken);
        if topic.sequence.has_hole(mark) {
            topic.lines.iter().for_each(|line| line.gap(&mut woken));
        }
        if let Some(line) = topic.lines.first() {
            message.set_source(Arc::clone(&line.topic));
        }
        for line in topic.lines.iter().filter(|line| line.echo || mark.origin != self.origin) {
            line.put(message.clone(), &mut woken);
        }
        drop(topics);
        wake(woken);
    }

    fn ignore(&self, channel: &str, bytes: usize) {
        let ignored = self.ignored.fetch_add(1, Ordering::Relaxed) + 1;
        // The first, the second, the fourth …: a chatty neighbour does not fill the log.
        if ignored.is_power_of_two() {
            tracing::warn!(channel, bytes, ignored, "a message that is none of ours is ignored");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topics {
    fn of<'a>(&'a mut self, channels: &'a BTreeSet<Arc<str>>) -> impl Iterator<Item = &'a mut Topic> {
        self.by_name.iter_mut().filter(|(name, _)| channels.contains(*name)).map(|(_, topic)| topic)
    }
}

impl Topic {
    /// The session is subscribed: if another was lost before, something may have been missed.
    fn find(&mut self, woken: &mut Vec<Waker>) {
        if std::mem::take(&mut self.lost) {
            self.sequence.clear();
            self.lines.iter().for_each(|line| line.gap(woken));
        }
    }
}

pub(super) fn closed(topic: &str) -> Error {
    Error::new(ErrorKind::Closed, format!("bus {topic} is closed"))
}

fn wake(woken: Vec<Waker>) {
    woken.into_iter().for_each(Waker::wake);
}

//! [`Hub`], what the handles of one bus share, and [`Handle`], what the clones of one handle share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use chappe_core::backend::{PublishCapabilities, Status, SubscribeOptions};
use chappe_core::{Error, ErrorKind, Message, MessageId, Published};

use super::line::{After, End, Line, Put};

/// One bus. Its lock comes before those of its lines.
#[derive(Default)]
pub(super) struct Hub(Mutex<Topics>);

#[derive(Default)]
struct Topics {
    lines: HashMap<Arc<str>, Vec<Arc<Line>>>,
    seq: u64,
}

/// One participant of a bus, as a process would be.
pub(super) struct Handle {
    pub(super) topic: Arc<str>,
    pub(super) status: Status,
    pub(super) publish: PublishCapabilities,
    hub: Arc<Hub>,
    healthy: AtomicBool,
    closed: AtomicBool,
}

/// A line that keeps a publisher waiting, and for how long at most.
pub(super) struct Wait {
    pub(super) line: Arc<Line>,
    pub(super) ticket: u64,
    pub(super) timeout: Duration,
}

impl Handle {
    pub(super) fn new(topic: Arc<str>, hub: Arc<Hub>) -> Self {
        let mut publish = PublishCapabilities::new();
        publish.max_batch = 1024;
        publish.self_batching = true;
        let (healthy, closed) = (AtomicBool::new(true), AtomicBool::new(false));
        Self { topic, status: Status::new(), publish, hub, healthy, closed }
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Hands a message to all subscribers of a topic, and says for which of them the publisher has to wait.
    pub(super) fn publish(
        self: &Arc<Self>,
        topic: &Arc<str>,
        message: Message,
    ) -> Result<(Published, Vec<Wait>), Error> {
        let mut message = message.into_outgoing();
        self.publish.check(&message)?;
        let mut waits = Vec::new();
        let mut after = After::default();
        let mut topics = self.hub.lock();
        self.check()?;
        topics.seq += 1;
        let seq = topics.seq;
        let id = message.id().cloned().unwrap_or_else(|| MessageId::from_u64(seq));
        message.set_id(id.clone());
        message.set_published(SystemTime::now());
        message.set_source(Arc::clone(topic));
        for line in topics.lines.get(topic).into_iter().flatten() {
            let own = Arc::ptr_eq(&line.handle, self);
            if (own && !line.echo) || !line.handle.healthy.load(Ordering::Relaxed) {
                continue;
            }
            if let Put::Blocked(ticket, timeout) = line.put(message.clone(), &mut after) {
                waits.push(Wait { line: Arc::clone(line), ticket, timeout });
            }
        }
        drop(topics);
        after.run();
        self.status.count_sent(1);
        Ok((Published::new(Some(id)), waits))
    }

    pub(super) fn subscribe(self: &Arc<Self>, topic: &str, options: &SubscribeOptions) -> Result<Arc<Line>, Error> {
        let mut topics = self.hub.lock();
        self.check()?;
        let topic = topics.lines.get_key_value(topic).map_or_else(|| Arc::from(topic), |(known, _)| Arc::clone(known));
        let handle = Arc::clone(self);
        let line = Line::new(Arc::clone(&topic), handle, options.echo, options.buffer.get(), options.overflow);
        let line = Arc::new(line);
        topics.lines.entry(topic).or_default().push(Arc::clone(&line));
        Ok(line)
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        let mut after = After::default();
        let topics = self.hub.lock();
        if self.closed.load(Ordering::Relaxed) || self.healthy.swap(healthy, Ordering::Relaxed) == healthy {
            return;
        }
        if healthy {
            for line in topics.lines.values().flatten().filter(|line| std::ptr::eq(&*line.handle, self)) {
                line.gap(&mut after);
            }
        }
        drop(topics);
        after.run();
        // Callbacks run without a lock, and find everything subscribed.
        if healthy { self.status.up() } else { self.status.down("bus was made unhealthy") }
    }

    pub(super) fn close(&self) {
        let mut after = After::default();
        let mut topics = self.hub.lock();
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        topics.lines.retain(|_, lines| {
            lines.retain(|line| {
                let own = std::ptr::eq(&*line.handle, self);
                if own {
                    line.end(End::Stopped, &mut after);
                }
                !own
            });
            !lines.is_empty()
        });
        drop(topics);
        after.run();
        self.status.down("bus is closed");
    }

    fn check(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Closed, format!("bus {} is closed", self.topic)));
        }
        if !self.healthy.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, format!("bus {} was made unhealthy", self.topic)));
        }
        Ok(())
    }
}

impl Hub {
    /// Takes a line out, and lets nothing more in.
    pub(super) fn remove(&self, line: &Arc<Line>, end: End) {
        let mut after = After::default();
        let mut topics = self.lock();
        if let Some(lines) = topics.lines.get_mut(&line.topic) {
            lines.retain(|other| !Arc::ptr_eq(other, line));
            if lines.is_empty() {
                topics.lines.remove(&line.topic);
            }
        }
        line.end(end, &mut after);
        drop(topics);
        after.run();
    }

    pub(super) fn subscribers(&self, topic: &str) -> usize {
        self.lock().lines.get(topic).map_or(0, Vec::len)
    }

    fn lock(&self) -> MutexGuard<'_, Topics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

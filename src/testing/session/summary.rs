//! [`Summary`], what became of the messages of a session.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::Message;

use super::board::Book;
use super::trace::{Publication, Sent};
use super::{Fate, Trace};
use crate::testing::show::lines;

/// What became of the messages of a [`Session`](super::Session), by topic and by queue.
///
/// The assertions return it again, so that they can be chained, and panic with all there is. A name that is
/// not tracked panics everywhere, so a typing error does not pass for an empty queue.
#[derive(Clone, Debug)]
pub struct Summary {
    topics: Vec<Arc<str>>,
    queues: Vec<Arc<str>>,
    publications: Vec<Publication>,
    traces: Vec<Trace>,
}

impl Summary {
    pub(super) fn new(book: &Book) -> Self {
        Self {
            topics: book.topics.clone(),
            queues: book.queues.iter().map(|queue| Arc::clone(&queue.name)).collect(),
            publications: book.publications.clone(),
            traces: book.traces.clone(),
        }
    }

    /// What was accepted by a topic, in the order in which it was called, duplicates left out.
    ///
    /// # Panics
    ///
    /// If the topic is not tracked.
    #[track_caller]
    #[must_use]
    pub fn published(&self, topic: &str) -> Vec<&Message> {
        let at = place(&self.topics, topic, "topic");
        let published = self.publications.iter().filter(|publication| publication.topic == at);
        published.filter(|publication| matches!(publication.sent, Sent::Accepted)).map(|sent| &sent.message).collect()
    }

    /// Everything that went to a queue or was fetched from it.
    ///
    /// # Panics
    ///
    /// If the queue is not tracked.
    #[track_caller]
    #[must_use]
    pub fn traces(&self, queue: &str) -> Vec<&Trace> {
        let at = place(&self.queues, queue, "queue");
        self.traces.iter().filter(|trace| trace.queue == at).collect()
    }

    /// What was acknowledged.
    ///
    /// # Panics
    ///
    /// If the queue is not tracked.
    #[track_caller]
    #[must_use]
    pub fn acked(&self, queue: &str) -> Vec<&Trace> {
        self.only(queue, |trace| *trace.fate() == Fate::Acked)
    }

    /// What was retried at least once, whatever became of it.
    ///
    /// # Panics
    ///
    /// If the queue is not tracked.
    #[track_caller]
    #[must_use]
    pub fn retried(&self, queue: &str) -> Vec<&Trace> {
        self.only(queue, |trace| !trace.retries().is_empty())
    }

    /// What was given up.
    ///
    /// # Panics
    ///
    /// If the queue is not tracked.
    #[track_caller]
    #[must_use]
    pub fn dead_lettered(&self, queue: &str) -> Vec<&Trace> {
        self.only(queue, |trace| trace.dead_letter().is_some())
    }

    /// What has not come to its end.
    ///
    /// # Panics
    ///
    /// If the queue is not tracked.
    #[track_caller]
    #[must_use]
    pub fn pending(&self, queue: &str) -> Vec<&Trace> {
        self.only(queue, |trace| !trace.fate().is_final())
    }
}

#[expect(clippy::must_use_candidate, reason = "an assertion is called for its panic")]
impl Summary {
    /// Checks how many messages a topic accepted.
    ///
    /// # Panics
    ///
    /// If it is another number, or the topic is not tracked.
    #[track_caller]
    pub fn assert_published(&self, topic: &str, count: usize) -> &Self {
        self.check(topic, "published to", count, self.published(topic).len())
    }

    /// Checks how many messages were acknowledged.
    ///
    /// # Panics
    ///
    /// If it is another number, or the queue is not tracked.
    #[track_caller]
    pub fn assert_acked(&self, queue: &str, count: usize) -> &Self {
        self.check(queue, "acked in", count, self.acked(queue).len())
    }

    /// Checks how many messages were retried at least once.
    ///
    /// # Panics
    ///
    /// If it is another number, or the queue is not tracked.
    #[track_caller]
    pub fn assert_retried(&self, queue: &str, count: usize) -> &Self {
        self.check(queue, "retried in", count, self.retried(queue).len())
    }

    /// Checks how many messages were given up.
    ///
    /// # Panics
    ///
    /// If it is another number, or the queue is not tracked.
    #[track_caller]
    pub fn assert_dead_lettered(&self, queue: &str, count: usize) -> &Self {
        self.check(queue, "dead-lettered from", count, self.dead_lettered(queue).len())
    }

    /// Checks that every message of every queue was acknowledged, and every publication accepted.
    ///
    /// # Panics
    ///
    /// If one was not.
    #[track_caller]
    pub fn assert_all_acked(&self) -> &Self {
        let unacked = self.traces.iter().filter(|trace| !matches!(trace.fate(), Fate::Acked | Fate::Duplicate)).count();
        let refused = self.publications.iter().filter(|sent| matches!(sent.sent, Sent::Pending | Sent::Failed(_)));
        let refused = refused.count();
        assert!(
            unacked + refused == 0,
            "expected all messages acked, {unacked} are not and {refused} were not published; there were:\n{self}"
        );
        self
    }

    #[track_caller]
    fn only(&self, queue: &str, condition: impl Fn(&Trace) -> bool) -> Vec<&Trace> {
        self.traces(queue).into_iter().filter(|trace| condition(trace)).collect()
    }

    #[track_caller]
    fn check(&self, name: &str, what: &str, expected: usize, found: usize) -> &Self {
        assert!(found == expected, "expected {expected} {what} {name}, found {found}; there were:\n{self}");
        self
    }
}

/// All there is, by queue and topic.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.topics.iter().enumerate().map(|(at, name)| {
            let published = self.publications.iter().filter(|publication| publication.topic == at);
            format!("topic {name}{}", indent(published))
        });
        let queues = self.queues.iter().enumerate().map(|(at, name)| {
            let traces = self.traces.iter().filter(|trace| trace.queue == at);
            format!("queue {name}{}", indent(traces))
        });
        f.write_str(lines(topics.chain(queues)).trim_start_matches('\n'))
    }
}

/// A session that did not settle in time: what is where, and how far it got.
#[derive(Debug)]
pub struct Unsettled {
    summary: Summary,
    why: Why,
}

#[derive(Debug)]
pub(super) enum Why {
    Limit(Duration),
    /// The servers have ended, with these errors or none.
    Ended(Vec<String>),
}

impl Unsettled {
    pub(super) fn new(summary: Summary, why: Why) -> Self {
        Self { summary, why }
    }

    /// How far it got.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { topics, queues, publications, traces } = &self.summary;
        let open = publications.iter().filter(|publication| matches!(publication.sent, Sent::Pending));
        let open = open.map(|publication| format!("topic {}: {publication}", topics[publication.topic]));
        let pending = traces.iter().filter(|trace| !trace.fate().is_final());
        let pending = pending.map(|trace| format!("queue {}: {trace}", queues[trace.queue]));
        match &self.why {
            Why::Limit(limit) => write!(f, "session has not settled within {limit:?}")?,
            Why::Ended(errors) => {
                f.write_str("session cannot settle, its server has ended")?;
                errors.iter().filter(|error| !error.is_empty()).try_for_each(|error| write!(f, ": {error}"))?;
            }
        }
        write!(f, "; still there:{}", lines(open.chain(pending)))
    }
}

impl StdError for Unsettled {}

#[track_caller]
fn place(names: &[Arc<str>], name: &str, what: &str) -> usize {
    match names.iter().position(|known| &**known == name) {
        Some(at) => at,
        None => panic!("{what} {name} is not tracked, the session has {names:?}"),
    }
}

fn indent<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    lines(items).replace('\n', "\n  ")
}

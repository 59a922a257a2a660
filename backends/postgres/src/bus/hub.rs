//! [`Hub`], what the subscriptions of one handle share: who listens to what, and who gets which message.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use chappe_core::backend::{Status, SubscribeOptions};
use chappe_core::bus::{End, Line, Mark, Origin, Progress, Sequence, open};
use chappe_core::{Error, ErrorKind, Message};
use tokio::sync::Notify;

use super::channel::channel;
use super::wire::{self, Pointer, Received};

/// How many messages of a topic may wait behind a large one that is being fetched.
const MAX_WAITING: usize = 4_096;
/// How many large messages, and how many bytes of them, are fetched at a time.
const MAX_FETCH: (usize, u64) = (64, 16 << 20);

pub(super) struct Hub {
    pub(super) origin: Origin,
    pub(super) status: Status,
    topics: Mutex<Topics>,
    /// Rung when there is another channel to listen to, or one less.
    pub(super) changed: Notify,
    /// Rung when there is a large message to fetch.
    pub(super) spilled: Notify,
    /// What the listener last achieved.
    pub(super) progress: Progress,
    ignored: AtomicU64,
}

#[derive(Default)]
struct Topics {
    by_channel: HashMap<Box<str>, Topic>,
    /// Which session of the listener may deliver.
    epoch: u64,
    closed: bool,
}

struct Topic {
    name: Arc<str>,
    lines: Vec<Arc<Line>>,
    /// Whether the session listens.
    listened: bool,
    /// Whether a session that listened was lost, and its subscribers are yet to be told.
    lost: bool,
    sequence: Sequence,
    /// A large message that is being fetched, and what came behind it.
    waiting: VecDeque<Waiting>,
}

enum Waiting {
    Message(Mark, Message),
    Spilled(Pointer),
    Gap,
}

impl Hub {
    pub(super) fn new(status: Status) -> Self {
        Self {
            origin: Origin::random(),
            status,
            topics: Mutex::default(),
            changed: Notify::new(),
            spilled: Notify::new(),
            progress: Progress::new(),
            ignored: AtomicU64::new(0),
        }
    }

    /// How many notifications were none of ours.
    pub(super) fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }

    pub(super) fn subscribe(&self, topic: &str, options: &SubscribeOptions) -> Result<Arc<Line>, Error> {
        let channel = channel(topic);
        let mut topics = self.lock();
        if topics.closed {
            return Err(closed(topic));
        }
        let topic = topics.by_channel.entry(channel.as_ref().into()).or_insert_with(|| Topic::new(topic));
        let line = Arc::new(Line::new(Arc::clone(&topic.name), options, self.status.clone()));
        topic.lines.push(Arc::clone(&line));
        if !topic.listened {
            self.changed.notify_one();
        }
        Ok(line)
    }

    /// Waits until the channel of a line is listened to.
    ///
    /// # Errors
    ///
    /// What the next attempt to connect failed with, or `Closed`.
    pub(super) async fn listened(&self, line: &Line) -> Result<(), Error> {
        let what = format!("cannot subscribe to bus {}", line.topic);
        let listened = || {
            let topics = self.lock();
            if topics.closed {
                return Err(closed(&line.topic));
            }
            Ok(topics.by_channel.get(&*channel(&line.topic)).is_none_or(|topic| topic.listened))
        };
        self.progress.until(what, listened).await
    }

    /// Takes a line out, and lets nothing more in.
    pub(super) fn remove(&self, line: &Arc<Line>) {
        let mut woken = Vec::new();
        let mut topics = self.lock();
        let channel = channel(&line.topic);
        if let Some(topic) = topics.by_channel.get_mut(&*channel) {
            topic.lines.retain(|other| !Arc::ptr_eq(other, line));
            if topic.lines.is_empty() {
                topics.by_channel.remove(&*channel);
                self.changed.notify_one();
            }
        }
        line.end(End::Stopped, &mut woken);
        drop(topics);
        wake(woken);
    }

    /// Ends all subscriptions; `false` if that was done before.
    pub(super) fn close(&self) -> bool {
        let mut woken = Vec::new();
        let mut topics = self.lock();
        if std::mem::replace(&mut topics.closed, true) {
            return false;
        }
        for line in topics.by_channel.drain().flat_map(|(_, topic)| topic.lines) {
            line.end(End::Stopped, &mut woken);
        }
        drop(topics);
        wake(woken);
        self.progress.made();
        true
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The channels that should be listened to.
    pub(super) fn wanted(&self) -> BTreeSet<Box<str>> {
        self.lock().by_channel.keys().cloned().collect()
    }

    /// A session of the listener begins; notifications of those before it are heard no more.
    pub(super) fn begin(&self) -> u64 {
        let mut topics = self.lock();
        topics.epoch += 1;
        for topic in topics.by_channel.values_mut() {
            topic.lost |= std::mem::replace(&mut topic.listened, false);
        }
        topics.epoch
    }

    /// The session listens to these channels: whoever was subscribed before learns that it may have missed
    /// something.
    pub(super) fn find(&self, listening: &BTreeSet<Box<str>>) {
        let mut woken = Vec::new();
        let mut topics = self.lock();
        topics.of(listening).for_each(|topic| topic.find(&mut woken));
        drop(topics);
        wake(woken);
    }

    /// The session listens to these channels: whoever waits for that is subscribed.
    pub(super) fn confirm(&self, listening: &BTreeSet<Box<str>>) {
        self.lock().of(listening).for_each(|topic| topic.listened = true);
        self.progress.made();
    }

    /// A notification came. Called on the task that reads the socket, so nothing here waits for anybody.
    pub(super) fn notified(&self, epoch: u64, channel: &str, payload: &str) {
        let read = wire::read(payload);
        let mut woken = Vec::new();
        let mut topics = self.lock();
        if topics.epoch != epoch {
            return;
        }
        // Not listened to any more.
        let Some(topic) = topics.by_channel.get_mut(channel) else { return };
        match read {
            Some(received) => {
                topic.find(&mut woken);
                if topic.receive(received, self, &mut woken) {
                    self.spilled.notify_one();
                }
            }
            None => self.ignore(channel, payload.len()),
        }
        drop(topics);
        wake(woken);
    }

    /// The large messages to fetch next, the oldest first.
    pub(super) fn unfetched(&self) -> Vec<Pointer> {
        let (most, mut bytes) = MAX_FETCH;
        let mut pointers = Vec::new();
        for waiting in self.lock().by_channel.values().flat_map(|topic| &topic.waiting) {
            if let Waiting::Spilled(pointer) = waiting {
                if pointers.len() == most || (pointer.bytes > bytes && !pointers.is_empty()) {
                    break;
                }
                bytes = bytes.saturating_sub(pointer.bytes);
                pointers.push(*pointer);
            }
        }
        pointers
    }

    /// Puts large messages in their places, by the keys of their rows; those that are not there are gaps.
    pub(super) fn fetched(&self, pointers: &[Pointer], rows: &HashMap<Vec<u8>, Bytes>) {
        let mut woken = Vec::new();
        let mut topics = self.lock();
        for topic in topics.by_channel.values_mut() {
            for waiting in &mut topic.waiting {
                if let Waiting::Spilled(pointer) = waiting
                    && pointers.contains(pointer)
                {
                    let envelope = rows.get(&pointer.key()).cloned();
                    let message = envelope.and_then(|envelope| open(pointer.mark, envelope));
                    let mark = pointer.mark;
                    *waiting = message.map_or(Waiting::Gap, |message| Waiting::Message(mark, message));
                }
            }
            topic.release(self.origin, &mut woken);
        }
        drop(topics);
        wake(woken);
    }

    fn ignore(&self, channel: &str, bytes: usize) {
        let ignored = self.ignored.fetch_add(1, Ordering::Relaxed) + 1;
        // The first, the second, the fourth …: a chatty neighbour does not fill the log.
        if ignored.is_power_of_two() {
            tracing::warn!(channel, bytes, ignored, "a notification that is none of ours is ignored");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topics {
    fn of(&mut self, channels: &BTreeSet<Box<str>>) -> impl Iterator<Item = &mut Topic> {
        self.by_channel.iter_mut().filter(|(channel, _)| channels.contains(*channel)).map(|(_, topic)| topic)
    }
}

impl Topic {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            lines: Vec::new(),
            listened: false,
            lost: false,
            sequence: Sequence::default(),
            waiting: VecDeque::new(),
        }
    }

    /// The session listens: if another was lost before, something may have been missed.
    fn find(&mut self, woken: &mut Vec<Waker>) {
        if std::mem::take(&mut self.lost) {
            self.sequence.clear();
            self.gap(woken);
        }
    }

    /// Whether there is something to fetch.
    fn receive(&mut self, received: Received, hub: &Hub, woken: &mut Vec<Waker>) -> bool {
        let mark = match &received {
            Received::Message(mark, _) => *mark,
            Received::Pointer(pointer) => pointer.mark,
        };
        if self.sequence.has_hole(mark) {
            self.gap(woken);
        }
        if mark.origin == hub.origin && !self.lines.iter().any(|line| line.echo) {
            return false;
        }
        match received {
            Received::Message(mark, message) if self.waiting.is_empty() => {
                self.deliver(mark, message, hub.origin, woken);
            }
            _ if self.waiting.len() >= MAX_WAITING => {
                hub.status.count_dropped(1);
                self.gap(woken);
            }
            Received::Message(mark, message) => self.waiting.push_back(Waiting::Message(mark, message)),
            Received::Pointer(pointer) => {
                self.waiting.push_back(Waiting::Spilled(pointer));
                return true;
            }
        }
        false
    }

    fn gap(&mut self, woken: &mut Vec<Waker>) {
        match self.waiting.back() {
            None => self.lines.iter().for_each(|line| line.gap(woken)),
            Some(Waiting::Gap) => {}
            Some(_) => self.waiting.push_back(Waiting::Gap),
        }
    }

    /// Delivers what waits no longer for a large message before it.
    fn release(&mut self, own: Origin, woken: &mut Vec<Waker>) {
        while let Some(next) = self.waiting.pop_front() {
            match next {
                Waiting::Message(mark, message) => self.deliver(mark, message, own, woken),
                Waiting::Gap => self.lines.iter().for_each(|line| line.gap(woken)),
                spilled @ Waiting::Spilled(_) => return self.waiting.push_front(spilled),
            }
        }
    }

    fn deliver(&self, mark: Mark, mut message: Message, own: Origin, woken: &mut Vec<Waker>) {
        message.set_source(Arc::clone(&self.name));
        for line in self.lines.iter().filter(|line| line.echo || mark.origin != own) {
            line.put(message.clone(), woken);
        }
    }
}

pub(super) fn closed(topic: &str) -> Error {
    Error::new(ErrorKind::Closed, format!("bus {topic} is closed"))
}

fn wake(woken: Vec<Waker>) {
    woken.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use chappe_core::backend::Signal;
    use chappe_core::bus::seal;

    use super::*;

    fn hub() -> (Hub, Arc<Line>, u64) {
        let hub = Hub::new(Status::new());
        let line = hub.subscribe("t", &SubscribeOptions::new()).unwrap();
        let epoch = hub.begin();
        hub.confirm(&hub.wanted());
        (hub, line, epoch)
    }

    fn notify(hub: &Hub, epoch: u64, origin: Origin, seq: u64) {
        let mut envelope = Vec::new();
        seal(&Message::new(seq.to_string()), SystemTime::now(), &mut envelope);
        hub.notified(epoch, "t", &wire::inline(Mark { origin, seq }, &envelope).unwrap());
    }

    fn spill(hub: &Hub, epoch: u64, origin: Origin, seq: u64) -> (Pointer, Bytes) {
        let mut envelope = Vec::new();
        seal(&Message::new(seq.to_string()), SystemTime::now(), &mut envelope);
        let pointer = Pointer { mark: Mark { origin, seq }, row: seq, bytes: envelope.len() as u64 };
        hub.notified(epoch, "t", &pointer.to_text());
        (pointer, envelope.into())
    }

    fn taken(line: &Line) -> Vec<String> {
        let mut out = Vec::new();
        line.take(1_000, &mut out, Waker::noop());
        let show = |signal: &Signal| match signal {
            Signal::Message(message) => String::from_utf8(message.body().to_vec()).unwrap(),
            _ => "G".to_owned(),
        };
        out.iter().map(show).collect()
    }

    #[test]
    fn a_hole_in_the_numbers_of_a_publisher_is_a_gap() {
        let (hub, line, epoch) = hub();
        let (one, other) = (Origin::random(), Origin::random());

        for (origin, seq) in [(one, 7), (other, 1), (one, 8), (one, 10), (other, 2), (one, 11), (other, 1)] {
            notify(&hub, epoch, origin, seq);
        }

        assert_eq!(taken(&line), ["7", "1", "8", "G", "10", "2", "11", "1"]);
    }

    #[test]
    fn what_a_lost_session_still_says_is_not_heard() {
        let (hub, line, before) = hub();
        let origin = Origin::random();
        notify(&hub, before, origin, 1);

        let epoch = hub.begin();
        notify(&hub, before, origin, 2);
        notify(&hub, epoch, origin, 3);
        hub.find(&hub.wanted());

        assert_eq!(taken(&line), ["1", "G", "3"]);
    }

    #[test]
    fn what_comes_behind_a_large_message_waits_for_it_in_order() {
        let (hub, line, epoch) = hub();
        let origin = Origin::random();
        notify(&hub, epoch, origin, 1);
        let (second, envelope) = spill(&hub, epoch, origin, 2);
        notify(&hub, epoch, origin, 3);
        let (fourth, _) = spill(&hub, epoch, origin, 4);
        notify(&hub, epoch, origin, 6);

        assert_eq!((taken(&line), hub.unfetched()), (vec!["1".to_owned()], vec![second, fourth]));
        hub.fetched(&[second], &HashMap::from([(second.key(), envelope)]));
        assert_eq!((taken(&line), hub.unfetched()), (vec!["2".to_owned(), "3".to_owned()], vec![fourth]));
        hub.fetched(&[fourth], &HashMap::new());

        assert_eq!(taken(&line), ["G", "6"], "two gaps in a row are one");
        assert!(hub.unfetched().is_empty());
    }

    #[test]
    fn what_waits_behind_a_large_message_is_bounded() {
        let (hub, line, epoch) = hub();
        let origin = Origin::random();
        let (first, envelope) = spill(&hub, epoch, origin, 1);

        (2..=MAX_WAITING as u64 + 10).for_each(|seq| notify(&hub, epoch, origin, seq));
        hub.fetched(&[first], &HashMap::from([(first.key(), envelope)]));
        notify(&hub, epoch, origin, MAX_WAITING as u64 + 11);

        // Of what waited, the line has room for its last.
        let tail = taken(&line);
        assert_eq!(tail[tail.len() - 3..], [MAX_WAITING.to_string(), "G".to_owned(), (MAX_WAITING + 11).to_string()]);
        assert_eq!(hub.status.stats().dropped as usize, 10 + MAX_WAITING + 1 - 64);
    }

    #[test]
    fn messages_are_fetched_by_as_many_bytes_as_fit() {
        let (hub, _line, epoch) = hub();
        let origin = Origin::random();
        for seq in 1..=3 {
            let pointer = Pointer { mark: Mark { origin, seq }, row: seq, bytes: 9 << 20 };
            hub.notified(epoch, "t", &pointer.to_text());
        }

        assert_eq!(hub.unfetched().len(), 1);
    }

    #[test]
    fn ones_own_large_message_is_not_fetched_for_nobody() {
        let hub = Hub::new(Status::new());
        let line = hub.subscribe("t", &SubscribeOptions::new().echo(false)).unwrap();
        let epoch = hub.begin();

        spill(&hub, epoch, hub.origin, 1);
        notify(&hub, epoch, hub.origin, 2);
        notify(&hub, epoch, Origin::random(), 9);

        assert!(hub.unfetched().is_empty());
        assert_eq!(taken(&line), ["9"]);
    }
}

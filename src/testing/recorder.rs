//! [`Recorder`], a topic that remembers what was published to it.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use chappe_core::{BoxError, Error, ErrorKind, Message, MessageId, Published, Topic};
use futures_util::future::{Ready, ready as done};
use pin_project::pin_project;
use tokio::sync::Notify;
use tower_service::Service;

use super::limit::too_long;
use super::show::{Shown, lines};

/// A topic that remembers what was published to it, to be handed to what is tested.
///
/// [`Recorder::new`] accepts everything and gives it to nobody; [`Recorder::around`] another topic, it
/// passes everything on and remembers what was accepted there. Clones share what they remember.
///
/// # Examples
///
/// ```
/// use chappe::{ErrorKind, Topic};
/// use chappe::testing::Recorder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), chappe::Error> {
/// let recorder = Recorder::new();
/// recorder.fail_next(1, ErrorKind::Unavailable);
///
/// assert!(recorder.publish("lost").await.is_err());
/// recorder.publish("hello").await?;
///
/// let published = recorder.assert_published(1);
/// assert_eq!(published[0].body(), "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Recorder<T = Accept> {
    shared: Arc<Shared>,
    topic: T,
}

impl Recorder {
    /// Creates a topic that accepts everything and gives it to nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::around(Accept::default())
    }
}

impl<T> Recorder<T> {
    /// Wraps a topic, which is published to, and remembers what it accepts.
    #[must_use]
    pub fn around(topic: T) -> Self {
        Self { shared: Arc::default(), topic }
    }

    /// Has the next `calls` fail with an error of this kind, without being passed on. Replaces what was
    /// asked before.
    pub fn fail_next(&self, calls: usize, kind: ErrorKind) {
        self.shared.lock().failing = (calls, Failing::Refused(kind));
    }

    /// Has the next `calls` be published, and fail [ambiguously](Error::is_ambiguous) all the same, as when
    /// the receipt is lost. Replaces what was asked before.
    pub fn lose_next_receipts(&self, calls: usize) {
        self.shared.lock().failing = (calls, Failing::Lost);
    }

    /// What was published so far, in the order in which it was accepted.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.shared.lock().messages.iter().cloned().collect()
    }

    /// Returns what was published so far, and forgets it.
    #[must_use]
    pub fn take(&self) -> Vec<Message> {
        let mut record = self.shared.lock();
        record.seen = 0;
        record.messages.drain(..).collect()
    }

    /// How many calls have failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.shared.lock().failures
    }

    /// Waits for the first message this was not called for yet, and leaves it among the
    /// [messages](Self::messages).
    ///
    /// # Panics
    ///
    /// If there is none within ten seconds, or a day where time is paused.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    #[track_caller]
    pub fn next(&self) -> impl Future<Output = Message> + Send + 'static {
        let caller = Location::caller();
        let shared = Arc::clone(&self.shared);
        async move {
            let waited = async {
                loop {
                    let accepted = shared.accepted.notified();
                    if let Some(message) = shared.lock().next() {
                        return message;
                    }
                    accepted.await;
                }
            };
            tokio::select! {
                biased;
                message = waited => message,
                () = too_long() => {
                    panic!("{caller}: no further message was published; there were:{}", shared.lock().show())
                }
            }
        }
    }

    /// Checks how many messages were published so far, and returns them.
    ///
    /// # Panics
    ///
    /// If it is another number, with what was published.
    #[track_caller]
    pub fn assert_published(&self, count: usize) -> Vec<Message> {
        let messages = self.messages();
        let found = messages.len();
        assert!(found == count, "expected {count} published, found {found}:{}", self.shared.lock().show());
        messages
    }

    /// Checks that a message was published that meets a condition, and returns the first.
    ///
    /// # Panics
    ///
    /// If there is none, with what was published.
    #[track_caller]
    pub fn assert_any(&self, condition: impl Fn(&Message) -> bool) -> Message {
        match self.messages().into_iter().find(condition) {
            Some(message) => message,
            None => panic!("expected one that meets the condition, found:{}", self.shared.lock().show()),
        }
    }

    /// The topic that is published to.
    pub fn get_ref(&self) -> &T {
        &self.topic
    }
}

impl<T: Topic> Service<Message> for Recorder<T> {
    type Response = Published;
    type Error = Error;
    type Future = Recording<T::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.topic.poll_ready(cx).map_err(Error::from_boxed)
    }

    fn call(&mut self, message: Message) -> Self::Future {
        let (call, lost) = match self.shared.lock().fails() {
            Some(Failing::Refused(kind)) => (Call::Failed(kind), false),
            fails => (Call::Passed(self.topic.call(message.clone())), fails.is_some()),
        };
        Recording { call, message: Some(message), lost, shared: Arc::clone(&self.shared) }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Recorder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("messages", &self.shared.lock().messages.len()).finish_non_exhaustive()
    }
}

/// A topic that accepts everything, gives it to nobody, and numbers it from 1.
#[derive(Clone, Debug, Default)]
pub struct Accept {
    last: Arc<Mutex<u64>>,
}

impl Service<Message> for Accept {
    type Response = Published;
    type Error = Error;
    type Future = Ready<Result<Published, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Message) -> Self::Future {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        done(Ok(Published::new(Some(MessageId::from_u64(*last)))))
    }
}

/// The future of a call of [`Recorder`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Recording<F> {
    #[pin]
    call: Call<F>,
    message: Option<Message>,
    lost: bool,
    shared: Arc<Shared>,
}

#[pin_project(project = Called)]
enum Call<F> {
    Passed(#[pin] F),
    Failed(ErrorKind),
}

impl<F, E> Future for Recording<F>
where
    F: Future<Output = Result<Published, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Published, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = match this.call.project() {
            Called::Passed(call) => ready!(call.poll(cx)).map_err(Error::from_boxed),
            Called::Failed(kind) => Err(Error::new(*kind, "recorder was told to fail")),
        };
        let mut record = this.shared.lock();
        if let (Ok(_), Some(message)) = (&result, this.message.take()) {
            record.messages.push_back(message);
        }
        if *this.lost && result.is_ok() {
            result = Err(Error::new(ErrorKind::Unavailable, "recorder was told to lose the receipt").ambiguous());
        }
        record.failures += usize::from(result.is_err());
        drop(record);
        this.shared.accepted.notify_waiters();
        Poll::Ready(result)
    }
}

impl<F> fmt::Debug for Recording<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shared {
    record: Mutex<Record>,
    accepted: Notify,
}

#[derive(Default)]
struct Record {
    messages: VecDeque<Message>,
    /// How many of them were returned by `next`.
    seen: usize,
    failing: (usize, Failing),
    failures: usize,
}

#[derive(Clone, Copy, Default)]
enum Failing {
    #[default]
    Lost,
    Refused(ErrorKind),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn next(&mut self) -> Option<Message> {
        let message = self.messages.get(self.seen)?.clone();
        self.seen += 1;
        Some(message)
    }

    fn fails(&mut self) -> Option<Failing> {
        self.failing.0 = self.failing.0.checked_sub(1)?;
        Some(self.failing.1)
    }

    fn show(&self) -> String {
        lines(self.messages.iter().map(Shown))
    }
}

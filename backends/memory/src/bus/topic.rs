//! [`MemoryBusTopic`], the publishing end of a [`MemoryBus`](super::MemoryBus).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use chappe_core::{Error, Message, Published};
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use super::hub::{Handle, Wait};
use super::line::{After, End};

/// Publishes to one topic of a [`MemoryBus`](super::MemoryBus). Where nobody subscribes, publishing
/// succeeds.
///
/// A call has the message with every subscriber that has room for it before it returns. Its future waits
/// only for those that [block](chappe_core::backend::Overflow::Block); dropped, those do not get it.
#[derive(Clone)]
pub struct MemoryBusTopic {
    handle: Arc<Handle>,
    topic: Arc<str>,
}

impl MemoryBusTopic {
    pub(super) fn new(handle: Arc<Handle>, topic: Arc<str>) -> Self {
        Self { handle, topic }
    }
}

impl Service<Message> for MemoryBusTopic {
    type Response = Published;
    type Error = Error;
    type Future = BusPublish;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> BusPublish {
        BusPublish::new(self.handle.publish(&self.topic, message))
    }
}

impl fmt::Debug for MemoryBusTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBusTopic").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// The future of a call of [`MemoryBusTopic`].
#[must_use = "futures do nothing unless polled"]
pub struct BusPublish {
    result: Option<Result<Published, Error>>,
    /// Boxed, as it is only needed for subscribers that block.
    waiting: Option<Box<Waiting>>,
}

/// A publisher that waits for slow subscribers. Dropped, it takes its message back from them.
struct Waiting {
    lines: Vec<(Wait, Instant)>,
    sleep: Pin<Box<Sleep>>,
}

impl BusPublish {
    pub(super) fn new(published: Result<(Published, Vec<Wait>), Error>) -> Self {
        match published {
            Ok((published, waits)) => Self { result: Some(Ok(published)), waiting: Waiting::new(waits) },
            Err(error) => Self { result: Some(Err(error)), waiting: None },
        }
    }
}

impl Future for BusPublish {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let coop = ready!(poll_proceed(cx));
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.poll(cx));
            self.waiting = None;
        }
        coop.made_progress();
        Poll::Ready(self.result.take().expect("`BusPublish` is not polled after completion"))
    }
}

impl Waiting {
    fn new(waits: Vec<Wait>) -> Option<Box<Self>> {
        if waits.is_empty() {
            return None;
        }
        let now = Instant::now();
        // A year stands for a time the clock does not reach.
        let far = now + std::time::Duration::from_secs(365 * 24 * 3600);
        let until = |wait: &Wait| now.checked_add(wait.timeout).map_or(far, |until| until.min(far));
        let lines: Vec<_> =
            waits.into_iter().map(|wait| (until(&wait), wait)).map(|(until, wait)| (wait, until)).collect();
        let first = lines.iter().map(|(_, until)| *until).min().unwrap_or(far);
        Some(Box::new(Self { lines, sleep: Box::pin(sleep_until(first)) }))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            self.lines.retain(|(wait, until)| {
                if !wait.line.is_blocked(wait.ticket, cx.waker()) {
                    return false;
                }
                if *until <= now {
                    wait.line.handle.hub().remove(&wait.line, End::Disconnected);
                    return false;
                }
                true
            });
            let Some(first) = self.lines.iter().map(|(_, until)| *until).min() else { return Poll::Ready(()) };
            if self.sleep.deadline() != first {
                self.sleep.as_mut().reset(first);
            }
            ready!(self.sleep.as_mut().poll(cx));
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut after = After::default();
        for (wait, _) in &self.lines {
            wait.line.unblock(wait.ticket, &mut after);
        }
        after.run();
    }
}

impl fmt::Debug for BusPublish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusPublish").field("waiting", &self.waiting.is_some()).finish_non_exhaustive()
    }
}

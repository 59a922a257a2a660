//! [`Broadcast`] and [`Subscription`], the contract of fan-out.

use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::{Fetch, Publisher, StopToken};
use crate::{Error, Message};

/// A bus: every subscriber of a topic gets a copy of what is published while it is subscribed, and nobody
/// settles anything. What [expires](Message::expires) while it waits for a subscriber is not handed out to it.
///
/// The bus's [`Publisher`] publishes to the topic its handle was made for.
pub trait Broadcast: Publisher {
    /// What receives the copies.
    type Subscription: Subscription;

    /// Subscribes to a topic. Every call makes a subscription of its own, with its own buffer.
    ///
    /// Messages published after this resolves are received.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported): an option the bus does not have.
    /// - [`ErrorKind::Closed`](crate::ErrorKind::Closed): the bus is closed.
    fn subscribe(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> impl Future<Output = Result<Self::Subscription, Error>> + Send;

    /// Ends all subscriptions made through this handle and publishes no more. A second call does nothing.
    ///
    /// # Errors
    ///
    /// What could not be given back.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }
}

/// A subscription to a topic of a [`Broadcast`]. Dropping it unsubscribes.
pub trait Subscription: Send + 'static {
    /// Appends up to `max` signals to `out`; resolves on the first, or with [`Fetch::Stopped`] when the
    /// stop token stops it or the bus is closed, after what was buffered has been returned.
    ///
    /// # Errors
    ///
    /// As [`Consumer::fetch`](super::Consumer::fetch).
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again without losing a signal.
    fn recv(&mut self, max: usize, out: &mut Vec<Signal>) -> impl Future<Output = Result<Fetch, Error>> + Send;
}

/// What a subscription receives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Signal {
    /// A copy of a message.
    Message(Message),
    /// This many messages were dropped here because the subscriber was slow.
    Lagged(u64),
    /// The connection was lost for a while, and an unknown number of messages with it.
    Gap,
}

/// How to subscribe.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SubscribeOptions {
    /// Stopped when the subscriber wants no more.
    pub stop: StopToken,
    /// How many messages may wait for this subscriber.
    pub buffer: NonZeroUsize,
    /// What happens when more would.
    pub overflow: Overflow,
    /// Whether messages published through the same handle are received.
    pub echo: bool,
}

impl SubscribeOptions {
    /// 64 messages, the oldest dropped first, with echo.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stop: StopToken::never(),
            buffer: const { NonZeroUsize::new(64).expect("64 is not zero") },
            overflow: Overflow::DropOldest,
            echo: true,
        }
    }

    /// Stops the subscription when `stop` says so.
    #[must_use]
    pub fn stop(mut self, stop: StopToken) -> Self {
        self.stop = stop;
        self
    }

    /// Sets how many messages may wait.
    #[must_use]
    pub fn buffer(mut self, messages: NonZeroUsize) -> Self {
        self.buffer = messages;
        self
    }

    /// Sets what happens when more would wait.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets whether messages published through the same handle are received.
    #[must_use]
    pub fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What happens to a message for which a subscriber has no room. The first two are told to the subscriber
/// as [`Signal::Lagged`], and all but `Block` are counted in [`Stats`](super::Stats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The message is dropped.
    DropNewest,
    /// The oldest message that waits is dropped for it.
    DropOldest,
    /// The publisher waits for room; a subscriber that has none for this long is disconnected.
    Block {
        /// How long the publisher waits.
        timeout: Duration,
    },
    /// The subscriber is disconnected: it receives what waits, then
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    Disconnect,
}

//! [`MessageWriter`], which composes one message and publishes it on close.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWrite;

use crate::topic;
use crate::{Attributes, Error, Key, Message, MessageId, Published, Topic};

/// Composes one message and publishes it on [`close`](Self::close).
///
/// It is used once, by move: writing after closing does not compile. Dropped without being closed it
/// publishes nothing, and says so in a `tracing` event if anything had been written.
///
/// The body is written through [`io::Write`], through [`AsyncWrite`], whose shutdown publishes, or straight
/// into [`body_mut`](Self::body_mut), which is a [`bytes::BufMut`].
///
/// # Examples
///
/// ```
/// # use chappe_core::{BoxError, Error, Message, Published, Topic};
/// use std::io::Write;
///
/// # async fn publish(topic: impl Topic) -> Result<(), BoxError> {
/// let mut writer = topic.writer();
/// writer.attributes_mut().insert("type", "greeting");
/// write!(writer, "hello, {}", "world")?;
/// let receipt = writer.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "a writer publishes nothing until it is closed"]
pub struct MessageWriter<T: Topic> {
    topic: T,
    /// All but its body.
    message: Message,
    body: BytesMut,
    state: State<T::Future>,
    guard: Guard,
}

/// Where [`AsyncWrite::poll_shutdown`] has got to; stays `Open` for writers that are closed.
enum State<F> {
    Open,
    // Boxed, so that the writer is `Unpin` whatever the topic's future is.
    Publishing(Pin<Box<F>>),
    Published(Published),
    Failed,
}

impl<T: Topic> MessageWriter<T> {
    /// Creates a writer that publishes to `topic`.
    pub fn new(topic: T) -> Self {
        Self { topic, message: Message::default(), body: BytesMut::new(), state: State::Open, guard: Guard::default() }
    }

    /// The attributes written so far.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        self.message.attributes()
    }

    /// The attributes, to be changed.
    pub fn attributes_mut(&mut self) -> &mut Attributes {
        self.guard.dirty = true;
        self.message.attributes_mut()
    }

    /// Sets what the message is ordered by.
    pub fn set_key(&mut self, key: impl Into<Key>) -> &mut Self {
        self.message.set_key(key);
        self
    }

    /// Has the broker hold the message back. A topic that cannot refuses the message.
    pub fn set_delay(&mut self, delay: Duration) -> &mut Self {
        self.message.set_delay(delay);
        self
    }

    /// Sets the idempotency id, on brokers that can refuse duplicates.
    pub fn set_id(&mut self, id: impl Into<MessageId>) -> &mut Self {
        self.message.set_id(id);
        self
    }

    /// The message but for its body, to be changed; a body that is set here is replaced by what is written.
    pub fn message_mut(&mut self) -> &mut Message {
        &mut self.message
    }

    /// The body written so far, to be changed or added to; a [`bytes::BufMut`].
    pub fn body_mut(&mut self) -> &mut BytesMut {
        self.guard.dirty = true;
        &mut self.body
    }

    /// Publishes the body as one message and consumes the writer.
    ///
    /// Nothing written at all is a message with an empty body. After a shutdown through [`AsyncWrite`] this
    /// answers with the receipt that shutdown got.
    ///
    /// # Errors
    ///
    /// What the topic or a layer around it answers; see [`Error::is_ambiguous`] for whether the message may
    /// have been published all the same. [`ErrorKind::Closed`](crate::ErrorKind::Closed) after a shutdown
    /// that failed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the topic was ready, nothing is published. Dropped later, the message may or may not
    /// be.
    pub async fn close(mut self) -> Result<Published, Error> {
        self.guard.dirty = false;
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Open => {
                topic::ready(&mut self.topic).await?;
                let message = self.take_message();
                self.topic.call(message).await
            }
            State::Publishing(call) => call.await,
            State::Published(receipt) => return Ok(receipt),
            State::Failed => return Err(failed_before()),
        }
        .map_err(Error::from_boxed)
    }

    /// Drops the writer on purpose: nothing is published and nothing is logged.
    pub fn abort(mut self) {
        self.guard.dirty = false;
    }

    fn check_open(&self) -> io::Result<()> {
        match self.state {
            State::Open => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::BrokenPipe, "message writer is shut down")),
        }
    }

    fn take_message(&mut self) -> Message {
        self.guard.dirty = false;
        let mut message = std::mem::take(&mut self.message);
        message.set_body(std::mem::take(&mut self.body).freeze());
        message
    }
}

/// Never fails before the writer is shut down: the body is held in memory.
impl<T: Topic> io::Write for MessageWriter<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_open()?;
        self.body_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shutdown publishes; the error of a failed one carries the [`Error`] as its source.
impl<T: Topic> AsyncWrite for MessageWriter<T>
where
    Self: Unpin,
{
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Write::write(&mut *self, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.state {
                State::Open => {
                    if let Err(error) = ready!(self.topic.poll_ready(cx)) {
                        self.state = State::Failed;
                        return Poll::Ready(Err(io::Error::other(Error::from_boxed(error))));
                    }
                    let message = self.take_message();
                    self.state = State::Publishing(Box::pin(self.topic.call(message)));
                }
                State::Publishing(call) => match ready!(call.as_mut().poll(cx)) {
                    Ok(receipt) => self.state = State::Published(receipt),
                    Err(error) => {
                        self.state = State::Failed;
                        return Poll::Ready(Err(io::Error::other(Error::from_boxed(error))));
                    }
                },
                State::Published(_) => return Poll::Ready(Ok(())),
                State::Failed => return Poll::Ready(Err(io::Error::other(failed_before()))),
            }
        }
    }
}

impl<T: Topic> fmt::Debug for MessageWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter")
            .field("message", &self.message)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Tells of a writer that was dropped with something in it. A part of the writer, because a type with a
/// `Drop` of its own cannot be taken apart by `close`.
#[derive(Default)]
struct Guard {
    dirty: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.dirty {
            tracing::warn!(target: "chappe::writer", "message writer dropped without being closed, nothing is published");
        }
    }
}

fn failed_before() -> Error {
    Error::new(crate::ErrorKind::Closed, "message writer was shut down before, and publishing failed")
}

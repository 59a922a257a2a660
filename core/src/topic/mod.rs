//! [`Topic`], the bound on what messages are published to, and the receipt it answers with.

use std::future::{Future, poll_fn};

use futures_util::FutureExt;
use tower_service::Service;

mod calls;

use self::calls::Calls;
use crate::{BoxError, Error, Message, MessageId, MessageWriter};

/// The broker's receipt for a published message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The identifier the broker gave the message, where it tells.
    pub id: Option<MessageId>,
    /// The broker had this message already and did not store it again.
    pub duplicate: bool,
}

impl Published {
    /// A receipt with the broker's identifier.
    #[must_use]
    pub fn new(id: Option<MessageId>) -> Self {
        Self { id, duplicate: false }
    }

    /// Marks a message the broker had already.
    #[must_use]
    pub fn duplicate(mut self) -> Self {
        self.duplicate = true;
        self
    }
}

/// What messages are published to: any tower service of [`Message`]s that answers [`Published`].
///
/// This is a bound, not something to implement: a backend's topic is one, and so is anything stacked on
/// it with tower layers.
///
/// The future of a call resolves on the broker's word on that very message. Backpressure is
/// [`poll_ready`](Service::poll_ready).
pub trait Topic:
    Service<Message, Response = Published, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + 'static
{
    /// Hands out a writer for one message.
    fn writer(&self) -> MessageWriter<Self> {
        MessageWriter::new(self.clone())
    }

    /// Publishes one message.
    ///
    /// # Errors
    ///
    /// What the topic or a layer around it answers, as an [`Error`]; see [`Error::is_ambiguous`] for
    /// whether the message may have been sent all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the topic was ready, nothing is published. Dropped later, the message may or may not
    /// be.
    fn publish(&self, message: impl Into<Message>) -> impl Future<Output = Result<Published, Error>> + Send {
        let mut topic = self.clone();
        let message = message.into();
        async move {
            ready(&mut topic).await?;
            topic.call(message).await.map_err(Error::from_boxed)
        }
    }

    /// Publishes many messages and answers with a result for each, in their order.
    ///
    /// All are under way at once, as far as the topic is ready for them, so a batching topic sends them in
    /// batches. One that fails does not keep its neighbours from being published.
    ///
    /// # Cancel safety
    ///
    /// Dropped, any of the messages may or may not be published.
    fn publish_all<I>(&self, messages: I) -> impl Future<Output = Vec<Result<Published, Error>>> + Send
    where
        I: IntoIterator<Item: Into<Message>, IntoIter: Send>,
    {
        let mut topic = self.clone();
        let messages = messages.into_iter().map(Into::<Message>::into);
        async move {
            let mut calls = Calls::with_capacity(messages.size_hint().0);
            for message in messages {
                match calls.ready(&mut topic).await {
                    Ok(()) => calls.start(topic.call(message).map(|result| result.map_err(Error::from_boxed))),
                    Err(error) => calls.refuse(error),
                }
            }
            calls.results().await
        }
    }
}

impl<S> Topic for S where
    S: Service<Message, Response = Published, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + 'static
{
}

/// Waits until `topic` takes a message.
pub(crate) async fn ready<T: Topic>(topic: &mut T) -> Result<(), Error> {
    poll_fn(|cx| topic.poll_ready(cx)).await.map_err(Error::from_boxed)
}

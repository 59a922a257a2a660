//! [`emit`] and [`Emitter`], which publish events.

use super::{Event, IntoPayload, Wire, wire};
use crate::{Error, Message, Published, Str, Topic};

/// Where events come from unless an [`Emitter`] says: CloudEvents have to say something.
const SOURCE: &str = "/";

/// Publishes events as CloudEvents in the binary mode, and answers with a result for each, in their order.
///
/// All are under way at once, so a batching topic sends them in batches. One that cannot be serialized or is
/// refused does not keep the others from being published. For another form, and to say where they come from,
/// see [`Emitter`].
///
/// # Cancel safety
///
/// Dropped, any of the events may or may not be published.
pub async fn emit<T, P, I>(topic: &T, events: I) -> Vec<Result<Published, Error>>
where
    T: Topic + Sync,
    P: IntoPayload,
    I: IntoIterator<Item = Event<P>> + Send,
{
    emit_as(topic, events, Wire::default(), &Str::from_static(SOURCE)).await
}

/// Publishes events to a topic, in a form of your choice.
///
/// # Examples
///
/// ```
/// use chappe::BoxError;
/// use chappe::event::{Emitter, Event, Wire};
/// use chappe::testing::Recorder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let sent = Recorder::new();
/// let emitter = Emitter::new(sent.clone()).wire(Wire::Envelope);
///
/// emitter.emit_one(Event::new("order.placed", 3)).await?;
///
/// let event = Event::from_message(&sent.messages()[0])?;
/// assert_eq!(event.payload.parse::<u32>()?, 3);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Emitter<T> {
    topic: T,
    wire: Wire,
    source: Str,
}

impl<T: Topic + Sync> Emitter<T> {
    /// Creates an emitter of CloudEvents in the binary mode.
    pub fn new(topic: T) -> Self {
        Self { topic, wire: Wire::default(), source: Str::from_static(SOURCE) }
    }

    /// Sets the form in which events travel.
    #[must_use]
    pub fn wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// Sets where events come from, a URI reference. Envelopes do not tell.
    #[must_use]
    pub fn source(mut self, source: impl Into<Str>) -> Self {
        self.source = source.into();
        self
    }

    /// The topic.
    pub fn get_ref(&self) -> &T {
        &self.topic
    }

    /// Publishes events, as [`emit`] does.
    ///
    /// # Cancel safety
    ///
    /// Dropped, any of the events may or may not be published.
    pub async fn emit<P, I>(&self, events: I) -> Vec<Result<Published, Error>>
    where
        P: IntoPayload,
        I: IntoIterator<Item = Event<P>> + Send,
    {
        emit_as(&self.topic, events, self.wire, &self.source).await
    }

    /// Publishes one event.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the event is not valid or cannot be serialized, or
    /// what the topic answers.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the event may or may not be published.
    pub async fn emit_one<P: IntoPayload>(&self, event: Event<P>) -> Result<Published, Error> {
        let written = wire::write(event, self.wire, &self.source);
        self.topic.publish(written?).await
    }
}

async fn emit_as<T, P, I>(topic: &T, events: I, wire: Wire, source: &Str) -> Vec<Result<Published, Error>>
where
    T: Topic + Sync,
    P: IntoPayload,
    I: IntoIterator<Item = Event<P>> + Send,
{
    let (messages, refused) = written(events, wire, source);
    let mut published = topic.publish_all(messages).await.into_iter();
    let results = refused.into_iter().map(|refused| match refused {
        Some(error) => Some(Err(error)),
        None => published.next(),
    });
    results.map(|result| result.expect("there is a result for each message")).collect()
}

/// The messages of the events that have one, and for each event whether it has none, and why.
fn written<P, I>(events: I, wire: Wire, source: &Str) -> (Vec<Message>, Vec<Option<Error>>)
where
    P: IntoPayload,
    I: IntoIterator<Item = Event<P>>,
{
    let mut messages = Vec::new();
    let mut refused = Vec::new();
    for event in events {
        match wire::write(event, wire, source) {
            Ok(message) => {
                messages.push(message);
                refused.push(None);
            }
            Err(error) => refused.push(Some(error)),
        }
    }
    (messages, refused)
}

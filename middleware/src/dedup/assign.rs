//! [`AssignKeyLayer`], the publishing half.

use std::fmt;
use std::sync::Arc;

use chappe_core::{Message, Str, Value};
use sha2::{Digest, Sha256};
use tower_layer::Layer;

use super::IDEMPOTENCY_KEY;
use super::key::KeyFn;
use crate::amend::{Amend, Amendment};

/// Made by [`AssignKeyLayer`].
pub type AssignKey<S> = Amend<S, AssignKeyLayer>;

/// Gives each message a key that stays the same however often it is published: the attribute
/// `idempotency-key`, by which a [`DedupLayer`](super::DedupLayer) knows it.
///
/// A message that has the attribute keeps it, and one that has an [id](Message::id) is named by that, together
/// with its source if it is relayed. One without an id is given its key as id too, for brokers that refuse
/// duplicates themselves.
///
/// The layer goes outside of what repeats a message, such as `Retry`: within it, each repetition would have a
/// key of its own.
///
/// # Examples
///
/// A message that is handled again publishes the same again. Keys that are made of what was handled tell:
///
/// ```
/// use chappe::testing::Recorder;
/// use chappe::{BoxError, Message, Topic};
/// use chappe_middleware::dedup::AssignKeyLayer;
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let by_order = AssignKeyLayer::from_fn(|message| {
///     let order = message.attributes().get_str("order")?;
///     Some(format!("invoice-for-{order}").into())
/// });
/// let sent = Recorder::new();
/// let invoices = ServiceBuilder::new().layer(by_order).service(sent.clone());
///
/// let mut invoice = Message::new("printed at 12:04");
/// invoice.attributes_mut().insert("order", "7");
/// invoices.publish(invoice).await?;
///
/// assert_eq!(sent.messages()[0].attributes().get_str("idempotency-key"), Some("invoice-for-7"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AssignKeyLayer {
    make: Make,
}

#[derive(Clone)]
enum Make {
    Random,
    Content,
    Function(Arc<KeyFn>),
}

impl AssignKeyLayer {
    /// Gives each message a random key. It tells the copies of one call apart from those of another, so it
    /// covers what is repeated within this layer.
    #[must_use]
    pub fn random() -> Self {
        Self { make: Make::Random }
    }

    /// Gives each message a key made of what it says: the SHA-256 of its body, its attributes and its
    /// [key](Message::key). Two messages that say the same are then one.
    ///
    /// Layers that write attributes which differ from time to time, such as those of tracing, go inside.
    #[must_use]
    pub fn content() -> Self {
        Self { make: Make::Content }
    }

    /// Has a function make the key; a message it has none for is given a random one.
    pub fn from_fn(key: impl Fn(&Message) -> Option<Str> + Send + Sync + 'static) -> Self {
        Self { make: Make::Function(Arc::new(key)) }
    }

    fn assign(&self, message: &mut Message) {
        if message.attributes().contains(IDEMPOTENCY_KEY) {
            return;
        }
        let key = match (message.id(), &self.make) {
            // One that is relayed has the id of the broker it came from.
            (Some(id), _) => match message.source() {
                Some(source) => format!("{source}/{id}").into(),
                None => id.to_str(),
            },
            (None, Make::Random) => random(),
            (None, Make::Content) => digest(message),
            (None, Make::Function(key)) => key(message).unwrap_or_else(random),
        };
        if message.id().is_none() {
            message.set_id(key.clone());
        }
        message.attributes_mut().insert(IDEMPOTENCY_KEY, key);
    }
}

impl<S> Layer<S> for AssignKeyLayer {
    type Service = AssignKey<S>;

    fn layer(&self, inner: S) -> AssignKey<S> {
        Amend::new(inner, self.clone())
    }
}

impl Amendment for AssignKeyLayer {
    fn amend(&self, message: &mut Message) {
        self.assign(message);
    }
}

impl fmt::Debug for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "Random",
            Self::Content => "Content",
            Self::Function(_) => "Function",
        })
    }
}

fn random() -> Str {
    uuid::Uuid::new_v4().simple().to_string().into()
}

/// Each part goes in with its length, so that no two messages make the same bytes.
fn digest(message: &Message) -> Str {
    let mut hash = Sha256::new();
    let mut add = |kind: u8, bytes: &[u8]| {
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(0, message.body());
    if let Some(key) = message.key() {
        add(1, key.as_bytes());
    }
    for (name, value) in message.attributes() {
        add(2, name.as_bytes());
        let kind = match value {
            Value::Text(_) => 3,
            Value::Number(_) => 4,
            Value::Binary(_) => 5,
            _ => 6,
        };
        add(kind, value.as_bytes());
    }
    let digits = hash.finalize().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect::<String>().into()
}

//! [`PubsubMetadata`], what Pub/Sub says of a message beside what its publisher wrote.

use std::sync::Arc;

/// What Pub/Sub says of a received message: in the [extensions](chappe_core::Message::extensions) of each.
///
/// It is never published again with the message. The id, the attempt, the time of publication and the key are in
/// the message itself, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PubsubMetadata {
    /// How often Pub/Sub has delivered it, where the subscription has a dead-letter policy.
    pub delivery_attempt: Option<u32>,
    /// What it is ordered by.
    pub ordering_key: Option<Arc<str>>,
    /// The [id](chappe_core::Message::id) its publisher gave it. A message that was published twice, because an
    /// answer was lost, has the same twice.
    pub publisher_id: Option<Arc<str>>,
    /// Why the attributes are as they were on the wire, if they could not be decoded.
    pub undecoded: Option<Arc<str>>,
}

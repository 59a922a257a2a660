//! Bodies as text, for brokers that carry nothing else.
//!
//! [`Base64EncodeLayer`] makes the body standard, padded base64, and [`Base64DecodeLayer`] makes it bytes
//! again. The backends of brokers that only take text do this by themselves where it is needed; these layers
//! are for text of one's own accord, and for go-msg on the other end.
//!
//! | message | [`Base64EncodeLayer`] | [`Base64DecodeLayer`] |
//! |---|---|---|
//! | the body is empty | passed on untouched | as any other |
//! | not marked | encoded, and marked | passed on untouched |
//! | marked `Content-Encoding: …, base64` | encoded once more | decoded |
//! | marked `Content-Transfer-Encoding: base64`, as go-msg does | passed on untouched | decoded |
//! | `Content-Transfer-Encoding` is something else | encoded; [`Invalid`](chappe_core::ErrorKind::Invalid) in go-msg mode, which would lose it | passed on untouched |
//! | marked, and the body is not base64 | | rejected |
//!
//! Line breaks within base64 are ignored, as Go does. The mark is taken away with the encoding. Encoding takes
//! a third more room; the broker's limit is on that.
//!
//! # Examples
//!
//! ```
//! use chappe_core::{BoxError, Message, Topic};
//! use chappe_memory::MemoryQueue;
//! use chappe_middleware::base64::{Base64DecodeLayer, Base64EncodeLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let queue = MemoryQueue::new("greetings");
//! let topic = Base64EncodeLayer::new().go_msg().layer(queue.topic());
//! topic.publish("hello").await?;
//!
//! let stored = queue.messages().remove(0);
//! assert_eq!(stored.body(), "aGVsbG8=");
//! assert_eq!(stored.attributes().get_str("content-transfer-encoding"), Some("base64"));
//!
//! let receiver = Base64DecodeLayer::new().layer(service_fn(async |message: Message| {
//!     assert_eq!(message.body(), "hello");
//!     Ok::<_, BoxError>(())
//! }));
//! receiver.oneshot(stored).await?;
//! # Ok(()) }
//! ```

mod decode;
mod encode;

pub use decode::{Base64Decode, Base64DecodeLayer};
pub use encode::{Base64Encode, Base64EncodeLayer};

use crate::codec::{BASE64, Pair};

/// Where go-msg marks a body that is base64, a name of MIME.
///
/// # Source
///
/// <https://www.rfc-editor.org/rfc/rfc2045#section-6>
pub const CONTENT_TRANSFER_ENCODING: &str = "Content-Transfer-Encoding";

/// Both layers, with default options.
pub fn pair() -> Pair<Base64EncodeLayer, Base64DecodeLayer> {
    Pair::new(Base64EncodeLayer::new(), Base64DecodeLayer::new())
}

/// Whether a message is marked the way go-msg does.
fn is_marked_by_go_msg(message: &chappe_core::Message) -> bool {
    message.attributes().get_str(CONTENT_TRANSFER_ENCODING).is_some_and(|value| value.eq_ignore_ascii_case(BASE64))
}

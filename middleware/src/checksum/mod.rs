//! A checksum of the body, so that what arrives is known to be what was published.
//!
//! [`DigestLayer`] adds it to the message, [`VerifyLayer`] compares and takes it away.
//!
//! | algorithm | entry | for |
//! |---|---|---|
//! | [CRC-32C](DigestLayer::crc32c) | `crc32c=:…:` | accidents: a broker or a program that damages a body |
//! | [SHA-256](DigestLayer::sha256) | `sha-256=:…:` | what is also compared elsewhere |
//!
//! Neither keeps out who changes the body on purpose, and can change the attribute with it: that takes
//! encryption. The attribute and its form are [`Content-Digest`](CONTENT_DIGEST) of RFC 9530, so others can
//! check it too.
//!
//! | message | [`VerifyLayer`] |
//! |---|---|
//! | its last entry matches the body | passed on without the entry |
//! | it does not match, or is no checksum | rejected |
//! | it has none, or one of another algorithm | passed on untouched; rejected where checksums are [required](VerifyLayer::require) |
//!
//! The checksum is of the body as it is at that place of the stack. Put it behind compression, nearer to the
//! broker: see [the order](crate::codec#the-order). A message that had a checksum before, of another body, keeps it: [`DigestLayer`] adds its entry behind it.
//!
//! # Examples
//!
//! ```
//! use chappe_core::{BoxError, Message, Outcome, Topic};
//! use chappe_memory::MemoryQueue;
//! use chappe_middleware::checksum::{DigestLayer, VerifyLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let queue = MemoryQueue::new("payments");
//! DigestLayer::crc32c().layer(queue.topic()).publish("pay 100").await?;
//!
//! let receiver = VerifyLayer::new().require().layer(service_fn(async |_: Message| Ok::<_, BoxError>(())));
//! let mut stored = queue.messages().remove(0);
//! receiver.clone().oneshot(stored.clone()).await?;
//!
//! stored.set_body("pay 900");
//! let error = receiver.oneshot(stored).await.unwrap_err();
//! assert!(matches!(Outcome::of_error(error.as_ref()), Outcome::Reject(_)));
//! # Ok(()) }
//! ```

mod algorithm;
mod digest;
mod verify;

pub use digest::{Digest, DigestLayer};
pub use verify::{Verify, VerifyLayer};

use crate::codec::{Pair, Stacked};

/// Checksums of the body as it is.
///
/// # Source
///
/// <https://www.rfc-editor.org/rfc/rfc9530#section-2>
pub const CONTENT_DIGEST: Stacked = Stacked::new("Content-Digest");

/// A layer that adds a checksum, and one that compares it where there is one.
pub fn pair(publish: DigestLayer) -> Pair<DigestLayer, VerifyLayer> {
    Pair::new(publish, VerifyLayer::new())
}

//! Encrypted bodies, with AES-256-GCM: nobody without the key reads them, and nobody changes them unnoticed.
//!
//! [`EncryptLayer`] encrypts with the current key of a [`KeyRing`], [`DecryptLayer`] decrypts with whichever of
//! its keys the message names.
//!
//! # What is protected
//!
//! The body is secret and authentic. Attributes stay readable, as brokers and routers need them; those that
//! are [bound](EncryptLayer::bind) cannot be changed, removed or added without the message being rejected.
//! Bind what decides how a body is understood, above all its type, so that an encrypted body cannot be
//! passed off as another kind of message. The key's id and the encodings below this one are always bound.
//!
//! Not protected are: that there is a message, its size, its other attributes and its key; and a message can
//! be withheld or delivered again, as brokers themselves do.
//!
//! | message | [`DecryptLayer`] |
//! |---|---|
//! | encrypted with a key of the ring | decrypted, and the mark is gone |
//! | with a key that is not in the ring | retried: the ring may learn it |
//! | changed, or with a bound attribute changed | rejected |
//! | without an attribute [required to be bound](DecryptLayer::require_bound) being so | rejected |
//! | not encrypted | rejected, unless this is [allowed](DecryptLayer::allow_unencrypted) |
//! | encrypted, and then encoded by something that is not undone yet | rejected |
//!
//! # Keys
//!
//! A key is 32 bytes of a good random number generator, not a password. To rotate without losing messages:
//!
//! 1. [add](KeyRing::add) the new key to the rings of all receivers,
//! 2. [promote](KeyRing::promote) it in the rings of all publishers,
//! 3. [retire](KeyRing::retire) the old one everywhere once no message is left that names it, dead letters
//!    included.
//!
//! Each message gets a nonce of 96 random bits of the operating system. Two messages with the same nonce and
//! key would give away both, so **rotate before a key has encrypted 2³² messages**, all its publishers
//! together: a thousand messages a second take 49 days for that.
//!
//! # Format
//!
//! The body is `version (1 byte, 1) ‖ id of the key ‖ number of bound names (1 byte) ‖ bound names ‖ nonce
//! (12 bytes) ‖ ciphertext ‖ tag (16 bytes)`, where the id and each name are led by their length in a byte.
//! The associated data is all of that up to the nonce, then the encodings below joined by commas, then for
//! each bound name the number of its values and each value; lengths and numbers are of 4 bytes, big-endian.
//!
//! # Source
//!
//! Nonces and the number of messages of a key: NIST SP 800-38D, section 8.3.
//!
//! # Examples
//!
//! ```
//! use chappe_core::{BoxError, Message, Topic};
//! use chappe_memory::MemoryQueue;
//! use chappe_middleware::encrypt::{DecryptLayer, EncryptLayer, KeyRing};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let secret = [7; 32];
//! let ring = KeyRing::new("2026-11", &secret)?;
//! let queue = MemoryQueue::new("payments");
//! let topic = EncryptLayer::new(ring.clone()).bind(["type"])?.layer(queue.topic());
//!
//! let mut payment = Message::new("pay 100");
//! payment.attributes_mut().insert("type", "payment.made");
//! topic.publish(payment).await?;
//!
//! let receiver = DecryptLayer::new(ring).require_bound(["type"]).layer(service_fn(async |message: Message| {
//!     assert_eq!(message.body(), "pay 100");
//!     Ok::<_, BoxError>(())
//! }));
//! let stored = queue.messages().remove(0);
//! receiver.clone().oneshot(stored.clone()).await?;
//!
//! let mut forged = stored;
//! forged.attributes_mut().insert("type", "payment.refunded");
//! assert!(receiver.oneshot(forged).await.is_err());
//! # Ok(()) }
//! ```

mod decode;
mod encode;
mod envelope;
mod ring;

pub use decode::{Decrypt, DecryptLayer};
pub use encode::{Encrypt, EncryptLayer};
pub use ring::KeyRing;

use crate::codec::Pair;

/// Both layers with the same keys, with default options.
pub fn pair(ring: KeyRing) -> Pair<EncryptLayer, DecryptLayer> {
    Pair::new(EncryptLayer::new(ring.clone()), DecryptLayer::new(ring))
}

//! What the layers that change a body have in common: which order they take, and how they undo each other.
//!
//! A codec is two layers. The one of the publish side changes the body and leaves a mark in the attributes;
//! the one of the receive side finds the mark, changes the body back and takes the mark away, so the receiver
//! sees the message as it was published. A [`Pair`] holds both, and pairs put behind each other make two
//! stacks of which one is the other reversed:
//!
//! ```
//! # #[cfg(all(feature = "base64", feature = "compress-zstd"))] {
//! use chappe_middleware::compress::{self, CompressLayer};
//! use chappe_middleware::base64;
//! # use chappe_core::{BoxError, Error, Message, Published};
//! # use tower::{Layer, ServiceExt, service_fn};
//!
//! let (publish, receive) = compress::pair(CompressLayer::zstd()).then(base64::pair()).split();
//! # let topic = service_fn(async |_: Message| Ok::<_, Error>(Published::default()));
//! # let receiver = service_fn(async |_: Message| Ok::<_, BoxError>(()));
//!
//! let topic = publish.layer(topic); // compresses, then encodes
//! let receiver = receive.layer(receiver); // decodes, then decompresses
//! # }
//! ```
//!
//! # The order
//!
//! Publishing goes through this list from the top, receiving from the bottom. Any part may be left out.
//!
//! | | publish | receive | why here |
//! |---|---|---|---|
//! | 1 | `compress::CompressLayer` | `compress::DecompressLayer` | what is encrypted cannot be compressed any more |
//! | 2 | `encrypt::EncryptLayer` | `encrypt::DecryptLayer` | what is stored below is stored encrypted |
//! | 3 | `checksum::DigestLayer` | `checksum::VerifyLayer` | it is of the body as it is stored |
//! | 4 | `claim::StoreBodyLayer` | `claim::FetchBodyLayer` | only what is still large after compressing is stored |
//! | 5 | `base64::Base64EncodeLayer` | `base64::Base64DecodeLayer` | the broker sees text |
//!
//! Other orders work as well, as long as both sides have the same, but for this: compression and the claim
//! check leave alone what is compressed or claimed already, and their twins undo it all the same. A checksum
//! of a body that its publisher had compressed, made before the layer that compresses, would be compared with
//! another body. So it comes after compression, and neither compression nor the claim check is in a stack
//! twice.
//!
//! Layers that look at attributes or at the outcome, like tracing and retries, go outside of all these on both
//! sides. [`Pair::then`] adds what is nearer to the broker.
//!
//! # The mark
//!
//! Each codec that changes the body adds its name to the list in the attribute
//! [`Content-Encoding`](CONTENT_ENCODING), last applied last, as HTTP has it; and each undoes its own
//! encoding only while that is the last of the list. A message without the mark of a layer is passed on
//! untouched, so messages of before the layer was there are still received, and a layer of the publish side
//! may decide not to act.
//!
//! | | what becomes of the message |
//! |---|---|
//! | the last encoding is the layer's own | decoded, and the mark is gone |
//! | it belongs to another layer of this crate | passed on untouched |
//! | it is known to nobody | rejected by `compress::DecompressLayer` |
//! | the body is not what the mark says | [rejected](chappe_core::Outcome::Reject), with a reason that names the encoding |
//!
//! A receiver never sees half of that: what a layer passes on is decoded and unmarked, or untouched and
//! still marked. The `Json`, `MessagePack` and `Protobuf` arguments of a handler refuse a message that is
//! still marked.
//!
//! # Attempts
//!
//! A layer works on its own copy of a message. What the queue keeps is as it was published, so every attempt
//! decodes the same body again. The work is done when the layer is called, on the thread that calls it: the
//! bodies brokers take are decoded in microseconds to a few milliseconds.

mod future;
mod name;
mod pair;
mod recode;
mod stacked;

pub use future::ResponseFuture;
#[cfg(feature = "compress")]
pub(crate) use name::is_of_this_crate;
pub use name::{AES_256_GCM, BASE64, CLAIM};
pub use pair::Pair;
pub use recode::{Codec, Recode};
pub use stacked::{CONTENT_ENCODING, Stacked};

//! Compressed bodies: gzip, zstd, lz4 and brotli.
//!
//! [`CompressLayer`] compresses with one of them, [`DecompressLayer`] decompresses all that the crate was
//! built with.
//!
//! | format | feature | mark | levels | default | for |
//! |---|---|---|---|---|---|
//! | [gzip](CompressLayer::gzip) | `compress-gzip` | `gzip`, read as `x-gzip` too | 0 to 9 | 6 | readers that know nothing else |
//! | [zstd](CompressLayer::zstd) | `compress-zstd` | `zstd` | -131072 to 22 | 3 | nearly everything |
//! | [lz4](CompressLayer::lz4) | `compress-lz4` | `lz4`, as go-msg does | none | | speed |
//! | [brotli](CompressLayer::brotli) | `compress-brotli` | `br` | 0 to 11 | 5 | small text |
//!
//! zstd is a C library, the others are written in Rust.
//!
//! | message | [`CompressLayer`] | [`DecompressLayer`] |
//! |---|---|---|
//! | the body is smaller than [the minimum](CompressLayer::min_bytes) | passed on untouched | |
//! | it would not get smaller | passed on untouched | |
//! | it is compressed already, by its mark, or in a way nobody knows | passed on untouched | |
//! | not marked | compressed, and marked | passed on untouched |
//! | marked with one of the formats | | decompressed; several in a row, last first |
//! | marked last by another layer of this crate | compressed, and marked | passed on untouched |
//! | marked with a format the crate was built without, or none it knows | | rejected |
//! | decompressing to more than [the limit](DecompressLayer::max_bytes) | | rejected |
//! | cut off, damaged, or with something behind its end | | rejected |
//!
//! # Memory
//!
//! A body that decompresses to a thousand times its size is found out by decompressing it no further than the
//! limit. The buffer grows with what comes out; a size that a body claims is allocated only up to 64 KiB or 16
//! times the body, and the limit. At its end the buffer has at most twice the limit, and the window of the
//! format comes on top: 32 KiB for gzip, none for lz4, 16 MiB for brotli, and for zstd the limit, but 8 MiB
//! at least and 128 MiB at most.
//!
//! # Examples
//!
//! ```
//! # #[cfg(feature = "compress-zstd")] {
//! use chappe_core::{BoxError, Message, Topic};
//! use chappe_memory::MemoryQueue;
//! use chappe_middleware::compress::{CompressLayer, DecompressLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let queue = MemoryQueue::new("jokes");
//! let topic = CompressLayer::zstd().level(9)?.layer(queue.topic());
//! topic.publish("ha".repeat(1000)).await?;
//!
//! let stored = queue.messages().remove(0);
//! assert_eq!(stored.attributes().get_str("content-encoding"), Some("zstd"));
//! assert!(stored.body().len() < 100);
//!
//! let receiver = DecompressLayer::new().max_bytes(1 << 20).layer(service_fn(async |message: Message| {
//!     assert_eq!(message.body(), &"ha".repeat(1000));
//!     Ok::<_, BoxError>(())
//! }));
//! receiver.oneshot(stored).await?;
//! # Ok(()) }
//! # main().unwrap() }
//! ```

mod decode;
mod encode;
mod format;

#[cfg(feature = "compress-brotli")]
mod brotli;
#[cfg(feature = "compress-gzip")]
mod gzip;
#[cfg(feature = "compress-lz4")]
mod lz4;
#[cfg(feature = "compress-zstd")]
mod zstd;

pub use decode::{DEFAULT_MAX_BYTES, Decompress, DecompressLayer};
pub use encode::{Compress, CompressLayer, DEFAULT_MIN_BYTES};

use crate::codec::Pair;

/// A layer that compresses, and one that decompresses with default options.
pub fn pair(publish: CompressLayer) -> Pair<CompressLayer, DecompressLayer> {
    Pair::new(publish, DecompressLayer::new())
}

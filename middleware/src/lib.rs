//! Layers for chappe: each a `tower::Layer`, behind a cargo feature of its own.
//!
//! They go around receivers and topics like tower's own, which work on both as they are.
//!
//! | module | feature | on the publish side | on the receive side |
//! |---|---|---|---|
//! | `base64` | `base64` | makes the body text | makes it bytes again |
//! | `codec` | `codec` | what these layers share: their order, and `Pair` | |
//! | `compress` | `compress-gzip`, `compress-zstd`, `compress-lz4`, `compress-brotli` | compresses the body | decompresses it, up to a limit |

#[cfg(feature = "base64")]
pub mod base64;
#[cfg(feature = "codec")]
pub mod codec;
#[cfg(feature = "compress")]
pub mod compress;

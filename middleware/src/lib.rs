//! Layers for chappe: each a `tower::Layer`, behind a cargo feature of its own.
//!
//! They go around receivers and topics like tower's own, which work on both as they are.
//!
//! | module | feature | on the publish side | on the receive side |
//! |---|---|---|---|
//! | `base64` | `base64` | makes the body text | makes it bytes again |
//! | `checksum` | `checksum` | adds a CRC-32C or SHA-256 of the body | rejects a body that does not match |
//! | `claim` | `claim` | puts a large body into an object store | fetches it |
//! | `codec` | `codec` | what these layers share: their order, and `Pair` | |
//! | `compress` | `compress-gzip`, `compress-zstd`, `compress-lz4`, `compress-brotli` | compresses the body | decompresses it, up to a limit |
//! | `encrypt` | `encrypt` | encrypts the body with AES-256-GCM | decrypts it, rejects what was tampered with |

#[cfg(feature = "base64")]
pub mod base64;
#[cfg(feature = "checksum")]
pub mod checksum;
#[cfg(feature = "claim")]
pub mod claim;
#[cfg(feature = "codec")]
pub mod codec;
#[cfg(feature = "compress")]
pub mod compress;
#[cfg(feature = "encrypt")]
pub mod encrypt;

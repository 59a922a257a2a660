//! Layers for chappe: each a `tower::Layer`, behind a cargo feature of its own.
//!
//! There is none yet. Tower's own layers work on receivers and topics as they are.

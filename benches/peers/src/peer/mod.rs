//! The other crates, each doing the work of [`support`](crate::support) in the way its own documents show.

pub mod apalis;
pub mod mq_bridge;
pub mod omniqueue;
pub mod ruststream;
pub mod shove;

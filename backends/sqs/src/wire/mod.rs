//! What a message is on the wire, both ways.

mod attribute;
mod decode;
mod encode;
mod envelope;
mod pointer;

pub use envelope::Envelope;

pub(crate) use decode::{Decoded, Decoder};
pub(crate) use encode::{Encoder, Entry, fresh_id, whole_seconds};

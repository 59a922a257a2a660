//! The vocabulary of chappe and the contracts its backends and layers are written against.
//!
//! Write a service with the `chappe` crate; depend on this one to write a backend or a layer.
//!
//! | to write | start at |
//! |---|---|
//! | a layer | [`Message`], [`Outcome`], and [`tower_service::Service`] |
//! | a backend | [`backend`]: [`Queue`](backend::Queue), [`Publisher`](backend::Publisher), [`Broadcast`](backend::Broadcast) |
//! | something that is told at run time which backend it has | [`erased`]: [`DynQueue`], [`DynPublisher`], [`BoxTopic`] |
//! | something that publishes | [`Topic`], [`MessageWriter`]; [`Batched`] makes a topic of a publisher |
//!
//! Everything is a `tower::Service<Message>`: a [`Receiver`] answers with what says an [`Outcome`], a
//! [`Topic`] with the broker's receipt, and so one family of layers serves both.

pub mod attribute;
pub mod backend;
mod backoff;
pub mod batch;
pub mod erased;
mod error;
mod id;
mod lease;
mod message;
mod outcome;
mod receiver;
mod text;
mod topic;
mod writer;

pub use attribute::{AttributeLimits, Attributes, Value};
pub use backoff::Backoff;
pub use batch::Batched;
pub use erased::{BoxTopic, DynBroadcast, DynPublisher, DynQueue, DynSubscription};
pub use error::{BoxError, Error, ErrorKind};
pub use id::{Key, MessageId};
pub use lease::{Cancelled, Lease, LeaseControl};
pub use message::Message;
pub use outcome::{IntoOutcome, IntoResult, Outcome, OutcomeError, Reason};
pub use receiver::Receiver;
pub use text::Str;
pub use topic::{Published, Topic};
pub use writer::MessageWriter;

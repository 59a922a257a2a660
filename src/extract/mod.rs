//! What a handler's arguments are made of: extractors.
//!
//! An extractor takes one thing a handler wants out of the message, or out of what surrounds it. A handler
//! names the extractors as the types of its arguments; they run from left to right, and the last one may
//! consume the message, so only the last one can be the body.
//!
//! ```
//! use chappe::extract::{Attempt, Attr, State, TypedAttribute};
//! use chappe::{BoxError, Key};
//! # use std::str::FromStr;
//! # #[derive(Clone)] struct Db;
//! # struct Tenant(u32);
//! # impl FromStr for Tenant {
//! #     type Err = std::num::ParseIntError;
//! #     fn from_str(text: &str) -> Result<Self, Self::Err> { text.parse().map(Self) }
//! # }
//! # impl TypedAttribute for Tenant { const NAME: &'static str = "tenant"; }
//!
//! async fn on_order(
//!     State(db): State<Db>,          // of the application
//!     Attr(tenant): Attr<Tenant>,    // an attribute, parsed
//!     Attempt(attempt): Attempt,     // which attempt this is
//!     key: Option<Key>,              // what may be missing
//!     body: String,                  // the body, last
//! ) -> Result<(), BoxError> {
//!     # let _ = (db, tenant, attempt, key, body);
//!     Ok(())
//! }
//! ```
//!
//! | argument | what it is | when it cannot be had |
//! |---|---|---|
//! | [`Json<T>`](Json) | the body, deserialized | dead letter |
//! | `MessagePack<T>`, `Protobuf<T>` | the body, decoded; features `msgpack` and `protobuf` | dead letter |
//! | [`Bytes`](bytes::Bytes) | the body as it is | |
//! | [`String`] | the body as UTF-8 text | dead letter |
//! | [`Message`](crate::Message) | everything | |
//! | [`Attr<T>`](Attr) | one attribute, parsed | dead letter |
//! | [`Type`] | the message's type | dead letter |
//! | [`Attributes`](crate::Attributes) | all attributes | |
//! | [`Key`](crate::Key) | what the message is ordered by | dead letter |
//! | [`MessageId`](crate::MessageId), [`Source`], [`PublishedAt`] | what the broker told | retry |
//! | [`Attempt`] | which attempt this is, 0 where nobody counts | |
//! | [`Lease`](crate::Lease) | the time the handler has: extend, deadline, cancelled | retry |
//! | [`Extension<T>`](Extension) | what a layer put into the message | retry |
//! | `CloudEvent<T>` | the event, its data by another extractor (feature `cloudevents`) | dead letter |
//! | `Event<T>` | the event of `chappe::event`, its payload deserialized (feature `event`) | dead letter |
//! | `Correlation`, `DryRun` | what the layers of these names hand on (features `correlation`, `dry-run`) | |
//! | [`State<T>`](State) | what the application lent the router | does not compile |
//! | `Option<T>` | of what may be missing; what is there but wrong is still refused | as `T` |
//! | `Result<T, T::Rejection>` | the handler decides | |
//! | a tuple of these | several at once | as the first that fails |
//!
//! # When an argument cannot be had
//!
//! The handler is not called, and the message is never acknowledged and never dropped. What its publisher
//! got wrong (a body, an attribute, a key) will be as wrong on every attempt: the message is
//! [rejected](crate::Outcome::Reject) to the dead letter, with a reason that says what was expected and what
//! came but quotes nothing of the body. What the broker, the server or a layer did not supply is not the
//! message's fault and may be mended by the next deployment: the message is retried.
//!
//! # Extractors of your own
//!
//! Implement [`FromMessageParts`] for what leaves the body alone and can stand anywhere, [`FromMessage`] for
//! what consumes the message; both may be `async`.

mod attribute;
mod body;
#[cfg(feature = "cloudevents")]
mod cloud_event;
#[cfg(feature = "correlation")]
mod correlation;
#[cfg(feature = "dry-run")]
mod dry_run;
mod extension;
#[cfg(any(feature = "json", feature = "msgpack", feature = "protobuf"))]
mod format;
mod from_message;
mod head;
#[cfg(feature = "json")]
mod json;
mod kind;
#[cfg(feature = "msgpack")]
mod msgpack;
#[cfg(feature = "protobuf")]
mod protobuf;
mod rejection;
mod state;
mod tuple;

pub use attribute::{Attr, TypedAttribute};
#[cfg(feature = "cloudevents")]
pub use chappe_middleware::cloudevents::CloudEvent;
#[cfg(feature = "correlation")]
pub use chappe_middleware::correlation::Correlation;
#[cfg(feature = "dry-run")]
pub use chappe_middleware::dry_run::DryRun;
#[cfg(feature = "cloudevents")]
pub use cloud_event::CloudEventBatch;
pub use extension::Extension;
pub use from_message::{FromMessage, FromMessageParts, OptionalFromMessageParts, marker};
pub use head::{Attempt, PublishedAt, Source};
#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "event")]
pub(crate) use json::parse as parse_json;
pub(crate) use kind::TYPE_ATTRIBUTES;
pub use kind::Type;
#[cfg(feature = "msgpack")]
pub use msgpack::MessagePack;
#[cfg(feature = "protobuf")]
pub use protobuf::Protobuf;
#[cfg(feature = "json")]
pub use rejection::JsonRejection;
#[cfg(feature = "msgpack")]
pub use rejection::MessagePackRejection;
#[cfg(feature = "protobuf")]
pub use rejection::ProtobufRejection;
pub use rejection::{AttrRejection, Missing, StringRejection};
pub use state::{FromRef, State};

//! JSON Schema: bodies are what they were agreed to be, or they do not come through.
//!
//! [`ValidateLayer`] around a receiver rejects a message whose body does not match, to the dead letter, with the
//! path of the fault. [`ValidatePublishLayer`] around a topic refuses to publish one, with
//! [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid), before anything is sent; what is being handled
//! meanwhile is not blamed for that, and retried by default.
//!
//! | a body that | received | published |
//! |---|---|---|
//! | matches | handled, unchanged | published, unchanged |
//! | does not match | rejected: `body does not match its schema: /lines/0/count: minimum` | `Invalid`, the same text |
//! | is not JSON | rejected | `Invalid` |
//! | is of a type without a schema | handled, unless [said otherwise](Schemas::or_refuse) | published, unless said otherwise |
//!
//! A reason has the paths of up to three faults, and the keyword of the schema each fails. It quotes no value of
//! the body. What else is in the body's path, such as decoders, goes outside on the receiving side: this layer
//! looks at the body as it comes to it.
//!
//! A schema is compiled once and shared. It has to be whole: `$ref`s lead to places in it, nothing is fetched.
//!
//! # Examples
//!
//! ```
//! use chappe::testing::perform;
//! use chappe::{BoxError, Message};
//! use chappe_middleware::schema::{Schema, ValidateLayer};
//! use serde_json::json;
//! use tower::{ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let order = Schema::new(&json!({
//!     "type": "object",
//!     "required": ["lines"],
//!     "properties": { "lines": { "items": { "properties": { "count": { "minimum": 1 } } } } },
//! }))?;
//! let receiver = ServiceBuilder::new()
//!     .layer(ValidateLayer::new(order))
//!     .service(service_fn(async |_: Message| Ok::<_, BoxError>(())));
//!
//! perform(receiver.clone(), r#"{"lines": [{"count": 2}]}"#).await.assert_acked();
//! perform(receiver, r#"{"lines": [{"count": 0}]}"#).await.assert_rejected("/lines/0/count: minimum");
//! # Ok(()) }
//! ```

mod error;
mod publish;
mod receive;
mod validator;

pub use error::{SchemaError, SchemaMismatch};
pub use publish::{ValidatePublish, ValidatePublishLayer};
pub use receive::{Validate, ValidateLayer};
pub use validator::{Schema, Schemas};

//! CloudEvents 1.0: events every platform understands.
//!
//! A [`CloudEvent`] is carried by a message in one of two [`Mode`]s: **binary**, where its attributes are
//! attributes of the message and its data is the body, or **structured**, where all of it is a JSON body. How the
//! attributes are called depends on the protocol, its [`Binding`]; reading tells by itself what it has before it.
//!
//! | protocol | attributes | content type of the data | by default |
//! |---|---|---|---|
//! | [`Generic`](Binding::Generic): RabbitMQ, Redis, PostgreSQL, memory | `ce-id` | `content-type` | binary |
//! | [`Amqp`](Binding::Amqp) 1.0 | `cloudEvents_id`; `cloudEvents:id` is read, too | `content-type` | binary |
//! | [`Kafka`](Binding::Kafka) | `ce_id` | `content-type` | binary |
//! | [`Nats`](Binding::Nats) | `ce-id`, percent-encoded | `ce-datacontenttype` | binary |
//! | [`Pubsub`](Binding::Pubsub) | `ce-id` | `content-type`; `ce-datacontenttype` is read, too | binary |
//! | [`Sqs`](Binding::Sqs), SNS | `ce-id` | `content-type` | structured, for a message has ten attributes at most |
//!
//! [`WriteCloudEventsLayer`] around a topic writes events the way the protocol wants them, and can make events
//! of plain messages. [`ReadCloudEventsLayer`] around a receiver turns whatever arrives into the generic binary
//! form, so that what is behind it, such as a router by `Type` or the `Json` of a handler, need not care: the
//! body is the data, and `content-type` is that of the data. The attributes that do not belong to the event stay
//! as they are.
//!
//! | a message that is | read | written |
//! |---|---|---|
//! | a valid event | handled, in the generic binary form | published, in the form of the binding |
//! | an invalid one, or one in a format other than JSON | rejected, with the reason | refused with `Invalid` |
//! | a batch | handled as it is: see [`CloudEvent::read_batch`] | published as it is |
//! | none | handled as it is, or [rejected](ReadCloudEventsLayer::or_reject) | published as it is, or [made one](WriteCloudEventsLayer::wrap) |
//!
//! Valid means: `specversion` 1.0; `id`, `source` and `type` present and not empty; `time` by RFC 3339; names of
//! extensions made of lower-case letters and digits; no control characters. Data that is JSON is carried byte
//! for byte, so that no number loses a digit. Other data becomes base64 in the structured mode, text of a
//! `text/…` type a string. No data and empty data are the same.
//!
//! The extension `partitionkey` becomes the [key](chappe_core::Message::key) of a message that has none.
//!
//! # Source
//!
//! <https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents>, read in November 2026; for Pub/Sub
//! <https://github.com/googleapis/google-cloudevents/blob/main/docs/spec/pubsub.md>. There is no binding for
//! RabbitMQ, Redis, PostgreSQL, SQS and SNS; the generic form follows the draft of knative for RabbitMQ.
//!
//! # Examples
//!
//! ```
//! use chappe::testing::{Recorder, perform};
//! use chappe::{BoxError, Message, Topic};
//! use chappe_middleware::cloudevents::{Binding, ReadCloudEventsLayer, WriteCloudEventsLayer};
//! use tower::{ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let sent = Recorder::new();
//! let topic = ServiceBuilder::new()
//!     .layer(WriteCloudEventsLayer::new(Binding::Sqs).wrap("/orders"))
//!     .service(sent.clone());
//! let mut order = Message::new(r#"{"id":7}"#);
//! order.set_id("7");
//! order.attributes_mut().insert("type", "order.created");
//! topic.publish(order).await?;
//!
//! let event = sent.assert_published(1).remove(0);
//! assert_eq!(event.attributes().get_str("content-type"), Some("application/cloudevents+json"));
//! assert!(event.body().ends_with(br#""data":{"id":7}}"#));
//!
//! let receiver = ServiceBuilder::new().layer(ReadCloudEventsLayer::new()).service(service_fn(async |order: Message| {
//!     assert_eq!(order.attributes().get_str("ce-type"), Some("order.created"));
//!     assert_eq!(order.body(), r#"{"id":7}"#);
//!     Ok::<_, BoxError>(())
//! }));
//! perform(receiver, event).await.assert_acked();
//! # Ok(()) }
//! ```

mod binding;
mod error;
mod event;
mod extension;
mod json;
mod publish;
mod read;
mod receive;
mod write;

pub use binding::{Binding, Mode};
pub use error::CloudEventError;
pub use event::CloudEvent;
pub use extension::ExtensionValue;
pub use publish::{WriteCloudEvents, WriteCloudEventsLayer};
pub use receive::{ReadCloudEvents, ReadCloudEventsLayer};

/// The version of the specification.
const SPEC_VERSION: &str = "1.0";

/// The attribute of a message that says what its body is.
const CONTENT_TYPE: &str = "content-type";

/// What the content type of every event in the structured mode begins with.
const STRUCTURED: &str = "application/cloudevents";
const STRUCTURED_JSON: &str = "application/cloudevents+json";
const BATCH_JSON: &str = "application/cloudevents-batch+json";

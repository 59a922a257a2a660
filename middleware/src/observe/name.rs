//! The names of attributes, by OpenTelemetry's [conventions for messaging][conventions] where they have one.
//!
//! [conventions]: https://opentelemetry.io/docs/specs/semconv/registry/attributes/messaging/

/// The conventions these names are from.
#[cfg(feature = "opentelemetry")]
pub(crate) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.44.0";

pub(crate) const SYSTEM: &str = "messaging.system";
pub(crate) const DESTINATION: &str = "messaging.destination.name";
pub(crate) const OPERATION: &str = "messaging.operation.name";
pub(crate) const ERROR_TYPE: &str = "error.type";
/// What became of the message: ours, as the conventions have none.
pub(crate) const OUTCOME: &str = "chappe.outcome";

#[cfg(feature = "opentelemetry")]
pub(crate) const OPERATION_TYPE: &str = "messaging.operation.type";
#[cfg(feature = "opentelemetry")]
pub(crate) const MESSAGE_ID: &str = "messaging.message.id";
#[cfg(feature = "opentelemetry")]
pub(crate) const BATCH_COUNT: &str = "messaging.batch.message_count";
/// Which attempt to handle the message it is: ours, as each system has one of its own.
#[cfg(feature = "opentelemetry")]
pub(crate) const ATTEMPT: &str = "chappe.attempt";

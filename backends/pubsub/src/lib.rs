//! The Google Pub/Sub backend of chappe.

mod address;
pub mod admin;
mod client;
mod error;
mod limit;
mod metadata;
mod proto;
mod publish;
mod queue;
mod target;
mod wire;

pub use client::PubsubClient;
pub use metadata::PubsubMetadata;
pub use publish::{PubsubPublisher, PubsubTopic};
pub use queue::{PubsubConsumer, PubsubQueue, PubsubReceipt};

/// What OpenTelemetry calls Pub/Sub.
const SYSTEM: &str = "gcp_pubsub";

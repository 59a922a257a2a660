//! The Amazon SQS backend of chappe.

pub mod admin;
mod blob;
mod client;
mod error;
mod limit;
mod metadata;
mod publish;
mod queue;
mod target;
mod wire;

pub use blob::{BlobKey, BlobStore, MemoryBlobs};
pub use metadata::{SnsNotification, SqsMetadata};
pub use publish::{SqsPublisher, SqsTopic};
pub use queue::{SqsConsumer, SqsQueue, SqsReceipt};
pub use wire::Envelope;

/// What OpenTelemetry calls SQS.
const SYSTEM: &str = "aws_sqs";

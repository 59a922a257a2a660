//! The Amazon SQS backend of chappe: a work queue with leases, FIFO order, dead letters and batched calls.
//!
//! - [`SqsQueue`] is a [`Queue`](chappe_core::backend::Queue), standard or FIFO by the name of its URL.
//! - [`SqsTopic`] publishes to one, up to ten messages in a request.
//! - [`SqsMetadata`], in the extensions of every message, has what SQS says of it.
//! - [`admin`] makes queues and moves dead letters back; serving never does.
//!
//! # Publish, fetch, settle
//!
//! A server does the last two, by long polls that run side by side while there is work, one when there is
//! none, and settles in tens.
//!
//! ```no_run
//! use chappe::{BoxError, Message, Server, Topic};
//! use chappe_sqs::SqsQueue;
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let queue = SqsQueue::from_url("sqs://eu-west-1/123456789012/jobs?dead_letter=jobs-dead").await?;
//! queue.topic().publish("resize 7.png").await?;
//!
//! async fn resize(message: Message) -> Result<(), BoxError> {
//!     println!("{:?}", message.body());
//!     Ok(())
//! }
//! Server::new(queue).concurrency(64).serve(service_fn(resize)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! With a client of your own: [`SqsQueue::new`]. Whatever its timeouts and retries are, copies of it are used
//! that have their own: polls are cut off ten seconds after they should have ended and never repeated by the
//! SDK, other calls after ten seconds; what is published is repeated by the [topic](SqsTopic) alone.
//!
//! # What the queue promises
//!
//! | | |
//! |---|---|
//! | delivery | at least once; in FIFO queues a message is stored once for each [id](chappe_core::Message::id) within five minutes |
//! | lease | [30 seconds](SqsQueue::lease) from the fetch, renewable up to twelve hours in all |
//! | stale receipts | [`Lost`](chappe_core::backend::SettleResult::Lost), from the instant the lease ends by this machine's clock, and once the delivery is settled |
//! | attempts | counted by SQS at delivery, approximately; a release does not take the count back |
//! | order | none in standard queues. In FIFO queues one message of a key at a time, in order, also through failures and lost leases |
//! | keys | the message group id: order in a FIFO queue, fairness among tenants in a standard one. A key that cannot be an id travels in an attribute |
//! | delay | of publishing up to 15 minutes, not in FIFO queues; of retries up to what is left of twelve hours; whole seconds, rounded up |
//! | capacity | unlimited; 120 000 messages in flight |
//! | redelivery | the same bytes |
//! | dead letter | [another queue](SqsQueue::dead_letter): sent there with the reason, then deleted here. Or a [redrive policy](admin::QueueSpec::dead_letter), by count |
//! | ids | SQS's. In FIFO queues a publisher's id is the deduplication id, and a message without one is given one |
//! | content | body of any bytes, attributes of any number and form; their order across names only [if asked for](SqsPublisher::keep_attribute_order) |
//! | end | a consumer that is stopped waits for its polls, [20 seconds](SqsQueue::wait) at most, and hands out what they bring, to be given back |
//!
//! A server needs no [lanes](https://docs.rs/chappe) to keep the order of a FIFO queue. A receive may bring
//! several messages of a group: those behind the first are held until it is settled, with its lease renewed
//! for all of them, and go back in the same request when it is to be tried again. Each time they have been
//! received once more, so a redrive policy of a FIFO queue should allow ten receives or more.
//!
//! # Limits
//!
//! | | |
//! |---|---|
//! | body | text of 1 MiB with the attributes; other bytes are carried in base64, which leaves three quarters; an empty one is marked. More goes [to a blob store](SqsPublisher::blobs) |
//! | attributes | ten with a name of letters, digits, `_`, `-` and `.` and a value that is not empty; what does not fit is packed into one of the ten, or [refused](SqsPublisher::strict) |
//! | batches | ten messages and 1 MiB |
//!
//! A message whose attributes are packed, whose body is in base64, or that stands for an empty one has an
//! attribute `msg-attrs` or `msg-encoding`, for consumers of other kinds to look at.

mod address;
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

pub use address::SqsAddress;
pub use blob::{BlobKey, BlobStore, MemoryBlobs};
pub use metadata::{SnsNotification, SqsMetadata};
pub use publish::{SqsPublisher, SqsTopic};
pub use queue::{SqsConsumer, SqsQueue, SqsReceipt};
pub use wire::Envelope;

/// What OpenTelemetry calls SQS.
const SYSTEM: &str = "aws_sqs";

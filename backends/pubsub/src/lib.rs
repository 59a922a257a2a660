//! The Google Pub/Sub backend of chappe: a work queue on streaming pull with leases, ordering keys and dead letters.
//!
//! **Not released, and never run against Pub/Sub itself: what is said here was shown beside Google's emulator, its
//! in-memory server, and a fake that keeps Pub/Sub's documented rules.**
//!
//! - [`PubsubQueue`] is a [`Queue`](chappe_core::backend::Queue) on a subscription.
//! - [`PubsubTopic`] publishes to a topic, up to a thousand messages in a request.
//! - [`PubsubClient`] is the connection both share: from the environment, to an emulator, or a channel of your own.
//! - [`PubsubMetadata`], in the extensions of every message, has what Pub/Sub says of it.
//! - [`admin`] makes topics and subscriptions; serving never does.
//!
//! # Publish, fetch, settle
//!
//! A server does the last two, by a stream that Pub/Sub sends no more into than can be handled.
//!
//! ```no_run
//! use chappe::{BoxError, Message, Server, Topic};
//! use chappe_pubsub::{PubsubPublisher, PubsubQueue};
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let topic = PubsubPublisher::from_url("pubsub://my-project/topics/jobs").await?.topic();
//! topic.publish("resize 7.png").await?;
//!
//! async fn resize(message: Message) -> Result<(), BoxError> {
//!     println!("{:?}", message.body());
//!     Ok(())
//! }
//! let queue = PubsubQueue::from_url("pubsub://my-project/subscriptions/jobs?dead_letter=jobs-dead").await?;
//! Server::new(queue).concurrency(64).serve(service_fn(resize)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A client of its own
//!
//! This crate talks gRPC itself, by `tonic`, and takes only credentials from Google's crates. `google-cloud-pubsub`
//! 1.7 cannot keep what a queue has to promise: it tells of no acknowledgement whether it arrived, cannot put a
//! message off, gives back nothing that was not read when it shuts down, reconnects without a pause to an endpoint
//! that closes connections, and bounds nothing that waits to be published.
//!
//! # What the queue promises
//!
//! | | |
//! |---|---|
//! | delivery | at least once. From a subscription with exactly-once delivery, an acknowledgement that succeeded is final |
//! | lease | [a minute](PubsubQueue::lease) from the delivery, renewable up to [an hour](PubsubQueue::max_hold) in all |
//! | stale receipts | [`Lost`](chappe_core::backend::SettleResult::Lost), from the instant the lease ends by this machine's clock, and once the delivery is settled |
//! | attempts | counted by Pub/Sub under a dead-letter policy, else by this process; a release counts with the former |
//! | order | none, unless it is [asked for](PubsubQueue::ordered) and the subscription has it. Then one message of a key at a time, in order, also through failures |
//! | keys | the ordering key. One that is no text or longer than 1 KB travels in an attribute, its hash in its place |
//! | delay | of retries up to ten minutes, whole seconds, rounded up. Of publishing none: such a message is refused |
//! | capacity | unlimited; seven days by default |
//! | redelivery | the same bytes |
//! | dead letter | [a topic](PubsubQueue::dead_letter): published there with the reason, then acknowledged here. Or a [policy](admin::SubscriptionSpec::dead_letter), by count |
//! | ids | Pub/Sub's. A publisher's own is in [`PubsubMetadata`]; nothing is done about duplicates |
//! | content | body of any bytes, attributes of any number and form; their order across names only [if asked for](PubsubPublisher::keep_attribute_order) |
//! | end | a consumer that is stopped or dropped gives back at once what nobody has fetched, and what its stream still brings |
//!
//! Messages that wait to be handled wait here with their lease renewed, as many as may be unsettled in all. A retry
//! that is put off counts among these for Pub/Sub until it is due, so when such retries take up half of what may be
//! out, the stream is opened anew, which begins to count from nothing.
//!
//! # Limits
//!
//! | | |
//! |---|---|
//! | body | 10 MB with the attributes |
//! | attributes | a hundred texts of 1 KB with names of 256 bytes, which do not begin with `goog`; what does not fit is packed into some of the hundred, or [refused](PubsubPublisher::strict) |
//! | batches | a thousand messages and 10 MB |
//! | order | 1 MB a second for each ordering key; publishers of a key are to be in one region |
//!
//! # URLs
//!
//! ```text
//! pubsub://my-project/subscriptions/orders?lease=30s      a queue; `pubsub://my-project/orders` for short
//! pubsub://my-project/topics/orders?strict=true           a publisher; `pubsub://my-project/orders` for short
//! pubsub+http://localhost:8085/my-project/orders          at an emulator, or set PUBSUB_EMULATOR_HOST
//! gcppubsub://projects/my-project/topics/orders           as the Go CDK writes it
//! ```
//!
//! | option of a queue | | as |
//! |---|---|---|
//! | `lease` | `30s`, `2m` | [`PubsubQueue::lease`] |
//! | `max_hold` | `1h` | [`PubsubQueue::max_hold`] |
//! | `max_bytes` | `64MiB` | [`PubsubQueue::max_bytes`] |
//! | `ordered` | `true` | [`PubsubQueue::ordered`] |
//! | `dead_letter` | the name of a topic of the project | [`PubsubQueue::dead_letter`] |
//! | `missing_grace` | `1m` | [`PubsubQueue::missing_grace`] |
//! | `inspect` | `false` | [`PubsubQueue::inspect`] |
//!
//! A publisher has [`strict`](PubsubPublisher::strict). Queues leave alone what is for publishers, and the other way
//! round, so that one URL serves both where topic and subscription have one name. Any other option is an error, and
//! credentials never stand in a URL.

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

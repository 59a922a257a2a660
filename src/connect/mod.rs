//! Backends by URL: which broker a program talks to is what it was told, not what it was built for.
//!
//! ```
//! use chappe::{Server, Topic, connect};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), chappe::BoxError> {
//! let url = "memory://orders?lease=10s"; // or redis://localhost/?queue=orders, or sqs://eu-west-1/123/orders, or …
//!
//! connect::topic(url).await?.publish("a chair").await?;
//!
//! let server = Server::new(connect::queue(url).await?);
//! # drop(server);
//! # Ok(()) }
//! ```
//!
//! | scheme | feature | [`queue`] | [`topic`] | [`broadcast`] | options |
//! |---|---|---|---|---|---|
//! | `memory` | `memory` | yes | yes | yes | [below](#queues-in-memory) |
//! | `postgres`, `postgresql` | `postgres`; with TLS, `postgres-tls` | yes | yes | yes | `PgQueue::from_url`, `PgBus::from_url`, and [`migrate`](#tables-in-postgresql) |
//! | `pubsub`, `pubsub+http`, `gcppubsub` | `pubsub` | yes | yes | | `PubsubQueue::from_url` |
//! | `redis`, `rediss` | `redis`, `redis-tls` | yes | yes | yes | `RedisAddress` |
//! | `sqs`, `sqs+http` | `sqs` | yes | yes | | `SqsAddress` |
//! | `sns`, `sns+http`, `sns:arn:…` | `sns` | | yes | | `SnsAddress` |
//!
//! An option that the backend does not have is an error, as are a scheme nobody knows and one whose feature is
//! off. Credentials are never part of an error or of what is logged. The clouds take theirs from the
//! environment and refuse them in a URL.
//!
//! What is returned has its type [erased](crate::erased), for which the cost is one box a batch. Whoever knows
//! the backend while writing the program makes it by its own constructor, which has more options and takes a
//! client that is there already.
//!
//! # Queues in memory
//!
//! The URLs of one name are one queue, or one topic of one bus, in the whole process and for as long as it
//! lives:
//!
//! ```text
//! memory://NAME?lease=30s&capacity=1000000&max_bytes=1GiB&max_message_bytes=1MiB&max_delay=1h&ordered=true&dead_letter=NAME
//! ```
//!
//! They are the options of [`MemoryQueueBuilder`](crate::memory::MemoryQueueBuilder). Whoever comes first makes
//! the queue; others give the same options or none.
//!
//! # Tables in PostgreSQL
//!
//! With `migrate=true` the tables are made where they are missing, and brought up to date, before the queue or topic is
//! there. It takes the rights to do so; without it, missing tables are an error.

#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod scheme;
mod server;
mod split;

use chappe_core::{BoxTopic, DynBroadcast, DynQueue, Error};

use scheme::{scheme, unknown};
pub use server::server;

/// The work queue at `url`, to be served.
///
/// # Errors
///
/// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): the URL, one of its options or the value of one makes no
///   sense.
/// - [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported): its backend has no work queues, or was not built in.
/// - Whatever kind the backend has for a broker that does not answer, where it asks it that early.
///
/// # Cancel safety
///
/// Dropped, there is no queue.
pub async fn queue(url: &str) -> Result<DynQueue, Error> {
    match scheme(url)? {
        #[cfg(feature = "memory")]
        "memory" => memory::queue(url).map(DynQueue::new),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => postgres::queue(url).await.map(DynQueue::new),
        #[cfg(feature = "pubsub")]
        "pubsub" | "pubsub+http" | "gcppubsub" => crate::pubsub::PubsubQueue::from_url(url).await.map(DynQueue::new),
        #[cfg(feature = "redis")]
        "redis" | "rediss" => crate::redis::RedisQueue::from_url(url).map(DynQueue::new),
        #[cfg(feature = "sqs")]
        "sqs" | "sqs+http" | "sqs+https" => crate::sqs::SqsQueue::from_url(url).await.map(DynQueue::new),
        #[cfg(feature = "sns")]
        "sns" | "sns+http" | "sns+https" => {
            Err(scheme::lacks("SNS", "queue", "serve a queue of SQS that is subscribed to the topic"))
        }
        other => Err(unknown(other)),
    }
}

/// The topic at `url`, to be published to.
///
/// # Errors
///
/// As [`queue`].
///
/// # Cancel safety
///
/// Dropped, there is no topic.
pub async fn topic(url: &str) -> Result<BoxTopic, Error> {
    match scheme(url)? {
        #[cfg(feature = "memory")]
        "memory" => memory::queue(url).map(|queue| BoxTopic::new(queue.topic())),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => postgres::publisher(url).await.map(|publisher| BoxTopic::new(publisher.topic())),
        #[cfg(feature = "pubsub")]
        "pubsub" | "pubsub+http" | "gcppubsub" => {
            crate::pubsub::PubsubPublisher::from_url(url).await.map(|publisher| BoxTopic::new(publisher.topic()))
        }
        #[cfg(feature = "redis")]
        "redis" | "rediss" => {
            crate::redis::RedisPublisher::from_url(url).map(|publisher| BoxTopic::new(publisher.topic()))
        }
        #[cfg(feature = "sqs")]
        "sqs" | "sqs+http" | "sqs+https" => {
            crate::sqs::SqsPublisher::from_url(url).await.map(|publisher| BoxTopic::new(publisher.topic()))
        }
        #[cfg(feature = "sns")]
        "sns" | "sns+http" | "sns+https" => {
            crate::sns::SnsPublisher::from_url(url).await.map(|publisher| BoxTopic::new(publisher.topic()))
        }
        other => Err(unknown(other)),
    }
}

/// A handle on the bus at `url`, as a process of its own would have: with its own health, counters and
/// [echo](crate::backend::SubscribeOptions::echo). It publishes to the topic the URL names, by
/// [`Batched`](crate::Batched), and subscribes to any.
///
/// # Errors
///
/// As [`queue`].
///
/// # Cancel safety
///
/// Dropped, there is no handle.
pub async fn broadcast(url: &str) -> Result<DynBroadcast, Error> {
    match scheme(url)? {
        #[cfg(feature = "memory")]
        "memory" => memory::broadcast(url).map(DynBroadcast::new),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => crate::postgres::PgBus::from_url(url).map(DynBroadcast::new),
        #[cfg(feature = "pubsub")]
        "pubsub" | "pubsub+http" | "gcppubsub" => {
            Err(scheme::lacks("Pub/Sub", "bus", "publish to a topic with a subscription for each subscriber"))
        }
        #[cfg(feature = "redis")]
        "redis" | "rediss" => crate::redis::RedisBus::from_url(url).map(DynBroadcast::new),
        #[cfg(feature = "sqs")]
        "sqs" | "sqs+http" | "sqs+https" => {
            Err(scheme::lacks("SQS", "bus", "publish to a topic of SNS with a queue for each subscriber"))
        }
        #[cfg(feature = "sns")]
        "sns" | "sns+http" | "sns+https" => {
            Err(scheme::lacks("SNS", "bus", "serve a queue of SQS for each subscriber"))
        }
        other => Err(unknown(other)),
    }
}

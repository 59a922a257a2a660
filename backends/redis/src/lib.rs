//! The Redis backend of chappe: a work queue on streams with leases, delays and dead letters, and a bus.
//!
//! - [`RedisQueue`] is a [`Queue`](chappe_core::backend::Queue) on a stream and its consumer group.
//! - [`RedisTopic`] publishes to one, any number of messages in a round trip.
//! - [`RedisBus`] is a [`Broadcast`](chappe_core::backend::Broadcast) over `PUBLISH` and `SUBSCRIBE`.
//!
//! # Publish, fetch, settle
//!
//! ```no_run
//! use chappe::{BoxError, Message, Server, Topic};
//! use chappe_redis::RedisQueue;
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let queue = RedisQueue::from_url("redis://localhost:6379?queue=orders")?;
//! queue.topic().publish("a chair").await?;
//!
//! async fn on_order(message: Message) -> Result<(), BoxError> {
//!     println!("{:?}", message.body());
//!     Ok(())
//! }
//! Server::new(queue).concurrency(64).serve(service_fn(on_order)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! With a client of your own: [`RedisQueue::new`]. Whatever its timeouts are, connections have their own: a
//! command may take five seconds, and a blocking read five more than it waits, on a connection of its own.
//!
//! # What the queue promises
//!
//! | | |
//! |---|---|
//! | delivery | at least once; a message with an [id](chappe_core::Message::id) is stored once [for five minutes](RedisPublisher::dedup_window) |
//! | lease | [30 seconds](RedisQueue::lease) from the fetch, renewable without end; each consumer may have another |
//! | stale receipts | [`Lost`](chappe_core::backend::SettleResult::Lost): every delivery is an entry of its own, and its receipt is that entry's id |
//! | attempts | exact; a release does not count, nor does an answer that was lost on its way |
//! | order | none that could be relied on: what comes again is behind what waits |
//! | keys | carried; the server's lanes keep their order |
//! | delay | of publishing and of retries, any, to the millisecond; never early. Consumers that wait are woken |
//! | capacity | the server's memory, or [a number](RedisPublisher::max_len): then publishing waits. Nothing is ever trimmed |
//! | redelivery | the same bytes, the same id |
//! | dead letter | [a queue beside it](RedisQueue::dead_letter), with the reason, in one step; [and back](RedisQueue::redrive). What cannot be decoded goes there too |
//! | ids | the first entry's |
//! | content | any bytes, attributes of any number up to a thousand and of any form, in their order |
//! | end | a consumer that is stopped has its read ended, and hands out what that brings. It leaves the group when it has nothing pending |
//!
//! # What Redis promises
//!
//! What a server has acknowledged is as safe as its configuration: with `appendfsync everysec` a power failure
//! takes the last second; when a replica takes a server's place, what it had not received is gone, unless
//! [`wait_replicas`](RedisPublisher::wait_replicas) was asked for. A server without a file loses everything when
//! it ends; consumers then make the group again and go on, and [`Status`](chappe_core::backend::Status) has a new
//! epoch. `maxmemory-policy` should be `noeviction`, as any other throws queues away.
//!
//! # Scripts
//!
//! Everything that is more than adding or reading an entry is a script, because only those are done as a whole:
//! a message that is retried, released, buried or taken from a consumer that died is written as a new entry
//! before the old one is removed, and what cannot be written stays where it was. That makes for receipts that
//! cannot be mistaken, and is why `XAUTOCLAIM` is not used: it hands the same entry to somebody else.
//!
//! One consumer looks every five seconds, or four times in a lease, for leases that are over, and right when
//! the next delay ends. When idle a consumer sends twelve reads a minute and twelve looks, with the defaults.
//!
//! # Servers
//!
//! Redis 6.2 and newer, and Valkey. An older one is refused before anything is asked of it, as is a node of a
//! cluster: all keys of a queue are in one slot, `{name}:…`, so that a cluster can come later without new names.
//!
//! | key | |
//! |---|---|
//! | `{orders}:s` | stream: what waits and what is out |
//! | `{orders}:z`, `{orders}:h` | sorted set and hash: what is held back, and until when |
//! | `{orders}:w`, `{orders}:x` | a sign for consumers that wait, and leases made longer than usual |
//! | `{orders}:d:…` | ids that were published |
//! | `{orders}:dead:…` | the same of the dead letter |
//!
//! A user needs the commands `EVALSHA`, `SCRIPT|LOAD`, `XADD`, `XREADGROUP`, `XGROUP`, `XACK` and those of the
//! scripts on `{name}:*`; `INFO`, `CLIENT|ID`, `CLIENT|UNBLOCK` and `CLIENT|KILL` if they are to be had: without
//! `UNBLOCK` a shutdown waits for the read, without `KILL` a lost answer for its lease.

mod address;
mod bus;
mod error;
mod keys;
mod limit;
mod link;
mod publish;
mod queue;
mod script;
mod tls;
mod version;
mod wire;

pub use address::RedisAddress;
pub use bus::{RedisBus, RedisBusPublisher, RedisBusTopic, RedisSubscription};
pub use publish::{RedisPublisher, RedisTopic};
pub use queue::{RedisConsumer, RedisQueue, RedisReceipt};

/// The name OpenTelemetry has for Redis.
const SYSTEM: &str = "redis";

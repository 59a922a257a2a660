//! The in-memory backend of chappe: a work queue and a fan-out bus with real broker semantics.
//!
//! - [`MemoryQueue`] is a [`Queue`](chappe_core::backend::Queue): leases, exact attempts, delays, order by
//!   key, a dead letter, a bounded size. What is in it is gone when the process ends.
//! - [`MemoryBus`] is a [`Broadcast`](chappe_core::backend::Broadcast): every subscriber gets a copy, slow
//!   ones are dealt with by the rule they chose, and a [fork](MemoryBus::fork) stands for another process.
//! - [`QueueFaults`] has a queue fail the way brokers do, by script or by a seed, to test what is built on it.
//!
//! There is no task and no thread behind either. Delays and leases are looked at when somebody fetches, on
//! tokio's clock, so tests under `start_paused` run through hours in no time. A consumer that waits for a
//! delay or a lease to end needs a runtime with its timer enabled.
//!
//! # Publish, fetch, settle
//!
//! A server does the last two; this is what it does.
//!
//! ```
//! use std::num::NonZeroUsize;
//!
//! use chappe_core::Topic;
//! use chappe_core::backend::{Action, ConsumeOptions, Consumer, Queue, Settlement, StopToken};
//! use chappe_memory::MemoryQueue;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), chappe_core::Error> {
//! let queue = MemoryQueue::new("jobs");
//! queue.topic().publish("resize 7.png").await?;
//!
//! let options = ConsumeOptions::new(StopToken::never(), NonZeroUsize::MIN);
//! let mut consumer = queue.consume(options).await?;
//! let mut deliveries = Vec::new();
//! consumer.fetch(10, &mut deliveries).await?;
//! assert_eq!(deliveries[0].message.body(), "resize 7.png");
//! assert_eq!(deliveries[0].message.attempt(), 1);
//!
//! queue.settle(&mut [Settlement::new(deliveries[0].receipt, Action::Ack)]).await?;
//! assert!(queue.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # What the queue promises
//!
//! | | |
//! |---|---|
//! | delivery | at least once while the process lives; to one consumer at a time |
//! | lease | [30 seconds](MemoryQueueBuilder::lease) from the fetch, renewable without end; at its end the message goes back to its old place |
//! | stale receipts | [`Lost`](chappe_core::backend::SettleResult::Lost), from the instant the lease ends, redelivered or not |
//! | attempts | exact, counted at delivery; [`Release`](chappe_core::backend::Action::Release) takes the count back |
//! | order | first in, first out; a released message returns to its old place, a retried or delayed one goes behind what is ready when it is due |
//! | keys | one message of a key at a time, in the order of publishing; whatever is put off keeps those behind it. [Can be switched off](MemoryQueueBuilder::ordered) |
//! | delay | of publishing and of retries, exact, [any length](MemoryQueueBuilder::max_delay); never early |
//! | capacity | [one million messages](MemoryQueueBuilder::capacity), any number of [bytes](MemoryQueueBuilder::max_bytes); publishers wait in a fair line |
//! | redelivery | needs no room: a message gives it back only when it is acknowledged or dead |
//! | dead letter | [another queue](MemoryQueueBuilder::dead_letter), beyond its capacity and even when it is shut; the reason is a [`DeadLetter`](chappe_core::backend::DeadLetter) in the extensions, attempts start anew; [`redrive_to`](MemoryQueue::redrive_to) moves them back |
//! | ids | a publisher's id is kept and recognised [for five minutes](MemoryQueueBuilder::dedup); other messages are numbered |
//! | content | body, attributes and extensions as published, for every attempt, whatever a handler did to its copy |
//! | end | [`shut`](MemoryQueue::shut) refuses publishers; consumers empty the queue and then fail with `Closed` |
//!
//! # What the bus promises
//!
//! | | |
//! |---|---|
//! | delivery | at most once, to whoever is subscribed; publishing to nobody succeeds |
//! | order | every subscriber sees what it gets in the order of publishing |
//! | slow subscribers | [`Overflow`](chappe_core::backend::Overflow), each with a buffer of its own; what is dropped is told in its place, exactly |
//! | outages | [`set_healthy`](MemoryBus::set_healthy) per handle; afterwards a new epoch, a `Gap` in every subscription, and the reconnect callbacks |
//! | expiry | what [expires](chappe_core::Message::expires) while it waits is not handed out, and counts as dropped |
//! | attempts, delay, keys | not counted; refused; carried |
//!
//! # Limits
//!
//! Attributes of any kind, name and value are carried, but for empty names, control characters in names, and
//! [reserved names](chappe_core::attribute::reserved). A received message has no delay left, so it can be
//! published on.

mod bus;
mod fault;
mod queue;

pub use bus::{BusPublish, MemoryBus, MemoryBusTopic, MemorySubscription};
pub use fault::Chance;
pub use queue::{MemoryConsumer, MemoryQueue, MemoryQueueBuilder, MemoryReceipt, MemoryTopic, Publish, QueueFaults};

//! The PostgreSQL backend of chappe: a durable queue with leases, order, dead letters and transactional
//! publishing, and a bus by `NOTIFY`.
//!
//! - [`PgStore`] is a schema of a database: where queues are, and how to [connect](PgConfig).
//! - [`PgQueue`] is a [`Queue`](chappe_core::backend::Queue) in it.
//! - [`PgTopic`] publishes to one; its [publisher](PgPublisher) also [within a transaction](PgPublisher::enqueue_in)
//!   of yours.
//! - [`PgBus`] is a [`Broadcast`](chappe_core::backend::Broadcast): fan-out to whoever is connected.
//! - [`PgLease`], in the extensions of every message, acknowledges it within a transaction of the handler.
//!
//! # Publish, fetch, settle
//!
//! ```no_run
//! use chappe::{BoxError, Message, Server, Topic};
//! use chappe_postgres::{PgQueue, PgStore};
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let store = PgStore::from_url("postgres://app:secret@db.example/app")?;
//! store.migrate().await?;
//! let queue = PgQueue::new(&store, "jobs");
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
//! # Publish within a transaction
//!
//! What the transaction writes and what it publishes are there together or not at all. Through tokio-postgres:
//!
//! ```no_run
//! # async fn place(client: &mut tokio_postgres::Client, orders: chappe_postgres::PgPublisher) -> Result<(), chappe::BoxError> {
//! let transaction = client.transaction().await?;
//! transaction.execute("INSERT INTO orders (pieces) VALUES (3)", &[]).await?;
//! orders.enqueue_in(&transaction, "three pieces").await?;
//! transaction.commit().await?;
//! orders.wake(); // consumers would look within a second anyway
//! # Ok(()) }
//! ```
//!
//! Through sqlx, diesel or anything else that speaks SQL:
//!
//! ```sql
//! BEGIN;
//! INSERT INTO orders (pieces) VALUES (3);
//! SELECT chappe.enqueue('orders', 'three pieces', attributes => '{type,order.placed}', id => 'order-7');
//! SELECT chappe.enqueue_many('mails', ARRAY['a', 'b']::bytea[], keys => ARRAY['x', 'y']::bytea[]);
//! COMMIT;
//! SELECT chappe.wake('orders'); -- after the commit, if a second is too long
//! ```
//!
//! To pass such messages on to another broker, serve the queue with that broker's topic:
//! `Server::new(queue).serve(topic)`. A relay of this kind skips nothing: rows of a transaction that commits late
//! are not behind it, but just visible late.
//!
//! # What the queue promises
//!
//! | | |
//! |---|---|
//! | delivery | at least once; exactly once in effect for a handler that [acknowledges in its transaction](PgLease::ack_in) |
//! | lease | [30 seconds](PgQueue::lease) from the fetch, renewable without end, by the server's clock |
//! | stale receipts | [`Lost`](chappe_core::backend::SettleResult::Lost), from the moment somebody else has the message |
//! | attempts | counted exactly, at the fetch, so that a message that kills its consumer is counted |
//! | order | none, nearly that of publishing. [If asked for](PgQueue::ordered), one message of a key at a time, in order, also through failures and lost leases |
//! | delay | of publishing and of retries, to the microsecond, of any length |
//! | dead letter | [another queue](PgQueue::dead_letter) of the same tables, in one statement, with the reason; and [back](PgQueue::redrive) |
//! | ids | the row's. A publisher's id keeps duplicates out for ten minutes, whether the first was handled or not |
//! | content | body of any bytes, attributes of any number and kind, in order; times to the microsecond |
//! | commits | of published messages and of settlements on the disk; of leases not, which a crash may turn into another delivery |
//!
//! # What it costs the server
//!
//! A consumer has one connection, and a queue handle one for settling, which helps to lease a backlog, and one for
//! [counting](chappe_core::backend::Queue::depth), [purging](PgQueue::purge) and [redriving](PgQueue::redrive), from
//! the first time on. A publisher has one, up to three while it is busy, and one more that wakes consumers: at most
//! every ten milliseconds and never in the transaction that writes, as PostgreSQL lets only one transaction at a time
//! commit that notifies. An idle consumer asks one question a second.
//!
//! Rows that a long transaction elsewhere keeps from being removed do not slow fetches down: they begin where the
//! last one ended, and look at everything every two seconds, for what was committed late. Queues with order have no
//! such mark, and keep no pace under a transaction that is open for hours.
//!
//! # TLS
//!
//! With the feature `tls`, `sslmode` and `sslrootcert` of a URL mean [what they do](PgConfig::from_url) in `libpq`. A
//! connector of one's own takes no feature: [`PgConfig::tls`].
//!
//! # Poolers
//!
//! Statements are unnamed, so that a pooler may give each transaction another connection. `LISTEN` does not work
//! there: [switch it off](PgQueue::listen), and messages are found by polling.
//!
//! # Limits
//!
//! | | |
//! |---|---|
//! | message | [16 MiB](PgPublisher::max_message_bytes) of body and attributes, unless more is asked for |
//! | key, id of a publisher | 1 KiB |
//! | name of a queue | 200 bytes without control characters |
//! | batches | 500 messages |

mod address;
mod bus;
mod client;
mod error;
mod publish;
mod queue;
mod store;
mod wire;

pub use bus::{PgBus, PgBusPublisher, PgBusTopic, PgSubscription};
pub use client::PgConfig;
pub use error::PgError;
pub use publish::{PgPublisher, PgTopic};
pub use queue::{PgConsumer, PgLease, PgQueue, PgReceipt};
pub use store::PgStore;

/// What OpenTelemetry calls PostgreSQL.
const SYSTEM: &str = "postgresql";

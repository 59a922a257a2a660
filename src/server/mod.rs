//! The server: fetches messages from queues, hands them to a receiver, and settles them by what it answers.
//!
//! ```text
//!             room                    jobs                    settlements
//!   Queue ──> pump ──> [ schedule ] ──> worker ──> receiver ──> settler ──> Queue
//!                        ^      |         |  a worker per handler that runs at a time
//!                        └──────┴─ timekeeper: leases, retries held here, throttling
//! ```
//!
//! - A **pump** per queue asks the schedule for room and fetches no more than that.
//! - **Workers** take jobs from the schedule and call the receiver. They are added as they are needed, up to
//!   the [concurrency](Server::concurrency).
//! - A **settler** per queue tells it what became of its messages, in batches, until that got through. A
//!   queue in this process is told by the worker itself.
//! - The **timekeeper** renews leases from the moment a message was fetched to the moment it is settled.
//!
//! Shutting down goes through them in the same order: pumps stop, what was not started goes back, workers
//! finish, settlers flush, queues close.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_core::Receiver;
use chappe_core::backend::Queue;

mod batch;
mod broadcast;
mod handle;
mod hands;
pub(crate) mod instance;
mod metrics;
mod options;
mod pump;
mod report;
mod run;
mod schedule;
mod settle;
mod shared;
mod timekeeper;
mod verdict;
mod worker;

pub use batch::BatchReceiver;
pub use broadcast::Subscribed;
pub use chappe_core::Backoff;
pub use handle::{Handle, ServerHealth, State};
pub use metrics::{DURATION_BUCKETS, Metrics};
pub use options::{BatchOptions, Lanes};
pub use report::{Report, ServeError};

use batch::BatchWorker;
use handle::Control;
use options::Options;
use shared::Shared;
use worker::Worker;

/// Serves messages from one or more queues to a receiver.
///
/// # Examples
///
/// ```
/// use chappe::{BoxError, Message, Server, Topic};
/// use chappe::memory::MemoryQueue;
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let queue = MemoryQueue::new("greetings");
/// queue.topic().publish("hello").await?;
///
/// let server = Server::new(queue).concurrency(8);
/// let handle = server.handle();
/// let receiver = service_fn(move |message: Message| {
///     let handle = handle.clone();
///     async move {
///         assert_eq!(message.body(), "hello");
///         handle.shutdown();
///         Ok::<_, BoxError>(())
///     }
/// });
/// let report = server.serve(receiver).await?;
/// assert_eq!(report.metrics.acked, 1);
/// # Ok(()) }
/// ```
#[must_use = "a server does nothing until it is served"]
pub struct Server<Q: Queue> {
    queues: Vec<(Q, u32)>,
    options: Options,
    control: Arc<Control>,
    guard: Unserved,
}

impl<Q: Queue> Server<Q> {
    /// Creates a server of one queue.
    pub fn new(queue: Q) -> Self {
        Self::weighted([(queue, 1)])
    }

    /// Creates a server of several queues that share its workers by weight.
    ///
    /// While all have messages, each has its weight's share of them handled; what one does not use goes to
    /// the others, and it gains no credit by that. Queues of different kinds fit together as
    /// [`DynQueue`](chappe_core::DynQueue)s.
    ///
    /// A weight of 0 and an empty list are errors of [`serve`](Self::serve).
    pub fn weighted(queues: impl IntoIterator<Item = (Q, u32)>) -> Self {
        let control = Arc::new(Control::new());
        Self {
            queues: queues.into_iter().collect(),
            options: Options::default(),
            guard: Unserved(Arc::clone(&control)),
            control,
        }
    }

    /// Sets how many handlers run at a time. The default is 64; 0 is an error of [`serve`](Self::serve).
    ///
    /// No more than that are fetched and unsettled, so nothing waits here while its lease runs; see
    /// [`prefetch`](Self::prefetch) to trade that for fewer fetches. Where retries are held here, because the
    /// queue cannot put them off or for the sake of order, up to as many again wait for theirs.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.options.concurrency = handlers;
        self
    }

    /// Sets how many messages may be fetched beyond those that can be handled at once. The default is 0.
    pub fn prefetch(mut self, messages: usize) -> Self {
        self.options.prefetch = messages;
        self
    }

    /// Sets how many bytes of bodies and attributes may be fetched and unsettled before fetching pauses. The
    /// default is 256 MiB. One fetch may go over it, as sizes are known only afterwards.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.options.max_bytes = bytes;
        self
    }

    /// Keeps messages of one key in order. Off by default.
    ///
    /// Up to twice as many messages as handlers are then fetched, so that a busy key leaves others room.
    pub fn lanes(mut self, lanes: Lanes) -> Self {
        self.options.lanes = lanes;
        self
    }

    /// Sets after how many attempts a message goes to the dead letter, if its queue has one. The default is
    /// 16. Where there is none, it is retried for ever: nothing is discarded.
    ///
    /// It is looked at before a message is handled too, so one that kills the process comes to an end.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.options.max_attempts = attempts;
        self
    }

    /// Sets how long a failed message waits for its next attempt.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = backoff;
        self
    }

    /// Sets how long a handler may take; one that takes longer is dropped, and its message retried. Without
    /// it, a handler may take as long as its lease can be renewed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets how long handlers may go on after a shutdown was asked for. The default is 25 s: with up to
    /// 4 s for cancelling, settling and closing it stays within the 30 s Kubernetes gives.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.options.grace = grace;
        self
    }

    /// Names the consumer, where the broker shows names.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// A handle that shuts the server down and tells how it is.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.control))
    }

    /// Serves messages to `receiver` until the server is shut down. Await what it returns.
    ///
    /// A server is served once, as this takes it by value:
    ///
    /// ```compile_fail,E0382
    /// # use chappe::{Receiver, Server, backend::Queue};
    /// fn twice<Q: Queue, R: Receiver>(server: Server<Q>, receiver: R) {
    ///     let first = server.serve(receiver.clone());
    ///     let second = server.serve(receiver);
    /// }
    /// ```
    pub fn serve<R: Receiver>(self, receiver: R) -> Serve {
        let prototype = Arc::new(Mutex::new(receiver));
        self.start(move |shared| Box::pin(Worker::new(shared, &prototype).run()))
    }

    /// Serves messages in batches. Await what it returns.
    ///
    /// The [concurrency](Self::concurrency) is then the number of batches handled at a time.
    pub fn serve_batch<R: BatchReceiver>(mut self, receiver: R, options: BatchOptions) -> Serve {
        self.options.batch = options;
        let prototype = Arc::new(Mutex::new(receiver));
        self.start(move |shared| Box::pin(BatchWorker::new(shared, &prototype).run()))
    }

    fn start(self, worker: impl Fn(&Arc<Shared<Q>>) -> run::WorkerFuture + Send + 'static) -> Serve {
        let Self { queues, options, control, guard } = self;
        let handle = Handle::new(Arc::clone(&control));
        let serving = async move {
            // Taken along, so that a future that is never polled to its end still says that it is over.
            let _guard = guard;
            let terms = queues.iter().map(|(queue, weight)| (queue.destination(), queue.capabilities(), *weight));
            if let Err(error) = options.check(terms) {
                return Err(ServeError::fatal(error, Report::default()));
            }
            run::run(Arc::new(Shared::new(options, queues, control)), worker).await
        };
        Serve { serving: Box::pin(serving), handle }
    }
}

impl<Q: Queue> fmt::Debug for Server<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues: Vec<_> = self.queues.iter().map(|(queue, weight)| (queue.destination(), weight)).collect();
        f.debug_struct("Server").field("queues", &queues).field("options", &self.options).finish()
    }
}

/// A server that is served: await it.
///
/// Ends with the [`Report`] of a clean shutdown.
///
/// # Errors
///
/// - [`ServeError::fatal_error`]: an option makes no sense, or a queue is closed, missing or forbidden.
/// - [`ServeError::is_deadline`]: the shutdown passed its deadline.
///
/// The server was drained in either case, and the error has the report.
///
/// # Cancel safety
///
/// Dropped, all handlers are dropped at once and nothing more is settled: what was in flight is delivered
/// again when its lease ends. Nothing is lost, but shut the server down instead.
#[must_use = "a server does nothing until it is awaited"]
pub struct Serve {
    serving: Pin<Box<dyn Future<Output = Result<Report, ServeError>> + Send>>,
    handle: Handle,
}

impl Serve {
    /// Shuts the server down when `signal` resolves, to whatever value, with the server's own
    /// [grace](Server::grace).
    pub fn with_graceful_shutdown(self, signal: impl Future + Send + 'static) -> Self {
        let Self { mut serving, handle } = self;
        let asked = handle.clone();
        let serving = async move {
            tokio::select! {
                biased;
                result = &mut serving => return result,
                _ = signal => asked.shutdown(),
            }
            serving.await
        };
        Self { serving: Box::pin(serving), handle }
    }

    /// A handle that shuts the server down and tells how it is.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl IntoFuture for Serve {
    type Output = Result<Report, ServeError>;
    type IntoFuture = ServeFuture;

    fn into_future(self) -> ServeFuture {
        ServeFuture(self.serving)
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// The future of [`Serve`].
#[must_use = "a server does nothing until it is awaited"]
pub struct ServeFuture(Pin<Box<dyn Future<Output = Result<Report, ServeError>> + Send>>);

impl Future for ServeFuture {
    type Output = Result<Report, ServeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ServeFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeFuture").finish_non_exhaustive()
    }
}

/// Says that a server is over that was dropped before or while it was served.
struct Unserved(Arc<Control>);

impl Drop for Unserved {
    fn drop(&mut self) {
        self.0.enter(State::Stopped);
    }
}

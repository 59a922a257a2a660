//! The contracts a backend implements; the server loop and the topics are built on nothing else.
//!
//! There are two families:
//!
//! - A **work queue** hands every message to one consumer and hears what became of it: [`Queue`] makes
//!   [`Consumer`]s that fetch [`Delivery`]s, and takes back [`Settlement`]s.
//! - A **broadcast** hands every subscriber a copy and forgets: [`Broadcast`] makes [`Subscription`]s.
//!
//! Both publish through [`Publisher`], and both say how they are through [`Status`].
//!
//! A backend is batched and does what it is told. Permits, dispatch, order, leases, settling again after a
//! failure, backoff and shutdown are the server's, once for all backends. What a broker cannot do, its
//! [`Capabilities`] declare; nothing is silently ignored.

mod broadcast;
mod burial;
mod capability;
mod lease;
mod publish;
mod queue;
mod settle;
mod status;
mod stop;
mod text;
mod url;

pub use broadcast::{Broadcast, Overflow, Signal, SubscribeOptions, Subscription};
pub use burial::Burials;
pub use capability::{Attempts, Capabilities, Delay, LeaseKind, Order, PublishCapabilities};
pub use lease::LocalLease;
pub use publish::{Outgoing, PublishResult, Publisher};
pub use queue::{ConsumeOptions, Consumer, DeadLetter, Delivery, Depth, Fetch, Queue};
pub use settle::{Action, SettleResult, Settlement};
pub use status::{Health, ReconnectGuard, Stats, Status};
pub use stop::{StopSource, StopToken};
pub use text::TextBody;
pub use url::Url;

/// What every backend handle can say of itself.
pub trait Backend: Send + Sync + 'static {
    /// The health, connection epoch and counters of this handle.
    fn status(&self) -> &Status;

    /// The name of the messaging system, as OpenTelemetry's `messaging.system` has it.
    fn system(&self) -> &'static str;

    /// The name of the queue, topic or bus, as OpenTelemetry's `messaging.destination.name` has it.
    fn destination(&self) -> &str;
}

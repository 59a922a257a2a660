//! [`PgBusPublisher`] and [`PgBusTopic`], the publishing end of a [`PgBus`](super::PgBus).

use std::fmt;
use std::sync::Arc;

use chappe_core::backend::{Backend, Outgoing, PublishCapabilities, Publisher, Status};
use chappe_core::{Batched, Error};

use super::handle::Handle;
use super::publish::Target;

/// Publishes to one topic of a [`PgBus`](super::PgBus), batched. Where nobody subscribes, publishing
/// succeeds.
pub type PgBusTopic = Batched<PgBusPublisher>;

/// Publishes batches to one topic of a [`PgBus`](super::PgBus), each in one statement.
#[derive(Clone)]
pub struct PgBusPublisher {
    handle: Arc<Handle>,
    target: Target,
}

impl PgBusPublisher {
    pub(super) fn new(handle: Arc<Handle>, target: Target) -> Self {
        Self { handle, target }
    }
}

impl Backend for PgBusPublisher {
    fn status(&self) -> &Status {
        self.handle.status()
    }

    fn system(&self) -> &'static str {
        crate::SYSTEM
    }

    fn destination(&self) -> &str {
        &self.target.topic
    }
}

impl Publisher for PgBusPublisher {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.handle.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.handle.publish(&self.target, batch).await
    }
}

impl fmt::Debug for PgBusPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgBusPublisher").field("topic", &self.target.topic).finish_non_exhaustive()
    }
}

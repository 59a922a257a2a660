//! [`RedisBusPublisher`] and [`RedisBusTopic`], the publishing end of a [`RedisBus`](super::RedisBus).

use std::fmt;
use std::sync::Arc;

use chappe_core::backend::{Backend, Outgoing, PublishCapabilities, Publisher, Status};
use chappe_core::{Batched, Error};

use super::handle::Handle;

/// Publishes to one topic of a [`RedisBus`](super::RedisBus), batched. Where nobody subscribes, publishing
/// succeeds.
pub type RedisBusTopic = Batched<RedisBusPublisher>;

/// Publishes batches to one topic of a [`RedisBus`](super::RedisBus), each in one round trip.
#[derive(Clone)]
pub struct RedisBusPublisher {
    handle: Arc<Handle>,
    topic: Arc<str>,
}

impl RedisBusPublisher {
    pub(super) fn new(handle: Arc<Handle>, topic: Arc<str>) -> Self {
        Self { handle, topic }
    }
}

impl Backend for RedisBusPublisher {
    fn status(&self) -> &Status {
        &self.handle.link.status
    }

    fn system(&self) -> &'static str {
        crate::SYSTEM
    }

    fn destination(&self) -> &str {
        &self.topic
    }
}

impl Publisher for RedisBusPublisher {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        &self.handle.capabilities
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.handle.publish(&self.topic, batch).await
    }
}

impl fmt::Debug for RedisBusPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBusPublisher").field("topic", &self.topic).finish_non_exhaustive()
    }
}

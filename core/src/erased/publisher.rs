//! [`DynPublisher`].

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::Error;
use crate::backend::{Backend, Outgoing, PublishCapabilities, Publisher, Status};

/// Any [`Publisher`]. A handle; clones share the publisher.
#[derive(Clone)]
pub struct DynPublisher(Arc<dyn ObjectPublisher>);

impl DynPublisher {
    /// Erases the type of a publisher.
    pub fn new(publisher: impl Publisher) -> Self {
        Self(Arc::new(publisher))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for DynPublisher {
    fn status(&self) -> &Status {
        self.0.status()
    }

    fn system(&self) -> &'static str {
        self.0.system()
    }

    fn destination(&self) -> &str {
        self.0.destination()
    }
}

#[deny(clippy::missing_trait_methods)]
impl Publisher for DynPublisher {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        self.0.object_capabilities()
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.0.object_publish(batch).await
    }
}

impl fmt::Debug for DynPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynPublisher")
            .field("system", &self.system())
            .field("destination", &self.destination())
            .finish()
    }
}

// Private, with names of its own: it is implemented for every publisher.
trait ObjectPublisher: Backend {
    fn object_capabilities(&self) -> &PublishCapabilities;
    fn object_publish<'a>(&'a self, batch: &'a mut [Outgoing]) -> BoxFuture<'a, Result<(), Error>>;
}

#[deny(clippy::missing_trait_methods)]
impl<P: Publisher> ObjectPublisher for P {
    fn object_capabilities(&self) -> &PublishCapabilities {
        self.publish_capabilities()
    }

    fn object_publish<'a>(&'a self, batch: &'a mut [Outgoing]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.publish(batch))
    }
}

//! [`DynBroadcast`] and [`DynSubscription`].

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::Error;
use crate::backend::{
    Backend, Broadcast, Fetch, Outgoing, PublishCapabilities, Publisher, Signal, Status, SubscribeOptions, Subscription,
};

/// Any [`Broadcast`]. A handle; clones share the bus.
#[derive(Clone)]
pub struct DynBroadcast(Arc<dyn ObjectBroadcast>);

impl DynBroadcast {
    /// Erases the type of a bus.
    pub fn new(bus: impl Broadcast) -> Self {
        Self(Arc::new(bus))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for DynBroadcast {
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
impl Publisher for DynBroadcast {
    fn publish_capabilities(&self) -> &PublishCapabilities {
        self.0.object_capabilities()
    }

    async fn publish(&self, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.0.object_publish(batch).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl Broadcast for DynBroadcast {
    type Subscription = DynSubscription;

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<DynSubscription, Error> {
        self.0.object_subscribe(topic, options).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.object_close().await
    }
}

impl fmt::Debug for DynBroadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynBroadcast")
            .field("system", &self.system())
            .field("destination", &self.destination())
            .finish()
    }
}

/// Any [`Subscription`].
pub struct DynSubscription(Box<dyn ObjectSubscription>);

impl DynSubscription {
    /// Erases the type of a subscription.
    pub fn new(subscription: impl Subscription) -> Self {
        Self(Box::new(subscription))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Subscription for DynSubscription {
    async fn recv(&mut self, max: usize, out: &mut Vec<Signal>) -> Result<Fetch, Error> {
        self.0.object_recv(max, out).await
    }
}

impl fmt::Debug for DynSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynSubscription").finish_non_exhaustive()
    }
}

// Private, with names of their own: they are implemented for every bus and every subscription.
trait ObjectBroadcast: Backend {
    fn object_capabilities(&self) -> &PublishCapabilities;
    fn object_publish<'a>(&'a self, batch: &'a mut [Outgoing]) -> BoxFuture<'a, Result<(), Error>>;
    fn object_subscribe<'a>(
        &'a self,
        topic: &'a str,
        options: SubscribeOptions,
    ) -> BoxFuture<'a, Result<DynSubscription, Error>>;
    fn object_close(&self) -> BoxFuture<'_, Result<(), Error>>;
}

#[deny(clippy::missing_trait_methods)]
impl<B: Broadcast> ObjectBroadcast for B {
    fn object_capabilities(&self) -> &PublishCapabilities {
        self.publish_capabilities()
    }

    fn object_publish<'a>(&'a self, batch: &'a mut [Outgoing]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.publish(batch))
    }

    fn object_subscribe<'a>(
        &'a self,
        topic: &'a str,
        options: SubscribeOptions,
    ) -> BoxFuture<'a, Result<DynSubscription, Error>> {
        Box::pin(async { Ok(DynSubscription::new(self.subscribe(topic, options).await?)) })
    }

    fn object_close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.close())
    }
}

trait ObjectSubscription: Send {
    fn object_recv<'a>(&'a mut self, max: usize, out: &'a mut Vec<Signal>) -> BoxFuture<'a, Result<Fetch, Error>>;
}

#[deny(clippy::missing_trait_methods)]
impl<S: Subscription> ObjectSubscription for S {
    fn object_recv<'a>(&'a mut self, max: usize, out: &'a mut Vec<Signal>) -> BoxFuture<'a, Result<Fetch, Error>> {
        Box::pin(self.recv(max, out))
    }
}

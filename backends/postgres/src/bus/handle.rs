//! [`Handle`], what the clones of a bus and its subscriptions share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::{PublishCapabilities, Status, SubscribeOptions};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::AbortHandle;

use super::hub::{Hub, closed};
use super::publish::Sender;
use super::spill::Table;
use super::subscription::PgSubscription;
use super::{listener, spill};
use crate::client::{Link, Vitals};
use crate::{PgConfig, PgStore};

/// The part of the handle's health that the connection for statements is.
const PART: usize = 0;

/// The most messages, and bytes of them, that one statement publishes.
const MAX_BATCH: (usize, usize) = (1_000, 16 << 20);
/// The largest message. More would fit into a row, but every subscriber gets a copy.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// How to connect, and what for.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) topic: Arc<str>,
    pub(super) store: PgStore,
    /// What to listen on, where that is another connection.
    pub(super) direct: Option<PgConfig>,
    pub(super) spill_retention: Duration,
}

/// One participant of a bus, as a process would be: an identity, a connection that listens and one for
/// everything else.
pub(super) struct Handle {
    pub(super) options: Options,
    pub(super) capabilities: PublishCapabilities,
    /// Publishes, and fetches what is too large for a notification.
    pub(super) link: Arc<Link>,
    pub(super) sender: AsyncMutex<Sender>,
    pub(super) table: Arc<Table>,
    vitals: Vitals,
    hub: Arc<Hub>,
    tasks: OnceLock<[AbortHandle; 2]>,
}

impl Handle {
    pub(super) fn new(options: Options) -> Self {
        let mut capabilities = PublishCapabilities::new();
        (capabilities.max_batch, capabilities.max_batch_bytes) = MAX_BATCH;
        capabilities.max_message_bytes = MAX_MESSAGE_BYTES;
        // The server has passed it on, and stores nothing.
        capabilities.confirmed = false;
        let vitals = Vitals::new();
        let hub = Arc::new(Hub::new(vitals.status().clone()));
        let link = Link::new(options.store.config().clone(), &vitals, PART);
        let sender = AsyncMutex::new(Sender::new(hub.origin));
        let table = Arc::new(Table::new(&options.store));
        Self { options, capabilities, link, sender, table, vitals, hub, tasks: OnceLock::new() }
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(super) fn status(&self) -> &Status {
        self.vitals.status()
    }

    pub(super) async fn subscribe(
        self: &Arc<Self>,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<PgSubscription, Error> {
        let line = self.hub.subscribe(topic, &options)?;
        // From here on, dropping it takes the line out again.
        let subscription = PgSubscription::new(Arc::clone(self), line, options.stop);
        self.start();
        self.hub.listened(subscription.line()).await?;
        Ok(subscription)
    }

    pub(super) async fn close(&self) {
        if self.hub.close() {
            self.stop();
            self.link.close().await;
        }
    }

    /// Fails when the handle is closed.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.hub.is_closed() { Err(closed(&self.options.topic)) } else { Ok(()) }
    }

    /// Has the listener run, if it does not yet.
    fn start(&self) {
        self.tasks.get_or_init(|| {
            let Options { topic, store, direct, .. } = &self.options;
            let config = direct.as_ref().unwrap_or(store.config()).clone();
            let listener = listener::run(Arc::clone(&self.hub), config, Arc::clone(topic), self.vitals.clone());
            let table = Arc::clone(&self.table);
            let fetcher = spill::run(Arc::clone(&self.hub), Arc::clone(&self.link), table, Arc::clone(topic));
            [tokio::spawn(listener).abort_handle(), tokio::spawn(fetcher).abort_handle()]
        });
    }

    fn stop(&self) {
        // Before the connections go: one that is left must not look like a reconnect.
        self.vitals.down(listener::PART, closed(&self.options.topic));
        self.tasks.get().into_iter().flatten().for_each(AbortHandle::abort);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

//! What the clones of a queue and its consumers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chappe_core::backend::Capabilities;
use chappe_core::{Error, ErrorKind};
use tokio::sync::watch;

use super::fetch::Statements;
use crate::PgStore;
use crate::client::{Link, Vitals};
use crate::error::Call;
use crate::wire::Decoder;

/// How a queue is consumed.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) lease: Duration,
    pub(super) ordered: bool,
    pub(super) dead: Option<String>,
    pub(super) poll: Duration,
    pub(super) listen: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), ordered: false, dead: None, poll: Duration::from_secs(1), listen: true }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<(), Error> {
        let invalid = |text: String| Err(Error::new(ErrorKind::Invalid, text));
        if self.lease.is_zero() || self.lease > crate::wire::MAX_DELAY {
            return invalid(format!("a lease of {:?} is not between zero and a thousand years", self.lease));
        }
        if self.poll.is_zero() {
            return invalid("a poll interval of zero would never rest".to_owned());
        }
        self.dead.as_deref().map_or(Ok(()), crate::publish::check_name)
    }
}

pub(super) struct Shared {
    pub(super) store: PgStore,
    pub(super) name: Arc<str>,
    pub(super) options: Options,
    pub(super) capabilities: Capabilities,
    pub(super) vitals: Vitals,
    /// Settles, one statement after the other, so that two of ours never wait for each other's rows.
    pub(super) settling: Arc<Link>,
    /// Does what is done to the queue as a whole, which may take long and must not hold up what has a lease.
    pub(super) admin: Arc<Link>,
    pub(super) decoder: Decoder,
    pub(super) statements: Statements,
    /// Counts what may have made a message visible sooner than consumers think.
    pub(super) changed: watch::Sender<u64>,
    parts: AtomicUsize,
}

impl Shared {
    pub(super) fn new(store: &PgStore, name: &str, options: Options, capabilities: Capabilities) -> Self {
        let vitals = Vitals::new();
        Self {
            store: store.clone(),
            name: name.into(),
            capabilities,
            settling: Link::new(store.config().clone(), &vitals, 0),
            admin: Link::new(store.config().clone(), &vitals, 1),
            vitals,
            decoder: Decoder::new(name),
            statements: Statements::new(store, options.ordered),
            changed: watch::Sender::new(0),
            parts: AtomicUsize::new(2),
            options,
        }
    }

    /// The number of a new connection.
    pub(super) fn next_part(&self) -> usize {
        self.parts.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn call(&self, doing: &'static str) -> Call<'_> {
        Call { doing, what: "queue", name: &self.name, writes: false }
    }

    pub(super) fn notice_change(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

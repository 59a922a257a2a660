//! How messages become notifications.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chappe_core::backend::{Outgoing, PublishResult};
use chappe_core::bus::{Mark, Numbers, Origin, seal};
use chappe_core::{Error, ErrorKind, Message, MessageId, Published};
use tokio::time::{Instant, timeout};
use tokio_postgres::types::{ToSql, Type};

use super::channel::channel;
use super::handle::Handle;
use super::spill::Table;
use super::wire::{self, Pointer};
use crate::client::Session;
use crate::error::{Call, PgError};

const NOTIFY: &str = "SELECT count(pg_notify($1, payload)) FROM unnest($2::text[]) payload";
/// How long a batch may wait for those before it and for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

const NO_TABLE: [&str; 2] = ["42P01", "3F000"];
/// What a full queue of notifications is refused with.
const FULL: &str = "54000";

/// What a topic is published to with.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) topic: Arc<str>,
    channel: Arc<str>,
}

/// Numbers the messages of a handle. Whoever holds it is the only one to publish, so that they go out in the
/// order of their numbers.
pub(super) struct Sender {
    origin: Origin,
    /// The last message to each channel.
    numbers: Numbers,
    row: u64,
    swept: Option<Instant>,
}

/// A message of a batch that has no number yet.
struct Draft {
    /// Which entry of the batch it is.
    at: usize,
    id: Option<MessageId>,
    envelope: Vec<u8>,
}

/// Messages as the statement takes them.
#[derive(Default)]
struct Sealed<'a> {
    entries: Vec<Entry>,
    payloads: Vec<String>,
    keys: Vec<Vec<u8>>,
    envelopes: Vec<&'a [u8]>,
}

struct Entry {
    at: usize,
    id: MessageId,
    spilled: bool,
}

impl Target {
    pub(super) fn new(topic: Arc<str>) -> Self {
        let channel = channel(&topic).into();
        Self { topic, channel }
    }

    fn call(&self) -> Call<'_> {
        Call { doing: "publish to", what: "bus", name: &self.topic, writes: true }
    }
}

impl Sender {
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, numbers: Numbers::default(), row: 0, swept: None }
    }

    fn seal<'a>(&mut self, drafts: &'a [Draft], channel: &Arc<str>) -> Sealed<'a> {
        let mut sealed = Sealed::default();
        let mut seq = self.numbers.last(channel);
        for Draft { at, id, envelope } in drafts {
            seq += 1;
            let mark = Mark { origin: self.origin, seq };
            let inline = wire::inline(mark, envelope);
            let id = id.clone().unwrap_or_else(|| mark.id());
            sealed.entries.push(Entry { at: *at, id, spilled: inline.is_none() });
            sealed.payloads.push(inline.unwrap_or_else(|| {
                self.row += 1;
                let pointer = Pointer { mark, row: self.row, bytes: envelope.len() as u64 };
                sealed.keys.push(pointer.key());
                sealed.envelopes.push(envelope);
                pointer.to_text()
            }));
        }
        self.numbers.set_last(channel, seq);
        sealed
    }

    /// Whether it is time to delete old rows.
    fn is_due(&mut self, retention: Duration) -> bool {
        let due = self.swept.is_none_or(|swept| swept.elapsed() >= retention / 5);
        if due {
            self.swept = Some(Instant::now());
        }
        due
    }
}

impl Handle {
    /// Publishes what is pending of a batch.
    pub(super) async fn publish(&self, target: &Target, batch: &mut [Outgoing]) -> Result<(), Error> {
        self.check()?;
        for entry in batch.iter_mut().filter(|entry| entry.result.is_pending()) {
            if let Err(error) = self.capabilities.check(&entry.message) {
                entry.result = PublishResult::Failed(error);
            }
        }
        if batch.iter().all(|entry| !entry.result.is_pending()) {
            return Ok(());
        }
        let ready = async { (self.sender.lock().await, self.link.session().await) };
        let Ok((mut sender, session)) = timeout(PATIENCE, ready).await else {
            let text = format!("cannot publish to bus {}: those before it take too long", target.topic);
            return Err(Error::new(ErrorKind::Timeout, text));
        };
        // It may have been closed meanwhile.
        self.check()?;
        self.send(&mut sender, &session?, target, batch).await;
        Ok(())
    }

    async fn send(&self, sender: &mut Sender, session: &Arc<Session>, target: &Target, batch: &mut [Outgoing]) {
        let now = SystemTime::now();
        let pending = batch.iter().enumerate().filter(|(_, entry)| entry.result.is_pending());
        let mut drafts: Vec<Draft> = pending.map(|(at, entry)| Draft::new(at, &entry.message, now)).collect();
        while !drafts.is_empty() {
            let before = sender.numbers.last(&target.channel);
            let sealed = sender.seal(&drafts, &target.channel);
            let spills = !sealed.keys.is_empty();
            let Err(error) = sealed.send(session, target, &self.table).await else {
                self.status().count_sent(sealed.entries.len() as u64);
                for Entry { at, id, .. } in sealed.entries {
                    batch[at].result = PublishResult::Accepted(Published::new(Some(id)));
                }
                if spills && sender.is_due(self.options.spill_retention) {
                    let (name, retention) = (Arc::clone(&target.topic), self.options.spill_retention);
                    tokio::spawn(Arc::clone(&self.table).sweep(Arc::clone(session), name, retention));
                }
                return;
            };
            if !error.is_ambiguous() {
                sender.numbers.set_last(&target.channel, before);
            }
            // What keeps large messages from their table does not keep the others from being published.
            let others = spills && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied);
            for Entry { at, .. } in sealed.entries.iter().filter(|entry| entry.spilled || !others) {
                batch[*at].result = PublishResult::Failed(again(&error));
            }
            drafts.retain(|draft| batch[draft.at].result.is_pending());
        }
    }
}

impl Draft {
    fn new(at: usize, message: &Message, published: SystemTime) -> Self {
        let mut envelope = Vec::new();
        seal(message, published, &mut envelope);
        Self { at, id: message.id().cloned(), envelope }
    }
}

impl Sealed<'_> {
    async fn send(&self, session: &Session, target: &Target, table: &Table) -> Result<(), Error> {
        let sent = match self.call(session, target, table).await {
            Err(error) if state(&error).is_some_and(|state| NO_TABLE.contains(&state)) => {
                table.create(session, &target.topic).await?;
                self.call(session, target, table).await
            }
            sent => sent,
        };
        sent.map_err(|error| if state(&error) == Some(FULL) { full(&target.topic, error) } else { error })
    }

    async fn call(&self, session: &Session, target: &Target, table: &Table) -> Result<(), Error> {
        let channel = &*target.channel;
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            vec![(&channel, Type::TEXT), (&self.payloads, Type::TEXT_ARRAY)];
        let mut statement = NOTIFY;
        if !self.keys.is_empty() {
            parameters.extend([(&self.keys as _, Type::BYTEA_ARRAY), (&self.envelopes as _, Type::BYTEA_ARRAY)]);
            statement = &table.insert;
        }
        session.answer(&target.call(), session.client().query_typed(statement, &parameters)).await.map(drop)
    }
}

fn full(topic: &str, error: Error) -> Error {
    let text = format!(
        "cannot publish to bus {topic}: the server's queue of notifications is full, as a session that listens has been \
         in a transaction for too long"
    );
    Error::new(ErrorKind::Throttled, text).with_source(error)
}

/// The same error once more, for another message.
fn again(error: &Error) -> Error {
    let same = Error::new(error.kind(), error.to_string()).retryable(error.is_retryable());
    let same = if error.is_ambiguous() { same.ambiguous() } else { same };
    match error.source().and_then(|source| source.downcast_ref::<PgError>()) {
        Some(source) => same.with_source(source.clone()),
        None => same,
    }
}

/// The SQLSTATE of an answer.
fn state(error: &Error) -> Option<&str> {
    error.source()?.downcast_ref::<PgError>().map(|answer| answer.code().code())
}

//! [`Reader`], which reads a stream over a connection of its own.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chappe_core::{Error, ErrorKind};
use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt, poll};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, Value, cmd};
use tokio::time::{Instant, timeout, timeout_at};

use super::shared::Shared;
use crate::error::{FETCH, ends_connection, is_gone};
use crate::version::Run;
use crate::wire::{Entry, EntryId, entries, int, millis};

/// How much longer than it should an answer may take before the connection is given up.
const GRACE: Duration = Duration::from_secs(5);
/// How often a read that is to end is told so, as it may not have begun when it is told first.
const REPEAT: Duration = Duration::from_millis(20);

/// Reads a stream for one consumer.
///
/// A blocking read has a connection of its own, whose answers may take as long as they like, and is seen
/// through whatever happens to whoever waits for it: an answer nobody reads would leave its entries with a
/// consumer that does not know of them.
pub(super) struct Reader {
    shared: Arc<Shared>,
    consumer: Arc<str>,
    connection: Option<Connection>,
    reading: Option<Reading>,
    /// The last entry that arrived. What this consumer has pending behind it was in an answer that was lost.
    last: EntryId,
    /// Whether there may be such entries.
    behind: bool,
    /// The connection that was given up, should the server still read for it.
    orphan: Option<Orphan>,
    leads: bool,
}

struct Connection {
    connection: MultiplexedConnection,
    id: i64,
    run: Run,
}

/// A connection by its number, which another server has given to somebody else.
struct Orphan {
    id: i64,
    run: Run,
}

struct Reading {
    answer: BoxFuture<'static, Result<Value, RedisError>>,
    sent: Instant,
    until: Instant,
    /// Whether entries are read that were in a lost answer.
    again: bool,
}

/// What a read brought.
pub(super) struct Read {
    pub(super) entries: Vec<Entry>,
    /// When it was sent.
    pub(super) sent: Instant,
    /// When somebody began to wait for it.
    pub(super) awaited: Instant,
}

impl Reader {
    pub(super) fn new(shared: &Arc<Shared>, consumer: &Arc<str>) -> Self {
        Self {
            shared: Arc::clone(shared),
            consumer: Arc::clone(consumer),
            connection: None,
            reading: None,
            last: EntryId::default(),
            behind: false,
            orphan: None,
            leads: false,
        }
    }

    /// Whether an answer is under way, or one was lost that is still to be asked for.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Connects and makes the group, where that is not done yet.
    pub(super) async fn connect(&mut self) -> Result<(), Error> {
        if self.connection.is_some() {
            return Ok(());
        }
        let link = &self.shared.link;
        let connecting = link.dedicated().await.inspect_err(|error| link.status.down(error));
        let (mut connection, run) = connecting?;
        if let Some(orphan) = self.orphan.as_ref().filter(|orphan| orphan.run == run) {
            // Where that is not allowed, what the old read still takes comes back when its lease is over.
            let mut kill = cmd("CLIENT");
            kill.arg("KILL").arg("ID").arg(orphan.id);
            let _ = ask(&self.shared, &mut connection, &kill).await?;
        }
        self.orphan = None;
        let mut id = cmd("CLIENT");
        id.arg("ID");
        let id = ask(&self.shared, &mut connection, &id).await?.as_ref().ok().and_then(int).unwrap_or(0);
        make_group(&self.shared, &mut connection).await?;
        self.connection = Some(Connection { connection, id, run });
        if !std::mem::replace(&mut self.leads, true) {
            link.lead();
        }
        link.status.up();
        Ok(())
    }

    /// Begins to read up to `max` entries, unless that has begun: the server is asked, and nobody waits yet.
    ///
    /// # Cancel safety
    ///
    /// It never waits.
    pub(super) async fn begin(&mut self, max: usize) {
        let Some(connection) = &self.connection else { return };
        if self.reading.is_some() {
            return;
        }
        let again = self.behind;
        let command = self.read(max, again);
        let wait = if again { Duration::ZERO } else { self.shared.options.wait };
        let mut own = connection.connection.clone();
        // An error is all of the answer, so that what is within need not be looked through for one.
        let answer = async move {
            match own.send_packed_command(&command).await? {
                Value::ServerError(error) => Err(error.into()),
                answer => Ok(answer),
            }
        };
        let sent = Instant::now();
        let mut answer = answer.boxed();
        // What was not polled was not sent.
        if let Poll::Ready(early) = poll!(&mut answer) {
            answer = ready(early).boxed();
        }
        self.reading = Some(Reading { answer, sent, until: sent + wait + GRACE, again });
    }

    /// Waits for what was begun.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub(super) async fn finish(&mut self) -> Result<Read, Error> {
        let Some(reading) = &mut self.reading else {
            return Err(Error::new(ErrorKind::Other, format!("nothing is read from queue {}", self.shared.name)));
        };
        let awaited = Instant::now();
        let answer = timeout_at(reading.until, &mut reading.answer).await;
        let Reading { sent, again, .. } = self.reading.take().expect("it was just looked at");
        match answer {
            Ok(Ok(answer)) => {
                let entries = entries(answer).ok_or_else(|| self.shared.unreadable(FETCH))?;
                if again && entries.is_empty() {
                    self.behind = false;
                }
                self.last = entries.iter().map(|entry| entry.id).fold(self.last, EntryId::max);
                self.shared.link.status.up();
                Ok(Read { entries, sent, awaited })
            }
            Ok(Err(error)) if is_gone(&error) => self.begin_anew(sent).await,
            Ok(Err(error)) => {
                let unusable = ends_connection(&error);
                let error = self.shared.link.classify(error, FETCH);
                if unusable {
                    self.give_up(&error);
                }
                Err(error)
            }
            Err(_) => {
                let text = format!("cannot fetch from queue {}: the server does not answer", self.shared.name);
                let error = Error::new(ErrorKind::Unavailable, text);
                self.give_up(&error);
                Err(error)
            }
        }
    }

    /// Has what was begun end at once, and waits for what it brings all the same.
    pub(super) async fn interrupt(&mut self) -> Result<Read, Error> {
        let shared = Arc::clone(&self.shared);
        let mut unblock = cmd("CLIENT");
        unblock.arg("UNBLOCK").arg(self.connection.as_ref().map_or(0, |connection| connection.id));
        loop {
            let told = async {
                let _ = shared.link.raw(&unblock).await;
                tokio::time::sleep(REPEAT).await;
            };
            tokio::select! {
                biased;
                read = self.finish() => return read,
                () = told => {}
            }
        }
    }

    fn read(&self, max: usize, again: bool) -> Cmd {
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(&*self.shared.options.group).arg(&*self.consumer).arg("COUNT").arg(max);
        if !again {
            // Zero would be for ever.
            command.arg("BLOCK").arg(millis(self.shared.options.wait).max(1));
        }
        command.arg("STREAMS").arg(&*self.shared.keys.stream);
        if again {
            command.arg(self.last.to_string())
        } else {
            command.arg(">")
        };
        command
    }

    /// Makes the group again after the stream was lost, with all that was in it.
    async fn begin_anew(&mut self, sent: Instant) -> Result<Read, Error> {
        let lost = format!("queue {} has lost its messages: the server has no such stream or group", self.shared.name);
        tracing::warn!(queue = &*self.shared.name, "the stream or its group is gone and is made again");
        self.shared.link.status.down(lost);
        if let Some(mut connection) = self.connection.take() {
            make_group(&self.shared, &mut connection.connection).await?;
            self.connection = Some(connection);
        }
        self.last = EntryId::default();
        self.behind = false;
        self.shared.link.status.up();
        Ok(Read { entries: Vec::new(), sent, awaited: sent })
    }

    fn give_up(&mut self, error: &Error) {
        let orphan = self.connection.take().map(|Connection { id, run, .. }| Orphan { id, run });
        self.orphan = orphan.filter(|orphan| orphan.id != 0);
        self.behind = true;
        // What else is connected to that server is likely to be lost as well.
        self.shared.link.reset();
        self.shared.link.status.down(error);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.leads {
            self.shared.link.unlead();
        }
    }
}

/// Makes the group, and the stream with it, from the beginning: what was published before is in the queue.
async fn make_group(shared: &Shared, connection: &mut MultiplexedConnection) -> Result<(), Error> {
    let mut create = cmd("XGROUP");
    create.arg("CREATE").arg(&*shared.keys.stream).arg(&*shared.options.group).arg("0").arg("MKSTREAM");
    match ask(shared, connection, &create).await? {
        Err(error) if error.code() != Some("BUSYGROUP") => Err(shared.link.classify(error, FETCH)),
        _ => Ok(()),
    }
}

async fn ask(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    command: &Cmd,
) -> Result<Result<Value, RedisError>, Error> {
    let answer = timeout(GRACE, connection.send_packed_command(command)).await.map_err(|_| {
        let text = format!("cannot fetch from queue {}: the server does not answer", shared.name);
        Error::new(ErrorKind::Timeout, text)
    })?;
    match answer.and_then(Value::extract_error) {
        Err(error) if error.is_io_error() => Err(shared.link.classify(error, FETCH)),
        answer => Ok(answer),
    }
}

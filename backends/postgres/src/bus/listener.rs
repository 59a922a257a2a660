//! The connection that listens: made again when it ends, and asked whether it still listens.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::{Error, ErrorKind};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_postgres::SimpleQueryMessage;

use super::hub::Hub;
use crate::PgConfig;
use crate::client::{Backoff, Session, Vitals};
use crate::error::{Call, of_silence};

/// How often the session is asked what it listens to. Notifications that do not come look like a quiet
/// topic, so nothing else would show that the other side is gone.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How many channels one statement is about.
const CHANNELS: usize = 500;

/// The part of the handle's health that this connection is.
pub(super) const PART: usize = 1;

/// Listens for as long as there is a subscription or was one; runs until it is dropped.
pub(super) async fn run(hub: Arc<Hub>, config: PgConfig, name: Arc<str>, vitals: Vitals) {
    let mut backoff = Backoff::default();
    loop {
        let mut listener = Listener { epoch: hub.begin(), hub: &hub, name: &name, listening: BTreeSet::new() };
        let error = listener.listen(&config, &vitals, &mut backoff).await;
        hub.begin();
        vitals.down(PART, &error);
        hub.progress.fail(&error);
        tracing::warn!(bus = %name, %error, "the bus does not listen, and connects again");
        sleep(backoff.next()).await;
    }
}

struct Listener<'a> {
    epoch: u64,
    hub: &'a Arc<Hub>,
    name: &'a str,
    listening: BTreeSet<Box<str>>,
}

impl Listener<'_> {
    /// One session, from its beginning to the error that ended it.
    async fn listen(&mut self, config: &PgConfig, vitals: &Vitals, backoff: &mut Backoff) -> Error {
        let (hub, epoch) = (Arc::clone(self.hub), self.epoch);
        let opened = Session::open(config, move |notification| {
            hub.notified(epoch, notification.channel(), notification.payload());
        });
        let session = match opened.await {
            Ok(session) => session,
            Err(error) => return error,
        };
        let name = self.name;
        tokio::select! {
            biased;
            () = session.when_ended() => {
                let why = session.why();
                Error::new(ErrorKind::Unavailable, format!("cannot listen for bus {name}: {why}"))
            }
            error = self.keep(&session, vitals, backoff) => error,
        }
    }

    /// Listens to what is wanted, and looks whether it does.
    async fn keep(&mut self, session: &Session, vitals: &Vitals, backoff: &mut Backoff) -> Error {
        let prepared = async {
            self.follow(session).await?;
            self.check(session).await
        };
        if let Err(error) = prepared.await {
            return error;
        }
        *backoff = Backoff::default();
        // In this order: whoever is told of the connection finds everything subscribed, and whoever has
        // subscribed finds the connection in the status.
        self.hub.find(&self.listening);
        vitals.up(PART);
        self.hub.confirm(&self.listening);
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        loop {
            let done = tokio::select! {
                () = self.hub.changed.notified() => {
                    let followed = self.follow(session).await;
                    self.hub.confirm(&self.listening);
                    followed
                }
                _ = heartbeat.tick() => self.check(session).await,
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    /// Listens to the channels that are wanted, and to no others.
    async fn follow(&mut self, session: &Session) -> Result<(), Error> {
        let wanted = self.hub.wanted();
        let more = wanted.difference(&self.listening).map(|channel| (true, channel.clone()));
        let less = self.listening.difference(&wanted).map(|channel| (false, channel.clone()));
        let changes: Vec<(bool, Box<str>)> = more.chain(less).collect();
        for changes in changes.chunks(CHANNELS) {
            let statement: String = changes.iter().map(statement).collect();
            self.ask(session, session.client().batch_execute(&statement)).await?;
            for (listen, channel) in changes {
                if *listen {
                    self.listening.insert(channel.clone());
                } else {
                    self.listening.remove(channel);
                }
            }
        }
        Ok(())
    }

    /// Asks the session whether it listens to all it should.
    async fn check(&self, session: &Session) -> Result<(), Error> {
        let rows = session.client().simple_query("SELECT pg_listening_channels()");
        let rows = match timeout(ANSWER, self.ask(session, rows)).await {
            Ok(rows) => rows?,
            Err(_) => return Err(of_silence(&self.call(), ANSWER)),
        };
        let channels = rows.iter().filter_map(|row| match row {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let channels: BTreeSet<&str> = channels.collect();
        match self.listening.iter().find(|channel| !channels.contains(&***channel)) {
            None => Ok(()),
            Some(channel) => {
                let text = format!(
                    "cannot listen for bus {}: the session does not listen to channel {channel:?} any more; behind a \
                     pooler in transaction mode, give the bus a direct connection to listen on",
                    self.name
                );
                Err(Error::new(ErrorKind::Unsupported, text))
            }
        }
    }

    async fn ask<T>(
        &self,
        session: &Session,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T, Error> {
        match session.answer(&self.call(), statement).await {
            // The session's own end says more, and is just being told.
            Err(_) if session.is_ended() => pending().await,
            answer => answer,
        }
    }

    fn call(&self) -> Call<'_> {
        Call { doing: "listen for", what: "bus", name: self.name, writes: false }
    }
}

/// Names of channels have neither quotes nor backslashes in them.
fn statement((listen, channel): &(bool, Box<str>)) -> String {
    format!("{} \"{channel}\";", if *listen { "LISTEN" } else { "UNLISTEN" })
}

//! The connection that is subscribed, for all subscriptions of a handle.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::{Backoff, Error, ErrorKind};
use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{RedisError, cmd};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::hub::Hub;
use crate::error::SUBSCRIBE;
use crate::link::Link;

/// How often the server is asked whether it is still there.
const PING: Duration = Duration::from_secs(15);
/// How long anything may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The pauses before connecting again.
const BACKOFF: Backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(5)).at_least_half();
/// A connection that lasted this long is no failure that follows another.
const LASTED: Duration = Duration::from_secs(10);
/// How many channels one command subscribes to.
const CHANNELS: usize = 500;

/// Keeps a connection subscribed to what the hub wants, until it is aborted.
pub(super) async fn listen(hub: Arc<Hub>, link: Arc<Link>) {
    link.lead();
    let mut failures = 0_u32;
    loop {
        let began = Instant::now();
        let error = Session::run(&hub, &link).await;
        hub.begin();
        hub.status.down(&error);
        hub.progress.fail(&error);
        tracing::warn!(bus = link.name(), %error, "the subscription is lost and is made again");
        // What else is connected to that server is likely to be lost as well.
        link.reset();
        // A server that ends every session at once is not asked again at once.
        failures = if began.elapsed() > LASTED { 1 } else { failures.saturating_add(1) };
        sleep(BACKOFF.delay(failures)).await;
    }
}

/// One connection, as long as it lasts.
struct Session<'a> {
    hub: &'a Arc<Hub>,
    link: &'a Link,
    sink: PubSubSink,
    channels: BTreeSet<Arc<str>>,
    drain: Drain,
}

/// The task that empties the client's buffer. It ends with the connection.
struct Drain(JoinHandle<()>);

impl Session<'_> {
    /// Answers why it ended.
    async fn run(hub: &Arc<Hub>, link: &Link) -> Error {
        let ended = match Session::start(hub, link).await {
            Ok(mut session) => session.follow().await,
            Err(error) => Err(error),
        };
        match ended {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }

    async fn start<'a>(hub: &'a Arc<Hub>, link: &'a Link) -> Result<Session<'a>, Error> {
        // The connection for commands says whether this is a server we can work with.
        link.command(&cmd("PING"), SUBSCRIBE).await?;
        let (sink, stream) = answered(link, Box::pin(link.client().get_async_pubsub())).await?.split();
        let drain = Drain(tokio::spawn(drain(Arc::clone(hub), hub.begin(), stream)));
        let mut session = Session { hub, link, sink, channels: BTreeSet::new(), drain };
        session.change().await?;
        // In this order: whoever is told of the connection finds everything subscribed, and whoever has
        // subscribed finds the connection in the status.
        hub.find(&session.channels);
        hub.status.up();
        hub.confirm(&session.channels);
        Ok(session)
    }

    /// Follows what is wanted until the connection is lost.
    async fn follow(&mut self) -> Result<std::convert::Infallible, Error> {
        let mut ping = Instant::now() + PING;
        loop {
            tokio::select! {
                _ = &mut self.drain.0 => {
                    let text = format!("cannot receive from {}: {} has ended the connection", self.link.name(), self.link.place());
                    return Err(Error::new(ErrorKind::Unavailable, text));
                }
                () = self.hub.changed.notified() => {
                    self.change().await?;
                    self.hub.confirm(&self.channels);
                }
                () = tokio::time::sleep_until(ping) => {
                    answered(self.link, self.sink.ping::<redis::Value>()).await?;
                    ping = Instant::now() + PING;
                }
            }
        }
    }

    /// Subscribes to what is wanted, and to nothing else.
    async fn change(&mut self) -> Result<(), Error> {
        let wanted = self.hub.wanted();
        let more: Vec<_> = wanted.difference(&self.channels).cloned().collect();
        let less: Vec<_> = self.channels.difference(&wanted).cloned().collect();
        for some in more.chunks(CHANNELS) {
            let names: Vec<&str> = some.iter().map(|name| &**name).collect();
            answered(self.link, self.sink.subscribe(names)).await?;
            self.channels.extend(some.iter().cloned());
        }
        for some in less.chunks(CHANNELS) {
            let names: Vec<&str> = some.iter().map(|name| &**name).collect();
            answered(self.link, self.sink.unsubscribe(names)).await?;
            self.channels.retain(|name| !some.contains(name));
        }
        Ok(())
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Hands on what comes, at once: the client holds any number of messages nobody takes.
async fn drain(hub: Arc<Hub>, epoch: u64, mut stream: PubSubStream) {
    while let Some(message) = stream.next().await {
        hub.receive(epoch, message.get_channel_name(), message.get_payload_bytes().to_vec());
    }
}

async fn answered<T>(link: &Link, answer: impl Future<Output = Result<T, RedisError>> + Send) -> Result<T, Error> {
    match timeout(ANSWER, answer).await {
        Ok(answer) => answer.map_err(|error| link.classify(error, SUBSCRIBE)),
        Err(_) => {
            let text = format!("cannot subscribe to {}: {} does not answer", link.name(), link.place());
            Err(Error::new(ErrorKind::Timeout, text))
        }
    }
}

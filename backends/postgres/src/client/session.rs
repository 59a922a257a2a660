//! [`Session`], one connection with the task that drives it.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chappe_core::{Error, ErrorKind};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Notification};

use super::PgConfig;
use super::drive::Drive;
use crate::error::{self, Call};

/// How long an answer may take before the connection is given up: the other side of one that is half open
/// never answers.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// A connection that lives until the server or the network ends it, [`end`](Self::end) is called, or the
/// session is dropped: then what was sent is still answered, and the server is told goodbye.
pub(crate) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    ended: watch::Receiver<bool>,
    ending: Arc<watch::Sender<bool>>,
    error: Arc<OnceLock<String>>,
}

impl Session {
    /// Connects. `notified` is called on the task that drives the connection: it must not block.
    ///
    /// # Errors
    ///
    /// What kept it from connecting, without credentials; never ambiguous.
    pub(crate) async fn open(
        config: &PgConfig,
        notified: impl FnMut(Notification) + Send + 'static,
    ) -> Result<Self, Error> {
        config.check()?;
        let connecting = (config.connector())(config.config().clone());
        let (client, connection) = timeout(ANSWER, connecting)
            .await
            .map_err(|_| Error::new(ErrorKind::Timeout, format!("cannot connect to {config}: it took too long")))?
            .map_err(|error| error::of_connecting(error, config))?;
        let ending = Arc::new(watch::Sender::new(false));
        let ended = ending.subscribe();
        let error = Arc::new(OnceLock::new());
        let driver = tokio::spawn(drive(connection, notified, Arc::clone(&ending), Arc::clone(&error)));
        Ok(Self { client, driver, ended, ending, error })
    }

    /// What sends statements.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the connection is no more.
    pub(crate) fn is_ended(&self) -> bool {
        *self.ended.borrow() || self.client.is_closed()
    }

    /// Cuts the connection: whoever waits for an answer hears of it.
    pub(crate) fn end(&self, why: impl Into<String>) {
        let _ = self.error.set(why.into());
        self.driver.abort();
        self.ending.send_replace(true);
    }

    /// Waits for the answer to a statement, for a limited time. The session is ended when there is none.
    ///
    /// # Errors
    ///
    /// What the server answered, or that it did not; ambiguous if the call writes and may have been applied.
    pub(crate) async fn answer<T>(
        &self,
        call: &Call<'_>,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T, Error> {
        self.answer_within(ANSWER, call, statement).await
    }

    /// The same, for a statement that may take this long.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub(crate) async fn answer_within<T>(
        &self,
        time: Duration,
        call: &Call<'_>,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T, Error> {
        if self.is_ended() {
            return Err(error::of_end(call, &self.why()));
        }
        match timeout(time, statement).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error::of_call(error, call)),
            Err(_) => {
                self.end(format!("no answer within {time:?}"));
                Err(error::of_silence(call, time))
            }
        }
    }

    /// Resolves at the end of the connection, without keeping the session.
    pub(crate) fn when_ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    /// How the connection ended.
    pub(crate) fn why(&self) -> String {
        self.error.get().cloned().unwrap_or_else(|| "the connection was closed".to_owned())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("ended", &self.is_ended()).finish_non_exhaustive()
    }
}

async fn drive(
    mut connection: Box<dyn Drive>,
    mut notified: impl FnMut(Notification) + Send,
    ending: Arc<watch::Sender<bool>>,
    why: Arc<OnceLock<String>>,
) {
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => notified(notification),
            Some(Ok(AsyncMessage::Notice(notice))) => {
                tracing::debug!(code = notice.code().code(), "{}", notice.message())
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let _ = why.set(error::describe(&error));
                break;
            }
            None => break,
        }
    }
    ending.send_replace(true);
}

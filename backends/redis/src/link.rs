//! [`Link`], a connection for commands that is made again when it is lost.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::Status;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, Pipeline, RedisError, ServerError, Value};

use crate::error::{CONNECT, Call, classify, ends_connection, of_script, of_server};
use crate::script::Script;
use crate::tls;
use crate::version::{self, Run};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command may take that does not block.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many commands may wait to be written.
const PIPELINE_BUFFER: usize = 1024;

/// A connection to a server, shared by all commands that do not block.
pub(crate) struct Link {
    client: Client,
    /// Where the server is, without credentials.
    place: Arc<str>,
    /// What it is for, as errors name it.
    name: Arc<str>,
    pub(crate) status: Status,
    /// How many there are who know better than the link whether all is well.
    leaders: AtomicUsize,
    current: Mutex<Current>,
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Current {
    epoch: u64,
    connection: Option<MultiplexedConnection>,
}

impl Link {
    pub(crate) fn new(client: &Client, name: impl Into<Arc<str>>) -> Self {
        let info = client.get_connection_info();
        let place = info.addr().to_string().into();
        // A batch is written in one piece; waiting for more would only delay it.
        let settings = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.clone().set_tcp_settings(settings)).unwrap_or_else(|_| client.clone());
        Self {
            client,
            place,
            name: name.into(),
            status: Status::connecting(),
            leaders: AtomicUsize::new(0),
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Another connection to the same server, for something else.
    pub(crate) fn beside(&self, name: impl Into<Arc<str>>) -> Self {
        Self::new(&self.client, name)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Where the server is, without credentials.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// What it is for, as errors name it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Has somebody else say when all is well again, until `unlead`.
    pub(crate) fn lead(&self) {
        self.leaders.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn unlead(&self) {
        self.leaders.fetch_sub(1, Ordering::AcqRel);
    }

    /// Runs a command.
    pub(crate) async fn command(&self, command: &Cmd, call: Call) -> Result<Value, Error> {
        self.raw(command).await?.map_err(|error| self.classify(error, call))
    }

    /// Runs a command, and tells apart what the server answered and what kept it from being asked.
    pub(crate) async fn raw(&self, command: &Cmd) -> Result<Result<Value, RedisError>, Error> {
        let (epoch, mut connection) = self.connection().await?;
        let result = connection.send_packed_command(command).await.and_then(Value::extract_error);
        self.note(epoch, result.as_ref().err());
        Ok(result)
    }

    /// Runs commands in one piece; answers that are errors stand among the others.
    pub(crate) async fn pipeline(&self, pipeline: &Pipeline, count: usize, call: Call) -> Result<Vec<Value>, Error> {
        let (epoch, mut connection) = self.connection().await?;
        let result = connection.send_packed_commands(pipeline, 0, count).await;
        self.note(epoch, result.as_ref().err());
        result.map_err(|error| self.classify(error, call))
    }

    /// Runs a script, and sends it first where the server does not know it.
    pub(crate) async fn script(&self, script: &Script, command: &Cmd, call: Call) -> Result<Value, Error> {
        match self.raw(command).await? {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                self.command(&script.load(), call).await?;
                self.command(command, call).await
            }
            result => result.map_err(|error| self.classify(error, call)),
        }
    }

    /// Converts an error within an answer.
    pub(crate) fn of_server(&self, error: &ServerError, call: Call) -> Error {
        self.leave_replica(error.code());
        of_server(error, call, &self.name)
    }

    /// Converts the text of an error a script caught.
    pub(crate) fn of_script(&self, text: &str, call: Call) -> Error {
        self.leave_replica(text.trim_start_matches('-').split(' ').next().unwrap_or_default());
        of_script(text, call, &self.name)
    }

    /// Has the next command make a new connection, if this is how a server that was made a replica refuses.
    fn leave_replica(&self, code: &str) {
        if code == "READONLY" {
            self.reset();
        }
    }

    pub(crate) fn classify(&self, error: RedisError, call: Call) -> Error {
        classify(error, call, &self.name, &self.place)
    }

    /// Has the next command make a new connection.
    pub(crate) fn reset(&self) {
        self.lock().connection = None;
    }

    /// A connection of one's own, whose commands may take as long as they like, and what it is to.
    pub(crate) async fn dedicated(&self) -> Result<(MultiplexedConnection, Run), Error> {
        self.connect(None).await
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), Error> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        // One connects, the others wait for it.
        let _turn = self.connecting.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        match self.connect(Some(RESPONSE_TIMEOUT)).await {
            Ok((connection, _)) => {
                let epoch = {
                    let mut current = self.lock();
                    current.epoch += 1;
                    current.connection = Some(connection.clone());
                    current.epoch
                };
                if self.leaders.load(Ordering::Acquire) == 0 {
                    self.status.up();
                }
                Ok((epoch, connection))
            }
            Err(error) => {
                if self.leaders.load(Ordering::Acquire) == 0 {
                    self.status.down(&error);
                }
                Err(error)
            }
        }
    }

    async fn connect(&self, response_timeout: Option<Duration>) -> Result<(MultiplexedConnection, Run), Error> {
        if matches!(self.client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. }) {
            tls::provide();
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(response_timeout)
            .set_pipeline_buffer_size(PIPELINE_BUFFER);
        let connecting = Box::pin(self.client.get_multiplexed_async_connection_with_config(&config));
        let mut connection = connecting.await.map_err(|error| self.classify(error, CONNECT))?;
        let run = version::check(&mut connection, &self.name, &self.place).await?;
        Ok((connection, run))
    }

    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let current = self.lock();
        current.connection.clone().map(|connection| (current.epoch, connection))
    }

    /// Gives a connection up that has failed.
    fn note(&self, epoch: u64, error: Option<&RedisError>) {
        let Some(error) = error.filter(|error| ends_connection(error)) else { return };
        let mut current = self.lock();
        if current.epoch == epoch && current.connection.take().is_some() {
            drop(current);
            if self.leaders.load(Ordering::Acquire) > 0 {
                return;
            }
            self.status.down(self.classify(error.clone(), CONNECT));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the client, which knows the password.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("place", &self.place).finish_non_exhaustive()
    }
}

//! [`PubsubClient`], a connection to Pub/Sub that any number of handles share.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::{Error, ErrorKind};
#[cfg(feature = "env")]
use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials};
use http::HeaderMap;
use http::uri::PathAndQuery;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use crate::error::{Call, classify, late};
use crate::target::Target;

/// Where Pub/Sub is.
#[cfg(feature = "env")]
const ENDPOINT: &str = "https://pubsub.googleapis.com";
/// Names a host and port to talk to instead, in plain text and without credentials, as all Google's clients read it.
const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";
/// Names the project short names are in; the second is for Google's emulator.
const PROJECTS: [&str; 2] = ["GOOGLE_CLOUD_PROJECT", "PUBSUB_PROJECT_ID"];
/// What a token is to be good for.
#[cfg(feature = "env")]
const SCOPE: &str = "https://www.googleapis.com/auth/pubsub";

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether it is still there, and how long it may take to say so. Without, a
/// connection that is half open would be silent for ever.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// How much may be under way unread: Pub/Sub sends ten megabytes at once.
const WINDOW: u32 = 4 << 20;
/// The most bytes of an answer, whatever Pub/Sub chooses to put into one.
const MAX_ANSWER: usize = 64 << 20;

/// A connection to Pub/Sub. A handle: clones share the connection, which is made when it is needed and made anew
/// when it is lost.
///
/// # Examples
///
/// ```no_run
/// use chappe_pubsub::{PubsubClient, PubsubQueue};
///
/// # async fn open() -> Result<(), chappe_core::Error> {
/// let client = PubsubClient::from_env().await?;
/// let queue = PubsubQueue::new(&client, "projects/my-project/subscriptions/orders");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PubsubClient {
    grpc: Grpc<Channel>,
    project: Option<Arc<str>>,
    #[cfg(feature = "env")]
    credentials: Option<Credentials>,
}

impl PubsubClient {
    /// Talks through a connection of your own, without credentials unless they are [given](Self::credentials).
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self {
            grpc: Grpc::new(channel).max_decoding_message_size(MAX_ANSWER),
            project: None,
            #[cfg(feature = "env")]
            credentials: None,
        }
    }

    /// Talks to Pub/Sub with the credentials this machine has: application default credentials. With
    /// `PUBSUB_EMULATOR_HOST` it talks to that, in plain text and without credentials.
    ///
    /// Short names are in the project `GOOGLE_CLOUD_PROJECT` names.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::PermissionDenied`]: there are no credentials.
    /// - [`ErrorKind::Invalid`]: the variable is no host and port, or there is no tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no client.
    #[allow(clippy::unused_async, reason = "looking for credentials may take a request one day")]
    pub async fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let client = match variable(EMULATOR) {
            Some(host) => Self::emulator(&host)?,
            None => Self::google()?,
        };
        Ok(match PROJECTS.into_iter().find_map(variable) {
            Some(project) => client.project(project),
            None => client,
        })
    }

    /// Talks to an emulator at `host:port`, in plain text and without credentials.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: it is no host and port, or there is no tokio runtime.
    pub fn emulator(host: &str) -> Result<Self, Error> {
        let host = host.trim_start_matches("http://");
        let endpoint = Endpoint::from_shared(format!("http://{host}"))
            .map_err(|error| invalid(format!("{host:?} is no host and port of an emulator")).with_source(error))?;
        connect(&endpoint)
    }

    #[cfg(feature = "env")]
    fn google() -> Result<Self, Error> {
        let tls = tonic::transport::ClientTlsConfig::new().with_native_roots();
        let endpoint = Endpoint::from_static(ENDPOINT)
            .tls_config(tls)
            .map_err(|error| invalid("TLS cannot be set up".to_owned()).with_source(error))?;
        let credentials = Builder::default().with_scopes([SCOPE]).build().map_err(|error| {
            let text = "there are no credentials for Pub/Sub; set GOOGLE_APPLICATION_CREDENTIALS, or log in with \
                        `gcloud auth application-default login`";
            Error::new(ErrorKind::PermissionDenied, text).with_source(error)
        })?;
        Ok(connect(&endpoint)?.credentials(credentials))
    }

    #[cfg(not(feature = "env"))]
    fn google() -> Result<Self, Error> {
        let text = "credentials need the feature `env`; without it, set PUBSUB_EMULATOR_HOST or bring a channel";
        Err(Error::new(ErrorKind::Unsupported, text))
    }

    /// Sends these credentials with every request.
    #[cfg(feature = "env")]
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Names the project that short names are in.
    #[must_use]
    pub fn project(mut self, project: impl Into<Arc<str>>) -> Self {
        self.project = Some(project.into());
        self
    }

    pub(crate) fn project_name(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// Makes a call and waits for its answer, for a time.
    pub(crate) async fn call<Q, A>(&self, call: Call, target: &Target, request: Q) -> Result<A, Error>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        match self.ask(call, target, request).await {
            Ok(answer) => Ok(answer),
            Err(Some(status)) => Err(classify(&status, call, target)),
            Err(None) => Err(late(call, target)),
        }
    }

    /// The same, with the status as it came; `None` if there was no answer in time.
    pub(crate) async fn ask<Q, A>(&self, call: Call, target: &Target, request: Q) -> Result<A, Option<Status>>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let asking = async {
            let mut grpc = self.grpc.clone();
            let request = self.request(call, target, request).await?;
            ready(&mut grpc).await?;
            let path = PathAndQuery::from_static(call.path);
            let answer = grpc.unary(request, path, ProstCodec::<Q, A>::default()).await?;
            Ok(answer.into_inner())
        };
        // On the heap: futures of tonic have several kilobytes.
        match timeout(ANSWER, Box::pin(asking)).await {
            Ok(answer) => answer.map_err(Some),
            Err(_) => Err(None),
        }
    }

    /// Opens a stream. It may take until its first message.
    pub(crate) async fn stream<S, A>(
        &self,
        call: Call,
        target: &Target,
        requests: S,
    ) -> Result<tonic::Streaming<A>, Status>
    where
        S: futures_util::Stream<Item: prost::Message + 'static> + Send + 'static,
        A: prost::Message + Default + Send + 'static,
    {
        let mut grpc = self.grpc.clone();
        let request = self.request(call, target, requests).await?;
        ready(&mut grpc).await?;
        let path = PathAndQuery::from_static(call.path);
        let opening = grpc.streaming(request, path, ProstCodec::<S::Item, A>::default());
        Ok(Box::pin(opening).await?.into_inner())
    }

    /// A request with what goes before it: who asks, and what about, by which Google finds the right machine.
    async fn request<Q>(&self, call: Call, target: &Target, request: Q) -> Result<Request<Q>, Status> {
        let mut headers = self.headers().await?;
        let about: String = encode(target.full());
        if let Ok(value) = format!("{}={about}", call.routed_by).parse() {
            headers.insert("x-goog-request-params", value);
        }
        Ok(Request::from_parts(tonic::metadata::MetadataMap::from_headers(headers), http::Extensions::new(), request))
    }

    #[cfg(feature = "env")]
    async fn headers(&self) -> Result<HeaderMap, Status> {
        let Some(credentials) = &self.credentials else { return Ok(HeaderMap::new()) };
        match Box::pin(credentials.headers(http::Extensions::new())).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            // Only said to whoever names what it has.
            Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
            Err(error) if error.is_transient() => Err(failed(tonic::Code::Unavailable, error)),
            Err(error) => Err(failed(tonic::Code::Unauthenticated, error)),
        }
    }

    #[cfg(not(feature = "env"))]
    #[allow(clippy::unused_async, clippy::unused_self, reason = "with credentials it is not")]
    async fn headers(&self) -> Result<HeaderMap, Status> {
        Ok(HeaderMap::new())
    }
}

impl fmt::Debug for PubsubClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubsubClient").field("project", &self.project).finish_non_exhaustive()
    }
}

/// A connection that is made when it is needed.
fn connect(endpoint: &Endpoint) -> Result<PubsubClient, Error> {
    if Handle::try_current().is_err() {
        return Err(invalid("a client of Pub/Sub is made within a tokio runtime, and there is none".to_owned()));
    }
    let (interval, patience) = KEEP_ALIVE;
    let channel = endpoint
        .clone()
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(interval)
        .keep_alive_timeout(patience)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
        .connect_lazy();
    Ok(PubsubClient::new(channel))
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))
}

/// A status for what never left this machine.
#[cfg(feature = "env")]
fn failed(code: tonic::Code, error: google_cloud_auth::errors::CredentialsError) -> Status {
    let mut status = Status::new(code, "there is no token");
    status.set_source(Arc::new(error));
    status
}

/// Percent-encodes what may stand in a name and not in a header.
fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_for_their_header() {
        assert_eq!(encode("projects/p/topics/a+b"), "projects%2Fp%2Ftopics%2Fa%2Bb");
    }

    fn of(variables: &[(&str, &str)]) -> Result<PubsubClient, Error> {
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        PubsubClient::from_variables(value)
    }

    #[tokio::test]
    async fn the_variables_of_the_emulator_are_heard() {
        let one = of(&[("PUBSUB_EMULATOR_HOST", "localhost:8085"), ("GOOGLE_CLOUD_PROJECT", "shop")]).unwrap();
        let other = [("PUBSUB_EMULATOR_HOST", "x:1"), ("GOOGLE_CLOUD_PROJECT", ""), ("PUBSUB_PROJECT_ID", "mill")];
        let other = of(&other).unwrap();
        let bad = of(&[("PUBSUB_EMULATOR_HOST", "no host")]).unwrap_err();

        assert_eq!((one.project_name(), other.project_name()), (Some("shop"), Some("mill")));
        assert!(bad.kind() == ErrorKind::Invalid && bad.to_string().contains("no host"), "{bad}");
    }

    #[test]
    fn without_a_runtime_there_is_an_error_and_no_panic() {
        let error = PubsubClient::emulator("localhost:8085").unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

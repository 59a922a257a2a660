//! [`TraceReceiveLayer`].

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use chappe_core::{BoxError, IntoOutcome, IntoResult, Message, Outcome};
use tower_layer::Layer;
use tower_service::Service;

use super::Relation;
use super::future::ResponseFuture;
use super::span::Options;
use crate::observe::{Batch, Receive};

/// Opens a span around handling a message, in the trace it was published in.
///
/// Goes around receivers of single messages and of batches. The answer of a receiver is passed on as the
/// [`Outcome`] it says, its error as a [`BoxError`].
///
/// # Examples
///
/// ```
/// use chappe_core::{BoxError, Message};
/// use chappe_middleware::trace::{TraceContext, TraceReceiveLayer};
/// use tower::{Service, ServiceBuilder, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let _listening = tracing::subscriber::set_default(tracing_subscriber::registry());
/// let receiver = service_fn(async |_: Message| {
///     let here = TraceContext::current().ok_or("there is no trace")?;
///     assert_eq!(here.trace_id(), 0x4bf92f3577b34da6a3ce929d0e0e4736);
///     Ok::<_, BoxError>(())
/// });
/// let mut receiver = ServiceBuilder::new().layer(TraceReceiveLayer::new("memory")).service(receiver);
///
/// let mut message = Message::new("order 7");
/// let publisher = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// message.attributes_mut().insert("traceparent", publisher);
/// receiver.call(message).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TraceReceiveLayer(Arc<Options>);

impl TraceReceiveLayer {
    /// Creates a layer for messages of a system, by its name in OpenTelemetry's `messaging.system`, such as
    /// `aws_sqs` or `memory`; a backend handle tells its own.
    pub fn new(system: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Options::new(system.into())))
    }

    /// Names where messages come from, in place of what they say themselves.
    #[must_use]
    pub fn destination(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.0).destination = Some(name.into());
        self
    }

    /// Sets what handling a message is to the trace it was published in; [`Relation::Parent`] by default.
    /// Batches are linked in any case, as one span has no more than one parent.
    #[must_use]
    pub fn relation(mut self, relation: Relation) -> Self {
        Arc::make_mut(&mut self.0).relation = relation;
        self
    }

    /// Records the text of errors and the reasons of rejections in the field `error`, and not only their
    /// type. Off by default, as a text may quote from the body.
    #[must_use]
    pub fn record_errors(mut self) -> Self {
        Arc::make_mut(&mut self.0).errors = true;
        self
    }
}

impl<S> Layer<S> for TraceReceiveLayer {
    type Service = TraceReceive<S>;

    fn layer(&self, inner: S) -> TraceReceive<S> {
        TraceReceive { inner, options: Arc::clone(&self.0) }
    }
}

/// Opens a span around handling a message or a batch; made by [`TraceReceiveLayer`].
#[derive(Clone, Debug)]
pub struct TraceReceive<S> {
    inner: S,
    options: Arc<Options>,
}

impl<S> TraceReceive<S> {
    /// The receiver inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The receiver inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the receiver out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S> Service<Message> for TraceReceive<S>
where
    S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>>,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, Receive>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> Self::Future {
        let watch = self.options.receive(&message);
        ResponseFuture::new(watch, || self.inner.call(message))
    }
}

impl<S, A> Service<Vec<Message>> for TraceReceive<S>
where
    S: Service<Vec<Message>, Response = Vec<A>, Error: Into<BoxError>>,
    A: IntoResult,
{
    type Response = Vec<Result<Outcome, BoxError>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, Batch>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, messages: Vec<Message>) -> Self::Future {
        let watch = self.options.receive_batch(&messages);
        ResponseFuture::new(watch, || self.inner.call(messages))
    }
}

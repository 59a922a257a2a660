//! [`TraceReceiveLayer`].

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use chappe_core::{BoxError, IntoOutcome, IntoResult, Message, Outcome};
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Tracer, TracerProvider};
use tower_layer::Layer;
use tower_service::Service;

use super::future::ResponseFuture;
use super::options::Options;
use crate::observe::{Batch, Receive};
use crate::trace::Relation;

/// Opens a span of OpenTelemetry around handling a message, in the trace it was published in.
///
/// Goes around receivers of single messages and of batches. The answer of a receiver is passed on as the
/// [`Outcome`] it says, its error as a [`BoxError`].
///
/// # Examples
///
/// ```
/// use chappe_core::{BoxError, Message, Outcome};
/// use chappe_middleware::trace::otel::TraceReceiveLayer;
/// use opentelemetry_sdk::propagation::TraceContextPropagator;
/// use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
/// use tower::{Service, ServiceBuilder, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let spans = InMemorySpanExporter::default();
/// let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
///
/// let layer = TraceReceiveLayer::new("memory")
///     .provider(&provider) // these two need not be given if they are set globally
///     .propagator(TraceContextPropagator::new());
/// let receiver = service_fn(async |_: Message| Ok::<_, BoxError>(Outcome::reject("no such order")));
/// let mut receiver = ServiceBuilder::new().layer(layer).service(receiver);
///
/// let mut message = Message::new("order 7");
/// let publisher = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// message.attributes_mut().insert("traceparent", publisher);
/// receiver.call(message).await?;
///
/// let span = &spans.get_finished_spans()?[0];
/// assert_eq!(span.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(span.status, opentelemetry::trace::Status::error(""));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TraceReceiveLayer(Arc<Options>);

impl TraceReceiveLayer {
    /// Creates a layer for messages of a system, by its name in OpenTelemetry's `messaging.system`, such as
    /// `aws_sqs` or `memory`; a backend handle tells its own.
    pub fn new(system: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Options::new("process", system.into())))
    }

    /// Names where messages come from, in place of what they say themselves.
    #[must_use]
    pub fn destination(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.0).destination = Some(name.into().into());
        self
    }

    /// Sets what handling a message is to the trace it was published in; [`Relation::Parent`] by default.
    /// Batches are linked in any case, as one span has no more than one parent.
    #[must_use]
    pub fn relation(mut self, relation: Relation) -> Self {
        Arc::make_mut(&mut self.0).relation = relation;
        self
    }

    /// Has spans made by this provider, not by the one that is global now.
    #[must_use]
    pub fn provider<P>(mut self, provider: &P) -> Self
    where
        P: TracerProvider<Tracer: Tracer<Span: Send + Sync + 'static> + Send + Sync + 'static>,
    {
        Arc::make_mut(&mut self.0).set_provider(provider);
        self
    }

    /// Has contexts read by this propagator, not by the global one.
    #[must_use]
    pub fn propagator(mut self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).propagation.propagator = Some(Arc::new(propagator));
        self
    }

    /// Adds an attribute to all spans, such as `server.address`, or replaces one.
    #[must_use]
    pub fn attribute(mut self, attribute: KeyValue) -> Self {
        Arc::make_mut(&mut self.0).set_attribute(attribute);
        self
    }

    /// Records the text of errors and the reasons of rejections in the status of the span, and not
    /// only their type. Off by default, as a text may quote from the body.
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

//! [`TracePublishLayer`].

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use chappe_core::{BoxError, Message, Published};
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Tracer, TracerProvider};
use tower_layer::Layer;
use tower_service::Service;

use super::future::ResponseFuture;
use super::options::Options;
use crate::observe::Publish;
use crate::trace::Wire;

/// Opens a span of OpenTelemetry around publishing, and writes its context to the message.
///
/// # Examples
///
/// ```
/// use chappe_core::Topic;
/// use chappe_memory::MemoryQueue;
/// use chappe_middleware::trace::otel::TracePublishLayer;
/// use opentelemetry_sdk::propagation::TraceContextPropagator;
/// use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), chappe_core::BoxError> {
/// let spans = InMemorySpanExporter::default();
/// let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
///
/// let queue = MemoryQueue::new("orders");
/// let layer = TracePublishLayer::new("memory")
///     .destination("orders")
///     .provider(&provider) // these two need not be given if they are set globally
///     .propagator(TraceContextPropagator::new());
/// let topic = ServiceBuilder::new().layer(layer).service(queue.topic());
///
/// topic.publish("order 7").await?;
///
/// assert_eq!(spans.get_finished_spans()?[0].name, "send orders");
/// assert!(queue.messages()[0].attributes().contains("traceparent"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TracePublishLayer(Arc<Options>);

impl TracePublishLayer {
    /// Creates a layer for topics of a system, by its name in OpenTelemetry's `messaging.system`, such as
    /// `aws_sqs` or `memory`; a backend handle tells its own.
    pub fn new(system: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Options::new("send", system.into())))
    }

    /// Names what is published to. Without it spans have no destination.
    #[must_use]
    pub fn destination(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.0).destination = Some(name.into().into());
        self
    }

    /// Sets in which attributes the context is written; [`Wire::W3c`] by default.
    #[must_use]
    pub fn wire(mut self, wire: Wire) -> Self {
        Arc::make_mut(&mut self.0).propagation.wire = wire;
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

    /// Has contexts written by this propagator, not by the global one.
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

    /// Records the text of errors in the status of the span, and not only their type. Off by default, as a text
    /// may quote from the body.
    #[must_use]
    pub fn record_errors(mut self) -> Self {
        Arc::make_mut(&mut self.0).errors = true;
        self
    }
}

impl<S> Layer<S> for TracePublishLayer {
    type Service = TracePublish<S>;

    fn layer(&self, inner: S) -> TracePublish<S> {
        TracePublish { inner, options: Arc::clone(&self.0) }
    }
}

/// Opens a span around publishing; made by [`TracePublishLayer`].
#[derive(Clone, Debug)]
pub struct TracePublish<S> {
    inner: S,
    options: Arc<Options>,
}

impl<S> TracePublish<S> {
    /// The topic inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The topic inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the topic out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S> Service<Message> for TracePublish<S>
where
    S: Service<Message, Response = Published, Error: Into<BoxError>>,
{
    type Response = Published;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, Publish>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut message: Message) -> Self::Future {
        let watch = self.options.publish(&mut message);
        ResponseFuture::new(watch, || self.inner.call(message))
    }
}

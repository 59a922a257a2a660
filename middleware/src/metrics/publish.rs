//! [`MeasurePublishLayer`].

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use chappe_core::{BoxError, Message, Published};
use tower_layer::Layer;
use tower_service::Service;

use super::InFlight;
use super::future::ResponseFuture;
use super::series::{Attempts, MeasureWatch, Series, Shared};
use crate::observe::Publish;

/// Measures publishing.
///
/// # Examples
///
/// ```
/// use chappe_core::Topic;
/// use chappe_memory::MemoryQueue;
/// use chappe_middleware::metrics::MeasurePublishLayer;
/// use metrics_util::debugging::DebuggingRecorder;
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), chappe_core::BoxError> {
/// let recorder = DebuggingRecorder::new(); // an exporter, in a real program
/// let metrics = recorder.snapshotter();
/// recorder.install()?;
///
/// let layer = MeasurePublishLayer::new("memory").destination("orders");
/// let topic = ServiceBuilder::new().layer(layer).service(MemoryQueue::new("orders").topic());
/// topic.publish("order 7").await?;
///
/// let names: Vec<_> = metrics.snapshot().into_vec().iter().map(|(key, ..)| key.key().name().to_owned()).collect();
/// assert!(names.iter().any(|name| name == "messaging.client.sent.messages"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct MeasurePublishLayer {
    shared: Arc<Shared>,
    destination: Option<Arc<str>>,
}

impl MeasurePublishLayer {
    /// Creates a layer that writes to the recorder of the `metrics` crate, which has to be installed before
    /// the first message. The system is named as in OpenTelemetry's `messaging.system`, such as `aws_sqs` or
    /// `memory`; a backend handle tells its own.
    #[cfg(feature = "metrics")]
    pub fn new(system: impl Into<Cow<'static, str>>) -> Self {
        let facade = super::facade::Facade::new(&super::name::PUBLISH, system.into());
        Self { shared: Arc::new(Shared::new(facade)), destination: None }
    }

    /// Creates a layer that writes to a meter of OpenTelemetry.
    #[cfg(feature = "opentelemetry")]
    pub fn from_meter(system: impl Into<Cow<'static, str>>, meter: &opentelemetry::metrics::Meter) -> Self {
        let shared = super::otel::Instruments::share(&super::name::PUBLISH, system.into(), meter);
        Self { shared, destination: None }
    }

    /// Names what is published to. Without it the metrics have no destination.
    #[must_use]
    pub fn destination(mut self, name: impl Into<Arc<str>>) -> Self {
        self.destination = Some(name.into());
        self
    }

    /// What is in flight in this layer and all services it makes.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        InFlight::new(&self.shared)
    }
}

impl<S> Layer<S> for MeasurePublishLayer {
    type Service = MeasurePublish<S>;

    fn layer(&self, inner: S) -> MeasurePublish<S> {
        MeasurePublish { inner, layer: self.clone(), series: None }
    }
}

/// Measures publishing; made by [`MeasurePublishLayer`].
#[derive(Clone, Debug)]
pub struct MeasurePublish<S> {
    inner: S,
    layer: MeasurePublishLayer,
    series: Option<Arc<Series>>,
}

impl<S> MeasurePublish<S> {
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

impl<S> Service<Message> for MeasurePublish<S>
where
    S: Service<Message, Response = Published, Error: Into<BoxError>>,
{
    type Response = Published;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, Publish>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> Self::Future {
        let MeasurePublishLayer { shared, destination } = &self.layer;
        let series = self.series.get_or_insert_with(|| shared.series(destination.as_deref()));
        let watch = MeasureWatch::begin(Arc::clone(series), Attempts::One(0));
        ResponseFuture::new(watch, || self.inner.call(message))
    }
}

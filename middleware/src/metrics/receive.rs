//! [`MeasureReceiveLayer`].

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use chappe_core::{BoxError, IntoOutcome, IntoResult, Message, Outcome};
use tower_layer::Layer;
use tower_service::Service;

use super::InFlight;
use super::future::ResponseFuture;
use super::series::{Attempts, MeasureWatch, Series, Shared};
use crate::observe::{Batch, Receive};

/// Measures the handling of messages.
///
/// Goes around receivers of single messages and of batches. The answer of a receiver is passed on as the
/// [`Outcome`] it says, its error as a [`BoxError`].
///
/// # Examples
///
/// ```
/// use chappe_core::{BoxError, Message};
/// use chappe_middleware::metrics::MeasureReceiveLayer;
/// use tower::{Service, ServiceBuilder, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let layer = MeasureReceiveLayer::new("memory");
/// let in_flight = layer.in_flight(); // for a health check
/// let receiver = service_fn(async |_: Message| Ok::<_, BoxError>(()));
/// let mut receiver = ServiceBuilder::new().layer(layer).service(receiver);
///
/// let call = receiver.call(Message::new("order 7"));
/// assert_eq!(in_flight.messages(), 1);
///
/// call.await?;
/// assert_eq!(in_flight.messages(), 0);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct MeasureReceiveLayer {
    shared: Arc<Shared>,
    destination: Option<Arc<str>>,
}

impl MeasureReceiveLayer {
    /// Creates a layer that writes to the recorder of the `metrics` crate, which has to be installed before
    /// the first message. The system is named as in OpenTelemetry's `messaging.system`, such as `aws_sqs` or
    /// `memory`; a backend handle tells its own.
    #[cfg(feature = "metrics")]
    pub fn new(system: impl Into<Cow<'static, str>>) -> Self {
        let facade = super::facade::Facade::new(&super::name::PROCESS, system.into());
        Self { shared: Arc::new(Shared::new(facade)), destination: None }
    }

    /// Creates a layer that writes to a meter of OpenTelemetry.
    #[cfg(feature = "opentelemetry")]
    pub fn from_meter(system: impl Into<Cow<'static, str>>, meter: &opentelemetry::metrics::Meter) -> Self {
        let shared = super::otel::Instruments::share(&super::name::PROCESS, system.into(), meter);
        Self { shared, destination: None }
    }

    /// Names where messages come from, in place of what they say themselves.
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

impl<S> Layer<S> for MeasureReceiveLayer {
    type Service = MeasureReceive<S>;

    fn layer(&self, inner: S) -> MeasureReceive<S> {
        MeasureReceive { inner, layer: self.clone(), series: None }
    }
}

/// Measures the handling of messages or batches; made by [`MeasureReceiveLayer`].
#[derive(Clone, Debug)]
pub struct MeasureReceive<S> {
    inner: S,
    layer: MeasureReceiveLayer,
    /// That of the message before: most servers have one queue.
    series: Option<Arc<Series>>,
}

impl<S> MeasureReceive<S> {
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

    fn begin(&mut self, source: Option<&str>, attempts: Attempts) -> MeasureWatch {
        let MeasureReceiveLayer { shared, destination } = &self.layer;
        let destination = destination.as_deref().or(source);
        let series = match &self.series {
            Some(series) if series.is_of(destination) => Arc::clone(series),
            _ => Arc::clone(self.series.insert(shared.series(destination))),
        };
        MeasureWatch::begin(series, attempts)
    }
}

impl<S> Service<Message> for MeasureReceive<S>
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
        let watch = self.begin(message.source(), Attempts::One(message.attempt()));
        ResponseFuture::new(watch, || self.inner.call(message))
    }
}

/// A batch is counted where its first message comes from.
impl<S, A> Service<Vec<Message>> for MeasureReceive<S>
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
        let attempts = Attempts::Each(messages.iter().map(Message::attempt).collect());
        let watch = self.begin(messages.first().and_then(Message::source), attempts);
        ResponseFuture::new(watch, || self.inner.call(messages))
    }
}

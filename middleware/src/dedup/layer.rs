//! [`DedupLayer`], the receiving half.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_core::{BoxError, IntoOutcome, Message, Outcome, Str};
use tower_layer::Layer;
use tower_service::Service;

use super::key::KeySource;
use super::reservation::Reservation;
use super::{DedupStore, Reserve, ResponseFuture};
use crate::Count;

/// The shortest pause before a duplicate is tried again, and the shortest reservation.
const SHORTEST: Duration = Duration::from_secs(1);

/// Handles each message once. See the [module](super).
#[derive(Clone, Debug)]
pub struct DedupLayer<D> {
    store: D,
    options: Arc<Options>,
    duplicates: Count,
}

#[derive(Clone, Debug)]
struct Options {
    key: KeySource,
    namespace: Str,
    reservation: Duration,
    fail_open: bool,
}

impl<D: DedupStore> DedupLayer<D> {
    /// Creates a layer that remembers keys in `store`.
    pub fn new(store: D) -> Self {
        let options = Options {
            key: KeySource::Default,
            namespace: Str::default(),
            reservation: Duration::from_secs(30),
            fail_open: false,
        };
        Self { store, options: Arc::new(options), duplicates: Count::default() }
    }

    /// Takes the key from an attribute. A message without it is handled and not remembered.
    #[must_use]
    pub fn key_attribute(self, name: impl Into<Str>) -> Self {
        let key = KeySource::Attribute(name.into());
        self.with(|options| options.key = key)
    }

    /// Has a function make the key. A message it has none for is handled and not remembered.
    #[must_use]
    pub fn key_fn(self, key: impl Fn(&Message) -> Option<Str> + Send + Sync + 'static) -> Self {
        self.with(|options| options.key = KeySource::Function(Arc::new(key)))
    }

    /// Sets whose keys these are, where a store is shared by receivers that each are to handle a message.
    #[must_use]
    pub fn namespace(self, name: impl Into<Str>) -> Self {
        let name = name.into();
        self.with(|options| options.namespace = name)
    }

    /// Sets how long a reservation lasts without being renewed, for messages without a lease. The default is
    /// 30 seconds, and at least one is needed. It is renewed twice in that time while the message is handled.
    ///
    /// The reservation of a message with a lease ends when the lease would, had it not been renewed.
    #[must_use]
    pub fn reservation(self, time: Duration) -> Self {
        self.with(|options| options.reservation = time.max(SHORTEST))
    }

    /// Handles messages when the store cannot be asked, which may handle some twice, rather than retry them.
    #[must_use]
    pub fn fail_open(self) -> Self {
        self.with(|options| options.fail_open = true)
    }

    /// How many messages were acknowledged because they had been handled before.
    #[must_use]
    pub fn duplicates(&self) -> Count {
        self.duplicates.clone()
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(&mut self.options));
        self
    }
}

impl<S, D: Clone> Layer<S> for DedupLayer<D> {
    type Service = Dedup<S, D>;

    fn layer(&self, inner: S) -> Dedup<S, D> {
        Dedup { inner, layer: self.clone() }
    }
}

/// Made by [`DedupLayer`].
#[derive(Clone, Debug)]
pub struct Dedup<S, D> {
    inner: S,
    layer: DedupLayer<D>,
}

impl<S, D> Dedup<S, D> {
    /// The service within.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service within, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service within, taken out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, D> Service<Message> for Dedup<S, D>
where
    S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    D: DedupStore,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> ResponseFuture {
        // The one that is ready is called; the clone has yet to become so.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        ResponseFuture::new(self.layer.clone().handle(inner, message))
    }
}

impl<D: DedupStore> DedupLayer<D> {
    async fn handle<S>(self, mut inner: S, message: Message) -> Result<Outcome, BoxError>
    where
        S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>, Future: Send> + Send,
    {
        let options = &*self.options;
        let Some(key) = options.key.key(&options.namespace, &message) else {
            return inner.call(message).await.map(IntoOutcome::into_outcome).map_err(Into::into);
        };
        let time = Reservation::<D>::time(message.lease(), options.reservation);
        let token = match self.store.reserve(&key, time.max(SHORTEST)).await {
            Ok(Reserve::Reserved(token)) => token,
            Ok(Reserve::Taken(left)) => return Ok(Outcome::RetryAfter(left.max(SHORTEST))),
            Ok(Reserve::Confirmed) => {
                self.duplicates.add_one();
                return Ok(Outcome::Ack);
            }
            Err(error) if options.fail_open => {
                tracing::warn!(target: "chappe::dedup", %error, "store cannot be asked, message is handled all the same");
                return inner.call(message).await.map(IntoOutcome::into_outcome).map_err(Into::into);
            }
            Err(error) => return Err(error),
        };
        let reservation = Reservation::new(self.store, key, token, options.reservation, message.lease().cloned());
        // Whatever ends this before the result is known drops the reservation, and so abandons it.
        let result = reservation.keep_during(inner.call(message)).await;
        let result = result.map(IntoOutcome::into_outcome).map_err(Into::into);
        let outcome = match &result {
            Ok(outcome) => outcome.clone(),
            Err(error) => Outcome::of_error(error.as_ref()),
        };
        match outcome {
            Outcome::Ack => reservation.confirm().await,
            _ => reservation.release().await,
        }
        result
    }
}

//! [`Router`], which hands each message to the handler for it.
//!
//! A router is made in four steps, of which only the third cannot be left out:
//!
//! ```
//! use chappe::extract::State;
//! use chappe::router::{Attr, Router, Source, Type, when};
//! # use std::time::Duration;
//! # use tower::timeout::TimeoutLayer;
//! # #[derive(Clone)] struct Db;
//! # async fn on_order(State(_): State<Db>, body: String) { let _ = body; }
//! # async fn on_user() {}
//! # async fn on_job() {}
//! # async fn on_large() {}
//!
//! let app = Router::new()
//!     // 1. routes, tried in this order
//!     .route(Type("order.created"), on_order)
//!     .route(Type::prefix("user."), on_user)
//!     .route(Source::eq("jobs").and(Attr("urgent").exists()), on_job)
//!     .route(when(|message| message.body().len() > 1 << 20), on_large)
//!     // 2. layers around the routes alone
//!     .route_layer(TimeoutLayer::new(Duration::from_secs(30)))
//!     // 3. what becomes of a message that no route takes
//!     .or_reject()
//!     // 4. the state the handlers ask for
//!     .with_state(Db);
//! # fn check<R: chappe::Receiver>(_: R) {}
//! # check(app);
//! ```
//!
//! # Order
//!
//! The first route whose [`Predicate`] is true of a message takes it. A route that stands behind another
//! which takes its messages could never be reached: adding it is refused there and then, see
//! [`RouteConflict`]. Neighbouring routes that compare the same attribute share one look-up and a
//! binary search, so a long list of types costs hardly more than a short one.
//!
//! # The unroutable
//!
//! A message no route takes must not be dropped by accident, so a router is not a
//! [`Receiver`] before it was told what becomes of one: [`or_reject`](Router::or_reject)
//! sends it to the dead letter with a reason, [`or_retry`](Router::or_retry) has it tried again, perhaps by
//! the next release, [`or_ack`](Router::or_ack) acknowledges what is none of our business, and
//! [`fallback`](Router::fallback) asks a handler.
//!
//! # Nesting
//!
//! [`nest`](Router::nest) puts a router behind a predicate. One that has not decided lets what it has no
//! route for pass on to the routes behind it; one that has decided keeps it. [`merge`](Router::merge) adds
//! the routes of another router behind one's own.
//!
//! # Layers
//!
//! [`layer`](Router::layer) wraps all routes and the fallback, [`route_layer`](Router::route_layer) only the
//! routes, [`Handler::layer`] one handler: every one of them wraps each route by
//! itself, once. They are plain tower layers around [`Route`], and the services they
//! make must be `Clone + Send + Sync`.
//!
//! The router itself is always ready, because it cannot know for which route; the readiness of a route's
//! layers is awaited in the call. What is to hold back the server goes around the router instead, as in
//! `ServiceBuilder::new().layer(…).service(app)`.
//!
//! # Cost
//!
//! Routing allocates nothing; a handler allocates its future, and each layer of a route adds one future.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

mod condition;
mod conflict;
mod decision;
mod predicate;
mod table;
mod target;

pub use conflict::RouteConflict;
pub use decision::{Decided, IsDecided, Satisfies, Undecided, Unroutable};
pub use predicate::{Predicate, when};

use self::table::Table;
use self::target::Target;
pub use crate::extract::{Attr, Source, Type};
use crate::handler::{Handler, ResponseFuture, Route};
use crate::{BoxError, Message, Outcome, Receiver};

/// Hands each message to the first route whose [`Predicate`] is true of it.
///
/// `S` is the state its handlers still need, `D` whether it is [decided](Decided) what becomes of messages
/// no route takes. With no state missing and that decided it is a [`Receiver`]. A clone costs a reference
/// count. See the [module](self) for the whole story.
#[must_use = "a router does nothing until it is served"]
pub struct Router<S = (), D = Undecided> {
    inner: Arc<Inner<S>>,
    decision: PhantomData<fn() -> D>,
}

struct Inner<S> {
    table: Table<Target<S>>,
    fallback: Option<Target<S>>,
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// Creates a router without routes.
    pub fn new() -> Self {
        Self::from_inner(Inner { table: Table::new(), fallback: None })
    }

    /// Adds a route to a handler.
    ///
    /// # Panics
    ///
    /// If a route before it takes its messages, as one that is equal does; see
    /// [`try_route`](Self::try_route) for routes that are not written in the code.
    #[track_caller]
    pub fn route<H: Handler<T, S>, T: 'static>(self, predicate: impl Into<Predicate>, handler: H) -> Self {
        accept(self.try_route(predicate, handler))
    }

    /// Adds a route to a handler, where routes come from a configuration.
    ///
    /// # Errors
    ///
    /// If a route before it takes its messages, as one that is equal does.
    pub fn try_route<H: Handler<T, S>, T: 'static>(
        self,
        predicate: impl Into<Predicate>,
        handler: H,
    ) -> Result<Self, RouteConflict> {
        self.push(predicate.into(), Target::new(handler))
    }

    /// Adds a route to any receiver, such as a topic to relay to.
    ///
    /// # Panics
    ///
    /// If a route before it takes its messages, as one that is equal does.
    #[track_caller]
    pub fn route_service(self, predicate: impl Into<Predicate>, service: impl Receiver + Sync) -> Self {
        accept(self.push(predicate.into(), Target::Ready(Route::from_service(service))))
    }

    /// Puts a router behind a predicate, and behind the routes so far.
    ///
    /// What it has no route for passes on to the routes behind it, unless it is decided.
    ///
    /// # Examples
    ///
    /// ```
    /// use chappe::Router;
    /// use chappe::router::{Source, Type};
    ///
    /// # async fn on_created() {}
    /// # async fn on_other() {}
    /// let orders = Router::new().route(Type("order.created"), on_created);
    /// let app = Router::<()>::new()
    ///     .nest(Source::eq("orders"), orders)
    ///     .route(Type::prefix("order."), on_other)
    ///     .or_reject();
    /// ```
    ///
    /// # Panics
    ///
    /// If a route before it takes the messages of one of its routes.
    #[track_caller]
    pub fn nest<D>(self, predicate: impl Into<Predicate>, router: Router<S, D>) -> Self {
        let predicate = predicate.into();
        accept(self.change(|inner| {
            let Inner { mut table, fallback } = router.into_inner();
            if let Some(fallback) = fallback {
                // Refused only where a route for any message leaves it nothing to take.
                let _ = table.push(Predicate::any(), fallback);
            }
            inner.table.nest(predicate, table)
        }))
    }

    /// Adds the routes of another router behind those so far.
    ///
    /// # Panics
    ///
    /// If a route before them takes the messages of one of them, as one that is equal does; see
    /// [`try_merge`](Self::try_merge).
    #[track_caller]
    pub fn merge(self, router: Self) -> Self {
        accept(self.try_merge(router))
    }

    /// Adds the routes of another router behind those so far, where routes come from a configuration.
    ///
    /// # Errors
    ///
    /// If a route before them takes the messages of one of them, as one that is equal does.
    pub fn try_merge(self, router: Self) -> Result<Self, RouteConflict> {
        self.change(|inner| inner.table.nest(Predicate::any(), router.into_inner().table))
    }

    /// Decides: a handler has the messages no route takes.
    pub fn fallback<H: Handler<T, S>, T: 'static>(self, handler: H) -> Router<S, Decided> {
        self.decide(|_| Target::new(handler))
    }

    /// Decides: any receiver has the messages no route takes, such as a topic to relay to.
    pub fn fallback_service(self, service: impl Receiver + Sync) -> Router<S, Decided> {
        self.decide(|_| Target::Ready(Route::from_service(service)))
    }

    /// Decides: a message no route takes goes to the dead letter, with a reason that names the attributes
    /// the routes look at and the values that came.
    ///
    /// Where there is no dead letter it is retried, because nothing is discarded.
    pub fn or_reject(self) -> Router<S, Decided> {
        self.decide(|table| Target::Ready(decision::refuse(table, Outcome::reject)))
    }

    /// Decides: a message no route takes is tried again after the server's backoff, for example by a newer
    /// release that has a route for it.
    pub fn or_retry(self) -> Router<S, Decided> {
        self.decide(|table| Target::Ready(decision::refuse(table, |_| Outcome::Retry)))
    }

    /// Decides: a message no route takes is acknowledged, and so forgotten. For subscriptions that carry
    /// more than is wanted.
    pub fn or_ack(self) -> Router<S, Decided> {
        self.decide(|_| Target::Ready(Route::new(|_| std::future::ready(Ok(Outcome::Ack)))))
    }

    fn push(self, predicate: Predicate, target: Target<S>) -> Result<Self, RouteConflict> {
        self.change(|inner| inner.table.push(predicate, target))
    }

    fn change(self, change: impl FnOnce(&mut Inner<S>) -> Result<(), RouteConflict>) -> Result<Self, RouteConflict> {
        let mut inner = self.into_inner();
        change(&mut inner).map(|()| Self::from_inner(inner))
    }

    fn decide(self, fallback: impl FnOnce(&Table<Target<S>>) -> Target<S>) -> Router<S, Decided> {
        let Inner { table, .. } = self.into_inner();
        let fallback = Some(fallback(&table));
        Router::from_inner(Inner { table, fallback })
    }
}

impl<S: Clone + Send + Sync + 'static> Router<S, Decided> {
    /// Wraps each route and the fallback in a tower layer.
    ///
    /// Layers added later are further out. On a router that is not decided yet, see
    /// [`route_layer`](Self::route_layer).
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route, Service: Receiver + Sync> + Clone + Send + Sync + 'static,
    {
        let Inner { table, fallback } = self.into_inner();
        let table = table.map(|target| target.layer(layer.clone()));
        Self::from_inner(Inner { table, fallback: fallback.map(|target| target.layer(layer)) })
    }
}

impl<S: Clone + Send + Sync + 'static, D> Router<S, D> {
    /// Wraps each route there is so far in a tower layer, but not the fallback.
    ///
    /// Layers added later are further out.
    pub fn route_layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route, Service: Receiver + Sync> + Clone + Send + Sync + 'static,
    {
        let Inner { table, fallback } = self.into_inner();
        Self::from_inner(Inner { table: table.map(|target| target.layer(layer.clone())), fallback })
    }

    /// Lends the handlers their state.
    ///
    /// Each route is handed a clone once; each message costs the clones of what its handler's
    /// [`State`](crate::extract::State) arguments ask for.
    pub fn with_state<S2>(self, state: S) -> Router<S2, D> {
        let Inner { table, fallback } = self.into_inner();
        let table = table.map(|target| Target::Ready(target.with_state(&state)));
        let fallback = fallback.map(|target| Target::Ready(target.with_state(&state)));
        Router::from_inner(Inner { table, fallback })
    }

    fn into_inner(self) -> Inner<S> {
        Arc::try_unwrap(self.inner).unwrap_or_else(|shared| (*shared).clone())
    }
}

impl<S, D> Router<S, D> {
    fn from_inner(inner: Inner<S>) -> Self {
        Self { inner: Arc::new(inner), decision: PhantomData }
    }
}

impl<S, D: IsDecided> Service<Message> for Router<S, D>
where
    (): Satisfies<S>,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> ResponseFuture {
        let Inner { table, fallback } = &*self.inner;
        match table.find(&message).or(fallback.as_ref()) {
            Some(Target::Ready(route)) => route.start(message),
            _ => unreachable!("a router that needs no state and is decided has a route for every message"),
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Router<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, D> Clone for Router<S, D> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), decision: PhantomData }
    }
}

impl<S, D> fmt::Debug for Router<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes: Vec<_> = self.inner.table.predicates().map(ToString::to_string).collect();
        f.debug_struct("Router").field("routes", &routes).finish_non_exhaustive()
    }
}

impl<S> Clone for Inner<S> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), fallback: self.fallback.clone() }
    }
}

#[track_caller]
fn accept<R>(changed: Result<R, RouteConflict>) -> R {
    match changed {
        Ok(router) => router,
        Err(conflict) => panic!("{conflict}"),
    }
}

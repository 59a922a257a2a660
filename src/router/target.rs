//! [`Target`], where a route leads before and after the state is known.

use std::any::Any;
use std::sync::Arc;

use tower_layer::Layer;

use crate::Receiver;
use crate::handler::{Handler, Route};

/// Where a route leads.
pub(super) enum Target<S> {
    Ready(Route),
    /// What makes a route of a handler and its layers as soon as there is a state.
    Waiting(Arc<dyn Fn(&S) -> Route + Send + Sync>),
}

impl<S: Clone + 'static> Target<S> {
    pub(super) fn new<H: Handler<T, S>, T>(handler: H) -> Self {
        // Where the state is `()` there is nothing to wait for, so that `with_state` can be left out.
        match (&() as &dyn Any).downcast_ref::<S>() {
            Some(nothing) => Self::Ready(handler.with_state(nothing.clone())),
            None => Self::Waiting(Arc::new(move |state| handler.clone().with_state(state.clone()))),
        }
    }

    pub(super) fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route, Service: Receiver + Sync> + Send + Sync + 'static,
    {
        match self {
            Self::Ready(route) => Self::Ready(Route::from_service(layer.layer(route))),
            Self::Waiting(make) => Self::Waiting(Arc::new(move |state| Route::from_service(layer.layer(make(state))))),
        }
    }

    pub(super) fn with_state(self, state: &S) -> Route {
        match self {
            Self::Ready(route) => route,
            Self::Waiting(make) => make(state),
        }
    }
}

impl<S> Clone for Target<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Ready(route) => Self::Ready(route.clone()),
            Self::Waiting(make) => Self::Waiting(Arc::clone(make)),
        }
    }
}

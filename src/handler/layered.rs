//! [`Layered`], a handler in a layer of its own.

use std::fmt;
use std::marker::PhantomData;

use tower_layer::Layer;

use super::{Handler, Route};
use crate::Receiver;

/// A handler in a tower layer; made by [`Handler::layer`].
pub struct Layered<L, H, T, S> {
    layer: L,
    handler: H,
    // Which handler it is: without these the compiler would not know what it was layered as.
    handles: PhantomData<fn() -> (T, S)>,
}

impl<L, H, T, S> Layered<L, H, T, S> {
    pub(super) fn new(layer: L, handler: H) -> Self {
        Self { layer, handler, handles: PhantomData }
    }
}

#[diagnostic::do_not_recommend]
impl<L, H, T, S> Handler<T, S> for Layered<L, H, T, S>
where
    L: Layer<Route, Service: Receiver + Sync> + Clone + Send + Sync + 'static,
    H: Handler<T, S>,
    T: 'static,
    S: 'static,
{
    fn with_state(self, state: S) -> Route {
        Route::from_service(self.layer.layer(self.handler.with_state(state)))
    }
}

impl<L: Clone, H: Clone, T, S> Clone for Layered<L, H, T, S> {
    fn clone(&self) -> Self {
        Self::new(self.layer.clone(), self.handler.clone())
    }
}

impl<L, H, T, S> fmt::Debug for Layered<L, H, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").finish_non_exhaustive()
    }
}

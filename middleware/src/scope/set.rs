//! [`SetScopeLayer`], the publishing half.

use chappe_core::{Message, Str};
use tower_layer::Layer;

use super::SCOPE;
use crate::amend::{Amend, Amendment};

/// Made by [`SetScopeLayer`].
pub type SetScope<S> = Amend<S, SetScopeLayer>;

/// Says whom each message is for that does not say so itself. See the [module](super).
#[derive(Clone, Debug)]
pub struct SetScopeLayer {
    scope: Str,
}

impl SetScopeLayer {
    /// Creates a layer for a scope.
    pub fn new(scope: impl Into<Str>) -> Self {
        Self { scope: scope.into() }
    }
}

impl<S> Layer<S> for SetScopeLayer {
    type Service = SetScope<S>;

    fn layer(&self, inner: S) -> SetScope<S> {
        Amend::new(inner, self.clone())
    }
}

impl Amendment for SetScopeLayer {
    fn amend(&self, message: &mut Message) {
        if !message.attributes().contains(SCOPE) {
            message.attributes_mut().insert(SCOPE, self.scope.clone());
        }
    }
}

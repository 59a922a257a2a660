//! The attributes of a message, as propagators write and read them.

use chappe_core::Attributes;
use opentelemetry::propagation::{Extractor, Injector};

use crate::trace::Wire;

/// Attributes that are read.
pub(super) struct Source<'a>(pub(super) &'a Attributes);

impl Extractor for Source<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get_str(key)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn get_all(&self, key: &str) -> Option<Vec<&str>> {
        // The trait has nothing but the key to borrow the values for, so they are looked up once more.
        let same = |name: &str| name.eq_ignore_ascii_case(key);
        let all: Vec<&str> =
            self.0.iter().filter(|(name, _)| same(name)).filter_map(|(_, value)| value.as_str()).collect();
        (!all.is_empty()).then_some(all)
    }
}

/// Attributes that are written.
pub(super) struct Target<'a> {
    pub(super) attributes: &'a mut Attributes,
    pub(super) wire: Wire,
}

impl Injector for Target<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` says nothing, and there are brokers that take ten attributes.
        if !value.is_empty() {
            self.attributes.insert(self.wire.name(key), value);
        }
    }
}

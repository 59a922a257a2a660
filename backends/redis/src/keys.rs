//! The keys of a queue.

use std::sync::Arc;

/// The keys of one queue, all in one hash slot.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// What all begin with.
    pub(crate) base: Arc<str>,
    /// What waits and what is out: a stream.
    pub(crate) stream: Arc<str>,
    /// When what is held back is due: a sorted set.
    pub(crate) due: Arc<str>,
    /// What is held back: a hash.
    pub(crate) held: Arc<str>,
    /// The entry that tells a consumer to look at what is due: a string.
    pub(crate) mark: Arc<str>,
    /// Leases that were made longer than usual: a sorted set.
    pub(crate) kept: Arc<str>,
    /// The stream of the dead letters.
    pub(crate) dead: Arc<str>,
}

impl Keys {
    /// The keys of the queue `name`. The name is the hash tag, unless it has one of its own.
    pub(crate) fn new(name: &str) -> Self {
        Self::of(if has_tag(name) { name.to_owned() } else { format!("{{{name}}}") })
    }

    /// The keys of the queue of its dead letters.
    pub(crate) fn dead_letter(&self) -> Self {
        Self::of(format!("{}:dead", self.base))
    }

    fn of(base: String) -> Self {
        let key = |suffix: &str| format!("{base}:{suffix}").into();
        Self {
            stream: key("s"),
            due: key("z"),
            held: key("h"),
            mark: key("w"),
            kept: key("x"),
            dead: key("dead:s"),
            base: base.into(),
        }
    }

    /// The key that remembers an id.
    pub(crate) fn id(&self, id: &str) -> String {
        format!("{}:d:{id}", self.base)
    }
}

/// Whether part of a name is between braces, which is what a cluster hashes then.
fn has_tag(name: &str) -> bool {
    name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).is_some_and(|(tag, _)| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_hash_tag_unless_it_has_one() {
        assert_eq!(&*Keys::new("orders").stream, "{orders}:s");
        assert_eq!(&*Keys::new("{shop}:orders").stream, "{shop}:orders:s");
        assert_eq!(&*Keys::new("a{}b").stream, "{a{}b}:s");
    }

    #[test]
    fn dead_letters_are_where_the_queue_of_dead_letters_looks() {
        let keys = Keys::new("orders");

        assert_eq!(keys.dead, keys.dead_letter().stream);
    }
}

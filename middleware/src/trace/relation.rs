//! [`Relation`], what handling a message is to the trace it was published in.

/// What handling a message is to the trace it was published in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Relation {
    /// A part of it: handling is a child of publishing, and the whole way of a message is one trace.
    #[default]
    Parent,
    /// A trace of its own that refers to it: for messages that lie about for days, or come from people whose
    /// ids one does not take over. Nor is their baggage.
    Link,
}

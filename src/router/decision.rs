//! Whether a router knows what becomes of messages no route takes.

use std::error::Error as StdError;
use std::fmt;

use super::condition::Names;
use super::table::Table;
use crate::handler::Route;
use crate::{Message, Outcome, OutcomeError};

/// How much of a value the reason shows.
const SHOWN_CHARS: usize = 64;

/// A router that has yet to be told what becomes of messages no route takes.
#[derive(Debug)]
pub enum Undecided {}

/// A router that knows what becomes of every message.
#[derive(Debug)]
pub enum Decided {}

/// Said of a router that knows what becomes of every message.
#[diagnostic::on_unimplemented(
    message = "this router does not say what becomes of a message that no route takes",
    label = "not decided",
    note = "end its routes with `.or_reject()` for the dead letter, `.or_retry()`, `.or_ack()`, or `.fallback(handler)`"
)]
pub trait IsDecided: private::Sealed {}

impl IsDecided for Decided {}

/// Said of `()`, of which a router that needs no state any more is satisfied.
#[diagnostic::on_unimplemented(
    message = "this router still needs its state, a `{S}`",
    label = "no state given",
    note = "give it with `.with_state(state)`"
)]
pub trait Satisfies<S>: private::Sealed {}

// The state stands in the trait's parameter because it would not be inferred as the implementing type.
impl Satisfies<()> for () {}

mod private {
    pub trait Sealed {}

    impl Sealed for super::Decided {}
    impl Sealed for () {}
}

/// No route takes the message.
///
/// The text names the attributes the router looks at and the values that came.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unroutable {
    came: String,
    outcome: OutcomeError,
}

impl fmt::Display for Unroutable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no route takes a message with {}", self.came)
    }
}

impl StdError for Unroutable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.outcome)
    }
}

/// A route that fails every message with the outcome `decide` makes of the reason.
pub(super) fn refuse<R>(table: &Table<R>, decide: fn(String) -> Outcome) -> Route {
    let mut looked_at = Vec::new();
    for predicate in table.predicates() {
        predicate.0.each_name(&mut |names| {
            if !looked_at.contains(names) {
                looked_at.push(names.clone());
            }
        });
    }
    Route::new(move |message| {
        let came = describe(&looked_at, &message);
        let outcome = decide(format!("no route takes a message with {came}"));
        let outcome = OutcomeError::new(outcome, "the router has none for it");
        std::future::ready(Err(Unroutable { came, outcome }.into()))
    })
}

fn describe(looked_at: &[Names], message: &Message) -> String {
    use fmt::Write;

    let mut text = String::new();
    for names in looked_at {
        let _ = match names.find_in(message.attributes()) {
            Some(value) => {
                let shown: String = value.chars().take(SHOWN_CHARS).collect();
                write!(text, "{names} {shown:?}, ")
            }
            None => write!(text, "no {names}, "),
        };
    }
    let _ = match &message.source() {
        Some(source) => write!(text, "source {source:?}"),
        None => write!(text, "no source"),
    };
    text
}

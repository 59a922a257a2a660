//! What is written on a dead letter, and read from one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chappe_core::attribute::reserved;
use chappe_core::backend::DeadLetter;
use chappe_core::{Attributes, Message, Value};

/// The attribute that says why a message was given up.
pub const REASON: &str = "dead-reason";
/// The attribute that says which queue a dead letter comes from.
pub const SOURCE: &str = "dead-source";
/// The attribute that says how often a dead letter was tried.
pub const ATTEMPTS: &str = "dead-attempts";
/// The attribute that says when a message was given up, in milliseconds since the Unix epoch.
pub const AT: &str = "dead-at";
/// The attribute that says what the broker called the message in the queue it comes from.
pub const ID: &str = "dead-id";

/// The longest reason: an error may quote a whole body, and brokers count attributes as part of a message.
const MAX_REASON_BYTES: usize = 1024;

/// What is known of a dead letter, from wherever it is written: among the extensions by a backend, or in
/// the attributes by this layer. `None` if the message is none.
#[must_use]
pub fn read(message: &Message) -> Option<DeadLetter> {
    if let Some(letter) = message.extensions().get::<DeadLetter>() {
        return Some(letter.clone());
    }
    let attributes = message.attributes();
    let text = |name, reserved| attributes.get_str(name).or_else(|| attributes.get_str(reserved));
    let number = |name, reserved| text(name, reserved).and_then(|text| text.parse::<u64>().ok());
    let reason = text(REASON, reserved::DEAD_REASON)?;
    let source = text(SOURCE, reserved::DEAD_SOURCE).unwrap_or_default();
    let attempts = number(ATTEMPTS, reserved::DEAD_ATTEMPTS).unwrap_or_default();
    let at = Duration::from_millis(number(AT, reserved::DEAD_AT).unwrap_or_default());
    let at = SystemTime::UNIX_EPOCH.checked_add(at).unwrap_or(SystemTime::UNIX_EPOCH);
    Some(DeadLetter::new(reason, source, u32::try_from(attempts).unwrap_or(u32::MAX), at))
}

/// Makes a dead letter of a message that was received.
pub(super) fn write(mut message: Message, reason: &str) -> Message {
    let source = message.source().map(str::to_owned);
    let attempts = Some(message.attempt()).filter(|attempt| *attempt > 0);
    let id = message.id().map(ToString::to_string);
    message.set_delay(None);
    // Nothing is to expire in the dead letter.
    message.set_expires(None);
    let attributes = message.attributes_mut();
    attributes.insert(REASON, cut(reason).to_owned());
    set(attributes, SOURCE, source.map(Value::from));
    set(attributes, ATTEMPTS, attempts.map(|attempts| Value::from(attempts.to_string())));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    attributes.insert(AT, now.as_millis().to_string());
    set(attributes, ID, id.map(Value::from));
    message.into_outgoing()
}

/// Sets an attribute, or removes what an earlier death may have left.
fn set(attributes: &mut Attributes, name: &'static str, value: Option<Value>) {
    match value {
        Some(value) => attributes.insert(name, value),
        None => drop(attributes.remove(name)),
    }
}

fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

/// Where a dead letter comes from, to name it in an error.
pub(super) fn name(message: &Message) -> Arc<str> {
    let id = message.id().map_or_else(|| "without id".to_owned(), ToString::to_string);
    format!("{id} of {}", message.source().unwrap_or("no queue")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received() -> Message {
        let mut message = Message::new("body");
        message.attributes_mut().insert("type", "order");
        message.set_id("7");
        message.set_source("jobs");
        message.set_attempt(3);
        message.set_delay(Duration::from_secs(9));
        message.set_expires(SystemTime::now());
        message.set_key("key");
        message
    }

    #[test]
    fn the_names_are_those_of_core_without_their_prefix() {
        let reserved = [reserved::DEAD_REASON, reserved::DEAD_SOURCE, reserved::DEAD_ATTEMPTS, reserved::DEAD_AT];

        assert_eq!(reserved.map(|name| name.strip_prefix("msg-").unwrap()), [REASON, SOURCE, ATTEMPTS, AT]);
    }

    #[test]
    fn a_dead_letter_is_the_message_with_what_is_known_of_its_end() {
        let letter = write(received(), "too bad");

        let why = read(&letter).unwrap();
        assert_eq!((&*why.reason, &*why.source, why.attempts), ("too bad", "jobs", 3));
        assert!(why.at.elapsed().unwrap() < Duration::from_secs(5));
        assert_eq!((letter.body().as_ref(), letter.attributes().get_str("type")), (&b"body"[..], Some("order")));
        assert_eq!((letter.key().unwrap().as_str(), letter.attributes().get_str(ID)), (Some("key"), Some("7")));
        assert_eq!((letter.delay(), letter.expires()), (None, None));
        assert_eq!((letter.id(), letter.attempt(), letter.source()), (None, 0, None));
    }

    #[test]
    fn what_dies_twice_has_the_reason_of_its_last_death() {
        let mut again = write(received(), "too bad");
        again.set_attempt(0);

        let letter = write(again, "worse");

        let why = read(&letter).unwrap();
        assert_eq!((&*why.reason, &*why.source, why.attempts), ("worse", "", 0));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let letter = write(received(), &"é".repeat(1000));

        assert_eq!(read(&letter).unwrap().reason.len(), MAX_REASON_BYTES);
        assert_eq!(cut(&"x€".repeat(1000)).len(), 1024, "256 times four bytes");
        assert_eq!(cut(&format!("x{}", "é".repeat(1000))).len(), 1023);
    }

    #[test]
    fn a_message_that_never_died_is_no_dead_letter() {
        assert_eq!(read(&received()), None);
    }
}

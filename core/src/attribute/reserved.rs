//! Attribute names chappe keeps for itself on the wire.
//!
//! A backend writes them where its broker has no field of its own for what they say, and strips them from
//! what it receives; publishing a message that carries one is [`Invalid`](crate::ErrorKind::Invalid).

/// The publisher's idempotency id.
pub const ID: &str = "msg-id";
/// The ordering key.
pub const KEY: &str = "msg-key";
/// When the message was published, in milliseconds since the Unix epoch.
pub const PUBLISHED: &str = "msg-published";
/// Attempts before this copy, on brokers that publish again to retry.
pub const ATTEMPT: &str = "msg-attempt";
/// Not to be handled before, in milliseconds since the Unix epoch.
pub const NOT_BEFORE: &str = "msg-not-before";
/// When the message is no longer wanted, in milliseconds since the Unix epoch.
pub const EXPIRES: &str = "msg-expires";
/// Which handle published the message; for `echo = false` on a bus.
pub const ORIGIN: &str = "msg-origin";
/// How a text-only broker carries the body.
pub const ENCODING: &str = "msg-encoding";
/// Attributes the broker had no room or form for, packed.
pub const PACKED: &str = "msg-attrs";
/// Why a message is in the dead letter.
pub const DEAD_REASON: &str = "msg-dead-reason";
/// Which queue a dead letter comes from.
pub const DEAD_SOURCE: &str = "msg-dead-source";
/// How often a dead letter was tried.
pub const DEAD_ATTEMPTS: &str = "msg-dead-attempts";
/// When a message became a dead letter, in milliseconds since the Unix epoch.
pub const DEAD_AT: &str = "msg-dead-at";

/// All reserved names.
pub const ALL: [&str; 13] = [
    ID,
    KEY,
    PUBLISHED,
    ATTEMPT,
    NOT_BEFORE,
    EXPIRES,
    ORIGIN,
    ENCODING,
    PACKED,
    DEAD_REASON,
    DEAD_SOURCE,
    DEAD_ATTEMPTS,
    DEAD_AT,
];

/// Whether `name` is reserved, in whatever ASCII case.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    // The common prefix turns nearly every name away on its first four bytes.
    name.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("msg-"))
        && ALL.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_names_are_reserved() {
        assert!(is_reserved("MSG-Id"));
        assert!(!is_reserved("msg-type"));
        assert!(!is_reserved("ms"));
        assert!(!is_reserved("é-attrs"));
    }
}

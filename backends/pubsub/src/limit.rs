//! What Pub/Sub can carry, with the pages that say so (read in November 2026).

use std::time::Duration;

use chappe_core::Value;
use chappe_core::attribute::Misfit;

/// The most bytes of a message and of a publish request. <https://cloud.google.com/pubsub/quotas#resource_limits>
pub(crate) const MAX_BYTES: usize = 10_000_000;
/// What a request takes beside bodies and attributes: its own fields, and those of each message.
pub(crate) const REQUEST_OVERHEAD: usize = 500_000;
/// The most messages of a publish request. Same page.
pub(crate) const MAX_BATCH: usize = 1000;
/// The most attributes of a message. Same page.
pub(crate) const MAX_ATTRIBUTES: usize = 100;
/// The most bytes of the name of an attribute. Same page.
pub(crate) const MAX_NAME: usize = 256;
/// The most bytes of the value of an attribute. Same page.
pub(crate) const MAX_VALUE: usize = 1024;
/// The most bytes of an ordering key. Same page.
pub(crate) const MAX_KEY: usize = 1024;
/// How short and how long a lease may be set. Same page, and
/// <https://cloud.google.com/pubsub/docs/lease-management>
pub(crate) const MIN_LEASE: Duration = Duration::from_secs(10);
pub(crate) const MAX_LEASE: Duration = Duration::from_secs(600);
/// How long a message is held in all before it is let go, as Google's own clients do.
pub(crate) const MAX_HOLD: Duration = Duration::from_secs(3600);
/// The most ids of one `Acknowledge` or `ModifyAckDeadline`: a request may have 512 KiB, and an id has been seen
/// to have 200 bytes. <https://cloud.google.com/pubsub/quotas#resource_limits>
pub(crate) const MAX_IDS: usize = 2000;

/// Begins the names of the parts of packed attributes behind the first.
pub(crate) const PART: &str = "msg-attrs.";
/// Begins the names Google keeps for itself.
const GOOGLE: &str = "goog";

/// Whether Pub/Sub carries an attribute as it is, or why not.
pub(crate) fn fits(name: &str, value: &Value) -> Result<(), Misfit> {
    if name.is_empty() {
        return Err("has no name".into());
    }
    if name.len() > MAX_NAME {
        return Err(format!("has a name of {} bytes, Pub/Sub takes {MAX_NAME}", name.len()).into());
    }
    if begins(name, GOOGLE) {
        return Err("has a name that begins as those Google keeps for itself".into());
    }
    if begins(name, PART) || begins(name, crate::wire::BURIED) {
        return Err("has a name that means something else on the wire".into());
    }
    match value {
        Value::Text(text) if text.len() <= MAX_VALUE => Ok(()),
        Value::Text(text) => Err(format!("has a value of {} bytes, Pub/Sub takes {MAX_VALUE}", text.len()).into()),
        Value::Number(_) => Err("is a number, Pub/Sub has text only".into()),
        Value::Binary(_) => Err("is binary, Pub/Sub has text only".into()),
        _ => Err("is null, Pub/Sub has text only".into()),
    }
}

/// Whether a key can be an ordering key.
pub(crate) fn is_key(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_KEY
}

fn begins(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_google_refuses_or_we_need_do_not_fit() {
        for name in
            ["", "goog", "googclient_x", "Google", "msg-attrs.1", "CloudPubSubDeadLetterSourceX", &"x".repeat(257)]
        {
            assert!(fits(name, &"1".into()).is_err(), "{name}");
        }
        for name in ["a", "größe", "a b", "go", &"x".repeat(256)] {
            assert!(fits(name, &"1".into()).is_ok(), "{name}");
        }
    }

    #[test]
    fn only_text_that_is_short_enough_fits() {
        assert!(fits("a", &"x".repeat(1024).into()).is_ok() && fits("a", &"".into()).is_ok());
        assert!(fits("a", &"x".repeat(1025).into()).is_err());
        assert!(
            fits("a", &1.into()).is_err() && fits("a", &Value::Null).is_err() && fits("a", &vec![1].into()).is_err()
        );
    }
}

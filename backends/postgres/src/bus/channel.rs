//! The channel of a topic.

use std::borrow::Cow;
use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The longest name of a channel in bytes: `NOTIFY` refuses longer ones, and `LISTEN` cuts them off.
const MAX_BYTES: usize = 63;

/// What the name of a channel begins with that stands for a topic by its hash.
const HASHED: &str = "chappe-";

/// The channel of a topic: the topic itself where that is a plain name, else a hash of it.
pub(super) fn channel(topic: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    if (1..=MAX_BYTES).contains(&topic.len()) && topic.bytes().all(plain) && !topic.starts_with(HASHED) {
        return Cow::Borrowed(topic);
    }
    let mut name = HASHED.to_owned();
    for byte in &Sha256::digest(topic)[..16] {
        write!(name, "{byte:02x}").expect("writing to a string cannot fail");
    }
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_topic_is_its_own_channel() {
        let longest = "x".repeat(63);

        for topic in ["prices", "room:7/chat", "UPPER.case-1", &longest] {
            assert_eq!(channel(topic), topic);
        }
    }

    #[test]
    fn what_is_long_or_odd_has_a_channel_of_its_own() {
        let long = "x".repeat(64);
        let longer = "x".repeat(65);
        let odd = ["", "größe", "a\"b", "a b", "a;b", "nul\0", &long, &longer, &channel("größe")];

        let channels: std::collections::HashSet<_> = odd.iter().map(|topic| channel(topic)).collect();

        assert_eq!(channels.len(), odd.len());
        assert!(channels.iter().all(|name| name.len() == 39 && name.starts_with(HASHED)), "{channels:?}");
    }
}

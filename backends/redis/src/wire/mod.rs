//! How a message is an entry of a stream.
//!
//! The first field is `b`, the body. Then come fields with [reserved](chappe_core::attribute::reserved) names
//! where there is something to say, then the attributes, each a field of its own, in their order and as often
//! as they are there. Values are text; where one is not, `msg-attrs` has a letter for each.

use std::fmt;
use std::time::{Duration, SystemTime};

mod decode;
mod encode;
mod reply;

pub(crate) use decode::{Decoded, decode};
pub(crate) use encode::Fields;
pub(crate) use reply::{Entry, entries, int, number, text};

/// The name of the field with the body.
const BODY: &[u8] = b"b";
/// The name of the only field of an entry that is no message and only wakes somebody.
const MARK: &[u8] = b"w";

/// The id of an entry. An entry is delivered once, and whatever comes again is another entry, so this is also
/// what tells one delivery from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId {
    pub(crate) millis: u64,
    pub(crate) sequence: u64,
}

impl EntryId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (millis, sequence) = text.split_once('-')?;
        Some(Self { millis: millis.parse().ok()?, sequence: sequence.parse().ok()? })
    }

    /// When the entry was made, by the server's clock.
    pub(crate) fn time(self) -> SystemTime {
        time(self.millis)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

fn time(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Milliseconds, rounded up, so that nothing is early.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_as_the_server_orders_them() {
        let id = |text| EntryId::parse(text).unwrap();

        assert!(id("9-10") < id("10-2") && id("10-2") < id("10-10"));
        assert_eq!(id("1526919030474-55").to_string(), "1526919030474-55");
        assert_eq!(EntryId::parse("x-1"), None);
    }

    #[test]
    fn a_part_of_a_millisecond_is_a_whole_one() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(20)), 20);
        assert_eq!(millis(Duration::MAX), u64::MAX);
    }
}

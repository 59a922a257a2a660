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

/// The length of the longest id: two numbers of twenty digits.
pub(crate) const LONGEST_ID: usize = 41;

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

    /// The id as the server writes it, at the end of the buffer.
    pub(crate) fn write(self, buffer: &mut [u8; LONGEST_ID]) -> &[u8] {
        let dash = digits(self.sequence, buffer, LONGEST_ID) - 1;
        buffer[dash] = b'-';
        let first = digits(self.millis, buffer, dash);
        &buffer[first..]
    }

    /// When the entry was made, by the server's clock.
    pub(crate) fn time(self) -> SystemTime {
        time(self.millis)
    }
}

/// Writes a number that ends before `end`, and answers where it begins.
fn digits(number: u64, buffer: &mut [u8; LONGEST_ID], end: usize) -> usize {
    let (mut rest, mut at) = (number, end);
    loop {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return at;
        }
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
    fn ids_are_written_as_they_are_shown() {
        for (millis, sequence) in [(0, 0), (1_526_919_030_474, 55), (u64::MAX, u64::MAX)] {
            let id = EntryId { millis, sequence };

            assert_eq!(id.write(&mut [0; LONGEST_ID]), id.to_string().as_bytes());
        }
    }

    #[test]
    fn a_part_of_a_millisecond_is_a_whole_one() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(20)), 20);
        assert_eq!(millis(Duration::MAX), u64::MAX);
    }
}

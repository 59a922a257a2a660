//! [`Ticket`], what a message carries instead of its body.

use std::fmt;
use std::str::FromStr;

use chappe_core::{Error, ErrorKind};

/// The attribute with the ticket: the size of the body in bytes, and the name it is stored under.
pub const TICKET: &str = "msg-claim";

/// Names are 128 random bits, as hexadecimal digits: nobody guesses one, and no two are the same.
const NAME_DIGITS: usize = 32;

/// What is behind the name in the store, to tell bodies from other objects.
const SUFFIX: &str = ".body";

/// The size of a body and the name it is stored under.
///
/// It is no path, so that who writes a ticket cannot have anything else fetched than a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) bytes: u64,
    name: String,
}

impl Ticket {
    /// A ticket with a name of its own.
    pub(super) fn new(bytes: usize) -> Result<Self, Error> {
        let mut random = [0; NAME_DIGITS / 2];
        getrandom::fill(&mut random).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "operating system has no random numbers").with_source(error)
        })?;
        Ok(Self { bytes: bytes as u64, name: format!("{:032x}", u128::from_be_bytes(random)) })
    }

    /// The last part of the path in the store.
    pub(super) fn file_name(&self) -> String {
        format!("{}{SUFFIX}", self.name)
    }
}

/// Whether an object is a body by its name.
pub(super) fn is_body(file_name: &str) -> bool {
    file_name.strip_suffix(SUFFIX).is_some_and(is_name)
}

fn is_name(text: &str) -> bool {
    text.len() == NAME_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.bytes, self.name)
    }
}

impl FromStr for Ticket {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (bytes, name) = text.split_once(' ').ok_or(())?;
        let bytes = bytes.parse().map_err(|_| ())?;
        if is_name(name) { Ok(Self { bytes, name: name.to_owned() }) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_it_was_written() {
        let ticket = Ticket::new(123).unwrap();

        assert_eq!(ticket.to_string().parse(), Ok(ticket.clone()));
        assert!(is_body(&ticket.file_name()));
        assert_ne!(ticket, Ticket::new(123).unwrap());
    }

    #[test]
    fn a_ticket_names_nothing_but_a_body() {
        for text in [
            "",
            "1",
            "1 ",
            "1 ../../secret",
            "x 00112233445566778899aabbccddeeff",
            "1 00112233445566778899AABBCCDDEEFF",
        ] {
            assert_eq!(text.parse::<Ticket>(), Err(()), "{text}");
        }
    }
}

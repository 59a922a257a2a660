//! The attribute that tells a session's messages apart, however they get from a topic to a queue.

use chappe_core::Message;

/// Set by a tracked topic and taken off by a tracked queue, so receivers never see it.
const NAME: &str = "chappe-test-trace";

/// Writes which publication of a session a message is.
pub(super) fn put(message: &mut Message, nonce: u64, publication: usize) {
    message.attributes_mut().insert(NAME, format!("{nonce:x}.{publication}"));
}

/// Takes the stamp off, and reads it if it is this session's.
pub(super) fn take(message: &mut Message, nonce: u64) -> Option<usize> {
    // Looked at first, as a removal may copy the attributes.
    message.attributes().get_exact(NAME)?;
    let stamp = message.attributes_mut().remove(NAME)?;
    let (session, publication) = stamp.as_str()?.split_once('.')?;
    if session != format!("{nonce:x}") {
        return None;
    }
    publication.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_by_its_own_session_and_taken_off_by_any() {
        let mut own = Message::new("x");
        let mut foreign = Message::new("x");
        put(&mut own, 7, 1);
        put(&mut foreign, 8, 1);

        let read = (take(&mut own, 7), take(&mut foreign, 7));

        assert_eq!(read, (Some(1), None));
        assert!(own.attributes().is_empty() && foreign.attributes().is_empty());
    }
}

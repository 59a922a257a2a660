//! [`Shown`], how a message is shown where a test fails.

use std::fmt;

use chappe_core::Message;

/// How much of a body is shown.
const MAX_CHARS: usize = 60;

/// A message with its body: what is handled in a test is no secret, and tells messages apart best.
pub(super) struct Shown<'a>(pub(super) &'a Message);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.0.id() {
            write!(f, "{id} ")?;
        }
        match std::str::from_utf8(self.0.body()) {
            Ok(text) => match text.char_indices().nth(MAX_CHARS) {
                Some((end, _)) => write!(f, "{:?}…", &text[..end])?,
                None => write!(f, "{text:?}")?,
            },
            Err(_) => write!(f, "({} bytes)", self.0.body().len())?,
        }
        for (name, value) in self.0.attributes().iter() {
            match value.as_str() {
                Some(text) => write!(f, " {name}={text:?}")?,
                None => write!(f, " {name}={value:?}")?,
            }
        }
        Ok(())
    }
}

/// Writes one line for each, or says that there is none.
pub(super) fn lines<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let text: String = items.into_iter().map(|item| format!("\n  {item}")).collect();
    if text.is_empty() { "\n  nothing".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_by_id_body_and_attributes() {
        let mut message = Message::new("hello");
        message.set_id("m-1");
        message.attributes_mut().insert("type", "greeting");

        assert_eq!(Shown(&message).to_string(), r#"m-1 "hello" type="greeting""#);
    }

    #[test]
    fn what_is_long_is_cut_and_what_is_no_text_is_counted() {
        assert_eq!(Shown(&"é".repeat(61).into()).to_string(), format!("\"{}\"…", "é".repeat(60)));
        assert_eq!(Shown(&vec![0xff; 3].into()).to_string(), "(3 bytes)");
    }
}

//! What SQS can carry, with the pages that say so (read in November 2026).

use std::time::Duration;

use chappe_core::Value;
use chappe_core::attribute::Misfit;

/// The most bytes of a message, and of all messages of a batch: body, and names, types and values of
/// attributes. <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub(crate) const MAX_BYTES: usize = 1_048_576;
/// The most entries of a batch, and the most messages of one receive. Same page.
pub(crate) const MAX_BATCH: usize = 10;
/// The most attributes of a message. Same page.
pub(crate) const MAX_ATTRIBUTES: usize = 10;
/// The longest delay of a message. Same page.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(900);
/// The longest a message can be kept from others, in all, from the moment it was received.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>
pub(crate) const MAX_VISIBILITY: Duration = Duration::from_secs(43_200);
/// The longest a receive waits.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(20);
/// The longest name of an attribute, in characters.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
const MAX_NAME: usize = 256;
/// The most digits of a number. Same page.
const MAX_DIGITS: usize = 38;
/// The longest message group id and deduplication id.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagegroupid-property.html>
const MAX_ID: usize = 128;

/// The characters of bodies and of text attributes: those of XML 1.0.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
pub(crate) fn is_text(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether SQS carries an attribute as it is, or why not.
pub(crate) fn fits(name: &str, value: &Value) -> Result<(), Misfit> {
    if name.len() > MAX_NAME {
        return Err(format!("has a name of {} bytes, SQS takes {MAX_NAME}", name.len()).into());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let dotted = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    if name.is_empty() || !name.bytes().all(plain) || dotted {
        return Err("has a name SQS does not take: letters, digits, `_`, `-` and single dots inside".into());
    }
    let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if begins("aws.") || begins("amazon.") {
        return Err("has a name that begins as those Amazon keeps for itself".into());
    }
    match value {
        Value::Null => Err("is null, which SQS lacks".into()),
        value if value.as_bytes().is_empty() => Err("has an empty value, which SQS refuses".into()),
        Value::Text(text) if !text.chars().all(is_text) => Err("has a character SQS refuses in its value".into()),
        Value::Number(number) if !is_number(number) => Err("is not a number as SQS takes them".into()),
        _ => Ok(()),
    }
}

/// Whether a text can be a message group id or a deduplication id.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a number is sure to be taken: an optional sign, digits, and perhaps a fraction.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all(whole) && all(fraction) && whole.len() + fraction.len() <= MAX_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_amazon_refuses_do_not_fit() {
        for name in ["", ".a", "a.", "a..b", "a b", "größe", "AWS.x", "amazon.X", &"x".repeat(257)] {
            assert!(fits(name, &"1".into()).is_err(), "{name}");
        }
        for name in ["a", "A-b_c.d", "awsome", "msg-encoding"] {
            assert!(fits(name, &"1".into()).is_ok(), "{name}");
        }
    }

    #[test]
    fn numbers_that_might_be_refused_or_changed_do_not_fit() {
        let number = |text: &'static str| fits("n", &Value::Number(text.into())).is_ok();

        assert!(number("0") && number("-17") && number("1.50"));
        assert!(
            !number("1e400") && !number("many") && !number("-") && !number("0.123456789012345678901234567890123456789")
        );
    }

    #[test]
    fn the_characters_of_xml_are_text() {
        assert!("\t\n\r ~é\u{fffd}🔥".chars().all(is_text));
        assert!(!['\0', '\u{1}', '\u{1f}', '\u{fffe}', '\u{ffff}'].into_iter().any(is_text));
    }
}

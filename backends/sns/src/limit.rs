//! What SNS accepts, and SQS behind it.
//!
//! Sources, as of `aws-sdk-sns` 1.121: the [quotas of SNS](https://docs.aws.amazon.com/general/latest/gr/sns.html), its
//! [message attributes](https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html),
//! [`Publish`](https://docs.aws.amazon.com/sns/latest/api/API_Publish.html), and the
//! [quotas of SQS](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).

use chappe_core::Value;
use chappe_core::attribute::Misfit;

/// The most messages one call takes.
pub(crate) const MAX_BATCH: usize = 10;

/// The most bytes of body and attributes a message has, and a whole call, unless the topic is
/// [set](crate::SnsPublisher::max_message_bytes) otherwise.
pub(crate) const DEFAULT_MAX_BYTES: usize = 256 << 10;

/// The most bytes a topic can be set to allow.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// The most attributes a message has. SNS takes more, and then discards the message on its way to a queue
/// with raw delivery, while its publisher is told of success.
pub(crate) const MAX_ATTRIBUTES: usize = 10;

/// The longest name of an attribute, in bytes.
pub(crate) const MAX_NAME: usize = 256;

/// The longest message group and the longest deduplication id, in bytes.
pub(crate) const MAX_ID: usize = 128;

/// The longest subject, in characters.
pub(crate) const MAX_SUBJECT: usize = 100;

/// The most digits a number keeps on its way through SQS.
const MAX_DIGITS: usize = 38;

/// Whether a character may stand in a body or in the value of an attribute: those of XML.
pub(crate) fn is_text(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Why an attribute cannot travel as it is.
pub(crate) fn fits(name: &str, value: &Value) -> Result<(), Misfit> {
    if name.len() > MAX_NAME {
        return Err(format!("has a name of {} bytes, the limit is {MAX_NAME}", name.len()).into());
    }
    if let Some(character) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.')) {
        return Err(format!("has {character:?} in its name").into());
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return Err("has a dot at an end of its name, or two in a row".into());
    }
    let prefixed = |prefix: &str| name.get(..prefix.len()).is_some_and(|have| have.eq_ignore_ascii_case(prefix));
    if prefixed("aws.") || prefixed("amazon.") {
        return Err("has a name that begins as those of Amazon do".into());
    }
    match value {
        Value::Null => Err("is null".into()),
        value if value.as_bytes().is_empty() => Err("has an empty value".into()),
        Value::Number(number) if !is_number(number) => Err(format!("has {number:?} for a number").into()),
        value => match value.as_str().and_then(|text| text.chars().find(|c| !is_text(*c))) {
            Some(character) => Err(format!("has {character:?} in its value").into()),
            None => Ok(()),
        },
    }
}

/// Whether a text can be a message group or a deduplication id.
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
    fn numbers_are_those_both_services_keep() {
        for number in ["0", "-1.5", "42", "0.25", "1234567890123456789012345678901234567"] {
            assert!(is_number(number), "{number}");
        }
        for text in
            ["", "-", "one", "1.", ".5", "0x1f", "NaN", "1e", "1e100", "+1", "123456789012345678901234567890123456789"]
        {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn names_and_values_that_do_not_fit_are_told_why() {
        let misfit = |name: &str, value: Value| fits(name, &value).unwrap_err().into_owned();

        assert!(fits("order.type_1-a", &"new".into()).is_ok());
        assert_eq!(misfit("a b", "x".into()), "has ' ' in its name");
        assert_eq!(misfit(".a", "x".into()), "has a dot at an end of its name, or two in a row");
        assert_eq!(misfit("AWS.x", "x".into()), "has a name that begins as those of Amazon do");
        assert_eq!(misfit("a", "".into()), "has an empty value");
        assert_eq!(misfit("a", "x\0".into()), "has '\\0' in its value");
        assert_eq!(misfit(&"a".repeat(257), "x".into()), "has a name of 257 bytes, the limit is 256");
    }

    #[test]
    fn ids_are_of_printable_ascii() {
        assert!(is_id("tenant-7/a") && is_id(&"a".repeat(128)));
        assert!(!is_id("") && !is_id("a b") && !is_id("é") && !is_id(&"a".repeat(129)));
    }
}

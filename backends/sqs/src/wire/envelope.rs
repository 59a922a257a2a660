//! [`Envelope`], the JSON SNS wraps messages in unless raw delivery is on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chappe_core::{Attributes, Str, Value};
use serde_json::Value as Json;

use crate::SnsNotification;

/// Whether messages come in an envelope of SNS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Envelope {
    /// A message without attributes whose body is an envelope is taken out of it. What chappe publishes
    /// itself is never mistaken for one; a message of another system that only looks like one is.
    #[default]
    Auto,
    /// Every message is taken out of its envelope; one that has none is handed out as it is, and its
    /// [metadata](crate::SqsMetadata::undecoded) say so.
    Always,
    /// No message is.
    Never,
}

/// What was in an envelope.
pub(super) struct Opened {
    pub(super) body: String,
    pub(super) attributes: Attributes,
    pub(super) notification: SnsNotification,
}

/// What a body turned out to be.
pub(super) enum Look {
    Plain,
    Notification(Box<Opened>),
    /// SNS asks to confirm a subscription: nothing for a handler.
    Confirmation,
}

/// Whether a body could be taken for an envelope, so that a publisher hides it in base64.
pub(super) fn resembles(body: &[u8]) -> bool {
    body.first() == Some(&b'{') && contains(body, b"\"TopicArn\"") && contains(body, b"\"Type\"")
}

pub(super) fn look(body: &str) -> Look {
    if !body.starts_with('{') || !body.contains("\"TopicArn\"") {
        return Look::Plain;
    }
    let Ok(json) = serde_json::from_str::<Json>(body) else { return Look::Plain };
    let text = |name: &str| json.get(name).and_then(Json::as_str);
    let (Some(kind), Some(topic), Some(message)) = (text("Type"), text("TopicArn"), text("Message")) else {
        return Look::Plain;
    };
    match kind {
        "Notification" => {
            let shared = |name: &str| text(name).map(Into::into);
            let notification = SnsNotification {
                topic_arn: topic.into(),
                message_id: shared("MessageId"),
                subject: shared("Subject"),
                timestamp: shared("Timestamp"),
            };
            let attributes = json.get("MessageAttributes").map(attributes).unwrap_or_default();
            Look::Notification(Box::new(Opened { body: message.to_owned(), attributes, notification }))
        }
        "SubscriptionConfirmation" => Look::Confirmation,
        _ => Look::Plain,
    }
}

fn attributes(map: &Json) -> Attributes {
    let Some(map) = map.as_object() else { return Attributes::new() };
    let mut attributes: Attributes = map
        .iter()
        .map(|(name, typed)| {
            let kind = typed.get("Type").and_then(Json::as_str).unwrap_or_default();
            let text = typed.get("Value").and_then(Json::as_str).unwrap_or_default();
            let value = match (kind, STANDARD.decode(text)) {
                ("Binary", Ok(bytes)) => Value::from(bytes),
                ("Number", _) => Value::Number(text.to_owned().into()),
                _ => Value::from(text.to_owned()),
            };
            (Str::from(name.clone()), value)
        })
        .collect();
    attributes.sort();
    attributes
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTIFICATION: &str = r#"{
        "Type": "Notification", "MessageId": "m-1", "TopicArn": "arn:aws:sns:eu-west-1:1:orders", "Subject": "new",
        "Message": "hello", "Timestamp": "2026-11-21T10:00:00.000Z", "SignatureVersion": "1", "Signature": "x",
        "MessageAttributes": {
            "type": {"Type": "String", "Value": "order"},
            "size": {"Type": "Number", "Value": "7"},
            "key": {"Type": "Binary", "Value": "AAE="}
        }
    }"#;

    #[test]
    fn a_notification_is_opened() {
        let Look::Notification(opened) = look(&NOTIFICATION.replace("\n", "")) else { panic!("it is a notification") };

        assert_eq!(opened.body, "hello");
        let expected = [("key", Value::from(vec![0, 1])), ("size", Value::from(7)), ("type", Value::from("order"))];
        assert_eq!(opened.attributes, Attributes::from(expected));
        assert_eq!(opened.notification.subject.as_deref(), Some("new"));
        assert_eq!(&*opened.notification.topic_arn, "arn:aws:sns:eu-west-1:1:orders");
    }

    #[test]
    fn what_only_resembles_an_envelope_is_left_alone() {
        for body in
            ["", "{", r#"{"Type":"Notification","Message":"x"}"#, r#"{"Type":"Note","TopicArn":"a","Message":"x"}"#]
        {
            assert!(matches!(look(body), Look::Plain), "{body}");
        }
    }

    #[test]
    fn a_confirmation_is_known() {
        let body = r#"{"Type":"SubscriptionConfirmation","TopicArn":"arn","Token":"t","Message":"please"}"#;

        assert!(matches!(look(body), Look::Confirmation));
        assert!(resembles(body.as_bytes()));
    }
}

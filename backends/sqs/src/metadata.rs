//! [`SqsMetadata`], what SQS says of a message beside what its publisher wrote.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_sqs::types::MessageSystemAttributeName as Name;

/// What SQS says of a received message: in the [extensions](chappe_core::Message::extensions) of each.
///
/// It is never published again with the message. The id, the attempt, the time of publication and the group
/// are in the message itself, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqsMetadata {
    /// How often the message was received (`ApproximateReceiveCount`).
    pub receive_count: Option<u32>,
    /// When it was received first.
    pub first_received: Option<SystemTime>,
    /// When it was sent.
    pub sent: Option<SystemTime>,
    /// Who sent it: an IAM user or role id.
    pub sender: Option<Arc<str>>,
    /// The message group id: the order of a FIFO queue, the tenant of a fair one.
    pub group: Option<Arc<str>>,
    /// The deduplication id, in FIFO queues.
    pub deduplication_id: Option<Arc<str>>,
    /// The place in a FIFO queue.
    pub sequence_number: Option<Arc<str>>,
    /// The ARN of the queue a redrive policy moved it out of.
    pub dead_letter_source: Option<Arc<str>>,
    /// The trace header of X-Ray.
    pub aws_trace_header: Option<Arc<str>>,
    /// What SNS said of it, if it came in an envelope of SNS.
    pub sns: Option<SnsNotification>,
    /// Why the body or the attributes are as they were on the wire, if they could not be decoded.
    pub undecoded: Option<Arc<str>>,
}

impl SqsMetadata {
    pub(crate) fn read(message: &aws_sdk_sqs::types::Message) -> Self {
        let Some(attributes) = &message.attributes else { return Self::default() };
        let text = |name: Name| attributes.get(&name).map(|text| Arc::from(text.as_str()));
        let time = |name: Name| attributes.get(&name)?.parse().ok().map(from_millis);
        Self {
            receive_count: attributes.get(&Name::ApproximateReceiveCount).and_then(|count| count.parse().ok()),
            first_received: time(Name::ApproximateFirstReceiveTimestamp),
            sent: time(Name::SentTimestamp),
            sender: text(Name::SenderId),
            group: text(Name::MessageGroupId),
            deduplication_id: text(Name::MessageDeduplicationId),
            sequence_number: text(Name::SequenceNumber),
            dead_letter_source: text(Name::DeadLetterQueueSourceArn),
            aws_trace_header: text(Name::AwsTraceHeader),
            sns: None,
            undecoded: None,
        }
    }
}

/// What an envelope of SNS said of the message inside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnsNotification {
    /// The ARN of the topic.
    pub topic_arn: Arc<str>,
    /// The id SNS gave the message.
    pub message_id: Option<Arc<str>>,
    /// The subject.
    pub subject: Option<Arc<str>>,
    /// When it was published, as SNS writes it.
    pub timestamp: Option<Arc<str>>,
}

/// Milliseconds since 1970 as a time.
pub(crate) fn from_millis(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// A time as milliseconds since 1970.
pub(crate) fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

//! The messages of `google.pubsub.v1` that are used here, by hand.
//!
//! They are few and do not change, so that building takes neither `protoc` nor a crate of all there are. Field
//! numbers are those of <https://github.com/googleapis/googleapis/blob/master/google/pubsub/v1/pubsub.proto>;
//! fields that are left out are skipped when read.

use bytes::Bytes;
use prost::Message;

/// What is published and delivered.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PubsubMessage {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) data: Bytes,
    /// A map, which on the wire is a list of pairs. As a list it need not be hashed.
    #[prost(message, repeated, tag = "2")]
    pub(crate) attributes: Vec<Pair>,
    #[prost(string, tag = "3")]
    pub(crate) message_id: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) publish_time: Option<Timestamp>,
    #[prost(string, tag = "5")]
    pub(crate) ordering_key: String,
}

/// An entry of a map of texts.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Pair {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// A time since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

/// A length of time.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Length {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

/// The answer of a call that answers nothing.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PublishRequest {
    #[prost(string, tag = "1")]
    pub(crate) topic: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) messages: Vec<PubsubMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PublishResponse {
    #[prost(string, repeated, tag = "1")]
    pub(crate) message_ids: Vec<String>,
}

/// The first opens the stream; the others, empty ones, keep it open.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StreamingPullRequest {
    #[prost(string, tag = "1")]
    pub(crate) subscription: String,
    #[prost(int32, tag = "5")]
    pub(crate) stream_ack_deadline_seconds: i32,
    #[prost(string, tag = "6")]
    pub(crate) client_id: String,
    #[prost(int64, tag = "7")]
    pub(crate) max_outstanding_messages: i64,
    #[prost(int64, tag = "8")]
    pub(crate) max_outstanding_bytes: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StreamingPullResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) received_messages: Vec<ReceivedMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReceivedMessage {
    #[prost(string, tag = "1")]
    pub(crate) ack_id: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) message: Option<PubsubMessage>,
    /// 0 where the subscription has no dead-letter policy.
    #[prost(int32, tag = "3")]
    pub(crate) delivery_attempt: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AcknowledgeRequest {
    #[prost(string, tag = "1")]
    pub(crate) subscription: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) ack_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModifyAckDeadlineRequest {
    #[prost(string, tag = "1")]
    pub(crate) subscription: String,
    #[prost(int32, tag = "3")]
    pub(crate) ack_deadline_seconds: i32,
    #[prost(string, repeated, tag = "4")]
    pub(crate) ack_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Topic {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) labels: Vec<Pair>,
    #[prost(message, optional, tag = "8")]
    pub(crate) message_retention_duration: Option<Length>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Subscription {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) topic: String,
    #[prost(int32, tag = "5")]
    pub(crate) ack_deadline_seconds: i32,
    #[prost(bool, tag = "7")]
    pub(crate) retain_acked_messages: bool,
    #[prost(message, optional, tag = "8")]
    pub(crate) message_retention_duration: Option<Length>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) labels: Vec<Pair>,
    #[prost(bool, tag = "10")]
    pub(crate) enable_message_ordering: bool,
    #[prost(string, tag = "12")]
    pub(crate) filter: String,
    #[prost(message, optional, tag = "13")]
    pub(crate) dead_letter_policy: Option<DeadLetterPolicy>,
    #[prost(message, optional, tag = "14")]
    pub(crate) retry_policy: Option<RetryPolicy>,
    #[prost(bool, tag = "15")]
    pub(crate) detached: bool,
    #[prost(bool, tag = "16")]
    pub(crate) enable_exactly_once_delivery: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct DeadLetterPolicy {
    #[prost(string, tag = "1")]
    pub(crate) dead_letter_topic: String,
    #[prost(int32, tag = "2")]
    pub(crate) max_delivery_attempts: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct RetryPolicy {
    #[prost(message, optional, tag = "1")]
    pub(crate) minimum_backoff: Option<Length>,
    #[prost(message, optional, tag = "2")]
    pub(crate) maximum_backoff: Option<Length>,
}

/// Names a topic or a subscription to look at or delete: all four requests are this on the wire.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Named {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct SeekRequest {
    #[prost(string, tag = "1")]
    pub(crate) subscription: String,
    /// One of two; the other is the name of a snapshot.
    #[prost(message, optional, tag = "2")]
    pub(crate) time: Option<Timestamp>,
}

/// `google.rpc.Status`, which comes with an error in a header.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

/// `google.rpc.ErrorInfo`: for exactly-once subscriptions it says what became of each id.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub(crate) reason: String,
    #[prost(string, tag = "2")]
    pub(crate) domain: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) metadata: Vec<Pair>,
}

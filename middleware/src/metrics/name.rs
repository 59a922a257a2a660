//! The names of the metrics, by OpenTelemetry's [conventions for messaging][conventions] where they have one.
//!
//! [conventions]: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/

/// How long publishing takes, in seconds, from the call to the broker's word.
pub const PUBLISH_DURATION: &str = "messaging.client.operation.duration";
/// Messages that were published, or failed to be.
pub const SENT_MESSAGES: &str = "messaging.client.sent.messages";
/// Messages being published.
pub const PUBLISH_IN_FLIGHT: &str = "chappe.publish.in_flight";
/// For how long the oldest of them has been, in seconds.
pub const PUBLISH_OLDEST_AGE: &str = "chappe.publish.oldest.age";

/// How long handling a message or a batch takes, in seconds.
pub const PROCESS_DURATION: &str = "messaging.process.duration";
/// Deliveries that were handled, well or not.
pub const CONSUMED_MESSAGES: &str = "messaging.client.consumed.messages";
/// Messages being handled.
pub const PROCESS_IN_FLIGHT: &str = "chappe.process.in_flight";
/// For how long the oldest of them has been, in seconds: what shows that a handler hangs.
pub const PROCESS_OLDEST_AGE: &str = "chappe.process.oldest.age";
/// Which attempt a delivery was, where the broker counts.
pub const PROCESS_ATTEMPTS: &str = "chappe.process.attempts";

/// The upper bounds of the buckets of durations, in seconds, as the conventions have them.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The upper bounds of the buckets of attempts.
pub const ATTEMPT_BUCKETS: [f64; 8] = [1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 50.0];

/// What the metrics of one side are called.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) operation: &'static str,
    pub(super) duration: &'static str,
    pub(super) messages: &'static str,
    pub(super) in_flight: &'static str,
    pub(super) oldest: &'static str,
    /// What is only known of deliveries: which attempt they are and what becomes of them.
    pub(super) attempts: Option<&'static str>,
}

pub(super) const PUBLISH: Names = Names {
    operation: "send",
    duration: PUBLISH_DURATION,
    messages: SENT_MESSAGES,
    in_flight: PUBLISH_IN_FLIGHT,
    oldest: PUBLISH_OLDEST_AGE,
    attempts: None,
};

pub(super) const PROCESS: Names = Names {
    operation: "process",
    duration: PROCESS_DURATION,
    messages: CONSUMED_MESSAGES,
    in_flight: PROCESS_IN_FLIGHT,
    oldest: PROCESS_OLDEST_AGE,
    attempts: Some(PROCESS_ATTEMPTS),
};

pub(super) const DURATION_TEXT: &str = "Duration of publishing or of handling a message or a batch.";
pub(super) const MESSAGES_TEXT: &str = "Messages that were published or handled, well or not.";
pub(super) const IN_FLIGHT_TEXT: &str = "Messages being published or handled.";
pub(super) const OLDEST_TEXT: &str = "For how long the oldest message in flight has been.";
pub(super) const ATTEMPTS_TEXT: &str = "Which attempt a delivery was.";

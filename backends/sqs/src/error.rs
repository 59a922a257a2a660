//! What the SDK's errors mean, and what to do about them.

use std::error::Error as StdError;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use chappe_core::{Error, ErrorKind};

use crate::target::Target;

/// What a call does, as its errors tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// What follows "cannot".
    doing: &'static str,
    /// The permission it takes.
    action: &'static str,
    /// Whether it matters if it was carried out all the same.
    writes: bool,
}

pub(crate) const RECEIVE: Call = Call { doing: "receive from", action: "sqs:ReceiveMessage", writes: false };
pub(crate) const SEND: Call = Call { doing: "send to", action: "sqs:SendMessage", writes: true };
pub(crate) const DELETE: Call = Call { doing: "delete from", action: "sqs:DeleteMessage", writes: false };
pub(crate) const CHANGE: Call =
    Call { doing: "change visibility in", action: "sqs:ChangeMessageVisibility", writes: false };
pub(crate) const INSPECT: Call = Call { doing: "inspect", action: "sqs:GetQueueAttributes", writes: false };
pub(crate) const FIND: Call = Call { doing: "find", action: "sqs:GetQueueUrl", writes: false };
pub(crate) const CREATE: Call = Call { doing: "create", action: "sqs:CreateQueue", writes: false };
pub(crate) const CONFIGURE: Call = Call { doing: "configure", action: "sqs:SetQueueAttributes", writes: false };
pub(crate) const PURGE: Call = Call { doing: "purge", action: "sqs:PurgeQueue", writes: false };
pub(crate) const REMOVE: Call = Call { doing: "delete", action: "sqs:DeleteQueue", writes: false };
pub(crate) const MOVE: Call = Call { doing: "move messages out of", action: "sqs:StartMessageMoveTask", writes: true };

/// The codes AWS services throttle with.
const THROTTLES: [&str; 16] = [
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "KmsThrottled",
    "LimitExceededException",
    "OverLimit",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// What refuses a caller rather than a call.
const REFUSALS: [&str; 14] = [
    "AccessDenied",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalid",
    "KmsNotFound",
    "KmsOptInRequired",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
];

/// Converts what a call failed with.
pub(crate) fn classify<E>(error: SdkError<E>, call: Call, target: &Target) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let converted = match &error {
        SdkError::ServiceError(service) if service.raw().status().as_u16() >= 400 => {
            let code = service.err().code().unwrap_or_default();
            let text = service.err().message().unwrap_or_default();
            of_answer(code, text, service.raw().status().as_u16(), call, target)
        }
        SdkError::DispatchFailure(failure) if failure.is_other() || failure.is_user() => unsent(&error, call, target),
        SdkError::ConstructionFailure(_) => unsent(&error, call, target),
        SdkError::TimeoutError(_) => {
            let text = format!("cannot {} queue {}: it took too long", call.doing, target.name());
            unsure(Error::new(ErrorKind::Timeout, text), call, &error)
        }
        SdkError::DispatchFailure(_) => {
            let text = format!("cannot {} queue {}: {} cannot be reached", call.doing, target.name(), target.place());
            unsure(Error::new(ErrorKind::Unavailable, text), call, &error)
        }
        _ => {
            let text = format!("cannot {} queue {}: the answer cannot be read", call.doing, target.name());
            unsure(Error::new(ErrorKind::Unavailable, text), call, &error)
        }
    };
    converted.with_source(error)
}

/// Converts what one entry of a batch failed with.
pub(crate) fn of_entry(code: &str, text: Option<&str>, sender_fault: bool, call: Call, target: &Target) -> Error {
    of_answer(code, text.unwrap_or_default(), if sender_fault { 400 } else { 500 }, call, target)
}

/// What an answer means that leaves an entry out.
pub(crate) fn unanswered(call: Call, target: &Target) -> Error {
    let text = format!("cannot {} queue {}: the answer does not mention the message", call.doing, target.name());
    let error = Error::new(ErrorKind::Unavailable, text);
    if call.writes { error.ambiguous() } else { error }
}

/// Whether the whole of a batch was too long, so that parts of it may fit.
pub(crate) fn is_batch_too_long<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code().is_some_and(|code| short(code) == "BatchRequestTooLong")
}

/// Converts a code, by its last part: SQS still answers with the names of its old protocol.
fn of_answer(code: &str, text: &str, status: u16, call: Call, target: &Target) -> Error {
    let code = short(code);
    let (doing, name) = (call.doing, target.name());
    let lower = text.to_ascii_lowercase();
    let says = if text.is_empty() { String::new() } else { format!(": {}", text.trim_end_matches('.')) };
    let is = |codes: &[&str]| codes.iter().any(|start| code.starts_with(start));
    if is(&["NonExistentQueue", "QueueDoesNotExist"]) {
        let text = format!(
            "queue {} does not exist in {}; check its URL, account and region, or create it",
            target.url(),
            target.place()
        );
        return Error::new(ErrorKind::NotFound, text);
    }
    if THROTTLES.contains(&code) || status == 429 {
        return Error::new(
            ErrorKind::Throttled,
            format!("cannot {doing} queue {name}: SQS asks for fewer requests{says}"),
        );
    }
    let lost = ["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidIdFormat"];
    if is(&lost) || lower.contains("receipt handle") {
        return Error::new(ErrorKind::LeaseLost, format!("the lease of a message of queue {name} is over{says}"));
    }
    if is(&["ExpiredToken", "RequestExpired"]) {
        let text = format!("cannot {doing} queue {name}: the credentials have expired, renew them");
        return Error::new(ErrorKind::PermissionDenied, text);
    }
    if is(&REFUSALS) || status == 403 {
        let text = format!("cannot {doing} queue {name}: refused as {code}, {} is needed{says}", call.action);
        return Error::new(ErrorKind::PermissionDenied, text);
    }
    if is(&["BatchRequestTooLong"]) || lower.contains("must be shorter") {
        return Error::new(ErrorKind::TooLarge, format!("cannot {doing} queue {name}: the message is too long{says}"));
    }
    if is(&["UnsupportedOperation"]) {
        return Error::new(
            ErrorKind::Unsupported,
            format!("cannot {doing} queue {name}: it does not support this{says}"),
        );
    }
    if status >= 500 || is(&["Internal", "ServiceUnavailable"]) {
        return Error::new(
            ErrorKind::Unavailable,
            format!("cannot {doing} queue {name}: SQS failed with {code}{says}"),
        );
    }
    let kind = if status >= 400 || code.starts_with("Invalid") { ErrorKind::Invalid } else { ErrorKind::Other };
    Error::new(kind, format!("cannot {doing} queue {name}: refused as {code}{says}"))
}

/// What never left this machine: the credentials or the region are missing, or the request makes no sense.
fn unsent(error: &(dyn StdError + 'static), call: Call, target: &Target) -> Error {
    let (doing, name) = (call.doing, target.name());
    if chain(error).any(|cause| cause.is::<CredentialsError>()) {
        let text = format!("cannot {doing} queue {name}: there are no valid credentials, set or renew them");
        return Error::new(ErrorKind::PermissionDenied, text);
    }
    // The SDK's own types for these are private.
    let says = |what: &str| chain(error).any(|cause| cause.to_string().to_ascii_lowercase().contains(what));
    if says("region") && !target.has_region() {
        let text = format!("cannot {doing} queue {name}: no region is set; set AWS_REGION, or one in the client");
        return Error::new(ErrorKind::Invalid, text);
    }
    if says("auth scheme") {
        let text = format!("cannot {doing} queue {name}: the client has no credentials or no region, set both");
        return Error::new(ErrorKind::Invalid, text);
    }
    let kind =
        if chain(error).any(|cause| cause.is::<io::Error>()) { ErrorKind::Unavailable } else { ErrorKind::Invalid };
    Error::new(kind, format!("cannot {doing} queue {name}: the request could not be made"))
}

/// A write of which nobody knows whether it was carried out; but what never got a connection was not.
fn unsure(error: Error, call: Call, cause: &(dyn StdError + 'static)) -> Error {
    let refused = |cause: &(dyn StdError + 'static)| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        kind.is_some_and(|kind| matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable))
            || cause.to_string().contains("dns error")
    };
    if call.writes && !chain(cause).any(refused) { error.ambiguous() } else { error }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The last part of a code such as `AWS.SimpleQueueService.NonExistentQueue`.
fn short(code: &str) -> &str {
    code.rsplit(['.', '#']).next().unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str, text: &str, status: u16) -> ErrorKind {
        let target = Target::new("https://sqs.eu-west-1.amazonaws.com/123456789012/orders", Some("eu-west-1"));
        of_answer(code, text, status, RECEIVE, &target).kind()
    }

    #[test]
    fn codes_mean_the_same_in_either_spelling() {
        for code in
            ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "com.amazonaws.sqs#QueueDoesNotExist"]
        {
            assert_eq!(kind(code, "", 400), ErrorKind::NotFound, "{code}");
        }
    }

    #[test]
    fn every_code_has_the_meaning_of_its_family() {
        let table = [
            ("OverLimit", "", 400, ErrorKind::Throttled),
            ("RequestThrottled", "", 403, ErrorKind::Throttled),
            ("Whatever", "", 429, ErrorKind::Throttled),
            ("ExpiredTokenException", "", 403, ErrorKind::PermissionDenied),
            ("AccessDeniedException", "", 400, ErrorKind::PermissionDenied),
            ("KmsInvalidState", "", 400, ErrorKind::PermissionDenied),
            ("ReceiptHandleIsInvalid", "", 400, ErrorKind::LeaseLost),
            ("InvalidParameterValue", "Reason: The receipt handle has expired.", 400, ErrorKind::LeaseLost),
            ("InvalidParameterValue", "Message must be shorter than 1048576 bytes.", 400, ErrorKind::TooLarge),
            ("AWS.SimpleQueueService.BatchRequestTooLong", "", 400, ErrorKind::TooLarge),
            ("InvalidMessageContents", "", 400, ErrorKind::Invalid),
            ("AWS.SimpleQueueService.UnsupportedOperation", "", 400, ErrorKind::Unsupported),
            ("InternalError", "", 400, ErrorKind::Unavailable),
            ("Unknown", "", 503, ErrorKind::Unavailable),
        ];
        for (code, text, status, expected) in table {
            assert_eq!(kind(code, text, status), expected, "{code} {text} {status}");
        }
    }

    #[test]
    fn a_missing_queue_is_named_with_its_region_and_the_way_out() {
        let target = Target::new("https://sqs.eu-west-1.amazonaws.com/123456789012/orders", Some("eu-west-1"));

        let text = of_answer("QueueDoesNotExist", "", 400, RECEIVE, &target).to_string();

        assert_eq!(
            text,
            "queue https://sqs.eu-west-1.amazonaws.com/123456789012/orders does not exist in region eu-west-1; \
             check its URL, account and region, or create it"
        );
    }
}

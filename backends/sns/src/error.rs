//! What the SDK fails with, as an [`Error`] of ours.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use chappe_core::{Error, ErrorKind};

/// Classifies the failure of a call about `thing`, which is `topic …` or `queue …`.
pub(crate) fn classify<E>(thing: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let told = match &error {
        SdkError::ServiceError(service) if service.raw().status().is_success() => {
            unavailable(thing, "answered what cannot be understood").ambiguous()
        }
        SdkError::ServiceError(service) => {
            let (code, status) = (service.err().code().unwrap_or_default(), service.raw().status().as_u16());
            return of_code(thing, code, service.err().message(), Some(status)).with_source(error);
        }
        SdkError::ConstructionFailure(_) => {
            Error::new(ErrorKind::Invalid, format!("request to {thing} cannot be made"))
        }
        SdkError::TimeoutError(_) => unavailable(thing, "did not answer in time").ambiguous(),
        SdkError::ResponseError(_) => unavailable(thing, "answered what cannot be understood").ambiguous(),
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            Error::new(ErrorKind::Invalid, format!("request to {thing} cannot be sent"))
        }
        SdkError::DispatchFailure(failure) if failure.is_other() => not_signed(thing, &error),
        // It cannot have got anything if there was nobody to connect to.
        SdkError::DispatchFailure(_) if is_refused(&error) => unavailable(thing, "cannot be reached"),
        _ => unavailable(thing, "cannot be reached, or was cut off").ambiguous(),
    };
    told.with_source(error)
}

/// Classifies what the service answered, for a call or for one message of it.
pub(crate) fn of_code(thing: &str, code: &str, message: Option<&str>, status: Option<u16>) -> Error {
    let said = message.map(|message| format!(": {message}")).unwrap_or_default();
    let kind = match code.trim_end_matches("Exception") {
        "NotFound" | "EndpointDisabled" | "PlatformApplicationDisabled" | "ResourceNotFound" => ErrorKind::NotFound,
        "AuthorizationError"
        | "AccessDenied"
        | "ExpiredToken"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "KMSAccessDenied"
        | "KMSDisabled"
        | "KMSInvalidState"
        | "KMSNotFound"
        | "KMSOptInRequired"
        | "MissingAuthenticationToken"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClient" => ErrorKind::PermissionDenied,
        "KMSThrottling" | "Throttled" | "Throttling" | "RequestThrottled" | "TooManyRequests" => ErrorKind::Throttled,
        "BatchRequestTooLong" => ErrorKind::TooLarge,
        "InvalidParameter" | "InvalidParameterValue" | "ParameterValueInvalid" | "Validation" | "ValidationError"
            if is_about_length(message) =>
        {
            ErrorKind::TooLarge
        }
        "InvalidParameter"
        | "InvalidParameterValue"
        | "ParameterValueInvalid"
        | "Validation"
        | "ValidationError"
        | "BatchEntryIdsNotDistinct"
        | "EmptyBatchRequest"
        | "InvalidBatchEntryId"
        | "TooManyEntriesInBatchRequest"
        | "MissingParameter" => ErrorKind::Invalid,
        "InternalError" | "InternalFailure" | "ServiceUnavailable" => ErrorKind::Unavailable,
        _ => match status {
            Some(429) => ErrorKind::Throttled,
            Some(401 | 403) => ErrorKind::PermissionDenied,
            Some(404) => ErrorKind::NotFound,
            Some(413) => ErrorKind::TooLarge,
            Some(400..=499) => ErrorKind::Invalid,
            Some(500..) => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        },
    };
    let text = match kind {
        ErrorKind::NotFound => format!("{thing} not found ({code}){said}"),
        ErrorKind::PermissionDenied => format!("not allowed to use {thing} ({code}){said}"),
        ErrorKind::Throttled => format!("{thing} asks for fewer calls ({code}){said}"),
        _ => format!("{thing} answered {code}{said}"),
    };
    Error::new(kind, text)
}

/// The same for each of several messages.
pub(crate) fn again(error: &Arc<Error>) -> Error {
    let copy = Error::new(error.kind(), error.to_string()).with_source(Arc::clone(error));
    if error.is_ambiguous() { copy.ambiguous() } else { copy }
}

/// Without credentials, or without a region, nothing is sent at all.
fn not_signed(thing: &str, error: &(dyn StdError + 'static)) -> Error {
    if chain(error).any(|error| error.is::<CredentialsError>()) {
        let text = format!("no credentials for {thing}; see that the provider of credentials works");
        return Error::new(ErrorKind::PermissionDenied, text);
    }
    let text = format!("call to {thing} cannot be signed; see that there are credentials and a region");
    Error::new(ErrorKind::Invalid, text)
}

fn unavailable(thing: &str, what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{thing} {what}"))
}

fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn is_about_length(message: Option<&str>) -> bool {
    message.is_some_and(|message| {
        let message = message.to_ascii_lowercase();
        ["too long", "must be shorter", "message length"].iter().any(|part| message.contains(part))
    })
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

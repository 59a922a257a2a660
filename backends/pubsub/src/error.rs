//! What the answers of Pub/Sub mean, and what to do about them.

use std::error::Error as StdError;
use std::io;

use chappe_core::{Error, ErrorKind};
use prost::Message;
use tonic::{Code, Status};

use crate::proto::{ErrorInfo, RpcStatus};
use crate::target::{Kind, Target};

/// What a call is, and does, as its errors tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) path: &'static str,
    /// What the name is called by which Google finds the right machine.
    pub(crate) routed_by: &'static str,
    /// What follows "cannot".
    doing: &'static str,
    /// The permission it takes.
    permission: &'static str,
    /// Whether it matters if it was carried out all the same.
    writes: bool,
}

macro_rules! call {
    ($name:ident = $method:literal, $routed:literal, $doing:literal, $permission:literal, $writes:literal) => {
        pub(crate) const $name: Call = Call {
            path: concat!("/google.pubsub.v1.", $method),
            routed_by: $routed,
            doing: $doing,
            permission: concat!("pubsub.", $permission),
            writes: $writes,
        };
    };
}

call!(PUBLISH = "Publisher/Publish", "topic", "publish to", "topics.publish", true);
call!(CREATE_TOPIC = "Publisher/CreateTopic", "name", "create", "topics.create", false);
call!(DELETE_TOPIC = "Publisher/DeleteTopic", "topic", "delete", "topics.delete", false);
call!(PULL = "Subscriber/StreamingPull", "subscription", "receive from", "subscriptions.consume", false);
call!(ACK = "Subscriber/Acknowledge", "subscription", "acknowledge to", "subscriptions.consume", false);
call!(MODIFY = "Subscriber/ModifyAckDeadline", "subscription", "change leases of", "subscriptions.consume", false);
call!(GET = "Subscriber/GetSubscription", "subscription", "look at", "subscriptions.get", false);
call!(CREATE = "Subscriber/CreateSubscription", "name", "create", "subscriptions.create", false);
call!(DELETE = "Subscriber/DeleteSubscription", "subscription", "delete", "subscriptions.delete", false);
call!(SEEK = "Subscriber/Seek", "subscription", "seek in", "subscriptions.consume", true);

/// Converts what a call was answered with.
pub(crate) fn classify(status: &Status, call: Call, target: &Target) -> Error {
    let about = format!("cannot {} {} {}", call.doing, target.kind().singular(), target.name());
    let says = match status.message() {
        "" => String::new(),
        text => format!(" ({text})"),
    };
    let here = came_from_here(status);
    let (kind, why) = match status.code() {
        Code::NotFound => {
            return Error::new(ErrorKind::NotFound, missing(target)).with_source(status.clone());
        }
        Code::Unauthenticated => {
            (ErrorKind::PermissionDenied, format!("the credentials are not valid; renew them{says}"))
        }
        Code::PermissionDenied => {
            (ErrorKind::PermissionDenied, format!("it takes the permission {}{says}", call.permission))
        }
        Code::ResourceExhausted => (ErrorKind::Throttled, format!("a quota is used up{says}")),
        Code::InvalidArgument | Code::OutOfRange if status.message().contains("too large") => {
            (ErrorKind::TooLarge, format!("it is too large{says}"))
        }
        Code::InvalidArgument | Code::OutOfRange | Code::AlreadyExists => {
            (ErrorKind::Invalid, format!("it was refused{says}"))
        }
        Code::FailedPrecondition if target.kind() == Kind::Subscription => {
            (ErrorKind::NotFound, format!("it is not in a state for it, perhaps it was detached{says}"))
        }
        Code::FailedPrecondition => (ErrorKind::Invalid, format!("it is not in a state for it{says}")),
        Code::Unimplemented => (ErrorKind::Unsupported, format!("the server does not know how{says}")),
        Code::DeadlineExceeded => (ErrorKind::Timeout, format!("it took too long{says}")),
        _ if here => (ErrorKind::Unavailable, "the server cannot be reached, or the connection was lost".to_owned()),
        code => (ErrorKind::Unavailable, format!("the server failed with {code:?}{says}")),
    };
    let error = Error::new(kind, format!("{about}: {why}")).with_source(status.clone());
    if call.writes && may_be_applied(status, here) { error.ambiguous() } else { error }
}

/// The error of a call that was not answered in time.
pub(crate) fn late(call: Call, target: &Target) -> Error {
    let (doing, kind, name) = (call.doing, target.kind().singular(), target.name());
    let error = Error::new(ErrorKind::Timeout, format!("cannot {doing} {kind} {name}: there was no answer in time"));
    if call.writes { error.ambiguous() } else { error }
}

/// What an answer says about single ids of an exactly-once subscription: each with a code such as
/// `PERMANENT_FAILURE_INVALID_ACK_ID`. Ids that are not mentioned are done.
pub(crate) fn failed_ids(status: &Status) -> Vec<(String, String)> {
    let Ok(details) = RpcStatus::decode(status.details()) else { return Vec::new() };
    let infos = details.details.into_iter().filter(|any| any.type_url.ends_with("google.rpc.ErrorInfo"));
    let pairs = infos.filter_map(|any| ErrorInfo::decode(any.value).ok()).flat_map(|info| info.metadata);
    pairs.map(|pair| (pair.key, pair.value)).filter(|(_, code)| code.contains("_FAILURE_")).collect()
}

fn missing(target: &Target) -> String {
    format!("{} {} does not exist; check its name and project, or create it", target.kind().singular(), target.full())
}

/// Whether nothing was answered: the connection failed, or was lost.
fn came_from_here(status: &Status) -> bool {
    status.source().is_some()
}

/// Whether a write may have been carried out. A server that refuses has not done it; one that fails in the middle,
/// or is never heard of again, may have. What never got a connection has not.
fn may_be_applied(status: &Status, here: bool) -> bool {
    match status.code() {
        Code::Unknown | Code::Internal | Code::Cancelled | Code::DeadlineExceeded | Code::DataLoss => {
            !here || !never_connected(status)
        }
        Code::Unavailable => here && !never_connected(status),
        _ => false,
    }
}

fn never_connected(status: &Status) -> bool {
    let refused = |cause: &(dyn StdError + 'static)| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        kind.is_some_and(|kind| matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable))
            || matches!(cause.to_string().as_str(), "tcp connect error" | "dns error" | "there is no token")
    };
    std::iter::successors(Some(status as &(dyn StdError + 'static)), |&error| error.source()).any(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Any, Pair};

    fn subscription() -> Target {
        Target::new(Kind::Subscription, "orders", Some("shop"))
    }

    #[test]
    fn every_code_has_its_meaning() {
        let table = [
            (Code::NotFound, ErrorKind::NotFound),
            (Code::FailedPrecondition, ErrorKind::NotFound),
            (Code::PermissionDenied, ErrorKind::PermissionDenied),
            (Code::Unauthenticated, ErrorKind::PermissionDenied),
            (Code::ResourceExhausted, ErrorKind::Throttled),
            (Code::InvalidArgument, ErrorKind::Invalid),
            (Code::Unimplemented, ErrorKind::Unsupported),
            (Code::DeadlineExceeded, ErrorKind::Timeout),
            (Code::Unavailable, ErrorKind::Unavailable),
            (Code::Unknown, ErrorKind::Unavailable),
            (Code::Cancelled, ErrorKind::Unavailable),
            (Code::Aborted, ErrorKind::Unavailable),
            (Code::Internal, ErrorKind::Unavailable),
        ];
        for (code, kind) in table {
            assert_eq!(classify(&Status::new(code, ""), PULL, &subscription()).kind(), kind, "{code:?}");
        }
    }

    #[test]
    fn only_a_write_the_server_may_have_made_is_ambiguous() {
        let ambiguous = |code, call| classify(&Status::new(code, ""), call, &subscription()).is_ambiguous();

        assert!(ambiguous(Code::Internal, PUBLISH) && late(PUBLISH, &subscription()).is_ambiguous());
        assert!(!ambiguous(Code::Unavailable, PUBLISH) && !ambiguous(Code::Internal, ACK));
    }

    #[test]
    fn a_missing_permission_is_named() {
        let text = classify(&Status::permission_denied("no"), PULL, &subscription()).to_string();

        assert_eq!(
            text,
            "cannot receive from subscription orders: it takes the permission pubsub.subscriptions.consume (no)"
        );
    }

    #[test]
    fn the_ids_that_failed_are_read_from_the_details() {
        let pair = |key: &str, value: &str| Pair { key: key.to_owned(), value: value.to_owned() };
        let metadata = vec![pair("a", "PERMANENT_FAILURE_INVALID_ACK_ID"), pair("other", "thing")];
        let info = ErrorInfo { reason: String::new(), domain: String::new(), metadata };
        let any =
            Any { type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(), value: info.encode_to_vec().into() };
        let details = RpcStatus { code: 9, message: String::new(), details: vec![any] }.encode_to_vec();

        let status = Status::with_details(Code::FailedPrecondition, "", details.into());

        assert_eq!(failed_ids(&status), [("a".to_owned(), "PERMANENT_FAILURE_INVALID_ACK_ID".to_owned())]);
    }
}

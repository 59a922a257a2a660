//! What errors of Redis and of its client mean.

use chappe_core::{Error, ErrorKind};
use redis::{RedisError, ServerError};

use crate::tls;

/// What a command does, as its errors tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// What follows "cannot".
    pub(crate) doing: &'static str,
    /// Whether it matters if it was carried out all the same.
    pub(crate) writes: bool,
}

pub(crate) const CONNECT: Call = Call { doing: "connect for", writes: false };
pub(crate) const FETCH: Call = Call { doing: "fetch from", writes: false };
pub(crate) const SETTLE: Call = Call { doing: "settle in", writes: false };
pub(crate) const PUBLISH: Call = Call { doing: "publish to", writes: true };
pub(crate) const SCHEDULE: Call = Call { doing: "look after", writes: false };
pub(crate) const SUBSCRIBE: Call = Call { doing: "subscribe to", writes: false };
pub(crate) const INSPECT: Call = Call { doing: "inspect", writes: false };
pub(crate) const CHANGE: Call = Call { doing: "change", writes: true };

/// Codes of a server that is there and cannot do it now.
const PASSING: [&str; 10] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "TRYAGAIN",
    "UNBLOCKED",
    "UNKILLABLE",
];

/// Converts what a command failed with. `name` is what the command was about, `place` where that is.
pub(crate) fn classify(error: RedisError, call: Call, name: &str, place: &str) -> Error {
    let doing = call.doing;
    let converted = if let Some(code) = error.code() {
        return of_code(code, error.detail(), call, name).with_source(error);
    } else if error.kind() == redis::ErrorKind::AuthenticationFailed {
        let text = format!("cannot {doing} {name}: {place} refuses user or password");
        Error::new(ErrorKind::PermissionDenied, text)
    } else if error.kind() == redis::ErrorKind::InvalidClientConfig {
        Error::new(ErrorKind::Invalid, format!("cannot {doing} {name}: the client is not configured rightly"))
    } else if let Some(text) = tls::refusal(&error) {
        Error::new(ErrorKind::Invalid, format!("cannot {doing} {name}: {place} {text}"))
    } else if error.is_timeout() {
        unsure(Error::new(ErrorKind::Timeout, format!("cannot {doing} {name}: {place} does not answer")), call)
    } else {
        let lost = Error::new(ErrorKind::Unavailable, format!("cannot {doing} {name}: {place} cannot be reached"));
        if error.is_connection_refusal() { lost } else { unsure(lost, call) }
    };
    converted.with_source(error)
}

/// Converts an error within an answer.
pub(crate) fn of_server(error: &ServerError, call: Call, name: &str) -> Error {
    of_code(error.code(), error.details(), call, name)
}

/// Converts the text of an error a script caught.
pub(crate) fn of_script(text: &str, call: Call, name: &str) -> Error {
    let text = text.trim_start_matches('-');
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    of_code(code, Some(rest), call, name)
}

/// What an answer means that is none.
pub(crate) fn unreadable(call: Call, name: &str) -> Error {
    let text = format!("cannot {} {name}: the answer of the server cannot be read", call.doing);
    unsure(Error::new(ErrorKind::Other, text), call)
}

/// Whether the stream or its group is gone, as after FLUSHALL.
pub(crate) fn is_gone(error: &RedisError) -> bool {
    match error.code() {
        Some("NOGROUP") => true,
        Some("UNBLOCKED") => error.detail().is_some_and(|why| why.contains("no longer exists")),
        _ => false,
    }
}

/// Whether a connection is of no more use: it is lost, or its server was made a replica. Such a server keeps its
/// connections, and another has its name.
pub(crate) fn ends_connection(error: &RedisError) -> bool {
    let replica = matches!(error.code(), Some("READONLY" | "UNBLOCKED"));
    replica || error.is_unrecoverable_error() || error.is_io_error()
}

fn of_code(code: &str, detail: Option<&str>, call: Call, name: &str) -> Error {
    let doing = call.doing;
    let says = detail.filter(|text| !text.is_empty()).map(|text| format!(": {text}")).unwrap_or_default();
    let (kind, text) = match code {
        "NOAUTH" | "WRONGPASS" => {
            (ErrorKind::PermissionDenied, format!("cannot {doing} {name}: the server wants another user or password"))
        }
        "NOPERM" => (ErrorKind::PermissionDenied, format!("cannot {doing} {name}: the user may not{says}")),
        "MOVED" | "ASK" | "CROSSSLOT" => (
            ErrorKind::Unsupported,
            format!("cannot {doing} {name}: its keys are on another node of a cluster; connect to that node"),
        ),
        "WRONGTYPE" => (
            ErrorKind::Invalid,
            format!("cannot {doing} {name}: a key it needs is something else; choose another name"),
        ),
        "READONLY" => (
            ErrorKind::Unavailable,
            format!("cannot {doing} {name}: the server is a replica; connect to the one it follows"),
        ),
        "OOM" => (ErrorKind::Unavailable, format!("cannot {doing} {name}: the server has no memory left (maxmemory)")),
        code if PASSING.contains(&code) => {
            (ErrorKind::Unavailable, format!("cannot {doing} {name}: the server is not ready, {code}{says}"))
        }
        code => (ErrorKind::Other, format!("cannot {doing} {name}: {code}{says}")),
    };
    Error::new(kind, text)
}

/// A write of which nobody knows whether it was carried out.
fn unsure(error: Error, call: Call) -> Error {
    if call.writes { error.ambiguous() } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_meaning_of_their_family() {
        let table = [
            ("NOAUTH", ErrorKind::PermissionDenied, false),
            ("NOPERM", ErrorKind::PermissionDenied, false),
            ("MOVED", ErrorKind::Unsupported, false),
            ("WRONGTYPE", ErrorKind::Invalid, false),
            ("OOM", ErrorKind::Unavailable, true),
            ("LOADING", ErrorKind::Unavailable, true),
            ("READONLY", ErrorKind::Unavailable, true),
            ("ERR", ErrorKind::Other, true),
        ];
        for (code, kind, retryable) in table {
            let error = of_code(code, None, PUBLISH, "queue orders");

            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{code}");
            assert!(!error.is_ambiguous(), "{code}: the server has said no");
        }
    }

    #[test]
    fn an_error_a_script_caught_keeps_its_code() {
        let error = of_script("OOM command not allowed", PUBLISH, "queue orders");

        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}

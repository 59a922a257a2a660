//! What PostgreSQL's errors mean, and what to do about them.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use chappe_core::{Error, ErrorKind};
use tokio_postgres::error::SqlState;

use crate::PgConfig;

/// What a call does, as its errors tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// What follows "cannot".
    pub(crate) doing: &'static str,
    /// What it is done to: a queue, a bus, a schema.
    pub(crate) what: &'static str,
    /// Its name.
    pub(crate) name: &'a str,
    /// Whether it matters if it was carried out all the same.
    pub(crate) writes: bool,
}

impl Call<'_> {
    fn start(&self) -> String {
        format!("cannot {} {} {}", self.doing, self.what, self.name)
    }
}

/// What the server answered: the source of an [`Error`] that came of an answer.
///
/// The detail and the hint of an answer are left out, as they quote rows.
#[derive(Clone, Debug)]
pub struct PgError {
    code: SqlState,
    message: Box<str>,
}

impl PgError {
    /// The SQLSTATE.
    #[must_use]
    pub fn code(&self) -> &SqlState {
        &self.code
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code.code())
    }
}

impl StdError for PgError {}

/// What a statement failed with.
pub(crate) fn of_call(error: tokio_postgres::Error, call: &Call<'_>) -> Error {
    let start = call.start();
    if let Some(answer) = error.as_db_error() {
        let code = answer.code().clone();
        let (kind, way_out) = of_state(&code);
        let own = PgError { code, message: answer.message().into() };
        let converted = Error::new(kind, format!("{start}: {own}{way_out}"));
        // The server died in the middle of it, or said so while it did.
        let unsure = call.writes && own.code.code() == "57P02";
        return if unsure { converted.ambiguous() } else { converted }.with_source(own);
    }
    let text = format!("{start}: {}", describe(&error));
    let lost = error.is_closed() || chain(&error).any(|cause| cause.is::<io::Error>());
    let kind = if lost { ErrorKind::Unavailable } else { ErrorKind::Invalid };
    let converted = Error::new(kind, text).with_source(error);
    if call.writes && lost { converted.ambiguous() } else { converted }
}

/// What an attempt to connect failed with.
pub(crate) fn of_connecting(error: tokio_postgres::Error, config: &PgConfig) -> Error {
    if let Some(answer) = error.as_db_error() {
        let code = answer.code().clone();
        let (kind, _) = of_state(&code);
        let own = PgError { code, message: answer.message().into() };
        return Error::new(kind, format!("cannot connect to {config}: {own}")).with_source(own);
    }
    let says = describe(&error);
    if let Some(way_out) = distrust(&error) {
        return Error::new(ErrorKind::Invalid, format!("cannot connect to {config}: {says}; {way_out}"))
            .with_source(error);
    }
    let kind = match () {
        () if chain(&error).any(|cause| cause.is::<io::Error>()) => ErrorKind::Unavailable,
        () if says.starts_with("authentication error") || says.starts_with("invalid configuration: password") => {
            ErrorKind::PermissionDenied
        }
        () if says.starts_with("timeout") => ErrorKind::Timeout,
        () if error.is_closed() => ErrorKind::Unavailable,
        () => ErrorKind::Invalid,
    };
    Error::new(kind, format!("cannot connect to {config}: {says}")).with_source(error)
}

/// What a call comes to that found its connection at its end: nothing was sent.
pub(crate) fn of_end(call: &Call<'_>, why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{}: {why}", call.start()))
}

/// What a call comes to that was not answered.
pub(crate) fn of_silence(call: &Call<'_>, limit: Duration) -> Error {
    let text = format!("{}: no answer within {limit:?}", call.start());
    let error = Error::new(ErrorKind::Timeout, text);
    if call.writes { error.ambiguous() } else { error }
}

/// An error and its causes in one line, without what quotes rows.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", answer.message(), answer.code().code());
    }
    let mut text = String::new();
    for cause in chain(error) {
        let cause = cause.to_string();
        // A cause may have been told by the one before.
        if !text.ends_with(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    text
}

/// What to do about a server whose certificate is not trusted: trying again would not help.
#[cfg(feature = "tls")]
fn distrust(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    // An `io::Error` does not give what is in it for its source.
    let mut inner = chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref());
    inner.any(|cause| matches!(cause, rustls::Error::InvalidCertificate(_))).then_some(
        "name the file of its authority by sslrootcert, and the host as its certificate does, or ask for less by sslmode",
    )
}

#[cfg(not(feature = "tls"))]
fn distrust(_: &(dyn StdError + 'static)) -> Option<&'static str> {
    None
}

/// The meaning of an SQLSTATE, and what may be done about it.
fn of_state(code: &SqlState) -> (ErrorKind, &'static str) {
    match code.code() {
        "42P01" | "3F000" | "42883" => (ErrorKind::NotFound, "; run the migrations: `PgStore::migrate`"),
        "3D000" => (ErrorKind::NotFound, ""),
        "42501" => (ErrorKind::PermissionDenied, ""),
        "25006" => (
            ErrorKind::Unavailable,
            "; the server is a standby: give all hosts to the URL, and target_session_attrs=read-write",
        ),
        "57014" => (ErrorKind::Timeout, ""),
        "0A000" => (ErrorKind::Unsupported, ""),
        code => match &code[..2] {
            "28" => (ErrorKind::PermissionDenied, ""),
            // Connections, rollbacks, resources, locks, interventions, the machine: all pass.
            "08" | "40" | "53" | "55" | "57" | "58" => (ErrorKind::Unavailable, ""),
            "54" => (ErrorKind::TooLarge, ""),
            "22" | "23" | "42" => (ErrorKind::Invalid, ""),
            _ => (ErrorKind::Other, ""),
        },
    }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_the_meaning_of_its_class() {
        let table = [
            ("42P01", ErrorKind::NotFound),
            ("3D000", ErrorKind::NotFound),
            ("42501", ErrorKind::PermissionDenied),
            ("28P01", ErrorKind::PermissionDenied),
            ("57P01", ErrorKind::Unavailable),
            ("53300", ErrorKind::Unavailable),
            ("40P01", ErrorKind::Unavailable),
            ("25006", ErrorKind::Unavailable),
            ("57014", ErrorKind::Timeout),
            ("22021", ErrorKind::Invalid),
            ("42703", ErrorKind::Invalid),
            ("54000", ErrorKind::TooLarge),
            ("XX000", ErrorKind::Other),
        ];
        for (code, kind) in table {
            assert_eq!(of_state(&SqlState::from_code(code)).0, kind, "{code}");
        }
    }
}

//! Which backend a URL asks for, and what to say where there is none.

use chappe_core::{Error, ErrorKind};

/// Each scheme there is, and the feature that has it.
const SCHEMES: [(&str, &str); 14] = [
    ("memory", "memory"),
    ("postgres", "postgres"),
    ("postgresql", "postgres"),
    ("pubsub", "pubsub"),
    ("pubsub+http", "pubsub"),
    ("gcppubsub", "pubsub"),
    ("redis", "redis"),
    ("rediss", "redis"),
    ("sqs", "sqs"),
    ("sqs+http", "sqs"),
    ("sqs+https", "sqs"),
    ("sns", "sns"),
    ("sns+http", "sns"),
    ("sns+https", "sns"),
];

/// What is before the first colon. Nothing else of the text is repeated in the error: it may be a password.
pub(super) fn scheme(url: &str) -> Result<&str, Error> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "+-.".contains(character);
    match url.split_once(':') {
        Some((scheme, _)) if !scheme.is_empty() && scheme.chars().all(plain) => Ok(scheme),
        _ => Err(Error::new(
            ErrorKind::Invalid,
            "a backend is given as a URL that begins with a scheme, as in memory://orders",
        )),
    }
}

/// No such scheme, or not in this build.
pub(super) fn unknown(scheme: &str) -> Error {
    match SCHEMES.iter().find(|(known, _)| *known == scheme) {
        Some((_, feature)) => Error::new(
            ErrorKind::Unsupported,
            format!(
                "URLs of scheme {scheme} need the feature `{feature}` of chappe, which this program was built without"
            ),
        ),
        None => {
            let known: Vec<_> = SCHEMES.iter().map(|(scheme, _)| *scheme).collect();
            let text = format!("no backend has URLs of scheme {scheme}; there are: {}", known.join(", "));
            Error::new(ErrorKind::Invalid, text)
        }
    }
}

/// The backend has no such thing.
#[cfg(any(feature = "pubsub", feature = "sns", feature = "sqs"))]
pub(super) fn lacks(backend: &str, thing: &str, instead: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{backend} has no {thing}: {instead}"))
}

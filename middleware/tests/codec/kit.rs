//! What the tests share.

use std::future::ready;
use std::sync::{Arc, Mutex};

use chappe_core::{Attributes, BoxError, ErrorKind, Message, Outcome, Published};
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceExt, service_fn};

/// The innermost service of the tests.
pub(crate) type Inner = BoxCloneService<Message, Published, BoxError>;

/// What a service in this layer is called with.
pub(crate) async fn through<L, E>(layer: &L, message: Message) -> Result<Message, BoxError>
where
    L: Layer<Inner, Service: Service<Message, Error = E>>,
    E: Into<BoxError>,
{
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let inner = BoxCloneService::new(service_fn(move |message: Message| {
        *note.lock().unwrap() = Some(message);
        ready(Ok::<_, BoxError>(Published::default()))
    }));
    layer.layer(inner).oneshot(message).await.map_err(Into::into)?;
    let message = seen.lock().unwrap().take();
    Ok(message.expect("the service was called"))
}

pub(crate) fn message(body: impl Into<bytes::Bytes>, attributes: &[(&'static str, &'static str)]) -> Message {
    let mut message = Message::new(body);
    *message.attributes_mut() = attributes.iter().copied().collect();
    message
}

pub(crate) fn encoding(message: &Message) -> Option<&str> {
    message.attributes().get_str("Content-Encoding")
}

pub(crate) fn attributes(entries: &[(&'static str, &'static str)]) -> Attributes {
    entries.iter().copied().collect()
}

#[track_caller]
pub(crate) fn assert_same(actual: &Message, expected: &Message) {
    assert_eq!(actual.attributes(), expected.attributes());
    assert!(actual.body() == expected.body(), "{actual:?} has another body than {expected:?}");
}

/// Text that is compressed to something.
pub(crate) fn text(length: usize) -> String {
    let lines = (0..).map(|number| format!("line {number} of some text\n"));
    lines.flat_map(String::into_bytes).take(length).map(char::from).collect()
}

/// Why the server would put the message into the dead letter.
#[track_caller]
pub(crate) fn rejection(result: Result<Message, BoxError>) -> String {
    match Outcome::of_error(result.expect_err("the message is refused").as_ref()) {
        Outcome::Reject(reason) => reason.to_string(),
        other => panic!("the message is not rejected: {other:?}"),
    }
}

/// The kind of the first error of ours along the chain.
pub(crate) fn kind(error: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<chappe_core::Error>() {
            return Some(own.kind());
        }
        next = error.source();
    }
    None
}

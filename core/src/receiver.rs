//! [`Receiver`], the bound on what a server hands messages to.

use std::future::Future;

use tower_service::Service;

use crate::{BoxError, IntoOutcome, Message};

/// What a server hands messages to: any tower service of [`Message`]s whose answer says an
/// [`Outcome`](crate::Outcome).
///
/// This is a bound, not something to implement: every fitting [`Service`] is a receiver, with whatever
/// tower layers around it.
///
/// - `Ok` settles the message by what the answer [says](IntoOutcome); `()` acknowledges it.
/// - `Err` means retry, unless the error carries an outcome ([`OutcomeError`](crate::OutcomeError)).
/// - A panic, a timeout and a future that is dropped mean retry as well. Nothing but an answer acknowledges.
///
/// The server keeps a handful of clones and calls each by the rules of tower: `poll_ready` first, one
/// `call` after, and a clone whose `poll_ready` fails is replaced.
///
/// # Examples
///
/// ```
/// use chappe_core::{BoxError, Message, Receiver};
/// use tower::service_fn;
///
/// fn check<R: Receiver>(_: R) {}
///
/// check(service_fn(async |message: Message| {
///     println!("{} bytes", message.body().len());
///     Ok::<_, BoxError>(())
/// }));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a receiver of messages",
    label = "this is not a `tower::Service<Message>` that fits",
    note = "a receiver is `Service<Message, Response: IntoOutcome, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + 'static`",
    note = "wrap an async function with `handler.into_service()`, a closure with `tower::service_fn`, and a service that is not `Clone` with `tower::buffer::Buffer`"
)]
pub trait Receiver:
    Service<Message, Response: IntoOutcome, Error: Into<BoxError>, Future: Future + Send + 'static> + Clone + Send + 'static
{
}

impl<S> Receiver for S where
    S: Service<Message, Response: IntoOutcome, Error: Into<BoxError>, Future: Future + Send + 'static>
        + Clone
        + Send
        + 'static
{
}

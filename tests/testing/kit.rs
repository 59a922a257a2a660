//! What the tests share.

use std::future::Future;

use chappe::backend::Queue;
use chappe::server::Backoff;
use chappe::testing::{Session, Tracked};
use chappe::{BoxError, IntoOutcome, Message, Server};
use tower::service_fn;

/// Serves a queue to a handler in the session, with three attempts and no backoff to speak of.
pub(crate) fn serve<Q, H, F, A>(session: &Session, queue: &Tracked<Q>, handler: H)
where
    Q: Queue,
    H: FnMut(Message) -> F + Clone + Send + 'static,
    F: Future<Output = Result<A, BoxError>> + Send + 'static,
    A: IntoOutcome + 'static,
{
    let backoff = Backoff::fixed(std::time::Duration::from_millis(100));
    let server = Server::new(queue.clone()).max_attempts(3).backoff(backoff);
    session.spawn(server.serve(service_fn(handler)));
}

pub(crate) async fn ack(_: Message) -> Result<(), BoxError> {
    Ok(())
}

pub(crate) async fn fail(_: Message) -> Result<(), BoxError> {
    Err("out of stock".into())
}

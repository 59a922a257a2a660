use std::io;

use chappe::{Outcome, OutcomeError};
use chappe_memory::MemoryQueue;
use chappe_middleware::ignore_errors::IgnoreErrorsLayer;
use tower::Layer;

use crate::support::*;

fn ignore_missing() -> IgnoreErrorsLayer {
    IgnoreErrorsLayer::new("missing", |error| error.to_string() == "missing")
}

#[tokio::test]
async fn an_error_the_predicate_is_true_of_acknowledges_and_is_counted() {
    let (mut service, mut handle) = stepped(ignore_missing());

    let mut ignored = call(&mut service, "a");
    let mut other = call(&mut service, "b");
    handle.next_request().await.unwrap().1.send_error("missing");
    handle.next_request().await.unwrap().1.send_error("broken");

    assert_eq!(tokio_test::assert_ready_ok!(ignored.poll()), Outcome::Ack);
    assert_eq!(tokio_test::assert_ready_err!(other.poll()).to_string(), "broken");
}

#[tokio::test]
async fn outcomes_are_handed_on_and_errors_counted_across_clones() {
    let layer = ignore_missing();
    let ignored = layer.ignored();
    let receiver = is_receiver(layer.layer(script(&Seen::default(), |call| match call {
        1 => Ok(Outcome::Retry),
        2 => Ok(Outcome::reject("missing")),
        _ => Err("missing"),
    })));

    assert_eq!(answer(&receiver, "x").await.unwrap(), Outcome::Retry);
    assert_eq!(answer(&receiver, "x").await.unwrap(), Outcome::reject("missing"));
    assert_eq!((answer(&receiver, "x").await.unwrap(), ignored.count()), (Outcome::Ack, 1));
    assert_eq!((answer(&receiver, "x").await.unwrap(), ignored.count()), (Outcome::Ack, 2));
    assert_eq!(ignored.name(), "missing");
}

#[tokio::test]
async fn an_error_that_classifies_itself_is_ignored_if_the_predicate_says_so() {
    let is_io =
        |error: &(dyn std::error::Error + 'static)| error.source().is_some_and(|source| source.is::<io::Error>());
    let receiver = IgnoreErrorsLayer::new("io", is_io)
        .layer(script(&Seen::default(), |_| Err(OutcomeError::reject(io::Error::other("disk")))));

    assert_eq!(answer(&receiver, "x").await.unwrap(), Outcome::Ack);
}

#[tokio::test(start_paused = true)]
async fn a_server_acknowledges_what_is_ignored_and_nothing_else() {
    let queue = MemoryQueue::new("jobs");
    publish(&queue, ["a"]).await;
    let (seen, layer) = (Seen::default(), ignore_missing());
    let ignored = layer.ignored();

    let receiver = layer.layer(script(&seen, |call| Err(if call < 3 { "broken" } else { "missing" })));
    let report = serve_for(server(queue.clone()), MINUTE, receiver).await;

    assert_eq!((seen.count(), ignored.count(), queue.len()), (3, 1, 0));
    assert_eq!((report.metrics.acked, report.metrics.retried, report.metrics.errors), (1, 2, 2));
}

//! Claim checks: what is stored, what is fetched, and what is left over.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chappe_core::{BoxError, ErrorKind, Message, Outcome};
use chappe_middleware::claim::{ClaimStore, FetchBodyLayer, StoreBodyLayer, TICKET, pair};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tower::{Layer, ServiceExt, service_fn};
use tower_test::mock;

use crate::flaky::Flaky;
use crate::kit::{assert_same, encoding, kind, message, rejection, through};

const HOUR: Duration = Duration::from_secs(3600);

fn claims(objects: &Arc<Flaky>) -> ClaimStore {
    ClaimStore::new(Arc::clone(objects) as Arc<dyn ObjectStore>, "orders/bodies").unwrap()
}

fn large() -> Message {
    message("x".repeat(101), &[("a", "1"), ("Content-Encoding", "gzip")])
}

/// A message whose body is in the store.
async fn stored(objects: &Arc<Flaky>) -> Message {
    through(&StoreBodyLayer::new(claims(objects)).max_bytes(100), large()).await.unwrap()
}

#[tokio::test]
async fn a_large_body_is_stored_and_comes_back() {
    let objects = Arc::new(Flaky::default());

    let published = stored(&objects).await;
    let received = through(&FetchBodyLayer::new(claims(&objects)), published.clone()).await.unwrap();

    assert!(published.body().is_empty());
    assert_eq!(encoding(&published), Some("gzip, claim"));
    assert_eq!(published.attributes().get_str("a"), Some("1"));
    assert_eq!(objects.paths().len(), 1);
    assert!(objects.paths()[0].prefix_matches(&Path::from("orders/bodies")));
    assert_same(&received, &large());
}

#[tokio::test]
async fn a_small_body_is_left_where_it_is() {
    let objects = Arc::new(Flaky::default());
    let small = message("x".repeat(100), &[]);

    let published = through(&StoreBodyLayer::new(claims(&objects)).max_bytes(100), small.clone()).await.unwrap();
    let received = through(&FetchBodyLayer::new(claims(&objects)), published.clone()).await.unwrap();

    assert_same(&published, &small);
    assert_same(&received, &small);
    assert!(objects.paths().is_empty());
}

#[tokio::test]
async fn a_ticket_is_not_exchanged_for_another_one() {
    let objects = Arc::new(Flaky::default());
    let mut published = stored(&objects).await;
    published.set_body("y".repeat(200));

    let again = through(&StoreBodyLayer::new(claims(&objects)).max_bytes(100), published.clone()).await.unwrap();

    assert_same(&again, &published);
}

#[tokio::test]
async fn what_is_marked_last_by_another_layer_is_left_to_it() {
    let objects = Arc::new(Flaky::default());
    let mut outer = stored(&objects).await;
    outer.attributes_mut().insert("Content-Encoding", "gzip, claim, base64");

    assert_same(&through(&FetchBodyLayer::new(claims(&objects)), outer.clone()).await.unwrap(), &outer);
}

#[tokio::test]
async fn a_message_is_not_published_while_the_store_is_down() {
    let objects = Arc::new(Flaky::default());
    objects.set_down(true);

    let error = through(&StoreBodyLayer::new(claims(&objects)).max_bytes(100), large()).await.unwrap_err();

    assert_eq!(kind(error.as_ref()), Some(ErrorKind::Unavailable));
    assert_eq!(Outcome::of_error(error.as_ref()), Outcome::Retry);
}

#[tokio::test]
async fn a_message_is_retried_while_the_store_is_down() {
    let objects = Arc::new(Flaky::default());
    let mut published = stored(&objects).await;
    published.set_attempt(100);
    objects.set_down(true);
    let layer = FetchBodyLayer::new(claims(&objects));

    let error = through(&layer, published.clone()).await.unwrap_err();
    assert_eq!(Outcome::of_error(error.as_ref()), Outcome::Retry);
    objects.set_down(false);

    assert_same(&through(&layer, published).await.unwrap(), &{
        let mut expected = large();
        expected.set_attempt(100);
        expected
    });
}

#[tokio::test]
async fn a_body_that_is_missing_is_retried_and_then_rejected() {
    let objects = Arc::new(Flaky::default());
    let layer = FetchBodyLayer::new(claims(&objects)).missing_attempts(3);
    let mut published = stored(&objects).await;
    claims(&objects).sweep(Duration::ZERO).await.unwrap();

    // Zero is where nobody counts.
    for attempt in [0, 1, 2] {
        published.set_attempt(attempt);
        let error = through(&layer, published.clone()).await.unwrap_err();
        assert_eq!(
            (kind(error.as_ref()), Outcome::of_error(error.as_ref())),
            (Some(ErrorKind::NotFound), Outcome::Retry)
        );
    }
    published.set_attempt(3);
    let reason = rejection(through(&layer, published).await);

    assert!(reason.contains("orders/bodies/") && reason.contains("is not there"), "{reason}");
}

#[tokio::test]
async fn a_body_of_another_size_is_rejected() {
    let objects = Arc::new(Flaky::default());
    let published = stored(&objects).await;
    objects.put(&objects.paths()[0], "other".into()).await.unwrap();

    let reason = rejection(through(&FetchBodyLayer::new(claims(&objects)), published).await);

    assert!(reason.contains("is of 5 bytes, and 101 were stored"), "{reason}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_rejected_unfetched() {
    let objects = Arc::new(Flaky::default());
    let published = stored(&objects).await;
    objects.set_down(true);

    let reason = rejection(through(&FetchBodyLayer::new(claims(&objects)).max_bytes(100), published).await);

    assert!(reason.contains("101 bytes is over the limit of 100 bytes"), "{reason}");
}

#[tokio::test]
async fn a_damaged_ticket_is_rejected() {
    let layer = FetchBodyLayer::new(claims(&Arc::new(Flaky::default())));

    for ticket in [None, Some(""), Some("5 ../../etc/passwd"), Some("-1 00112233445566778899aabbccddeeff")] {
        let mut marked = message("", &[("Content-Encoding", "claim")]);
        if let Some(ticket) = ticket {
            marked.attributes_mut().insert(TICKET, ticket);
        }
        assert!(rejection(through(&layer, marked).await).contains(TICKET));
    }
}

#[tokio::test]
async fn a_body_is_deleted_only_when_its_message_was_acknowledged() {
    let objects = Arc::new(Flaky::default());
    for (outcome, left) in [(Outcome::Retry, 1), (Outcome::reject("no"), 1), (Outcome::Ack, 0)] {
        for delete in [false, true] {
            claims(&objects).sweep(Duration::ZERO).await.unwrap();
            let published = stored(&objects).await;
            let layer = FetchBodyLayer::new(claims(&objects));
            let layer = if delete { layer.delete_acknowledged() } else { layer };
            let answer = outcome.clone();
            let receiver = service_fn(move |_: Message| std::future::ready(Ok::<_, BoxError>(answer.clone())));

            let answered = layer.layer(receiver).oneshot(published).await.unwrap();

            assert_eq!(answered, outcome);
            assert_eq!(objects.paths().len(), if delete { left } else { 1 }, "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_body_stays_when_the_receiver_fails_and_when_deleting_fails() {
    let objects = Arc::new(Flaky::default());
    let layer = FetchBodyLayer::new(claims(&objects)).delete_acknowledged();
    let failing = service_fn(|_: Message| std::future::ready(Err::<(), BoxError>("broken".into())));
    let published = stored(&objects).await;

    let error = layer.layer(failing).oneshot(published.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "broken");
    let down = Arc::clone(&objects);
    let acknowledging = service_fn(move |_: Message| {
        down.set_down(true);
        std::future::ready(Ok::<_, BoxError>(()))
    });
    assert_eq!(layer.layer(acknowledging).oneshot(published).await.unwrap(), Outcome::Ack);

    assert_eq!(objects.paths().len(), 1);
}

#[tokio::test]
async fn a_sweep_deletes_old_bodies_and_nothing_else() {
    let objects = Arc::new(Flaky::default());
    let others = ["orders/bodies/readme.txt", "orders/other/00112233445566778899aabbccddeeff.body", "x"];
    for other in others {
        objects.put(&Path::from(other), "kept".into()).await.unwrap();
    }
    for _ in 0..3 {
        stored(&objects).await;
    }

    assert_eq!(claims(&objects).sweep(HOUR).await.unwrap(), 0);
    assert_eq!(claims(&objects).sweep(Duration::ZERO).await.unwrap(), 3);
    assert_eq!(claims(&objects).sweep(Duration::ZERO).await.unwrap(), 0);
    assert_eq!(claims(&objects).sweep(Duration::MAX).await.unwrap(), 0);

    assert_eq!(objects.paths().len(), others.len());
}

#[tokio::test]
async fn a_sweep_says_when_it_fails() {
    let objects = Arc::new(Flaky::default());
    stored(&objects).await;
    objects.set_down(true);

    assert_eq!(claims(&objects).sweep(Duration::ZERO).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn a_prefix_that_is_no_path_is_refused() {
    let store = || Arc::new(InMemory::new());

    assert_eq!(ClaimStore::new(store(), "a//b").unwrap_err().kind(), ErrorKind::Invalid);
    assert!(ClaimStore::new(store(), "").is_ok());
}

/// The service that was ready is called, and not a clone of it that was not.
#[tokio::test(start_paused = true)]
async fn the_clone_that_was_ready_is_called() {
    let objects = Arc::new(Flaky::default());
    let (publish, receive) = pair(claims(&objects)).split();
    let (mut service, mut handle) =
        mock::spawn_with(|mock: mock::Mock<Message, ()>| receive.layer(publish.clone().max_bytes(100).layer(mock)));
    handle.allow(1);

    assert!(matches!(service.poll_ready::<Message>(), Poll::Ready(Ok(()))));
    let answer = tokio::spawn(service.call(stored(&objects).await));
    let called = tokio::time::timeout(HOUR, handle.next_request()).await;
    let (called, respond) = called.expect("the call goes through").unwrap();
    respond.send_response(());

    assert_eq!(answer.await.unwrap().unwrap(), Outcome::Ack);
    // Stored again by the inner layer.
    assert!(called.attributes().contains(TICKET));
    assert!(service.poll_ready::<Message>().is_pending());
}

#[test]
fn the_service_in_a_layer_can_be_had() {
    let (publish, receive) = pair(claims(&Arc::new(Flaky::default()))).split();
    let (mut store, mut fetch) = (publish.layer(5), receive.layer(5));

    *store.get_mut() += 1;
    *fetch.get_mut() += 2;

    assert_eq!((*store.get_ref(), store.into_inner()), (6, 6));
    assert_eq!((*fetch.get_ref(), fetch.into_inner()), (7, 7));
}

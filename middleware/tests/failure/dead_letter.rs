use std::time::Duration;

use chappe::backend::DeadLetter;
use chappe::{BoxError, Cancelled, Error, ErrorKind, Message, Outcome, OutcomeError, Published};
use chappe_memory::MemoryQueue;
use chappe_middleware::dead_letter::{self, DeadLetterLayer};
use tower::{Layer, ServiceBuilder, service_fn};

use crate::support::*;

fn received(body: &'static str, attempt: u32) -> Message {
    let mut message = Message::new(body);
    message.attributes_mut().insert("type", "order");
    message.set_source("jobs");
    message.set_id("17");
    message.set_attempt(attempt);
    message
}

fn why(message: &Message) -> DeadLetter {
    dead_letter::read(message).expect("a dead letter says why")
}

#[tokio::test]
async fn a_rejection_is_published_with_what_is_known_and_acknowledged() {
    let dead = MemoryQueue::new("dead");
    for answers in [|| Ok::<_, OutcomeError>(Outcome::reject("bad")), || Err(OutcomeError::reject("bad"))] {
        let receiver =
            is_receiver(DeadLetterLayer::new(dead.topic()).layer(script(&Seen::default(), move |_| answers())));

        assert_eq!(answer(&receiver, received("x", 2)).await.unwrap(), Outcome::Ack);
    }

    let letters = dead.drain();
    assert_eq!(letters.len(), 2);
    for letter in letters {
        let DeadLetter { reason, source, attempts, .. } = why(&letter);
        assert_eq!((&*reason, &*source, attempts), ("bad", "jobs", 2));
        let attributes = letter.attributes();
        assert_eq!((text(&letter).as_str(), attributes.get_str("type")), ("x", Some("order")));
        assert_eq!(attributes.get_str(dead_letter::ID), Some("17"));
    }
}

#[tokio::test]
async fn the_last_attempt_that_fails_is_published_and_none_before() {
    let dead = MemoryQueue::new("dead");
    let layer = DeadLetterLayer::new(dead.topic()).max_attempts(3);
    let fails = layer.layer(script(&Seen::default(), |_| Err::<Outcome, _>("broken")));
    let asks = layer.layer(script(&Seen::default(), |_| Ok::<_, BoxError>(Outcome::RetryAfter(SECOND))));

    assert_eq!(answer(&fails, received("a", 2)).await.unwrap_err().to_string(), "broken");
    assert_eq!(answer(&asks, received("b", 2)).await.unwrap(), Outcome::RetryAfter(SECOND));
    assert!(dead.is_empty());
    assert_eq!(answer(&fails, received("a", 3)).await.unwrap(), Outcome::Ack);
    assert_eq!(answer(&asks, received("b", 3)).await.unwrap(), Outcome::Ack);

    let reasons: Vec<_> = dead.messages().iter().map(|letter| why(letter).reason.to_string()).collect();
    assert_eq!(reasons, ["attempt 3 of 3 failed: broken", "attempt 3 of 3 failed: receiver asked for a retry"]);
}

#[tokio::test]
async fn a_message_over_its_attempts_is_not_handled_as_it_may_kill_the_process() {
    let (dead, seen) = (MemoryQueue::new("dead"), Seen::default());
    let receiver =
        DeadLetterLayer::new(dead.topic()).max_attempts(3).layer(script(&seen, |_| Ok::<_, BoxError>(Outcome::Ack)));

    assert_eq!(answer(&receiver, received("x", 4)).await.unwrap(), Outcome::Ack);

    assert_eq!((seen.count(), &*why(&dead.messages()[0]).reason), (0, "attempt 4 is over the limit of 3"));
}

#[tokio::test]
async fn throttling_and_a_lost_lease_make_no_dead_letter() {
    let dead = MemoryQueue::new("dead");
    let layer = DeadLetterLayer::new(dead.topic()).max_attempts(1);
    let (lease, control) = lease(MINUTE);
    control.cancel(1, Cancelled::LeaseLost);
    let throttles = layer.layer(script(&Seen::default(), |_| Ok::<_, BoxError>(Outcome::Throttle(SECOND))));
    let rejects = layer.layer(script(&Seen::default(), |_| Ok::<_, BoxError>(Outcome::reject("bad"))));

    assert_eq!(answer(&throttles, received("x", 1)).await.unwrap(), Outcome::Throttle(SECOND));
    assert_eq!(answer(&rejects, leased("x", lease)).await.unwrap(), Outcome::reject("bad"));

    assert!(dead.is_empty());
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_published_means_retry_whatever_the_topic_says() {
    let failures: [fn() -> BoxError; 4] = [
        || Error::new(ErrorKind::TooLarge, "too large").into(),
        || OutcomeError::reject("not here").into(),
        || OutcomeError::new(Outcome::Ack, "never mind").into(),
        || OutcomeError::retry_after(SECOND, "busy").into(),
    ];
    let mut outcomes = Vec::new();
    for failure in failures {
        let broken = service_fn(move |_: Message| async move { Err::<Published, _>(failure()) });
        let receiver =
            DeadLetterLayer::new(broken).layer(script(&Seen::default(), |_| Ok::<_, BoxError>(Outcome::reject("bad"))));
        let error = answer(&receiver, received("x", 1)).await.unwrap_err();
        assert!(Outcome::describe(&*error).contains("dead letter of message 17 of jobs could not be published"));
        outcomes.push(Outcome::of_error(&*error));
    }

    assert_eq!(outcomes, [Outcome::Retry, Outcome::Retry, Outcome::Retry, Outcome::RetryAfter(SECOND)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_dead_letter_queue_is_waited_for() {
    let dead = MemoryQueue::builder("dead").capacity(1).build().unwrap();
    publish(&dead, ["first"]).await;
    let receiver = DeadLetterLayer::new(dead.topic())
        .layer(script(&Seen::default(), |_| Ok::<_, BoxError>(Outcome::reject("bad"))));
    let mut burial = tokio_test::task::spawn(answer(&receiver, received("second", 1)));
    tokio_test::assert_pending!(burial.poll());

    assert_eq!(dead.drain().len(), 1);

    assert!(burial.is_woken());
    assert_eq!(tokio_test::assert_ready_ok!(burial.poll()), Outcome::Ack);
    assert_eq!(bodies(&dead), ["second"]);
}

#[tokio::test(start_paused = true)]
async fn served_every_message_ends_handled_or_dead_and_none_is_lost_while_the_dead_letter_is_down() {
    let (queue, dead) = (MemoryQueue::new("jobs"), MemoryQueue::new("dead"));
    publish(&queue, ["good", "bad", "absurd"]).await;
    dead.faults().disconnect();
    let receiver = || {
        ServiceBuilder::new().layer(DeadLetterLayer::new(dead.topic()).max_attempts(3)).service(service_fn(
            async |message: Message| match text(&message).as_str() {
                "good" => Ok(()),
                "bad" => Err(failure("broken")),
                _ => Err(OutcomeError::reject("absurd").into()),
            },
        ))
    };

    serve_for(server(queue.clone()), MINUTE, receiver()).await;
    assert_eq!((queue.len(), dead.len()), (2, 0), "the dead letter is down");
    dead.faults().reconnect();
    serve_for(server(queue.clone()), MINUTE, receiver()).await;

    let mut letters = bodies(&dead);
    letters.sort();
    assert_eq!((queue.len(), letters), (0, vec!["absurd".to_owned(), "bad".to_owned()]));
    assert!(dead.messages().iter().all(|letter| &*why(letter).source == "jobs"));
}

#[tokio::test]
async fn what_a_backend_wrote_is_read_as_well() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    publish(&queue, ["x"]).await;
    queue.shut();

    server(queue).serve(script(&Seen::default(), |_| Ok::<_, BoxError>(Outcome::reject("bad")))).await.unwrap();

    let letter = why(&dead.messages()[0]);
    assert_eq!((&*letter.reason, &*letter.source, letter.attempts), ("bad", "jobs", 1));
    assert!(letter.at.elapsed().unwrap() < Duration::from_secs(60));
}

//! Publishing, and what a server makes of it.

use std::time::Duration;

use chappe_core::backend::{Outgoing, PublishResult, Publisher};
use chappe_core::{ErrorKind, Message, Topic};
use tonic::Status;

use crate::fake::{Fake, Fault};

fn keyed(key: &'static str, body: &'static str) -> Message {
    let mut message = Message::new(body);
    message.set_key(key);
    message
}

fn is_accepted(outgoing: &Outgoing) -> bool {
    matches!(outgoing.result, PublishResult::Accepted(_))
}

#[tokio::test]
async fn bad_input_is_refused_before_any_request_with_its_limit_and_the_way_out() {
    let fake = Fake::start().await;
    let topic = fake.publisher().strict(true).topic();
    let mut many = Message::new("x");
    *many.attributes_mut() = (0..101).map(|at| (format!("name{at}"), "1")).collect();
    let mut google = Message::new("x");
    google.attributes_mut().insert("googclient", "1");
    let mut delayed = Message::new("x");
    delayed.set_delay(Duration::from_secs(1));

    let results = topic.publish_all([many, google, delayed, Message::new(vec![0; 10_000_001]), "good".into()]).await;

    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().err().map(chappe_core::Error::kind)).collect();
    let expected = [ErrorKind::TooLarge, ErrorKind::Invalid, ErrorKind::Unsupported, ErrorKind::TooLarge];
    assert_eq!(kinds[..4], expected.map(Some), "{results:?}");
    assert!(results[4].is_ok());
    assert_eq!(fake.calls("Publish"), [1]);
}

#[tokio::test]
async fn a_message_the_server_refuses_does_not_take_its_neighbours_along() {
    let fake = Fake::start().await;
    let mut batch: Vec<_> = ["1", "2", "bad", "4", "5"].map(|body| Outgoing::new(Message::new(body))).into();

    fake.publisher().publish(&mut batch).await.unwrap();

    assert_eq!(batch.iter().map(is_accepted).collect::<Vec<_>>(), [true, true, false, true, true]);
    assert!(matches!(&batch[2].result, PublishResult::Failed(error) if error.kind() == ErrorKind::Invalid));
    assert_eq!(fake.depth(), (0, 4));
}

#[tokio::test]
async fn what_is_behind_a_message_of_its_key_that_failed_is_not_sent() {
    let fake = Fake::start().await;
    let messages = [keyed("a", "1"), keyed("a", "bad"), keyed("a", "3"), keyed("b", "4")];
    let mut batch: Vec<_> = messages.map(Outgoing::new).into();

    fake.publisher().publish(&mut batch).await.unwrap();

    assert_eq!(batch.iter().map(is_accepted).collect::<Vec<_>>(), [true, false, false, true]);
    assert!(matches!(&batch[2].result, PublishResult::Failed(error) if error.is_retryable() && !error.is_ambiguous()));
}

#[tokio::test]
async fn the_topic_publishes_the_rest_of_a_key_in_order_once_the_bad_one_has_failed() {
    let fake = Fake::start().await;
    let topic = fake.publisher().topic();

    let results = topic.publish_all([keyed("a", "1"), keyed("a", "bad"), keyed("a", "3"), keyed("a", "4")]).await;

    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true]);
}

#[tokio::test]
async fn an_outage_is_ridden_out_and_a_refusal_is_not_ambiguous() {
    let fake = Fake::start().await;
    fake.fail("Publish", (0..3).map(|_| Fault::Refuse(Status::unavailable("not now"))));

    let published = fake.publisher().topic().publish("x").await;

    assert!(published.is_ok(), "{published:?}");
    assert_eq!((fake.calls("Publish").len(), fake.depth()), (4, (0, 1)));
}

#[tokio::test]
async fn a_lost_answer_is_told_and_not_repeated() {
    let fake = Fake::start().await;
    fake.fail("Publish", [Fault::Lose(Status::internal("who knows"))]);

    let error = fake.publisher().topic().publish("x").await.unwrap_err();

    assert!(error.is_ambiguous(), "{error:?}");
    assert_eq!((fake.calls("Publish").len(), fake.depth()), (1, (0, 1)));
}

#[tokio::test]
async fn a_server_that_never_answers_bounds_what_is_taken_and_every_writer_hears() {
    let fake = Fake::start().await;
    fake.fail("Publish", (0..100).map(|_| Fault::Hang));
    let topic = fake.publisher().topic().max_pending(10).timeout(Duration::from_millis(300));

    let results = topic.publish_all((0..25).map(|number| number.to_string())).await;

    assert!(results.iter().all(|result| matches!(result, Err(error) if error.kind() == ErrorKind::Timeout)));
    assert!(fake.calls("Publish").iter().all(|count| *count <= 10), "{:?}", fake.calls("Publish"));
}

#[tokio::test]
async fn two_hundred_writers_share_few_requests() {
    let fake = Fake::start().await;
    let topic = fake.publisher().topic();

    let results = topic.publish_all((0..200).map(|number| number.to_string())).await;

    assert!(results.iter().all(Result::is_ok));
    assert!(fake.calls("Publish").len() <= 20, "{:?}", fake.calls("Publish"));
}

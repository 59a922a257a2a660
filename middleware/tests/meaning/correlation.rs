use chappe::memory::MemoryQueue;
use chappe::testing::Recorder;
use chappe::{BoxError, Message, Topic};
use chappe_middleware::correlation::{AdoptCorrelationLayer, CarryCorrelationLayer, Correlation};
use tower::{ServiceBuilder, service_fn};
use tower_test::mock;

use crate::kit::{Seen, serve, with};

fn carried<T>(recorder: &Recorder<T>) -> Vec<(Option<String>, Option<String>)> {
    let text = |message: &Message, name| message.attributes().get_str(name).map(str::to_owned);
    recorder.messages().iter().map(|m| (text(m, "correlation-id"), text(m, "causation-id"))).collect()
}

fn pair(correlation: &str, causation: &str) -> (Option<String>, Option<String>) {
    (Some(correlation.to_owned()), Some(causation.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_story_keeps_its_id_over_two_hops_and_through_retries() {
    let (first, second) = (MemoryQueue::new("first"), MemoryQueue::new("second"));
    let published = Recorder::around(second.topic());
    let topic = ServiceBuilder::new().layer(CarryCorrelationLayer::new()).service(published.clone());
    let (end, last) = (Seen::default(), Recorder::new());
    let last_topic = ServiceBuilder::new().layer(CarryCorrelationLayer::new()).service(last.clone());
    first.topic().publish(with("correlation-id", "a story with an id of more than 24 bytes")).await.unwrap();

    let on_first = service_fn(move |message: Message| {
        let topic = topic.clone();
        async move {
            topic.publish("next").await?;
            if message.attempt() == 1 { Err(BoxError::from("on purpose")) } else { Ok(()) }
        }
    });
    serve(&first, ServiceBuilder::new().layer(AdoptCorrelationLayer::new()).service(on_first)).await;
    let on_second = service_fn(move |message: Message| {
        let (topic, mut handle) = (last_topic.clone(), end.failing(0));
        async move {
            topic.publish("end").await?;
            tower::Service::call(&mut handle, message).await.map(drop).map_err(|_| BoxError::from("never"))
        }
    });
    serve(&second, ServiceBuilder::new().layer(AdoptCorrelationLayer::new()).service(on_second)).await;

    let story = "a story with an id of more than 24 bytes";
    let first_id = carried(&published)[0].1.clone().unwrap();
    assert_eq!(carried(&published), [pair(story, &first_id), pair(story, &first_id)], "once for each attempt");
    assert_eq!(
        carried(&last).iter().map(|(story, _)| story.clone()).collect::<Vec<_>>(),
        vec![Some(story.to_owned()); 2]
    );
    assert_ne!(carried(&last)[0].1, carried(&last)[1].1, "each is caused by another message");
}

#[tokio::test]
async fn a_story_without_an_id_is_named_by_its_first_message() {
    let recorder = Recorder::new();
    let topic = ServiceBuilder::new().layer(CarryCorrelationLayer::new()).service(recorder.clone());
    let mut message = Message::new("first");
    message.set_id(chappe::MessageId::from_u64(7));

    Correlation::of(&message).unwrap().scope(topic.publish("next")).await.unwrap();

    assert_eq!(carried(&recorder), [pair("7", "7")]);
}

#[tokio::test]
async fn a_message_keeps_the_correlation_it_has_and_not_its_causation() {
    let recorder = Recorder::new();
    let topic = ServiceBuilder::new().layer(CarryCorrelationLayer::new()).service(recorder.clone());
    let mut handled = with("correlation-id", "ours");
    handled.set_id("handled");
    let mut own = with("correlation-id", "its own");
    own.attributes_mut().insert("causation-id", "long ago");

    Correlation::of(&handled).unwrap().scope(topic.publish(own)).await.unwrap();
    topic.publish("outside").await.unwrap();

    assert_eq!(carried(&recorder), [pair("its own", "handled"), (None, None)]);
}

#[tokio::test]
async fn a_spawned_task_is_outside_unless_it_is_taken_along() {
    let correlation = Correlation::new("story");

    let (bare, along) = correlation
        .scope(async {
            let current = Correlation::current().unwrap();
            let bare = tokio::spawn(async { Correlation::current() });
            let along = tokio::spawn(current.scope(async { Correlation::current() }));
            (bare.await.unwrap(), along.await.unwrap())
        })
        .await;

    assert_eq!((bare, along), (None, Some(Correlation::new("story"))));
    assert_eq!(Correlation::current(), None);
}

#[tokio::test]
async fn messages_that_take_turns_on_a_thread_do_not_mix() {
    let (mut receiver, mut handle) = mock::spawn_with(|mock: mock::Mock<Message, ()>| {
        let inner = service_fn(move |message: Message| {
            let mut mock = mock.clone();
            async move {
                std::future::poll_fn(|cx| tower::Service::poll_ready(&mut mock, cx)).await?;
                tower::Service::call(&mut mock, message).await?;
                Ok::<_, BoxError>(Correlation::current().map(|current| current.id().to_string()))
            }
        });
        ServiceBuilder::new().layer(AdoptCorrelationLayer::new()).service(inner)
    });
    handle.allow(2);
    assert!(receiver.poll_ready().is_ready());

    let mut one = tokio_test::task::spawn(receiver.call(with("correlation-id", "one")));
    let mut two = tokio_test::task::spawn(receiver.call(with("correlation-id", "two")));
    assert!(one.poll().is_pending() && two.poll().is_pending());
    handle.next_request().await.unwrap().1.send_response(());
    handle.next_request().await.unwrap().1.send_response(());

    assert_eq!(two.await.unwrap().as_deref(), Some("two"));
    assert_eq!(one.await.unwrap().as_deref(), Some("one"));
}

#[tokio::test]
async fn readiness_is_that_of_the_service_within() {
    let (mut receiver, mut handle) = mock::spawn_layer::<Message, (), _>(AdoptCorrelationLayer::new());

    handle.allow(0);
    assert!(receiver.poll_ready().is_pending());
    handle.allow(1);
    assert!(receiver.poll_ready().is_ready());
}

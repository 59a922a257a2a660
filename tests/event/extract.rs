use std::sync::{Arc, Mutex};

use chappe::event::Event;
use chappe::extract::{CloudEvent, CloudEventBatch, Correlation, DryRun, Json};
use chappe::handler::HandlerWithoutState;
use chappe::middleware::cloudevents::{Binding, Mode};
use chappe::testing::perform;
use chappe::{Message, MessageId};

fn event(data: &'static str) -> CloudEvent {
    let mut event = CloudEvent::new("7", "/orders", "order.placed");
    event.set_data("application/json", data);
    event
}

#[tokio::test]
async fn the_data_of_a_cloud_event_is_taken_by_another_extractor_in_any_mode() {
    let handler = |event: CloudEvent<Json<u32>>| async move {
        assert_eq!((event.kind(), event.data().0), ("order.placed", 3));
    };
    for (binding, mode) in
        [(Binding::Kafka, Mode::Binary), (Binding::Generic, Mode::Binary), (Binding::Sqs, Mode::Structured)]
    {
        let message = event("3").to_message(binding, mode).unwrap();
        perform(handler.into_service(), message).await.assert_acked();
    }

    let other = event(r#""three""#).to_message(Binding::Generic, Mode::Structured).unwrap();
    perform(handler.into_service(), other).await.assert_rejected("expected u32, not string");
    perform(handler.into_service(), "3").await.assert_rejected("not a CloudEvent");
}

#[tokio::test]
async fn a_batch_is_taken_as_a_whole() {
    let handler = |CloudEventBatch(events): CloudEventBatch| async move { assert_eq!(events.len(), 2) };

    let batch = CloudEvent::to_batch(&[event("1"), event("2")]).unwrap();
    perform(handler.into_service(), batch).await.assert_acked();
    let one = event("1").to_message(Binding::Generic, Mode::Structured).unwrap();
    perform(handler.into_service(), one).await.assert_rejected("not a batch");
}

#[tokio::test]
async fn an_event_is_taken_with_its_payload_of_any_kind() {
    let typed = |event: Event<u32>| async move { assert_eq!(event.payload, 3) };
    let raw = |event: Event| async move { assert_eq!(event.payload.data(), "3") };
    let message = event("3").to_message(Binding::Generic, Mode::Binary).unwrap();

    perform(typed.into_service(), message.clone()).await.assert_acked();
    perform(raw.into_service(), message).await.assert_acked();
    let hush = event(r#""hush""#).to_message(Binding::Generic, Mode::Binary).unwrap();
    let performed = perform(typed.into_service(), hush).await;
    performed.assert_rejected("expected u32, not string");
}

#[tokio::test]
async fn story_and_rehearsal_are_taken_from_the_message() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let handler = move |correlation: Option<Correlation>, DryRun(rehearsal): DryRun| {
        note.lock().unwrap().push((correlation.map(|correlation| correlation.id().to_string()), rehearsal));
        async {}
    };
    let mut told = Message::new("x");
    told.attributes_mut().insert("correlation-id", "story");
    told.attributes_mut().insert("dry-run", "true");
    let mut named = Message::new("x");
    named.set_id(MessageId::from_u64(7));
    let mut wrong = Message::new("x");
    wrong.attributes_mut().insert("dry-run", "1");

    for message in [told, named, Message::new("x")] {
        perform(handler.clone().into_service(), message).await.assert_acked();
    }
    perform(handler.into_service(), wrong).await.assert_rejected("neither true nor false");

    assert_eq!(*seen.lock().unwrap(), [(Some("story".into()), true), (Some("7".into()), false), (None, false)]);
    perform((|_: Correlation| async {}).into_service(), "x").await.assert_retried();
}

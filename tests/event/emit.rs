use chappe::event::{Emitter, Event, Wire, emit};
use chappe::memory::MemoryQueue;
use chappe::middleware::cloudevents::Binding;
use chappe::middleware::correlation::Correlation;
use chappe::middleware::dry_run::DryRun;
use chappe::testing::Recorder;
use chappe::{ErrorKind, MessageId};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

/// A number that is not serialized if it is odd.
struct Even(u32);

impl Serialize for Even {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 2 == 1 { Err(S::Error::custom("odd")) } else { serializer.serialize_u32(self.0) }
    }
}

#[tokio::test]
async fn each_event_has_a_result_in_its_place() {
    let sent = Recorder::new();
    sent.fail_next(1, ErrorKind::Unavailable);

    let results = emit(&sent, (0..5).map(|number| Event::new("n", Even(number)))).await;

    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().err().map(chappe::Error::kind)).collect();
    let (invalid, unavailable) = (Some(ErrorKind::Invalid), Some(ErrorKind::Unavailable));
    assert_eq!(kinds, [unavailable, invalid, None, invalid, None]);
    let bodies: Vec<_> = sent.messages().iter().map(|message| message.body().clone()).collect();
    assert_eq!(bodies, ["2", "4"]);
}

#[tokio::test]
async fn an_event_without_a_name_is_refused_on_any_wire() {
    for wire in [Wire::default(), Wire::Envelope, Wire::of(Binding::Sqs)] {
        let sent = Recorder::new();

        let error = Emitter::new(sent.clone()).wire(wire).emit_one(Event::new("", 1)).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Invalid, "{wire:?}");
        sent.assert_published(0);
    }
}

#[tokio::test]
async fn an_event_that_is_emitted_twice_is_kept_once_by_a_queue_that_knows_ids() {
    let queue = MemoryQueue::new("events");
    let event = Event::new("order.placed", 3);

    let results = emit(&queue.topic(), [event.clone(), event]).await;

    assert_eq!(results.iter().map(|result| result.as_ref().unwrap().duplicate).collect::<Vec<_>>(), [false, true]);
    assert_eq!(queue.len(), 1);
}

#[tokio::test]
async fn an_event_belongs_to_the_story_it_is_created_in() {
    let sent = Recorder::new();
    let story = Correlation::new("story").caused_by(MessageId::from("order-7"));

    let inside = async { emit(&sent, [Event::new("invoice.printed", 1)]).await };
    story.scope(DryRun(true).scope(inside)).await.remove(0).unwrap();
    emit(&sent, [Event::new("invoice.printed", 1)]).await.remove(0).unwrap();

    let messages = sent.messages();
    let attribute = |at: usize, name| messages[at].attributes().get_str(name).map(str::to_owned);
    assert_eq!(attribute(0, "ce-correlationid").as_deref(), Some("story"));
    assert_eq!(attribute(0, "ce-causationid").as_deref(), Some("order-7"));
    assert_eq!(attribute(0, "ce-dryrun").as_deref(), Some("true"));
    assert_eq!((attribute(1, "ce-correlationid"), attribute(1, "ce-dryrun")), (None, None));
}

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::event::{ConsumeLayer, Event, Failure, emit};
use chappe::extract::{State, Type};
use chappe::memory::MemoryQueue;
use chappe::middleware::correlation::Correlation;
use chappe::middleware::dry_run::DryRun;
use chappe::server::Backoff;
use chappe::testing::{Recorder, perform};
use chappe::{BoxError, Message, Outcome, OutcomeError, Receiver, Router, Server, Topic};
use tokio::time::sleep;
use tower::{ServiceBuilder, service_fn};

const SECOND: Duration = Duration::from_secs(1);

type Answer = fn() -> Result<Outcome, BoxError>;

/// What the error handler was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    /// A layer that notes each failure, and answers with `decide`.
    fn layer(&self, decide: fn(Outcome) -> Outcome) -> ConsumeLayer {
        let told = self.clone();
        ConsumeLayer::new().on_error(move |failure: Failure| {
            let event = if failure.event.is_some() { "" } else { "no event, " };
            told.0.lock().unwrap().push(format!("{event}{failure} -> {:?}", failure.outcome));
            std::future::ready(decide(failure.outcome))
        })
    }

    fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn message(name: &'static str) -> Message {
    let sent = Recorder::new();
    let mut event = Event::new(name, 1);
    event.id = "7".into();
    emit(&sent, [event]).await.remove(0).unwrap();
    sent.messages().remove(0)
}

/// A receiver that answers `answer`.
fn answers(answer: Answer) -> impl Receiver + Sync {
    service_fn(move |_: Message| std::future::ready(answer()))
}

#[tokio::test(start_paused = true)]
async fn events_go_to_the_handler_of_their_name_and_their_story_goes_on() {
    let (queue, invoices) = (MemoryQueue::new("events"), Recorder::new());
    let mut placed = Event::new("order.placed", 3);
    placed.meta.correlation_id = Some("story".into());
    placed.meta.is_dry_run = true;
    emit(&queue.topic(), [placed]).await.remove(0).unwrap();
    emit(&queue.topic(), [Event::new("order.lost", ())]).await.remove(0).unwrap();

    async fn on_order(State(invoices): State<Recorder>, event: Event<u32>) -> Result<(), BoxError> {
        assert!(event.meta.is_dry_run && DryRun::current() == DryRun(true));
        assert_eq!(Correlation::current().unwrap().cause().unwrap().to_str().as_str(), event.id.as_str());
        emit(&invoices, [Event::new("invoice.printed", event.payload * 42)]).await.remove(0)?;
        if event.meta.attempts < 3 { Err("on purpose".into()) } else { Ok(()) }
    }
    async fn on_lost(event: Event) {
        assert_eq!((event.meta.correlation_id, event.meta.is_dry_run), (None, false));
        assert_eq!(Correlation::current().unwrap().id(), event.id);
    }
    let app = Router::new().route(Type("order.placed"), on_order).route(Type("order.lost"), on_lost);
    let app = ServiceBuilder::new().layer(ConsumeLayer::new()).service(app.or_reject().with_state(invoices.clone()));
    let server = Server::new(queue).backoff(Backoff::fixed(SECOND));
    let report = server.serve(app).with_graceful_shutdown(sleep(60 * SECOND)).await.unwrap();

    assert_eq!((report.metrics.acked, report.metrics.retried), (2, 2));
    for message in invoices.assert_published(3) {
        let invoice = Event::from_message(&message).unwrap();
        assert_eq!((invoice.meta.correlation_id.as_deref(), invoice.meta.is_dry_run), (Some("story"), true));
        assert_eq!(invoice.payload.parse::<u32>().unwrap(), 126);
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_handler_is_called_for_every_attempt_before_the_message_is_settled() {
    let (queue, dead) = MemoryQueue::with_dead_letter("events");
    queue.topic().publish(message("order.placed").await).await.unwrap();
    let held = Arc::new(Mutex::new(Vec::new()));
    let (note, look) = (Arc::clone(&held), queue.clone());
    let consume = ConsumeLayer::new().max_attempts(3).on_error(move |failure| {
        let (note, look) = (Arc::clone(&note), look.clone());
        async move {
            sleep(SECOND).await;
            let event = failure.event.unwrap();
            note.lock().unwrap().push((event.meta.attempts, failure.is_last_attempt, look.len()));
            failure.outcome
        }
    });

    let app = ServiceBuilder::new().layer(consume).service(answers(|| Err("on purpose".into())));
    let server = Server::new(queue).backoff(Backoff::fixed(SECOND)).max_attempts(3);
    server.serve(app).with_graceful_shutdown(sleep(60 * SECOND)).await.unwrap();

    assert_eq!(*held.lock().unwrap(), [(1, false, 1), (2, false, 1), (3, true, 1)]);
    let letter = dead.messages()[0].extensions().get::<chappe::backend::DeadLetter>().unwrap().reason.to_string();
    assert_eq!(letter, "attempt 3 of 3 failed: on purpose", "the error came through to the server");
}

#[tokio::test]
async fn every_way_to_fail_is_told_and_an_answer_that_is_none_is_not() {
    let failures: [(Answer, &str); 5] = [
        (|| Err("on purpose".into()), ": on purpose -> Retry"),
        (|| Err(OutcomeError::retry_after(SECOND, "busy").into()), "busy -> RetryAfter(1s)"),
        (|| Ok(Outcome::Retry), "asked for a retry -> Retry"),
        (
            || Ok(Outcome::reject("bad")),
            "event 7 \"order.placed\" failed at attempt 1, the last: bad -> Reject(\"bad\")",
        ),
        (|| panic!("on purpose"), "handler panicked: on purpose -> Retry"),
    ];
    for (answer, text) in failures {
        let told = Told::default();
        let app = ServiceBuilder::new().layer(told.layer(|outcome| outcome)).service(answers(answer));
        let _ = perform(app, message("order.placed").await).attempt(1).await;
        assert!(told.texts().len() == 1 && told.texts()[0].ends_with(text), "{:?}", told.texts());
    }
    let throttles = || Err(OutcomeError::throttle(SECOND, "busy").into());
    for answer in [|| Ok(Outcome::Ack), || Ok(Outcome::Throttle(SECOND)), throttles] as [Answer; 3] {
        let told = Told::default();
        let app = ServiceBuilder::new().layer(told.layer(|_| Outcome::Retry)).service(answers(answer));
        let performed = perform(app, message("order.placed").await).await;
        assert!(matches!(performed.outcome(), Some(Outcome::Ack | Outcome::Throttle(_))));
        assert!(told.texts().is_empty());
    }
}

#[tokio::test]
async fn the_error_handler_has_the_last_word_but_for_panics() {
    let fails = || answers(|| Err("on purpose".into()));
    let told = Told::default();

    let same = ServiceBuilder::new().layer(told.layer(|outcome| outcome)).service(fails());
    let acks = ServiceBuilder::new().layer(told.layer(|_| Outcome::Ack)).service(fails());
    let rejects = ServiceBuilder::new().layer(told.layer(|_| Outcome::reject("enough"))).service(fails());
    let panics = ServiceBuilder::new().layer(told.layer(|_| Outcome::Ack)).service(answers(|| panic!("on purpose")));

    perform(same, message("n").await).await.assert_retried().assert_error("on purpose");
    perform(acks, message("n").await).await.assert_acked();
    perform(rejects, message("n").await).await.assert_rejected("enough");
    perform(panics, message("n").await).await.assert_retried().assert_error("on purpose");
}

#[tokio::test]
async fn what_is_no_event_is_told_without_one_and_rejected() {
    let told = Told::default();
    let app = ServiceBuilder::new().layer(told.layer(|outcome| outcome)).service(answers(|| panic!("not reached")));

    perform(app, "not an event").await.assert_rejected("body is not JSON");

    assert!(told.texts()[0].starts_with("no event, message failed at attempt"), "{:?}", told.texts());
}

#[tokio::test]
async fn without_an_error_handler_answers_and_panics_come_through() {
    let consume = |answer| ServiceBuilder::new().layer(ConsumeLayer::new()).service(answers(answer));

    perform(consume(|| Ok(Outcome::reject("bad"))), message("n").await).await.assert_rejected("bad");
    perform(consume(|| Err("on purpose".into())), message("n").await).await.assert_retried().assert_error("on purpose");
    perform(consume(|| panic!("on purpose")), message("n").await).await.assert_retried().assert_error("on purpose");
    perform(consume(|| Ok(Outcome::Ack)), "not an event").await.assert_rejected("body is not JSON");
}

#[tokio::test]
async fn an_error_handler_that_panics_has_the_message_retried() {
    let consume = ConsumeLayer::new().on_error(|_| async { panic!("of its own") });
    let app = ServiceBuilder::new().layer(consume).service(answers(|| Ok(Outcome::reject("bad"))));

    perform(app, message("n").await).await.assert_retried().assert_error("of its own");
}

#[tokio::test]
async fn the_service_that_is_called_is_the_one_that_was_ready() {
    let app = ServiceBuilder::new()
        .layer(ConsumeLayer::new())
        .layer(tower::limit::ConcurrencyLimitLayer::new(1)) // panics when it is called without being ready
        .service(answers(|| Ok(Outcome::Ack)));

    perform(app.clone(), message("n").await).await.assert_acked();
    perform(app, message("n").await).await.assert_acked();
}

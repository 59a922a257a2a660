//! What a tracing subscriber sees: a span per message, by OpenTelemetry's names, and never a body.

use std::fmt::{Debug, Write as _};
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use chappe::{BoxError, Message, Topic};
use chappe_memory::MemoryQueue;
use tower::service_fn;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::*;

/// Writes down everything it is shown.
#[derive(Clone, Default)]
struct Ear {
    next: Arc<AtomicU64>,
    spans: Arc<Mutex<Vec<String>>>,
    all: Arc<Mutex<String>>,
}

struct Writer(String);

impl Visit for Writer {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Ear {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Writer(span.metadata().name().to_owned());
        span.record(&mut text);
        self.all.lock().unwrap().push_str(&text.0);
        if span.metadata().target() == "chappe::server" {
            self.spans.lock().unwrap().push(text.0);
        }
        Id::from_u64(self.next.fetch_add(1, Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut text = Writer(String::new());
        values.record(&mut text);
        self.all.lock().unwrap().push_str(&text.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Writer(String::new());
        event.record(&mut text);
        self.all.lock().unwrap().push_str(&text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_message_is_handled_in_a_span_with_the_conventional_fields_and_without_its_body() {
    let (queue, _dead) = MemoryQueue::with_dead_letter("jobs");
    let mut message = Message::new("a secret body");
    message.set_id("order-7");
    queue.topic().publish(message).await.unwrap();
    let ear = Ear::default();
    let _listening = tracing::subscriber::set_default(ear.clone());

    serve_for(
        server(queue).max_attempts(2),
        MINUTE,
        service_fn(|message: Message| {
            assert!(message.attempt() == 1, "panicked");
            ready(Err::<(), BoxError>("failed".into()))
        }),
    )
    .await;

    let spans = ear.spans.lock().unwrap();
    assert_eq!(spans.len(), 2, "one per attempt: {spans:?}");
    for (span, attempt) in spans.iter().zip(1..) {
        assert!(span.starts_with("process "), "{span}");
        for field in [
            r#"otel.kind="consumer""#,
            r#"messaging.system="memory""#,
            r#"messaging.destination.name="jobs""#,
            r#"messaging.operation.name="process""#,
            r#"messaging.operation.type="process""#,
            "messaging.message.id=order-7",
            &format!("attempt={attempt}"),
        ] {
            assert!(span.contains(field), "{field} is not in {span}");
        }
    }
    let all = ear.all.lock().unwrap();
    assert!(all.contains("failed") && all.contains("panicked"), "failures are logged: {all}");
    assert!(!all.contains("secret"), "a body is not: {all}");
}

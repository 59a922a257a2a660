//! [`TraceWatch`], a span of OpenTelemetry while its call lasts.

use chappe_core::MessageId;
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};

use crate::observe::{Ending, Watch, name};

/// The context of a call, with its span.
#[derive(Debug)]
pub(super) struct TraceWatch {
    context: Context,
    call: Call,
    errors: bool,
}

/// What the call does.
#[derive(Debug)]
pub(super) enum Call {
    /// Publishes what is called this if the broker does not name it anew.
    Publish(Option<MessageId>),
    Receive,
}

impl TraceWatch {
    pub(super) fn new(context: Context, call: Call, errors: bool) -> Self {
        Self { context, call, errors }
    }
}

impl Watch for TraceWatch {
    fn within<T>(&mut self, part: impl FnOnce() -> T) -> T {
        let _attached = self.context.clone().attach();
        part()
    }

    fn end(&mut self, ending: Ending<'_>) {
        let span = self.context.span();
        if span.is_recording() {
            let end = ending.end();
            match &self.call {
                Call::Publish(given) => {
                    let told = match ending {
                        Ending::Published(published) => published.id.as_ref(),
                        _ => None,
                    };
                    if let Some(id) = told.or(given.as_ref()) {
                        span.set_attribute(KeyValue::new(name::MESSAGE_ID, id.to_string()));
                    }
                }
                Call::Receive => span.set_attribute(KeyValue::new(name::OUTCOME, end.outcome())),
            }
            if let Some(kind) = end.error_type() {
                span.set_attribute(KeyValue::new(name::ERROR_TYPE, kind));
                let detail = if self.errors { ending.detail() } else { None };
                span.set_status(Status::error(detail.unwrap_or_default()));
            }
        }
        span.end();
    }
}

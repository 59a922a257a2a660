//! Metrics of what is published and handled, by OpenTelemetry's [conventions for messaging][conventions].
//!
//! [`MeasurePublishLayer`] goes around a topic, [`MeasureReceiveLayer`] around a receiver. Each writes either
//! to the recorder of the `metrics` crate (`new`, feature `metrics`) or to a meter of OpenTelemetry
//! (`from_meter`, feature `opentelemetry`).
//!
//! | metric | kind, unit | of what |
//! |---|---|---|
//! | `messaging.client.operation.duration` | histogram, s | publishing, from the call to the broker's word |
//! | `messaging.client.sent.messages` | counter | messages published, or not: then with `error.type` |
//! | `chappe.publish.in_flight` | gauge | messages being published |
//! | `chappe.publish.oldest.age` | gauge, s | for how long the oldest of them has been |
//! | `messaging.process.duration` | histogram, s | handling a message or a batch |
//! | `messaging.client.consumed.messages` | counter | deliveries handled; a message tried three times counts three times |
//! | `chappe.process.attempts` | histogram | which attempt each delivery was, where the broker counts |
//! | `chappe.process.in_flight` | gauge | messages being handled |
//! | `chappe.process.oldest.age` | gauge, s | for how long the oldest of them has been: it is not acknowledged yet |
//!
//! # Labels
//!
//! `messaging.system`, `messaging.operation.name`, `messaging.destination.name`; `error.type` if something went
//! wrong; for handling `chappe.outcome`, which is `ack`, `retry`, `reject`, `throttle` or `dropped`. All are of
//! few values: an error is called by its [kind](chappe_core::ErrorKind), or `_OTHER`, an answer that is no
//! acknowledgement `retry`, `reject` or `throttle`. After a hundred destinations all others are one.
//!
//! # What happens when
//!
//! | | |
//! |---|---|
//! | a message is tried again | counted for each attempt |
//! | the handler panics | counted with `panic`, and no longer in flight |
//! | its future is dropped, as by a timeout around this layer | counted with `cancelled`, and no longer in flight |
//! | a batch is handled | one duration, that of the first failure if there is one; each message counted by its own result |
//! | a batch is answered with too few results | the others are counted as `retry`, which is what the server does |
//! | a message waits for a service that is not ready | not counted: it has not begun |
//! | no recorder is installed when the first message comes | nothing is written, then or later |
//!
//! # Order
//!
//! Outermost, so that all the layers take is measured. Around a layer that retries in process it measures the
//! whole, inside of it every try.
//!
//! Make one layer for a server and clone it: the age of the oldest is kept for each layer.
//!
//! # Cost
//!
//! Two looks at the clock, two short locks, and what the recorder takes for two histograms and a counter; no
//! allocation of its own, but one for each batch. Writers are made once for each destination, outcome and
//! error type. Measured by `benches/observe.rs`.
//!
//! [conventions]: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/

#[cfg(feature = "metrics")]
mod facade;
mod flight;
mod future;
mod in_flight;
mod meter;
pub mod name;
#[cfg(feature = "opentelemetry")]
mod otel;
mod publish;
mod receive;
mod series;

pub use future::ResponseFuture;
pub use in_flight::InFlight;
pub use publish::{MeasurePublish, MeasurePublishLayer};
pub use receive::{MeasureReceive, MeasureReceiveLayer};

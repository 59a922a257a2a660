//! RustStream with its memory broker, on the byte lanes: no codec on either side.

use std::convert::Infallible;

use bytes::BytesMut;
use ruststream::memory::prelude::*;
use ruststream::{OutgoingMessage, Publisher};

use crate::support::load::{ATTRIBUTE, ATTRIBUTES, BODY};
use crate::support::{Load, Sink};

/// The bytes of a delivery as they arrived.
#[derive(Deserialized)]
struct Frame<'a>(&'a [u8]);

#[subscriber("pool", workers(64))]
async fn pool(frame: &Frame<'_>, context: &mut Context<'_, (), Sink>) -> HandlerOutcome {
    context.state().take(context.headers().get_str(ATTRIBUTE), frame.0);
    HandlerOutcome::ack()
}

/// A pool of 64 workers, whatever the load says: the number is a part of the handler's declaration.
pub async fn workers(load: Load, sink: Sink) {
    let broker = MemoryBroker::new();
    let state = sink.clone();
    let app = RustStream::new(AppInfo::new("bench", "0.0.0"))
        .on_startup(async move |()| Ok::<_, Infallible>(state))
        .with_broker(broker.clone(), |scope| {
            scope.include(pool);
        });
    drive(app.start().await.expect("the service starts"), &broker, "pool", load, sink).await;
}

async fn drive(running: RunningApp, broker: &MemoryBroker, name: &'static str, load: Load, sink: Sink) {
    let mut headers = HeaderMap::new();
    for (name, value) in ATTRIBUTES {
        headers.insert(name, value);
    }
    for share in load.shares() {
        let (publisher, headers) = (broker.publisher(), headers.clone());
        tokio::spawn(async move {
            for _ in 0..share {
                let message = OutgoingMessage::produced(name, BytesMut::from(&BODY[..])).with_headers(headers.clone());
                publisher.publish(message, None).await.expect("the broker is open");
                // The bus has no bound and publishing never waits.
                tokio::task::consume_budget().await;
            }
        });
    }
    sink.done().await;
    running.shutdown().await.expect("the service stops");
}

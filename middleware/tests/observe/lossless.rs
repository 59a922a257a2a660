//! What goes through the layers comes out as it went in, but for the context that is written.

use std::future::ready;
use std::sync::{Arc, Mutex};

use chappe::{BoxError, Message, Published, Value};
use chappe_middleware::metrics::{MeasurePublishLayer, MeasureReceiveLayer};
use chappe_middleware::trace::{TracePublishLayer, TraceReceiveLayer};
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tracing::subscriber::set_default;

use crate::support::*;

/// The attributes the layers may write.
const CONTEXT: [&str; 2] = ["traceparent", "tracestate"];

/// A message with all kinds of attributes, some of which look like a context.
fn random(random: &mut fastrand::Rng) -> Message {
    let names = ["a", "A", "type", "", "trace", "baggage", "Tracestate", "traceparent", "TRACEPARENT", "with space"];
    let mut message = Message::new(vec![random.u8(..); random.usize(..20)]);
    for _ in 0..random.usize(..8) {
        let value = match random.u8(..5) {
            0 => Value::Null,
            1 => Value::from(vec![0xff, random.u8(..)]),
            2 => Value::from(random.u32(..)),
            3 => Value::from("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            _ => Value::from("x=y"),
        };
        message.attributes_mut().append(names[random.usize(..names.len())], value);
    }
    if random.bool() {
        message.set_key("key");
    }
    if random.bool() {
        message.set_source("orders");
        message.set_attempt(random.u32(1..4));
    }
    message
}

fn others(message: &Message) -> Vec<(String, Value)> {
    let all = message.attributes().iter().filter(|(name, _)| !CONTEXT.contains(&&*name.to_ascii_lowercase()));
    all.map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect()
}

/// Keeps the messages that come through.
#[derive(Clone, Default)]
struct Net(Arc<Mutex<Vec<Message>>>);

impl Net {
    fn receiver(&self) -> impl Service<Message, Response = (), Error = BoxError> + use<> {
        let Self(caught) = self.clone();
        service_fn(move |message| {
            caught.lock().unwrap().push(message);
            ready(Ok(()))
        })
    }

    fn topic(&self) -> impl Service<Message, Response = Published, Error = BoxError> + use<> {
        let Self(caught) = self.clone();
        service_fn(move |message| {
            caught.lock().unwrap().push(message);
            ready(Ok(Published::default()))
        })
    }

    fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn messages_lose_nothing_on_their_way_in_and_out() {
    let (otel, net) = (Otel::new(), Net::default());
    let _listening = set_default(Ear::default());
    let receive = ServiceBuilder::new()
        .layer(MeasureReceiveLayer::new("memory"))
        .layer(TraceReceiveLayer::new("memory"))
        .layer(otel.receive());
    let publish =
        ServiceBuilder::new().layer(MeasurePublishLayer::new("memory")).layer(TracePublishLayer::new("memory"));
    let (mut receiver, mut ours) = (receive.service(net.receiver()), publish.service(net.topic()));
    let mut theirs = otel.publish().layer(net.topic());

    for seed in 0..500 {
        let message = random(&mut fastrand::Rng::with_seed(seed));
        receiver.call(message.clone()).await.unwrap();
        ours.call(message.clone()).await.unwrap();
        theirs.call(message.clone()).await.unwrap();

        let caught = net.take();
        assert_eq!(caught[0].attributes(), message.attributes(), "seed {seed}: a receiver sees what was sent");
        for caught in &caught {
            assert_eq!((caught.body(), caught.key()), (message.body(), message.key()), "seed {seed}");
            assert_eq!(others(caught), others(&message), "seed {seed}");
        }
    }
}

#[tokio::test]
async fn a_service_with_ours_and_one_with_opentelemetrys_understand_each_other() {
    let (ear, otel, net) = (Ear::default(), Otel::new(), Net::default());
    let _listening = set_default(ear.clone());
    let mut ours = TracePublishLayer::new("memory").layer(net.topic());
    let mut theirs = otel.publish().layer(net.topic());
    let mut we_receive = TraceReceiveLayer::new("memory").layer(net.receiver());
    let mut they_receive = otel.receive().layer(net.receiver());

    ours.call(Message::new("x")).await.unwrap();
    they_receive.call(net.take().remove(0)).await.unwrap();
    net.take();
    theirs.call(Message::new("x")).await.unwrap();
    we_receive.call(net.take().remove(0)).await.unwrap();

    let (heard, exported) = (ear.spans(), otel.spans());
    assert_eq!(heard[0].get("trace_id"), Some(&*trace_id(&exported[0])));
    assert_eq!(heard[0].get("span_id"), Some(&*exported[0].parent_span_id.to_string()));
    assert_eq!(heard[1].get("trace_id"), Some(&*trace_id(&exported[1])));
    assert_eq!(heard[1].get("parent_span_id"), Some(&*exported[1].span_context.span_id().to_string()));
}

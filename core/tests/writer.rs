//! What `MessageWriter` and `Topic` promise.

use std::error::Error as _;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;
use chappe_core::{BoxError, Error, ErrorKind, Message, Published, Topic};
use futures_util::future::BoxFuture;
use tokio::io::AsyncWriteExt;
use tower::limit::ConcurrencyLimit;
use tower::{Service, ServiceBuilder, service_fn};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

type Log = Arc<Mutex<Vec<Message>>>;

/// A topic that logs what is published and answers with its number.
fn topic() -> (Log, impl Topic<Error = Error>) {
    let log = Log::default();
    let topic = service_fn({
        let log = Arc::clone(&log);
        move |message: Message| {
            let log = Arc::clone(&log);
            async move {
                if message.body() == "refuse me" {
                    return Err(Error::new(ErrorKind::Invalid, "message is refused"));
                }
                let mut log = log.lock().expect("no test panics with it");
                log.push(message);
                Ok(Published::new(Some(log.len().to_string().into())))
            }
        }
    });
    (log, topic)
}

fn receipt(number: &str) -> Published {
    Published::new(Some(number.to_owned().into()))
}

fn bodies(log: &Log) -> Vec<String> {
    let log = log.lock().expect("no test panics with it");
    log.iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect()
}

#[tokio::test]
async fn several_writes_and_a_close_are_one_message() {
    let (log, topic) = topic();
    let mut writer = topic.writer();
    writer.attributes_mut().insert("type", "greeting");
    writer.set_key("room-1").set_delay(Duration::from_secs(1));

    write!(writer, "three ").unwrap();
    Write::write_all(&mut writer, b"writes ").unwrap();
    writer.body_mut().put_slice(b"and a close");
    let published = writer.close().await.unwrap();

    assert_eq!((published, bodies(&log)), (receipt("1"), vec!["three writes and a close".to_owned()]));
    let message = log.lock().unwrap().remove(0);
    assert_eq!(message.attributes().get_str("type"), Some("greeting"));
    assert_eq!((message.key(), message.delay()), (Some(&"room-1".into()), Some(Duration::from_secs(1))));
}

#[tokio::test]
async fn closing_without_a_write_publishes_an_empty_message() {
    let (log, topic) = topic();

    topic.writer().close().await.unwrap();

    assert_eq!(bodies(&log), [""]);
}

#[tokio::test]
async fn every_writer_is_a_message_of_its_own() {
    let (log, topic) = topic();
    let (mut first, mut second) = (topic.writer(), topic.writer());

    write!(first, "1").unwrap();
    write!(second, "2").unwrap();
    write!(first, "1").unwrap();
    second.close().await.unwrap();
    first.close().await.unwrap();

    assert_eq!(bodies(&log), ["2", "11"]);
}

#[tokio::test]
async fn a_writer_dropped_unclosed_publishes_nothing_and_says_so() {
    let (log, topic) = topic();
    let events = Events::default();
    let quiet = Events::default();

    tracing::subscriber::with_default(events.clone(), || {
        let mut writer = topic.writer();
        write!(writer, "lost").unwrap();
        drop(writer);
    });
    tracing::subscriber::with_default(quiet.clone(), || {
        drop(topic.writer());
        let mut writer = topic.writer();
        write!(writer, "given up").unwrap();
        writer.abort();
    });

    assert_eq!(bodies(&log), [""; 0]);
    let said = events.0.lock().unwrap().clone();
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("chappe::writer: message writer dropped without being closed"), "{said:?}");
    assert_eq!(*quiet.0.lock().unwrap(), [""; 0], "nothing written, or dropped on purpose: nothing to say");
}

#[tokio::test]
async fn a_shutdown_publishes_once_and_close_answers_with_its_receipt() {
    let (log, topic) = topic();
    let mut writer = topic.writer();

    AsyncWriteExt::write_all(&mut writer, b"through ").await.unwrap();
    tokio::io::copy(&mut &b"a pipe"[..], &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
    writer.shutdown().await.unwrap();
    let late = AsyncWriteExt::write_all(&mut writer, b"late").await.unwrap_err();
    let published = writer.close().await.unwrap();

    assert_eq!((published, bodies(&log)), (receipt("1"), vec!["through a pipe".to_owned()]));
    assert_eq!(late.kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_shutdown_that_fails_carries_our_error_and_publishes_no_more() {
    let (log, topic) = topic();
    let mut writer = topic.writer();
    write!(writer, "refuse me").unwrap();

    let error = writer.shutdown().await.unwrap_err();
    let again = writer.close().await.unwrap_err();

    let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).expect("our error is inside");
    assert_eq!((ours.kind(), again.kind()), (ErrorKind::Invalid, ErrorKind::Closed));
    assert_eq!(bodies(&log), [""; 0]);
}

#[tokio::test]
async fn an_error_behind_a_layer_keeps_its_kind_or_becomes_the_source() {
    let (_, topic) = topic();
    let layered = ServiceBuilder::new().timeout(Duration::from_secs(1)).service(topic);
    let foreign = service_fn(async |_: Message| Err::<Published, BoxError>("out of paper".into()));

    let own = layered.publish("refuse me").await.unwrap_err();
    let other = foreign.publish("a").await.unwrap_err();

    assert_eq!(own.kind(), ErrorKind::Invalid);
    assert_eq!((other.kind(), other.source().unwrap().to_string()), (ErrorKind::Other, "out of paper".to_owned()));
}

#[tokio::test]
async fn publish_all_answers_each_message_in_their_order() {
    let (log, topic) = topic();

    let results = topic.publish_all(["a", "refuse me", "b"]).await;

    assert_eq!(results[0].as_ref().unwrap(), &receipt("1"));
    assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(results[2].as_ref().unwrap(), &receipt("2"));
    assert_eq!(bodies(&log), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn publish_all_gets_through_a_topic_that_takes_one_at_a_time() {
    let (log, topic) = topic();
    let slow = service_fn(move |message: Message| {
        let topic = topic.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            topic.publish(message).await
        }
    });

    let results = ConcurrencyLimit::new(slow, 1).publish_all(["a", "b", "c", "d"]).await;

    assert!(results.iter().all(Result::is_ok));
    assert_eq!(bodies(&log), ["a", "b", "c", "d"]);
}

/// Fails every seventh time it is asked whether it is ready, and ends its calls in no order.
#[derive(Clone, Default)]
struct Moody {
    asked: usize,
}

impl Service<Message> for Moody {
    type Response = Published;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Published, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.asked += 1;
        let ready = self.asked % 7 != 0;
        Poll::Ready(if ready { Ok(()) } else { Err(Error::new(ErrorKind::Unavailable, "not today")) })
    }

    fn call(&mut self, message: Message) -> Self::Future {
        let number = String::from_utf8(message.into_body().into()).expect("the body is a number");
        let time = Duration::from_millis(number.parse::<u64>().expect("the body is a number") * 97 % 50);
        Box::pin(async move {
            tokio::time::sleep(time).await;
            Ok(receipt(&number))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn publish_all_keeps_every_result_in_its_place_however_many_calls_are_under_way() {
    let topic = ConcurrencyLimit::new(Moody::default(), 45);

    let results = topic.publish_all((0..300).map(|number| number.to_string())).await;

    assert_eq!(results.len(), 300);
    for (at, result) in results.into_iter().enumerate() {
        match result {
            Ok(published) => assert_eq!(published, receipt(&at.to_string())),
            Err(error) => assert_eq!((error.kind(), (at + 1) % 7), (ErrorKind::Unavailable, 0)),
        }
    }
}

#[tokio::test]
async fn publish_all_of_nothing_is_nothing() {
    let (_, topic) = topic();

    assert!(topic.publish_all([""; 0]).await.is_empty());
}

/// Keeps target and text of every event.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Subscriber for Events {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(format!("{}: ", event.metadata().target()));
        event.record(&mut text);
        self.0.lock().expect("no test panics with it").push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.push_str(&format!("{value:?}"));
        }
    }
}

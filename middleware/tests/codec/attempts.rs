//! Whole stacks, from publishing to acknowledging over the memory backend.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::server::Backoff;
use chappe::{BoxError, Message, Outcome, Receiver, Server, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::base64;
use chappe_middleware::checksum::{self, DigestLayer};
use chappe_middleware::claim::{self, ClaimStore};
use chappe_middleware::compress::{self, CompressLayer};
use chappe_middleware::encrypt::{self, KeyRing};
use object_store::memory::InMemory;
use tower::{Layer, ServiceExt, service_fn};

use crate::kit::{assert_same, message, text, through};
use crate::stack::{self, Codec};

type Seen = Arc<Mutex<Vec<Message>>>;

/// Notes what it gets, spoils its copy, and fails until the fourth attempt.
fn fails_thrice(seen: &Seen) -> impl Receiver<Response = Outcome, Error = BoxError> + use<> {
    let seen = Arc::clone(seen);
    service_fn(move |mut message: Message| {
        seen.lock().unwrap().push(message.clone());
        message.set_body("spoiled");
        message.attributes_mut().clear();
        ready(if message.attempt() == 4 { Ok(Outcome::Ack) } else { Err("not yet".into()) })
    })
}

fn original() -> Message {
    let mut message = message(text(200_000), &[("type", "order"), ("content-language", "en"), ("type", "again")]);
    message.set_key("k");
    message
}

/// Serves until everything has come to rest.
async fn serve(queue: &MemoryQueue, receiver: impl Receiver) {
    let stop = tokio::time::sleep(Duration::from_secs(600));
    let server = Server::new(queue.clone()).backoff(Backoff::fixed(Duration::from_secs(1)));
    server.serve(receiver).with_graceful_shutdown(stop).await.unwrap();
}

fn assert_four_times_the_original(seen: &Seen) {
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().map(Message::attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    seen.iter().for_each(|message| assert_same(message, &original()));
}

fn claims() -> ClaimStore {
    ClaimStore::new(Arc::new(InMemory::new()), "bodies").unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_attempt_sees_the_original_through_every_codec() {
    let mut stacks: Vec<Vec<Codec>> = stack::all(&claims()).into_iter().map(|codec| vec![codec]).collect();
    stacks.push(vec![stack::go_msg()]);
    stacks.push(stack::all(&claims()));

    for codecs in stacks {
        let (queue, seen) = (MemoryQueue::new("jobs"), Seen::default());
        let topic = stack::publish(&codecs, queue.topic().map_err(BoxError::from).boxed_clone());

        topic.publish(original()).await.unwrap();
        let stored = queue.messages().remove(0);
        serve(&queue, stack::receive(&codecs, fails_thrice(&seen).boxed_clone())).await;

        assert!(stored.attributes() != original().attributes(), "{codecs:?} leaves no mark");
        assert_four_times_the_original(&seen);
        assert!(queue.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_documented_order_works_as_it_is_written() {
    let ring = KeyRing::new("k1", &[1; 32]).unwrap();
    let (publish, receive) = compress::pair(CompressLayer::zstd())
        .then(encrypt::pair(ring))
        .then(checksum::pair(DigestLayer::crc32c()))
        .then(claim::pair(claims()))
        .then(base64::pair())
        .split();
    let (queue, seen) = (MemoryQueue::new("jobs"), Seen::default());

    let topic = publish.layer(queue.topic());
    topic.publish(original()).await.unwrap();
    let encodings = queue.messages()[0].attributes().get_str("content-encoding").map(String::from);
    serve(&queue, receive.layer(fails_thrice(&seen))).await;

    // It was small enough for the broker once it was compressed.
    assert_eq!(encodings.as_deref(), Some("zstd, aes-256-gcm, base64"));
    assert_four_times_the_original(&seen);
}

#[tokio::test]
async fn what_its_publisher_compressed_is_decompressed_through_the_documented_order() {
    let (queue, codecs) = (MemoryQueue::new("jobs"), stack::all(&claims()));
    let zipped = through(&CompressLayer::gzip(), original()).await.unwrap();

    let topic = stack::publish(&codecs, queue.topic().map_err(BoxError::from).boxed_clone());
    topic.publish(zipped).await.unwrap();
    let seen = Seen::default();
    let mut stored = queue.messages().remove(0);
    stored.set_attempt(4);
    stack::receive(&codecs, fails_thrice(&seen).boxed_clone()).oneshot(stored).await.unwrap();

    assert_same(&seen.lock().unwrap()[0], &original());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_ends_in_the_dead_letter_with_the_reason_and_as_it_was() {
    let (queue, dead) = MemoryQueue::with_dead_letter("jobs");
    let corrupt = message("not gzip", &[("Content-Encoding", "gzip"), ("type", "order")]);
    queue.topic().publish(corrupt.clone()).await.unwrap();
    let unreached = service_fn(|_: Message| async { panic!("half-decoded") as Result<(), BoxError> });

    serve(&queue, compress::DecompressLayer::new().layer(unreached)).await;

    let letter = dead.messages().remove(0);
    let reason = letter.extensions().get::<chappe::backend::DeadLetter>().unwrap().reason.to_string();
    assert!(reason.contains("body is marked as gzip and is not"), "{reason}");
    assert_same(&letter, &corrupt);
}

#[tokio::test(start_paused = true)]
async fn the_body_of_an_acknowledged_message_is_deleted_and_that_of_a_failed_one_is_kept_for_the_next_attempt() {
    let store = claims();
    let (queue, seen) = (MemoryQueue::new("jobs"), Seen::default());
    let topic = claim::StoreBodyLayer::new(store.clone()).layer(queue.topic());
    topic.publish(original()).await.unwrap();

    let layer = claim::FetchBodyLayer::new(store.clone()).delete_acknowledged();
    serve(&queue, layer.layer(fails_thrice(&seen))).await;

    assert_four_times_the_original(&seen);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
}

/// Decoding again at each try is what a retry within the process does.
#[tokio::test(start_paused = true)]
async fn a_retry_around_the_layers_decodes_the_same_message_again() {
    #[derive(Clone)]
    struct Thrice(u32);

    impl<R, E> tower::retry::Policy<Message, R, E> for Thrice {
        type Future = std::future::Ready<()>;

        fn retry(&mut self, message: &mut Message, result: &mut Result<R, E>) -> Option<Self::Future> {
            message.set_attempt(message.attempt() + 1);
            self.0 = self.0.checked_sub(1)?;
            result.is_err().then(|| ready(()))
        }

        fn clone_request(&mut self, message: &Message) -> Option<Message> {
            Some(message.clone())
        }
    }
    let (seen, codecs) = (Seen::default(), stack::all(&claims()));
    let queue = MemoryQueue::new("jobs");
    let topic = stack::publish(&codecs, queue.topic().map_err(BoxError::from).boxed_clone());
    topic.publish(original()).await.unwrap();
    let mut stored = queue.messages().remove(0);
    stored.set_attempt(1);

    let receiver = stack::receive(&codecs, fails_thrice(&seen).boxed_clone());
    tower::retry::RetryLayer::new(Thrice(3)).layer(receiver).oneshot(stored).await.unwrap();

    assert_four_times_the_original(&seen);
}

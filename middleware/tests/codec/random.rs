//! Random messages through random stacks come back as they were.

use std::future::ready;
use std::sync::{Arc, Mutex};

use chappe_core::{Attributes, BoxError, Key, Message, Outcome, Topic, Value};
use chappe_memory::MemoryQueue;
use chappe_middleware::claim::ClaimStore;
use object_store::memory::InMemory;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tower::{ServiceExt, service_fn};

use crate::kit::assert_same;
use crate::stack::{self, Codec};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => ".{0,40}".prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => vec(any::<u8>(), 0..40).prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

/// Few names, among them bound ones and those the codecs write where others may have written too.
fn attributes() -> impl Strategy<Value = Attributes> {
    let name = select(vec!["type", "TYPE", "a", "missing", "Content-Digest", "content-digest", "Content-Type"]);
    vec((name, value()), 0..8).prop_map(|entries| entries.into_iter().collect())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(Vec::new()),
        3 => vec(any::<u8>(), 0..2000),
        3 => ("[ab]{1,20}", 1..200_usize).prop_map(|(part, times)| part.repeat(times).into_bytes()),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (body(), attributes(), proptest::option::of("[a-z]{1,5}")).prop_map(|(body, attributes, key)| {
        let mut message = Message::new(body);
        *message.attributes_mut() = attributes;
        if let Some(key) = key {
            message.set_key(Key::from(key));
        }
        message
    })
}

/// A stack of any codecs in any order; but of those whose layer may decline, as the other one had done it
/// already, only the first: the receive side would undo that before a checksum that is between them.
fn stack(picks: &[Index], go_msg: bool) -> Vec<Codec> {
    let claims = ClaimStore::new(Arc::new(InMemory::new()), "bodies").unwrap();
    let all = stack::all(&claims);
    let mut codecs: Vec<_> = picks.iter().map(|pick| pick.get(&all).clone()).collect();
    let mut have = Vec::new();
    codecs.retain(|codec| {
        let again = codec.one_of.is_some() && have.contains(&codec.one_of);
        have.push(codec.one_of);
        !again
    });
    codecs.extend(go_msg.then(stack::go_msg));
    codecs
}

async fn there_and_back(message: Message, codecs: &[Codec]) {
    let queue = MemoryQueue::new("jobs");
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let receiver = service_fn(move |message: Message| {
        *note.lock().unwrap() = Some(message);
        ready(Ok::<_, BoxError>(Outcome::Ack))
    });

    let topic = stack::publish(codecs, queue.topic().map_err(BoxError::from).boxed_clone());
    topic.publish(message.clone()).await.unwrap();
    let stored = queue.messages().remove(0);
    stack::receive(codecs, receiver.boxed_clone()).oneshot(stored).await.unwrap();

    let received = seen.lock().unwrap().take().unwrap();
    assert_same(&received, &message);
    assert_eq!(received.key(), message.key());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_comes_back_through_any_stack(
        message in message(),
        picks in vec(any::<Index>(), 0..7),
        go_msg in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

        runtime.block_on(there_and_back(message, &stack(&picks, go_msg)));
    }
}

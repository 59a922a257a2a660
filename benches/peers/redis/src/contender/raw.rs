//! The client in loops one would write by hand: pipelines of `XADD`, reads of as many, and one `XACK` and one
//! `XDEL` for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::{Value, cmd, pipe};
use tokio::task::JoinSet;

use super::shares;
use crate::server::connect;
use crate::watch::Watch;
use crate::{BODY, CONSUMERS, PUBLISHERS, Run};

pub async fn run(queue: String, messages: usize, batch: usize) -> Run {
    let queue = Arc::<str>::from(queue);
    let watch = Watch::start().await;
    let mut publishers = JoinSet::new();
    for share in shares(messages, PUBLISHERS) {
        publishers.spawn(publish(Arc::clone(&queue), share, batch));
    }
    publishers.join_all().await;
    let published = watch.stop().await;

    let mut create = cmd("XGROUP");
    create.arg("CREATE").arg(&*queue).arg("g").arg("0");
    let _: Value = create.query_async(&mut connect().await).await.expect("the group is made");
    let (watch, left) = (Watch::start().await, Arc::new(AtomicUsize::new(messages)));
    let mut consumers = JoinSet::new();
    for number in 0..CONSUMERS {
        consumers.spawn(consume(Arc::clone(&queue), number, Arc::clone(&left), batch));
    }
    consumers.join_all().await;
    Run { published, consumed: watch.stop().await }
}

async fn publish(queue: Arc<str>, messages: usize, batch: usize) {
    let mut connection = connect().await;
    for first in (0..messages).step_by(batch) {
        let mut pipe = pipe();
        for _ in first..messages.min(first + batch) {
            let command = pipe.cmd("XADD").arg(&*queue).arg("*").arg("b").arg(BODY);
            for name in ["a", "b", "c", "d"] {
                command.arg(name).arg("value");
            }
        }
        let ids: Vec<Value> = pipe.query_async(&mut connection).await.expect("messages are added");
        assert!(ids.len() <= batch);
    }
}

async fn consume(queue: Arc<str>, number: usize, left: Arc<AtomicUsize>, batch: usize) {
    let mut connection = connect().await;
    let mut read = cmd("XREADGROUP");
    read.arg("GROUP").arg("g").arg(number).arg("COUNT").arg(batch).arg("BLOCK").arg(100).arg("STREAMS").arg(&*queue);
    read.arg(">");
    while left.load(Ordering::Relaxed) > 0 {
        let answer = connection.send_packed_command(&read).await.expect("messages are read");
        let Value::Array(streams) = answer else { continue };
        let [Value::Array(stream)] = &streams[..] else { panic!("there is one stream") };
        let Value::Array(entries) = &stream[1] else { panic!("it has entries") };
        let (mut ack, mut delete) = (cmd("XACK"), cmd("XDEL"));
        ack.arg(&*queue).arg("g");
        delete.arg(&*queue);
        for entry in entries {
            let Value::Array(entry) = entry else { panic!("an entry has an id and fields") };
            let Value::BulkString(id) = &entry[0] else { panic!("an id is a string") };
            let Value::Array(fields) = &entry[1] else { panic!("fields are a list") };
            assert_eq!(fields.len(), 10);
            ack.arg(&id[..]);
            delete.arg(&id[..]);
        }
        let mut pipe = pipe();
        pipe.add_command(ack).add_command(delete);
        let done: Vec<usize> = pipe.query_async(&mut connection).await.expect("messages are acknowledged");
        assert_eq!(done, [entries.len(); 2]);
        left.fetch_sub(entries.len(), Ordering::Relaxed);
    }
}

//! What many ordering keys cost of memory: Google's client keeps a task for each it has ever seen.

use chappe::Topic;
use chappe::pubsub::PubsubPublisher;

use crate::contender::{WAVE, ours, raw};
use crate::server::{client, place};

/// Publishes a message of each key by both, and prints what stays.
pub async fn memory(keys: usize) {
    let place = place("keys").await;
    let topic = PubsubPublisher::new(&client(), &place.topic).topic();
    let publisher = raw::publisher(&place.topic).await;
    // What any first use takes is not counted.
    topic.publish(ours::message()).await.expect("a message can be published");
    publisher.publish(raw::message()).await.expect("a message can be published");

    let before = resident();
    for first in (0..keys).step_by(WAVE) {
        let wave = (first..keys.min(first + WAVE)).map(|key| {
            let mut message = ours::message();
            message.set_key(format!("key-{key}"));
            message
        });
        for result in topic.publish_all(wave).await {
            result.expect("a message can be published");
        }
    }
    let own = resident().saturating_sub(before);

    let before = resident();
    for first in (0..keys).step_by(WAVE) {
        let wave: Vec<_> = (first..keys.min(first + WAVE))
            .map(|key| publisher.publish(raw::message().set_ordering_key(format!("key-{key}"))))
            .collect();
        for result in wave {
            result.await.expect("a message can be published");
        }
    }
    let theirs = resident().saturating_sub(before);
    println!("after a message of each of {keys} ordering keys: chappe {own} KB more, google-cloud-pubsub {theirs} KB");
}

/// Kilobytes of memory that are in use.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

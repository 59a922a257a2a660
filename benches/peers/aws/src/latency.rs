//! How long one message takes to be published when nothing else is.

use std::time::{Duration, Instant};

use chappe::Topic;
use chappe::sqs::SqsQueue;

use crate::calls::Connection;
use crate::contender::{ours::message, raw::value};
use crate::{BODY, verdict};

/// Publishes so many messages one after the other, by the SDK and by a topic in turn.
pub async fn compare(messages: usize) {
    let connection = Connection::open().await;
    let topic = SqsQueue::new(&connection.client, &connection.url).topic();
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..messages {
        let begun = Instant::now();
        let request = connection.client.send_message().queue_url(&connection.url).message_body(BODY);
        let request =
            ["a", "b", "c", "d"].iter().fold(request, |request, name| request.message_attributes(*name, value()));
        request.send().await.expect("a message can be sent");
        raw.push(begun.elapsed());
        let begun = Instant::now();
        topic.publish(message()).await.expect("a message can be published");
        ours.push(begun.elapsed());
    }
    println!("\n| publishing one message | p50 | p99 |\n|---|---:|---:|");
    let [raw, ours] = [("raw SDK", raw), ("chappe", ours)].map(|(name, mut times)| {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
        println!("| {name} | {:?} | {:?} |", at(50), at(99));
        at(50)
    });
    println!();
    let ratio = Duration::as_secs_f64(&ours) / raw.as_secs_f64();
    verdict(&format!("a lone message takes {ratio:.2} × the raw SDK's time, wanted at most 1.11"), ratio <= 1.11);
}

//! [`Sending`], entries on their way to a topic.

use std::collections::HashSet;
use std::sync::Arc;

use chappe_core::backend::{PublishResult, Status};
use chappe_core::{Error, ErrorKind, Published};
use prost::Message;

use crate::PubsubClient;
use crate::error::PUBLISH;
use crate::limit::{MAX_BATCH, MAX_BYTES};
use crate::proto::{PublishRequest, PublishResponse, PubsubMessage};
use crate::target::Target;
use crate::wire::id_of;

/// What a message takes in a request beside itself: a field number and a length.
const FRAMING: usize = 6;

/// A message, and its place in the batch.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: usize,
    pub(super) message: PubsubMessage,
}

/// Sends entries in as few requests as they fit in, in order, and says what came of each.
pub(super) struct Sending<'a> {
    client: &'a PubsubClient,
    target: &'a Target,
    status: &'a Status,
    settle: &'a mut (dyn FnMut(usize, PublishResult) + Send),
    /// The keys of which one failed: what is behind it must wait, or it would overtake.
    failed: HashSet<String>,
}

impl<'a> Sending<'a> {
    pub(super) fn new(
        client: &'a PubsubClient,
        target: &'a Target,
        status: &'a Status,
        settle: &'a mut (dyn FnMut(usize, PublishResult) + Send),
    ) -> Self {
        Self { client, target, status, settle, failed: HashSet::new() }
    }

    pub(super) async fn run(mut self, entries: Vec<Entry>) -> Result<(), Error> {
        let mut chunks = split(entries, self.target.full().len());
        // From the back, so that the halves of a chunk take its place.
        chunks.reverse();
        while let Some(mut chunk) = chunks.pop() {
            self.hold_back(&mut chunk);
            if chunk.is_empty() {
                continue;
            }
            if let Some(mut first) = self.send(chunk).await? {
                let second = first.split_off(first.len() / 2);
                chunks.extend([second, first]);
            }
        }
        Ok(())
    }

    /// Gives back the chunk if it was refused and there is more than one it may have been refused for.
    async fn send(&mut self, chunk: Vec<Entry>) -> Result<Option<Vec<Entry>>, Error> {
        let messages = chunk.iter().map(|entry| entry.message.clone()).collect();
        let request = PublishRequest { topic: self.target.full().to_string(), messages };
        match self.client.call::<_, PublishResponse>(PUBLISH, self.target, request).await {
            Ok(answer) => self.accept(chunk, answer.message_ids),
            Err(error) if concerns_a_message(&error) && chunk.len() > 1 => return Ok(Some(chunk)),
            Err(error) if concerns_a_message(&error) || error.is_ambiguous() => {
                if error.is_ambiguous() {
                    self.status.down(&error);
                }
                self.fail(chunk, error);
            }
            Err(error) => {
                self.status.down(&error);
                return Err(error);
            }
        }
        Ok(None)
    }

    fn accept(&mut self, chunk: Vec<Entry>, ids: Vec<String>) {
        self.status.up();
        let mut ids = ids.into_iter();
        let mut unanswered = Vec::new();
        for entry in chunk {
            match ids.next() {
                Some(id) => {
                    self.status.count_sent(1);
                    (self.settle)(entry.at, PublishResult::Accepted(Published::new(Some(id_of(id)))));
                }
                None => unanswered.push(entry),
            }
        }
        if !unanswered.is_empty() {
            let name = self.target.name();
            let text = format!("cannot publish to topic {name}: the answer does not mention the message");
            self.fail(unanswered, Error::new(ErrorKind::Unavailable, text).ambiguous());
        }
    }

    fn fail(&mut self, chunk: Vec<Entry>, error: Error) {
        let (kind, text, ambiguous) = (error.kind(), error.to_string(), error.is_ambiguous());
        let cause = Arc::new(error);
        for Entry { at, message } in chunk {
            let error = Error::new(kind, text.clone()).with_source(Arc::clone(&cause));
            let error = if ambiguous { error.ambiguous() } else { error };
            if !message.ordering_key.is_empty() {
                self.failed.insert(message.ordering_key);
            }
            (self.settle)(at, PublishResult::Failed(error));
        }
    }

    /// Takes out what must not be sent any more. It may be tried again later, and then goes in order.
    fn hold_back(&mut self, chunk: &mut Vec<Entry>) {
        let Self { failed, settle, target, .. } = self;
        if failed.is_empty() {
            return;
        }
        chunk.retain(|Entry { at, message }| {
            let held = failed.contains(&message.ordering_key);
            if held {
                let text =
                    format!("message was not published to topic {}, as one of its key before it failed", target.name());
                settle(*at, PublishResult::Failed(Error::new(ErrorKind::Unavailable, text)));
            }
            !held
        });
    }
}

/// Whether another message might have fared better.
fn concerns_a_message(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge)
}

/// Entries in order, in chunks that fit a request.
fn split(entries: Vec<Entry>, name: usize) -> Vec<Vec<Entry>> {
    let mut chunks: Vec<Vec<Entry>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let size = entry.message.encoded_len() + FRAMING;
        let full = chunks.last().is_none_or(|chunk| chunk.len() == MAX_BATCH || bytes + size > MAX_BYTES);
        if full {
            chunks.push(Vec::new());
            bytes = name + FRAMING;
        }
        bytes += size;
        chunks.last_mut().expect("there is one by now").push(entry);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(sizes: impl IntoIterator<Item = usize>) -> Vec<Entry> {
        let message = |size| PubsubMessage { data: vec![0; size].into(), ..PubsubMessage::default() };
        sizes.into_iter().enumerate().map(|(at, size)| Entry { at, message: message(size) }).collect()
    }

    #[test]
    fn a_request_never_holds_more_than_it_may() {
        let by_bytes = split(entries([4_000_000, 4_000_000, 4_000_000, 1]), 40);
        let by_count = split(entries(vec![0; 2001]), 40);

        assert_eq!(by_bytes.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(by_count.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 1]);
    }
}

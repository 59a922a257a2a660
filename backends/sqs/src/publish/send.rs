//! [`Sending`], entries on their way to a queue.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_sqs::Client;
use chappe_core::backend::{PublishResult, Status};
use chappe_core::{Error, ErrorKind, MessageId, Published};

use crate::error::{self, SEND, classify};
use crate::limit::{MAX_BATCH, MAX_BYTES};
use crate::target::Target;
use crate::wire::Entry;

/// Entries, each named by its place.
type Chunk = Vec<(usize, Entry)>;

/// Sends entries in as few requests as they fit in, in order, and says what came of each.
pub(super) struct Sending<'a> {
    client: &'a Client,
    target: &'a Target,
    status: &'a Status,
    settle: &'a mut (dyn FnMut(usize, PublishResult) + Send),
    /// The groups of a FIFO queue in which one failed: what is behind it must wait, or it would overtake.
    failed: Vec<String>,
}

impl<'a> Sending<'a> {
    pub(super) fn new(
        client: &'a Client,
        target: &'a Target,
        status: &'a Status,
        settle: &'a mut (dyn FnMut(usize, PublishResult) + Send),
    ) -> Self {
        Self { client, target, status, settle, failed: Vec::new() }
    }

    pub(super) async fn run(mut self, entries: Chunk) -> Result<(), Error> {
        let mut chunks = split(entries);
        // From the back, so that the halves of a chunk take its place.
        chunks.reverse();
        while let Some(mut chunk) = chunks.pop() {
            self.hold_back(&mut chunk);
            match chunk.len() {
                0 => {}
                1 => {
                    let (at, entry) = chunk.remove(0);
                    self.one(at, entry).await?;
                }
                _ => {
                    if let Some(mut first) = self.batch(chunk).await? {
                        // Our count of the bytes is wrong: smaller parts may fit.
                        let second = first.split_off(first.len() / 2);
                        chunks.extend([second, first]);
                    }
                }
            }
        }
        Ok(())
    }

    async fn one(&mut self, at: usize, entry: Entry) -> Result<(), Error> {
        let group = entry.group.clone();
        let request = self.client.send_message().queue_url(self.target.url()).message_body(entry.body);
        let request = request
            .set_message_attributes(entry.attributes)
            .set_message_group_id(entry.group)
            .set_message_deduplication_id(entry.deduplication_id)
            .set_delay_seconds(entry.delay);
        match Box::pin(request.send()).await {
            Ok(output) => self.accept(at, output.message_id),
            Err(error) => {
                let error = classify(error, SEND, self.target);
                if !concerns_the_message(&error) {
                    self.status.down(&error);
                    return Err(error);
                }
                self.fail(at, group, error);
            }
        }
        Ok(())
    }

    /// Gives back the chunk if it was too long.
    async fn batch(&mut self, chunk: Chunk) -> Result<Option<Chunk>, Error> {
        let entries = chunk.iter().map(|(at, entry)| entry.clone().into_batch_entry(*at)).collect();
        let request = self.client.send_message_batch().queue_url(self.target.url()).set_entries(Some(entries));
        let output = match Box::pin(request.send()).await {
            Ok(output) => output,
            Err(error) if error::is_batch_too_long(&error) => return Ok(Some(chunk)),
            Err(error) => {
                let error = classify(error, SEND, self.target);
                self.status.down(&error);
                if !error.is_ambiguous() {
                    return Err(error);
                }
                let (kind, text, cause) = (error.kind(), error.to_string(), Arc::new(error));
                for (at, entry) in chunk {
                    let error = Error::new(kind, text.clone()).ambiguous().with_source(Arc::clone(&cause));
                    self.fail(at, entry.group, error);
                }
                return Ok(None);
            }
        };
        let mut accepted: HashMap<_, _> =
            output.successful.into_iter().map(|entry| (entry.id, entry.message_id)).collect();
        let mut refused: HashMap<_, _> = output.failed.into_iter().map(|entry| (entry.id.clone(), entry)).collect();
        for (at, entry) in chunk {
            let id = at.to_string();
            match (accepted.remove(&id), refused.remove(&id)) {
                (Some(id), _) => self.accept(at, Some(id)),
                (None, Some(answer)) => {
                    let (code, text) = (answer.code(), answer.message());
                    let error = error::of_entry(code, text, answer.sender_fault, SEND, self.target);
                    self.fail(at, entry.group, error);
                }
                (None, None) => self.fail(at, entry.group, error::unanswered(SEND, self.target)),
            }
        }
        Ok(None)
    }

    fn accept(&mut self, at: usize, id: Option<String>) {
        self.status.up();
        self.status.count_sent(1);
        (self.settle)(at, PublishResult::Accepted(Published::new(id.map(MessageId::from))));
    }

    fn fail(&mut self, at: usize, group: Option<String>, error: Error) {
        self.failed.extend(group.filter(|_| self.target.is_fifo()));
        (self.settle)(at, PublishResult::Failed(error));
    }

    /// Takes out what must not be sent any more.
    fn hold_back(&mut self, chunk: &mut Chunk) {
        let Self { failed, settle, target, .. } = self;
        chunk.retain(|(at, entry)| {
            let held = entry.group.as_ref().is_some_and(|group| failed.contains(group));
            if held {
                let text =
                    format!("message was not sent to queue {}, as one of its key before it failed", target.name());
                settle(*at, PublishResult::Failed(Error::new(ErrorKind::Unavailable, text)));
            }
            !held
        });
    }
}

/// Whether another message might have fared better.
fn concerns_the_message(error: &Error) -> bool {
    error.is_ambiguous() || matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Unsupported)
}

/// Entries in order, in chunks that fit a request.
fn split(entries: Chunk) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut bytes = 0;
    for (at, entry) in entries {
        let full = chunks.last().is_none_or(|chunk| chunk.len() == MAX_BATCH || bytes + entry.bytes > MAX_BYTES);
        if full {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += entry.bytes;
        chunks.last_mut().expect("there is one by now").push((at, entry));
    }
    chunks
}

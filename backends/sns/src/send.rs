//! The calls that publish, and what is made of their answers.

use std::collections::HashSet;
use std::sync::Arc;

use aws_sdk_sns::operation::publish_batch::PublishBatchOutput;
use chappe_core::backend::{Outgoing, PublishResult};
use chappe_core::{Error, ErrorKind, Key, MessageId, Published};

use crate::SnsPublisher;
use crate::entry::Entry;
use crate::error::{again, classify, of_code};
use crate::limit::MAX_BATCH;

impl SnsPublisher {
    /// Sends entries by as many calls as their encoded sizes take.
    pub(crate) async fn send(&self, entries: Vec<(usize, Entry)>, batch: &mut [Outgoing]) -> Result<(), Error> {
        // Nothing overtakes an earlier message of its key that is to be published again.
        let mut held: HashSet<Key> = HashSet::new();
        let mut calls = self.calls(entries);
        calls.reverse();
        while let Some(mut call) = calls.pop() {
            call.retain(|(at, _)| {
                let entry = &mut batch[*at];
                let behind = self.0.encoder.fifo && entry.message.key().is_some_and(|key| held.contains(key));
                if behind {
                    entry.result = PublishResult::Failed(self.held());
                }
                !behind
            });
            let places: Vec<usize> = call.iter().map(|(at, _)| *at).collect();
            if let Some(error) = self.call(call, batch).await {
                // One message may be what is wrong with all of them, and our sizes may not be those of SNS.
                if places.len() > 1 && matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge) {
                    let (first, second) = places.split_at(places.len() / 2);
                    calls.push(self.encoded(second, batch));
                    calls.push(self.encoded(first, batch));
                    continue;
                }
                let error = Arc::new(error);
                for at in &places {
                    batch[*at].result = PublishResult::Failed(again(&error));
                }
            }
            held.extend(places.iter().filter_map(|at| match &batch[*at].result {
                PublishResult::Failed(error) if error.is_retryable() => batch[*at].message.key().cloned(),
                _ => None,
            }));
        }
        Ok(())
    }

    /// Makes one call and tells each entry what came of it; answers what went wrong with all of them.
    async fn call(&self, mut call: Vec<(usize, Entry)>, batch: &mut [Outgoing]) -> Option<Error> {
        if call.len() > 1 {
            let places: Vec<usize> = call.iter().map(|(at, _)| *at).collect();
            let entries = call.into_iter().enumerate().map(|(id, (_, entry))| entry.into_request(id)).collect();
            let request =
                self.0.client.publish_batch().topic_arn(&self.0.arn).set_publish_batch_request_entries(Some(entries));
            // SDK futures are several KB.
            return match Box::pin(request.send()).await {
                Ok(output) => {
                    self.answered(&output, &places, batch);
                    None
                }
                Err(error) => Some(self.failed(classify(&self.thing(), error))),
            };
        }
        let (at, entry) = call.pop()?;
        let request = self
            .0
            .client
            .publish()
            .topic_arn(&self.0.arn)
            .message(entry.message)
            .set_message_attributes(entry.attributes)
            .set_subject(entry.subject)
            .set_message_group_id(entry.group)
            .set_message_deduplication_id(entry.deduplication_id);
        match Box::pin(request.send()).await {
            Ok(output) => {
                self.0.status.up();
                self.accept(&mut batch[at], output.message_id());
                None
            }
            Err(error) => Some(self.failed(classify(&self.thing(), error))),
        }
    }

    fn answered(&self, output: &PublishBatchOutput, places: &[usize], batch: &mut [Outgoing]) {
        self.0.status.up();
        for done in output.successful() {
            if let Some(at) = place(done.id(), places) {
                self.accept(&mut batch[at], done.message_id());
            }
        }
        for failed in output.failed() {
            let Some(at) = place(Some(failed.id()), places) else { continue };
            let status = if failed.sender_fault() { 400 } else { 500 };
            let error = of_code(&self.thing(), failed.code(), failed.message(), Some(status));
            batch[at].result = PublishResult::Failed(error);
        }
        for at in places {
            if batch[*at].result.is_pending() {
                let text = format!("topic {} did not say what came of the message", self.0.arn);
                batch[*at].result = PublishResult::Failed(Error::new(ErrorKind::Unavailable, text).ambiguous());
            }
        }
    }

    fn accept(&self, entry: &mut Outgoing, id: Option<&str>) {
        self.0.status.count_sent(1);
        let id = id.map(|id| MessageId::from(id.to_owned()));
        entry.result = PublishResult::Accepted(Published::new(id));
    }

    /// Takes note of a call that failed as a whole.
    fn failed(&self, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Throttled) {
            self.0.status.down(&error);
        }
        error
    }

    fn held(&self) -> Error {
        let text = format!("not sent to topic {}, as an earlier message of its key was not published", self.0.arn);
        Error::new(ErrorKind::Unavailable, text)
    }

    /// Encodes what passed the encoder before.
    fn encoded(&self, places: &[usize], batch: &mut [Outgoing]) -> Vec<(usize, Entry)> {
        let mut entry = |at: usize| self.0.encoder.encode(&mut batch[at].message).expect("it was encoded before");
        places.iter().map(|at| (*at, entry(*at))).collect()
    }

    /// Divides entries so that each call is within the limits: what is checked before counts neither base64 nor
    /// the types of attributes.
    fn calls(&self, entries: Vec<(usize, Entry)>) -> Vec<Vec<(usize, Entry)>> {
        let mut calls: Vec<Vec<(usize, Entry)>> = Vec::new();
        let mut bytes = 0;
        for (at, entry) in entries {
            bytes += entry.bytes;
            match calls.last_mut() {
                Some(call) if call.len() < MAX_BATCH && bytes <= self.0.encoder.max_bytes => {
                    call.push((at, entry));
                }
                _ => {
                    bytes = entry.bytes;
                    calls.push(vec![(at, entry)]);
                }
            }
        }
        calls
    }
}

/// Where the entry of this id is in the batch.
fn place(id: Option<&str>, places: &[usize]) -> Option<usize> {
    places.get(id?.parse::<usize>().ok()?).copied()
}

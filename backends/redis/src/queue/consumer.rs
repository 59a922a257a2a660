//! [`RedisConsumer`], which fetches from a [`RedisQueue`](crate::RedisQueue).

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chappe_core::backend::{Action, Consumer, Delivery, Fetch, SettleResult, Settlement, StopToken};
use chappe_core::{Error, ErrorKind};
use redis::cmd;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::reader::{Read, Reader};
use super::receipt::RedisReceipt;
use super::schedule::Keeper;
use super::shared::Shared;
use crate::error::SETTLE;
use crate::limit::MAX_READ;
use crate::wire::{Decoded, EntryId, decode, millis};

/// How much earlier than its answer arrived a message may have been leased.
const TRANSIT: Duration = Duration::from_secs(1);

/// Fetches messages by blocking reads, for one server.
///
/// What it was brought and did not hand out goes back when it is dropped.
pub struct RedisConsumer {
    shared: Arc<Shared>,
    stop: StopToken,
    name: Arc<str>,
    source: Arc<str>,
    /// Taken when it is dropped.
    reader: Option<Reader>,
    /// More than was asked for, after a fetch that was dropped.
    held: VecDeque<Delivery<RedisReceipt>>,
    keeper: Option<Keeper>,
}

impl RedisConsumer {
    pub(super) async fn start(shared: Arc<Shared>, stop: StopToken, name: Option<&str>) -> Result<Self, Error> {
        // Others read in the name how long a lease is.
        let name = format!(
            "{}-{}-{:08x}~{}",
            name.unwrap_or(crate::SYSTEM),
            std::process::id(),
            fastrand::u32(..),
            millis(shared.options.lease)
        );
        let name: Arc<str> = name.into();
        let mut reader = Reader::new(&shared, &name);
        reader.connect().await?;
        let keeper = Some(Keeper::start(&shared));
        Ok(Self {
            source: Arc::clone(&shared.name),
            stop,
            name,
            reader: Some(reader),
            held: VecDeque::new(),
            keeper,
            shared,
        })
    }

    /// Makes deliveries of what a read has brought, and puts aside what is no message.
    async fn sort(&mut self, read: Read) {
        let lease = self.shared.options.lease;
        // A message is leased when the server hands it out: after it was asked, and not long before now, unless the
        // answer may have been there before anybody waited for it.
        let transit = TRANSIT.min(lease / 4);
        let earliest = Instant::now().checked_sub(transit).filter(|_| read.awaited - read.sent < transit);
        let until = earliest.map_or(read.sent, |earliest| read.sent.max(earliest)) + lease;
        let (mut marks, mut gone, mut broken) = (Vec::new(), Vec::new(), Vec::new());
        let before = self.held.len();
        for entry in read.entries {
            let Some(fields) = entry.fields else {
                gone.push(entry.id);
                continue;
            };
            match decode(entry.id, entry.name, fields) {
                Decoded::Message(mut message) => {
                    message.set_source(Arc::clone(&self.source));
                    self.held.push_back(Delivery::new(message, RedisReceipt(entry.id)).lease_until(until));
                }
                Decoded::Mark => marks.push(entry.id),
                Decoded::Broken(wrong) => broken.push((entry.id, wrong)),
            }
        }
        self.shared.link.status.count_received((self.held.len() - before) as u64);
        if let (false, Some(keeper)) = (marks.is_empty(), &self.keeper) {
            keeper.wake(marks);
        }
        if !broken.is_empty() {
            bury(&self.shared, broken).await;
        }
        if !gone.is_empty() {
            forget(&self.shared, gone).await;
        }
    }

    fn hand_out(&mut self, max: usize, out: &mut Vec<Delivery<RedisReceipt>>) {
        let count = max.min(self.held.len());
        out.extend(self.held.drain(..count));
    }
}

impl Consumer for RedisConsumer {
    type Receipt = RedisReceipt;

    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<RedisReceipt>>) -> Result<Fetch, Error> {
        if max == 0 {
            return Ok(Fetch::More);
        }
        loop {
            if !self.held.is_empty() {
                self.hand_out(max, out);
                return Ok(Fetch::More);
            }
            let Some(reader) = &mut self.reader else { return Ok(Fetch::Stopped) };
            let stop = self.stop.clone();
            if stop.is_stopped() && !reader.is_reading() {
                self.keeper = None;
                return Ok(Fetch::Stopped);
            }
            if !reader.is_reading() {
                tokio::select! {
                    biased;
                    connected = reader.connect() => connected?,
                    () = stop.stopped() => continue,
                }
                reader.begin(max.min(MAX_READ)).await;
            }
            let read = tokio::select! {
                biased;
                read = reader.finish() => read,
                () = stop.stopped() => reader.interrupt().await,
            };
            let read = match read {
                Err(_) if stop.is_stopped() => continue,
                read => read?,
            };
            let count = read.entries.len();
            let idle = count == 0;
            if count == MAX_READ && count < max && !stop.is_stopped() {
                // There is a backlog and room for more of it: the server looks for it while these are sorted.
                reader.begin((max - count).min(MAX_READ)).await;
            }
            self.sort(read).await;
            if idle && !stop.is_stopped() {
                return Ok(Fetch::Idle);
            }
        }
    }
}

/// What is under way or was not handed out goes back.
impl Drop for RedisConsumer {
    fn drop(&mut self) {
        self.shared.life.leave(Arc::clone(&self.name));
        let held: Vec<_> = self.held.drain(..).map(|delivery| delivery.receipt).collect();
        let reader = self.reader.take().filter(Reader::is_reading);
        if held.is_empty() && reader.is_none() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        // Without a runtime it all comes back when its lease is over.
        if let Ok(handle) = Handle::try_current() {
            handle.spawn(give_back(shared, reader, held));
        }
    }
}

async fn give_back(shared: Arc<Shared>, reader: Option<Reader>, held: Vec<RedisReceipt>) {
    let mut receipts = held;
    if let Some(mut reader) = reader {
        match reader.interrupt().await {
            Ok(read) => receipts.extend(read.entries.iter().map(|entry| RedisReceipt(entry.id))),
            Err(error) => tracing::debug!(queue = &*shared.name, %error, "the last read brought nothing"),
        }
    }
    let mut batch: Vec<_> = receipts.into_iter().map(|receipt| Settlement::new(receipt, Action::Release)).collect();
    match shared.settle(&mut batch).await {
        Err(error) if error.kind() != ErrorKind::Closed => {
            tracing::warn!(queue = &*shared.name, %error, "messages come back only when their lease is over");
        }
        _ => {}
    }
}

impl fmt::Debug for RedisConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConsumer").field("queue", &self.source).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Puts what cannot be decoded into the dead letter.
async fn bury(shared: &Shared, broken: Vec<(EntryId, String)>) {
    let mut batch: Vec<_> = broken
        .into_iter()
        .map(|(id, wrong)| {
            tracing::warn!(queue = &*shared.name, %id, wrong, "entry is no message and goes to the dead letter");
            let reason = format!("entry {id} cannot be decoded: {wrong}").into();
            Settlement::new(RedisReceipt(id), Action::DeadLetter { reason })
        })
        .collect();
    let result = shared.settle(&mut batch).await;
    let failed = batch.iter().find_map(|entry| match &entry.result {
        SettleResult::Failed(error) => Some(error),
        _ => None,
    });
    if let Some(error) = result.as_ref().err().or(failed) {
        // It comes back when its lease is over.
        tracing::warn!(queue = &*shared.name, %error, "entry cannot be put into the dead letter yet");
    }
}

/// Forgets entries that somebody has deleted while they were out.
async fn forget(shared: &Shared, gone: Vec<EntryId>) {
    let mut ack = cmd("XACK");
    ack.arg(&*shared.keys.stream).arg(&*shared.options.group);
    for id in gone {
        ack.arg(id.to_string());
    }
    if let Err(error) = shared.link.command(&ack, SETTLE).await {
        tracing::debug!(queue = &*shared.name, %error, "deleted entries are still pending");
    }
}

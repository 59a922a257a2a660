//! How deliveries are settled.

use chappe_core::backend::{Action, SettleResult, Settlement};
use chappe_core::{Error, ErrorKind};
use redis::{Cmd, Value};
use tokio::time::Instant;

use super::receipt::RedisReceipt;
use super::shared::Shared;
use crate::error::SETTLE;
use crate::limit::MAX_SETTLE;
use crate::script;
use crate::wire::{LONGEST_ID, int, millis, number, text};

/// The longest time a script counts with: a thousand years in milliseconds.
const LONGEST: u64 = 1000 * 365 * 24 * 3600 * 1000;

type Entry = Settlement<RedisReceipt>;

impl Shared {
    /// Settles a batch: acknowledgements by a script of their own, which is what nearly all are.
    pub(super) async fn settle(&self, batch: &mut [Entry]) -> Result<(), Error> {
        let (mut acks, mut others) = (Vec::new(), Vec::new());
        for entry in batch.iter_mut().filter(|entry| entry.result.is_pending()) {
            match entry.action {
                Action::Forget => entry.result = SettleResult::Done,
                Action::Ack => acks.push(entry),
                Action::Retry { .. } | Action::Release | Action::DeadLetter { .. } | Action::Extend { .. } => {
                    others.push(entry);
                }
                _ => {
                    let text = format!("queue {} cannot settle a message in this way", self.name);
                    entry.result = SettleResult::Failed(Error::new(ErrorKind::Unsupported, text));
                }
            }
        }
        let mut result = Ok(());
        for some in acks.chunks_mut(MAX_SETTLE) {
            result = result.and(self.ack(some).await);
        }
        for some in others.chunks_mut(MAX_SETTLE) {
            result = result.and(self.change(some).await);
        }
        result
    }

    async fn ack(&self, batch: &mut [&mut Entry]) -> Result<(), Error> {
        let mut command = script::ACK.run(&[&self.keys.stream]);
        command.arg(&*self.options.group);
        let mut buffer = [0; LONGEST_ID];
        for entry in &*batch {
            command.arg(entry.receipt.0.write(&mut buffer));
        }
        let answer = self.link.script(&script::ACK, &command, SETTLE).await?;
        let Value::Array(lost) = answer else { return Err(self.unreadable(SETTLE)) };
        for entry in &mut *batch {
            entry.result = SettleResult::Done;
        }
        for place in lost.iter().filter_map(number).filter_map(|place| usize::try_from(place).ok()) {
            if let Some(entry) = place.checked_sub(1).and_then(|at| batch.get_mut(at)) {
                entry.result = SettleResult::Lost;
            }
        }
        Ok(())
    }

    async fn change(&self, batch: &mut [&mut Entry]) -> Result<(), Error> {
        let keys = &self.keys;
        let mut command =
            script::SETTLE.run(&[&keys.stream, &keys.due, &keys.held, &keys.mark, &keys.kept, &keys.dead]);
        let wake = if self.must_wake() { "1" } else { "0" };
        command.arg(&*self.options.group).arg(wake).arg(millis(self.options.lease)).arg(&*self.name);
        for entry in &*batch {
            write(entry, &mut command);
        }
        let answer = self.link.script(&script::SETTLE, &command, SETTLE).await?;
        let Value::Array(results) = answer else { return Err(self.unreadable(SETTLE)) };
        let now = Instant::now();
        for (entry, result) in batch.iter_mut().zip(results) {
            entry.result = match int(&result) {
                Some(1) => SettleResult::Done,
                Some(_) => SettleResult::Lost,
                None => self.judge(&text(result).unwrap_or_default()),
            };
            if let (Action::Retry { delay, .. }, SettleResult::Done) = (&entry.action, &entry.result)
                && !delay.is_zero()
                && let Some(due) = now.checked_add(*delay)
            {
                self.life.look_at(due);
            }
        }
        Ok(())
    }

    /// What an error in the script means for the entry it was about.
    fn judge(&self, error: &str) -> SettleResult {
        if error.contains("NOGROUP") {
            return SettleResult::Lost;
        }
        SettleResult::Failed(self.link.of_script(error, SETTLE))
    }
}

/// Says what is to be done with one delivery.
fn write(entry: &Entry, command: &mut Cmd) {
    let (what, number, text) = match &entry.action {
        Action::Retry { delay, .. } => ("retry", millis(*delay), ""),
        Action::Release => ("release", 0, ""),
        Action::DeadLetter { reason } => ("bury", 0, &**reason),
        Action::Extend { by } => ("extend", millis(*by), ""),
        // Not sent here; the script refuses it.
        _ => ("", 0, ""),
    };
    command.arg(what).arg(entry.receipt.0.to_string()).arg(number.min(LONGEST)).arg(text);
}

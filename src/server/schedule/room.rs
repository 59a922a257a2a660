//! Room: how much a queue may fetch, and whose pump is woken when that changes.

use std::sync::Arc;

use tokio::sync::Notify;

use super::Schedule;
use super::line::Line;

/// How many may wait for the sake of weights alone, where several queues share few workers.
const MAX_SHARES: u128 = 32;

impl<R: Clone> Schedule<R> {
    /// What wakes the pump of a queue when there may be room for it.
    pub(in crate::server) fn pump_bell(&self, line: usize) -> Arc<Notify> {
        Arc::clone(&self.lines[line].pump)
    }

    /// How many messages a queue may fetch now. If none, its pump is woken when that changes.
    pub(in crate::server) fn room(&mut self, line: usize) -> usize {
        let room = self.free(line);
        self.lines[line].pump_waits = room == 0;
        room
    }

    fn free(&self, at: usize) -> usize {
        let line = &self.lines[at];
        if self.draining
            || self.paused_until.is_some()
            || self.bytes >= self.limits.max_bytes
            || line.settling >= self.limits.max_settling
        {
            return 0;
        }
        let (limit, out) = if self.lines.len() == 1 {
            (self.limits.max_unsettled, line.outstanding)
        } else {
            // What runs is limited by the number of workers. Each queue has some waiting beside those, or
            // there would be nothing to choose from by weight.
            (line.share, line.outstanding - line.running)
        };
        // Those that failed and wait here do not stand in the way of others, unless there are too many.
        let room = limit.saturating_sub(out - line.held.min(limit));
        // The sizes of what is fetched are not known before; the average so far has to do.
        let average = (self.bytes / self.slots.len().max(1)).max(1);
        let fitting = ((self.limits.max_bytes - self.bytes) / average).max(1);
        room.min(fitting).min(line.max_fetch)
    }

    /// Has room that was left be used.
    pub(in crate::server) fn use_room(&mut self) {
        self.wake_pumps();
    }

    pub(super) fn wake_pump(&mut self, line: usize) {
        if self.lines[line].pump_waits && self.free(line) > 0 {
            self.lines[line].pump_waits = false;
            self.lines[line].pump.notify_one();
        }
    }

    pub(super) fn wake_pumps(&mut self) {
        (0..self.lines.len()).for_each(|line| self.wake_pump(line));
    }
}

/// Sets how many of each queue may wait for a worker, by weight. With few workers they are more in all than
/// these could take, or rounding up would make all weights the same.
pub(super) fn share_out(lines: &mut [Line], max_unsettled: usize) {
    let weights: u128 = lines.iter().map(|line| u128::from(line.weight)).sum();
    let divisor = lines.iter().fold(0, |divisor, line| gcd(divisor, line.weight));
    let in_all = (max_unsettled as u128).max((weights / u128::from(divisor.max(1))).min(MAX_SHARES));
    for line in lines {
        let share = (in_all * u128::from(line.weight)).div_ceil(weights.max(1));
        line.share = usize::try_from(share).unwrap_or(usize::MAX);
    }
}

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { gcd(other, one % other) }
}

//! What the schedule does because time has passed: leases, held deliveries, throttling.

use std::sync::Arc;
use std::time::Duration;

use chappe_core::{Cancelled, MessageId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Held, Renewal, Schedule};

/// Wakes the timekeeper, and knows when it will look by itself.
pub(super) struct Alarm {
    bell: Arc<Notify>,
    next: Option<Instant>,
    /// It stayed set though there was nothing to look after, for the next that comes.
    idle: bool,
}

impl Alarm {
    pub(super) fn new(bell: Arc<Notify>) -> Self {
        Self { bell, next: None, idle: false }
    }

    /// Whether the timekeeper would look only after `time`.
    pub(super) fn is_after(&self, time: Instant) -> bool {
        self.next.is_none_or(|next| time < next)
    }

    /// Has the timekeeper look no later than at `time`.
    pub(super) fn set(&mut self, time: Instant) {
        if self.is_after(time) {
            self.next = Some(time);
            self.bell.notify_one();
        }
    }
}

impl<R: Clone> Schedule<R> {
    /// Starts nothing new for a time.
    pub(in crate::server) fn pause(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
        self.alarm.set(until);
    }

    /// Does what is due and returns when to look again. Adds the leases that are to be renewed to `renewals`
    /// and returns how many were lost.
    pub(in crate::server) fn tick(&mut self, now: Instant, renewals: &mut Vec<Renewal<R>>) -> (Option<Instant>, u64) {
        let mut next = self.end_pause(now);
        next = earlier(next, self.end_holds(now));
        let (renew, lost) = self.renew(now, renewals);
        next = earlier(next, renew);
        // With nothing to look after, the alarm stays set once more for the shortest lease: messages that
        // come one by one then need not set it each time.
        let shortest = self.lines.iter().filter_map(|line| line.lease).map(|terms| terms.ttl).min();
        if next.is_none() && !self.alarm.idle && !self.draining {
            next = shortest.map(|ttl| now + ttl * 3 / 8);
            self.alarm.idle = next.is_some();
        } else {
            self.alarm.idle = false;
        }
        self.alarm.next = next;
        (next, lost)
    }

    /// Takes note of what came of a renewal.
    pub(in crate::server) fn renewed(&mut self, key: usize, delivery: u64, until: Option<Instant>) {
        let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.delivery == delivery) else { return };
        let Some(terms) = self.lines[slot.line].lease else { return };
        slot.renewing = false;
        slot.renew_after = None;
        match until {
            Some(until) => {
                slot.until = Some(until);
                if let Some(control) = slot.control(&self.crew) {
                    control.extended(delivery, until);
                }
            }
            // Sixteen more chances in half a lease, and no storm of calls that fail.
            None => slot.renew_after = Some(Instant::now() + terms.ttl / 32),
        }
        if let Some(renew_at) = slot.renew_at(terms) {
            self.alarm.set(renew_at);
        }
    }

    /// Takes note that a lease is lost. Returns whether that was news.
    pub(in crate::server) fn lease_lost(&mut self, key: usize, delivery: u64) -> bool {
        let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.delivery == delivery && !slot.lost) else {
            return false;
        };
        slot.lost = true;
        if let Some(control) = slot.control(&self.crew) {
            control.cancel(delivery, Cancelled::LeaseLost);
        }
        true
    }

    /// Remembers a message that was handled and whose acknowledgement did not get through.
    pub(in crate::server) fn remember(&mut self, line: usize, id: MessageId) {
        self.lines[line].remember(id, Instant::now());
    }

    /// Takes note that the acknowledgement of a remembered message got through after all.
    pub(in crate::server) fn forget(&mut self, line: usize, id: &MessageId) {
        self.lines[line].forget(id);
    }

    fn end_pause(&mut self, now: Instant) -> Option<Instant> {
        let until = self.paused_until?;
        if until > now {
            return Some(until);
        }
        self.paused_until = None;
        self.wake_worker();
        self.wake_pumps();
        None
    }

    fn end_holds(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.held.first_entry() {
            let due = entry.key().0;
            if due > now {
                return Some(due);
            }
            let Held { job, open } = entry.remove();
            let slot = &self.slots[job.key];
            let (line, lane) = (slot.line, slot.lane);
            self.lines[line].held -= 1;
            if open {
                self.line_up(line, lane, job);
            } else {
                self.lines[line].ready.push_back(job);
            }
            self.wake_worker();
        }
        None
    }

    fn renew(&mut self, now: Instant, renewals: &mut Vec<Renewal<R>>) -> (Option<Instant>, u64) {
        let (mut next, mut lost) = (None, 0);
        if self.lines.iter().all(|line| line.lease.is_none()) {
            return (next, lost);
        }
        for (key, slot) in &mut self.slots {
            let Some(terms) = self.lines[slot.line].lease else { continue };
            let Some(until) = slot.until.filter(|_| !slot.lost) else { continue };
            if until <= now {
                slot.lost = true;
                lost += 1;
                if let Some(control) = slot.control(&self.crew) {
                    control.cancel(slot.delivery, Cancelled::LeaseLost);
                }
                continue;
            }
            let wanted = slot.control(&self.crew).and_then(|control| control.wanted(slot.delivery));
            let limit = terms.max.and_then(|max| slot.received.checked_add(max));
            let reach = if terms.renewable { limit } else { Some(until) };
            if wanted.zip(reach).is_some_and(|(wanted, reach)| wanted > reach.max(until)) {
                slot.control(&self.crew).into_iter().for_each(|control| control.refuse(slot.delivery));
            }
            let room = limit.map_or(Duration::MAX, |limit| limit.saturating_duration_since(now));
            let by = wanted.map_or(terms.ttl, |wanted| wanted.saturating_duration_since(now).max(terms.ttl)).min(room);
            let useful = terms.renewable && now.checked_add(by).is_some_and(|renewed| renewed > until);
            // Those nearly due go along, so that a thousand leases are not renewed one by one.
            let due = slot.renew_at(terms).is_none_or(|renew_at| renew_at <= now + terms.ttl / 16);
            let allowed = slot.renew_after.is_none_or(|after| after <= now);
            if useful && !slot.renewing && allowed && (due || wanted.is_some_and(|wanted| wanted > until)) {
                slot.renewing = true;
                let receipt = slot.receipt.clone();
                renewals.push(Renewal { line: slot.line, key, delivery: slot.delivery, receipt, by });
            }
            next = earlier(next, Some(until));
            // One that was renewed at this very instant cannot be renewed any further now, but later it can.
            if terms.renewable && !slot.renewing && limit.is_none_or(|limit| limit > until) {
                next = earlier(next, slot.renew_at(terms));
            }
        }
        (next, lost)
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

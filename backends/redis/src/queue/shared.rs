//! [`Shared`], what the handles of a queue have in common.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::{Attempts, Capabilities, Delay, Depth, LeaseKind, Order};
use redis::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{CHANGE, Call, INSPECT, unreadable};
use crate::keys::Keys;
use crate::limit::{LINGER, MAX_FETCH, MAX_SETTLE};
use crate::link::Link;
use crate::script;
use crate::wire::{number, text};

/// How many dead letters go back in one step.
const REDRIVE_STEP: usize = 200;

#[derive(Clone)]
pub(super) struct Shared {
    pub(super) link: Arc<Link>,
    pub(super) name: Arc<str>,
    pub(super) keys: Keys,
    pub(super) options: Options,
    pub(super) capabilities: Capabilities,
    pub(super) life: Arc<Life>,
}

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) group: Arc<str>,
    pub(super) lease: Duration,
    pub(super) wait: Duration,
}

/// What goes on while the queue is consumed.
#[derive(Default)]
pub(super) struct Life {
    /// How many consumers of this process look after what is due.
    pub(super) keepers: AtomicUsize,
    /// When they look next.
    next: Mutex<Option<Instant>>,
    /// Said when it has become earlier.
    pub(super) earlier: Notify,
    /// Consumers that have stopped, and may still have something pending.
    left: Mutex<HashSet<Arc<str>>>,
}

impl Life {
    /// Has somebody look by then.
    pub(super) fn look_at(&self, time: Instant) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|next| time < next) {
            *next = Some(time);
            drop(next);
            self.earlier.notify_waiters();
        }
    }

    /// When somebody is to look.
    pub(super) fn next(&self) -> Option<Instant> {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody looks, and will again by then unless told otherwise.
    pub(super) fn looks(&self, again: Instant) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(again);
    }

    pub(super) fn leave(&self, consumer: Arc<str>) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(consumer);
    }

    fn left(&self) -> Vec<Arc<str>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Of those that were looked for these are still there; the others need not be looked for again.
    fn remain(&self, sought: &[Arc<str>], there: &HashSet<String>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        for name in sought.iter().filter(|name| !there.contains(&***name)) {
            left.remove(name);
        }
    }

    fn is_kept(&self) -> bool {
        self.keepers.load(Ordering::Acquire) > 0
    }
}

impl Shared {
    pub(super) fn new(link: Arc<Link>, name: Arc<str>, keys: Keys) -> Self {
        let options = Options { group: "chappe".into(), lease: Duration::from_secs(30), wait: Duration::from_secs(5) };
        let mut shared = Self { link, name, keys, options, capabilities: Capabilities::new(), life: Arc::default() };
        shared.declare();
        shared
    }

    /// Declares what follows from the options.
    pub(super) fn declare(&mut self) {
        let mut capabilities = Capabilities::new();
        capabilities.lease = LeaseKind::Timed { ttl: self.options.lease, max: None, renewable: true };
        capabilities.retry_delay = Delay::Exact { max: None };
        capabilities.attempts = Attempts::Exact;
        capabilities.order = Order::None;
        capabilities.dead_letter = true;
        capabilities.release = true;
        capabilities.confirmed_settle = true;
        capabilities.max_settle_batch = MAX_SETTLE;
        capabilities.settle_linger = LINGER.min(self.options.lease / 10);
        capabilities.max_fetch = MAX_FETCH;
        self.capabilities = capabilities;
    }

    /// Whether somebody else has to be told when something is due earlier than all before.
    pub(super) fn must_wake(&self) -> bool {
        !self.life.is_kept()
    }

    pub(super) fn unreadable(&self, call: Call) -> Error {
        unreadable(call, self.link.name())
    }

    pub(super) async fn depth(&self) -> Result<Depth, Error> {
        let keys = &self.keys;
        let mut command = script::DEPTH.run(&[&keys.stream, &keys.due, &keys.mark, &keys.dead]);
        command.arg(&*self.options.group);
        let answer = self.link.script(&script::DEPTH, &command, INSPECT).await?;
        let Value::Array(counts) = answer else { return Err(self.unreadable(INSPECT)) };
        let count = |at: usize| counts.get(at).and_then(number).unwrap_or(0);
        let mut depth = Depth::default();
        (depth.ready, depth.delayed, depth.in_flight, depth.dead) = (count(0), count(1), count(2), count(3));
        Ok(depth)
    }

    pub(super) async fn purge(&self) -> Result<u64, Error> {
        let keys = &self.keys;
        let mut command = script::PURGE.run(&[&keys.stream, &keys.due, &keys.held, &keys.mark]);
        command.arg(&*self.options.group);
        let answer = self.link.script(&script::PURGE, &command, CHANGE).await?;
        number(&answer).ok_or_else(|| self.unreadable(CHANGE))
    }

    pub(super) async fn redrive(&self) -> Result<u64, Error> {
        let (mut moved, mut from) = (0, "-".to_owned());
        loop {
            let mut command = script::REDRIVE.run(&[&self.keys.dead, &self.keys.stream]);
            command.arg(&*self.options.group).arg(from).arg(REDRIVE_STEP);
            let answer = self.link.script(&script::REDRIVE, &command, CHANGE).await?;
            let Value::Array(parts) = answer else { return Err(self.unreadable(CHANGE)) };
            let mut parts = parts.into_iter();
            moved += parts.next().as_ref().and_then(number).ok_or_else(|| self.unreadable(CHANGE))?;
            from = parts.next().and_then(text).unwrap_or_default();
            if from.is_empty() {
                return Ok(moved);
            }
        }
    }

    /// Removes consumers from the group that have nothing pending: those of this process that have stopped,
    /// and any that nobody has heard of for `idle`.
    pub(super) async fn remove_consumers(&self, idle: Duration) -> Result<(), Error> {
        let mut command = script::LEAVE.run(&[&self.keys.stream]);
        command.arg(&*self.options.group).arg(crate::wire::millis(idle));
        let sought = self.life.left();
        for name in &sought {
            command.arg(&**name);
        }
        let answer = self.link.script(&script::LEAVE, &command, CHANGE).await?;
        let Value::Array(there) = answer else { return Err(self.unreadable(CHANGE)) };
        self.life.remain(&sought, &there.into_iter().filter_map(text).collect());
        Ok(())
    }
}

//! [`MemoryStore`], a store in this process.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chappe_core::BoxError;
use tokio::time::Instant;

use super::{DedupStore, Reserve, Token};

/// Remembers keys in this process, on tokio's clock. Clones are the same store.
///
/// Confirmed keys are forgotten at an age, and the oldest of them when there are too many. Keys that are
/// reserved are never forgotten; there are no more of them than messages being handled at a time.
///
/// Every operation takes a constant time on average, and never waits.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    max_keys: usize,
    max_age: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: HashMap<Arc<str>, Entry>,
    /// Confirmed keys and until when they are remembered, the oldest first.
    confirmed: VecDeque<(Arc<str>, Instant)>,
    tokens: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Reserved { token: Token, until: Instant },
    Confirmed,
}

impl MemoryStore {
    /// Creates a store that remembers up to `max_keys` confirmed keys, each for `max_age`.
    ///
    /// What comes again later than that is handled again, so the age should exceed the time for which a
    /// publisher or a broker may repeat a message.
    #[must_use]
    pub fn new(max_keys: usize, max_age: Duration) -> Self {
        Self(Arc::new(Shared { max_keys, max_age, state: Mutex::default() }))
    }

    /// How many keys are remembered, reserved or confirmed. Some may have reached their age.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().keys.len()
    }

    /// Whether no key is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DedupStore for MemoryStore {
    async fn reserve(&self, key: &str, time: Duration) -> Result<Reserve, BoxError> {
        let now = Instant::now();
        let mut state = self.lock();
        state.forget(now, self.0.max_keys);
        match state.keys.get(key) {
            Some(Entry::Confirmed) => return Ok(Reserve::Confirmed),
            Some(Entry::Reserved { until, .. }) if *until > now => return Ok(Reserve::Taken(*until - now)),
            Some(Entry::Reserved { .. }) | None => {}
        }
        state.tokens += 1;
        let token = Token(state.tokens);
        let entry = Entry::Reserved { token, until: now + time };
        match state.keys.get_mut(key) {
            Some(ended) => *ended = entry,
            None => drop(state.keys.insert(key.into(), entry)),
        }
        Ok(Reserve::Reserved(token))
    }

    async fn renew(&self, key: &str, token: Token, time: Duration) -> Result<bool, BoxError> {
        let until = Instant::now() + time;
        let mut state = self.lock();
        match state.reserved(key, token) {
            // One that has ended and that nobody took since is as good as ever.
            Some(entry) => *entry = Entry::Reserved { token, until },
            None => return Ok(false),
        }
        Ok(true)
    }

    async fn confirm(&self, key: &str, token: Token) -> Result<(), BoxError> {
        let now = Instant::now();
        let mut state = self.lock();
        if !state.keys.contains_key(key) {
            state.keys.insert(key.into(), Entry::Reserved { token, until: now });
        }
        if let Some(entry) = state.reserved(key, token) {
            *entry = Entry::Confirmed;
            let (key, _) = state.keys.get_key_value(key).expect("it was just there");
            let key = Arc::clone(key);
            state.confirmed.push_back((key, now + self.0.max_age));
            state.forget(now, self.0.max_keys);
        }
        Ok(())
    }

    async fn release(&self, key: &str, token: Token) -> Result<(), BoxError> {
        self.abandon(key, token);
        Ok(())
    }

    fn abandon(&self, key: &str, token: Token) {
        let mut state = self.lock();
        if state.reserved(key, token).is_some() {
            state.keys.remove(key);
        }
    }
}

impl State {
    fn reserved(&mut self, key: &str, token: Token) -> Option<&mut Entry> {
        self.keys
            .get_mut(key)
            .filter(|entry| matches!(entry, Entry::Reserved { token: holder, .. } if *holder == token))
    }

    /// Forgets confirmed keys that are too old, or too many.
    fn forget(&mut self, now: Instant, max_keys: usize) {
        while self.confirmed.front().is_some_and(|(_, until)| *until <= now) || self.confirmed.len() > max_keys {
            let (key, _) = self.confirmed.pop_front().expect("there is a first one");
            self.keys.remove(&key);
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("len", &self.len()).finish_non_exhaustive()
    }
}

//! [`Counts`], how often each word was seen.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Enough that handlers seldom want the same shard at the same time.
const SHARDS: usize = 64;

type Shard = HashMap<Bytes, u64, RandomState>;

/// How often each word was seen. Stands for a table in a database: a count is read and then written, with
/// nothing that holds the two together. That is right all the same, because the server's lanes handle the
/// messages of one key one at a time.
#[derive(Clone, Default)]
pub(crate) struct Counts(Arc<Table>);

struct Table {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

impl Counts {
    /// Counts one more of a word.
    pub(crate) fn add(&self, word: &[u8]) {
        let shard = self.shard(word);
        let before = lock(shard).get(word).copied();
        let mut table = lock(shard);
        match before {
            Some(count) => *table.get_mut(word).expect("no word is ever removed") = count + 1,
            // A copy of its own, or the word would keep its whole line in memory.
            None => drop(table.insert(Bytes::copy_from_slice(word), 1)),
        }
    }

    /// The words seen most often, the most frequent first, and those seen equally often in the order of
    /// their bytes.
    pub(crate) fn top(&self, max: usize) -> Vec<(Bytes, u64)> {
        let mut words: Vec<_> = self
            .0
            .shards
            .iter()
            .flat_map(|shard| lock(shard).iter().map(|(word, count)| (word.clone(), *count)).collect::<Vec<_>>())
            .collect();
        words.sort_unstable_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        words.truncate(max);
        words
    }

    /// How many different words were seen.
    pub(crate) fn distinct(&self) -> usize {
        self.0.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, word: &[u8]) -> &Mutex<Shard> {
        &self.0.shards[self.0.hasher.hash_one(word) as usize % SHARDS]
    }
}

impl Default for Table {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

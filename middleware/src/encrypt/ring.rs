//! [`KeyRing`], the keys messages are encrypted and decrypted with.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aes_gcm::{Aes256Gcm, KeyInit};
use chappe_core::{Error, ErrorKind, Str};

/// The longest id of a key: its length is a byte in every message.
const MAX_ID_BYTES: usize = 255;

/// The keys messages are encrypted and decrypted with: one is current, all can be read.
///
/// A handle: clones are the same ring, so a key that is added is in the ring of every layer at once. The
/// keys are wiped from memory with the last of them.
///
/// # Examples
///
/// ```
/// use chappe_middleware::encrypt::KeyRing;
///
/// # fn main() -> Result<(), chappe_core::Error> {
/// # let (old, new) = ([1; 32], [2; 32]);
/// let ring = KeyRing::new("2026-05", &old)?;
/// ring.add("2026-11", &new)?; // now read here
/// ring.promote("2026-11")?; // now written here
/// ring.retire("2026-05")?; // no longer read here
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct KeyRing(Arc<RwLock<Keys>>);

/// A key, ready to be used, and its id.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: Str,
    pub(super) cipher: Arc<Aes256Gcm>,
}

struct Keys {
    current: usize,
    all: Vec<Key>,
}

impl KeyRing {
    /// Creates a ring with one key, which is current.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the id is empty or longer than 255 bytes.
    pub fn new(id: impl Into<Str>, key: &[u8; 32]) -> Result<Self, Error> {
        let key = Key::new(id.into(), key)?;
        Ok(Self(Arc::new(RwLock::new(Keys { current: 0, all: vec![key] }))))
    }

    /// Adds a key that is read, and not written before it is [promoted](Self::promote).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the id is empty, longer than 255 bytes, or in the ring already: a key is
    /// never replaced by another one under its name.
    pub fn add(&self, id: impl Into<Str>, key: &[u8; 32]) -> Result<(), Error> {
        let key = Key::new(id.into(), key)?;
        let mut keys = self.write();
        if keys.all.iter().any(|known| known.id == key.id) {
            return Err(Error::new(ErrorKind::Invalid, format!("key {} is in the ring already", key.id)));
        }
        keys.all.push(key);
        Ok(())
    }

    /// Makes a key of the ring the current one, which messages are encrypted with from now on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is not in the ring.
    pub fn promote(&self, id: &str) -> Result<(), Error> {
        let mut keys = self.write();
        keys.current = keys.position(id)?;
        Ok(())
    }

    /// Removes a key: messages that name it are no longer read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is not in the ring, [`ErrorKind::Invalid`] if it is the current one.
    pub fn retire(&self, id: &str) -> Result<(), Error> {
        let mut keys = self.write();
        let at = keys.position(id)?;
        if at == keys.current {
            return Err(Error::new(ErrorKind::Invalid, format!("key {id} is the current one, promote another first")));
        }
        keys.all.remove(at);
        if keys.current > at {
            keys.current -= 1;
        }
        Ok(())
    }

    pub(super) fn current(&self) -> Key {
        let keys = self.read();
        keys.all[keys.current].clone()
    }

    pub(super) fn find(&self, id: &str) -> Option<Key> {
        self.read().all.iter().find(|key| key.id == *id).cloned()
    }

    // Nothing panics in the middle of a change, so a poisoned lock is as good as another.
    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the ids, never a key.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.read();
        let ids: Vec<_> = keys.all.iter().map(|key| &key.id).collect();
        f.debug_struct("KeyRing").field("current", &keys.all[keys.current].id).field("keys", &ids).finish()
    }
}

impl Key {
    fn new(id: Str, key: &[u8; 32]) -> Result<Self, Error> {
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            let text = format!("id of a key has {} bytes, and must have 1 to {MAX_ID_BYTES}", id.len());
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(Self { id, cipher: Arc::new(Aes256Gcm::new(key.into())) })
    }
}

impl Keys {
    fn position(&self, id: &str) -> Result<usize, Error> {
        let found = self.all.iter().position(|key| key.id == *id);
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("key {id} is not in the ring")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> KeyRing {
        let ring = KeyRing::new("a", &[1; 32]).unwrap();
        ring.add("b", &[2; 32]).unwrap();
        ring.add("c", &[3; 32]).unwrap();
        ring
    }

    #[test]
    fn a_ring_shows_ids_and_no_keys() {
        assert_eq!(format!("{:?}", ring()), r#"KeyRing { current: "a", keys: ["a", "b", "c"] }"#);
    }

    #[test]
    fn the_current_key_stays_current_when_another_is_retired() {
        let ring = ring();

        ring.promote("c").unwrap();
        ring.retire("a").unwrap();

        assert_eq!(ring.current().id, "c");
        assert!(ring.find("a").is_none() && ring.find("b").is_some());
    }

    #[test]
    fn the_current_key_is_not_retired_and_no_key_is_replaced() {
        let ring = ring();

        assert_eq!(ring.retire("a").unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(ring.add("b", &[9; 32]).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(ring.promote("d").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(ring.retire("d").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(KeyRing::new("", &[1; 32]).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(KeyRing::new("x".repeat(256), &[1; 32]).unwrap_err().kind(), ErrorKind::Invalid);
    }
}

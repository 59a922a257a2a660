//! [`Mark`], which message of a bus this is.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf, BufMut, Bytes};

use super::{get_number, put_number};
use crate::MessageId;

/// Who publishes: a handle and its clones. Chosen at random, so that processes need not agree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin([u8; 16]);

/// Which message this is: the `seq`th of its origin to its topic, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Who published it.
    pub origin: Origin,
    /// The how-manieth of its origin it is.
    pub seq: u64,
}

impl Origin {
    /// Somebody new.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u128(..).to_be_bytes())
    }

    /// Sixteen bytes that nobody else has.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for Origin {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl Mark {
    /// What a message is known by whose publisher gave it no id: the same for every subscriber.
    #[must_use]
    pub fn id(self) -> MessageId {
        format!("{:?}.{}", self.origin, self.seq).into()
    }

    /// Writes it: the origin's bytes and the number.
    pub fn put(self, out: &mut Vec<u8>) {
        out.put_slice(&self.origin.0);
        put_number(out, self.seq);
    }

    /// Reads what [`put`](Self::put) wrote; `None` if it is cut off.
    pub fn get(rest: &mut Bytes) -> Option<Self> {
        let mut origin = [0; 16];
        rest.try_copy_to_slice(&mut origin).ok()?;
        Some(Self { origin: Origin(origin), seq: get_number(rest)? })
    }
}

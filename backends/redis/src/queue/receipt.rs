//! [`RedisReceipt`], what settles a delivery.

use crate::wire::EntryId;

/// What settles a delivery of a [`RedisQueue`](crate::RedisQueue).
///
/// It is the id of the delivery's entry. An entry is delivered once: a message that comes again, for whatever
/// reason, is another entry, so a receipt can never be taken for that of a later delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RedisReceipt(pub(super) EntryId);

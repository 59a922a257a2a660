//! Limits, and where they come from.

use std::time::Duration;

/// The most attributes of a message. A script hands all fields of a message to one command, and Lua passes
/// no more than about 8,000 arguments.
pub(crate) const MAX_ATTRIBUTES: usize = 1000;

/// The largest message, unless another limit is set. Redis itself takes values of 512 MiB
/// (`proto-max-bulk-len`) and buffers of 1 GiB (`client-query-buffer-limit`).
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// The most messages published in one round trip.
pub(crate) const MAX_BATCH: usize = 512;

/// The most bytes published in one round trip, so that a batch does not hold others up for long.
pub(crate) const MAX_BATCH_BYTES: usize = 16 << 20;

/// The most messages one read brings: with more, the server waits while they are decoded, and with fewer the calls
/// tell.
pub(crate) const MAX_READ: usize = 256;

/// The most messages a fetch is asked for: so many that another read can be under way while one is looked at.
pub(crate) const MAX_FETCH: usize = 2 * MAX_READ;

/// The most deliveries settled in one round trip.
pub(crate) const MAX_SETTLE: usize = 512;

/// How long settlements wait for others: each call has its price on both sides, and handlers that are fast
/// end a few dozen at a time.
pub(crate) const LINGER: Duration = Duration::from_millis(1);

/// The largest message of a bus: every subscriber gets a copy, and a server disconnects one that is 32 MiB
/// behind (`client-output-buffer-limit pubsub`).
pub(crate) const MAX_BUS_MESSAGE_BYTES: usize = 8 << 20;

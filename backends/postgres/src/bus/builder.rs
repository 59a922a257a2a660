//! [`PgBusBuilder`], the options of a bus.

use std::sync::Arc;
use std::time::Duration;

use chappe_core::{Error, ErrorKind};

use super::PgBus;
use super::handle::Options;
use crate::PgConfig;

/// Where the table for large messages is, where nothing else is said.
const SCHEMA: &str = "chappe";
/// How long large messages are kept, where nothing else is said.
const SPILL_RETENTION: Duration = Duration::from_secs(300);

/// Makes a [`PgBus`] with options. See [`PgBus::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct PgBusBuilder(Options);

impl PgBusBuilder {
    pub(super) fn new(config: PgConfig, topic: Arc<str>) -> Self {
        Self(Options { topic, config, direct: None, schema: SCHEMA.into(), spill_retention: SPILL_RETENTION })
    }

    /// Listens on a connection of its own kind. Needed where the other leads through a pooler that hands
    /// out sessions by transaction, such as PgBouncer in its transaction mode: what a session listens to is
    /// lost there, and so the bus refuses to.
    pub fn direct(mut self, config: PgConfig) -> Self {
        self.0.direct = Some(config);
        self
    }

    /// Keeps messages that are too large for a notification for this long, five minutes unless this is
    /// called. A subscriber that has not fetched one by then has a [`Gap`](chappe_core::backend::Signal::Gap)
    /// instead. They are deleted by those who publish such messages, now and then.
    pub fn spill_retention(mut self, retention: Duration) -> Self {
        self.0.spill_retention = retention;
        self
    }

    /// Has the table for large messages in another schema than `chappe`. All who use a bus are to agree.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: the name is not one of lower-case letters, digits and `_`, no digit first, of
    /// at most 63 bytes.
    pub fn schema(mut self, name: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let first = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if !first || name.len() > 63 || !name.bytes().all(plain) || name.starts_with("pg_") {
            let text = format!(
                "schema {name:?} is no plain name: it is to be up to 63 lower-case letters, digits and _, no digit first"
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        self.0.schema = name.into();
        Ok(self)
    }

    /// The bus.
    #[must_use]
    pub fn build(self) -> PgBus {
        PgBus::with(self.0)
    }
}

//! [`PgStore`], the tables of a database that hold queues.

use std::fmt;
use std::sync::Arc;

use chappe_core::{Error, ErrorKind};
use tokio_postgres::types::Type;

mod migration;

use self::migration::MIGRATIONS;
use crate::PgConfig;
use crate::client::Session;
use crate::error::Call;

/// The schema unless another is chosen.
const SCHEMA: &str = "chappe";

/// Where queues are: a schema of a database, and how to connect to it. Cheap to clone.
///
/// All queues of a schema share its tables, which [`migrate`](Self::migrate) makes.
///
/// # Examples
///
/// ```no_run
/// use chappe_postgres::{PgQueue, PgStore};
///
/// # async fn run() -> Result<(), chappe_core::Error> {
/// let store = PgStore::from_url("postgres://app:secret@db.example/app")?;
/// store.migrate().await?;
/// let orders = PgQueue::new(&store, "orders");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PgStore {
    config: Arc<PgConfig>,
    schema: Arc<str>,
}

impl PgStore {
    /// The schema `chappe` of the database `config` connects to.
    #[must_use]
    pub fn new(config: PgConfig) -> Self {
        Self { config: Arc::new(config), schema: SCHEMA.into() }
    }

    /// The schema `chappe` of the database at a URL, as [`PgConfig::from_url`] takes it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`]: the URL makes no sense.
    /// - [`ErrorKind::Unsupported`]: it asks for TLS, and the feature `tls` is off.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let config = PgConfig::from_url(url)?;
        config.check()?;
        Ok(Self::new(config))
    }

    /// Chooses another schema.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`]: the name is not an identifier of lower-case letters, digits and `_`, of at most
    /// 63 bytes.
    pub fn schema(mut self, name: &str) -> Result<Self, Error> {
        let first = |c: char| c.is_ascii_lowercase() || c == '_';
        let rest = |c: char| first(c) || c.is_ascii_digit();
        if name.len() > 63 || !name.starts_with(first) || !name.chars().all(rest) || name.starts_with("pg_") {
            let text = format!(
                "schema {name:?} is no identifier: it is to be up to 63 lower-case letters, digits and _, no digit first"
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        self.schema = name.into();
        Ok(self)
    }

    /// The schema.
    #[must_use]
    pub fn schema_name(&self) -> &str {
        &self.schema
    }

    /// Makes the schema and its tables, or brings those of an older version of this crate up to date. Does
    /// nothing where they are; several programs may do it at once.
    ///
    /// It takes the right to create schemas, or an empty schema that the user owns. To let somebody else do
    /// it, give them [`migrations`](Self::migrations).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::PermissionDenied`]: the user may not create what is missing.
    /// - [`ErrorKind::Invalid`]: the tables are of a newer version of this crate.
    /// - [`ErrorKind::Unavailable`]: the server cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Dropped, each step was made as a whole or not at all.
    pub async fn migrate(&self) -> Result<(), Error> {
        let session = Session::open(&self.config, |_| {}).await?;
        let call = self.call("migrate");
        for (at, text) in self.migrations().iter().enumerate() {
            let applied = self.version_of(&session).await?;
            if applied.unwrap_or(0) > at {
                continue;
            }
            session.answer(&call, session.client().batch_execute(text)).await?;
        }
        self.check_version(&session).await
    }

    /// Looks whether the tables are there, of this version, and may be used.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`]: they are not there.
    /// - [`ErrorKind::Invalid`]: they are of another version.
    /// - [`ErrorKind::PermissionDenied`]: the user may not use them.
    /// - [`ErrorKind::Unavailable`]: the server cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// May be dropped.
    pub async fn check(&self) -> Result<(), Error> {
        let session = Session::open(&self.config, |_| {}).await?;
        self.check_in(&session).await
    }

    /// What [`migrate`](Self::migrate) does, one text for each version, for who migrates with tools of their
    /// own. Each may be run again without effect.
    #[must_use]
    pub fn migrations(&self) -> Vec<String> {
        MIGRATIONS.iter().enumerate().map(|(at, text)| self.sql(&migration::step(at + 1, text))).collect()
    }

    pub(crate) fn config(&self) -> &PgConfig {
        &self.config
    }

    /// Puts the schema into a statement. It is an identifier, so that it needs no quotes.
    pub(crate) fn sql(&self, text: &str) -> String {
        text.replace("{schema}", &self.schema)
    }

    pub(crate) async fn check_in(&self, session: &Session) -> Result<(), Error> {
        self.check_version(session).await?;
        let text = self.sql(
            "SELECT bool_and(has_table_privilege(t, p)) FROM unnest(ARRAY['{schema}.message', '{schema}.dedup']) t, \
             unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p",
        );
        let call = self.call("look at");
        let rows = session.answer(&call, session.client().query_typed(&text, &[])).await?;
        if rows.first().and_then(|row| row.get::<_, Option<bool>>(0)) == Some(true) {
            return Ok(());
        }
        let schema = &self.schema;
        let text = format!(
            "the user may not use the tables of schema {schema}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO it"
        );
        Err(Error::new(ErrorKind::PermissionDenied, text))
    }

    async fn check_version(&self, session: &Session) -> Result<(), Error> {
        let (schema, known) = (&self.schema, MIGRATIONS.len());
        match self.version_of(session).await? {
            Some(there) if there == known => Ok(()),
            Some(there) if there < known => {
                let text = format!(
                    "schema {schema} has version {there}, {known} is needed; run the migrations: `PgStore::migrate`"
                );
                Err(Error::new(ErrorKind::Invalid, text))
            }
            Some(there) => {
                let text =
                    format!("schema {schema} has version {there}, this program knows {known}; update the program");
                Err(Error::new(ErrorKind::Invalid, text))
            }
            None => {
                let text = format!("schema {schema} has no queues; run the migrations: `PgStore::migrate`");
                Err(Error::new(ErrorKind::NotFound, text))
            }
        }
    }

    /// The version of the tables, where there are any.
    async fn version_of(&self, session: &Session) -> Result<Option<usize>, Error> {
        let call = self.call("look at");
        let there = "SELECT to_regclass($1) IS NOT NULL";
        let name = self.sql("{schema}.migration");
        let rows = session.answer(&call, session.client().query_typed(there, &[(&name, Type::TEXT)])).await?;
        if !rows.first().is_some_and(|row| row.get(0)) {
            return Ok(None);
        }
        let text = self.sql("SELECT max(version) FROM {schema}.migration");
        let rows = session.answer(&call, session.client().query_typed(&text, &[])).await?;
        let version: Option<i32> = rows.first().and_then(|row| row.get(0));
        Ok(version.and_then(|version| version.try_into().ok()))
    }

    fn call(&self, doing: &'static str) -> Call<'_> {
        Call { doing, what: "schema", name: &self.schema, writes: false }
    }
}

impl fmt::Debug for PgStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStore").field("config", &self.config).field("schema", &self.schema).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_no_identifier_is_refused() {
        let store = PgStore::from_url("postgres://h/db").unwrap();

        for name in ["", "1a", "a-b", "a b", "Ab", "a;drop", "a\"b", "pg_x", &"a".repeat(64)] {
            let error = store.clone().schema(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name}");
        }
        assert_eq!(store.schema("_app_2").unwrap().schema_name(), "_app_2");
    }

    #[test]
    fn migrations_name_the_schema_and_leave_no_placeholder() {
        let store = PgStore::from_url("postgres://h/db").unwrap().schema("other").unwrap();

        for text in store.migrations() {
            assert!(text.contains("other.message") && !text.contains("{schema}"));
        }
    }
}

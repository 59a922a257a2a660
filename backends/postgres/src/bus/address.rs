//! Buses by URL.

use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::Url;

use super::PgBus;
use crate::address::place;
use crate::{PgConfig, PgStore};

impl PgBus {
    /// The bus at a URL, which says what it publishes to:
    /// `postgres://app:secret@db.example/app?topic=prices`.
    ///
    /// | option | |
    /// |---|---|
    /// | `topic` | what the bus publishes to; it is required |
    /// | `schema` | of the [store](PgStore::schema) |
    /// | `direct_url` | what to listen [on](Self::direct), itself a URL, percent-encoded |
    /// | `spill_retention` | how long large messages are [kept](Self::spill_retention), like `2m` |
    /// | `application_name` | what connections are called in `pg_stat_activity` |
    ///
    /// Beside these there are those of the client, such as `connect_timeout`, and those of
    /// [TLS](PgConfig::from_url), `sslmode` and `sslrootcert`. `direct_url` has its own.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](chappe_core::ErrorKind::Invalid): the URL, one of its options or the value of one
    ///   makes no sense, or there is no topic.
    /// - [`ErrorKind::Unsupported`](chappe_core::ErrorKind::Unsupported): it asks for TLS, and the feature `tls` is
    ///   off.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let mut url = Url::parse(url)?;
        let topic: Option<String> = url.take("topic")?;
        let schema: Option<String> = url.take("schema")?;
        let direct: Option<String> = url.take("direct_url")?;
        let retention: Option<Duration> = url.duration("spill_retention")?;
        let name: Option<String> = url.take("application_name")?;
        let place = place(&mut url)?;
        url.finish()?;
        let topic = topic.filter(|topic| !topic.is_empty());
        let topic = topic.ok_or_else(|| url.invalid("it names no topic, as in ?topic=prices"))?;
        let config = |url: &str| {
            let config = PgConfig::from_url(url)?;
            config.check()?;
            Ok::<_, Error>(match &name {
                Some(name) => config.application_name(name.as_str()),
                None => config,
            })
        };
        let mut store = PgStore::new(config(&place)?);
        if let Some(schema) = schema {
            store = store.schema(&schema)?;
        }
        let mut bus = Self::new(&store, topic);
        if let Some(direct) = direct {
            bus = bus.direct(config(&direct)?);
        }
        if let Some(retention) = retention {
            bus = bus.spill_retention(retention);
        }
        Ok(bus)
    }
}

#[cfg(test)]
mod tests {
    use chappe_core::ErrorKind;
    use chappe_core::backend::Backend;

    use super::*;

    #[test]
    fn a_url_says_all_there_is() {
        let bus = PgBus::from_url(
            "postgres://app:secret@pooler:6432/shop?topic=prices%20of%20all&schema=bus&spill_retention=90s\
             &direct_url=postgres%3A%2F%2Fapp%3Asecret%40db%2Fshop&application_name=tills",
        )
        .unwrap();

        let options = &bus.0.options;
        assert_eq!(bus.destination(), "prices of all");
        assert_eq!((options.store.schema_name(), options.spill_retention), ("bus", Duration::from_secs(90)));
        assert_eq!(options.store.config().to_string(), "postgres://pooler:6432/shop");
        assert_eq!(options.direct.as_ref().unwrap().to_string(), "postgres://db:5432/shop");
    }

    #[test]
    fn a_url_that_makes_no_sense_is_refused_without_telling_secrets() {
        for (url, why) in [
            ("postgres://u:hunter2@h/db", "names no topic"),
            ("postgres://u:hunter2@h/db?topic=", "names no topic"),
            (
                "postgres://u:hunter2@h/db?topic=t&queue=hunter2",
                "no option queue; there are: topic, schema, direct_url",
            ),
            ("postgres://u:hunter2@h/db?topic=t&spill_retention=hunter2", "a time such as"),
            ("postgres://u:hunter2@h:port/db?topic=t", "not a PostgreSQL URL"),
            ("postgres://u@h/db?topic=t&direct_url=postgres%3A%2F%2Fu%3Ahunter2%40h%3Aport", "not a PostgreSQL URL"),
            ("postgres://u:hunter2@h/db?topic=t&schema=No", "schema \"No\""),
        ] {
            let error = PgBus::from_url(url).unwrap_err();

            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            assert!(error.to_string().contains(why), "{url}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}

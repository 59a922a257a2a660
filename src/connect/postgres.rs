//! Queues in PostgreSQL, whose tables a URL may have made.

use chappe_core::{Error, ErrorKind};
use chappe_postgres::{PgPublisher, PgQueue};

/// The queue of a URL.
pub(super) async fn queue(url: &str) -> Result<PgQueue, Error> {
    let (url, migrate) = split(url)?;
    let queue = PgQueue::from_url(&url)?;
    if migrate {
        queue.store().migrate().await?;
    }
    Ok(queue)
}

/// What publishes to the queue of a URL.
pub(super) async fn publisher(url: &str) -> Result<PgPublisher, Error> {
    let publisher = PgPublisher::from_url(&split(url)?.0)?;
    queue(url).await?;
    Ok(publisher)
}

/// The URL without `migrate`, and whether that was true: the backend connects when it is used, and not before.
fn split(url: &str) -> Result<(String, bool), Error> {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (ours, theirs): (Vec<_>, Vec<_>) = query.split('&').partition(|pair| pair.split('=').next() == Some("migrate"));
    let migrate = match ours[..] {
        [] | ["migrate=false"] => false,
        ["migrate=true"] => true,
        _ => {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the option migrate of a PostgreSQL URL is to be true or false, once",
            ));
        }
    };
    Ok((format!("{place}?{}", theirs.join("&")), migrate))
}

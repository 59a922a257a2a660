//! Queues in PostgreSQL, whose tables a URL may have made.

use chappe_core::Error;
use chappe_postgres::{PgPublisher, PgQueue};

use super::split::split;

/// The queue of a URL.
pub(super) async fn queue(url: &str) -> Result<PgQueue, Error> {
    let (url, migrate) = read(url)?;
    let queue = PgQueue::from_url(&url)?;
    if migrate {
        queue.store().migrate().await?;
    }
    Ok(queue)
}

/// What publishes to the queue of a URL.
pub(super) async fn publisher(url: &str) -> Result<PgPublisher, Error> {
    let (url, migrate) = read(url)?;
    let publisher = PgPublisher::from_url(&url)?;
    if migrate {
        publisher.store().migrate().await?;
    }
    Ok(publisher)
}

/// The URL without `migrate`, and whether that is true. It is not the backend's, which connects when it is used
/// and not before.
fn read(url: &str) -> Result<(String, bool), Error> {
    let (url, mut options) = split(url, "postgres://options", &["migrate"])?;
    let migrate = options.take("migrate")?.unwrap_or(false);
    options.finish()?;
    Ok((url, migrate))
}

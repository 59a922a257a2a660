//! [`server`], which takes its own options from the URL of its queue.

use chappe_core::{DynQueue, Error};

use super::queue;
use super::split::split;
use crate::server::{Lanes, Server};

/// The options that are the server's.
const OPTIONS: [&str; 6] = ["concurrency", "prefetch", "max_attempts", "timeout", "grace", "lanes"];

/// A server of the work queue at `url`, with what the URL says of the server as well:
///
/// | option | | as |
/// |---|---|---|
/// | `concurrency` | `64` | [`Server::concurrency`] |
/// | `prefetch` | `0` | [`Server::prefetch`] |
/// | `max_attempts` | `5` | [`Server::max_attempts`] |
/// | `timeout` | `30s` | [`Server::timeout`] |
/// | `grace` | `10s` | [`Server::grace`] |
/// | `lanes` | `ordered`, `passing` | [`Server::lanes`] |
///
/// The others are the queue's.
///
/// # Errors
///
/// As [`queue`].
///
/// # Cancel safety
///
/// Dropped, there is no server.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), chappe::Error> {
/// let server = chappe::connect::server("memory://orders?lease=10s&concurrency=8&max_attempts=5").await?;
/// # drop(server);
/// # Ok(()) }
/// ```
pub async fn server(url: &str) -> Result<Server<DynQueue>, Error> {
    let (queue_url, mut options) = split(url, "server://options", &OPTIONS)?;
    // Read before the queue is asked for: what is wrong with them needs no broker to tell.
    let concurrency = options.take("concurrency")?;
    let prefetch = options.take("prefetch")?;
    let max_attempts = options.take("max_attempts")?;
    let timeout = options.duration("timeout")?;
    let grace = options.duration("grace")?;
    let lanes = match options.take::<String>("lanes")?.as_deref() {
        None => None,
        Some("ordered") => Some(Lanes::Ordered),
        Some("passing") => Some(Lanes::Passing),
        Some(_) => return Err(options.invalid("its option lanes is to be ordered or passing")),
    };
    options.finish()?;

    let mut server = Server::new(queue(&queue_url).await?);
    server = concurrency.into_iter().fold(server, Server::concurrency);
    server = prefetch.into_iter().fold(server, Server::prefetch);
    server = max_attempts.into_iter().fold(server, Server::max_attempts);
    server = timeout.into_iter().fold(server, Server::timeout);
    server = grace.into_iter().fold(server, Server::grace);
    Ok(lanes.into_iter().fold(server, Server::lanes))
}

//! Connections: how they are made, driven, watched and made again.

mod backoff;
mod config;
mod drive;
mod link;
mod pool;
mod session;
mod ssl;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use backoff::Backoff;
pub use config::PgConfig;
pub(crate) use link::{Link, Listen, Vitals};
pub(crate) use pool::Pool;
pub(crate) use session::{ANSWER, Session};

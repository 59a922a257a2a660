//! What layers that watch a call have in common: when it begins, in what it runs, and how it ends.

mod answer;
mod end;
mod future;
#[cfg(any(feature = "metrics", feature = "opentelemetry"))]
pub(crate) mod name;
mod watch;

pub(crate) use answer::{Answer, Batch, Publish, Receive};
#[cfg(any(feature = "metrics", feature = "opentelemetry"))]
pub(crate) use end::End;
pub(crate) use end::Ending;
pub(crate) use future::Observed;
pub(crate) use watch::{Watch, Watched};

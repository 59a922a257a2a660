//! The cases about a server in front of a queue, by theme.

mod accounting;
mod failure;
mod fault;
mod lanes;
mod limit;
mod pipeline;
mod serving;
mod shutdown;

use crate::case::Case;
use crate::harness::Harness;
use crate::rig::Bench;

pub(crate) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    [
        failure::cases(),
        fault::cases(),
        limit::cases(),
        shutdown::cases(),
        lanes::cases(),
        accounting::cases(),
        pipeline::cases(),
    ]
    .concat()
}

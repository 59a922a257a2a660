//! The cases about queues, by theme.

mod attributes;
mod closing;
mod dead_letter;
mod delay;
mod delivery;
mod fault;
mod lease;
mod order;
mod publish;
mod retry;
mod settle;

use crate::case::Case;
use crate::harness::Harness;
use crate::rig::Bench;

pub(crate) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    [
        attributes::cases(),
        publish::cases(),
        delivery::cases(),
        settle::cases(),
        lease::cases(),
        retry::cases(),
        dead_letter::cases(),
        order::cases(),
        delay::cases(),
        fault::cases(),
        closing::cases(),
    ]
    .concat()
}

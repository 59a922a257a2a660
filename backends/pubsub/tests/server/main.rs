//! Tests against Google's emulator, or against Google's in-memory server where that cannot be had.

mod conformance;
mod rows;
mod shim;
mod support;

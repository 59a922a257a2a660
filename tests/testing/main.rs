//! The test kit: recorder, `perform`, and tracked sessions, each with what it says when a test fails.

mod kit;
mod perform;
mod recorder;
mod session;
mod trouble;

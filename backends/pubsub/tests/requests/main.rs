//! Tests against a Pub/Sub in this process, with the faults a server or a network can have.

#[path = "../../src/proto.rs"]
#[allow(dead_code, unreachable_pub, reason = "the messages of the crate, of which not all are needed here")]
mod proto;

mod consume;
mod fake;
mod publish;
mod serve;

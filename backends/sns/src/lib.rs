#![doc = include_str!("../README.md")]

mod address;
#[cfg(feature = "admin")]
pub mod admin;
mod array;
mod client;
mod entry;
mod error;
mod limit;
mod publisher;
mod send;
mod unique;

pub use address::SnsAddress;
pub use publisher::{SnsPublisher, SnsTopic, Subject};

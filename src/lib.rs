//! A message-server framework.

pub use chappe_core::*;

pub mod server;

pub use server::Server;

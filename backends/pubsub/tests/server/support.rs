//! Clients of the server.

use chappe_pubsub::PubsubClient;

/// Names the host and port of a server: Google's emulator, or its in-memory server.
const SERVER: &str = "CHAPPE_TEST_PUBSUB";
/// Names those of Google's emulator, where there is one.
const EMULATOR: &str = "CHAPPE_TEST_PUBSUB_EMULATOR";
/// Any will do.
pub(crate) const PROJECT: &str = "chappe";

/// The host and port of the server.
pub(crate) fn server() -> String {
    named(SERVER)
}

/// The host and port of the emulator.
pub(crate) fn emulator() -> String {
    named(EMULATOR)
}

/// Whether the server is Google's emulator, which can do more than its in-memory server: where the one is, nobody
/// starts the other.
pub(crate) fn is_emulator() -> bool {
    std::env::var_os(EMULATOR).is_some()
}

/// A client with a connection of its own.
pub(crate) fn client() -> PubsubClient {
    client_of(&server())
}

/// A client of a host and port.
pub(crate) fn client_of(host: &str) -> PubsubClient {
    PubsubClient::emulator(host).expect("it is a host and port").project(PROJECT)
}

/// A name nobody has used.
pub(crate) fn fresh_name() -> String {
    format!("chappe-{:016x}", fastrand::u64(..))
}

fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; it names a server, like 127.0.0.1:8085"))
}

//! The server, and the time of the processor it has had.

use tokio_postgres::{Client, NoTls};

/// Its URL.
pub fn url() -> String {
    std::env::var("CHAPPE_TEST_POSTGRES")
        .expect("CHAPPE_TEST_POSTGRES names a server: run by cargo xtask bench postgres")
}

pub async fn connect() -> Client {
    let (client, connection) = tokio_postgres::connect(&url(), NoTls).await.expect("the server is there");
    tokio::spawn(connection);
    client
}

/// Seconds of its first process, of all that it has started and are there, and of those that are not.
pub async fn processor() -> f64 {
    let backend: i32 = connect().await.query_one("SELECT pg_backend_pid()", &[]).await.expect("it has one").get(0);
    let first = Process::read(&backend.to_string()).map_or(0, |backend| backend.parent);
    let mut ticks = Process::read(&first.to_string()).map_or(0, |first| first.own + first.gone);
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry.file_name().to_str().and_then(Process::read);
        ticks += process.filter(|process| process.parent == first).map_or(0, |process| process.own);
    }
    ticks as f64 / 100.0
}

/// A process, with times in ticks of 10 ms.
struct Process {
    parent: u64,
    own: u64,
    /// Of its children that have ended.
    gone: u64,
}

impl Process {
    fn read(name: &str) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).ok()?;
        // Behind the name in brackets.
        let fields: Vec<u64> =
            stat.rsplit(')').next()?.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let sum = |from: usize| fields.get(from..from + 2).map(|pair| pair.iter().sum());
        Some(Self { parent: *fields.get(1)?, own: sum(11)?, gone: sum(13)? })
    }
}

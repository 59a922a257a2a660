//! Clients, names, and servers of one's own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Client, Cmd, Value};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Where the server is, as host and port.
pub(crate) fn address() -> SocketAddr {
    named("CHAPPE_TEST_REDIS").trim_start_matches("redis://").parse().expect("the server is on this machine")
}

/// A client of the server.
pub(crate) fn client() -> Client {
    client_of(address())
}

/// A client of a server that is somewhere.
pub(crate) fn client_of(address: SocketAddr) -> Client {
    Client::open(format!("redis://{address}")).unwrap()
}

/// A name no other queue has.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-{:x}-{count}-{:08x}", std::process::id(), fastrand::u32(..))
}

/// Runs a command beside what is tested.
pub(crate) async fn run(client: &Client, command: &Cmd) -> Value {
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    command.query_async(&mut connection).await.unwrap()
}

/// A server of one's own, that can be killed. It ends with this.
pub(crate) struct Own {
    port: u16,
    folder: PathBuf,
    durable: bool,
    child: Mutex<Child>,
}

impl Own {
    /// Starts one, which keeps what it has in a file or loses it when it ends.
    pub(crate) async fn start(durable: bool) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("chappe-own-redis-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let child = Mutex::new(spawn(port, &folder, durable));
        let own = Self { port, folder, durable, child };
        own.ready().await;
        own
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again, where it was.
    pub(crate) async fn revive(&self) {
        *self.child.lock().unwrap() = spawn(self.port, &self.folder, self.durable);
        self.ready().await;
    }

    /// Waits until it has read its file and answers.
    async fn ready(&self) {
        let client = client_of(self.address());
        loop {
            if TcpStream::connect(self.address()).await.is_ok()
                && let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("DBSIZE").query_async::<u64>(&mut connection).await.is_ok()
            {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(child.kill());
        drop(child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn spawn(port: u16, folder: &std::path::Path, durable: bool) -> Child {
    let mut command = Command::new(named("CHAPPE_TEST_REDIS_BIN"));
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no", "--save", "", "--dir"]);
    command.arg(folder).args(["--appendonly", if durable { "yes" } else { "no" }]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; cargo xtask test sets it"))
}

//! Clients, names, and servers of one's own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Client, Cmd, Value};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// How long anything that must come may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Where the server is, as host and port.
pub(crate) fn address() -> SocketAddr {
    address_of("CHAPPE_TEST_REDIS")
}

/// Where the server is that a variable names.
pub(crate) fn address_of(variable: &str) -> SocketAddr {
    named(variable).trim_start_matches("redis://").parse().expect("the server is on this machine")
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
    arguments: Vec<String>,
    child: Mutex<Child>,
}

impl Own {
    /// Starts one, which keeps what it has in a file or loses it when it ends.
    pub(crate) async fn start(durable: bool) -> Self {
        let kept = if durable { "yes" } else { "no" };
        Self::start_with(|_| vec!["--appendonly".to_owned(), kept.to_owned()]).await
    }

    /// Starts one with arguments that may name files in its folder.
    pub(crate) async fn start_with(arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("chappe-own-redis-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let arguments = arguments(&folder);
        let child = Mutex::new(spawn(port, &folder, &arguments));
        let own = Self { port, folder, arguments, child };
        own.ready().await;
        own
    }

    /// Has it follow another server, until it has what that has; or nobody.
    pub(crate) async fn follow(&self, primary: Option<SocketAddr>) {
        let client = client_of(self.address());
        let (host, port) = primary.map_or(("NO".to_owned(), "ONE".to_owned()), |primary| {
            (primary.ip().to_string(), primary.port().to_string())
        });
        run(&client, redis::cmd("REPLICAOF").arg(host).arg(port)).await;
        let wanted = if primary.is_some() { "master_link_status:up" } else { "role:master" };
        let mut info = redis::cmd("INFO");
        info.arg("replication");
        let followed = async {
            loop {
                let Value::BulkString(text) = run(&client, &info).await else { panic!("it is a text") };
                if String::from_utf8_lossy(&text).contains(wanted) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, followed).await.expect("it follows");
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
        *self.child.lock().unwrap() = spawn(self.port, &self.folder, &self.arguments);
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

/// Waits until a replica has all that was written before.
pub(crate) async fn replicated(server: SocketAddr) {
    let mut connection = client_of(server).get_multiplexed_async_connection().await.unwrap();
    // It waits for what the same connection wrote, which is behind all else.
    redis::cmd("SET").arg("mark").arg(1).exec_async(&mut connection).await.unwrap();
    let wait =
        async { while redis::cmd("WAIT").arg(1).arg(100).query_async::<u64>(&mut connection).await.unwrap() == 0 {} };
    timeout(PATIENCE, wait).await.expect("the replica follows");
}

/// A port for one who is told its address, which from now on is another server's.
pub(crate) struct Name {
    address: SocketAddr,
    server: watch::Sender<SocketAddr>,
    task: JoinHandle<()>,
}

impl Name {
    pub(crate) async fn of(server: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, now) = watch::channel(server);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let server = *now.borrow();
                open.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { address, server, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has new connections go to another server. Those that stand go on.
    pub(crate) fn give_to(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn spawn(port: u16, folder: &Path, arguments: &[String]) -> Child {
    let mut command = Command::new(named("CHAPPE_TEST_REDIS_BIN"));
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no", "--save", "", "--dir"]);
    command.arg(folder).args(["--repl-diskless-sync-delay", "0"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; cargo xtask test sets it"))
}

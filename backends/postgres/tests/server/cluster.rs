//! [`Cluster`], a server of a test's own, to be killed and started again.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

/// Names the folder of the server's programs.
const PROGRAMS: &str = "CHAPPE_TEST_POSTGRES_BIN";
/// What is set besides what came with the server.
const SETTINGS: &str = "postgresql.auto.conf";
/// How long it may take to start.
const START: Duration = Duration::from_secs(60);

/// A server that ends with this.
pub(crate) struct Cluster {
    folder: PathBuf,
    port: u16,
    server: Mutex<Option<Child>>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one that was changed before: its folder is `data` below the given one.
    pub(crate) async fn start_with(change: impl FnOnce(&Path)) -> Self {
        let cluster = Self::make();
        change(&cluster.folder);
        cluster.hand_over();
        cluster.again().await;
        cluster
    }

    /// Starts one and a standby of it, which has what it had at its beginning and copies what it does from then on.
    pub(crate) async fn pair() -> (Self, Self) {
        let (primary, standby) = (Self::make(), Self::place());
        // Neither is to survive more than its own end, and waiting for the disk takes long.
        let quick = "fsync = off\n";
        std::fs::write(primary.data().join(SETTINGS), quick).expect("there is room for a file");
        run(Command::new("cp").arg("-R").arg(primary.data()).arg(standby.data()), true);
        let follow = format!("{quick}primary_conninfo = 'host=127.0.0.1 port={} user=postgres'\n", primary.port);
        for (file, text) in [("standby.signal", ""), (SETTINGS, &*follow)] {
            std::fs::write(standby.data().join(file), text).expect("there is room for a file");
        }
        standby.hand_over();
        primary.again().await;
        standby.again().await;
        (primary, standby)
    }

    /// Where its files are; `data` below is the server's.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends the server at once, as a crash does, with all its sessions, and waits for its end.
    pub(crate) fn crash(&self) {
        self.end("QUIT");
    }

    /// Kills the server as nothing else does.
    pub(crate) fn kill(&self) {
        self.end("KILL");
    }

    /// A place with the files of a server.
    fn make() -> Self {
        let cluster = Self::place();
        let mut initdb = cluster.program("initdb");
        initdb.arg("-D").arg(cluster.data()).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]);
        run(initdb.stdout(Stdio::null()), true);
        cluster
    }

    /// A place where there is nothing yet.
    fn place() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("there is a port").port();
        let folder = std::env::temp_dir().join(format!("chappe-cluster-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("there is room for a folder");
        let cluster = Self { folder, port, server: Mutex::new(None) };
        cluster.hand_over();
        cluster
    }

    /// Has all files belong to who runs the server.
    fn hand_over(&self) {
        run(Command::new("chown").args(["-R", user()]).arg(&self.folder), is_root());
    }

    /// Starts it again, and waits until it answers.
    pub(crate) async fn again(&self) {
        let since = Instant::now();
        self.spawn();
        while tokio_postgres::connect(&self.url(), NoTls).await.is_err() {
            assert!(since.elapsed() < START, "the server did not start: {}", self.log());
            // What is left of one that was killed may still be in its way.
            if self.has_ended() {
                self.spawn();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn spawn(&self) {
        let port = self.port.to_string();
        let mut server = self.program("postgres");
        server.arg("-D").arg(self.data()).args(["-p", &port, "-c", "listen_addresses=127.0.0.1"]);
        let log = File::create(self.folder.join("log")).expect("there is room for a log");
        server.arg("-k").arg(&self.folder).stdout(Stdio::null()).stderr(log);
        *self.lock() = Some(server.spawn().expect("the server starts"));
    }

    fn has_ended(&self) -> bool {
        self.lock().as_mut().is_none_or(|server| server.try_wait().is_ok_and(|status| status.is_some()))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, signal: &str) {
        let server = self.lock().take();
        if let Some(mut server) = server {
            // A child that is not waited for yet, so that the number is its own.
            run(Command::new("kill").args(["-s", signal, &server.id().to_string()]), true);
            server.wait().expect("a child can be waited for");
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program of the server, as somebody else if we are root: it refuses that.
    fn program(&self, name: &str) -> Command {
        let programs =
            std::env::var(PROGRAMS).unwrap_or_else(|_| panic!("{PROGRAMS} is not set: run by cargo xtask test"));
        let path = Path::new(&programs).join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let user = user();
            let group = answer(Command::new("id").args(["-g", user]));
            command.args(["--reuid", user, "--regid", &group, "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end("INT");
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn is_root() -> bool {
    answer(Command::new("id").arg("-u")) == "0"
}

/// Who runs the server where we are root.
fn user() -> &'static str {
    if answer(Command::new("id").args(["-u", "postgres"]).stderr(Stdio::null())).is_empty() {
        "nobody"
    } else {
        "postgres"
    }
}

fn answer(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error: io::Error| panic!("{command:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn run(command: &mut Command, wanted: bool) {
    if wanted {
        let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(status.success(), "{command:?} ended with {status}");
    }
}

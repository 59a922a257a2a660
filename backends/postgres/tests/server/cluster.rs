//! [`Cluster`], a server of a test's own, to be killed and started again.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

/// Names the folder of the server's programs.
const PROGRAMS: &str = "CHAPPE_TEST_POSTGRES_BIN";
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
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("there is a port").port();
        let folder = std::env::temp_dir().join(format!("chappe-cluster-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("there is room for a folder");
        let cluster = Self { folder, port, server: Mutex::new(None) };
        run(Command::new("chown").arg(user()).arg(&cluster.folder), is_root());
        let data = cluster.data();
        let mut initdb = cluster.program("initdb");
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]);
        run(initdb.stdout(Stdio::null()), true);
        cluster.again().await;
        cluster
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends the server at once, as a crash does, with all its sessions, and waits for its end.
    pub(crate) fn crash(&self) {
        self.end("QUIT");
    }

    /// Starts it again, and waits until it answers.
    pub(crate) async fn again(&self) {
        let port = self.port.to_string();
        let mut server = self.program("postgres");
        server.arg("-D").arg(self.data()).args(["-p", &port, "-c", "listen_addresses=127.0.0.1"]);
        server.arg("-k").arg(&self.folder).stdout(Stdio::null()).stderr(Stdio::null());
        let child = server.spawn().expect("the server starts");
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let since = Instant::now();
        while tokio_postgres::connect(&self.url(), NoTls).await.is_err() {
            assert!(since.elapsed() < START, "the server did not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn end(&self, signal: &str) {
        if let Some(mut server) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() {
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

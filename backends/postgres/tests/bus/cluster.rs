//! A server of one's own, to be stopped and started.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::{Config, NoTls};

use crate::support::{PATIENCE, fresh_name};

/// Names the folder of the server's programs.
const BIN: &str = "CHAPPE_TEST_POSTGRES_BIN";

/// A server, stopped and removed when it is dropped.
pub(crate) struct Cluster {
    folder: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let folder = std::env::temp_dir().join(fresh_name());
        std::fs::create_dir(&folder).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut cluster = Self { folder, port, server: None };
        if let Some(user) = other_user() {
            assert!(Command::new("chown").arg(user).arg(&cluster.folder).status().unwrap().success());
        }
        let mut initdb = cluster.command("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]);
        assert!(initdb.status().unwrap().success(), "initdb failed");
        cluster.restart().await;
        cluster
    }

    pub(crate) fn config(&self) -> Config {
        Config::new().host("127.0.0.1").port(self.port).user("postgres").dbname("postgres").clone()
    }

    /// Starts it, if it does not run, and waits until it answers.
    pub(crate) async fn restart(&mut self) {
        let mut server = self.command("postgres");
        server.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        server.arg("-k").arg(&self.folder);
        self.server = Some(server.spawn().unwrap());
        let answers = async {
            while self.config().connect(NoTls).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, answers).await.expect("the server does not come up");
    }

    /// Stops it at once, as a crash does.
    pub(crate) fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            // An immediate shutdown ends its children too, which a kill would leave behind.
            let signalled = Command::new("kill").args(["-QUIT", &server.id().to_string()]).status();
            if !signalled.is_ok_and(|status| status.success()) {
                drop(server.kill());
            }
            drop(server.wait());
        }
    }

    fn command(&self, program: &str) -> Command {
        let bin = std::env::var_os(BIN).unwrap_or_else(|| panic!("{BIN} is not set; it names the folder of {program}"));
        let program = PathBuf::from(bin).join(program);
        let mut command = match other_user() {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", user, "--clear-groups", "--pdeathsig", "QUIT"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("-D").arg(self.folder.join("data")).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.crash();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Who runs the server, which refuses to be root.
fn other_user() -> Option<&'static str> {
    let is = |arguments: &[&str], answer: &[u8]| {
        Command::new("id").args(arguments).output().is_ok_and(|output| output.stdout.trim_ascii() == answer)
    };
    is(&["-u"], b"0").then(|| if is(&["-un", "postgres"], b"postgres") { "postgres" } else { "nobody" })
}

//! PostgreSQL: a cluster of its own, as durable as it comes out of the box.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Service, Site, apt};

/// The oldest first, so that the newest is found last.
const FOLDER: &str = "/usr/lib/postgresql";

/// The server refuses to be root, so that root becomes somebody else first, and a script begins anew.
const PRELUDE: &str = r#"
if [ "$(id -u)" = 0 ]; then
    user=nobody; id -u postgres >/dev/null 2>&1 && user=postgres
    chown "$user" "$DATA"
    exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --pdeathsig TERM sh -c "$SCRIPT"
fi
set -e
"$BIN/initdb" -D "$DATA/cluster" -U postgres -A trust -E UTF8 --no-locale -N >/dev/null
"#;

/// Stops the server fast: by its own rules it would wait for clients to leave.
const SCRIPT: &str = r#"
child=
trap 'kill -INT $child; wait $child' TERM INT
"$BIN/postgres" -D "$DATA/cluster" -p "$PORT" -k "$DATA" -c listen_addresses=127.0.0.1 -c max_connections=300 &
child=$!
wait $child
"#;

pub(super) const SERVICE: Service = Service {
    name: "postgres",
    program: "PostgreSQL",
    variable: "CHAPPE_TEST_POSTGRES",
    needs: &["PostgreSQL"],
    packages: &["chappe", "chappe-postgres"],
    optional: false,
    install,
    command,
    ready,
    url,
    settings,
};

pub(super) fn install(_: &Path) -> Result<()> {
    if binaries().is_none() {
        apt::install(&["postgresql"])?;
    }
    binaries().map(drop).with_context(|| format!("neither the PATH nor {FOLDER} has `initdb` and `postgres`"))
}

fn command(site: &Site<'_>) -> Command {
    script(site, SCRIPT)
}

/// Makes a cluster in the folder of a site and goes on with `rest`, as somebody the server accepts.
pub(super) fn script(site: &Site<'_>, rest: &str) -> Command {
    let script = [PRELUDE, rest].concat();
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(site.data).env("SCRIPT", &script);
    command.env("BIN", binaries().unwrap_or_default()).env("DATA", site.data).env("PORT", site.port.to_string());
    command
}

/// It accepts connections for a while before it serves them, and says so in its first byte.
pub(super) fn ready(port: u16) -> bool {
    let hello = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        // Version 3.0 of the protocol, and who is there.
        let hello = [&196_608_u32.to_be_bytes()[..], b"user\0postgres\0\0"].concat();
        let length = u32::try_from(hello.len() + 4).unwrap_or(u32::MAX);
        stream.write_all(&[&length.to_be_bytes()[..], &hello].concat())?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    };
    hello().is_ok_and(|answer| answer == b'R')
}

pub(super) fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

/// Where the programs are, for tests that run a server of their own.
fn settings(_: &str) -> Vec<(&'static str, String)> {
    let folder = binaries().unwrap_or_default();
    vec![("CHAPPE_TEST_POSTGRES_BIN", folder.to_string_lossy().into_owned())]
}

/// The folder of the server's programs: of the PATH, or the newest of Debian's.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect();
    folders
        .sort_by_key(|folder| folder.parent().and_then(|version| version.file_name()?.to_str()?.parse::<u32>().ok()));
    let complete = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    std::env::split_paths(&path).find(complete).or_else(|| folders.into_iter().rfind(complete))
}

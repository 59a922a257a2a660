//! PgBouncer as it is usually run: by transactions, with fewer sessions than it has clients. The PostgreSQL behind
//! it is one of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Service, Site, apt, postgres};

/// Where Debian has it, which is not on every path.
const FOLDER: &str = "/usr/sbin";

/// A transaction has either of two sessions; in the database `direct` a client has one to itself.
const SCRIPT: &str = r#"
cat >"$DATA/pgbouncer.ini" <<INI
[databases]
postgres = host=$DATA port=$PORT dbname=postgres user=postgres
direct = host=$DATA port=$PORT dbname=postgres user=postgres pool_mode=session pool_size=80
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $PORT
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
server_login_retry = 1
max_client_conn = 500
INI
server= pooler=
trap 'kill -INT $pooler $server; wait' TERM INT
"$BIN/postgres" -D "$DATA/cluster" -p "$PORT" -k "$DATA" -c listen_addresses= &
server=$!
"$PGBOUNCER" "$DATA/pgbouncer.ini" &
pooler=$!
wait $pooler
"#;

pub(super) const SERVICE: Service = Service {
    name: "pgbouncer",
    program: "PgBouncer",
    variable: "CHAPPE_TEST_PGBOUNCER",
    needs: &["PgBouncer"],
    packages: &["chappe-postgres"],
    optional: true,
    install,
    command,
    ready: postgres::ready,
    url: postgres::url,
    settings: |_| Vec::new(),
};

fn install(folder: &Path) -> Result<()> {
    postgres::install(folder)?;
    if program().is_none() {
        apt::install(&["pgbouncer"])?;
    }
    program().map(drop).with_context(|| format!("neither the PATH nor {FOLDER} has `pgbouncer`"))
}

fn command(site: &Site<'_>) -> Command {
    let mut command = postgres::script(site, SCRIPT);
    command.env("PGBOUNCER", program().unwrap_or_default());
    command
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([FOLDER.into()]);
    folders.map(|folder| folder.join("pgbouncer")).find(|file| file.is_file())
}

//! Whether a server is one we can work with.

use chappe_core::{Error, ErrorKind};
use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};

use crate::error::{CONNECT, classify};

/// The oldest version that tells who has had a message for how long, without taking it.
const OLDEST: (u32, u32) = (6, 2);

/// How long the server may take to say what it is.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// What tells a server from one that is elsewhere or was started again, if it says.
pub(crate) type Run = Option<String>;

/// Refuses servers that are too old or of several nodes, before they are asked for anything. One that does not
/// tell what it is, for want of rights, is taken as it is.
pub(crate) async fn check(connection: &mut MultiplexedConnection, name: &str, place: &str) -> Result<Run, Error> {
    let mut info = cmd("INFO");
    info.arg("server");
    let answer = tokio::time::timeout(PATIENCE, connection.send_packed_command(&info)).await.map_err(|_| {
        Error::new(ErrorKind::Timeout, format!("cannot connect for {name}: {place} does not say what it is"))
    })?;
    let text = match answer.and_then(Value::extract_error) {
        Ok(Value::BulkString(text)) => String::from_utf8_lossy(&text).into_owned(),
        Ok(Value::VerbatimString { text, .. }) => text,
        Err(error) if error.code() != Some("NOPERM") && error.code() != Some("ERR") => {
            return Err(classify(error, CONNECT, name, place));
        }
        _ => return Ok(None),
    };
    judge(&text, name, place)?;
    Ok(field(&text, "run_id").map(ToOwned::to_owned))
}

fn field<'a>(info: &'a str, wanted: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(wanted)?.strip_prefix(':'))
}

fn judge(info: &str, name: &str, place: &str) -> Result<(), Error> {
    let field = |wanted: &str| field(info, wanted);
    if let Some(version) = field("redis_version") {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < OLDEST {
            let text = format!(
                "cannot connect for {name}: {place} is Redis {version}, {}.{} or newer is needed",
                OLDEST.0, OLDEST.1
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
    }
    if field("redis_mode") == Some("cluster") {
        let text = format!(
            "cannot connect for {name}: {place} is a node of a cluster, which is not supported; use a single server, \
             with replicas or Sentinel behind its name"
        );
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_too_old_or_of_several_nodes_are_refused_by_what_is_wrong() {
        let judged = |info: &str| judge(info, "queue orders", "localhost:6379").map_err(|error| error.to_string());

        assert_eq!(judged("# Server\r\nredis_version:6.2.0\r\nredis_mode:standalone\r\n"), Ok(()));
        assert_eq!(judged("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n"), Ok(()));
        assert_eq!(judged(""), Ok(()));
        let old = judged("redis_version:6.0.16\r\n").unwrap_err();
        assert!(old.contains("is Redis 6.0.16, 6.2 or newer is needed"), "{old}");
        let cluster = judged("redis_version:7.0.15\r\nredis_mode:cluster\r\n").unwrap_err();
        assert!(cluster.contains("node of a cluster"), "{cluster}");
    }
}

//! The server, and what it tells of itself.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, cmd};

pub fn url() -> String {
    std::env::var("CHAPPE_TEST_REDIS")
        .expect("CHAPPE_TEST_REDIS is the URL of a server; cargo xtask bench redis sets it")
}

pub fn client() -> Client {
    Client::open(url()).expect("it is a URL")
}

/// A connection whose commands may take as long as they like.
pub async fn connect() -> MultiplexedConnection {
    let info = client().get_connection_info().clone();
    let settings = info.tcp_settings().clone().set_nodelay(true);
    let client = Client::open(info.set_tcp_settings(settings)).expect("it is a URL");
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await.expect("the server is there")
}

/// How many commands it has run, those of scripts included.
pub async fn commands() -> u64 {
    let info: String = cmd("INFO").arg("stats").query_async(&mut connect().await).await.expect("it tells");
    let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.and_then(|count| count.trim().parse().ok()).expect("it counts")
}

/// Removes the keys of a queue.
pub async fn forget(queue: &str) {
    let mut connection = connect().await;
    for key in [format!("{{{queue}}}:s"), queue.to_owned()] {
        let _: u64 = cmd("UNLINK").arg(key).query_async(&mut connection).await.expect("it is removed");
    }
}

/// Seconds it has had of the processor.
pub async fn processor() -> f64 {
    let info: String = cmd("INFO").arg("cpu").query_async(&mut connect().await).await.expect("it tells");
    let own = info.lines().filter(|line| line.starts_with("used_cpu_user:") || line.starts_with("used_cpu_sys:"));
    own.filter_map(|line| line.split(':').nth(1)?.trim().parse::<f64>().ok()).sum()
}

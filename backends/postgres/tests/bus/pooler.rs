//! A pooler that hands out sessions by transaction, as PgBouncer may.

use chappe_core::ErrorKind;
use chappe_core::backend::{Broadcast, SubscribeOptions};
use chappe_postgres::{PgBus, PgConfig, PgStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::config::Host;

use crate::support::{at, config, fresh_name, next, publish, raw_config, subscribe};

/// What the server says when it waits for a statement.
const READY: u8 = b'Z';
/// What a client says that sends a statement without parameters, or the end of one with.
const ENDS: [u8; 2] = [b'Q', b'S'];

/// A pooler with two sessions to the server, of which each transaction has the next.
async fn pooler() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // A client that goes away ends it.
            tokio::spawn(async move { drop(serve(client).await) });
        }
    });
    address
}

async fn serve(mut client: TcpStream) -> std::io::Result<()> {
    let config = raw_config();
    let Host::Tcp(host) = &config.get_hosts()[0] else { panic!("the server has no TCP address") };
    let length = client.read_u32().await?;
    let mut start = length.to_be_bytes().to_vec();
    start.resize(length as usize, 0);
    client.read_exact(&mut start[4..]).await?;
    let mut servers = Vec::new();
    for _ in 0..2 {
        let mut server = TcpStream::connect((host.as_str(), config.get_ports()[0])).await?;
        server.write_all(&start).await?;
        let answer = until(&mut server, &[READY]).await?;
        if servers.is_empty() {
            client.write_all(&answer).await?;
        }
        servers.push(server);
    }
    loop {
        let statement = until(&mut client, &ENDS).await?;
        servers[0].write_all(&statement).await?;
        let answer = until(&mut servers[0], &[READY]).await?;
        client.write_all(&answer).await?;
        servers.swap(0, 1);
    }
}

/// Messages up to one of these kinds.
async fn until(from: &mut TcpStream, kinds: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        bytes.push(kind);
        bytes.extend(length.to_be_bytes());
        let body = bytes.len();
        bytes.resize(body + length as usize - 4, 0);
        from.read_exact(&mut bytes[body..]).await?;
        if kinds.contains(&kind) {
            return Ok(bytes);
        }
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_pooler_that_loses_what_is_listened_to_is_found_out() {
    let pooled = PgStore::new(PgConfig::new(&at(&raw_config(), pooler().await)));
    let bus = PgBus::new(&pooled, fresh_name());

    let error = bus.subscribe("t", SubscribeOptions::new()).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("direct connection"), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn all_but_listening_works_through_a_pooler() {
    let pooled = PgStore::new(PgConfig::new(&at(&raw_config(), pooler().await)));
    let topic = fresh_name();
    let bus = PgBus::new(&pooled, topic.as_str()).direct(config());
    let mut subscription = subscribe(&bus, &topic).await;

    for _ in 0..4 {
        publish(&bus, ["small".to_owned(), "x".repeat(9_000)]).await;
    }

    assert_eq!(next(&mut subscription, 8).await, ["small", "9000 bytes"].repeat(4));
}

//! Every fault of the relay, against an echo server. Real sockets, so real time, a few milliseconds each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chappe_conformance::{Direction, Relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Long enough for loopback, short enough for a test that expects silence.
const SOON: Duration = Duration::from_millis(10);

async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    addr
}

async fn relayed() -> (Relay, TcpStream) {
    let relay = Relay::to(echo_server().await).await.unwrap();
    let mut client = TcpStream::connect(relay.addr()).await.unwrap();
    client.set_nodelay(true).unwrap();
    echo(&mut client, b"hello").await;
    (relay, client)
}

async fn echo(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).await.unwrap();
    let mut back = vec![0; bytes.len()];
    client.read_exact(&mut back).await.unwrap();
    assert_eq!(back, bytes);
}

#[tokio::test]
async fn bytes_and_connections_are_passed_on_and_counted() {
    let (relay, mut client) = relayed().await;
    let big = vec![7; 1_000_000];

    let (mut from, mut to) = client.split();
    let mut back = vec![0; big.len()];
    let (sent, received) = tokio::join!(to.write_all(&big), from.read_exact(&mut back));
    sent.unwrap();
    received.unwrap();

    assert_eq!(back, big);
    assert_eq!(relay.connections(), 1);
    assert_eq!(relay.bytes(Direction::ToServer), 1_000_005);
    assert_eq!(relay.bytes(Direction::Both), 2_000_010);
}

#[tokio::test]
async fn half_a_close_is_passed_on() {
    let (_relay, mut client) = relayed().await;

    client.write_all(b"last words").await.unwrap();
    client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();

    assert_eq!(rest, b"last words");
}

#[tokio::test]
async fn a_cut_resets_open_connections_and_lets_new_ones_through() {
    let (relay, mut client) = relayed().await;

    relay.cut();

    assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut again = TcpStream::connect(relay.addr()).await.unwrap();
    echo(&mut again, b"again").await;
    assert_eq!(relay.connections(), 2);
}

#[tokio::test]
async fn a_black_hole_is_silent_and_what_was_sent_arrives_after_it() {
    let (relay, mut client) = relayed().await;

    relay.blackhole(Direction::ToClient);
    client.write_all(b"late").await.unwrap();
    let mut back = [0; 4];
    let silent = timeout(SOON, client.read_exact(&mut back)).await.is_err();
    relay.heal().await;
    client.read_exact(&mut back).await.unwrap();

    assert!(silent, "nothing may come back through a black hole");
    assert_eq!(&back, b"late");
}

#[tokio::test]
async fn a_black_hole_swallows_the_news_of_a_close() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::to(server.local_addr().unwrap()).await.unwrap();
    let client = TcpStream::connect(relay.addr()).await.unwrap();
    let (mut served, _) = server.accept().await.unwrap();

    relay.blackhole(Direction::ToServer);
    drop(client);

    let mut buffer = [0; 1];
    assert!(timeout(SOON, served.read(&mut buffer)).await.is_err(), "the server heard of the close");
    relay.heal().await;
    assert_eq!(served.read(&mut buffer).await.unwrap(), 0);
}

#[tokio::test]
async fn a_delay_holds_every_byte_back_and_does_not_add_up() {
    let (relay, mut client) = relayed().await;
    relay.delay(Duration::from_millis(4));

    let start = Instant::now();
    for _ in 0..20 {
        client.write_all(b"x").await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut back = [0; 20];
    client.read_exact(&mut back).await.unwrap();
    let took = start.elapsed();

    assert!(took >= Duration::from_millis(8), "4 ms each way took {took:?}");
    assert!(took < Duration::from_millis(80), "twenty pipelined bytes took {took:?}, as long as one by one");
}

#[tokio::test]
async fn bandwidth_is_limited_per_direction() {
    let (relay, mut client) = relayed().await;
    relay.bandwidth(100_000);

    let start = Instant::now();
    echo(&mut client, &[1; 2_000]).await;
    let took = start.elapsed();

    assert!(took >= Duration::from_millis(15), "2000 bytes at 100 kB/s took {took:?}");
}

#[tokio::test]
async fn a_connection_is_cut_after_exactly_so_many_bytes() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::to(server.local_addr().unwrap()).await.unwrap();
    let mut client = TcpStream::connect(relay.addr()).await.unwrap();
    let (mut served, _) = server.accept().await.unwrap();

    relay.cut_after(7, Direction::ToServer);
    client.write_all(b"0123456789").await.unwrap();
    let mut got = Vec::new();
    let end = served.read_to_end(&mut got).await;

    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(got, b"0123456");
    let mut again = TcpStream::connect(relay.addr()).await.unwrap();
    let (mut served, _) = server.accept().await.unwrap();
    again.write_all(b"0123456789").await.unwrap();
    assert_eq!(served.read(&mut [0; 16]).await.unwrap(), 10, "it cuts once");
}

#[tokio::test]
async fn new_connections_are_refused_while_open_ones_go_on() {
    let (relay, mut client) = relayed().await;

    relay.refuse().await;
    let refused = TcpStream::connect(relay.addr()).await.map(drop);
    echo(&mut client, b"still here").await;
    relay.heal().await;
    let mut again = TcpStream::connect(relay.addr()).await.unwrap();

    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    echo(&mut again, b"open again").await;
}

#[tokio::test]
async fn a_server_that_is_down_resets_the_client() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = free.local_addr().unwrap();
    drop(free);
    let relay = Relay::to(addr).await.unwrap();

    let mut client = TcpStream::connect(relay.addr()).await.unwrap();

    assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_dropped_relay_ends_its_connections_and_frees_its_port() {
    let (relay, mut client) = relayed().await;
    let addr = relay.addr();

    drop(relay);

    assert!(client.read_u8().await.is_err());
    assert_eq!(TcpStream::connect(addr).await.map(drop).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

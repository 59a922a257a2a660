//! [`Relay`], a TCP relay that misbehaves on demand.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

mod pipe;
mod state;

pub use state::Direction;

use state::{Faults, State};

const BACKLOG: u32 = 1024;

/// A TCP relay between a client and a real server, with faults that are switched while it runs.
///
/// Point the client at [`addr`](Self::addr) instead of the server. Faults add up until [`heal`](Self::heal).
/// Dropping the relay ends it and every connection through it.
///
/// The relay lives on real sockets, so it needs real time: not for tests under a paused clock.
///
/// # Examples
///
/// ```
/// use chappe_conformance::Relay;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = TcpListener::bind("127.0.0.1:0").await?;
/// let relay = Relay::to(server.local_addr()?).await?;
///
/// let mut client = TcpStream::connect(relay.addr()).await?;
/// let (mut served, _) = server.accept().await?;
/// client.write_all(b"x").await?;
/// assert_eq!(served.read_u8().await?, b'x');
///
/// relay.cut();
/// assert!(served.read_u8().await.is_err());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    state: Arc<State>,
    accepting: watch::Receiver<bool>,
    task: AbortHandle,
}

impl Relay {
    /// Listens on a free port of the loopback interface and relays every connection to `target`.
    ///
    /// # Errors
    ///
    /// `target` has no address, or no port is free.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no relay.
    pub async fn to(target: impl ToSocketAddrs) -> io::Result<Self> {
        let target = lookup_host(target)
            .await?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "relay target has no address"))?;
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State::new());
        let (report, accepting) = watch::channel(true);
        let task = tokio::spawn(accept(listener, addr, target, Arc::clone(&state), report)).abort_handle();
        Ok(Self { addr, state, accepting, task })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resets every open connection, towards both ends. New ones are relayed as before.
    pub fn cut(&self) {
        self.state.cut();
    }

    /// Lets nothing through in a direction, not even that a connection was closed, until healed.
    ///
    /// As on a network, what was sent meanwhile arrives afterwards; new connections are accepted and silent.
    pub fn blackhole(&self, direction: Direction) {
        self.state.change(|faults| direction.each(|side| faults.held[side] = true));
    }

    /// Has every byte, in both directions, arrive this much later. Pipelined requests are not slowed more
    /// than that.
    pub fn delay(&self, by: Duration) {
        self.state.change(|faults| faults.delay = by);
    }

    /// Limits what each connection carries in each direction.
    pub fn bandwidth(&self, bytes_per_s: u64) {
        self.state.change(|faults| faults.bytes_per_s = Some(bytes_per_s.max(1)));
    }

    /// Lets this many more bytes through in a direction, over all connections together, and then
    /// [cuts](Self::cut), once. With [`Direction::Both`] each direction has its own count, and the first to
    /// reach it cuts.
    pub fn cut_after(&self, bytes: u64, direction: Direction) {
        self.state.arm(bytes, direction);
    }

    /// Refuses new connections, as a server that is not running does. Open ones go on; [cut](Self::cut) them
    /// too for a crash.
    ///
    /// # Cancel safety
    ///
    /// Dropped, connections are refused soon instead of from now on.
    pub async fn refuse(&self) {
        self.state.change(|faults| faults.refuse = true);
        self.wait_until_accepting(false).await;
    }

    /// Takes all faults back.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the relay heals all the same.
    pub async fn heal(&self) {
        self.state.disarm();
        self.state.change(Faults::heal);
        self.wait_until_accepting(true).await;
    }

    /// How many connections were accepted in all.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections()
    }

    /// How many bytes were passed on in a direction.
    #[must_use]
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.state.bytes(direction)
    }

    async fn wait_until_accepting(&self, wanted: bool) {
        // An error means that the runtime is going down, and there is nothing left to wait for.
        let _ = self.accepting.clone().wait_for(|&accepting| accepting == wanted).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    mut listener: TcpListener,
    addr: SocketAddr,
    target: SocketAddr,
    state: Arc<State>,
    accepting: watch::Sender<bool>,
) {
    let mut faults = state.subscribe();
    let mut open = JoinSet::new();
    loop {
        if faults.borrow_and_update().refuse {
            // Bound but not listening: connecting is refused, and the port stays ours.
            drop(listener);
            let idle = bind(addr).expect("the port was ours a moment ago");
            accepting.send_replace(false);
            let _ = faults.wait_for(|faults| !faults.refuse).await;
            listener = idle.listen(BACKLOG).expect("a bound socket can listen");
            accepting.send_replace(true);
        }
        tokio::select! {
            biased;
            _ = faults.changed() => {}
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    state.count_connection();
                    open.spawn(serve(client, target, Arc::clone(&state)));
                }
            }
        }
    }
}

async fn serve(client: TcpStream, target: SocketAddr, state: Arc<State>) {
    let mut faults = state.subscribe();
    let cuts = faults.borrow_and_update().cuts;
    let cut = async move {
        let _ = faults.wait_for(|faults| faults.cuts != cuts).await;
    };
    let server = TcpStream::connect(target).await;
    pipe::run(client, server, &state, cut).await;
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

//! One relayed connection.

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::state::{Faults, State, TO_CLIENT, TO_SERVER};

/// Read at a time, in bytes.
const CHUNK: usize = 16 * 1024;
/// How many chunks may be under way in one direction, which is what a slow or silent network holds.
const UNDER_WAY: usize = 64;

/// Relays until both ends are done or `cut` resolves. `server` is what connecting to it came to.
pub(super) async fn run(
    mut client: TcpStream,
    server: io::Result<TcpStream>,
    state: &State,
    cut: impl Future<Output = ()>,
) {
    let Ok(mut server) = server else {
        reset(&client);
        return;
    };
    // A relay that held small packets back would change what it is there to observe.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let relayed = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            tokio::try_join!(
                pump(TO_SERVER, from_client, to_server, state),
                pump(TO_CLIENT, from_server, to_client, state)
            )
        };
        tokio::select! {
            biased;
            () = cut => Err(io::ErrorKind::ConnectionReset.into()),
            done = both => done,
        }
    };
    if relayed.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Passes on what arrives, each chunk when the faults let it.
async fn pump(side: usize, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, state: &State) -> io::Result<()> {
    let (queue, mut queued) = mpsc::channel(UNDER_WAY);
    let read = async move {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            // An end that resets says no more than one that closes: the news has to pass the faults as well.
            if !matches!(from.read_buf(&mut chunk).await, Ok(1..)) {
                return Ok(());
            }
            if queue.send((Instant::now(), chunk.freeze())).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async {
        let mut faults = state.subscribe();
        let mut last = Instant::now();
        while let Some((arrived, chunk)) = queued.recv().await {
            last = arrived;
            forward(side, arrived, chunk, &mut to, state, &mut faults).await?;
        }
        due(side, last, &mut faults).await;
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

async fn forward(
    side: usize,
    arrived: Instant,
    mut chunk: Bytes,
    to: &mut WriteHalf<'_>,
    state: &State,
    faults: &mut watch::Receiver<Faults>,
) -> io::Result<()> {
    while chunk.has_remaining() {
        due(side, arrived, faults).await;
        let bytes_per_s = faults.borrow().bytes_per_s;
        // A twentieth of a second's worth at a time, so that a limited stream flows instead of jumping.
        let most = bytes_per_s.map_or(chunk.len(), |limit| usize::try_from(limit / 20).unwrap_or(usize::MAX).max(1));
        let (granted, last) = state.spend(side, chunk.len().min(most));
        if let Some(limit) = bytes_per_s {
            sleep(Duration::from_secs_f64(granted as f64 / limit as f64)).await;
        }
        to.write_all(&chunk[..granted]).await?;
        state.count_passed(side, granted);
        chunk.advance(granted);
        if last {
            state.cut();
            pending::<()>().await;
        }
    }
    Ok(())
}

/// Waits until what arrived at `arrived` may pass, by the faults as they are and as they change.
async fn due(side: usize, arrived: Instant, faults: &mut watch::Receiver<Faults>) {
    loop {
        let due = {
            let faults = faults.borrow_and_update();
            (!faults.held[side]).then_some(arrived + faults.delay)
        };
        let passes = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = passes => return,
            _ = faults.changed() => {}
        }
    }
}

/// Has the socket reset instead of closed when it is dropped.
fn reset(socket: &TcpStream) {
    let _ = socket.set_zero_linger();
}

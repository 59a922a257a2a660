//! What a part of a run takes: time, and the processor's on both sides, which tells more on a machine that has
//! other work.

use std::time::{Duration, Instant};

use crate::contender::connect;

/// Runs while the work is done.
pub struct Watch {
    processor: [f64; 2],
    begun: Instant,
}

/// What the work took.
#[derive(Clone, Copy)]
pub struct Taken {
    pub time: Duration,
    /// Seconds of the server's and of our own.
    pub processor: [f64; 2],
}

/// The median of the rounds: messages a second, and microseconds of the processor a message.
#[derive(Clone, Copy)]
pub struct Rate {
    pub rate: f64,
    pub processor: [f64; 2],
}

impl Watch {
    pub async fn start() -> Self {
        Self { processor: processor().await, begun: Instant::now() }
    }

    pub async fn stop(self) -> Taken {
        let time = self.begun.elapsed();
        let [server, own] = processor().await;
        Taken { time, processor: [server - self.processor[0], own - self.processor[1]] }
    }
}

impl Rate {
    pub fn of(messages: usize, mut rounds: Vec<Taken>) -> Self {
        let messages = messages as f64;
        rounds.sort_unstable_by_key(|taken| taken.time);
        let rate = messages / rounds[rounds.len() / 2].time.as_secs_f64();
        let processor = [0, 1].map(|side| {
            rounds.sort_unstable_by(|one, other| one.processor[side].total_cmp(&other.processor[side]));
            rounds[rounds.len() / 2].processor[side] * 1e6 / messages
        });
        Self { rate, processor }
    }
}

/// The server's is that of its first process, of all that it has started and are there, and of those that are not.
async fn processor() -> [f64; 2] {
    let backend: i32 = connect().await.query_one("SELECT pg_backend_pid()", &[]).await.expect("it has one").get(0);
    let first = Process::read(&backend.to_string()).map_or(0, |backend| backend.parent);
    let mut server = Process::read(&first.to_string()).map_or(0, |first| first.own + first.gone);
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry.file_name().to_str().and_then(Process::read);
        server += process.filter(|process| process.parent == first).map_or(0, |process| process.own);
    }
    let own = Process::read("self").map_or(0, |process| process.own);
    [server, own].map(|ticks| ticks as f64 / 100.0)
}

/// A process, with times in ticks of 10 ms.
struct Process {
    parent: u64,
    own: u64,
    /// Of its children that have ended.
    gone: u64,
}

impl Process {
    fn read(name: &str) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).ok()?;
        // Behind the name in brackets.
        let fields: Vec<u64> =
            stat.rsplit(')').next()?.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let sum = |from: usize| fields.get(from..from + 2).map(|pair| pair.iter().sum());
        Some(Self { parent: *fields.get(1)?, own: sum(11)?, gone: sum(13)? })
    }
}

//! What a part of a run takes: time, and the processor's on both sides, which tells more on a machine that has
//! other work. Part of each comparison that goes over a network; `server::processor` is its own.

use std::time::{Duration, Instant};

use crate::server;

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
        Self { processor: [server::processor().await, own()], begun: Instant::now() }
    }

    pub async fn stop(self) -> Taken {
        let time = self.begun.elapsed();
        let [server, own] = [server::processor().await, own()];
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

/// Seconds of our own, of user and of system.
fn own() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Ticks of 10 ms, behind the name in brackets.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

//! What a part of a run takes: time, and our processor's, which tells more where the server is what is waited for.

use std::time::{Duration, Instant};

/// Runs while the work is done.
pub struct Watch {
    processor: f64,
    begun: Instant,
}

/// What the work took.
#[derive(Clone, Copy)]
pub struct Taken {
    pub time: Duration,
    /// Seconds.
    pub processor: f64,
}

impl Watch {
    pub fn start() -> Self {
        Self { processor: processor(), begun: Instant::now() }
    }

    pub fn stop(self) -> Taken {
        Taken { time: self.begun.elapsed(), processor: processor() - self.processor }
    }
}

fn processor() -> f64 {
    // Ticks of 10 ms, of user and of system, behind the name in brackets.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

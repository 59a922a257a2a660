//! Shows how it went, to people and to scripts.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use chappe::server::Report;
use serde_json::{Value, json};

use crate::cli::Format;

/// How it went.
pub(crate) struct Summary {
    pub(crate) top: Vec<(Bytes, u64)>,
    pub(crate) distinct: usize,
    /// How many lines were split, and how many words counted.
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) elapsed: Duration,
    /// Interrupted: the counts are those of what was read until then.
    pub(crate) partial: bool,
    /// Messages in the queues that nobody handled, after a second interrupt.
    pub(crate) left: usize,
    pub(crate) split: Report,
    pub(crate) count: Report,
}

impl Summary {
    /// Writes the summary to `out`.
    pub(crate) fn write(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Text => self.write_text(out),
            Format::Json => writeln!(out, "{}", self.to_json()),
        }
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        if self.partial {
            writeln!(out, "interrupted: what follows is partial")?;
        }
        for (word, count) in &self.top {
            writeln!(out, "{count:>9} {}", printable(word))?;
        }
        writeln!(out)?;
        writeln!(out, "{} words, {} different, on {} lines", self.words, self.distinct, self.lines)?;
        let (messages, seconds) = (self.messages(), self.elapsed.as_secs_f64());
        writeln!(out, "{messages} messages in {seconds:.3} s: {:.0} messages/s", self.per_second())?;
        writeln!(out, "{} retries", self.retries())?;
        if self.left > 0 {
            writeln!(out, "{} messages were left in the queues", self.left)?;
        }
        writeln!(out, "split: {}", self.split)?;
        writeln!(out, "count: {}", self.count)
    }

    fn to_json(&self) -> Value {
        let words: Vec<Value> = self.top.iter().map(|(word, count)| word_json(word, *count)).collect();
        json!({
            "words": words,
            "total": self.words,
            "distinct": self.distinct,
            "lines": self.lines,
            "messages": self.messages(),
            "messages_per_second": self.per_second().round(),
            "seconds": self.elapsed.as_secs_f64(),
            "retries": self.retries(),
            "partial": self.partial,
            "left": self.left,
            "report": { "split": report_json(&self.split), "count": report_json(&self.count) },
        })
    }

    fn messages(&self) -> u64 {
        self.lines + self.words
    }

    fn retries(&self) -> u64 {
        self.split.metrics.retried + self.count.metrics.retried
    }

    fn per_second(&self) -> f64 {
        self.messages() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// A word as it can be printed to a terminal: control characters and bytes that are not UTF-8 are escaped.
fn printable(word: &[u8]) -> String {
    match std::str::from_utf8(word) {
        Ok(word) if !word.contains(char::is_control) => word.to_owned(),
        _ => word.escape_ascii().to_string(),
    }
}

fn word_json(word: &[u8], count: u64) -> Value {
    match std::str::from_utf8(word) {
        Ok(word) => json!({ "word": word, "count": count }),
        Err(_) => json!({ "hex": hex(word), "count": count }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes anything");
        hex
    })
}

fn report_json(report: &Report) -> Value {
    let metrics = &report.metrics;
    json!({
        "clean": report.is_clean(),
        "fetched": metrics.fetched,
        "acked": metrics.acked,
        "retried": metrics.retried,
        "dead_lettered": metrics.dead_lettered,
        "released": metrics.released,
        "lost": metrics.lost,
        "aborted": metrics.aborted,
        "unsettled": metrics.unsettled,
        "drain_seconds": report.drain.as_secs_f64(),
    })
}

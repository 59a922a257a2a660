//! Counts the words of a file, with two queues and two servers:
//!
//! ```text
//! file ──> lines ──> split ──> words ──> count
//! ```
//!
//! `cargo run --release --example pipeline -- FILE`; see `--help`.
//!
//! Every line is a message, and so is every word. Some messages are made to fail, and tried again. Both
//! queues are bounded, so a slow stage slows down those before it, and a file of any size takes the same
//! memory but for its vocabulary. When the file ends the first queue is shut; its server ends when the queue
//! is empty, and then the same happens to the second.
//!
//! With `--url` the queues are those of a broker: see [`remote`].

use std::future::IntoFuture;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chappe::extract::State;
use chappe::memory::{MemoryQueue, MemoryTopic};
use chappe::server::{self, Backoff, Lanes};
use chappe::{BoxError, Handler, Message, Outcome, Server, Topic, Value};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::fs::File;
use tokio::io::AsyncRead;
use tokio::signal::ctrl_c;
use tower::Layer;

mod cli;
mod count;
mod flaky;
mod lines;
mod remote;
mod show;

use cli::{Input, Options};
use count::Counts;
use flaky::FlakyLayer;
use lines::{Lines, words};
use show::Summary;

/// How many lines wait at most. The next is read when there is room.
const LINES_WAITING: usize = 256;

/// How many words wait at most. The next line is split when there is room.
const WORDS_WAITING: usize = 16 * 1024;

/// How long a message that was made to fail waits for its next attempt.
const BACKOFF: Backoff = Backoff::exponential(Duration::from_millis(10), Duration::from_millis(100));

#[tokio::main]
async fn main() {
    let code = match Options::parse(lexopt::Parser::from_env()) {
        Ok(None) => print(0, |out| out.write_all(cli::HELP.as_bytes())),
        Ok(Some(options)) => match run(&options).await {
            Ok(summary) => print(if summary.partial { 130 } else { 0 }, |out| summary.write(options.format, out)),
            Err(error) => fail(1, &*error),
        },
        Err(error) => fail(2, &error),
    };
    // A read from a terminal cannot be interrupted, and would keep the runtime from ending.
    std::process::exit(code)
}

async fn run(options: &Options) -> Result<Summary, BoxError> {
    match &options.url {
        Some(url) => remote::run(options, url).await,
        None => local(options).await,
    }
}

/// Counts the words of the input, from its first line to the last settlement.
async fn local(options: &Options) -> Result<Summary, BoxError> {
    let began = Instant::now();
    let (input, bar) = open(options).await?;
    let lines = MemoryQueue::builder("lines").capacity(LINES_WAITING).build()?;
    // Order within a key is kept by the counting server's lanes.
    let words = MemoryQueue::builder("words").capacity(WORDS_WAITING).ordered(false).build()?;
    let counts = Counts::default();
    let flaky = FlakyLayer::new(options.fail_one_in);
    let concurrency = options.concurrency.get();

    let splitting = Server::new(lines.clone()).concurrency(concurrency).backoff(BACKOFF);
    let splitting = splitting.serve(flaky.layer(split.with_state(words.topic())));

    let counting = Server::new(words.clone()).concurrency(concurrency).prefetch(1024).backoff(BACKOFF);
    let counting = counting.lanes(Lanes::Passing).serve(flaky.layer(count.with_state(counts.clone())));

    let handles = [splitting.handle(), counting.handle()];
    let splitting = tokio::spawn(splitting.into_future());
    let counting = tokio::spawn(counting.into_future());

    let interrupted = tokio::select! {
        read = publish(Lines::new(input), lines.topic(), options, &bar) => read.map(|()| false)?,
        _ = ctrl_c() => true,
    };
    // What was read is counted all the same. Whoever does not want to wait for that asks again.
    tokio::spawn(async move {
        let _ = ctrl_c().await;
        handles.iter().for_each(server::Handle::shutdown);
    });
    lines.shut();
    let split = splitting.await??;
    words.shut();
    let count = counting.await??;
    bar.finish_and_clear();

    let left = lines.len() + words.len();
    Ok(Summary {
        top: counts.top(options.top),
        distinct: counts.distinct(),
        lines: split.metrics.acked,
        words: count.metrics.acked,
        elapsed: began.elapsed(),
        partial: interrupted || left > 0,
        left,
        split,
        count,
    })
}

/// Publishes every line of the input as a message.
async fn publish(mut lines: Lines, topic: MemoryTopic, options: &Options, bar: &ProgressBar) -> Result<(), BoxError> {
    let file = Value::from(options.input.to_string());
    let mut number = 0_u64;
    let cannot_read = |error: io::Error| format!("cannot read {}: {error}", options.input);
    while let Some(line) = lines.next().await.map_err(cannot_read)? {
        number += 1;
        let mut writer = topic.writer();
        writer.attributes_mut().insert("file", file.clone());
        writer.attributes_mut().insert("line", number);
        writer.write_all(&line)?;
        writer.close().await?;
        bar.inc(line.len() as u64);
    }
    Ok(())
}

/// Publishes every word of a line as a message with the word as its key.
///
/// A line that failed here is split again, and what was published of it before would be counted twice. The
/// memory topic does not fail while it is open; on a broker that may, give each word the id `{line}.{at}`, and
/// let it drop what it has seen.
async fn split(State(topic): State<MemoryTopic>, line: Bytes) -> Result<(), BoxError> {
    let messages = words(&line).map(|word| {
        let mut message = Message::new(word.clone());
        message.set_key(word);
        message
    });
    topic.publish_all(messages).await.into_iter().try_for_each(|result| result.map(drop))?;
    Ok(())
}

/// Counts a word. Nothing else of the same word runs meanwhile: they are in one lane.
async fn count(State(counts): State<Counts>, word: Bytes) {
    counts.add(&word);
}

async fn open(options: &Options) -> Result<(Box<dyn AsyncRead + Send + Unpin>, ProgressBar), BoxError> {
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}";
    let target = if options.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let Input::File(path) = &options.input else {
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{spinner} {bytes} {bytes_per_sec}")?;
        return Ok((Box::new(tokio::io::stdin()), bar.with_style(style)));
    };
    let cannot_open = |error: io::Error| format!("cannot open {}: {error}", options.input);
    let file = File::open(path).await.map_err(cannot_open)?;
    let bytes = file.metadata().await.map_err(cannot_open)?.len();
    let bar = ProgressBar::with_draw_target(Some(bytes), target);
    Ok((Box::new(file), bar.with_style(ProgressStyle::with_template(style)?)))
}

/// Prints to standard output, where a reader that has gone away is no error worth a word.
fn print(code: i32, write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) -> i32 {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            fail(1, &io::Error::new(error.kind(), format!("cannot write the result: {error}")))
        }
        _ => code,
    }
}

/// Prints an error and what caused it.
fn fail(code: i32, error: &(dyn std::error::Error + 'static)) -> i32 {
    eprintln!("pipeline: {}", Outcome::describe(error));
    if code == 2 {
        eprintln!("try --help");
    }
    code
}

//! The same pipeline on queues of a broker, which other programs may share and which outlive this one.
//!
//! Nobody can shut such a queue to say that this was the last line, and whatever is in it may come twice. So
//! everything has its number: a word is counted once, however often it comes, and the pipeline ends when
//! every line that was published has been split and every word of theirs counted.
//!
//! What belongs to another run comes back until that one gets it: two runs at a time share their queues and count
//! each its own. What a run that was interrupted has left behind goes to the dead letter in the end, where the
//! queue has one.

use std::collections::HashSet;
use std::future::IntoFuture;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chappe::extract::State;
use chappe::server;
use chappe::{Attributes, BoxError, BoxTopic, Handler, Message, OutcomeError, Server, Topic, connect};
use futures_util::stream::{FuturesUnordered, StreamExt};
use indicatif::ProgressBar;
use tokio::signal::ctrl_c;
use tokio::sync::Notify;
use tower::Layer;

use crate::cli::Options;
use crate::count::Counts;
use crate::flaky::FlakyLayer;
use crate::lines::{Lines, words};
use crate::show::Summary;
use crate::{BACKOFF, open};

/// How many lines are being published at a time; they go in batches.
const PUBLISHING: usize = 256;
/// How long a message of another run waits for that to get it, and how often it may come to the wrong one.
const ELSEWHERE: Duration = Duration::from_millis(100);
const MAX_ATTEMPTS: u32 = 200;

/// How far this run is.
#[derive(Clone)]
struct Run(Arc<Shared>);

struct Shared {
    /// What tells the messages of this run from those of others.
    id: String,
    words: BoxTopic,
    counts: Counts,
    progress: Mutex<Progress>,
    finished: Notify,
}

#[derive(Default)]
struct Progress {
    published: u64,
    read_all: bool,
    split: HashSet<u64>,
    expected: u64,
    counted: HashSet<(u64, u64)>,
}

/// Counts the words of the input through the queues the URL names.
pub(crate) async fn run(options: &Options, url: &str) -> Result<Summary, BoxError> {
    let began = Instant::now();
    let (input, bar) = open(options).await?;
    let (lines_url, words_url) = (url.replace("{}", "lines"), url.replace("{}", "words"));
    let lines = connect::topic(&lines_url).await?;
    let run = Run(Arc::new(Shared {
        id: format!("{:016x}", fastrand::u64(..)),
        words: connect::topic(&words_url).await?,
        counts: Counts::default(),
        progress: Mutex::default(),
        finished: Notify::new(),
    }));
    let flaky = FlakyLayer::new(options.fail_one_in);
    let concurrency = options.concurrency.get();

    let splitting = Server::new(connect::queue(&lines_url).await?).concurrency(concurrency);
    let splitting = splitting.backoff(BACKOFF).max_attempts(MAX_ATTEMPTS);
    let splitting = splitting.serve(flaky.layer(split.with_state(run.clone())));
    let counting = Server::new(connect::queue(&words_url).await?).concurrency(concurrency).prefetch(1024);
    let counting = counting.backoff(BACKOFF).max_attempts(MAX_ATTEMPTS);
    let counting = counting.serve(flaky.layer(count.with_state(run.clone())));
    let handles = [splitting.handle(), counting.handle()];
    let splitting = tokio::spawn(splitting.into_future());
    let counting = tokio::spawn(counting.into_future());

    let interrupted = tokio::select! {
        read = publish(Lines::new(input), lines, &run, &bar) => read.map(|()| false)?,
        _ = ctrl_c() => true,
    };
    run.update(|progress| progress.read_all = true);
    // What was read is counted all the same. Whoever does not want to wait for that asks again.
    tokio::select! {
        () = run.0.finished.notified() => {}
        _ = ctrl_c() => {}
    }
    handles.iter().for_each(server::Handle::shutdown);
    let (split, count) = (splitting.await??, counting.await??);
    bar.finish_and_clear();

    let progress = run.progress();
    let left = progress.left();
    Ok(Summary {
        top: run.0.counts.top(options.top),
        distinct: run.0.counts.distinct(),
        lines: progress.split.len() as u64,
        words: progress.counted.len() as u64,
        elapsed: began.elapsed(),
        partial: interrupted || left > 0,
        left,
        split,
        count,
    })
}

/// Publishes every line of the input as a message with its number.
async fn publish(mut lines: Lines, topic: BoxTopic, run: &Run, bar: &ProgressBar) -> Result<(), BoxError> {
    let mut publishing = FuturesUnordered::new();
    while let Some(line) = lines.next().await.map_err(|error: io::Error| format!("cannot read the input: {error}"))? {
        if publishing.len() == PUBLISHING {
            publishing.next().await.transpose()?;
        }
        let mut number = 0;
        run.update(|progress| {
            number = progress.published;
            progress.published += 1;
        });
        bar.inc(line.len() as u64);
        let mut message = Message::new(line);
        message.set_id(format!("{}-{number}", run.0.id));
        message.attributes_mut().insert("run", run.0.id.clone());
        message.attributes_mut().insert("line", number);
        let topic = topic.clone();
        publishing.push(async move { topic.publish(message).await });
    }
    while publishing.next().await.transpose()?.is_some() {}
    Ok(())
}

/// Publishes every word of a line as a message with the word as its key.
///
/// A line that comes twice is split twice, into words of the same numbers.
async fn split(State(run): State<Run>, attributes: Attributes, line: Bytes) -> Result<(), BoxError> {
    run.take(&attributes)?;
    let number = position(&attributes, "line")?;
    let messages = words(&line).enumerate().map(|(at, word)| {
        let mut message = Message::new(word.clone());
        message.set_key(word);
        message.set_id(format!("{}-{number}-{at}", run.0.id));
        message.attributes_mut().insert("run", run.0.id.clone());
        message.attributes_mut().insert("line", number);
        message.attributes_mut().insert("at", at as u64);
        message
    });
    let results = run.0.words.publish_all(messages).await;
    let count = results.len() as u64;
    results.into_iter().try_for_each(|result| result.map(drop))?;
    run.update(|progress| {
        if progress.split.insert(number) {
            progress.expected += count;
        }
    });
    Ok(())
}

/// Counts a word that was not counted yet.
async fn count(State(run): State<Run>, attributes: Attributes, word: Bytes) -> Result<(), BoxError> {
    run.take(&attributes)?;
    let place = (position(&attributes, "line")?, position(&attributes, "at")?);
    let mut new = false;
    run.update(|progress| {
        new = progress.counted.insert(place);
        if new {
            run.0.counts.add(&word);
        }
    });
    Ok(())
}

fn position(attributes: &Attributes, name: &str) -> Result<u64, BoxError> {
    let number = attributes.get(name).and_then(|value| value.as_str()?.parse().ok());
    number.ok_or_else(|| OutcomeError::reject(format!("there is no number in its attribute {name}")).into())
}

impl Run {
    /// Leaves to another run what is not this one's.
    fn take(&self, attributes: &Attributes) -> Result<(), OutcomeError> {
        let ours = attributes.get("run").is_some_and(|run| run.as_str() == Some(&*self.0.id));
        let elsewhere = || OutcomeError::retry_after(ELSEWHERE, "it belongs to another run");
        ours.then_some(()).ok_or_else(elsewhere)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.progress();
        change(&mut progress);
        if progress.read_all && progress.left() == 0 {
            self.0.finished.notify_one();
        }
    }
}

impl Progress {
    /// How many messages are known to be on their way.
    fn left(&self) -> usize {
        (self.published as usize - self.split.len()) + (self.expected as usize).saturating_sub(self.counted.len())
    }
}

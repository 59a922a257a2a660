//! [`run_cases`], which runs cases one after the other and tells how each ended.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use futures_util::{FutureExt, StreamExt, stream};

use crate::case::{Case, Stop, Verdict};

/// Runs only the cases whose theme or name contains this text.
const FILTER: &str = "CHAPPE_CASE";

/// How the cases of a run ended.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The cases that passed.
    pub passed: Vec<String>,
    /// The cases that were skipped, each with the reason.
    pub skipped: Vec<(String, String)>,
    /// The cases that failed, each with what went wrong.
    pub failed: Vec<(String, String)>,
}

impl Report {
    /// Fails the test if a case failed, or if none ran at all.
    ///
    /// # Panics
    ///
    /// Then, with the full list.
    pub fn check(&self) {
        assert!(self.failed.is_empty(), "{self}");
        assert!(!self.passed.is_empty() || std::env::var_os(FILTER).is_some(), "no case ran: {self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} skipped, {} failed", self.passed.len(), self.skipped.len(), self.failed.len())?;
        for (case, failure) in &self.failed {
            write!(f, "\n  {case}: {failure}")?;
        }
        Ok(())
    }
}

/// Runs `cases`, each on the bench made for it, and prints a line for each that did not pass.
pub(crate) async fn run_cases<'a, B, M>(
    cases: &[Case<'a, B>],
    exemptions: &[(&'static str, &'static str)],
    (parallel, limit): (usize, Duration),
    bench: M,
) -> Report
where
    B: Send,
    M: Fn() -> B + Send + Sync,
{
    let filter = std::env::var(FILTER).unwrap_or_default();
    let mut report = Report::default();
    for (name, _) in exemptions {
        if !cases.iter().any(|case| case.name == *name) {
            report.failed.push(((*name).to_owned(), "is exempted, but there is no such case".to_owned()));
        }
    }
    let chosen = cases.iter().filter(|case| format!("{}::{}", case.theme, case.name).contains(&filter));
    let mut running = stream::iter(chosen)
        .map(|case| {
            let exemption = exemptions.iter().find(|(name, _)| *name == case.name);
            let run = exemption.is_none().then(|| (case.run)(bench()));
            async move {
                let verdict = match (run, exemption) {
                    (Some(run), _) => limited(run, limit).await,
                    (None, exemption) => Err(Stop::Skip(exemption.map_or("", |(_, reason)| reason).to_owned())),
                };
                (case, verdict)
            }
        })
        .buffer_unordered(parallel.max(1));
    while let Some((case, verdict)) = running.next().await {
        let name = format!("{}::{}", case.theme, case.name);
        match verdict {
            // Without a line: two hundred of them would hide the one that matters.
            Ok(()) => report.passed.push(name),
            Err(Stop::Skip(reason)) => {
                say(format_args!("{name} ... skipped: {reason}"));
                report.skipped.push((name, reason));
            }
            Err(Stop::Fail(failure)) => {
                say(format_args!("{name} ... FAILED: {failure}"));
                report.failed.push((name, failure));
            }
        }
    }
    say(format_args!("{report}"));
    report
}

/// Runs a case to its end: a panic is a failure, and so is not to end in time, by either clock.
async fn limited(run: impl Future<Output = Verdict>, limit: Duration) -> Verdict {
    let mut watchdog = Watchdog::start(limit);
    let mut run = std::pin::pin!(AssertUnwindSafe(run).catch_unwind());
    let guarded = std::future::poll_fn(|cx| {
        if watchdog.barks(cx) {
            return Poll::Ready(Err(Stop::Fail(format!("did not end within {limit:?} of real time"))));
        }
        run.as_mut().poll(cx).map(|ended| ended.unwrap_or_else(|panic| Err(Stop::Fail(text_of(&*panic)))))
    });
    match tokio::time::timeout(limit, guarded).await {
        Ok(verdict) => verdict,
        Err(_) => Err(Stop::Fail(format!("did not end within {limit:?}"))),
    }
}

/// Wakes a case when its time is over by the real clock, which a paused one never says while tasks are busy.
struct Watchdog {
    waker: Arc<AtomicWaker>,
    over: std::time::Instant,
    _stop: Sender<()>,
}

impl Watchdog {
    fn start(limit: Duration) -> Self {
        let (stop, stopped) = channel::<()>();
        let waker = Arc::new(AtomicWaker::new());
        let wake = Arc::clone(&waker);
        std::thread::spawn(move || {
            if stopped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                wake.wake();
            }
        });
        Self { waker, over: std::time::Instant::now() + limit, _stop: stop }
    }

    fn barks(&mut self, cx: &std::task::Context<'_>) -> bool {
        self.waker.register(cx.waker());
        std::time::Instant::now() >= self.over
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked without a text").to_owned()
}

#[expect(clippy::print_stdout, reason = "the captured output of a test is where its lines belong")]
fn say(line: fmt::Arguments<'_>) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::cases;

    async fn passes(_: ()) -> Verdict {
        Ok(())
    }

    async fn panics(_: ()) -> Verdict {
        panic!("a boiler burst")
    }

    async fn hangs(_: ()) -> Verdict {
        std::future::pending().await
    }

    async fn spins(_: ()) -> Verdict {
        loop {
            tokio::task::yield_now().await;
        }
    }

    async fn cannot(_: ()) -> Verdict {
        crate::case::need(false, "no boiler")
    }

    #[tokio::test(start_paused = true)]
    async fn a_case_that_panics_hangs_or_spins_fails_and_the_rest_still_run() {
        let cases = cases!["self": panics, hangs, spins, cannot, passes];

        let report = run_cases(&cases, &[], (1, Duration::from_millis(50)), || ()).await;

        let failed: Vec<_> = report.failed.iter().map(|(case, _)| case.as_str()).collect();
        assert_eq!(failed, ["self::panics", "self::hangs", "self::spins"]);
        assert!(report.failed[0].1.contains("a boiler burst"));
        assert_eq!(report.passed, ["self::passes"]);
        assert_eq!(report.skipped, [("self::cannot".to_owned(), "no boiler".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_exempted_case_is_skipped_with_its_reason_and_an_unknown_one_fails() {
        let cases = cases!["self": panics, passes];

        let report =
            run_cases(&cases, &[("panics", "by law"), ("pancis", "typo")], (1, Duration::from_secs(1)), || ()).await;

        assert_eq!(report.skipped, [("self::panics".to_owned(), "by law".to_owned())]);
        assert_eq!(report.failed.len(), 1);
    }
}

//! Runs the example programs and looks at what they say.
#![cfg(all(feature = "memory", feature = "json"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use serde_json::Value;

type Counts = BTreeMap<Vec<u8>, u64>;

/// Where `cargo test` puts the examples: beside the `deps` this test is in. It builds them too, unless it was
/// asked for this test alone: then they are not there, or older than what they are made from.
static EXAMPLES: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let wanted = [
        "pipeline",
        "fanout_sse",
        #[cfg(feature = "event")]
        "events",
        #[cfg(feature = "schema")]
        "layers",
        #[cfg(feature = "metrics")]
        "metrics",
    ];
    let written = newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"));
    if wanted.iter().any(|name| modified(&program(&examples, name)).is_none_or(|built| built < written)) {
        let brokers = cfg!(any(feature = "postgres", feature = "redis"));
        let features = if wanted.len() > 2 || brokers { "--all-features" } else { "--features=memory,json" };
        let built = Command::new(env!("CARGO")).args(["build", "--examples", features]).status().unwrap();
        assert!(built.success());
    }
    examples
});

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// When a file of this folder was last changed.
fn newest(folder: &Path) -> SystemTime {
    let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { newest(&path) } else { modified(&path).unwrap() }).max().unwrap()
}

fn program(examples: &Path, name: &str) -> PathBuf {
    examples.join(name).with_extension(env::consts::EXE_EXTENSION)
}

/// A program that does not outlive its test.
struct Program(Option<Child>);

impl Program {
    fn wait_with_output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Deref for Program {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().unwrap()
    }
}

impl DerefMut for Program {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn start(name: &str, args: &[&str]) -> Program {
    let mut command = Command::new(program(&EXAMPLES, name));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Program(Some(command.spawn().unwrap()))
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Runs the pipeline with `input` as its standard input.
fn pipeline(args: &[&str], input: &[u8]) -> Output {
    let mut child = start("pipeline", args);
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn counts(json: &Value) -> Counts {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let words = json["words"].as_array().unwrap().iter().map(|entry| {
        let word = match entry["word"].as_str() {
            Some(word) => word.as_bytes().to_vec(),
            None => bytes(entry["hex"].as_str().unwrap()),
        };
        (word, entry["count"].as_u64().unwrap())
    });
    words.collect()
}

/// What `tr` and `uniq` make of the same bytes.
#[cfg(unix)]
fn reference(input: &[u8]) -> Counts {
    let script = "tr -s '[:space:]' '\\n' | sort | uniq -c";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let entries = lines.map(|line| {
        let (count, word) =
            line.trim_ascii_start().split_at(line.trim_ascii_start().iter().position(|b| *b == b' ').unwrap());
        (word[1..].to_vec(), String::from_utf8_lossy(count).parse().unwrap())
    });
    // White space at the beginning is an empty word to `tr`.
    entries.filter(|(word, _)| !word.is_empty()).collect()
}

#[cfg(unix)]
#[track_caller]
fn assert_counts_as_tr_does(input: &[u8]) {
    let output = pipeline(&["-", "--format", "json", "--top", "all", "--fail-one-in", "7"], input);

    let json = json(&output);
    assert_eq!(counts(&json), reference(input));
    assert_eq!(json["report"]["split"]["clean"], true);
    assert_eq!(json["report"]["count"]["clean"], true);
}

#[cfg(unix)]
#[test]
fn small_files_are_counted_as_tr_does() {
    for input in ["", "\n", "one", " \t leading and trailing \n\n", "a b\r\na\x0bb\x0ca\n", "naïve naïve caf\u{e9}"] {
        assert_counts_as_tr_does(input.as_bytes());
    }
    assert_counts_as_tr_does(include_bytes!("../README.md"));
}

#[cfg(unix)]
#[test]
fn bytes_that_are_not_utf_8_are_counted_as_they_are() {
    let all: Vec<u8> = (0..=255).chain(0..=255).collect();

    assert_counts_as_tr_does(&all);
    assert_counts_as_tr_does(b"caf\xe9 caf\xe9 \xa0 \xff\xfe\n");
}

#[cfg(unix)]
#[test]
fn lines_and_words_longer_than_a_message_are_counted_whole() {
    let long_line = "to be or not to be ".repeat(20_000);
    let long_word = [b"x ".as_slice(), &[b'y'; 300_000], b" x\nx"].concat();

    assert_counts_as_tr_does(long_line.as_bytes());
    assert_counts_as_tr_does(&long_word);
}

#[test]
fn messages_that_fail_once_are_counted_once() {
    let input = "a b a\nc a\n".repeat(50);

    let json = json(&pipeline(&["-", "--format", "json", "--fail-one-in", "1"], input.as_bytes()));

    assert_eq!(counts(&json), [("a", 150), ("b", 50), ("c", 50)].map(|(word, n)| (word.into(), n)).into());
    assert_eq!((&json["messages"], &json["retries"]), (&350.into(), &350.into()));
    assert_eq!(json["partial"], false);
}

/// Counts through queues of a broker, with every message made to fail once.
fn assert_counts_through(url: &str) {
    let input = "a b a\nc a\n".repeat(50);
    let args = ["-", "--format", "json", "--fail-one-in", "1", "--url", url];

    let json = json(&pipeline(&args, input.as_bytes()));

    assert_eq!(counts(&json), [("a", 150), ("b", 50), ("c", 50)].map(|(word, n)| (word.into(), n)).into());
    assert_eq!((&json["total"], &json["lines"], &json["left"]), (&250.into(), &100.into(), &0.into()));
    assert_eq!(json["partial"], false);
}

/// Two runs at once on the same queues.
#[cfg(any(feature = "postgres", feature = "redis"))]
fn assert_runs_share_queues(url: &str) {
    let inputs = ["a b a\nc a\n".repeat(50), "a z\n".repeat(50)];
    let args = ["-", "--format", "json", "--fail-one-in", "10", "--url", url];

    let outputs = std::thread::scope(|scope| {
        let runs = inputs.each_ref().map(|input| scope.spawn(move || pipeline(&args, input.as_bytes())));
        runs.map(|run| run.join().unwrap())
    });

    let [one, other] = outputs.each_ref().map(json);
    assert_eq!(counts(&one), [("a", 150), ("b", 50), ("c", 50)].map(|(word, n)| (word.into(), n)).into());
    assert_eq!(counts(&other), [("a", 50), ("z", 50)].map(|(word, n)| (word.into(), n)).into());
    assert_eq!((&one["left"], &other["left"]), (&0.into(), &0.into()));
}

#[test]
fn queues_by_url_count_the_same() {
    assert_counts_through("memory://{}");
}

#[cfg(feature = "redis")]
#[test]
#[ignore = "needs Redis: run by cargo xtask test"]
fn queues_of_redis_count_the_same() {
    let url = env::var("CHAPPE_TEST_REDIS").unwrap();
    assert_counts_through(&format!("{url}?queue=pipeline-{}-{{}}", std::process::id()));
}

#[cfg(feature = "redis")]
#[test]
#[ignore = "needs Redis: run by cargo xtask test"]
fn runs_share_queues_of_redis() {
    let url = env::var("CHAPPE_TEST_REDIS").unwrap();
    assert_runs_share_queues(&format!("{url}?queue=pipelines-{}-{{}}", std::process::id()));
}

#[cfg(feature = "postgres")]
#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn queues_of_postgres_count_the_same() {
    let url = env::var("CHAPPE_TEST_POSTGRES").unwrap();
    assert_counts_through(&format!("{url}?schema=pipeline_{}&migrate=true&queue={{}}", std::process::id()));
}

#[cfg(feature = "postgres")]
#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn runs_share_queues_of_postgres() {
    let url = env::var("CHAPPE_TEST_POSTGRES").unwrap();
    assert_runs_share_queues(&format!("{url}?schema=pipelines_{}&migrate=true&queue={{}}", std::process::id()));
}

#[test]
fn top_takes_the_most_frequent_and_then_the_first_in_order() {
    let json = json(&pipeline(&["--top", "2", "--format=json", "-"], b"b a c c\n"));

    assert_eq!(counts(&json), [("c", 2), ("a", 1)].map(|(word, n)| (word.into(), n)).into());
    assert_eq!(json["words"][0]["word"], "c");
    assert_eq!((&json["total"], &json["distinct"]), (&4.into(), &3.into()));
}

#[test]
fn without_arguments_the_readme_is_counted_and_the_report_is_printed() {
    let output = pipeline(&[], b"");

    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in [" the\n", "messages/s", " retries\n", "split: ", "count: ", "0 dead-lettered"] {
        assert!(text.contains(part), "{part:?} is missing from {text}");
    }
    assert!(output.stderr.is_empty(), "the progress bar is for terminals");
}

#[test]
fn input_that_cannot_be_read_is_an_error_that_names_it() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");

    let missing = pipeline(&["no/such/file"], b"");
    let unreadable = pipeline(&[directory.to_str().unwrap(), "--format", "json"], b"");

    for (output, name) in [(&missing, "no/such/file"), (&unreadable, directory.to_str().unwrap())] {
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(name), "{output:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn bad_usage_is_told_and_help_is_given() {
    for args in [&["--frobnicate"][..], &["--top", "x"], &["--concurrency", "0"], &["a", "b"], &["--format", "xml"]] {
        let output = pipeline(args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(args[args.len() - 1]), "{output:?}");
    }
    assert!(String::from_utf8(pipeline(&["--help"], b"").stdout).unwrap().contains("--fail-one-in"));
}

#[cfg(unix)]
#[test]
fn an_interrupt_drains_what_was_read() {
    let mut child = start("pipeline", &["-", "--format", "json", "--top", "all"]);
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe holds, so it is reading when this is written.
    stdin.write_all("in the end \n".repeat(20_000).as_bytes()).unwrap();

    interrupt(&child);
    let output = child.wait_with_output();
    drop(stdin);

    assert_eq!(output.status.code(), Some(130));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = json["lines"].as_u64().unwrap();
    assert!(lines > 0);
    assert_eq!(counts(&json), ["in", "the", "end"].map(|word| (word.into(), lines)).into());
    assert_eq!((&json["partial"], &json["left"]), (&true.into(), &0.into()));
}

/// Starts both instances and returns the addresses they listen on.
fn start_fanout() -> (Program, String, String) {
    start_fanout_with(&[])
}

/// Starts two instances in one process.
fn start_fanout_with(args: &[&str]) -> (Program, String, String) {
    let mut child = start("fanout_sse", args);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address = || {
        let url = lines.next().unwrap().unwrap();
        url.trim_start_matches("http://").trim_end_matches('/').to_owned()
    };
    let (a, b) = (address(), address());
    (child, a, b)
}

/// Opens a stream of events, and returns when the server has subscribed it.
fn open_events(address: &str) -> BufReader<TcpStream> {
    open_events_with(address, "")
}

/// Opens a stream of events with more headers.
fn open_events_with(address: &str, headers: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    // What does not come at all fails the test rather than keep it.
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").unwrap();
    let mut stream = BufReader::new(stream);
    assert_eq!(read_line(&mut stream), "HTTP/1.1 200 OK");
    while !read_line(&mut stream).is_empty() {}
    stream
}

/// The next line, as far as it is text; empty at the end.
fn read_line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).unwrap();
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

fn read_until_line(stream: &mut BufReader<TcpStream>, wanted: &str) {
    while read_line(stream) != wanted {
        assert!(!stream.fill_buf().unwrap().is_empty(), "the stream ended before {wanted:?}");
    }
}

/// Publishes a message and waits for the answer.
fn post(address: &str, body: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "POST /publish HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n").unwrap();
    write!(stream, "Content-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

#[cfg(unix)]
#[test]
fn what_one_instance_publishes_reaches_the_browsers_of_both_until_shutdown_ends_their_streams() {
    let (mut child, a, b) = start_fanout();
    let mut browsers = [open_events(&a), open_events(&b)];

    post(&a, "hello");
    browsers.iter_mut().for_each(|browser| read_until_line(browser, "data: hello"));
    post(&b, "and back");
    browsers.iter_mut().for_each(|browser| read_until_line(browser, "data: and back"));

    interrupt(&child);
    for mut browser in browsers {
        browser.read_to_end(&mut Vec::new()).unwrap();
    }
    assert!(child.wait().unwrap().success());
}

/// A browser goes from one instance of a bus to the other, and misses nothing.
#[cfg(unix)]
fn assert_a_browser_may_move(a: &str, b: &str) {
    let mut first = open_events(a);
    let mut witness = open_events(b);
    post(b, "heard");
    read_until_line(&mut witness, "data: heard");
    read_until_line(&mut first, "data: heard");
    let id = read_line(&mut first).replace("id: ", "Last-Event-ID: ");
    drop(first);
    post(a, "missed");
    read_until_line(&mut witness, "data: missed");

    let mut back = open_events_with(b, &format!("{id}\r\n"));
    let mut lines = std::iter::repeat_with(|| read_line(&mut back));
    let next = lines.find(|line| line.starts_with("data: "));

    assert_eq!(next.as_deref(), Some("data: missed"));
}

/// Two processes on one bus.
#[cfg(all(unix, any(feature = "postgres", feature = "redis")))]
fn assert_fans_out_between_processes(url: &str) {
    let start = || {
        let mut child = start("fanout_sse", &["--url", url, "0"]);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (child, line.trim_start_matches("http://").trim_end().trim_end_matches('/').to_owned())
    };
    let ((one, a), (other, b)) = (start(), start());

    assert_a_browser_may_move(&a, &b);

    for mut child in [one, other] {
        interrupt(&child);
        assert!(child.wait().unwrap().success());
    }
}

#[cfg(all(unix, feature = "redis"))]
#[test]
#[ignore = "needs Redis: run by cargo xtask test"]
fn processes_fan_out_through_redis() {
    let url = env::var("CHAPPE_TEST_REDIS").unwrap();
    assert_fans_out_between_processes(&format!("{url}?topic=fanout-{}", std::process::id()));
}

#[cfg(all(unix, feature = "postgres"))]
#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn processes_fan_out_through_postgres() {
    let url = env::var("CHAPPE_TEST_POSTGRES").unwrap();
    assert_fans_out_between_processes(&format!("{url}?topic=fanout-{}", std::process::id()));
}

#[cfg(unix)]
#[test]
fn a_browser_that_comes_back_to_another_instance_is_sent_what_it_missed() {
    let (mut child, a, b) = start_fanout();

    assert_a_browser_may_move(&a, &b);

    interrupt(&child);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_browser_that_does_not_keep_up_is_told_what_it_missed() {
    let (mut child, a, b) = start_fanout();
    let mut slow = open_events(&b);
    let large = "x".repeat(256 * 1024);

    // More than the sockets between the two take in.
    (0..200).for_each(|_| post(&a, &large));
    read_until_line(&mut slow, "event: lagged");
    let missed = read_line(&mut slow);

    assert!(missed.strip_prefix("data: ").unwrap().parse::<u64>().unwrap() > 0, "{missed}");
    drop(slow);
    interrupt(&child);
    assert!(child.wait().unwrap().success());
}

#[cfg(feature = "metrics")]
#[test]
fn prometheus_is_told_how_orders_were_published_and_handled() {
    let output = start("metrics", &[]).wait_with_output();

    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let count = |name: &str, labels: &[&str]| -> f64 {
        let mut lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        let found = lines.find(|line| labels.iter().all(|label| line.contains(label)));
        let (_, value) =
            found.unwrap_or_else(|| panic!("{name} {labels:?} is not in {text}")).rsplit_once(' ').unwrap();
        value.parse().unwrap()
    };
    let ack = r#"chappe_outcome="ack""#;
    let consumed = "messaging_client_consumed_messages";
    assert_eq!(count("messaging_client_sent_messages", &["orders"]), 100.0);
    assert_eq!(count(consumed, &[ack]), 99.0);
    assert_eq!(count(consumed, &[r#"chappe_outcome="retry""#]), 10.0);
    assert_eq!(count(consumed, &[r#"error_type="reject""#]), 1.0);
    assert_eq!(count("messaging_process_duration_bucket", &[ack, r#"le="+Inf""#]), 99.0);
    assert_eq!(count("chappe_process_attempts_bucket", &[ack, r#"le="1""#]), 89.0);
    assert_eq!(count("chappe_process_in_flight", &["orders"]), 0.0);
}

#[cfg(all(feature = "sns", feature = "sqs"))]
#[test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
fn the_worker_packs_every_order_and_buries_what_is_none() {
    let mut worker = Command::new(program(&EXAMPLES, "sqs_worker"));
    let endpoint = env::var("CHAPPE_TEST_AWS").unwrap();
    worker.envs([("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_REGION", "us-east-1")]);
    worker.envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);

    assert_packs_and_buries(&worker.output().unwrap());
}

#[cfg(feature = "pubsub")]
#[test]
#[ignore = "needs a Pub/Sub server: run by cargo xtask test"]
fn the_same_worker_does_so_on_pubsub() {
    let mut worker = Command::new(program(&EXAMPLES, "pubsub_worker"));
    worker.envs([("PUBSUB_EMULATOR_HOST", env::var("CHAPPE_TEST_PUBSUB").unwrap().as_str())]);
    // Of its own, so that its topics are nobody else's.
    worker.env("GOOGLE_CLOUD_PROJECT", format!("worker-{}", std::process::id()));

    assert_packs_and_buries(&worker.output().unwrap());
}

/// Of twenty orders two fail once, one is of nothing and one is none.
#[cfg(any(feature = "pubsub", feature = "sqs"))]
fn assert_packs_and_buries(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("18 acked, 2 retried, 2 dead-lettered"), "{text}");
    assert_eq!(text.lines().filter(|line| line.ends_with(" is out")).count(), 18, "{text}");
}

/// Runs an example that ends by itself, and returns what it says.
#[cfg(feature = "event")]
fn said(name: &str) -> Vec<String> {
    let output = start(name, &[]).wait_with_output();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[cfg(feature = "event")]
#[test]
fn events_are_handled_told_when_they_fail_and_carry_their_story() {
    let lines = said("events");

    for line in ["story-1: Claude pays 126 euros", "story-3: Claude pays 4200 euros"] {
        assert!(lines.iter().any(|said| said == line), "{line:?} is missing from {lines:?}");
    }
    assert!(lines.contains(&"story-4: Claude pays 42 euros, in a rehearsal".to_owned()), "{lines:?}");
    assert!(lines[0].starts_with("event story-2-order \"order.placed\" failed at attempt 1, the last"), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "story-2-order is in the dead letter");
}

#[cfg(all(
    feature = "catch-panic",
    feature = "compress-zstd",
    feature = "correlation",
    feature = "dedup",
    feature = "dry-run",
    feature = "event",
    feature = "expiry",
    feature = "rate-limit",
    feature = "retry",
    feature = "schema",
    feature = "scope",
    feature = "timeout",
    feature = "trace"
))]
#[test]
fn layers_keep_from_being_handled_what_is_not_to_be() {
    let lines = said("layers");

    let invoices = ["1 twice, 1 expired, 1 elsewhere, 1 rejected", "basket-3: 126 euros", "basket-7: 294 euros"];
    assert_eq!(lines[lines.len() - 3..], invoices);
    assert!(lines.contains(&"5 chairs at attempt 2, a rehearsal".to_owned()), "{lines:?}");
    assert!(lines[0].ends_with("/chairs: minimum"), "{lines:?}");
}

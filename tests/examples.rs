//! Runs the example programs and looks at what they say.
#![cfg(all(feature = "memory", feature = "json"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use std::collections::BTreeMap;
use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

type Counts = BTreeMap<Vec<u8>, u64>;

/// Where `cargo test` puts the examples: beside the `deps` this test is in. It builds them too, unless it was
/// asked for this test alone.
static PIPELINE: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path = profile.join("examples").join("pipeline").with_extension(env::consts::EXE_EXTENSION);
    if !path.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--example", "pipeline"]).status().unwrap();
        assert!(built.success());
    }
    path
});

fn start(args: &[&str]) -> Child {
    let mut command = Command::new(&*PIPELINE);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs the pipeline with `input` as its standard input.
fn pipeline(args: &[&str], input: &[u8]) -> Output {
    let mut child = start(args);
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
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
    let mut child = start(&["-", "--format", "json", "--top", "all"]);
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe holds, so it is reading when this is written.
    stdin.write_all("in the end \n".repeat(20_000).as_bytes()).unwrap();

    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);

    assert!(sent.success());
    assert_eq!(output.status.code(), Some(130));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = json["lines"].as_u64().unwrap();
    assert!(lines > 0);
    assert_eq!(counts(&json), ["in", "the", "end"].map(|word| (word.into(), lines)).into());
    assert_eq!((&json["partial"], &json["left"]), (&true.into(), &0.into()));
}

//! What the command line says.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Counts the words of a file with two queues and two servers.

Usage: cargo run --release --example pipeline -- [OPTIONS] [FILE]

  FILE              the file to count; - is standard input [default: this repository's README.md]

Options:
  --top N           print the N most frequent words, or `all` [default: 10]
  --format FORMAT   `text`, or `json` for one JSON object on standard output [default: text]
  --fail-one-in N   fail the first attempt of one in N messages; 0 fails none [default: 100]
  --concurrency N   handlers that run at a time in each server [default: 16]
  --url URL         use queues of a broker; {} in it stands for the names `lines` and `words`, as in
                    redis://localhost/?queue={} [default: queues in memory]
  --quiet           no progress bar
  --help            print this

Words are what white space separates (space, \\t, \\n, \\v, \\f, \\r), compared as bytes. In JSON a word that
is UTF-8 is `{\"word\": \"the\", \"count\": 2}`; any other is `{\"hex\": \"ff00\", \"count\": 2}`, its bytes in hex.

The first Ctrl-C stops reading and counts what was read; a second one stops at once.

Exit status: 0 counted all, 1 input or output failed, 2 bad usage, 130 interrupted (counts are partial).
";

/// What to count, and how.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) input: Input,
    pub(crate) top: usize,
    pub(crate) format: Format,
    pub(crate) fail_one_in: u64,
    pub(crate) concurrency: NonZeroUsize,
    pub(crate) url: Option<String>,
    pub(crate) quiet: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    Stdin,
    File(PathBuf),
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Options {
    /// Reads the command line; `None` if it asks for help.
    pub(crate) fn parse(mut parser: Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut input = None;
        let mut options = Self {
            input: Input::File(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md").into()),
            top: 10,
            format: Format::Text,
            fail_one_in: 100,
            concurrency: NonZeroUsize::new(16).expect("16 is not zero"),
            url: None,
            quiet: false,
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Long("top") => options.top = parser.value()?.parse_with(top)?,
                Arg::Long("format") => options.format = parser.value()?.parse_with(format)?,
                Arg::Long("fail-one-in") => options.fail_one_in = parser.value()?.parse()?,
                Arg::Long("concurrency") => options.concurrency = parser.value()?.parse()?,
                Arg::Long("url") => options.url = Some(url(parser.value()?.string()?)?),
                Arg::Short('q') | Arg::Long("quiet") => options.quiet = true,
                Arg::Value(file) if input.is_none() => {
                    input = Some(if file == "-" { Input::Stdin } else { Input::File(file.into()) });
                }
                other => return Err(other.unexpected()),
            }
        }
        options.input = input.unwrap_or(options.input);
        Ok(Some(options))
    }
}

fn top(value: &str) -> Result<usize, String> {
    match value {
        "all" => Ok(usize::MAX),
        number => number.parse().map_err(|_| "expected a number or `all`".to_owned()),
    }
}

/// The text is not repeated in an error, as there may be a password in it.
fn url(value: String) -> Result<String, &'static str> {
    if value.contains("{}") { Ok(value) } else { Err("--url is to have {} where the name of the queue goes") }
}

fn format(value: &str) -> Result<Format, &'static str> {
    match value {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("expected `text` or `json`"),
    }
}

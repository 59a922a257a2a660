//! [`Lines`], which cuts any input into pieces of bounded size without cutting a word.

use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A line that is longer than this is cut at white space, so that no input makes messages of any size.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// How much is read at a time.
const READ_BYTES: usize = 256 * 1024;

/// Reads bytes as lines. A line over 64 KiB comes in pieces that end where a word does; only a single word
/// may be longer than that.
pub(crate) struct Lines {
    input: Pin<Box<dyn AsyncRead + Send>>,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no newline, and how much of that comes before its last
    /// white space: neither is looked at again when more is read.
    scanned: usize,
    last_space: Option<usize>,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(input: impl AsyncRead + Send + 'static) -> Self {
        Self { input: Box::pin(input), buffer: BytesMut::new(), scanned: 0, last_space: None, ended: false }
    }

    /// The next line or piece of one, with the newline or white space that ends it; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(end) = self.find_end() {
                return Ok(Some(self.take(end)));
            }
            if self.ended {
                let rest = self.buffer.len();
                return Ok((rest > 0).then(|| self.take(rest)));
            }
            self.buffer.reserve(READ_BYTES);
            self.ended = self.input.read_buf(&mut self.buffer).await? == 0;
        }
    }

    fn find_end(&mut self) -> Option<usize> {
        for (at, &byte) in self.buffer.iter().enumerate().skip(self.scanned) {
            if byte == b'\n' {
                return Some(at + 1);
            }
            if is_space(byte) {
                self.last_space = Some(at);
            }
            // The first white space beyond the limit, if there was none before it.
            if let (true, Some(space)) = (at + 1 >= MAX_LINE_BYTES, self.last_space) {
                return Some(space + 1);
            }
        }
        self.scanned = self.buffer.len();
        None
    }

    fn take(&mut self, end: usize) -> Bytes {
        self.scanned = 0;
        self.last_space = None;
        self.buffer.split_to(end).freeze()
    }
}

/// The words of a line: what white space separates, as shared slices.
pub(crate) fn words(line: &Bytes) -> impl Iterator<Item = Bytes> + Send + '_ {
    line.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()).map(|word| line.slice_ref(word))
}

/// White space as C and `tr` know it, which has a vertical tab that Rust's ASCII white space leaves out.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

//! lz4 frames.
//!
//! Only the blocks are left to the library. Its frame decoder takes a frame for whole that is cut off between
//! two blocks, and allocates what the header claims, 4 MiB for each of go-msg's messages.
//!
//! # Source
//!
//! <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>

use ::lz4_flex::block::{DecompressError, compress_into, decompress_into_with_dict, get_maximum_output_size};
use twox_hash::XxHash32;

use super::format::Flaw;

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Frames that are to be skipped have this magic number or one of the fifteen behind it.
const SKIPPABLE: u32 = 0x184D_2A50;

// Bits of the first byte of the descriptor.
const VERSION: u8 = 0b0100_0000;
const VERSION_MASK: u8 = 0b1100_0000;
const INDEPENDENT: u8 = 0b0010_0000;
const BLOCK_CHECKSUM: u8 = 0b0001_0000;
const CONTENT_SIZE: u8 = 0b0000_1000;
const CONTENT_CHECKSUM: u8 = 0b0000_0100;
const RESERVED: u8 = 0b0000_0010;
const DICTIONARY: u8 = 0b0000_0001;

/// Blocks of up to 4 MiB, in the second byte of the descriptor; what go-msg writes.
const BLOCKS_OF_4_MIB: u8 = 7 << 4;
const MAX_BLOCK_BYTES: usize = 4 << 20;

/// Marks a block that is stored as it is.
const STORED: u32 = 1 << 31;

/// How far back a block may refer to those before it.
const WINDOW_BYTES: usize = 64 << 10;

/// How much a block is first taken to grow, and the most it can.
const FIRST_RATIO: usize = 4;
const MAX_RATIO: usize = 255;

pub(super) fn compress(body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(body.len() / 2 + 32);
    let descriptor = [VERSION | INDEPENDENT | CONTENT_CHECKSUM, BLOCKS_OF_4_MIB];
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&descriptor);
    frame.push(header_checksum(&descriptor));
    let mut block = vec![0; get_maximum_output_size(body.len().min(MAX_BLOCK_BYTES))];
    for content in body.chunks(MAX_BLOCK_BYTES) {
        let length = compress_into(content, &mut block).expect("there is room for the worst");
        let (mark, bytes) = if length < content.len() { (0, &block[..length]) } else { (STORED, content) };
        let length = u32::try_from(bytes.len()).expect("a block is of 4 MiB at most");
        frame.extend_from_slice(&(length | mark).to_le_bytes());
        frame.extend_from_slice(bytes);
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&XxHash32::oneshot(0, body).to_le_bytes());
    frame
}

/// Decompresses one frame or several behind each other.
pub(super) fn decompress(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, Flaw> {
    let (mut frames, mut out) = (Input(body), Vec::new());
    let mut found = false;
    while !frames.0.is_empty() {
        let magic = frames.take::<4>()?;
        if magic == MAGIC {
            decompress_frame(&mut frames, &mut out, max_bytes)?;
            found = true;
        } else if u32::from_le_bytes(magic) & !0xF == SKIPPABLE {
            let length = frames.number()?;
            frames.slice(length)?;
        } else {
            return Err(corrupt("it does not begin like a frame"));
        }
    }
    if found { Ok(out) } else { Err(corrupt("it has no frame")) }
}

fn decompress_frame(input: &mut Input<'_>, out: &mut Vec<u8>, max_bytes: usize) -> Result<(), Flaw> {
    let Header { flags, block_bytes, content_bytes } = read_header(input)?;
    let start = out.len();
    // Not allocated, but an early end.
    if content_bytes.is_some_and(|size| size > (max_bytes - start) as u64) {
        return Err(Flaw::TooLarge);
    }
    loop {
        let length = u32::from_le_bytes(input.take()?);
        if length == 0 {
            break;
        }
        let block = input.slice((length & !STORED) as usize)?;
        if block.len() > block_bytes {
            return Err(corrupt("a block is too large"));
        }
        if flags & BLOCK_CHECKSUM != 0 {
            input.check(block)?;
        }
        let before = out.len();
        if length & STORED != 0 {
            out.extend_from_slice(block);
        } else {
            let from = if flags & INDEPENDENT != 0 { before } else { start.max(before.saturating_sub(WINDOW_BYTES)) };
            let left = max_bytes - before;
            match decompress_block(block, out, from, block_bytes.min(left.saturating_add(1)))? {
                Fit::Whole => {}
                Fit::Cut if block_bytes > left => return Err(Flaw::TooLarge),
                Fit::Cut => return Err(corrupt("a block is too large")),
            }
        }
        if out.len() > max_bytes {
            return Err(Flaw::TooLarge);
        }
    }
    if content_bytes.is_some_and(|size| size != (out.len() - start) as u64) {
        return Err(corrupt("its size is wrong"));
    }
    if flags & CONTENT_CHECKSUM != 0 {
        input.check(&out[start..])?;
    }
    Ok(())
}

enum Fit {
    Whole,
    Cut,
}

/// Adds a block of at most `max` bytes, which may refer back to `from`. The room it is given grows with what
/// turns out to be needed.
fn decompress_block(block: &[u8], out: &mut Vec<u8>, from: usize, max: usize) -> Result<Fit, Flaw> {
    let start = out.len();
    let mut room = block.len().saturating_mul(FIRST_RATIO).min(max);
    loop {
        out.resize(start + room, 0);
        let (before, free) = out.split_at_mut(start);
        match decompress_into_with_dict(block, free, &before[from..]) {
            Ok(length) => {
                out.truncate(start + length);
                return Ok(Fit::Whole);
            }
            Err(DecompressError::OutputTooSmall { .. }) if room < max.min(block.len().saturating_mul(MAX_RATIO)) => {
                room = room.saturating_mul(FIRST_RATIO).min(max);
            }
            Err(DecompressError::OutputTooSmall { .. }) => return Ok(Fit::Cut),
            Err(error) => return Err(Flaw::Corrupt(error.into())),
        }
    }
}

struct Header {
    flags: u8,
    block_bytes: usize,
    content_bytes: Option<u64>,
}

fn read_header(input: &mut Input<'_>) -> Result<Header, Flaw> {
    let all = input.0;
    let [flags, blocks] = input.take()?;
    if flags & VERSION_MASK != VERSION || flags & RESERVED != 0 {
        return Err(corrupt("its version is unknown"));
    }
    let content_bytes = match flags & CONTENT_SIZE {
        0 => None,
        _ => Some(u64::from_le_bytes(input.take()?)),
    };
    if flags & DICTIONARY != 0 {
        return Err(corrupt("it needs a dictionary"));
    }
    let descriptor = &all[..all.len() - input.0.len()];
    let block_bytes = match blocks {
        0x40 => 64 << 10,
        0x50 => 256 << 10,
        0x60 => 1 << 20,
        BLOCKS_OF_4_MIB => MAX_BLOCK_BYTES,
        _ => return Err(corrupt("its size of blocks is unknown")),
    };
    if input.take()? != [header_checksum(descriptor)] {
        return Err(corrupt("a checksum is wrong"));
    }
    Ok(Header { flags, block_bytes, content_bytes })
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    XxHash32::oneshot(0, descriptor).to_le_bytes()[1]
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Flaw> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(|| corrupt("it is cut off"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<usize, Flaw> {
        Ok(u32::from_le_bytes(self.take()?) as usize)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| corrupt("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads a checksum and compares.
    fn check(&mut self, content: &[u8]) -> Result<(), Flaw> {
        match self.take()? == XxHash32::oneshot(0, content).to_le_bytes() {
            true => Ok(()),
            false => Err(corrupt("a checksum is wrong")),
        }
    }
}

fn corrupt(what: &'static str) -> Flaw {
    Flaw::Corrupt(what.into())
}

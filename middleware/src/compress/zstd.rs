//! zstd.

use std::cell::RefCell;
use std::io;

use ::zstd::bulk::{Compressor, Decompressor};
use ::zstd::stream::read::Decoder;
use ::zstd::zstd_safe::{CParameter, find_frame_compressed_size, get_frame_content_size};

use super::format::{Flaw, read_up_to};

/// The window every decoder should take, as a power of two: 8 MiB.
///
/// # Source
///
/// <https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1.2>
const MIN_WINDOW_BITS: u32 = 23;

/// The most a claimed size may be, for the body or at all, to be believed.
const BELIEVED_RATIO: usize = 16;
const BELIEVED_BYTES: usize = 64 << 10;

// Making a context takes longer than compressing a small body with it.
thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

pub(super) fn compress(body: &[u8], level: i32) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some((kept_level, compressor)) => {
                if *kept_level != level {
                    compressor.set_compression_level(level)?;
                    *kept_level = level;
                }
                compressor
            }
            None => {
                let (_, compressor) = kept.insert((level, Compressor::new(level)?));
                compressor.set_parameter(CParameter::ChecksumFlag(true))?;
                compressor
            }
        };
        let mut smaller = compressor.compress(body)?;
        // It was given room for the worst.
        smaller.shrink_to_fit();
        Ok(smaller)
    })
}

pub(super) fn decompress(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, Flaw> {
    let claimed = get_frame_content_size(body).ok().flatten().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    match claimed {
        Some(size) if size > max_bytes => return Err(Flaw::TooLarge),
        Some(size) if size <= BELIEVED_BYTES.max(body.len().saturating_mul(BELIEVED_RATIO)) => {
            if let Ok(larger) = decompress_at_once(body, size) {
                return Ok(larger);
            }
            // Wrong about its size, or several frames: tell what is wrong, or read them all.
        }
        _ => {}
    }
    let corrupt = |error: io::Error| Flaw::Corrupt(error.into());
    let mut decoder = Decoder::with_buffer(body).map_err(corrupt)?;
    let window_bits = usize::BITS - max_bytes.leading_zeros();
    decoder.window_log_max(window_bits.clamp(MIN_WINDOW_BITS, 27)).map_err(corrupt)?;
    let larger = read_up_to(decoder, body, max_bytes)?;
    // The library does not look at the size of a frame whose last block is empty.
    let alone = find_frame_compressed_size(body).is_ok_and(|length| length == body.len());
    if alone && claimed.is_some_and(|size| size != larger.len()) {
        return Err(Flaw::Corrupt("its size is wrong".into()));
    }
    Ok(larger)
}

/// Without a window, and into a buffer of the right size.
fn decompress_at_once(body: &[u8], size: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new()?),
        };
        let mut larger = Vec::with_capacity(size);
        decompressor.decompress_to_buffer(body, &mut larger)?;
        Ok(larger)
    })
}

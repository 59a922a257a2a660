//! Compression: all formats alike, lz4 with the vectors of go-msg, and bodies that were made to do harm.

use std::io::Write;

use chappe_core::{BoxError, ErrorKind, Message};
use chappe_middleware::compress::{CompressLayer, DecompressLayer};

use crate::kit::{assert_same, encoding, kind, message, rejection, text, through};

const L1: &str = "04224d186470b90c00008068656c6c6f2c776f726c642100000000ef1ff7e4";
const L3: &str = "04224d186470b92900000011610100ef6262626262636363636363313233140001001400002800c06262626363636363633132330000000030287384";

fn formats() -> [(&'static str, CompressLayer); 4] {
    [
        ("br", CompressLayer::brotli()),
        ("gzip", CompressLayer::gzip()),
        ("lz4", CompressLayer::lz4()),
        ("zstd", CompressLayer::zstd()),
    ]
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What no format makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

async fn compressed(layer: CompressLayer, body: impl Into<bytes::Bytes>) -> Message {
    through(&layer.always(), message(body, &[])).await.unwrap()
}

async fn decompressed(message: Message) -> Result<Message, BoxError> {
    through(&DecompressLayer::new(), message).await
}

#[tokio::test]
async fn every_format_gives_back_what_it_was_given() {
    for (name, layer) in formats() {
        for body in [Vec::new(), b"x".to_vec(), text(1000).into(), text(300_000).into(), noise(100_000)] {
            let before = message(body, &[("a", "1")]);

            let published = through(&layer.always(), before.clone()).await.unwrap();
            assert_eq!(encoding(&published), Some(name));
            let received = decompressed(published).await.unwrap();

            assert_same(&received, &before);
        }
    }
}

#[tokio::test]
async fn a_body_of_several_lz4_blocks_comes_back() {
    for body in [text(9_000_000).into_bytes(), noise(4 << 20), noise((8 << 20) + 1)] {
        let published = compressed(CompressLayer::lz4(), body.clone()).await;

        assert!(decompressed(published).await.unwrap().body() == &body);
    }
}

#[tokio::test]
async fn every_level_can_be_read() {
    let body = text(10_000);
    for (layer, levels) in
        [(CompressLayer::brotli(), 0..=11), (CompressLayer::gzip(), 0..=9), (CompressLayer::zstd(), -5..=22)]
    {
        for level in levels {
            let published = compressed(layer.level(level).unwrap(), body.clone()).await;

            assert_eq!(decompressed(published).await.unwrap().body(), &body);
        }
    }
}

#[test]
fn a_level_the_format_does_not_have_is_refused() {
    for (layer, level) in [
        (CompressLayer::brotli(), 12),
        (CompressLayer::gzip(), -1),
        (CompressLayer::lz4(), 1),
        (CompressLayer::zstd(), 23),
    ] {
        assert_eq!(layer.level(level).unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn the_highest_level_is_smaller_than_the_lowest() {
    for (layer, first, last) in
        [(CompressLayer::brotli(), 0, 11), (CompressLayer::gzip(), 1, 9), (CompressLayer::zstd(), -50, 19)]
    {
        let low = compressed(layer.level(first).unwrap(), text(20_000)).await;
        let high = compressed(layer.level(last).unwrap(), text(20_000)).await;

        assert!(high.body().len() < low.body().len());
    }
}

#[tokio::test]
async fn what_is_small_or_would_grow_is_neither_compressed_nor_marked() {
    for (_, layer) in formats() {
        for body in [text(255).into_bytes(), noise(1000)] {
            let before = message(body, &[]);

            assert_same(&through(&layer, before.clone()).await.unwrap(), &before);
        }
        assert!(encoding(&through(&layer, message(text(256), &[])).await.unwrap()).is_some());
        assert!(encoding(&through(&layer.min_bytes(100), message("z".repeat(100), &[])).await.unwrap()).is_some());
    }
}

#[tokio::test]
async fn what_is_compressed_already_is_passed_on_untouched() {
    for mark in ["gzip", "br", "deflate", "base64, ZSTD"] {
        let before = message(text(1000), &[("content-encoding", mark)]);

        assert_same(&through(&CompressLayer::zstd().always(), before.clone()).await.unwrap(), &before);
    }
}

#[tokio::test]
async fn what_another_layer_encoded_is_compressed() {
    let before = message(text(1000), &[("content-encoding", "gzip, base64")]);

    let published = through(&CompressLayer::lz4(), before.clone()).await.unwrap();
    let received = decompressed(published.clone()).await.unwrap();

    assert_eq!(encoding(&published), Some("gzip, base64, lz4"));
    assert_same(&received, &before);
}

#[tokio::test]
async fn several_formats_behind_each_other_are_undone_last_first() {
    let inner = compressed(CompressLayer::gzip(), text(1000)).await;
    let outer = compressed(CompressLayer::brotli(), inner.into_body()).await;

    let received =
        decompressed(message(outer.into_body(), &[("Content-Encoding", "gzip, identity,br")])).await.unwrap();

    assert_same(&received, &message(text(1000), &[]));
}

#[tokio::test]
async fn too_many_formats_behind_each_other_are_rejected() {
    let mut body = bytes::Bytes::from(text(100));
    for _ in 0..5 {
        body = compressed(CompressLayer::gzip(), body).await.into_body();
    }

    let four = decompressed(message(body.clone(), &[("Content-Encoding", "gzip,gzip,gzip,gzip")])).await;
    let reason = rejection(decompressed(message(body, &[("Content-Encoding", "gzip,gzip,gzip,gzip,gzip")])).await);

    assert!(four.is_ok());
    assert!(reason.contains("more than 4 times"), "{reason}");
}

#[tokio::test]
async fn a_message_that_is_not_marked_or_by_another_layer_is_passed_on_untouched() {
    for marks in [&[][..], &[("Content-Encoding", "gzip, base64")], &[("Content-Encoding", "aes-256-gcm")]] {
        let before = message(bytes(L3), marks);

        assert_same(&decompressed(before.clone()).await.unwrap(), &before);
    }
}

#[tokio::test]
async fn an_unknown_encoding_is_rejected_by_name() {
    for (mark, named) in [("deflate", "\"deflate\""), ("gzip, x-own", "\"x-own\"")] {
        let reason = rejection(decompressed(message("x", &[("Content-Encoding", mark)])).await);

        assert!(reason.contains(named), "{reason}");
    }
}

#[tokio::test]
async fn lz4_is_written_as_go_msg_writes_it() {
    let published = compressed(CompressLayer::lz4(), "hello,world!").await;

    assert_same(&published, &message(bytes(L1), &[("Content-Encoding", "lz4")]));
}

#[tokio::test]
async fn lz4_of_go_msg_is_read() {
    let plain = "aaaaaabbbbbcccccc123".repeat(3);
    for (vector, plain) in [(L1, "hello,world!"), (L3, plain.as_str())] {
        let received = decompressed(message(bytes(vector), &[("content-encoding", "lz4")])).await.unwrap();

        assert_same(&received, &message(plain.to_owned(), &[]));
    }
}

#[tokio::test]
async fn what_is_not_lz4_by_its_mark_is_left_alone_or_read_by_its_own_format() {
    let unmarked = message(bytes(L3), &[]);

    assert_same(&decompressed(unmarked.clone()).await.unwrap(), &unmarked);
    assert!(rejection(decompressed(message(bytes(L3), &[("Content-Encoding", "gzip")])).await).contains("gzip"));
}

/// Every cut, and every byte changed: what comes out is either what went in, or a rejection.
#[tokio::test]
async fn a_damaged_body_is_never_passed_on() {
    for (name, layer) in formats() {
        let whole = compressed(layer, text(700)).await;
        let decode = async |body: Vec<u8>| decompressed(message(body, &[("Content-Encoding", name)])).await;

        for length in 0..whole.body().len() {
            let reason = rejection(decode(whole.body()[..length].to_vec()).await);
            assert!(reason.contains(&format!("marked as {name} and is not")), "{length}: {reason}");
        }
        for behind in [&b"x"[..], &[0; 40]] {
            let reason = rejection(decode([whole.body(), behind].concat()).await);
            assert!(reason.contains("is not"), "{name}: {reason}");
        }
        // brotli has no checksum, so it can be changed into something else that is whole.
        if name != "br" {
            for at in 0..whole.body().len() {
                let mut damaged = whole.body().to_vec();
                damaged[at] ^= 0x55;
                if let Ok(received) = decode(damaged).await {
                    assert!(received.body() == &text(700), "{name}: byte {at}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_gets_larger_than_the_limit_is_rejected() {
    for (name, layer) in formats() {
        for length in [5_000, 20_000_000] {
            let bomb = compressed(layer, vec![0; length]).await;
            let small = bomb.body().len();

            let exact = through(&DecompressLayer::new().max_bytes(length), bomb.clone()).await;
            let result = through(&DecompressLayer::new().max_bytes(length - 1), bomb).await;

            assert_eq!(exact.unwrap().body().len(), length);
            assert_eq!(kind(result.as_ref().unwrap_err().as_ref()), Some(ErrorKind::TooLarge));
            let reason = rejection(result);
            assert!(reason.contains(&format!("{name} body of {small} bytes")), "{reason}");
            assert!(reason.contains(&format!("the limit of {} bytes", length - 1)), "{reason}");
        }
    }
}

#[tokio::test]
async fn a_limit_of_nothing_lets_an_empty_body_through() {
    for (_, layer) in formats() {
        let limit = DecompressLayer::new().max_bytes(0);

        assert!(through(&limit, compressed(layer, "").await).await.unwrap().body().is_empty());
        rejection(through(&limit, compressed(layer, "x").await).await);
    }
}

#[tokio::test]
async fn frames_behind_each_other_are_all_read() {
    let zstd = |level| CompressLayer::zstd().level(level).unwrap();
    for (name, layers) in
        [("gzip", [CompressLayer::gzip(); 2]), ("lz4", [CompressLayer::lz4(); 2]), ("zstd", [zstd(1), zstd(9)])]
    {
        let mut body = Vec::new();
        for (layer, part) in layers.into_iter().zip([text(3000), text(100)]) {
            body.extend_from_slice(compressed(layer, part).await.body());
        }

        let received = decompressed(message(body, &[("Content-Encoding", name)])).await.unwrap();

        assert_eq!(received.body(), &[text(3000), text(100)].concat());
    }
}

#[tokio::test]
async fn a_zstd_frame_of_unknown_size_is_read() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(text(300_000).as_bytes()).unwrap();
    let frame = encoder.finish().unwrap();

    let received = decompressed(message(frame, &[("Content-Encoding", "zstd")])).await.unwrap();

    assert_eq!(received.body(), &text(300_000));
}

/// 8 bytes that say they are 15 MiB, and are nothing.
#[tokio::test]
async fn a_claimed_size_is_not_believed() {
    let zstd = [&[0x28, 0xB5, 0x2F, 0xFD, 0xA0][..], &15_000_000_u32.to_le_bytes(), &[1, 0, 0]].concat();

    rejection(decompressed(message(zstd, &[("Content-Encoding", "zstd")])).await);
}

mod lz4_frames {
    //! What other writers of lz4 frames make use of, built by hand with the library's own encoder.

    use std::io::Write;

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

    use super::*;

    fn frame(info: FrameInfo, body: &str) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(body.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    async fn read(body: Vec<u8>) -> Result<Message, BoxError> {
        decompressed(message(body, &[("Content-Encoding", "lz4")])).await
    }

    #[tokio::test]
    async fn all_kinds_of_blocks_and_checksums_are_read() {
        for mode in [BlockMode::Linked, BlockMode::Independent] {
            for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
                for checks in [false, true] {
                    let info = FrameInfo::new().block_mode(mode).block_size(size).block_checksums(checks);
                    let info = info.content_checksum(checks).content_size(checks.then_some(1_500_000));
                    let body = text(1_500_000);

                    assert!(read(frame(info, &body)).await.unwrap().body() == &body, "{mode:?} {size:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_frame_that_is_to_be_skipped_is_skipped() {
        let skipped = [&0x184D_2A53_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
        let whole = frame(FrameInfo::new(), "hello");

        assert_eq!(read([&skipped[..], &whole, &skipped].concat()).await.unwrap().body(), "hello");
        rejection(read(skipped).await);
    }

    #[tokio::test]
    async fn a_frame_without_checksums_is_not_taken_for_whole_when_it_is_cut_between_blocks() {
        let whole = frame(FrameInfo::new(), "hello");

        // Without the mark of its end.
        let reason = rejection(read(whole[..whole.len() - 4].to_vec()).await);

        assert!(reason.contains("cut off"), "{reason}");
    }

    #[tokio::test]
    async fn a_block_that_is_larger_than_its_frame_says_is_rejected() {
        let mut whole = frame(FrameInfo::new().block_size(BlockSize::Max4MB), &"a".repeat(100_000));
        // 64 KiB instead, with the checksum that goes with it.
        whole[5] = 0x40;
        whole[6] = frame(FrameInfo::new().block_size(BlockSize::Max64KB), "a")[6];

        let reason = rejection(read(whole).await);

        assert!(reason.contains("too large"), "{reason}");
    }
}

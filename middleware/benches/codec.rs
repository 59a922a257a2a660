//! What a layer costs over the codec it is made of: `cargo bench -p chappe-middleware --all-features`.
//!
//! `layer` is a call of the layer's service with a message that somebody else keeps, as a queue does; `bare` is
//! its library, used by a program that does it well: contexts are kept, and buffers have the right size.
#![allow(missing_docs, reason = "criterion's macros make items")]
#![allow(clippy::unwrap_used, reason = "nothing is handled here")]

use std::future::{Ready, ready};
use std::hint::black_box;
use std::io::{Read, Write};

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chappe_core::{BoxError, Message};
use chappe_middleware::base64::{Base64DecodeLayer, Base64EncodeLayer};
use chappe_middleware::checksum::{DigestLayer, VerifyLayer};
use chappe_middleware::compress::{CompressLayer, DecompressLayer};
use chappe_middleware::encrypt::{DecryptLayer, EncryptLayer, KeyRing};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt;
use sha2::{Digest, Sha256};
use tower::util::ServiceFn;
use tower::{Layer, Service, service_fn};

const SIZES: [usize; 2] = [1_000, 100_000];

type Echo = ServiceFn<fn(Message) -> Ready<Result<Message, BoxError>>>;

fn echo() -> Echo {
    service_fn(|message| ready(Ok(message)))
}

/// A layer, and what is called with a message in it.
trait Codec: Layer<Echo, Service: Service<Message, Response = Message, Error = BoxError>> {}
impl<L: Layer<Echo, Service: Service<Message, Response = Message, Error = BoxError>>> Codec for L {}

fn call<S: Service<Message, Response = Message, Error = BoxError>>(service: &mut S, message: &Message) -> Message {
    service.call(message.clone()).now_or_never().expect("nothing waits").unwrap()
}

/// JSON, as bodies mostly are.
fn body(length: usize) -> Bytes {
    let mut text = String::from("[");
    let mut state = 7_u32;
    while text.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (id, price, city) = (state, state >> 16, state >> 29);
        text += &format!(r#"{{"id":{id},"customer":{{"city":"city-{city}","active":true}},"price":{price}}},"#);
    }
    text.truncate(length);
    text.into()
}

fn measure<T>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut work: impl FnMut() -> T) {
    group.bench_function(name, |bencher| bencher.iter(|| black_box(work())));
}

/// A pair of layers beside the two functions of their library, of which the second is handed what the layer made
/// of the body, and what the first function did.
fn compare<A, B>(
    criterion: &mut Criterion,
    name: &str,
    layers: (&impl Codec, &impl Codec),
    mut bare: (impl FnMut(&[u8]) -> A, impl FnMut(&[u8], &A) -> B),
) {
    for size in SIZES {
        let plain = Message::new(body(size));
        let (mut publish, mut receive) = (layers.0.layer(echo()), layers.1.layer(echo()));
        let encoded = call(&mut publish, &plain);
        let own = (bare.0)(plain.body());
        let mut group = criterion.benchmark_group(format!("{name}/{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        measure(&mut group, "encode/bare", || (bare.0)(black_box(plain.body())));
        measure(&mut group, "encode/layer", || call(&mut publish, &plain));
        measure(&mut group, "decode/bare", || (bare.1)(black_box(encoded.body()), black_box(&own)));
        measure(&mut group, "decode/layer", || call(&mut receive, &encoded));
        group.finish();
    }
}

fn text(criterion: &mut Criterion) {
    let layers = (&Base64EncodeLayer::new(), &Base64DecodeLayer::new());
    compare(
        criterion,
        "base64",
        layers,
        (|body: &[u8]| STANDARD.encode(body), |_: &[u8], own: &String| STANDARD.decode(own).unwrap()),
    );
}

fn compression(criterion: &mut Criterion) {
    let receive = &DecompressLayer::new();
    let gzip = |body: &[u8]| {
        let mut encoder =
            flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 2), flate2::Compression::new(6));
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    let gunzip = |_: &[u8], body: &Vec<u8>| {
        let mut out = Vec::with_capacity(body.len() * 4);
        flate2::bufread::GzDecoder::new(&body[..]).read_to_end(&mut out).unwrap();
        out
    };
    compare(criterion, "gzip", (&CompressLayer::gzip().always(), receive), (gzip, gunzip));

    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
    let mut decompressor = zstd::bulk::Decompressor::new().unwrap();
    let bare = (
        |body: &[u8]| compressor.compress(body).unwrap(),
        |_: &[u8], own: &Vec<u8>| decompressor.decompress(own, 16 << 20).unwrap(),
    );
    compare(criterion, "zstd", (&CompressLayer::zstd().always(), receive), bare);

    let lz4 = |body: &[u8]| {
        let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::with_capacity(body.len() / 2));
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    let unlz4 = |_: &[u8], body: &Vec<u8>| {
        let mut out = Vec::with_capacity(body.len() * 4);
        lz4_flex::frame::FrameDecoder::new(&body[..]).read_to_end(&mut out).unwrap();
        out
    };
    compare(criterion, "lz4", (&CompressLayer::lz4().always(), receive), (lz4, unlz4));

    let brotli = |mut body: &[u8]| {
        let lgwin = (usize::BITS - body.len().leading_zeros()).clamp(10, 24) as i32;
        let parameters =
            brotli::enc::BrotliEncoderParams { quality: 5, lgwin, size_hint: body.len(), ..Default::default() };
        let mut out = Vec::with_capacity(body.len() / 2);
        brotli::BrotliCompress(&mut body, &mut out, &parameters).unwrap();
        out
    };
    let unbrotli = |_: &[u8], body: &Vec<u8>| {
        let mut out = Vec::with_capacity(body.len() * 4);
        brotli::BrotliDecompress(&mut &body[..], &mut out).unwrap();
        out
    };
    compare(criterion, "brotli", (&CompressLayer::brotli().always(), receive), (brotli, unbrotli));
}

fn encryption(criterion: &mut Criterion) {
    let ring = KeyRing::new("k1", &[1; 32]).unwrap();
    let cipher = Aes256Gcm::new(&[1; 32].into());
    let encrypt = |body: &[u8]| {
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).unwrap();
        let mut out = Vec::with_capacity(body.len() + 28);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(body);
        let tag = cipher.encrypt_inout_detached(&nonce.into(), b"k1", out[12..].as_mut().into()).unwrap();
        out.extend_from_slice(&tag);
        out
    };
    let decrypt = |_: &[u8], own: &Vec<u8>| {
        let (nonce, rest) = own.split_first_chunk::<12>().unwrap();
        let (rest, tag) = rest.split_last_chunk::<16>().unwrap();
        let mut out = rest.to_vec();
        cipher.decrypt_inout_detached(nonce.into(), b"k1", out.as_mut_slice().into(), tag.into()).unwrap();
        out
    };
    compare(criterion, "aes-256-gcm", (&EncryptLayer::new(ring.clone()), &DecryptLayer::new(ring)), (encrypt, decrypt));
}

fn checksums(criterion: &mut Criterion) {
    let receive = &VerifyLayer::new();
    let crc = |body: &[u8]| STANDARD.encode(crc32c::crc32c(body).to_be_bytes());
    compare(
        criterion,
        "crc32c",
        (&DigestLayer::crc32c(), receive),
        (crc, |body: &[u8], own: &String| crc(body) == *own),
    );
    let sha = |body: &[u8]| STANDARD.encode(Sha256::digest(body));
    compare(
        criterion,
        "sha-256",
        (&DigestLayer::sha256(), receive),
        (sha, |body: &[u8], own: &String| sha(body) == *own),
    );
}

criterion_group!(benches, text, compression, encryption, checksums);
criterion_main!(benches);

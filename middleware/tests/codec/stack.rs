//! Codecs whose types are forgotten, to be put into stacks at run time.

use std::sync::Arc;

use chappe_core::{BoxError, Message, Outcome, Published};
use chappe_middleware::base64::{self, Base64DecodeLayer, Base64EncodeLayer};
use chappe_middleware::checksum::{self, DigestLayer};
use chappe_middleware::claim::{ClaimStore, FetchBodyLayer, StoreBodyLayer};
use chappe_middleware::codec::Pair;
use chappe_middleware::compress::{self, CompressLayer};
use chappe_middleware::encrypt::{DecryptLayer, EncryptLayer, KeyRing};
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceExt};

pub(crate) type Publish = BoxCloneService<Message, Published, BoxError>;
pub(crate) type Receive = BoxCloneService<Message, Outcome, BoxError>;

type Wrap<S> = Arc<dyn Fn(S) -> S>;

/// A pair of layers.
#[derive(Clone)]
pub(crate) struct Codec {
    name: &'static str,
    /// Of what there is to be one only in a stack.
    pub(crate) one_of: Option<&'static str>,
    publish: Wrap<Publish>,
    receive: Wrap<Receive>,
}

impl Codec {
    pub(crate) fn new<P, R>(name: &'static str, pair: Pair<P, R>) -> Self
    where
        P: Layer<
                Publish,
                Service: Service<Message, Response = Published, Error = BoxError, Future: Send> + Clone + Send,
            > + 'static,
        R: Layer<Receive, Service: Service<Message, Response = Outcome, Error = BoxError, Future: Send> + Clone + Send>
            + 'static,
        P::Service: 'static,
        R::Service: 'static,
    {
        let (publish, receive) = pair.split();
        Self {
            name,
            one_of: None,
            publish: Arc::new(move |inner| publish.layer(inner).boxed_clone()),
            receive: Arc::new(move |inner| receive.layer(inner).boxed_clone()),
        }
    }

    fn one_of(mut self, kind: &'static str) -> Self {
        self.one_of = Some(kind);
        self
    }
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Puts codecs around a topic: the first of them is the first to see a message.
pub(crate) fn publish(codecs: &[Codec], topic: Publish) -> Publish {
    codecs.iter().rev().fold(topic, |inner, codec| (codec.publish)(inner))
}

/// Puts codecs around a receiver: the last of them is the first to see a message.
pub(crate) fn receive(codecs: &[Codec], receiver: Receive) -> Receive {
    codecs.iter().fold(receiver, |inner, codec| (codec.receive)(inner))
}

/// Every codec, in the documented order, and some of them with more than one set of options.
pub(crate) fn all(claims: &ClaimStore) -> Vec<Codec> {
    let ring = KeyRing::new("k1", &[1; 32]).unwrap();
    let encrypt = Pair::new(
        EncryptLayer::new(ring.clone()).bind(["type", "missing"]).unwrap(),
        DecryptLayer::new(ring).require_bound(["type"]),
    );
    let claim =
        |max| Pair::new(StoreBodyLayer::new(claims.clone()).max_bytes(max), FetchBodyLayer::new(claims.clone()));
    vec![
        Codec::new("brotli", compress::pair(CompressLayer::brotli().min_bytes(10))).one_of("compression"),
        Codec::new("gzip", compress::pair(CompressLayer::gzip().always())).one_of("compression"),
        Codec::new("lz4", compress::pair(CompressLayer::lz4().always())).one_of("compression"),
        Codec::new("zstd", compress::pair(CompressLayer::zstd())).one_of("compression"),
        Codec::new("encrypt", encrypt),
        Codec::new("crc32c", checksum::pair(DigestLayer::crc32c())),
        Codec::new("sha256", checksum::pair(DigestLayer::sha256())),
        Codec::new("claim over 0", claim(0)).one_of("claim"),
        Codec::new("claim over 500", claim(500)).one_of("claim"),
        Codec::new("base64", base64::pair()),
    ]
}

/// Where messages go that go-msg reads; only ever the last of a stack.
pub(crate) fn go_msg() -> Codec {
    Codec::new("base64 for go-msg", Pair::new(Base64EncodeLayer::new().go_msg(), Base64DecodeLayer::new()))
}

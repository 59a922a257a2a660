//! TLS, by certificates of the tests' own.

use std::path::{Path, PathBuf};

use chappe_core::backend::{
    Backend, Broadcast, ConsumeOptions, Queue, Signal, StopToken, SubscribeOptions, Subscription,
};
use chappe_core::{ErrorKind, Topic};
use chappe_redis::{RedisBus, RedisQueue};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::time::timeout;

use crate::rows::{ack, body, consumer, take};
use crate::support::{Own, PATIENCE, free_port, fresh_name};

/// A server that speaks TLS at a port of its own, the port, and the file of its authority.
async fn server() -> (Own, u16, PathBuf) {
    let port = free_port();
    let mut authority = PathBuf::new();
    let own = Own::start_with(|folder| {
        authority = certify(folder);
        let file = |name: &str| folder.join(name).display().to_string();
        ["--tls-port", &port.to_string(), "--tls-cert-file", &file("cert.pem"), "--tls-key-file", &file("key.pem")]
            .into_iter()
            .chain(["--tls-auth-clients", "no"])
            .map(ToOwned::to_owned)
            .collect()
    });
    (own.await, port, authority)
}

/// Writes a certificate for this machine, its key, and the certificate of who has signed it, whose path it answers.
fn certify(folder: &Path) -> PathBuf {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, folder.display().to_string());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let files = [("ca.pem", authority.pem()), ("cert.pem", server.pem()), ("key.pem", key.serialize_pem())];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    folder.join("ca.pem")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn queues_and_buses_speak_tls_by_url() {
    let (_server, port, authority) = server().await;
    let url = |what: &str| format!("rediss://localhost:{port}?{what}&root_cert={}", authority.display());
    let queue = RedisQueue::from_url(&url(&format!("queue={}", fresh_name()))).unwrap();
    let bus = RedisBus::from_url(&url("topic=prices")).unwrap();
    let mut consumer = consumer(&queue).await;
    let mut subscription = bus.subscribe("prices", SubscribeOptions::new()).await.unwrap();

    queue.topic().publish("x").await.unwrap();
    bus.topic("prices").publish("y").await.unwrap();
    let delivery = take(&mut consumer, 1).await.remove(0);
    let mut signals = Vec::new();
    timeout(PATIENCE, subscription.recv(1, &mut signals)).await.expect("it comes").unwrap();

    assert_eq!(body(&delivery.message), "x");
    ack(&queue, &delivery).await;
    assert!(matches!(&signals[0], Signal::Message(message) if message.body() == "y"), "{signals:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run by cargo xtask test"]
async fn a_certificate_that_is_not_trusted_ends_serving_with_what_to_do() {
    let (_server, port, _) = server().await;
    let (_other, _, stranger) = server().await;
    let url = format!("rediss://user:hunter2@localhost:{port}?queue=q&root_cert={}", stranger.display());
    let queue = RedisQueue::from_url(&url).unwrap();

    let consumed = queue.consume(ConsumeOptions::new(StopToken::never(), 1.try_into().unwrap())).await;

    let error = consumed.expect_err("nobody vouches for it");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.to_string().contains("name the file of its authority by the option root_cert"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2") && !queue.status().is_healthy(), "{error:?}");
}

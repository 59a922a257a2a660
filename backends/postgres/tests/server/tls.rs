//! TLS by URL, with certificates of the tests' own.

use std::path::{Path, PathBuf};

use chappe::Topic;
use chappe_core::ErrorKind;
use chappe_core::backend::{Action, SettleResult};
use chappe_postgres::{PgBus, PgQueue, PgStore};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::cluster::Cluster;
use crate::support::{client_at, consumer, settle, take};

/// A server that speaks TLS as `localhost`, and the file of its authority.
async fn server() -> (Cluster, PathBuf) {
    let mut authority = PathBuf::new();
    let cluster = Cluster::start_with(|folder| authority = certify(folder)).await;
    (cluster, authority)
}

/// Writes a certificate, its key, and the certificate of who has signed it, whose path it answers; has the server use
/// them.
fn certify(folder: &Path) -> PathBuf {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, folder.display().to_string());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let settings = "ssl = on\nssl_cert_file = '../cert.pem'\nssl_key_file = '../key.pem'\n".to_owned();
    let files = [
        ("ca.pem", authority.pem()),
        ("cert.pem", server.pem()),
        ("key.pem", key.serialize_pem()),
        ("data/postgresql.auto.conf", settings),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        // The server refuses a key that others may read.
        std::process::Command::new("chmod").arg("600").arg(&path).status().unwrap();
    }
    folder.join("ca.pem")
}

/// The URL of a server by another name, with options.
fn url(cluster: &Cluster, host: &str, options: &str) -> String {
    format!("postgres://postgres:hunter2@{host}:{}/postgres?{options}", cluster.port())
}

/// What connecting comes to: whether the connection is encrypted, or the kind and the text of the error.
async fn encrypted(url: &str) -> Result<bool, (ErrorKind, String)> {
    let told = |error: chappe_core::Error| (error.kind(), format!("{error} {error:?}"));
    let name = format!("tls_{:x}", fastrand::u64(..));
    let store = PgStore::from_url(&format!("{url}&application_name={name}")).map_err(told)?;
    store.migrate().await.map_err(told)?;
    let queue = PgQueue::new(&store, "q");
    let _consumer = consumer(&queue).await;
    let plain = url.split_once('?').expect("the URL has options").0.replace("hunter2", "x");
    let ssl = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1";
    Ok(client_at(&plain).await.query_one(ssl, &[&name]).await.expect("it is there").get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_url_says_whether_there_is_tls_and_whom_to_trust() {
    let (cluster, authority) = server().await;
    let theirs = format!("&sslrootcert={}", authority.display());
    let folder = tempfile(&cluster);
    let strangers = format!("&sslrootcert={}", certify(&folder).display());

    for (host, options, expected) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), Ok(false)),
        ("127.0.0.1", "sslmode=prefer".to_owned(), Ok(true)),
        ("127.0.0.1", "connect_timeout=9".to_owned(), Ok(true)),
        ("127.0.0.1", "sslmode=require".to_owned(), Ok(true)),
        ("127.0.0.1", format!("sslmode=require{theirs}"), Ok(true)),
        ("127.0.0.1", format!("sslmode=require{strangers}"), Err("UnknownIssuer")),
        ("127.0.0.1", format!("sslmode=verify-ca{theirs}"), Ok(true)),
        ("127.0.0.1", format!("sslmode=verify-ca{strangers}"), Err("UnknownIssuer")),
        ("127.0.0.1", format!("sslmode=verify-full{theirs}"), Err("not valid for name")),
        ("localhost", format!("sslmode=verify-full{theirs}"), Ok(true)),
        ("localhost", format!("sslmode=verify-full{strangers}"), Err("UnknownIssuer")),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(), Err("/nowhere.pem cannot be read")),
    ] {
        let came = encrypted(&url(&cluster, host, &options)).await;

        match (&came, expected) {
            (Ok(encrypted), Ok(expected)) => assert_eq!(*encrypted, expected, "{host} {options}"),
            (Err((kind, text)), Err(expected)) => {
                assert_eq!(*kind, ErrorKind::Invalid, "{host} {options}: {text}");
                assert!(text.contains(expected) && text.contains("sslrootcert"), "{host} {options}: {text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
            _ => panic!("{host} {options}: {came:?}"),
        }
    }
}

/// A folder that goes with the server's.
fn tempfile(cluster: &Cluster) -> PathBuf {
    let folder = cluster.folder().join("stranger");
    std::fs::create_dir_all(folder.join("data")).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn queues_and_buses_speak_tls_by_url() {
    let (cluster, authority) = server().await;
    let secure = |option: &str| {
        url(&cluster, "localhost", &format!("{option}&sslmode=verify-full&sslrootcert={}", authority.display()))
    };
    let queue = PgQueue::from_url(&secure("queue=q")).unwrap();
    queue.store().migrate().await.unwrap();
    let bus = PgBus::from_url(&secure("topic=prices")).unwrap();
    let mut subscription =
        chappe_core::backend::Broadcast::subscribe(&bus, "prices", Default::default()).await.unwrap();

    queue.topic().publish("x").await.unwrap();
    bus.topic("prices").publish("y").await.unwrap();
    let delivery = take(&mut consumer(&queue).await, 1).await.remove(0);
    let mut signals = Vec::new();
    chappe_core::backend::Subscription::recv(&mut subscription, 1, &mut signals).await.unwrap();

    assert_eq!(delivery.message.body(), "x");
    assert!(matches!(settle(&queue, &delivery, Action::Ack).await, SettleResult::Done));
    assert!(
        matches!(&signals[0], chappe_core::backend::Signal::Message(message) if message.body() == "y"),
        "{signals:?}"
    );
}

/// The proof of a password is bound to the certificate, so that nobody in between can pass it on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_password_is_bound_to_the_channel() {
    let (cluster, _) = server().await;
    let client = client_at(&cluster.url()).await;
    client.batch_execute("CREATE ROLE bound LOGIN SUPERUSER PASSWORD 'hunter2'").await.unwrap();
    let rule = "hostssl all bound 127.0.0.1/32 scram-sha-256\n";
    let hba = cluster.folder().join("data/pg_hba.conf");
    let rules = format!("{rule}{}", std::fs::read_to_string(&hba).unwrap());
    std::fs::write(&hba, rules).unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let url = url(&cluster, "127.0.0.1", "sslmode=require&channel_binding=require").replace("postgres:h", "bound:h");

    let right = PgStore::from_url(&url).unwrap().migrate().await;
    let wrong = PgStore::from_url(&url.replace("hunter2", "hunter3")).unwrap().migrate().await;

    right.unwrap();
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let refused = encrypted(&format!("{}?sslmode=require", crate::support::url())).await;

    let (kind, text) = refused.unwrap_err();
    assert_eq!(kind, ErrorKind::Invalid, "{text}");
    assert!(text.contains("does not support TLS"), "{text}");
}

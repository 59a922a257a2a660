//! Encryption: who can read, what cannot be changed, and rotation.

use chappe_core::{ErrorKind, Message, Outcome};
use chappe_middleware::encrypt::{DecryptLayer, EncryptLayer, KeyRing, pair};

use crate::kit::{assert_same, encoding, kind, message, rejection, through};

fn ring() -> KeyRing {
    KeyRing::new("k1", &[1; 32]).unwrap()
}

fn payment() -> Message {
    message("pay 100", &[("type", "payment.made"), ("trace", "t")])
}

async fn encrypted() -> Message {
    through(&EncryptLayer::new(ring()).bind(["type", "tenant"]).unwrap(), payment()).await.unwrap()
}

async fn refused(message: Message) -> String {
    rejection(through(&DecryptLayer::new(ring()), message).await)
}

#[tokio::test]
async fn what_was_encrypted_is_unreadable_and_comes_back() {
    for body in ["", "pay 100"] {
        let before = message(body, &[("Content-Encoding", "gzip"), ("a", "1")]);
        let (publish, receive) = pair(ring()).split();

        let published = through(&publish, before.clone()).await.unwrap();
        let received = through(&receive, published.clone()).await.unwrap();

        assert_eq!(encoding(&published), Some("gzip, aes-256-gcm"));
        assert!(!published.body().windows(3).any(|part| part == b"pay"));
        assert_same(&received, &before);
    }
}

#[tokio::test]
async fn the_same_message_is_never_encrypted_the_same_way() {
    assert_ne!(encrypted().await.body(), encrypted().await.body());
}

#[tokio::test]
async fn every_changed_byte_is_noticed() {
    let whole = encrypted().await;

    for at in 0..whole.body().len() {
        for flip in [1, 0x80] {
            let mut damaged = whole.body().to_vec();
            damaged[at] ^= flip;
            let mut message = whole.clone();
            message.set_body(damaged);

            assert!(through(&DecryptLayer::new(ring()), message).await.is_err(), "byte {at}");
        }
    }
    for length in 0..whole.body().len() {
        let mut message = whole.clone();
        message.set_body(whole.body().slice(..length));

        assert!(through(&DecryptLayer::new(ring()), message).await.is_err(), "{length} bytes");
    }
}

#[tokio::test]
async fn a_bound_attribute_cannot_be_changed_removed_or_added() {
    type Change = fn(&mut Message);
    let changes: [Change; 4] = [
        |message| message.attributes_mut().insert("type", "payment.refunded"),
        |message| drop(message.attributes_mut().remove("type")),
        |message| message.attributes_mut().append("Type", "payment.refunded"),
        |message| message.attributes_mut().insert("tenant", "other"),
    ];

    for change in changes {
        let mut message = encrypted().await;
        change(&mut message);

        assert!(refused(message).await.contains("was changed"));
    }
}

#[tokio::test]
async fn the_encodings_below_cannot_be_changed() {
    let mut message = encrypted().await;
    message.attributes_mut().insert("Content-Encoding", "gzip, aes-256-gcm");

    assert!(refused(message).await.contains("was changed"));
}

#[tokio::test]
async fn other_attributes_may_change_on_the_way() {
    let mut message = encrypted().await;
    message.attributes_mut().insert("trace", "other");
    message.attributes_mut().insert("hop", "2");
    // As brokers do that know no case.
    let kind = message.attributes_mut().remove("type").unwrap();
    message.attributes_mut().append("TYPE", kind);

    let received = through(&DecryptLayer::new(ring()), message).await.unwrap();

    assert_eq!(received.body(), "pay 100");
}

#[tokio::test]
async fn what_is_required_to_be_bound_must_be() {
    let layer = DecryptLayer::new(ring()).require_bound(["TYPE"]);
    let unbound = through(&EncryptLayer::new(ring()).bind(["tenant"]).unwrap(), payment()).await.unwrap();

    assert!(through(&layer, encrypted().await).await.is_ok());
    assert!(rejection(through(&layer, unbound).await).contains("attribute TYPE is not bound"));
}

#[tokio::test]
async fn an_unencrypted_message_is_rejected_unless_it_is_allowed() {
    let allowing = DecryptLayer::new(ring()).allow_unencrypted();

    assert_eq!(refused(payment()).await, "message is not encrypted");
    assert_same(&through(&allowing, payment()).await.unwrap(), &payment());
    assert_same(&through(&allowing, encrypted().await).await.unwrap(), &payment());
}

#[tokio::test]
async fn an_encrypted_message_with_something_around_it_is_never_taken_for_unencrypted() {
    let mut message = encrypted().await;
    message.attributes_mut().insert("Content-Encoding", "aes-256-gcm, base64");

    let reason = rejection(through(&DecryptLayer::new(ring()).allow_unencrypted(), message).await);

    assert!(reason.contains("below content encoding \"base64\""), "{reason}");
}

#[tokio::test]
async fn what_is_marked_and_not_encrypted_is_rejected_by_name() {
    for body in ["", "x", "\u{1}\u{2}k1\u{0}short", "\u{2}\u{2}k1\u{0}123456789012345678901234567890"] {
        let reason = refused(message(body, &[("Content-Encoding", "AES-256-GCM")])).await;

        assert_eq!(reason, "body is marked as aes-256-gcm and is not");
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_yet_means_retry() {
    let other = KeyRing::new("k2", &[2; 32]).unwrap();

    let error = through(&DecryptLayer::new(other.clone()), encrypted().await).await.unwrap_err();
    assert_eq!(Outcome::of_error(error.as_ref()), Outcome::Retry);
    assert_eq!(kind(error.as_ref()), Some(ErrorKind::NotFound));

    other.add("k1", &[1; 32]).unwrap();
    assert!(through(&DecryptLayer::new(other), encrypted().await).await.is_ok());
}

#[tokio::test]
async fn another_key_of_the_same_name_is_rejected() {
    let other = KeyRing::new("k1", &[2; 32]).unwrap();

    let reason = rejection(through(&DecryptLayer::new(other), encrypted().await).await);

    assert!(reason.contains("\"k1\" is another"), "{reason}");
}

#[tokio::test]
async fn a_rotation_loses_no_message() {
    let (writing, reading) = (ring(), ring());
    let (publish, receive) = (EncryptLayer::new(writing.clone()), DecryptLayer::new(reading.clone()));
    let old = through(&publish, payment()).await.unwrap();

    reading.add("k2", &[2; 32]).unwrap();
    writing.add("k2", &[2; 32]).unwrap();
    writing.promote("k2").unwrap();
    let new = through(&publish, payment()).await.unwrap();
    for message in [&old, &new] {
        assert_same(&through(&receive, message.clone()).await.unwrap(), &payment());
    }
    reading.promote("k2").unwrap();
    reading.retire("k1").unwrap();

    assert!(through(&receive, old).await.is_err());
    assert!(through(&receive, new).await.is_ok());
}

/// So that what is encrypted today is decrypted by the versions to come.
#[tokio::test]
async fn the_format_stays_as_it_is() {
    let mut body = b"\x01\x02k1\x01\x04type".to_vec();
    body.extend_from_slice(&FIXED);
    let stored = message(body, &[("type", "payment.made"), ("Content-Encoding", "aes-256-gcm")]);

    let received = through(&DecryptLayer::new(ring()).require_bound(["type"]), stored).await.unwrap();

    assert_eq!(received.body(), "pay 100");
}

/// Nonce, ciphertext and tag, made by another implementation of AES-GCM.
const FIXED: [u8; 35] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 203, 199, 236, 6, 17, 206, 54, 26, 150, 44, 76, 217, 60, 39, 133, 246, 71,
    135, 215, 93, 195, 250, 195,
];

#[test]
fn more_than_can_be_told_is_not_bound() {
    let layer = || EncryptLayer::new(ring());

    assert!(layer().bind((0..255).map(|number| number.to_string())).is_ok());
    assert_eq!(layer().bind((0..256).map(|number| number.to_string())).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(layer().bind(["x".repeat(256)]).unwrap_err().kind(), ErrorKind::Invalid);
}

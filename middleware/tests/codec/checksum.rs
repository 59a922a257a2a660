//! Checksums.

use chappe_core::Message;
use chappe_middleware::checksum::{DigestLayer, VerifyLayer, pair};

use crate::kit::{assert_same, message, rejection, through};

const DIGEST: &str = "Content-Digest";

async fn digested(layer: DigestLayer) -> Message {
    through(&layer, message("pay 100", &[("a", "1")])).await.unwrap()
}

#[tokio::test]
async fn what_matches_is_passed_on_without_its_checksum() {
    for layer in [DigestLayer::crc32c(), DigestLayer::sha256()] {
        for body in ["", "pay 100"] {
            let before = message(body, &[("a", "1")]);
            let (publish, receive) = pair(layer).split();

            let published = through(&publish, before.clone()).await.unwrap();
            let received = through(&receive, published.clone()).await.unwrap();

            assert!(published.attributes().contains(DIGEST));
            assert_same(&received, &before);
        }
    }
}

#[tokio::test]
async fn what_does_not_match_is_rejected() {
    for (layer, name) in [(DigestLayer::crc32c(), "crc32c"), (DigestLayer::sha256(), "sha-256")] {
        let mut changed = digested(layer).await;
        changed.set_body("pay 900");

        let reason = rejection(through(&VerifyLayer::new(), changed).await);

        assert!(reason.contains(&format!("body of 7 bytes does not match its {name} checksum")), "{reason}");
    }
}

#[tokio::test]
async fn what_is_no_checksum_is_rejected() {
    for entry in ["crc32c=", "crc32c=::", "CRC32C=:4waSgw==:x", "sha-256=:4waSgw==:"] {
        rejection(through(&VerifyLayer::new(), message("123456789", &[(DIGEST, entry)])).await);
    }
}

#[tokio::test]
async fn a_message_without_a_checksum_or_with_an_unknown_one_is_passed_on_unless_it_is_required() {
    for attributes in [&[][..], &[(DIGEST, "sha-512=:abc=:")], &[(DIGEST, "nonsense")]] {
        let before = message("x", attributes);

        assert_same(&through(&VerifyLayer::new(), before.clone()).await.unwrap(), &before);
        rejection(through(&VerifyLayer::new().require(), before).await);
    }
}

#[tokio::test]
async fn a_checksum_that_was_there_before_stays() {
    let before = message("new body", &[("content-digest", "sha-256=:of-the-old-body=:")]);

    let published = through(&DigestLayer::crc32c(), before.clone()).await.unwrap();
    let received = through(&VerifyLayer::new().require(), published).await.unwrap();

    assert_same(&received, &before);
}

#[tokio::test]
async fn the_checksum_of_another_system_is_checked() {
    let theirs =
        message("{\"hello\": \"world\"}\n", &[(DIGEST, "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:")]);

    let received = through(&VerifyLayer::new().require(), theirs).await.unwrap();

    assert!(received.attributes().is_empty());
}

//! base64, with the vectors of go-msg.

use chappe_core::ErrorKind;
use chappe_middleware::base64::{Base64DecodeLayer, Base64EncodeLayer, CONTENT_TRANSFER_ENCODING, pair};

use crate::kit::{assert_same, attributes, encoding, kind, message, rejection, through};

const GO_MSG: (&str, &str) = ("Content-Transfer-Encoding", "base64");

#[tokio::test]
async fn go_msg_mode_writes_what_go_msg_writes() {
    let layer = Base64EncodeLayer::new().go_msg();
    let vectors =
        [("hello,world!", "aGVsbG8sd29ybGQh"), ("dont try to use this twice!", "ZG9udCB0cnkgdG8gdXNlIHRoaXMgdHdpY2Uh")];

    for (body, encoded) in vectors {
        let published = through(&layer, message(body, &[])).await.unwrap();

        assert_same(&published, &message(encoded, &[GO_MSG]));
    }
}

#[tokio::test]
async fn what_go_msg_writes_is_read() {
    let received = through(&Base64DecodeLayer::new(), message("YWJjMTIz", &[("a", "1"), GO_MSG])).await.unwrap();

    assert_same(&received, &message("abc123", &[("a", "1")]));
}

#[tokio::test]
async fn a_message_that_is_not_marked_is_passed_on_untouched() {
    for marks in
        [&[][..], &[("Content-Transfer-Encoding", "quoted-printable")], &[("Content-Encoding", "base64, gzip")]]
    {
        let unmarked = message("YWJjMTIz", marks);

        let received = through(&Base64DecodeLayer::new(), unmarked.clone()).await.unwrap();

        assert_same(&received, &unmarked);
    }
}

#[tokio::test]
async fn the_mark_goes_behind_the_encodings_that_are_there() {
    let before = message("zipped", &[("content-encoding", "gzip"), ("a", "1")]);
    let (publish, receive) = pair().split();

    let published = through(&publish, before.clone()).await.unwrap();
    let received = through(&receive, published.clone()).await.unwrap();

    assert_eq!(encoding(&published), Some("gzip, base64"));
    assert_same(&received, &before);
}

#[tokio::test]
async fn an_empty_body_needs_no_encoding() {
    let published = through(&Base64EncodeLayer::new(), message("", &[])).await.unwrap();

    assert_same(&published, &message("", &[]));
}

#[tokio::test]
async fn what_go_msg_encoded_is_not_encoded_again() {
    let encoded = message("YWJjMTIz", &[GO_MSG]);

    for layer in [Base64EncodeLayer::new(), Base64EncodeLayer::new().go_msg()] {
        assert_same(&through(&layer, encoded.clone()).await.unwrap(), &encoded);
    }
}

#[tokio::test]
async fn go_msg_mode_refuses_to_overwrite_another_transfer_encoding() {
    let marked = message("abc", &[("content-transfer-encoding", "8bit")]);

    let error = through(&Base64EncodeLayer::new().go_msg(), marked).await.unwrap_err();

    assert_eq!(kind(error.as_ref()), Some(ErrorKind::Invalid));
    assert!(error.to_string().contains(CONTENT_TRANSFER_ENCODING));
}

#[tokio::test]
async fn line_breaks_are_ignored_as_go_does() {
    let received = through(&Base64DecodeLayer::new(), message("YWJj\r\nMTIz\n", &[GO_MSG])).await.unwrap();

    assert_eq!(received.body(), "abc123");
    assert_eq!(received.attributes(), &attributes(&[]));
}

#[tokio::test]
async fn what_is_not_base64_is_rejected_by_name_and_not_quoted() {
    for body in ["YWJj*Ux", "YWJjM", "YWJjMTI", "YWJjMTJ=", "====", "YWJj YWJj", "hush\nhush\n*"] {
        let reason = rejection(through(&Base64DecodeLayer::new(), message(body, &[GO_MSG])).await);

        assert!(reason.contains("body is marked as base64 and is not"), "{reason}");
        assert!(!reason.contains("hush") && !reason.contains('*'), "{reason}");
    }
}

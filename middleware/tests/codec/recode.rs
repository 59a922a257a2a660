//! What all codecs do with the service they are around.

use std::task::Poll;

use chappe_core::{BoxError, Message};
use chappe_middleware::base64::{Base64DecodeLayer, Base64EncodeLayer};
use tower::Layer;
use tower_test::{assert_request_eq, mock};

use crate::kit::message;

#[derive(Debug, PartialEq)]
struct Body(Vec<u8>);

/// A mock that takes bodies, since messages cannot be compared.
fn body_of(message: Message) -> Body {
    Body(message.into_body().to_vec())
}

#[tokio::test]
async fn a_codec_is_ready_when_its_service_is() {
    let (mut service, mut handle) = mock::spawn_with(|mock: mock::Mock<Body, ()>| {
        Base64EncodeLayer::new().layer(tower::ServiceExt::map_request(mock, body_of))
    });
    handle.allow(0);

    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.is_woken());
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
}

#[tokio::test]
async fn the_answer_and_the_error_of_the_service_are_handed_on() {
    let (mut service, mut handle) = mock::spawn_with(|mock: mock::Mock<Body, &'static str>| {
        Base64EncodeLayer::new().layer(tower::ServiceExt::map_request(mock, body_of))
    });

    assert!(service.poll_ready().is_ready());
    let answered = service.call(Message::new("abc123"));
    assert_request_eq!(handle, Body(b"YWJjMTIz".to_vec())).send_response("done");
    assert!(service.poll_ready().is_ready());
    let failed = service.call(Message::new("abc123"));
    assert_request_eq!(handle, Body(b"YWJjMTIz".to_vec())).send_error("broken");

    assert_eq!(answered.await.unwrap(), "done");
    assert_eq!(failed.await.unwrap_err().to_string(), "broken");
}

#[tokio::test]
async fn a_service_that_is_not_ready_for_ever_says_why() {
    let (mut service, mut handle) = mock::spawn_layer::<Message, (), _>(Base64DecodeLayer::new());

    handle.send_error("closed");

    let Poll::Ready(Err(error)) = service.poll_ready::<Message>() else { panic!("the error is handed on") };
    assert_eq!(error.to_string(), "closed");
}

#[tokio::test]
async fn a_refused_message_leaves_the_service_uncalled_and_ready() {
    let (mut service, mut handle) = mock::spawn_layer::<Message, (), _>(Base64DecodeLayer::new());
    handle.allow(1);

    assert!(service.poll_ready::<Message>().is_ready());
    let refused: Result<(), BoxError> = service.call(message("?", &[("content-encoding", "base64")])).await;
    assert!(refused.is_err());

    // There was room for one call only, and it is still there.
    assert!(service.poll_ready::<Message>().is_ready());
    let _called = service.call(Message::new("x"));
    assert!(handle.next_request().await.is_some());
}

#[test]
fn the_service_in_a_layer_can_be_had() {
    let mut service = Base64EncodeLayer::new().layer(5);

    *service.get_mut() += 1;

    assert_eq!((*service.get_ref(), service.into_inner()), (6, 6));
}

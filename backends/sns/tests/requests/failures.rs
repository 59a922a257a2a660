//! How failures are classified, and which are repeated.

use std::io;
use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::result::ConnectorError;
use chappe_core::backend::Backend;
use chappe_core::{Error, ErrorKind, Message, Topic};
use chappe_sns::SnsPublisher;

use crate::fake::{ARN, Answer, FIFO, Fake, accept, error};

/// What one attempt at publishing fails with.
async fn failure(answer: impl Fn() -> Answer + Send + 'static) -> Error {
    let topic = Fake::new(move |_| answer()).publisher(ARN).topic();
    topic.timeout(Duration::from_millis(1)).publish("x").await.unwrap_err()
}

fn lost(kind: io::ErrorKind) -> Answer {
    Answer::Lost(ConnectorError::io(io::Error::from(kind).into()))
}

#[tokio::test(start_paused = true)]
async fn codes_have_kinds() {
    for (status, code, message, kind) in [
        (404, "NotFound", "Topic does not exist", ErrorKind::NotFound),
        (400, "EndpointDisabled", "", ErrorKind::NotFound),
        (403, "AuthorizationError", "", ErrorKind::PermissionDenied),
        (403, "ExpiredToken", "", ErrorKind::PermissionDenied),
        (403, "InvalidClientTokenId", "", ErrorKind::PermissionDenied),
        (403, "SomethingNew", "", ErrorKind::PermissionDenied),
        (400, "KMSDisabled", "", ErrorKind::PermissionDenied),
        (400, "KMSThrottling", "", ErrorKind::Throttled),
        (400, "Throttling", "Rate exceeded", ErrorKind::Throttled),
        (429, "SomethingNew", "", ErrorKind::Throttled),
        (400, "InvalidParameter", "Invalid parameter: Message too long", ErrorKind::TooLarge),
        (400, "InvalidParameter", "Invalid parameter: Message Reason: Empty", ErrorKind::Invalid),
        (400, "ParameterValueInvalid", "", ErrorKind::Invalid),
        (400, "ValidationException", "", ErrorKind::Invalid),
        (500, "InternalError", "", ErrorKind::Unavailable),
        (503, "ServiceUnavailable", "", ErrorKind::Unavailable),
    ] {
        let error = failure(move || error(status, code, message)).await;

        assert_eq!(error.kind(), kind, "{status} {code}: {error}");
        assert!(!error.is_ambiguous() && error.to_string().contains(ARN), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_ambiguous_and_a_refused_connection_is_not() {
    let reset = failure(|| lost(io::ErrorKind::ConnectionReset)).await;
    let refused = failure(|| lost(io::ErrorKind::ConnectionRefused)).await;
    let garbage = failure(|| Answer::Status(200, "<not xml".to_owned())).await;
    let timeout = failure(|| Answer::Lost(ConnectorError::timeout("slow".into()))).await;

    assert_eq!((reset.kind(), reset.is_ambiguous()), (ErrorKind::Unavailable, true));
    assert_eq!((refused.kind(), refused.is_ambiguous()), (ErrorKind::Unavailable, false));
    assert_eq!((garbage.kind(), garbage.is_ambiguous()), (ErrorKind::Unavailable, true));
    assert_eq!((timeout.kind(), timeout.is_ambiguous()), (ErrorKind::Unavailable, true));
}

#[tokio::test(start_paused = true)]
async fn throttling_and_faults_are_repeated_until_they_are_over() {
    let mut failures = vec![error(500, "InternalError", ""), error(400, "Throttling", "")];
    let fake = Fake::new(move |request| failures.pop().unwrap_or_else(|| accept(request)));
    let topic = fake.publisher(ARN).topic();

    topic.publish("x").await.unwrap();

    assert_eq!(fake.requests().len(), 3);
    assert!(topic.get_ref().status().is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_repeated_only_where_duplicates_are_recognised() {
    let losing_first = || {
        let mut first = true;
        Fake::new(
            move |request| {
                if std::mem::take(&mut first) { lost(io::ErrorKind::ConnectionReset) } else { accept(request) }
            },
        )
    };
    let (standard, fifo) = (losing_first(), losing_first());

    let refused = standard.publisher(ARN).topic().publish("x").await.unwrap_err();
    let mut message = Message::new("x");
    message.set_key("key");
    fifo.publisher(FIFO).topic().publish(message).await.unwrap();

    assert!(refused.is_ambiguous());
    let ids: Vec<String> = fifo.requests().iter().map(|request| request["MessageDeduplicationId"].clone()).collect();
    assert_eq!((standard.requests().len(), ids.len()), (1, 2));
    assert_eq!(ids[0], ids[1], "both are the same message to SNS");
}

#[tokio::test(start_paused = true)]
async fn a_failing_service_shows_in_the_status_until_it_answers() {
    let mut first = true;
    let fake = Fake::new(
        move |request| {
            if std::mem::take(&mut first) { error(500, "InternalError", "") } else { accept(request) }
        },
    );
    let publisher = fake.publisher(ARN);

    publisher.topic().timeout(Duration::from_millis(1)).publish("x").await.unwrap_err();
    let sick = !publisher.status().is_healthy();
    publisher.topic().publish("x").await.unwrap();

    assert!(sick && publisher.status().is_healthy());
    assert_eq!(publisher.status().stats().sent, 1);
}

#[tokio::test(start_paused = true)]
async fn without_credentials_or_a_region_nothing_is_tried_again() {
    let bare = || aws_sdk_sns::Config::builder().behavior_version(BehaviorVersion::v2026_01_12());
    let http = Fake::accepting().client().config().http_client().unwrap();
    let unsigned = Client::from_conf(bare().region(Region::new("us-east-1")).http_client(http.clone()).build());
    let nowhere = Client::from_conf(bare().http_client(http).build());

    for client in [unsigned, nowhere] {
        let error = SnsPublisher::new(&client, ARN).topic().publish("x").await.unwrap_err();

        assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::PermissionDenied), "{error:?}");
        assert!(!error.is_retryable() && !error.is_ambiguous());
    }
}

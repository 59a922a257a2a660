//! Topics and subscriptions for development.

use aws_sdk_sqs::types::QueueAttributeName;
use chappe_core::Topic;
use chappe_sns::admin::{Subscription, ensure_topic, subscribe};
use chappe_sqs::admin::{QueueSpec, arn_of, ensure_queue};
use serde_json::json;

use crate::pair::{Pair, clients, fresh_name, receive};

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn a_topic_that_is_there_is_found() {
    let (sns, _) = clients("CHAPPE_TEST_AWS");
    let name = fresh_name();

    let first = ensure_topic(&sns, &name).await.unwrap();
    let second = ensure_topic(&sns, &name).await.unwrap();

    assert_eq!(first, second);
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn subscribing_again_changes_the_subscription() {
    let pair = Pair::with(&Subscription::new().filter(json!({ "type": ["nothing"] }))).await;

    let again = subscribe(&pair.sns, &pair.sqs, &pair.arn, &pair.queue_url, &Subscription::new()).await.unwrap();
    pair.publisher().topic().publish("hello").await.unwrap();

    assert_eq!(pair.receive(1).await[0].body(), "hello");
    assert!(again.starts_with(&pair.arn), "{again}");
}

#[tokio::test]
#[ignore = "needs an SQS emulator: run by cargo xtask test"]
async fn several_topics_are_let_into_one_queue() {
    let pair = Pair::raw().await;
    let other = ensure_topic(&pair.sns, &fresh_name()).await.unwrap();

    subscribe(&pair.sns, &pair.sqs, &other, &pair.queue_url, &Subscription::new()).await.unwrap();

    let request = pair.sqs.get_queue_attributes().queue_url(&pair.queue_url);
    let output = request.attribute_names(QueueAttributeName::Policy).send().await.unwrap();
    let policy = output.attributes().unwrap()[&QueueAttributeName::Policy].clone();
    assert!(policy.contains(&pair.arn) && policy.contains(&other), "{policy}");
}

#[tokio::test]
#[ignore = "needs an SQS emulator and its referee: run by cargo xtask test"]
async fn what_cannot_be_delivered_goes_to_the_dead_letter_of_the_subscription() {
    let (sns, sqs) = clients("CHAPPE_TEST_AWS_REFEREE");
    let arn = ensure_topic(&sns, &fresh_name()).await.unwrap();
    let dead_url = ensure_queue(&sqs, &QueueSpec::new(fresh_name())).await.unwrap();
    let queue_url = ensure_queue(&sqs, &QueueSpec::new(fresh_name())).await.unwrap();
    let dead_arn = arn_of(&sqs, &dead_url).await.unwrap();
    let options = Subscription::new().dead_letter(dead_arn);
    subscribe(&sns, &sqs, &arn, &queue_url, &options).await.unwrap();
    sqs.delete_queue().queue_url(&queue_url).send().await.unwrap();

    chappe_sns::SnsPublisher::new(&sns, &arn).topic().publish("lost").await.unwrap();

    let dead = chappe_sqs::SqsQueue::new(&sqs, &dead_url).wait(std::time::Duration::from_secs(1));
    assert_eq!(receive(&dead, 1).await[0].body(), "lost");
}

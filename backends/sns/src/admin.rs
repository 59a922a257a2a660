//! Topics and subscriptions, for development and tests.
//!
//! Nothing here is ever called by a topic. In production the infrastructure is somebody else's, and the
//! permissions to change it too.

use aws_sdk_sns::Client;
use aws_sdk_sns::error::ProvideErrorMetadata;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use chappe_core::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::error::classify;

/// The options of a [subscription](subscribe) of a queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subscription {
    raw: bool,
    filter: Option<Value>,
    filter_body: bool,
    dead_letter: Option<String>,
}

impl Subscription {
    /// Raw delivery of everything: body and attributes arrive as they were published.
    #[must_use]
    pub fn new() -> Self {
        Self { raw: true, filter: None, filter_body: false, dead_letter: None }
    }

    /// Whether body and attributes arrive as they were published, or as JSON with an envelope around them.
    #[must_use]
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// Delivers only messages whose attributes match a
    /// [filter policy](https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html).
    #[must_use]
    pub fn filter(mut self, policy: Value) -> Self {
        self.filter = Some(policy);
        self
    }

    /// As [`filter`](Self::filter), for messages whose body is JSON that matches.
    #[must_use]
    pub fn filter_body(mut self, policy: Value) -> Self {
        self.filter = Some(policy);
        self.filter_body = true;
        self
    }

    /// The ARN of a queue for messages SNS could not deliver.
    #[must_use]
    pub fn dead_letter(mut self, queue_arn: impl Into<String>) -> Self {
        self.dead_letter = Some(queue_arn.into());
        self
    }
}

impl Default for Subscription {
    fn default() -> Self {
        Self::new()
    }
}

/// Clients of SNS and SQS by the rules of the AWS SDKs: credentials, region and endpoint from the environment, the
/// profile, or the machine.
///
/// # Cancel safety
///
/// Dropped, there are none.
#[cfg(feature = "env")]
pub async fn clients_from_env() -> (Client, aws_sdk_sqs::Client) {
    let loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12());
    // The future is more than ten kilobytes.
    let config = Box::pin(loader.load()).await;
    (Client::new(&config), aws_sdk_sqs::Client::new(&config))
}

/// Creates a topic, or finds it if it is there, and answers its ARN. A name that ends in `.fifo` makes a FIFO
/// topic.
///
/// # Errors
///
/// What SNS answers: [`ErrorKind::PermissionDenied`], [`ErrorKind::Invalid`] for a name or attributes it does
/// not take, [`ErrorKind::Throttled`], [`ErrorKind::Unavailable`].
///
/// # Cancel safety
///
/// Dropped, the topic may be there or not; it may be called again.
pub async fn ensure_topic(client: &Client, name: &str) -> Result<String, Error> {
    let mut request = client.create_topic().name(name);
    if name.ends_with(".fifo") {
        request = request.attributes("FifoTopic", "true");
    }
    let output = Box::pin(request.send()).await.map_err(|error| classify(&format!("topic {name}"), error))?;
    let arn = output.topic_arn().map(str::to_owned);
    arn.ok_or_else(|| Error::new(ErrorKind::Other, format!("SNS did not tell the ARN of topic {name}")))
}

/// Subscribes a queue to a topic and lets the topic write to it; answers the ARN of the subscription.
///
/// The policy of the queue keeps what others have put into it. It may be called again, with other options too.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] for a topic or queue that is not there, and otherwise as [`ensure_topic`].
///
/// # Cancel safety
///
/// Dropped, any part of it may be done; it may be called again.
pub async fn subscribe(
    sns: &Client,
    sqs: &aws_sdk_sqs::Client,
    topic_arn: &str,
    queue_url: &str,
    options: &Subscription,
) -> Result<String, Error> {
    let queue_arn = let_in(sqs, topic_arn, queue_url).await?;
    let request = sns.subscribe().topic_arn(topic_arn).protocol("sqs").endpoint(queue_arn);
    let request = request.return_subscription_arn(true);
    let output = Box::pin(request.send()).await.map_err(|error| classify(&format!("topic {topic_arn}"), error))?;
    let Some(arn) = output.subscription_arn() else {
        return Err(Error::new(ErrorKind::Other, format!("SNS did not tell the subscription of {queue_url}")));
    };
    // Set afterwards, since a subscription that is there already is not changed by subscribing again.
    let redrive = options.dead_letter.as_ref().map(|dead| json!({ "deadLetterTargetArn": dead }).to_string());
    let scope = if options.filter_body { "MessageBody" } else { "MessageAttributes" };
    let filter = options.filter.as_ref().map(Value::to_string);
    let attributes = [
        ("RawMessageDelivery", Some(options.raw.to_string())),
        ("FilterPolicyScope", filter.as_ref().map(|_| scope.to_owned())),
        ("FilterPolicy", Some(filter.unwrap_or_else(|| "{}".to_owned()))),
        ("RedrivePolicy", redrive),
    ];
    for (name, value) in attributes.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let request = sns.set_subscription_attributes().subscription_arn(arn);
        let request = request.attribute_name(name).attribute_value(value);
        Box::pin(request.send()).await.map_err(|error| classify(&format!("topic {topic_arn}"), error))?;
    }
    Ok(arn.to_owned())
}

/// Adds the topic to those that may write to the queue; answers the ARN of the queue.
async fn let_in(sqs: &aws_sdk_sqs::Client, topic_arn: &str, queue_url: &str) -> Result<String, Error> {
    let request = sqs.get_queue_attributes().queue_url(queue_url);
    let request = request.attribute_names(QueueAttributeName::QueueArn).attribute_names(QueueAttributeName::Policy);
    let output = Box::pin(request.send()).await.map_err(|error| queue_error(queue_url, error))?;
    let attribute = |name| output.attributes().and_then(|attributes| attributes.get(&name)).map(String::as_str);
    let Some(queue_arn) = attribute(QueueAttributeName::QueueArn) else {
        return Err(Error::new(ErrorKind::Other, format!("SQS did not tell the ARN of queue {queue_url}")));
    };
    let Some(policy) = allowing(attribute(QueueAttributeName::Policy), topic_arn, queue_arn)? else {
        return Ok(queue_arn.to_owned());
    };
    let request = sqs.set_queue_attributes().queue_url(queue_url).attributes(QueueAttributeName::Policy, policy);
    Box::pin(request.send()).await.map_err(|error| queue_error(queue_url, error))?;
    Ok(queue_arn.to_owned())
}

/// The policy of a queue with the topic let in, or `None` if it is already.
fn allowing(policy: Option<&str>, topic_arn: &str, queue_arn: &str) -> Result<Option<String>, Error> {
    let statement = json!({
        "Effect": "Allow",
        "Principal": { "Service": "sns.amazonaws.com" },
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": { "ArnEquals": { "aws:SourceArn": topic_arn } },
    });
    let mut policy: Value = match policy.filter(|text| !text.is_empty()) {
        Some(text) => serde_json::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Other, format!("the policy of queue {queue_arn} is no JSON")).with_source(error)
        })?,
        None => json!({ "Version": "2012-10-17" }),
    };
    // One statement may stand without an array around it.
    let mut statements = match policy["Statement"].take() {
        Value::Array(statements) => statements,
        Value::Null => Vec::new(),
        one => vec![one],
    };
    if statements.contains(&statement) {
        return Ok(None);
    }
    statements.push(statement);
    policy["Statement"] = Value::Array(statements);
    Ok(Some(policy.to_string()))
}

fn queue_error<E>(queue_url: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if matches!(error.code(), Some(code) if code.ends_with("NonExistentQueue") || code == "QueueDoesNotExist") {
        return Error::new(ErrorKind::NotFound, format!("queue {queue_url} not found")).with_source(error);
    }
    classify(&format!("queue {queue_url}"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-1:1:t";
    const QUEUE: &str = "arn:aws:sqs:us-east-1:1:q";

    #[test]
    fn a_topic_is_let_in_once_beside_what_is_in_the_policy() {
        let other = r#"{"Version":"2012-10-17","Statement":{"Sid":"other"}}"#;

        let first = allowing(Some(other), TOPIC, QUEUE).unwrap().unwrap();
        let second = allowing(Some(&first), TOPIC, QUEUE).unwrap();

        let statements = serde_json::from_str::<Value>(&first).unwrap()["Statement"].as_array().unwrap().clone();
        assert_eq!((statements.len(), &statements[0]["Sid"]), (2, &"other".into()));
        assert_eq!(statements[1]["Condition"]["ArnEquals"]["aws:SourceArn"], TOPIC);
        assert_eq!(second, None);
    }

    #[test]
    fn a_queue_without_a_policy_gets_one() {
        assert!(allowing(None, TOPIC, QUEUE).unwrap().unwrap().contains("2012-10-17"));
        assert!(allowing(Some("{"), TOPIC, QUEUE).is_err());
    }
}

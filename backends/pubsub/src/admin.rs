//! Making topics and subscriptions, deleting them, and going back in time. Never called by serving.

use std::time::{Duration, SystemTime};

use chappe_core::{Error, ErrorKind};

use crate::PubsubClient;
use crate::error::{CREATE, CREATE_TOPIC, Call, DELETE, DELETE_TOPIC, GET, SEEK, classify, late};
use crate::proto::{
    DeadLetterPolicy, Empty, Length, Named, Pair, RetryPolicy, SeekRequest, Subscription, Timestamp, Topic,
};
use crate::target::{Kind, Target};

/// What a subscription is to be, for [`ensure_subscription`].
#[derive(Clone, Debug)]
#[must_use = "a specification does nothing before it is passed to `ensure_subscription`"]
pub struct SubscriptionSpec {
    subscription: String,
    topic: String,
    dead_letter: Option<(String, u32)>,
    wanted: Subscription,
}

impl SubscriptionSpec {
    /// A subscription to a topic with what Pub/Sub gives it. Names are whole, or their last part in the project of
    /// the client.
    pub fn new(subscription: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            subscription: subscription.into(),
            topic: topic.into(),
            dead_letter: None,
            wanted: Subscription::default(),
        }
    }

    /// Keeps the order of keys, for a [queue](crate::PubsubQueue::ordered) that does.
    pub fn ordered(mut self, ordered: bool) -> Self {
        self.wanted.enable_message_ordering = ordered;
        self
    }

    /// Delivers no message again that was acknowledged, and says of each acknowledgement whether it was in time.
    pub fn exactly_once(mut self, exactly_once: bool) -> Self {
        self.wanted.enable_exactly_once_delivery = exactly_once;
        self
    }

    /// Has Pub/Sub forward messages to another topic when it has delivered them so often, from 5 to 100 times. Its
    /// service agent needs permission to publish there and to subscribe here. Only under this policy does Pub/Sub
    /// count deliveries.
    pub fn dead_letter(mut self, topic: impl Into<String>, max_deliveries: u32) -> Self {
        self.dead_letter = Some((topic.into(), max_deliveries));
        self
    }

    /// Has Pub/Sub wait before it delivers a message again whose lease ended or that was given back, from `min` to
    /// `max`, up to 600 seconds. Retries of a server have their own pauses.
    pub fn retry(mut self, min: Duration, max: Duration) -> Self {
        self.wanted.retry_policy =
            Some(RetryPolicy { minimum_backoff: Some(length(min)), maximum_backoff: Some(length(max)) });
        self
    }

    /// Delivers only messages whose attributes match, such as `attributes.type = "order"`. Cannot be changed later.
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.wanted.filter = filter.into();
        self
    }

    /// Sets the lease of consumers that do not set their own; a [`PubsubQueue`](crate::PubsubQueue::lease) does.
    pub fn ack_deadline(mut self, deadline: Duration) -> Self {
        self.wanted.ack_deadline_seconds = i32::try_from(deadline.as_secs()).unwrap_or(i32::MAX);
        self
    }

    /// Keeps messages for so long, ten minutes to 31 days, and with `acknowledged` those that are done, too, for
    /// [`seek`].
    pub fn retention(mut self, time: Duration, acknowledged: bool) -> Self {
        self.wanted.message_retention_duration = Some(length(time));
        self.wanted.retain_acked_messages = acknowledged;
        self
    }

    /// Adds a label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.wanted.labels.push(Pair { key: name.into(), value: value.into() });
        self
    }
}

/// Makes a topic unless there is one, and returns its whole name.
///
/// # Errors
///
/// [`ErrorKind::Invalid`]: it is no name of one. [`ErrorKind::PermissionDenied`], with the permission it takes.
///
/// # Cancel safety
///
/// Dropped, the topic may have been made.
pub async fn ensure_topic(client: &PubsubClient, topic: &str) -> Result<String, Error> {
    let target = of(client, Kind::Topic, topic)?;
    let request = Topic { name: target.full().to_string(), ..Topic::default() };
    if let Some(error) = create(client, CREATE_TOPIC, &target, request).await? {
        tracing::debug!(%error, "topic is there already");
    }
    Ok(target.full().to_string())
}

/// Makes a subscription unless there is one, and returns its whole name.
///
/// # Errors
///
/// - [`ErrorKind::Invalid`]: it is no name of one; or there is one that differs in what cannot be changed: its topic,
///   order, or filter; or in whether it is exactly-once.
/// - [`ErrorKind::NotFound`]: the topic does not exist.
/// - [`ErrorKind::PermissionDenied`], with the permission it takes.
///
/// # Cancel safety
///
/// Dropped, the subscription may have been made.
pub async fn ensure_subscription(client: &PubsubClient, spec: &SubscriptionSpec) -> Result<String, Error> {
    let target = of(client, Kind::Subscription, &spec.subscription)?;
    let mut wanted = spec.wanted.clone();
    wanted.name = target.full().to_string();
    wanted.topic = of(client, Kind::Topic, &spec.topic)?.full().to_string();
    if let Some((topic, max_deliveries)) = &spec.dead_letter {
        wanted.dead_letter_policy = Some(DeadLetterPolicy {
            dead_letter_topic: of(client, Kind::Topic, topic)?.full().to_string(),
            max_delivery_attempts: i32::try_from(*max_deliveries).unwrap_or(i32::MAX),
        });
    }
    if create(client, CREATE, &target, wanted.clone()).await?.is_some() {
        let request = Named { name: target.full().to_string() };
        let found: Subscription = client.call(GET, &target, request).await?;
        let differs = [
            ("topic", found.topic != wanted.topic),
            ("order", found.enable_message_ordering != wanted.enable_message_ordering),
            ("filter", found.filter != wanted.filter),
            ("exactly-once delivery", found.enable_exactly_once_delivery != wanted.enable_exactly_once_delivery),
        ];
        if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            let text = format!(
                "there is a subscription {} with another {what}; delete it, or take another name",
                target.full()
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
    }
    Ok(target.full().to_string())
}

/// Deletes a topic. Its subscriptions stay, and get nothing more.
///
/// # Errors
///
/// [`ErrorKind::NotFound`].
///
/// # Cancel safety
///
/// Dropped, it may have been deleted.
pub async fn delete_topic(client: &PubsubClient, topic: &str) -> Result<(), Error> {
    let target = of(client, Kind::Topic, topic)?;
    let request = Named { name: target.full().to_string() };
    client.call(DELETE_TOPIC, &target, request).await.map(|Empty {}| ())
}

/// Deletes a subscription with all that is in it.
///
/// # Errors
///
/// [`ErrorKind::NotFound`].
///
/// # Cancel safety
///
/// Dropped, it may have been deleted.
pub async fn delete_subscription(client: &PubsubClient, subscription: &str) -> Result<(), Error> {
    let target = of(client, Kind::Subscription, subscription)?;
    let request = Named { name: target.full().to_string() };
    client.call(DELETE, &target, request).await.map(|Empty {}| ())
}

/// Has everything published before `time` count as acknowledged, and everything since as not: with a time gone by,
/// messages are delivered again, as far as they are [kept](SubscriptionSpec::retention); with one to come, a
/// subscription is emptied.
///
/// # Errors
///
/// [`ErrorKind::NotFound`].
///
/// # Cancel safety
///
/// Dropped, it may have been done.
pub async fn seek(client: &PubsubClient, subscription: &str, time: SystemTime) -> Result<(), Error> {
    let target = of(client, Kind::Subscription, subscription)?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = Timestamp { seconds: length(since).seconds, nanos: length(since).nanos };
    let request = SeekRequest { subscription: target.full().to_string(), time: Some(time) };
    client.call(SEEK, &target, request).await.map(|Empty {}| ())
}

/// Makes something; answers with the error if it is there.
async fn create<T>(client: &PubsubClient, call: Call, target: &Target, wanted: T) -> Result<Option<Error>, Error>
where
    T: prost::Message + Default + 'static,
{
    match client.ask::<T, T>(call, target, wanted).await {
        Ok(_) => Ok(None),
        Err(Some(status)) if status.code() == tonic::Code::AlreadyExists => Ok(Some(classify(&status, call, target))),
        Err(Some(status)) => Err(classify(&status, call, target)),
        Err(None) => Err(late(call, target)),
    }
}

fn of(client: &PubsubClient, kind: Kind, name: &str) -> Result<Target, Error> {
    let target = Target::new(kind, name, client.project_name());
    target.check()?;
    Ok(target)
}

fn length(time: Duration) -> Length {
    Length {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.subsec_nanos()).unwrap_or(0),
    }
}

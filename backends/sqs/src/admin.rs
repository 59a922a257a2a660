//! Making queues, emptying and deleting them, and moving dead letters back. Never called by serving.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use chappe_core::{Error, ErrorKind};
use serde_json::json;

use crate::client;
use crate::error::{CONFIGURE, CREATE, FIND, INSPECT, MOVE, PURGE, REMOVE, classify};
use crate::target::{FIFO, Target};
use crate::wire::whole_seconds;

/// What a queue is to be, for [`ensure_queue`].
#[derive(Clone, Debug)]
#[must_use = "a specification does nothing before it is passed to `ensure_queue`"]
pub struct QueueSpec {
    name: String,
    attributes: HashMap<QueueAttributeName, String>,
    dead_letter: Option<(String, u32)>,
}

impl QueueSpec {
    /// A standard queue with the attributes SQS gives it, or a FIFO queue if `name` ends in `.fifo`.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let mut attributes = HashMap::new();
        if name.ends_with(FIFO) {
            attributes.insert(QueueAttributeName::FifoQueue, "true".to_owned());
        }
        Self { name, attributes, dead_letter: None }
    }

    /// Sets the visibility timeout of consumers that do not set their own; a
    /// [`SqsQueue`](crate::SqsQueue::lease) does.
    pub fn visibility(self, timeout: Duration) -> Self {
        self.attribute(QueueAttributeName::VisibilityTimeout, whole_seconds(timeout).to_string())
    }

    /// Has SQS move messages that were received more than `max_receives` times to another queue of the same
    /// kind, which has to exist: the redrive policy. A FIFO queue wants ten at least, as what waits for one
    /// before it is received again with it.
    pub fn dead_letter(mut self, url: impl Into<String>, max_receives: u32) -> Self {
        self.dead_letter = Some((url.into(), max_receives));
        self
    }

    /// Sets any attribute of the queue.
    pub fn attribute(mut self, name: QueueAttributeName, value: impl Into<String>) -> Self {
        self.attributes.insert(name, value.into());
        self
    }
}

/// Makes a queue unless there is one with the same attributes, and returns its URL.
///
/// # Errors
///
/// [`ErrorKind::Invalid`]: there is one with other attributes, the name is not one, or a queue of the name
/// was deleted within the last minute.
///
/// # Cancel safety
///
/// Dropped, the queue may have been made.
pub async fn ensure_queue(client: &Client, spec: &QueueSpec) -> Result<String, Error> {
    let client = client::repeating(client);
    let mut attributes = spec.attributes.clone();
    if let Some((url, max_receives)) = &spec.dead_letter {
        let arn = arn_of(&client, url).await?;
        let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": max_receives.to_string() });
        attributes.insert(QueueAttributeName::RedrivePolicy, policy.to_string());
    }
    let attributes = Some(attributes).filter(|attributes| !attributes.is_empty());
    let request = client.create_queue().queue_name(&spec.name).set_attributes(attributes);
    let target = Target::of_client(&client, &spec.name);
    let output = Box::pin(request.send()).await.map_err(|error| classify(error, CREATE, &target))?;
    output.queue_url.ok_or_else(|| {
        Error::new(ErrorKind::Other, format!("queue {} was made, but SQS does not say where it is", spec.name))
    })
}

/// The URL of a queue of the client's account.
///
/// # Errors
///
/// [`ErrorKind::NotFound`]: there is none of this name.
///
/// # Cancel safety
///
/// May be dropped and called again.
pub async fn queue_url(client: &Client, name: &str) -> Result<String, Error> {
    let client = client::repeating(client);
    let target = Target::of_client(&client, name);
    let request = client.get_queue_url().queue_name(name);
    let output = Box::pin(request.send()).await.map_err(|error| classify(error, FIND, &target))?;
    output.queue_url.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("queue {name} has no URL")))
}

/// The ARN of a queue.
///
/// # Errors
///
/// [`ErrorKind::NotFound`]: there is no queue at `url`.
///
/// # Cancel safety
///
/// May be dropped and called again.
pub async fn arn_of(client: &Client, url: &str) -> Result<String, Error> {
    let target = Target::of_client(client, url);
    let mut attributes = attributes_of(client, &target, [QueueAttributeName::QueueArn]).await?;
    let arn = attributes.remove(&QueueAttributeName::QueueArn);
    arn.ok_or_else(|| Error::new(ErrorKind::Other, format!("queue {} has no ARN", target.name())))
}

/// Changes attributes of a queue, such as its `Policy`.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] and [`ErrorKind::Invalid`].
///
/// # Cancel safety
///
/// Dropped, they may have been changed.
pub async fn configure(
    client: &Client,
    url: &str,
    attributes: impl IntoIterator<Item = (QueueAttributeName, String)> + Send,
) -> Result<(), Error> {
    let client = client::repeating(client);
    let target = Target::of_client(&client, url);
    let attributes = attributes.into_iter().collect();
    let request = client.set_queue_attributes().queue_url(url).set_attributes(Some(attributes));
    Box::pin(request.send()).await.map(drop).map_err(|error| classify(error, CONFIGURE, &target))
}

/// Deletes all messages of a queue; SQS takes up to a minute for it, and allows it once a minute.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], or [`ErrorKind::Invalid`] within a minute of the last.
///
/// # Cancel safety
///
/// Dropped, they may have been deleted.
pub async fn purge(client: &Client, url: &str) -> Result<(), Error> {
    let client = client::repeating(client);
    let target = Target::of_client(&client, url);
    let request = client.purge_queue().queue_url(url);
    Box::pin(request.send()).await.map(drop).map_err(|error| classify(error, PURGE, &target))
}

/// Deletes a queue with all that is in it.
///
/// # Errors
///
/// [`ErrorKind::NotFound`].
///
/// # Cancel safety
///
/// Dropped, it may have been deleted.
pub async fn delete_queue(client: &Client, url: &str) -> Result<(), Error> {
    let client = client::repeating(client);
    let target = Target::of_client(&client, url);
    let request = client.delete_queue().queue_url(url);
    Box::pin(request.send()).await.map(drop).map_err(|error| classify(error, REMOVE, &target))
}

/// Has SQS move the messages of a dead-letter queue back to where they came from, or to the queue with the
/// ARN `destination`.
///
/// It moves only what its own redrive policies put there, out of queues, and runs one task per queue at a
/// time. What a [`SqsQueue`](crate::SqsQueue::dead_letter) sent there is moved only with a destination.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], and [`ErrorKind::Unsupported`] or [`ErrorKind::Invalid`] if it is not a
/// dead-letter queue or a task is running.
///
/// # Cancel safety
///
/// Dropped, the messages may be moving.
pub async fn redrive(client: &Client, dead_letter_url: &str, destination: Option<&str>) -> Result<Redrive, Error> {
    let client = client::repeating(client);
    let source = arn_of(&client, dead_letter_url).await?;
    let target = Target::of_client(&client, dead_letter_url);
    let request = client.start_message_move_task().source_arn(&source);
    let request = request.set_destination_arn(destination.map(str::to_owned));
    let output = Box::pin(request.send()).await.map_err(|error| classify(error, MOVE, &target))?;
    let task = output.task_handle.ok_or_else(|| {
        Error::new(
            ErrorKind::Other,
            format!("messages of {} are moving, but SQS does not name the task", target.name()),
        )
    })?;
    Ok(Redrive { client, target, source, task })
}

/// Messages on their way back out of a dead-letter queue.
#[derive(Clone)]
pub struct Redrive {
    client: Client,
    target: Target,
    source: String,
    task: String,
}

/// How far a [`Redrive`] has got.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedriveStatus {
    /// `RUNNING`, `COMPLETED`, `CANCELLING`, `CANCELLED` or `FAILED`.
    pub state: String,
    /// How many messages were moved.
    pub moved: u64,
    /// How many there were to move, once SQS has counted.
    pub total: Option<u64>,
    /// Why it failed.
    pub failure: Option<String>,
}

impl RedriveStatus {
    /// Whether nothing more will be moved.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "COMPLETED" | "CANCELLED" | "FAILED")
    }
}

impl Redrive {
    /// How far it has got.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if SQS has forgotten the task.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn status(&self) -> Result<RedriveStatus, Error> {
        let request = self.client.list_message_move_tasks().source_arn(&self.source).max_results(10);
        let output = Box::pin(request.send()).await.map_err(|error| classify(error, MOVE, &self.target))?;
        // SQS names only a task that runs; the list begins with the latest.
        let tasks = output.results.unwrap_or_default();
        let named = |handle: Option<&str>| handle == Some(self.task.as_str());
        let found = tasks.iter().find(|task| named(task.task_handle())).or_else(|| tasks.first());
        let Some(task) = found else {
            let text = format!("SQS knows of no messages moved out of {}", self.target.name());
            return Err(Error::new(ErrorKind::NotFound, text));
        };
        Ok(RedriveStatus {
            state: task.status().unwrap_or_default().to_owned(),
            moved: u64::try_from(task.approximate_number_of_messages_moved()).unwrap_or(0),
            total: task.approximate_number_of_messages_to_move().and_then(|total| u64::try_from(total).ok()),
            failure: task.failure_reason().map(str::to_owned),
        })
    }

    /// Stops moving; what was moved stays where it is now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is over.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have been stopped.
    pub async fn cancel(&self) -> Result<(), Error> {
        let request = self.client.cancel_message_move_task().task_handle(&self.task);
        Box::pin(request.send()).await.map(drop).map_err(|error| classify(error, MOVE, &self.target))
    }
}

impl fmt::Debug for Redrive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redrive").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Attributes of a queue.
pub(crate) async fn attributes_of(
    client: &Client,
    target: &Target,
    names: impl IntoIterator<Item = QueueAttributeName> + Send,
) -> Result<HashMap<QueueAttributeName, String>, Error> {
    let names = names.into_iter().collect();
    let request = client.get_queue_attributes().queue_url(target.url()).set_attribute_names(Some(names));
    let output = Box::pin(request.send()).await.map_err(|error| classify(error, INSPECT, target))?;
    Ok(output.attributes.unwrap_or_default())
}

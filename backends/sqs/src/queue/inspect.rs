//! Looking at a queue: whether it is there, and what it holds.

use aws_sdk_sqs::types::QueueAttributeName as Name;
use chappe_core::backend::Depth;
use chappe_core::{Error, ErrorKind};
use serde_json::Value;

use super::shared::Shared;
use crate::admin::attributes_of;
use crate::error::{FIND, classify};
use crate::target::Target;

const COUNTS: [Name; 3] = [
    Name::ApproximateNumberOfMessages,
    Name::ApproximateNumberOfMessagesDelayed,
    Name::ApproximateNumberOfMessagesNotVisible,
];

impl Shared {
    /// Whether the queue is there. Whoever may not look goes on without knowing.
    pub(super) async fn look(&self) -> Result<(), Error> {
        match attributes_of(&self.control, &self.target, [Name::QueueArn]).await {
            Ok(_) => {
                self.status.up();
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                tracing::debug!(%error, "queue is not inspected");
                Ok(())
            }
            Err(error) => {
                self.status.down(&error);
                Err(error)
            }
        }
    }

    /// The URL of the queue the redrive policy names.
    pub(super) async fn redrive_target(&self) -> Result<Option<String>, Error> {
        let attributes = attributes_of(&self.control, &self.target, [Name::RedrivePolicy]).await?;
        let policy = attributes.get(&Name::RedrivePolicy).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let arn = policy.as_ref().and_then(|policy| policy["deadLetterTargetArn"].as_str());
        // arn:aws:sqs:REGION:ACCOUNT:NAME
        let Some((account, name)) = arn.and_then(|arn| arn.split(':').nth(4).zip(arn.split(':').nth(5))) else {
            return Ok(None);
        };
        let request = self.control.get_queue_url().queue_name(name).queue_owner_aws_account_id(account);
        let target = Target::of_client(&self.control, name);
        let output = Box::pin(request.send()).await.map_err(|error| classify(error, FIND, &target))?;
        Ok(output.queue_url)
    }

    pub(super) async fn depth(&self) -> Result<Depth, Error> {
        let mut depth = self.counts(&self.target).await?;
        if let Some(dead) = &self.dead {
            let target = Target::of_client(&self.control, dead.url());
            let counts = self.counts(&target).await?;
            depth.dead = counts.ready + counts.delayed + counts.in_flight;
        }
        Ok(depth)
    }

    async fn counts(&self, target: &Target) -> Result<Depth, Error> {
        let attributes = attributes_of(&self.control, target, COUNTS).await?;
        let count = |name: Name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0);
        let mut depth = Depth::default();
        depth.ready = count(Name::ApproximateNumberOfMessages);
        depth.delayed = count(Name::ApproximateNumberOfMessagesDelayed);
        depth.in_flight = count(Name::ApproximateNumberOfMessagesNotVisible);
        Ok(depth)
    }
}

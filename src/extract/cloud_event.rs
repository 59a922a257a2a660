//! `CloudEvent<T>`, an event with its data, and [`CloudEventBatch`].

use chappe_middleware::cloudevents::{CloudEvent, CloudEventError};

use super::FromMessage;
use crate::{BoxError, Message};

/// The attribute that says what a body is.
const CONTENT_TYPE: &str = "content-type";

/// The event of a message, in whatever mode it is there, with its data taken by another extractor: `Json<T>`,
/// `Bytes`, `String`. What is not a valid event is rejected.
///
/// # Examples
///
/// ```
/// use chappe::extract::{CloudEvent, Json};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Order {
///     count: u32,
/// }
///
/// async fn on_order(event: CloudEvent<Json<Order>>) {
///     println!("{} from {}: {}", event.kind(), event.source(), event.data().0.count);
/// }
/// ```
impl<S: Sync, T: FromMessage<S>> FromMessage<S> for CloudEvent<T> {
    type Rejection = BoxError;

    async fn from_message(mut message: Message, state: &S) -> Result<Self, BoxError> {
        let event = CloudEvent::from_message(&message)?;
        // To the extractor within, the data is the body.
        message.set_body(event.data().clone());
        match event.data_content_type() {
            Some(content_type) => message.attributes_mut().insert(CONTENT_TYPE, content_type.to_owned()),
            None => drop(message.attributes_mut().remove(CONTENT_TYPE)),
        }
        let data = T::from_message(message, state).await.map_err(Into::into)?;
        Ok(event.map_data(|_| data))
    }
}

/// The events of a batch. A message that is none, or has an invalid event in it, is rejected.
///
/// The batch is settled as a whole: a handler that fails on one of its events is given all of them again.
///
/// # Examples
///
/// ```
/// use chappe::extract::CloudEventBatch;
///
/// async fn on_orders(CloudEventBatch(events): CloudEventBatch) {
///     for event in events {
///         println!("{}: {} bytes", event.kind(), event.data().len());
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEventBatch(pub Vec<CloudEvent>);

impl<S: Sync> FromMessage<S> for CloudEventBatch {
    type Rejection = CloudEventError;

    async fn from_message(message: Message, _: &S) -> Result<Self, CloudEventError> {
        CloudEvent::read_batch(&message).map(Self)
    }
}

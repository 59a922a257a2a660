//! The list of tower's layers that apply unchanged on both sides: each is put around a topic and around a
//! receiver, has to be one itself, and is called once.
#![allow(clippy::unwrap_used, reason = "only tests call it")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::time::Duration;

use chappe_core::{BoxError, Error, IntoOutcome, Message, Outcome, Published, Receiver, Topic};
use tower::balance::p2c::Balance;
use tower::buffer::BufferLayer;
use tower::discover::ServiceList;
use tower::filter::{AsyncFilterLayer, FilterLayer};
use tower::hedge::{Hedge, Policy as HedgePolicy};
use tower::layer::layer_fn;
use tower::limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer};
use tower::load::{CompleteOnResponse, Constant, PeakEwma, PendingRequests};
use tower::load_shed::LoadShedLayer;
use tower::make::Shared;
use tower::reconnect::Reconnect;
use tower::retry::{Policy, RetryLayer};
use tower::spawn_ready::SpawnReadyLayer;
use tower::steer::Steer;
use tower::timeout::TimeoutLayer;
use tower::util::{
    AndThenLayer, BoxCloneService, BoxCloneServiceLayer, BoxCloneSyncService, BoxCloneSyncServiceLayer, BoxLayer,
    BoxService, Either, MapErrLayer, MapFutureLayer, MapRequestLayer, MapResponseLayer, MapResultLayer, Optional,
    ThenLayer, future_service, option_layer,
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

/// The innermost topic of every stack.
fn topic() -> impl Topic<Error = Error, Future: Send> + Sync {
    service_fn(async |message: Message| Ok::<_, Error>(Published::new(Some(body(&message).into()))))
}

/// The innermost receiver of every stack.
fn receiver() -> impl Receiver<Response = Outcome, Error = BoxError> + Sync {
    service_fn(async |message: Message| {
        Ok::<_, BoxError>(if message.body().is_empty() { Outcome::Retry } else { Outcome::Ack })
    })
}

async fn publishes(topic: impl Topic) {
    assert_eq!(topic.publish("a").await.unwrap(), Published::new(Some("a".into())));
}

async fn receives(mut receiver: impl Receiver) {
    let answer = receiver.ready().await.map_err(Into::into).unwrap().call(Message::new("a")).await;
    assert_eq!(answer.map_err(Into::into).unwrap().into_outcome(), Outcome::Ack);
}

/// A layer that fits both sides.
macro_rules! on_both_sides {
    ($layer:expr) => {
        publishes(Layer::layer(&$layer, topic())).await;
        receives(Layer::layer(&$layer, receiver())).await;
    };
}

#[tokio::test]
async fn timeout() {
    on_both_sides!(TimeoutLayer::new(Duration::from_secs(1)));
}

#[tokio::test]
async fn concurrency_limit() {
    on_both_sides!(ConcurrencyLimitLayer::new(1));
    on_both_sides!(GlobalConcurrencyLimitLayer::new(1));
}

#[tokio::test]
async fn buffer_makes_a_clone_of_what_is_none() {
    on_both_sides!(
        ServiceBuilder::new().layer(BufferLayer::new(4)).layer(RateLimitLayer::new(5, Duration::from_secs(1)))
    );
}

#[tokio::test]
async fn load_shed() {
    on_both_sides!(LoadShedLayer::new());
}

#[derive(Clone)]
struct Once;

impl<R, E> Policy<Message, R, E> for Once {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Message, result: &mut Result<R, E>) -> Option<Ready<()>> {
        result.is_err().then(|| ready(()))
    }

    fn clone_request(&mut self, message: &Message) -> Option<Message> {
        Some(message.clone())
    }
}

#[tokio::test]
async fn retry() {
    on_both_sides!(RetryLayer::new(Once));
}

impl HedgePolicy<Message> for Once {
    fn clone_request(&self, message: &Message) -> Option<Message> {
        Some(message.clone())
    }

    fn can_retry(&self, _: &Message) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn hedge_behind_a_buffer() {
    let period = Duration::from_secs(1);

    on_both_sides!(
        ServiceBuilder::new()
            .layer(BufferLayer::new(4))
            .layer(layer_fn(|inner| Hedge::new::<Message>(inner, Once, 10, 0.9, period)))
    );
}

#[tokio::test]
async fn filter() {
    on_both_sides!(FilterLayer::new(|message: Message| match message.body().len() {
        0 => Err(BoxError::from("empty")),
        _ => Ok(message),
    }));
    on_both_sides!(AsyncFilterLayer::new(async |message: Message| Ok::<_, BoxError>(message)));
}

#[tokio::test]
async fn steer() {
    let first = |_: &Message, _: &[_]| 0;

    publishes(Steer::new([topic(), topic()], first)).await;
    receives(Steer::new([receiver(), receiver()], |_: &Message, _: &[_]| 1)).await;
}

#[tokio::test]
async fn balance_by_load_behind_a_buffer() {
    let load = |inner| PendingRequests::new(inner, CompleteOnResponse::default());

    let topics = ServiceList::new::<Message>([load(topic()), load(topic())]);
    publishes(BufferLayer::new(4).layer(Balance::new(topics))).await;
    let receivers = [receiver(), receiver()]
        .map(|inner| PeakEwma::new(inner, Duration::from_millis(1), 1e9, CompleteOnResponse::default()));
    receives(BufferLayer::new(4).layer(Balance::new(ServiceList::new::<Message>(receivers)))).await;
}

#[tokio::test]
async fn a_constant_load() {
    let buffered = BufferLayer::new(4);

    publishes(buffered.layer(Constant::new(topic(), 1))).await;
    receives(buffered.layer(Constant::new(receiver(), 1))).await;
}

#[tokio::test]
async fn reconnect_behind_a_buffer() {
    let buffered = BufferLayer::new(4);

    publishes(buffered.layer(Reconnect::new(Shared::new(topic()), ()))).await;
    receives(buffered.layer(Reconnect::new(Shared::new(receiver()), ()))).await;
}

#[tokio::test]
async fn what_comes_later() {
    let buffered = BufferLayer::new(4);

    publishes(buffered.layer(future_service(Box::pin(async { Ok::<_, Error>(topic()) })))).await;
    receives(buffered.layer(future_service(Box::pin(async { Ok::<_, BoxError>(receiver()) })))).await;
    publishes(buffered.layer(Optional::new(Some(topic())))).await;
    receives(buffered.layer(Optional::new(Some(receiver())))).await;
}

#[tokio::test]
async fn layers_without_a_type() {
    publishes(BoxCloneServiceLayer::new(ConcurrencyLimitLayer::new(1)).layer(topic())).await;
    receives(BoxCloneServiceLayer::new(ConcurrencyLimitLayer::new(1)).layer(receiver())).await;
    publishes(BoxCloneSyncServiceLayer::new(TimeoutLayer::new(Duration::from_secs(1))).layer(topic())).await;
    receives(BoxCloneSyncServiceLayer::new(TimeoutLayer::new(Duration::from_secs(1))).layer(receiver())).await;
    let buffered = BufferLayer::new(4);
    publishes(buffered.layer(BoxLayer::new(LoadShedLayer::new()).layer(topic()))).await;
    receives(buffered.layer(BoxLayer::new(LoadShedLayer::new()).layer(receiver()))).await;
}

#[tokio::test]
async fn combinators() {
    on_both_sides!(MapRequestLayer::new(|message: Message| message.map_body(|body| body)));
    on_both_sides!(MapErrLayer::new(Into::<BoxError>::into));
    on_both_sides!(MapFutureLayer::new(|future| future));
    // Of the layers that keep the error's type: both sides of an `Either` must have the same.
    on_both_sides!(option_layer(Some(ConcurrencyLimitLayer::new(1))));
    on_both_sides!(option_layer(None::<ConcurrencyLimitLayer>));

    publishes(MapResponseLayer::new(|receipt: Published| receipt).layer(topic())).await;
    receives(MapResponseLayer::new(|_: Outcome| ()).layer(receiver())).await;
    publishes(MapResultLayer::new(|result: Result<Published, Error>| result).layer(topic())).await;
    receives(MapResultLayer::new(|result: Result<Outcome, BoxError>| result).layer(receiver())).await;
    publishes(ThenLayer::new(async |result: Result<Published, Error>| result).layer(topic())).await;
    receives(ThenLayer::new(async |result: Result<Outcome, BoxError>| result).layer(receiver())).await;
    publishes(AndThenLayer::new(async |receipt: Published| Ok::<_, Error>(receipt)).layer(topic())).await;
    receives(AndThenLayer::new(async |_: Outcome| Ok::<_, BoxError>(())).layer(receiver())).await;
}

#[tokio::test]
async fn boxes() {
    publishes(BoxCloneService::new(topic())).await;
    receives(BoxCloneService::new(receiver())).await;
    publishes(BoxCloneSyncService::new(topic())).await;
    receives(BoxCloneSyncService::new(receiver())).await;
    publishes(Either::<_, BoxCloneService<Message, Published, Error>>::Left(topic())).await;
    receives(Either::<BoxCloneService<Message, Outcome, BoxError>, _>::Right(receiver())).await;
}

#[tokio::test]
async fn what_is_not_clone_fits_behind_a_buffer() {
    let buffered = BufferLayer::new(4);

    publishes(buffered.layer(BoxService::new(topic()))).await;
    receives(buffered.layer(BoxService::new(receiver()))).await;
    publishes(buffered.layer(SpawnReadyLayer::new().layer(topic()))).await;
    receives(buffered.layer(SpawnReadyLayer::new().layer(receiver()))).await;
}

#[tokio::test]
async fn a_stack_of_many() {
    on_both_sides!(
        ServiceBuilder::new()
            .layer(BufferLayer::new(16))
            .load_shed()
            .concurrency_limit(2)
            .rate_limit(100, Duration::from_secs(1))
            .layer(RetryLayer::new(Once))
            .timeout(Duration::from_secs(1))
            .map_request(|message: Message| message)
    );
}

#[tokio::test]
async fn a_function_is_a_receiver_whatever_it_answers() {
    receives(service_fn(async |_: Message| Ok::<_, Infallible>(()))).await;
    receives(service_fn(async |_: Message| Ok::<_, std::io::Error>(Outcome::Ack))).await;
}

#[tokio::test]
async fn a_topic_is_a_receiver() {
    receives(topic()).await;
    receives(ServiceBuilder::new().timeout(Duration::from_secs(1)).service(topic())).await;
}

fn body(message: &Message) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

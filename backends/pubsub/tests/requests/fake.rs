//! [`Fake`], a Pub/Sub that keeps its word about windows, leases and limits, and breaks it when told.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_pubsub::{PubsubClient, PubsubPublisher, PubsubQueue};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt, poll_fn};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use crate::proto::{
    AcknowledgeRequest, Empty, ModifyAckDeadlineRequest, Named, PublishRequest, PublishResponse, PubsubMessage,
    ReceivedMessage, StreamingPullRequest, StreamingPullResponse, Subscription,
};

/// The name of its only topic and its only subscription.
pub(crate) const NAME: &str = "orders";
const PROJECT: &str = "shop";
/// How often leases are looked at.
const TICK: Duration = Duration::from_millis(20);

/// What is to go wrong with a call.
pub(crate) enum Fault {
    /// It is answered with this instead of being carried out.
    Refuse(Status),
    /// It is carried out, and answered with this.
    Lose(Status),
    /// It is never answered.
    Hang,
}

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _task: Arc<JoinSet<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<PubsubMessage>,
    out: HashMap<String, Out>,
    streams: Vec<Pull>,
    faults: HashMap<&'static str, VecDeque<Fault>>,
    /// The methods that were called, with how many messages or ids they were about.
    calls: Vec<(String, usize)>,
    opened: Vec<Instant>,
    next: u64,
}

/// A message that is out.
struct Out {
    message: PubsubMessage,
    until: Instant,
    stream: u64,
}

/// A stream that is open.
struct Pull {
    id: u64,
    window: usize,
    lease: Duration,
    sender: mpsc::UnboundedSender<Result<StreamingPullResponse, Status>>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::<Shared>::default();
        let (publisher, subscriber) = (Half::<false>(Arc::clone(&shared)), Half::<true>(Arc::clone(&shared)));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let server = Server::builder().add_service(publisher).add_service(subscriber);
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("it serves");
        });
        let ticking = Arc::clone(&shared);
        task.spawn(async move {
            loop {
                sleep(TICK).await;
                ticking.lock().expire();
            }
        });
        Self { address, shared, _task: Arc::new(task) }
    }

    pub(crate) fn client(&self) -> PubsubClient {
        PubsubClient::emulator(&self.address.to_string()).expect("it is a host and port").project(PROJECT)
    }

    pub(crate) fn queue(&self) -> PubsubQueue {
        PubsubQueue::new(&self.client(), NAME).lease(Duration::from_secs(10))
    }

    pub(crate) fn publisher(&self) -> PubsubPublisher {
        PubsubPublisher::new(&self.client(), NAME)
    }

    /// Has the next calls of a method go wrong, one for each fault.
    pub(crate) fn fail(&self, method: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().faults.entry(method).or_default().extend(faults);
    }

    /// How many messages or ids each call of a method was about.
    pub(crate) fn calls(&self, method: &str) -> Vec<usize> {
        self.shared.lock().calls.iter().filter(|(name, _)| name == method).map(|(_, count)| *count).collect()
    }

    /// When streams were opened, or tried to be.
    pub(crate) fn opened(&self) -> Vec<Instant> {
        self.shared.lock().opened.clone()
    }

    /// How many messages are out, and how many wait.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.out.len(), state.ready.len())
    }

    /// The ids of what is out, in the order it was handed out.
    pub(crate) fn out(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.shared.lock().out.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// Ends all streams, each with what `how` says.
    pub(crate) fn end_streams(&self, how: impl Fn() -> Option<Status>) {
        for stream in self.shared.lock().streams.drain(..) {
            if let Some(status) = how() {
                drop(stream.sender.send(Err(status)));
            }
        }
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, so: impl Fn(&Self) -> bool + Send + Sync) {
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                if so(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it did not come to be");
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, method: &'static str, count: usize) -> Option<Fault> {
        let mut state = self.lock();
        state.calls.push((method.to_owned(), count));
        self.changed.notify_waiters();
        state.faults.get_mut(method).and_then(VecDeque::pop_front)
    }

    async fn answer<T>(
        &self,
        method: &'static str,
        count: usize,
        act: impl FnOnce(&mut State) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let fault = self.begin(method, count);
        match fault {
            Some(Fault::Refuse(status)) => Err(status),
            Some(Fault::Hang) => std::future::pending().await,
            fault => {
                let done = act(&mut self.lock());
                self.changed.notify_waiters();
                match fault {
                    Some(Fault::Lose(status)) => Err(status),
                    _ => done.map(Response::new),
                }
            }
        }
    }

    fn pull(
        self: &Arc<Self>,
        first: &StreamingPullRequest,
        mut requests: Streaming<StreamingPullRequest>,
    ) -> BoxStream<'static, Result<StreamingPullResponse, Status>> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.streams.push(Pull {
            id,
            window: usize::try_from(first.max_outstanding_messages).expect("it is not negative"),
            lease: Duration::from_secs(first.stream_ack_deadline_seconds.unsigned_abs().into()),
            sender,
        });
        state.deliver();
        drop(state);
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            // The client's half ends first, and then the stream.
            while let Ok(Some(_)) = requests.message().await {}
            shared.lock().streams.retain(|stream| stream.id != id);
        });
        poll_fn(move |cx| receiver.poll_recv(cx)).boxed()
    }
}

impl State {
    /// Puts what waits into streams that may have more.
    fn deliver(&mut self) {
        for stream in &self.streams {
            let out = self.out.values().filter(|out| out.stream == stream.id).count();
            let count = stream.window.saturating_sub(out).min(self.ready.len());
            let mut received_messages = Vec::new();
            for message in self.ready.drain(..count) {
                self.next += 1;
                let ack_id = format!("ack-{:08}", self.next);
                let until = Instant::now() + stream.lease;
                self.out.insert(ack_id.clone(), Out { message: message.clone(), until, stream: stream.id });
                received_messages.push(ReceivedMessage { ack_id, message: Some(message), delivery_attempt: 0 });
            }
            if !received_messages.is_empty() {
                drop(stream.sender.send(Ok(StreamingPullResponse { received_messages })));
            }
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let over: Vec<_> = self.out.extract_if(|_, out| out.until <= now).map(|(_, out)| out.message).collect();
        self.ready.extend(over);
        self.deliver();
    }

    /// As Pub/Sub does: one bad message and none is published.
    fn publish(&mut self, request: PublishRequest) -> Result<PublishResponse, Status> {
        for message in &request.messages {
            let long = message.attributes.iter().any(|pair| pair.key.starts_with("goog") || pair.value.len() > 1024);
            if long || message.data.is_empty() && message.attributes.is_empty() || &message.data[..] == b"bad" {
                return Err(Status::invalid_argument("a message is not valid"));
            }
        }
        let mut message_ids = Vec::new();
        for mut message in request.messages {
            self.next += 1;
            message.message_id = self.next.to_string();
            message_ids.push(message.message_id.clone());
            self.ready.push_back(message);
        }
        self.deliver();
        Ok(PublishResponse { message_ids })
    }

    fn acknowledge(&mut self, request: &AcknowledgeRequest) -> Result<Empty, Status> {
        request.ack_ids.iter().for_each(|id| drop(self.out.remove(id)));
        self.deliver();
        Ok(Empty {})
    }

    fn modify(&mut self, request: &ModifyAckDeadlineRequest) -> Result<Empty, Status> {
        let until = Instant::now() + Duration::from_secs(request.ack_deadline_seconds.unsigned_abs().into());
        for id in &request.ack_ids {
            self.out.entry(id.clone()).and_modify(|out| out.until = until);
        }
        self.expire();
        Ok(Empty {})
    }
}

/// One of the two services.
#[derive(Clone)]
struct Half<const SUBSCRIBER: bool>(Arc<Shared>);

impl NamedService for Half<false> {
    const NAME: &'static str = "google.pubsub.v1.Publisher";
}

impl NamedService for Half<true> {
    const NAME: &'static str = "google.pubsub.v1.Subscriber";
}

impl<const SUBSCRIBER: bool> Service<http::Request<Body>> for Half<SUBSCRIBER> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        Box::pin(async move { Ok(dispatch(&shared, &method, request).await) })
    }
}

async fn dispatch(shared: &Arc<Shared>, method: &str, request: http::Request<Body>) -> http::Response<Body> {
    let shared = Arc::clone(shared);
    match method {
        "Publish" => {
            let act = service_fn(move |request: Request<PublishRequest>| {
                let shared = Arc::clone(&shared);
                async move {
                    let request = request.into_inner();
                    shared.answer("Publish", request.messages.len(), |state| state.publish(request)).await
                }
            });
            Grpc::new(ProstCodec::<PublishResponse, PublishRequest>::default()).unary(act, request).await
        }
        "Acknowledge" => {
            let act = service_fn(move |request: Request<AcknowledgeRequest>| {
                let shared = Arc::clone(&shared);
                async move {
                    let request = request.into_inner();
                    shared.answer("Acknowledge", request.ack_ids.len(), |state| state.acknowledge(&request)).await
                }
            });
            Grpc::new(ProstCodec::<Empty, AcknowledgeRequest>::default()).unary(act, request).await
        }
        "ModifyAckDeadline" => {
            let act = service_fn(move |request: Request<ModifyAckDeadlineRequest>| {
                let shared = Arc::clone(&shared);
                async move {
                    let request = request.into_inner();
                    shared.answer("ModifyAckDeadline", request.ack_ids.len(), |state| state.modify(&request)).await
                }
            });
            Grpc::new(ProstCodec::<Empty, ModifyAckDeadlineRequest>::default()).unary(act, request).await
        }
        "GetSubscription" => {
            let act = service_fn(move |request: Request<Named>| {
                let shared = Arc::clone(&shared);
                async move {
                    let found = Subscription {
                        name: request.into_inner().name,
                        enable_message_ordering: true,
                        ..Subscription::default()
                    };
                    shared.answer("GetSubscription", 1, |_| Ok(found)).await
                }
            });
            Grpc::new(ProstCodec::<Subscription, Named>::default()).unary(act, request).await
        }
        "StreamingPull" => {
            let act = service_fn(move |request: Request<Streaming<StreamingPullRequest>>| {
                let shared = Arc::clone(&shared);
                async move {
                    shared.lock().opened.push(Instant::now());
                    shared.changed.notify_waiters();
                    match shared.begin("StreamingPull", 1) {
                        Some(Fault::Refuse(status) | Fault::Lose(status)) => return Err(status),
                        Some(Fault::Hang) => std::future::pending().await,
                        None => {}
                    }
                    let mut requests = request.into_inner();
                    let first = requests.message().await?.unwrap_or_default();
                    Ok(Response::new(shared.pull(&first, requests)))
                }
            });
            Grpc::new(ProstCodec::<StreamingPullResponse, StreamingPullRequest>::default())
                .streaming(act, request)
                .await
        }
        _ => Status::unimplemented("the fake does not know it").into_http(),
    }
}

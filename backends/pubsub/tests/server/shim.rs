//! [`Shim`], a server in front of another that fails calls when told, and ends streams whose client is gone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::poll_fn;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint, Server};
use tower::{Service, ServiceExt};

/// Passes calls on, but for those that are to fail. It stops when it is dropped.
///
/// Google's emulator goes on handing messages to streams that were cancelled, or whose connection is gone, and takes
/// none for ended but those the client has ended in order. Pub/Sub does not, so the shim ends those that were cut.
pub(crate) struct Shim {
    pub(crate) address: SocketAddr,
    faults: Arc<Mutex<HashMap<&'static str, usize>>>,
    _task: JoinSet<()>,
}

impl Shim {
    pub(crate) async fn to(server: &str) -> Self {
        let channel = Endpoint::from_shared(format!("http://{server}")).expect("it is a host and port").connect_lazy();
        let faults = Arc::default();
        let publisher = Proxy::<false> { channel: channel.clone(), faults: Arc::clone(&faults) };
        let subscriber = Proxy::<true> { channel, faults: Arc::clone(&faults) };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut task = JoinSet::new();
        task.spawn(async move {
            let server = Server::builder().add_service(publisher).add_service(subscriber);
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("it serves");
        });
        Self { address, faults, _task: task }
    }

    /// What makes the next calls of a method fail, as often as it is told.
    pub(crate) fn fail(&self, method: &'static str) -> impl Fn(usize) + Send + Sync + use<> {
        let faults = Arc::clone(&self.faults);
        move |count| {
            faults.lock().unwrap_or_else(PoisonError::into_inner).insert(method, count);
        }
    }
}

#[derive(Clone)]
struct Proxy<const SUBSCRIBER: bool> {
    channel: Channel,
    faults: Arc<Mutex<HashMap<&'static str, usize>>>,
}

impl NamedService for Proxy<false> {
    const NAME: &'static str = "google.pubsub.v1.Publisher";
}

impl NamedService for Proxy<true> {
    const NAME: &'static str = "google.pubsub.v1.Subscriber";
}

impl<const SUBSCRIBER: bool> Service<http::Request<Body>> for Proxy<SUBSCRIBER> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let fails = match faults.get_mut(method) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        };
        let channel = self.channel.clone();
        Box::pin(async move {
            if fails {
                return Ok(Status::unavailable("as the test wishes").into_http());
            }
            let (answer, answered) = oneshot::channel();
            // In a task of its own, which outlives a client that is gone.
            tokio::spawn(pass_on(channel, request, answer));
            Ok(answered.await.unwrap_or_else(|_| Status::cancelled("the shim has ended").into_http()))
        })
    }
}

/// Makes a call, and reads the answer to its end, whether or not there is still somebody to pass it on to.
async fn pass_on(channel: Channel, request: http::Request<Body>, answer: oneshot::Sender<http::Response<Body>>) {
    let request = request.map(|body| {
        let until_cut = BodyStream::new(body).take_while(|frame| ready(frame.is_ok()));
        Body::new(StreamBody::new(until_cut))
    });
    match channel.oneshot(request).await {
        Ok(response) => {
            let (response, mut body) = response.into_parts();
            let (sender, mut receiver) = mpsc::channel(1);
            let passed = Body::new(StreamBody::new(poll_fn(move |cx| receiver.poll_recv(cx))));
            drop(answer.send(http::Response::from_parts(response, passed)));
            while let Some(frame) = body.frame().await {
                drop(sender.send(frame).await);
            }
        }
        Err(error) => drop(answer.send(Status::from_error(Box::new(error)).into_http())),
    }
}

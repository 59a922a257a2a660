//! [`Shim`], a server in front of another that fails calls when told.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint, Server};
use tower::Service;

/// Passes calls on, but for those that are to fail. It stops when it is dropped.
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
            let answer = tower::ServiceExt::oneshot(channel, request).await;
            Ok(answer.unwrap_or_else(|error| Status::from_error(Box::new(error)).into_http()))
        })
    }
}

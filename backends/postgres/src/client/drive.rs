//! [`Drive`], a connection whatever its transport, and [`Connector`], what makes one.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, Socket};

/// A connection, to be polled for as long as it lives. Driving it as a plain future would throw away
/// notifications.
pub(super) trait Drive: Send {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<AsyncMessage, Error>>>;
}

impl<S, T> Drive for Connection<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<AsyncMessage, Error>>> {
        Self::poll_message(self, cx)
    }
}

type Connecting = BoxFuture<'static, Result<(Client, Box<dyn Drive>), Error>>;

/// Makes connections, with TLS or without.
pub(super) type Connector = Arc<dyn Fn(Config) -> Connecting + Send + Sync>;

/// Makes connections with the given TLS.
pub(super) fn connector<T>(tls: T) -> Connector
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    Arc::new(move |config| {
        let tls = tls.clone();
        async move {
            let (client, connection) = config.connect(tls).await?;
            Ok((client, Box::new(connection) as Box<dyn Drive>))
        }
        .boxed()
    })
}

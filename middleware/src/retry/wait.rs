use std::fmt;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_core::{Cancelled, Lease};
use futures_util::future::{BoxFuture, select};
use tokio::time::sleep;

/// The wait before a retry. Ends early when the lease is lost.
#[must_use = "futures do nothing unless polled"]
// Boxed, as hardly any message has to wait and all have room for it.
pub struct Wait(BoxFuture<'static, ()>);

impl Wait {
    pub(super) fn new(delay: Duration, lease: Option<Lease>) -> Self {
        Self(Box::pin(async move {
            let Some(lease) = lease else { return sleep(delay).await };
            let lost = async {
                if lease.cancelled().await != Cancelled::LeaseLost {
                    // The server is about to drop this, and gives the message back without blame.
                    pending::<()>().await;
                }
            };
            select(pin!(sleep(delay)), pin!(lost)).await;
        }))
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}

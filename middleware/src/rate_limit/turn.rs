//! [`Turn`], how one clone of a service comes by its token.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep_until};

use super::bucket::{Asked, Bucket};
use crate::line::Place;

/// How one clone of a service comes by its token. Dropped, it gives back what it has.
#[derive(Debug)]
pub(super) struct Turn {
    bucket: Arc<Bucket>,
    place: Place,
    has_token: bool,
    /// Made when a clone first has to wait, and kept.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Turn {
    pub(super) const fn new(bucket: Arc<Bucket>) -> Self {
        Self { bucket, place: None, has_token: false, sleep: None }
    }

    pub(super) const fn bucket(&self) -> &Arc<Bucket> {
        &self.bucket
    }

    /// Waits for a token, and keeps it until it is spent.
    pub(super) fn poll_token(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.has_token {
            match self.bucket.ask(&mut self.place, cx.waker()) {
                Asked::Taken => self.has_token = true,
                Asked::InLine => return Poll::Pending,
                Asked::NotBefore(due) => {
                    let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
                    if sleep.deadline() != due {
                        sleep.as_mut().reset(due);
                    }
                    ready!(sleep.as_mut().poll(cx));
                }
            }
        }
        Poll::Ready(())
    }

    pub(super) const fn spend(&mut self) {
        self.has_token = false;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.bucket.leave(&mut self.place);
        if self.has_token {
            self.bucket.put_back();
        }
    }
}

//! [`Pair`], two layers of which one undoes what the other does.

use tower_layer::Stack;

/// A layer of the publish side with the one of the receive side that undoes it.
///
/// # Examples
///
/// The order on the receive side follows from that on the publish side:
///
/// ```
/// # #[cfg(all(feature = "base64", feature = "checksum"))] {
/// use chappe_middleware::checksum::{self, DigestLayer};
/// use chappe_middleware::base64;
///
/// let (publish, receive) = checksum::pair(DigestLayer::crc32c()).then(base64::pair()).split();
/// # let _ = (publish, receive); }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a pair does nothing until its layers are put around services"]
pub struct Pair<P, R> {
    publish: P,
    receive: R,
}

impl<P, R> Pair<P, R> {
    /// Puts two layers together, where those of a `pair` function need other options.
    pub fn new(publish: P, receive: R) -> Self {
        Self { publish, receive }
    }

    /// Adds a pair nearer to the broker: its layer comes after this one's when publishing, and before when
    /// receiving.
    pub fn then<P2, R2>(self, nearer: Pair<P2, R2>) -> Pair<Stack<P2, P>, Stack<R, R2>> {
        Pair { publish: Stack::new(nearer.publish, self.publish), receive: Stack::new(self.receive, nearer.receive) }
    }

    /// The layer of the publish side, and that of the receive side.
    #[must_use]
    pub fn split(self) -> (P, R) {
        (self.publish, self.receive)
    }
}

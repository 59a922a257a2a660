//! [`Burials`], the dead letters of a batch.

use std::time::SystemTime;

use super::{DeadLetter, LocalLease, SettleResult, Settlement};
use crate::{Error, ErrorKind, Message, Published, Reason};

/// The dead letters of a batch, for a backend that publishes them and then acknowledges the messages they are of.
///
/// A letter that arrived is remembered by the [`LocalLease`] of its receipt: should the acknowledgement fail, it is
/// made again without a second letter.
#[derive(Debug)]
pub struct Burials<'a, R> {
    /// What the queue is called, as errors name it.
    what: &'static str,
    source: &'a str,
    lease: fn(&R) -> &LocalLease,
    /// Places in the batch whose letters are sent, in their order.
    sent: Vec<usize>,
    /// Those whose letters are there.
    buried: Vec<usize>,
}

impl<'a, R> Burials<'a, R> {
    /// For the queue of this name, which errors call a `what`, and whose receipts have a lease.
    #[must_use]
    pub fn new(what: &'static str, source: &'a str, lease: fn(&R) -> &LocalLease) -> Self {
        Self { what, source, lease, sent: Vec::new(), buried: Vec::new() }
    }

    /// The letters that are to be sent, for reasons with the places of their settlements. One that came without its
    /// message has failed.
    pub fn letters<'b>(
        &mut self,
        batch: &'b mut [Settlement<R>],
        wanted: impl IntoIterator<Item = (usize, Reason)>,
    ) -> Vec<(&'b Message, DeadLetter)> {
        let mut reasons = Vec::new();
        for (place, reason) in wanted {
            let settlement = &mut batch[place];
            if (self.lease)(&settlement.receipt).is_buried() {
                self.buried.push(place);
            } else if settlement.message.is_some() {
                self.sent.push(place);
                reasons.push(reason);
            } else {
                let text = format!("dead letter of {} {} came without its message", self.what, self.source);
                settlement.result = SettleResult::Failed(Error::new(ErrorKind::Invalid, text));
            }
        }
        let batch = &*batch;
        let letters = self.sent.iter().zip(reasons).filter_map(|(&place, reason)| {
            let message = batch[place].message.as_deref()?;
            Some((message, DeadLetter::new(reason, self.source, message.attempt(), SystemTime::now())))
        });
        letters.collect()
    }

    /// Takes in what came of each letter, and answers with the places whose messages are to be acknowledged.
    #[must_use]
    pub fn conclude(
        mut self,
        batch: &mut [Settlement<R>],
        results: impl IntoIterator<Item = Result<Published, Error>>,
    ) -> Vec<usize> {
        for (place, result) in self.sent.into_iter().zip(results) {
            match result {
                Ok(_) => {
                    (self.lease)(&batch[place].receipt).bury();
                    self.buried.push(place);
                }
                Err(error) => batch[place].result = SettleResult::Failed(error),
            }
        }
        self.buried
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::backend::Action;

    fn settlement(message: Option<&'static str>) -> Settlement<LocalLease> {
        let reason = Reason::from("given up");
        let lease = LocalLease::new(Instant::now(), Duration::from_secs(30));
        let mut settlement = Settlement::new(lease, Action::DeadLetter { reason });
        settlement.message = message.map(|body| Box::new(Message::new(body)));
        settlement
    }

    #[test]
    fn a_letter_is_sent_once_and_its_message_acknowledged_when_it_is_there() {
        let mut batch = [settlement(Some("a")), settlement(Some("b")), settlement(None), settlement(Some("there"))];
        batch[3].receipt.bury();
        let mut burials = Burials::new("queue", "orders", |lease: &LocalLease| lease);

        let wanted = (0..4).map(|place| (place, Reason::from("given up")));
        let letters = burials.letters(&mut batch, wanted);
        let bodies: Vec<_> =
            letters.iter().map(|(message, letter)| (message.body().clone(), &*letter.source)).collect();
        assert_eq!(bodies, [("a".into(), "orders"), ("b".into(), "orders")]);
        let refused = Error::new(ErrorKind::Unavailable, "not now");
        let mut buried = burials.conclude(&mut batch, [Err(refused), Ok(Published::default())]);

        buried.sort_unstable();
        assert_eq!(buried, [1, 3]);
        assert_eq!(batch.each_ref().map(|settlement| settlement.receipt.is_buried()), [false, true, false, true]);
        assert!(matches!(&batch[0].result, SettleResult::Failed(error) if error.kind() == ErrorKind::Unavailable));
        assert!(matches!(&batch[2].result, SettleResult::Failed(error) if error.kind() == ErrorKind::Invalid));
    }
}

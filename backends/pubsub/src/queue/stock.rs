//! [`Stock`], what a consumer holds: deliveries nobody has asked for yet, and the order of keys.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chappe_core::backend::Delivery;
use chappe_core::{Error, Key};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::receipt::PubsubReceipt;
use super::tally::Tally;
use crate::metadata::PubsubMetadata;

/// How many keys there may be before those nobody settles any more are looked for.
const SWEEP: usize = 1024;

type Held = Delivery<PubsubReceipt>;

/// What one consumer holds, between the task that reads the stream and whoever fetches.
///
/// Where order is kept, one message of a key is handed out at a time. Those behind it are held until it is settled
/// for good, and it is held itself when it is to be tried again, as Pub/Sub would hand out what is behind it.
#[derive(Debug)]
pub(super) struct Stock {
    state: Mutex<State>,
    /// Rung when there may be something to hand out or to tell.
    bell: Notify,
    /// Rung when there is room again.
    room: Notify,
    /// Rung when something was put off.
    put_off: Notify,
    ordered: bool,
    tally: Arc<Tally>,
    /// The most bytes and messages there may be before nothing more is read.
    most: (usize, usize),
    /// How many may be put off before they crowd out what could be handled.
    crowd: usize,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Held>,
    bytes: usize,
    /// Those of which one is out or ready.
    keys: HashMap<Key, Line>,
    /// Those that are tried again here, and when.
    waiting: Vec<(Instant, Held)>,
    /// When those are due that this stream has delivered and Pub/Sub was told to deliver again later.
    put_off: Vec<Instant>,
    sweep_at: usize,
    failure: Option<Error>,
    closed: bool,
}

/// The messages of a key that are here.
#[derive(Debug)]
struct Line {
    head: Held,
    followers: VecDeque<Held>,
}

impl Stock {
    /// `window` is how many messages may be out in all, and `most` how many bytes and messages may wait here.
    pub(super) fn new(ordered: bool, tally: Arc<Tally>, window: usize, most: (usize, usize)) -> Self {
        let state = State {
            ready: VecDeque::new(),
            bytes: 0,
            keys: HashMap::new(),
            waiting: Vec::new(),
            put_off: Vec::new(),
            sweep_at: SWEEP,
            failure: None,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            bell: Notify::new(),
            room: Notify::new(),
            put_off: Notify::new(),
            ordered,
            tally,
            most,
            crowd: window.div_ceil(2),
        }
    }

    /// Whether the messages of a key are handed out one at a time.
    pub(super) fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// Whether somebody asks for what is here.
    pub(super) fn is_open(&self) -> bool {
        !self.lock().closed
    }

    /// Whether a message is the one of its key that is out.
    pub(super) fn leads(&self, receipt: &PubsubReceipt) -> bool {
        self.lock().line_of(receipt).is_some()
    }

    /// Takes in what was delivered. Answers with what it did not take, because nobody will ask for it any more.
    pub(super) fn admit(&self, deliveries: Vec<Held>) -> Vec<Held> {
        let mut state = self.lock();
        if state.closed {
            return deliveries;
        }
        for delivery in deliveries {
            state.bytes += delivery.message.size_bytes();
            state.admit(delivery);
        }
        drop(state);
        self.bell.notify_one();
        Vec::new()
    }

    /// Moves up to `max` deliveries to `out`. What has lain here beyond its lease is somebody else's.
    pub(super) fn hand_out(&self, max: usize, out: &mut Vec<Held>) {
        let now = Instant::now();
        let mut state = self.lock();
        state.wake(now);
        while out.len() < max {
            let Some(mut delivery) = state.ready.pop_front() else { break };
            state.bytes = state.bytes.saturating_sub(delivery.message.size_bytes());
            if delivery.receipt.lease().is_over(now) {
                state.forget(&delivery.receipt);
                continue;
            }
            delivery.lease_until = Some(delivery.receipt.lease().until());
            let counted =
                delivery.message.extensions().get::<PubsubMetadata>().and_then(|known| known.delivery_attempt);
            let here = self.tally.of(delivery.receipt.message());
            delivery.message.set_attempt(counted.unwrap_or(0).max(here + 1));
            out.push(delivery);
        }
        drop(state);
        self.room.notify_one();
    }

    /// When something is to be tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lock().waiting.iter().map(|(due, _)| *due).min()
    }

    /// Waits until there may be something to hand out or to tell.
    pub(super) async fn changed(&self) {
        self.bell.notified().await;
    }

    /// Waits until there is room to read more.
    pub(super) async fn room(&self) {
        while !self.has_room() {
            self.room.notified().await;
        }
    }

    fn has_room(&self) -> bool {
        let (bytes, messages) = self.most;
        let state = self.lock();
        state.closed || state.bytes < bytes && state.ready.len() < messages
    }

    /// Takes note that Pub/Sub delivers a message again at `due`. Until then it counts as one that is out.
    pub(super) fn put_off(&self, due: Instant) {
        self.lock().put_off.push(due);
        self.put_off.notify_one();
    }

    /// Waits until what was put off takes up so much of what may be out that a new stream is worth it.
    pub(super) async fn crowded(&self) {
        while !self.is_crowded() {
            self.put_off.notified().await;
        }
    }

    fn is_crowded(&self) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        if state.put_off.len() < self.crowd {
            return false;
        }
        state.put_off.retain(|due| *due > now);
        state.put_off.len() >= self.crowd
    }

    /// A new stream begins, which counts from nothing.
    pub(super) fn begin(&self) {
        self.lock().put_off.clear();
    }

    /// Has a failure told when everything is handed out.
    pub(super) fn fail(&self, error: Error) {
        self.lock().failure = Some(error);
        self.bell.notify_one();
    }

    /// Takes the failure; one that is for good stays.
    pub(super) fn take_failure(&self) -> Option<Error> {
        let mut state = self.lock();
        let failure = state.failure.take()?;
        if !failure.is_retryable() {
            state.failure = Some(Error::new(failure.kind(), failure.to_string()));
        }
        Some(failure)
    }

    /// Forgets a failure that is over.
    pub(super) fn recovered(&self) {
        self.lock().failure = None;
    }

    /// Everything that is held and not handed out, whose lease is to be renewed here.
    pub(super) fn held(&self) -> Vec<PubsubReceipt> {
        let mut state = self.lock();
        if state.closed {
            // Followers of what will never be settled would be held for ever.
            state.sweep(Instant::now());
        }
        let followers = state.keys.values().flat_map(|line| &line.followers);
        let waiting = state.waiting.iter().map(|(_, held)| held);
        state.ready.iter().chain(followers).chain(waiting).map(|held| held.receipt.clone()).collect()
    }

    /// Takes out what nobody was handed, in order within each key, and takes no more in. What is behind a message
    /// that is out stays until that is settled, or another consumer would be handed it meanwhile.
    pub(super) fn close(&self) -> Vec<PubsubReceipt> {
        let mut state = self.lock();
        state.closed = true;
        let mut heads: Vec<_> = std::mem::take(&mut state.waiting).into_iter().map(|(_, held)| held.receipt).collect();
        heads.extend(state.ready.drain(..).map(|held| held.receipt));
        state.bytes = 0;
        let mut all = Vec::new();
        for head in heads {
            let line =
                if state.line_of(&head).is_some() { head.key().and_then(|key| state.keys.remove(key)) } else { None };
            all.push(head);
            all.extend(line.into_iter().flat_map(|line| line.followers).map(|held| held.receipt));
        }
        drop(state);
        self.bell.notify_one();
        self.room.notify_one();
        all
    }

    /// Has a message handed out here again at `due`, before those of its key. Answers with what goes back to Pub/Sub
    /// instead, if nothing is handed out any more.
    pub(super) fn again(&self, receipt: &PubsubReceipt, due: Instant) -> Vec<PubsubReceipt> {
        let mut state = self.lock();
        let closed = state.closed;
        let Some(line) = state.line_of(receipt).filter(|_| !closed) else {
            drop(state);
            let followers = self.take_followers(receipt);
            return if closed { std::iter::once(receipt.clone()).chain(followers).collect() } else { followers };
        };
        line.head.receipt = receipt.anew();
        let held = line.head.clone();
        state.bytes += held.message.size_bytes();
        state.waiting.push((due, held));
        drop(state);
        self.bell.notify_one();
        Vec::new()
    }

    /// A message is settled for good: the next of its key has its turn. Answers with what goes back instead, if
    /// nothing is handed out any more.
    pub(super) fn advance(&self, receipt: &PubsubReceipt) -> Vec<PubsubReceipt> {
        if self.lock().closed {
            return self.take_followers(receipt);
        }
        let now = Instant::now();
        let mut state = self.lock();
        let Some(line) = state.line_of(receipt) else { return Vec::new() };
        let mut gone = 0;
        let next = loop {
            match line.followers.pop_front() {
                Some(next) if next.receipt.lease().is_over(now) => gone += next.message.size_bytes(),
                other => break other,
            }
        };
        match next {
            Some(next) => {
                line.head = next.clone();
                state.ready.push_back(next);
            }
            None => drop(receipt.key().map(|key| state.keys.remove(key))),
        }
        state.bytes = state.bytes.saturating_sub(gone);
        drop(state);
        self.bell.notify_one();
        Vec::new()
    }

    /// A message goes back, and what waits for it here has to go with it, in order.
    pub(super) fn take_followers(&self, receipt: &PubsubReceipt) -> Vec<PubsubReceipt> {
        let mut state = self.lock();
        if state.line_of(receipt).is_none() {
            return Vec::new();
        }
        let line = receipt.key().and_then(|key| state.keys.remove(key));
        let followers: Vec<_> = line.into_iter().flat_map(|line| line.followers).collect();
        let bytes: usize = followers.iter().map(|held| held.message.size_bytes()).sum();
        state.bytes = state.bytes.saturating_sub(bytes);
        followers.into_iter().map(|held| held.receipt).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(&mut self, delivery: Held) {
        let Some(key) = delivery.receipt.key().cloned() else {
            self.ready.push_back(delivery);
            return;
        };
        let now = Instant::now();
        if let Some(line) = self.keys.get_mut(&key) {
            if !line.head.receipt.lease().is_over(now) {
                line.followers.push_back(delivery);
                return;
            }
            // Whoever had the head never said what became of it. It comes again, and what is behind it, too.
            self.drop_line(&key);
        }
        if self.keys.len() >= self.sweep_at {
            self.sweep(now);
        }
        self.keys.insert(key, Line { head: delivery.clone(), followers: VecDeque::new() });
        self.ready.push_back(delivery);
    }

    /// Makes ready what is to be tried again by now, first come first served.
    fn wake(&mut self, now: Instant) {
        if self.waiting.iter().any(|(due, _)| *due <= now) {
            let (mut due, later): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.waiting).into_iter().partition(|(due, _)| *due <= now);
            self.waiting = later;
            due.sort_by_key(|(due, _)| *due);
            self.ready.extend(due.into_iter().map(|(_, held)| held));
        }
    }

    /// The line at whose head a delivery is.
    fn line_of(&mut self, receipt: &PubsubReceipt) -> Option<&mut Line> {
        self.keys.get_mut(receipt.key()?).filter(|line| line.head.receipt.is(receipt))
    }

    /// Forgets a delivery whose lease is over, and what is behind it.
    fn forget(&mut self, receipt: &PubsubReceipt) {
        if self.line_of(receipt).is_some()
            && let Some(key) = receipt.key()
        {
            self.drop_line(key);
        }
    }

    fn drop_line(&mut self, key: &Key) {
        let line = self.keys.remove(key);
        let followers = line.iter().flat_map(|line| &line.followers);
        let bytes: usize = followers.map(|held| held.message.size_bytes()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Forgets keys whose head is over: it was given up, and the key may never come again.
    fn sweep(&mut self, now: Instant) {
        let over: Vec<_> = self
            .keys
            .iter()
            .filter(|(_, line)| line.head.receipt.lease().is_over(now))
            .map(|(key, _)| key.clone())
            .collect();
        over.iter().for_each(|key| self.drop_line(key));
        self.sweep_at = SWEEP.max(2 * self.keys.len());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chappe_core::Message;

    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn stock(ordered: bool) -> Arc<Stock> {
        Arc::new(Stock::new(ordered, Arc::default(), 4, (100, 10)))
    }

    fn deliver(stock: &Arc<Stock>, key: &'static str, body: &'static str) {
        let key = Some(Key::from(key)).filter(|_| stock.is_ordered());
        let receipt = PubsubReceipt::new(body.into(), Instant::now(), LEASE, Some(body.into()), key, stock);
        assert!(stock.admit(vec![Delivery::new(Message::new(body), receipt)]).is_empty());
    }

    fn out(stock: &Stock) -> Vec<Held> {
        let mut out = Vec::new();
        stock.hand_out(10, &mut out);
        out
    }

    fn ids(held: &[Held]) -> Vec<&str> {
        held.iter().map(|held| held.receipt.ack_id()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn without_order_everything_is_handed_out_as_it_came() {
        let stock = stock(false);
        for body in ["1", "2", "3"] {
            deliver(&stock, "k", body);
        }

        assert_eq!(ids(&out(&stock)), ["1", "2", "3"]);
        assert_eq!(stock.lock().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn with_order_one_of_each_key_is_out_at_a_time() {
        let stock = stock(true);
        for (key, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
            deliver(&stock, key, body);
        }

        let first = out(&stock);
        assert!(stock.advance(&first[0].receipt).is_empty());
        let second = out(&stock);

        assert_eq!((ids(&first), ids(&second)), (vec!["a1", "b1"], vec!["a2"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_failed_comes_before_its_followers_and_with_another_receipt() {
        let stock = stock(true);
        for body in ["1", "2"] {
            deliver(&stock, "k", body);
        }
        let first = out(&stock).remove(0).receipt;

        assert!(stock.again(&first, Instant::now() + Duration::from_secs(3)).is_empty());
        let early = out(&stock);
        tokio::time::advance(Duration::from_secs(3)).await;
        let again = out(&stock);
        assert!(stock.advance(&first).is_empty());
        let stale = out(&stock);
        assert!(stock.advance(&again[0].receipt).is_empty());

        assert!(early.is_empty() && stale.is_empty() && first.lease().is_over(Instant::now()));
        assert_eq!((ids(&again), ids(&out(&stock))), (vec!["1"], vec!["2"]));
        assert_eq!(stock.lock().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn followers_go_back_with_their_head() {
        let stock = stock(true);
        for body in ["1", "2", "3"] {
            deliver(&stock, "k", body);
        }
        let head = out(&stock).remove(0).receipt;

        let back = stock.take_followers(&head);

        assert_eq!(back.iter().map(PubsubReceipt::ack_id).collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!((out(&stock).len(), stock.lock().bytes), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_was_never_heard_of_again_leaves_nothing_behind() {
        let stock = stock(true);
        for body in ["1", "2"] {
            deliver(&stock, "k", body);
        }
        drop(out(&stock));
        tokio::time::advance(LEASE).await;

        deliver(&stock, "k", "1 again");

        assert_eq!(ids(&out(&stock)), ["1 again"]);
        assert_eq!(stock.lock().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_nobody_settles_do_not_pile_up() {
        let stock = stock(true);
        for number in 0..5 * SWEEP {
            let receipt =
                PubsubReceipt::new("x".into(), Instant::now(), LEASE, None, Some(number.to_string().into()), &stock);
            stock.admit(vec![Delivery::new(Message::new("x"), receipt)]);
            drop(out(&stock));
            tokio::time::advance(Duration::from_secs(1)).await;
        }

        assert!(stock.lock().keys.len() <= SWEEP);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_more_is_read_while_there_is_no_room() {
        let stock = stock(false);
        for _ in 0..10 {
            deliver(&stock, "k", "x");
        }

        let full = futures_util::FutureExt::now_or_never(stock.room()).is_none();
        drop(out(&stock));
        stock.room().await;

        assert!(full);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_put_off_crowds_out_others_until_it_is_due_or_a_new_stream_begins() {
        let stock = stock(false);
        let crowded = || futures_util::FutureExt::now_or_never(stock.crowded()).is_some();
        stock.put_off(Instant::now() + LEASE);
        let one = crowded();
        stock.put_off(Instant::now() + LEASE);
        let two = crowded();
        tokio::time::advance(LEASE).await;
        let later = crowded();
        stock.put_off(Instant::now() + LEASE);
        stock.put_off(Instant::now() + LEASE);
        stock.begin();

        assert_eq!((one, two, later, crowded()), (false, true, false, false));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_closed_gives_back_what_is_not_out_and_the_rest_in_order() {
        let stock = stock(true);
        for (key, body) in [("a", "a1"), ("a", "a2"), ("b", "b1")] {
            deliver(&stock, key, body);
        }

        let mut first = Vec::new();
        stock.hand_out(1, &mut first);
        let back = stock.close();
        let later = stock.advance(&first[0].receipt);
        let receipt = PubsubReceipt::new("late".into(), Instant::now(), LEASE, None, None, &stock);

        let ids =
            |receipts: &[PubsubReceipt]| receipts.iter().map(|receipt| receipt.ack_id().to_owned()).collect::<Vec<_>>();
        assert_eq!((ids(&back), ids(&later)), (vec!["b1".to_owned()], vec!["a2".to_owned()]));
        assert_eq!(stock.admit(vec![Delivery::new(Message::new("x"), receipt)]).len(), 1);
    }
}

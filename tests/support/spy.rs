//! [`Spy`], a memory queue that can be listened in on, and that fails in ways the queue itself does not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chappe::backend::{
    Action, Backend, Capabilities, ConsumeOptions, Consumer, Delivery, Fetch, Queue, SettleResult, Settlement, Status,
};
use chappe::{Error, ErrorKind, Message};
use chappe_memory::{MemoryConsumer, MemoryQueue, MemoryReceipt};
use tokio::time::{Instant, sleep};

type Script = Box<dyn FnMut(&Settlement<MemoryReceipt>) -> Reply + Send>;
type LaneOf = fn(&Message) -> Option<u64>;

/// A memory queue with other capabilities, a log, and scripted answers. Clones are the same.
#[derive(Clone)]
pub struct Spy(Arc<Inner>);

struct Inner {
    queue: MemoryQueue,
    capabilities: Capabilities,
    lane_of: Option<LaneOf>,
    /// How long a fetch takes, deaf to the stop.
    fetch_time: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    consumes: VecDeque<Consume>,
    panic_in_fetch: bool,
    asked: Vec<usize>,
    calls: Vec<usize>,
    actions: Vec<(Instant, Action)>,
    closes: usize,
    close_hangs: bool,
    script: Option<Script>,
}

/// What comes of a settlement.
#[derive(Clone, Copy)]
pub enum Reply {
    /// What the queue says.
    Pass,
    /// It fails, and nothing is done.
    Fail(ErrorKind),
    /// The whole call takes this long.
    Late(Duration),
}

enum Consume {
    Fail(ErrorKind),
    Hang,
}

impl Spy {
    pub fn new(queue: &MemoryQueue) -> Self {
        let mut capabilities = queue.capabilities().clone();
        // A broker is elsewhere.
        capabilities.settles_at_once = false;
        Self(Arc::new(Inner {
            queue: queue.clone(),
            capabilities,
            lane_of: None,
            fetch_time: Duration::ZERO,
            state: Mutex::default(),
        }))
    }

    pub fn with(mut self, change: impl FnOnce(&mut Capabilities)) -> Self {
        change(&mut self.inner().capabilities);
        self
    }

    pub fn lanes(mut self, lane_of: LaneOf) -> Self {
        self.inner().lane_of = Some(lane_of);
        self
    }

    pub fn fetch_time(mut self, time: Duration) -> Self {
        self.inner().fetch_time = time;
        self
    }

    pub fn fail_consume(self, times: usize, kind: ErrorKind) -> Self {
        self.state(|state| state.consumes.extend((0..times).map(|_| Consume::Fail(kind))));
        self
    }

    pub fn hang_consume(self) -> Self {
        self.state(|state| state.consumes.push_back(Consume::Hang));
        self
    }

    pub fn panic_in_fetch(self) -> Self {
        self.state(|state| state.panic_in_fetch = true);
        self
    }

    pub fn hang_close(self) -> Self {
        self.state(|state| state.close_hangs = true);
        self
    }

    /// Asks `script` about every settlement of every call.
    pub fn on_settle(self, script: impl FnMut(&Settlement<MemoryReceipt>) -> Reply + Send + 'static) -> Self {
        self.state(|state| state.script = Some(Box::new(script)));
        self
    }

    /// How many messages each fetch asked for.
    pub fn asked(&self) -> Vec<usize> {
        self.state(|state| state.asked.clone())
    }

    /// How many settlements each call had.
    pub fn calls(&self) -> Vec<usize> {
        self.state(|state| state.calls.clone())
    }

    pub fn actions(&self) -> Vec<Action> {
        self.state(|state| state.actions.iter().map(|(_, action)| action.clone()).collect())
    }

    /// When leases were asked to be extended.
    pub fn extensions(&self) -> Vec<Instant> {
        let extends = |action: &Action| matches!(action, Action::Extend { .. });
        self.state(|state| state.actions.iter().filter(|(_, action)| extends(action)).map(|(at, _)| *at).collect())
    }

    pub fn closes(&self) -> usize {
        self.state(|state| state.closes)
    }

    fn inner(&mut self) -> &mut Inner {
        Arc::get_mut(&mut self.0).expect("a spy is set up before it is cloned")
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.state.lock().unwrap())
    }
}

pub struct SpyConsumer {
    inner: MemoryConsumer,
    spy: Spy,
}

impl Backend for Spy {
    fn status(&self) -> &Status {
        self.0.queue.status()
    }

    fn system(&self) -> &'static str {
        "spy"
    }

    fn destination(&self) -> &str {
        self.0.queue.destination()
    }
}

impl Queue for Spy {
    type Receipt = MemoryReceipt;
    type Consumer = SpyConsumer;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<SpyConsumer, Error> {
        match self.state(|state| state.consumes.pop_front()) {
            Some(Consume::Fail(kind)) => return Err(Error::new(kind, "consume was made to fail")),
            Some(Consume::Hang) => std::future::pending().await,
            None => {}
        }
        Ok(SpyConsumer { inner: self.0.queue.consume(options).await?, spy: self.clone() })
    }

    async fn settle(&self, batch: &mut [Settlement<MemoryReceipt>]) -> Result<(), Error> {
        let replies: Vec<Reply> = self.state(|state| {
            state.calls.push(batch.len());
            let now = Instant::now();
            state.actions.extend(batch.iter().map(|entry| (now, entry.action.clone())));
            let mut script = state.script.as_mut();
            batch.iter().map(|entry| script.as_mut().map_or(Reply::Pass, |script| script(entry))).collect()
        });
        for reply in &replies {
            if let Reply::Late(time) = reply {
                sleep(*time).await;
            }
        }
        for (entry, reply) in batch.iter_mut().zip(replies) {
            match reply {
                Reply::Pass | Reply::Late(_) => self.0.queue.settle(std::slice::from_mut(entry)).await?,
                Reply::Fail(kind) => {
                    entry.result = SettleResult::Failed(Error::new(kind, "settlement was made to fail"));
                }
            }
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), Error> {
        let hangs = self.state(|state| {
            state.closes += 1;
            state.close_hangs
        });
        if hangs { std::future::pending().await } else { Ok(()) }
    }
}

impl Consumer for SpyConsumer {
    type Receipt = MemoryReceipt;

    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<MemoryReceipt>>) -> Result<Fetch, Error> {
        let panic = self.spy.state(|state| {
            state.asked.push(max);
            state.panic_in_fetch
        });
        assert!(!panic, "fetch was made to panic");
        let time = self.spy.0.fetch_time;
        let result = if time.is_zero() {
            self.inner.fetch(max, out).await?
        } else {
            // The broker's answer is under way while the server stops.
            let result = self.inner.fetch(max, out).await?;
            if result != Fetch::Stopped {
                sleep(time).await;
            }
            result
        };
        if let Some(lane_of) = self.spy.0.lane_of {
            out.iter_mut().for_each(|delivery| delivery.lane = lane_of(&delivery.message));
        }
        Ok(result)
    }
}

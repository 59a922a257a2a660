//! [`PgConsumer`], which leases batches and sleeps while there are none.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chappe_core::Error;
use chappe_core::backend::{Action, ConsumeOptions, Consumer, Delivery, Fetch, Settlement, StopToken};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::{ToSql, Type};

use super::fetch::{From, Haul, IDS};
use super::receipt::PgReceipt;
use super::shared::Shared;
use crate::client::{ANSWER, Link, Listen, Session};

/// How often everything is looked at, whatever the watermark: what was committed late may be below it.
const SWEEP: Duration = Duration::from_secs(2);
/// How many times as long as a sweep took there is until the next, where dead rows make it slow.
const SWEEP_SHARE: u32 = 10;
/// The longest a look at everything may take, where a long transaction has kept millions of dead rows.
const SWEEPING: Duration = Duration::from_secs(60);
/// The pause when there is something that cannot be had, at first.
const BLOCKED: Duration = Duration::from_millis(20);
/// From how many on a fetch is shared between two connections.
const SHARED: usize = 100;
/// How often ids are forgotten that no longer keep duplicates out.
const FORGET: Duration = Duration::from_secs(60);
/// The same where there are more than are forgotten at a time, and the latest for the first time.
const AGAIN: Duration = Duration::from_secs(1);

/// Fetches from a [`PgQueue`](crate::PgQueue) by a connection of its own.
///
/// It keeps a watermark: rows are visible in the order of a time that only grows, so a fetch begins where the one
/// before ended, and does not walk over the dead rows that a long transaction elsewhere keeps from being removed.
pub struct PgConsumer {
    shared: Arc<Shared>,
    link: Arc<Link>,
    stop: StopToken,
    heard: watch::Receiver<u64>,
    /// Keeps `heard` quiet where nobody listens.
    _hearing: watch::Sender<u64>,
    changed: watch::Receiver<u64>,
    watermark: SystemTime,
    lane: Vec<u8>,
    lanes_first: bool,
    sweep_at: Instant,
    /// How long a look at everything may take. A connection that is half open is noticed no sooner.
    patience: Duration,
    forget_at: Instant,
    /// Nothing was there at the last look.
    idle: bool,
    /// The last fetch brought all that was asked for.
    busy: bool,
    blocked: Duration,
}

/// When there will be something to fetch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Now,
    In(Duration),
    Never,
}

impl PgConsumer {
    pub(super) async fn open(shared: &Arc<Shared>, options: ConsumeOptions) -> Result<Self, Error> {
        let (sender, mut heard) = watch::channel(0);
        let listen = shared.options.listen.then(|| Listen {
            channel: shared.store.sql("SELECT {schema}.channel($1)"),
            queue: shared.name.to_string(),
            heard: sender.clone(),
        });
        let link = Link::checked(&shared.store, &shared.vitals, shared.next_part(), listen);
        link.session().await?;
        heard.mark_unchanged();
        let now = Instant::now();
        Ok(Self {
            changed: shared.changed.subscribe(),
            shared: Arc::clone(shared),
            link,
            stop: options.stop,
            heard,
            _hearing: sender,
            watermark: SystemTime::UNIX_EPOCH,
            lane: Vec::new(),
            lanes_first: true,
            sweep_at: now,
            patience: ANSWER,
            forget_at: now + AGAIN.mul_f64(fastrand::f64()),
            idle: false,
            busy: false,
            blocked: BLOCKED,
        })
    }

    /// Leases what there is, up to `max`.
    async fn look(
        &mut self,
        session: &Session,
        max: usize,
        out: &mut Vec<Delivery<PgReceipt>>,
    ) -> Result<usize, Error> {
        let mut left = max;
        let by_time = !self.shared.options.ordered;
        self.lanes_first = !self.lanes_first;
        // Both kinds of an ordered queue have their turn to be first.
        for lanes in [self.lanes_first, !self.lanes_first] {
            if left > 0 && !(by_time && lanes) {
                left -= if lanes {
                    self.by_lane(session, left, out).await?
                } else {
                    self.by_time(session, left, out).await?
                };
            }
        }
        Ok(max - left)
    }

    async fn by_time(
        &mut self,
        session: &Session,
        max: usize,
        out: &mut Vec<Delivery<PgReceipt>>,
    ) -> Result<usize, Error> {
        let mut taken = 0;
        let started = Instant::now();
        if started < self.sweep_at {
            taken = self.take(session, max, From::Time(self.watermark), out).await?;
        }
        if taken == 0 && started >= self.sweep_at {
            let result = self.take(session, max, From::Beginning(self.patience), out).await;
            self.swept(started, result.is_ok());
            taken = result?;
        }
        Ok(taken)
    }

    /// Puts the next look at everything off, also after one that failed, as it may be what took too long: the next
    /// may take longer.
    fn swept(&mut self, started: Instant, well: bool) {
        let took = started.elapsed();
        self.sweep_at = Instant::now() + SWEEP.max(took * SWEEP_SHARE);
        let patience = if well { took * 4 } else { took * 2 };
        self.patience = patience.clamp(ANSWER, SWEEPING);
    }

    /// From the key behind the last on, and then around.
    async fn by_lane(
        &mut self,
        session: &Session,
        max: usize,
        out: &mut Vec<Delivery<PgReceipt>>,
    ) -> Result<usize, Error> {
        let mut taken = self.take(session, max, From::Lane(self.lane.clone()), out).await?;
        if taken < max && !self.lane.is_empty() {
            self.lane.clear();
            taken += self.take(session, max - taken, From::Lane(Vec::new()), out).await?;
        }
        Ok(taken)
    }

    async fn take(
        &mut self,
        session: &Session,
        max: usize,
        from: From,
        out: &mut Vec<Delivery<PgReceipt>>,
    ) -> Result<usize, Error> {
        // Of a backlog a part is leased by the connection that settles, side by side: leasing is two thirds of the
        // work, and a process of the server has one processor. A look at everything may take long and hold it up.
        let aside = if self.busy && max >= SHARED && matches!(from, From::Time(_)) { max / 3 } else { 0 };
        let first = self.shared.take(session, max - aside, &from);
        let (first, second) = tokio::join!(first, async {
            match aside {
                0 => Ok(Haul::default()),
                aside => self.shared.take(&*self.shared.settling.session().await?, aside, &from).await,
            }
        });
        let mut count = 0;
        let mut failure = None;
        for haul in [first, second] {
            match haul {
                Ok(haul) => count += self.keep(haul, &from, out).await,
                Err(error) => failure = Some(error),
            }
        }
        self.busy = count == max;
        failure.map_or(Ok(count), Err)
    }

    /// Hands on what was leased, and answers how much it was.
    async fn keep(&mut self, haul: Haul, from: &From, out: &mut Vec<Delivery<PgReceipt>>) -> usize {
        let count = haul.len();
        if let Some((visible, key)) = haul.last {
            match from {
                From::Beginning(_) | From::Time(_) => self.watermark = self.watermark.max(visible),
                From::Lane(_) => {
                    self.lane = key;
                    // The next there can be.
                    self.lane.push(0);
                }
            }
        }
        self.shared.vitals.status().count_received(haul.deliveries.len() as u64);
        out.extend(haul.deliveries);
        if !haul.odd.is_empty() {
            self.put_aside(haul.odd).await;
        }
        count
    }

    /// What makes no sense goes to the dead letter; without one it stays until somebody mends it.
    async fn put_aside(&self, odd: Vec<(PgReceipt, Error)>) {
        let mut batch = Vec::new();
        for (receipt, error) in odd {
            tracing::error!(%error, queue = &*self.shared.name, "a message cannot be read");
            if self.shared.options.dead.is_some() {
                batch.push(Settlement::new(receipt, Action::DeadLetter { reason: error.to_string().into() }));
            }
        }
        if let Err(error) = self.shared.settle(&mut batch).await {
            tracing::warn!(%error, queue = &*self.shared.name, "messages that cannot be read come again");
        }
    }

    /// When there will be something: from the watermark on, and from time to time wherever it is.
    async fn due(&mut self, session: &Session) -> Result<Due, Error> {
        let started = Instant::now();
        let sweep = started >= self.sweep_at;
        let from = if sweep { From::Beginning(self.patience) } else { From::Time(self.watermark) };
        let due = match self.shared.due(session, &from).await {
            // The look that follows is at everything as well.
            Ok(Some(due)) if due.is_zero() => return Ok(Due::Now),
            Ok(Some(due)) => Ok(Due::In(due)),
            Ok(None) => Ok(Due::Never),
            Err(error) => Err(error),
        };
        if sweep {
            self.swept(started, due.is_ok());
        }
        due
    }

    fn pause(&mut self, due: Due) -> Duration {
        let poll = self.shared.options.poll.mul_f64(0.7 + 0.3 * fastrand::f64());
        match due {
            Due::Never => poll,
            Due::In(due) => due.min(poll),
            // There is something that is locked, or below the watermark, or blocked by one before.
            Due::Now => {
                let pause = self.blocked.min(poll);
                self.blocked = pause * 2;
                pause
            }
        }
    }

    /// Forgets old ids, of this queue alone, however busy it is.
    async fn forget_ids(&mut self, session: &Session) -> Result<(), Error> {
        if Instant::now() >= self.forget_at {
            self.forget_at = Instant::now() + FORGET;
            let (sql, name) = (&self.shared.statements.sweep_ids, &*self.shared.name);
            let call = self.shared.call("clean up");
            let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&name, Type::TEXT)];
            let forgetting = session.client().execute_typed(sql, &parameters);
            if session.answer(&call, forgetting).await? == IDS {
                self.forget_at = Instant::now() + AGAIN;
            }
        }
        Ok(())
    }
}

impl Consumer for PgConsumer {
    type Receipt = PgReceipt;

    async fn fetch(&mut self, max: usize, out: &mut Vec<Delivery<PgReceipt>>) -> Result<Fetch, Error> {
        let max = max.min(super::MAX_BATCH);
        let session = tokio::select! {
            biased;
            () = self.stop.stopped() => return Ok(Fetch::Stopped),
            session = self.link.session() => session?,
        };
        // Before the look, so that what comes after it is not missed.
        let heard = self.heard.has_changed().unwrap_or(false) | self.changed.has_changed().unwrap_or(false);
        self.heard.mark_unchanged();
        self.changed.mark_unchanged();
        self.forget_ids(&session).await?;
        // An idle queue is asked one thing a time: when there will be something.
        let mut due = if self.idle && !heard { self.due(&session).await? } else { Due::Now };
        if due == Due::Now && self.look(&session, max, out).await? > 0 {
            self.idle = false;
            self.blocked = BLOCKED;
            return Ok(Fetch::More);
        }
        self.idle = true;
        if due == Due::Now {
            due = self.due(&session).await?;
        }
        let pause = self.pause(due);
        let dead = session.when_ended();
        drop(session);
        tokio::select! {
            () = self.stop.stopped() => return Ok(Fetch::Stopped),
            _ = self.heard.changed() => self.heard.mark_changed(),
            _ = self.changed.changed() => self.changed.mark_changed(),
            () = dead => {}
            () = sleep(pause) => {}
        }
        Ok(Fetch::Idle)
    }
}

impl fmt::Debug for PgConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgConsumer").field("queue", &self.shared.name).finish_non_exhaustive()
    }
}

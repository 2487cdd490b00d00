//! What a pool's lock guards: idle connections, the line of those who wait for one, and how many connections there are.
//!
//! The most recently used connection is given out first, so that what is not needed grows old and expires. Those who wait
//! are served in their order; a connection or a place that is given to somebody who has just left comes back and goes to
//! the next. Nothing here waits, and nothing here runs code of others under the lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use resource_ledger::{ConnectionOutcome, OwnerRef};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::link::{Link, Session};
use crate::clock;
use crate::error::{ForwardError, Stage};
use crate::metrics::Rejection;

/// The state behind a pool's lock.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Longest idle first.
    idle: VecDeque<Idle>,
    /// By the number of the ticket, so that the first is the one that waits longest.
    line: BTreeMap<u64, Waiter>,
    next_ticket: u64,
    /// Connections, from before their socket is made until after it is closed.
    open: usize,
    /// Those of them that count against the maximum.
    limited: usize,
    /// Set once: the pool takes no requests any more, and this is how its connections end.
    closing: Option<ConnectionOutcome>,
}

#[derive(Debug)]
struct Idle {
    session: Session,
    until: Instant,
}

#[derive(Debug)]
struct Waiter {
    grant: oneshot::Sender<Claim>,
    claimant: Claimant,
}

/// Who asks for a connection.
#[derive(Debug, Clone)]
pub(crate) struct Claimant {
    /// The request it is for.
    pub(crate) owner: OwnerRef,
    /// When the head of the answer is promised.
    pub(crate) deadline: Instant,
    /// Whether that promise is kept; a drill does not.
    pub(crate) enforced: bool,
    /// Whether the pool's maximum does not apply: for what a drill leaks.
    pub(crate) exempt: bool,
    /// Cuts the client off if nothing else can end the exchange.
    pub(crate) cut: CancellationToken,
}

/// What somebody who asks for a connection gets. Dropping it gives it back.
#[derive(Debug)]
pub(crate) enum Claim {
    /// A connection that nobody else uses.
    Ready(Session),
    /// A place for a new one.
    Connect(Arc<Slot>),
}

/// A connection's place in its pool, from before its socket is made until after it is closed.
#[derive(Debug)]
pub(crate) struct Slot {
    pool: Arc<Shared>,
    kind: Mutex<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Counts against the maximum.
    Limited,
    /// Leaked by a drill, on purpose.
    Exempt,
    Released,
}

/// How many wait for a connection to any endpoint of an upstream, and how many may.
#[derive(Debug)]
pub(crate) struct Waiting {
    count: AtomicUsize,
    limit: usize,
}

/// One of those who wait; leaves the line when dropped.
struct InLine {
    pool: Arc<Shared>,
    ticket: u64,
    grant: oneshot::Receiver<Claim>,
}

impl Waiting {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            count: AtomicUsize::new(0),
            limit,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    fn enter(&self) -> bool {
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < self.limit).then_some(count + 1)
            })
            .is_ok()
    }

    fn leave(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Nothing under the lock can panic half-way through a change.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn claim(
        self: &Arc<Self>,
        claimant: &Claimant,
        fresh: bool,
    ) -> Result<Option<Claim>, ForwardError> {
        let mut shelf = self.shelf();
        self.claim_from(&mut shelf, claimant, fresh)
    }

    fn claim_from(
        self: &Arc<Self>,
        shelf: &mut Shelf,
        claimant: &Claimant,
        fresh: bool,
    ) -> Result<Option<Claim>, ForwardError> {
        if shelf.closing.is_some() {
            self.common.meters.rejected(Rejection::Draining);
            return Err(ForwardError::Draining);
        }
        while !fresh && let Some(idle) = shelf.idle.pop_back() {
            if !idle.session.is_ready() {
                // The peer has closed it; its driver is about to forget it.
                idle.session.close(ConnectionOutcome::PeerClosed);
                continue;
            }
            {
                if claimant.exempt {
                    idle.session.link().slot().exempt_in(shelf);
                }
                idle.session.link().wait_for_head(claimant);
                return Ok(Some(Claim::Ready(idle.session)));
            }
        }
        if claimant.exempt {
            shelf.open += 1;
            return Ok(Some(Claim::Connect(Slot::new(self, Kind::Exempt))));
        }
        if shelf.limited < self.limits.max_connections {
            shelf.open += 1;
            shelf.limited += 1;
            return Ok(Some(Claim::Connect(Slot::new(self, Kind::Limited))));
        }
        if fresh && let Some(oldest) = shelf.idle.pop_front() {
            // Its place comes to the first in line, which the one who asks is about to join.
            oldest.session.close(ConnectionOutcome::Evicted);
        }
        Ok(None)
    }

    pub(super) async fn wait(
        self: &Arc<Self>,
        claimant: &Claimant,
        fresh: bool,
    ) -> Result<Claim, ForwardError> {
        let mut in_line = {
            let mut shelf = self.shelf();
            if let Some(claim) = self.claim_from(&mut shelf, claimant, fresh)? {
                return Ok(claim);
            }
            self.join_line(&mut shelf, claimant)?
        };
        let granted = if claimant.enforced {
            clock::timeout_at(claimant.deadline, &mut in_line.grant).await
        } else {
            Ok((&mut in_line.grant).await)
        };
        match granted {
            Ok(Ok(claim)) => Ok(claim),
            Ok(Err(_)) => {
                self.common.meters.rejected(Rejection::Draining);
                Err(ForwardError::Draining)
            }
            Err(clock::Elapsed) => Err(ForwardError::TimedOut(Stage::Connection)),
        }
    }

    fn join_line(
        self: &Arc<Self>,
        shelf: &mut Shelf,
        claimant: &Claimant,
    ) -> Result<InLine, ForwardError> {
        if !self.common.waiting.enter() {
            self.common.meters.rejected(Rejection::Waiters);
            return Err(ForwardError::WaitersLimit);
        }
        let (sender, grant) = oneshot::channel();
        let ticket = shelf.next_ticket;
        shelf.next_ticket += 1;
        let waiter = Waiter {
            grant: sender,
            claimant: claimant.clone(),
        };
        shelf.line.insert(ticket, waiter);
        Ok(InLine {
            pool: Arc::clone(self),
            ticket,
            grant,
        })
    }

    /// Takes back a connection that can be used again: for the first in line, else for the idle list.
    ///
    /// # Errors
    /// How the connection ends, where it cannot stay: its driver has been told.
    pub(super) fn put(&self, session: Session) -> Result<(), ConnectionOutcome> {
        let mut shelf = self.shelf();
        match self.refuses(&mut shelf, &session) {
            Some(outcome) => {
                session.close(outcome);
                Err(outcome)
            }
            None => {
                self.keep(&mut shelf, session);
                Ok(())
            }
        }
    }

    /// How a connection ends that cannot stay.
    fn refuses(&self, shelf: &mut Shelf, session: &Session) -> Option<ConnectionOutcome> {
        let link = session.link();
        if shelf.closing.is_some() {
            return shelf.closing;
        }
        if self
            .limits
            .max_requests
            .is_some_and(|limit| session.served() >= limit)
        {
            return Some(ConnectionOutcome::MaxRequests);
        }
        if self
            .end_of_life(link)
            .is_some_and(|end| end <= clock::now())
        {
            return Some(ConnectionOutcome::MaxLifetime);
        }
        let counted = link.slot().limit_in(shelf, self.limits.max_connections);
        (!counted).then_some(ConnectionOutcome::Evicted)
    }

    fn end_of_life(&self, link: &Link) -> Option<Instant> {
        self.limits.max_lifetime.map(|limit| link.born() + limit)
    }

    fn keep(&self, shelf: &mut Shelf, mut session: Session) {
        let link = Arc::clone(session.link());
        while let Some((_, waiter)) = shelf.line.pop_first() {
            self.common.waiting.leave();
            link.wait_for_head(&waiter.claimant);
            let Err(Claim::Ready(returned)) = waiter.grant.send(Claim::Ready(session)) else {
                return;
            };
            session = returned;
        }
        let promised = clock::now() + self.limits.idle_timeout;
        let until = self
            .end_of_life(&link)
            .map_or(promised, |end| end.min(promised));
        link.rest(promised, self.limits.idle_enforced.then_some(until));
        shelf.idle.push_back(Idle { session, until });
        if shelf.idle.len() > self.limits.max_idle
            && let Some(oldest) = shelf.idle.pop_front()
        {
            oldest.session.close(ConnectionOutcome::Evicted);
        }
    }

    /// Takes a connection out of the idle list if it has been there for too long, and says how it is to be closed.
    pub(super) fn expire(&self, link: &Link, now: Instant) -> Option<ConnectionOutcome> {
        let mut shelf = self.shelf();
        let position = shelf
            .idle
            .iter()
            .position(|idle| idle.session.link().is(link) && idle.until <= now)?;
        let idle = shelf.idle.remove(position);
        drop(shelf);
        drop(idle);
        Some(match self.end_of_life(link) {
            Some(end) if end <= now => ConnectionOutcome::MaxLifetime,
            _ => ConnectionOutcome::IdleTimeout,
        })
    }

    /// Takes a connection that has ended out of the idle list.
    pub(super) fn forget(&self, link: &Link) {
        let mut shelf = self.shelf();
        let position = shelf
            .idle
            .iter()
            .position(|idle| idle.session.link().is(link));
        let idle = position.and_then(|position| shelf.idle.remove(position));
        drop(shelf);
        drop(idle);
    }

    pub(super) fn close(&self, outcome: ConnectionOutcome) {
        let (idle, line) = {
            let mut shelf = self.shelf();
            shelf.closing.get_or_insert(outcome);
            (
                std::mem::take(&mut shelf.idle),
                std::mem::take(&mut shelf.line),
            )
        };
        for idle in idle {
            idle.session.close(outcome);
        }
        for _ in line {
            self.common.waiting.leave();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shelf().open == 0
    }

    pub(super) async fn closed(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Gives a place for a new connection to the first in line, if there is one.
    fn pass_on(self: &Arc<Self>, mut shelf: MutexGuard<'_, Shelf>) {
        let mut refused = Vec::new();
        while shelf.limited < self.limits.max_connections
            && let Some((_, waiter)) = shelf.line.pop_first()
        {
            self.common.waiting.leave();
            shelf.open += 1;
            shelf.limited += 1;
            let slot = Slot::new(self, Kind::Limited);
            if let Err(claim) = waiter.grant.send(Claim::Connect(slot)) {
                shelf.open -= 1;
                shelf.limited -= 1;
                refused.push(claim);
            }
        }
        let empty = shelf.open == 0;
        drop(shelf);
        for claim in refused {
            if let Claim::Connect(slot) = claim {
                slot.forget();
            }
        }
        if empty {
            self.emptied.notify_waiters();
        }
    }
}

impl Slot {
    fn new(pool: &Arc<Shared>, kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            pool: Arc::clone(pool),
            kind: Mutex::new(kind),
        })
    }

    fn kind(&self) -> MutexGuard<'_, Kind> {
        self.kind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on the connection does not count against the maximum: a drill leaks it.
    pub(super) fn exempt(&self) {
        let mut shelf = self.pool.shelf();
        self.exempt_in(&mut shelf);
        self.pool.pass_on(shelf);
    }

    fn exempt_in(&self, shelf: &mut Shelf) {
        let mut kind = self.kind();
        if *kind == Kind::Limited {
            *kind = Kind::Exempt;
            shelf.limited -= 1;
        }
    }

    /// Counts the connection against the maximum again; `false` where that is reached.
    fn limit_in(&self, shelf: &mut Shelf, maximum: usize) -> bool {
        let mut kind = self.kind();
        if *kind == Kind::Exempt {
            if shelf.limited >= maximum {
                return false;
            }
            *kind = Kind::Limited;
            shelf.limited += 1;
        }
        true
    }

    /// The connection is gone: its place goes to the first in line.
    pub(super) fn release(&self) {
        // Before the pool's lock, which those who drop a connection that has ended may hold.
        if *self.kind() == Kind::Released {
            return;
        }
        let mut shelf = self.pool.shelf();
        match std::mem::replace(&mut *self.kind(), Kind::Released) {
            Kind::Released => return,
            Kind::Exempt => {}
            Kind::Limited => shelf.limited -= 1,
        }
        shelf.open -= 1;
        self.pool.pass_on(shelf);
    }

    /// Marks a place released that was never counted.
    fn forget(&self) {
        *self.kind() = Kind::Released;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.release();
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        let left = self.pool.shelf().line.remove(&self.ticket);
        if left.is_some() {
            self.pool.common.waiting.leave();
            return;
        }
        // Something may have been given to us since: it goes to the next.
        self.grant.close();
        if let Ok(Claim::Ready(session)) = self.grant.try_recv() {
            // Where the pool has no use for it, it is closed.
            let _ = self.pool.put(session);
        }
    }
}

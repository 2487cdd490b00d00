//! What a pool's lock guards: idle connections, shared ones, the line of those who wait for one, and how many connections there are.
//!
//! The most recently used connection is given out first, so that what is not needed grows old and expires. Nothing here
//! waits, and nothing here runs code of others under the lock.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use resource_ledger::{ConnectionOutcome, OwnerRef};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::lease::Hold;
use super::line::Line;
use super::link::{Link, Session};
use super::slot::Slot;
use super::trunk::{Stream, Trunk};
use crate::clock;
use crate::error::ForwardError;
use crate::metrics::Rejection;

/// The state behind a pool's lock.
#[derive(Debug)]
pub(super) struct Shelf {
    /// Longest idle first.
    idle: VecDeque<Idle>,
    /// Connections that carry many exchanges, in use or not; the oldest is filled first.
    trunks: Vec<Arc<Trunk>>,
    pub(super) line: Line,
    /// Connections that are being made.
    pub(super) connecting: usize,
    /// Whether each of those is likely to carry many exchanges.
    pub(super) expects_streams: bool,
    /// Connections, from before their socket is made until after it is closed.
    pub(super) open: usize,
    /// Those of them that count against the maximum.
    pub(super) limited: usize,
    /// Set once: the pool takes no requests any more, and this is how its connections end.
    closing: Option<ConnectionOutcome>,
    /// Set once: connections are closed as soon as nobody needs them.
    retired: bool,
}

#[derive(Debug)]
struct Idle {
    session: Session,
    until: Instant,
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
    /// Whether it needs a connection of HTTP/1.1 to itself, which may switch to another protocol.
    pub(crate) alone: bool,
    /// Cuts the client off where nothing else can end the exchange; `None` where a task of its own waits for it.
    pub(crate) cut: Option<CancellationToken>,
}

/// What somebody who asks for a connection gets. Dropping it gives it back.
#[derive(Debug)]
pub(crate) enum Claim {
    /// A connection that nobody else uses, or a stream of a shared one.
    Ready(Hold),
    /// A place for a new one.
    Connect(Arc<Slot>),
}

impl Claimant {
    /// Whether a stream of a shared connection will do.
    pub(super) fn may_share(&self) -> bool {
        !self.exempt && !self.alone
    }
}

impl Shelf {
    pub(super) fn new(expects_streams: bool) -> Self {
        Self {
            idle: VecDeque::new(),
            trunks: Vec::new(),
            line: Line::default(),
            connecting: 0,
            expects_streams,
            open: 0,
            limited: 0,
            closing: None,
            retired: false,
        }
    }

    /// A stream of a shared connection, if one has room.
    fn stream(&self, claimant: &Claimant) -> Option<Stream> {
        self.trunks.iter().find_map(|trunk| trunk.open(claimant))
    }
}

impl Shared {
    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf> {
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

    pub(super) fn claim_from(
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
            if claimant.exempt {
                idle.session.link().slot().exempt_in(shelf);
            }
            idle.session.link().wait_for_head(claimant);
            return Ok(Some(Claim::Ready(Hold::Alone(idle.session))));
        }
        // What a drill leaks has a connection to itself, so that others' streams do not stall behind it.
        let may_share = claimant.may_share();
        if may_share
            && !fresh
            && let Some(stream) = shelf.stream(claimant)
        {
            return Ok(Some(Claim::Ready(Hold::Stream(stream))));
        }
        if (fresh || !may_share || self.may_connect(shelf))
            && let Some(slot) = Slot::take(self, shelf, claimant.exempt)
        {
            return Ok(Some(Claim::Connect(slot)));
        }
        if may_share
            && fresh
            && let Some(stream) = shelf.stream(claimant)
        {
            return Ok(Some(Claim::Ready(Hold::Stream(stream))));
        }
        if claimant.alone
            && let Some(trunk) = shelf.trunks.iter().find(|trunk| trunk.is_idle())
        {
            trunk.retire_if_idle(ConnectionOutcome::Evicted);
        }
        if fresh && let Some(oldest) = shelf.idle.pop_front() {
            // Its place comes to the first in line, which the one who asks is about to join.
            oldest.session.close(ConnectionOutcome::Evicted);
        }
        Ok(None)
    }

    /// Whether one more connection is to be made: not while those that are being made have streams for all who wait.
    pub(super) fn may_connect(&self, shelf: &Shelf) -> bool {
        let coming = shelf.connecting.saturating_mul(self.speech.max_streams);
        !shelf.expects_streams || coming <= shelf.line.len() || self.common.waiting.is_full()
    }

    /// Takes in a new connection that carries many exchanges, and gives its streams to those who wait.
    pub(super) fn share(self: &Arc<Self>, trunk: &Arc<Trunk>) {
        let mut shelf = self.shelf();
        if let Some(outcome) = shelf.closing {
            drop(shelf);
            trunk.retire(outcome);
            return;
        }
        shelf.trunks.push(Arc::clone(trunk));
        drop(shelf);
        self.serve_line(trunk);
    }

    /// Gives free streams of a connection to the first in line, then places for new connections to the next.
    pub(super) fn serve_line(self: &Arc<Self>, trunk: &Arc<Trunk>) {
        let mut refused = Vec::new();
        let mut shelf = self.shelf();
        while let Some((ticket, waiter)) = shelf.line.first_to_share()
            && let Some(stream) = trunk.open(waiter.claimant())
            && let Some(waiter) = shelf.line.take(ticket, &self.common.waiting)
        {
            if let Err(claim) = waiter.give(Claim::Ready(Hold::Stream(stream))) {
                refused.push(claim);
            }
        }
        self.pass_on(shelf);
        drop(refused);
    }

    /// A shared connection has no exchange left: it stays, or is closed where too many are idle already.
    pub(super) fn rest_trunk(&self, trunk: &Trunk) {
        let too_many = {
            let shelf = self.shelf();
            let idle = shelf.trunks.iter().filter(|trunk| trunk.is_idle()).count();
            let max_idle = if shelf.retired {
                0
            } else {
                self.limits.max_idle
            };
            idle + shelf.idle.len() > max_idle
        };
        if too_many {
            trunk.retire_if_idle(ConnectionOutcome::Evicted);
        }
    }

    /// Takes a shared connection that has ended off the shelf.
    pub(super) fn forget_trunk(&self, trunk: &Arc<Trunk>) {
        let mut shelf = self.shelf();
        shelf.trunks.retain(|other| !Arc::ptr_eq(other, trunk));
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
        while let Some(waiter) = shelf.line.next(&self.common.waiting) {
            link.wait_for_head(waiter.claimant());
            let given = waiter.give(Claim::Ready(Hold::Alone(session)));
            let Err(Claim::Ready(Hold::Alone(returned))) = given else {
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
        let max_idle = if shelf.retired {
            0
        } else {
            self.limits.max_idle
        };
        if shelf.idle.len() > max_idle
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

    pub(super) fn retire(&self) {
        let (idle, trunks) = {
            let mut shelf = self.shelf();
            shelf.retired = true;
            (std::mem::take(&mut shelf.idle), shelf.trunks.clone())
        };
        for trunk in trunks {
            trunk.retire_if_idle(ConnectionOutcome::Evicted);
        }
        for idle in idle {
            idle.session.close(ConnectionOutcome::Evicted);
        }
    }

    pub(super) fn close(&self, outcome: ConnectionOutcome) {
        let (idle, trunks) = {
            let mut shelf = self.shelf();
            shelf.closing.get_or_insert(outcome);
            // Whoever waits is told by the end of the line.
            while shelf.line.next(&self.common.waiting).is_some() {}
            let trunks = shelf.trunks.clone();
            (std::mem::take(&mut shelf.idle), trunks)
        };
        for trunk in trunks {
            trunk.retire(outcome);
        }
        for idle in idle {
            idle.session.close(outcome);
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
}

//! The line of those who wait for a connection.
//!
//! First come, first served, within a bound on their number over all endpoints of an upstream and each until its own
//! deadline. A connection or a place that is given to somebody who has just left comes back and goes to the next.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};

use tokio::sync::oneshot;

use super::Shared;
use super::lease::Hold;
use super::shelf::{Claim, Claimant, Shelf};
use super::slot::Slot;
use crate::clock;
use crate::error::{ForwardError, Stage};
use crate::metrics::Rejection;

/// Those who wait, by the number of their ticket: the first is the one that waits longest.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiters: BTreeMap<u64, Waiter>,
    next_ticket: u64,
}

#[derive(Debug)]
pub(super) struct Waiter {
    grant: oneshot::Sender<Claim>,
    claimant: Claimant,
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

impl Line {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Who waits longest of those whom a stream of a shared connection will do, with its ticket.
    pub(super) fn first_to_share(&self) -> Option<(u64, &Waiter)> {
        let mut waiters = self.waiters.iter();
        let (ticket, waiter) = waiters.find(|(_, waiter)| waiter.claimant.may_share())?;
        Some((*ticket, waiter))
    }

    /// Takes one out of the line.
    pub(super) fn take(&mut self, ticket: u64, waiting: &Waiting) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        waiting.leave();
        Some(waiter)
    }

    /// Takes the first out of the line.
    pub(super) fn next(&mut self, waiting: &Waiting) -> Option<Waiter> {
        let (_, waiter) = self.waiters.pop_first()?;
        waiting.leave();
        Some(waiter)
    }
}

impl Waiter {
    pub(super) fn claimant(&self) -> &Claimant {
        &self.claimant
    }

    /// # Errors
    /// The claim, where the waiter has just left.
    pub(super) fn give(self, claim: Claim) -> Result<(), Claim> {
        self.grant.send(claim)
    }
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

    pub(super) fn is_full(&self) -> bool {
        self.count() >= self.limit
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
    /// A claim, after waiting in line for it where there is none now.
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
            Err(_) => Err(ForwardError::TimedOut(Stage::Connection)),
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
        let line = &mut shelf.line;
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        let waiter = Waiter {
            grant: sender,
            claimant: claimant.clone(),
        };
        line.waiters.insert(ticket, waiter);
        Ok(InLine {
            pool: Arc::clone(self),
            ticket,
            grant,
        })
    }

    /// Gives free places for new connections to the first in line.
    pub(super) fn pass_on(self: &Arc<Self>, mut shelf: MutexGuard<'_, Shelf>) {
        let mut refused = Vec::new();
        while !shelf.line.waiters.is_empty()
            && self.may_connect(&shelf)
            && let Some(slot) = Slot::take(self, &mut shelf, false)
            && let Some(waiter) = shelf.line.next(&self.common.waiting)
        {
            if let Err(claim) = waiter.give(Claim::Connect(slot)) {
                refused.push(claim);
            }
        }
        let empty = shelf.open == 0;
        drop(shelf);
        // What nobody took goes to the next, without the lock.
        drop(refused);
        if empty {
            self.emptied.notify_waiters();
        }
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        let left = self.pool.shelf().line.waiters.remove(&self.ticket);
        if left.is_some() {
            self.pool.common.waiting.leave();
            return;
        }
        // Something may have been given to us since: it goes to the next.
        self.grant.close();
        if let Ok(Claim::Ready(Hold::Alone(session))) = self.grant.try_recv() {
            // Where the pool has no use for it, it is closed.
            let _ = self.pool.put(session);
        }
    }
}

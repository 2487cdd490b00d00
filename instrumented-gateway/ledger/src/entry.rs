//! Entries: one held thing each, opened once and closed once.
//!
//! There is no way to count but to make an [`Entry`] and to drop it. What cannot hold the entry, because it lives in a
//! wrapper around a socket or a body, holds an [`EntryHandle`]: it can say whom the thing works for and until when, and
//! it can never close it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::time::Instant;

use crate::outcome::Outcome;
use crate::owner::OwnerRef;
use crate::shard::{Shard, Ticket};
use crate::sync::Arc;

/// One held thing. Dropping it closes it: as announced by [`EntryHandle::will_close`], else as `O::DROPPED`, and in a
/// panic as `O::PANICKED` where the resource has a word for that.
///
/// ```compile_fail,E0382
/// use resource_ledger::{BodyOutcome, Labels, Ledger};
/// let body = Ledger::default().account::<BodyOutcome>(Labels::new()).open();
/// body.close(BodyOutcome::Complete);
/// body.close(BodyOutcome::Complete); // it is gone: nothing closes twice
/// ```
#[must_use = "dropping an entry closes it"]
pub struct Entry<O: Outcome> {
    handle: EntryHandle<O>,
    open: bool,
}

/// Annotates an [`Entry`] that lives elsewhere. Once that is closed, every call does nothing.
pub struct EntryHandle<O> {
    shard: Arc<Shard>,
    ticket: Ticket,
    outcome: PhantomData<fn() -> O>,
}

impl<O: Outcome> Entry<O> {
    pub(crate) fn new(shard: Arc<Shard>, ticket: Ticket) -> Self {
        Self {
            handle: EntryHandle {
                shard,
                ticket,
                outcome: PhantomData,
            },
            open: true,
        }
    }

    /// Closes the entry now, as `outcome`, whatever was announced before.
    pub fn close(mut self, outcome: O) {
        self.close_once(|_| outcome.index());
    }

    /// Closes the entry now, as announced, else as `outcome`.
    #[cfg_attr(
        loom,
        expect(dead_code, reason = "the wrappers that need it are not in the model")
    )]
    pub(crate) fn close_or(mut self, outcome: O) {
        self.close_once(|announced| announced.map_or(outcome.index(), usize::from));
    }

    /// A handle to annotate this entry from elsewhere.
    pub fn handle(&self) -> EntryHandle<O> {
        self.handle.clone()
    }

    fn close_once(&mut self, choose: impl FnOnce(Option<u8>) -> usize) {
        if std::mem::take(&mut self.open) {
            self.handle.shard.close(self.handle.ticket, choose);
        }
    }
}

impl<O: Outcome> Drop for Entry<O> {
    fn drop(&mut self) {
        let names_panics = O::PANICKED.index() != O::DROPPED.index();
        self.close_once(|announced| match announced {
            _ if names_panics && std::thread::panicking() => O::PANICKED.index(),
            Some(announced) => usize::from(announced),
            None => O::DROPPED.index(),
        });
    }
}

impl<O: Outcome> Deref for Entry<O> {
    type Target = EntryHandle<O>;

    fn deref(&self) -> &EntryHandle<O> {
        &self.handle
    }
}

impl<O: Outcome> EntryHandle<O> {
    /// Replaces owner and deadline together.
    pub fn assign(&self, owner: Option<&OwnerRef>, deadline: Option<Instant>) {
        let mut owner = owner.cloned();
        self.shard.amend(self.ticket, |record| {
            std::mem::swap(&mut record.owner, &mut owner);
            record.deadline = deadline;
        });
    }

    /// Replaces the deadline alone.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.shard
            .amend(self.ticket, |record| record.deadline = deadline);
    }

    /// What the held thing is doing, as one of a few constant words; snapshots count the open entries by it.
    pub fn set_state(&self, state: &'static str) {
        self.shard.amend(self.ticket, |record| record.state = state);
    }

    /// Replaces state, owner and deadline together: no snapshot sees one of them without the others.
    pub fn transition(
        &self,
        state: &'static str,
        owner: Option<&OwnerRef>,
        deadline: Option<Instant>,
    ) {
        let mut owner = owner.cloned();
        self.shard.amend(self.ticket, |record| {
            std::mem::swap(&mut record.owner, &mut owner);
            record.deadline = deadline;
            record.state = state;
        });
    }

    /// The line that listings show, in place of the one that opened the entry. The account's site stays.
    pub fn set_site(&self, location: &'static Location<'static>) {
        self.shard
            .amend(self.ticket, |record| record.location = location);
    }

    /// Announces the outcome that dropping the entry will give.
    pub fn will_close(&self, outcome: O) {
        let index = u8::try_from(outcome.index()).ok();
        self.shard
            .amend(self.ticket, |record| record.will_close = index);
    }

    #[cfg_attr(
        loom,
        expect(dead_code, reason = "the wrappers that need it are not in the model")
    )]
    pub(crate) fn now(&self) -> Instant {
        self.shard.clock().now()
    }
}

impl<O> Clone for EntryHandle<O> {
    fn clone(&self) -> Self {
        Self {
            shard: Arc::clone(&self.shard),
            ticket: self.ticket,
            outcome: PhantomData,
        }
    }
}

impl<O: Outcome> fmt::Debug for Entry<O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("ticket", &self.handle.ticket)
            .field("open", &self.open)
            .finish()
    }
}

impl<O> fmt::Debug for EntryHandle<O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EntryHandle")
            .field("ticket", &self.ticket)
            .finish()
    }
}

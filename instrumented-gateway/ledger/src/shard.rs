//! The counting core: open entries in a slab, and what they add up to, behind one lock.
//!
//! A ledger has several shards; a thread always opens in the same one, and an entry stays for life where it was opened,
//! whichever thread closes it. So opened, closed and open of an entry change in one shard and under one lock, and the
//! sum over shards that were locked one after the other is exact: opened = closed + open, always. Shared atomics would
//! be cheaper to write and could never be read together.

use std::panic::Location;
use std::sync::PoisonError;
use std::time::Instant;

use slab::Slab;

use crate::clock::Clock;
use crate::owner::OwnerRef;
use crate::sync::{Mutex, MutexGuard};

/// The state of an entry that was never given one.
pub(crate) const DEFAULT_STATE: &str = "open";

/// Aligned so that two threads in two shards never write to one cache line (adjacent lines are fetched in pairs).
#[repr(align(128))]
pub(crate) struct Shard {
    clock: Clock,
    books: Mutex<Books>,
}

/// What one shard knows; consistent while its lock is held.
pub(crate) struct Books {
    pub(crate) open: Slab<Record>,
    pub(crate) tallies: Vec<Tally>,
    next_id: u64,
    id_stride: u64,
}

/// One open entry.
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) account: usize,
    pub(crate) opened_at: Instant,
    pub(crate) location: &'static Location<'static>,
    pub(crate) state: &'static str,
    pub(crate) owner: Option<OwnerRef>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) will_close: Option<u8>,
}

/// What one account has counted in one shard.
pub(crate) struct Tally {
    pub(crate) opened: u64,
    pub(crate) closed: Box<[Closed]>,
}

/// Entries of one account that ended in one way.
#[derive(Clone, Copy, Default)]
pub(crate) struct Closed {
    pub(crate) count: u64,
    /// Where the last of them was opened, and when: the later of two shards' is the one to show.
    pub(crate) last: Option<(Instant, &'static Location<'static>)>,
}

/// Finds an entry in its shard, and nothing else once that is closed: identifiers are never used twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    slot: usize,
    id: u64,
}

impl Ticket {
    /// Of an entry that nobody keeps.
    pub(crate) const NONE: Self = Self {
        slot: usize::MAX,
        id: u64::MAX,
    };

    fn is_none(self) -> bool {
        self.id == u64::MAX
    }
}

/// What a new entry starts with.
pub(crate) struct Opening {
    pub(crate) account: usize,
    pub(crate) location: &'static Location<'static>,
    pub(crate) owner: Option<OwnerRef>,
    pub(crate) deadline: Option<Instant>,
}

impl Shard {
    /// Shard `index` of `shards`: identifiers are unique over all of them.
    pub(crate) fn new(index: usize, shards: usize, clock: Clock) -> Self {
        let books = Books {
            open: Slab::new(),
            tallies: Vec::new(),
            next_id: index as u64,
            id_stride: shards as u64,
        };
        Self {
            clock,
            books: Mutex::new(books),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Makes room for one more account with so many outcomes. Its index is the number of accounts before it.
    pub(crate) fn add_account(&self, outcomes: usize) {
        let closed = vec![Closed::default(); outcomes].into_boxed_slice();
        self.books().tallies.push(Tally { opened: 0, closed });
    }

    pub(crate) fn open(&self, opening: Opening) -> Ticket {
        let opened_at = self.clock.now();
        let Opening {
            account,
            location,
            owner,
            deadline,
        } = opening;
        let mut books = self.books();
        let id = books.next_id;
        books.next_id += books.id_stride;
        books.tallies[account].opened += 1;
        let record = Record {
            id,
            account,
            opened_at,
            location,
            state: DEFAULT_STATE,
            owner,
            deadline,
            will_close: None,
        };
        Ticket {
            slot: books.open.insert(record),
            id,
        }
    }

    /// Closes the entry with the outcome that `choose` makes of the one announced before, if any.
    pub(crate) fn close(&self, ticket: Ticket, choose: impl FnOnce(Option<u8>) -> usize) {
        if ticket.is_none() {
            return;
        }
        let mut books = self.books();
        let is_this = |record: &Record| record.id == ticket.id;
        if !books.open.get(ticket.slot).is_some_and(is_this) {
            return;
        }
        let record = books.open.remove(ticket.slot);
        let closed = &mut books.tallies[record.account].closed[choose(record.will_close)];
        closed.count += 1;
        closed.last = Some((record.opened_at, record.location));
        // The owner may be the last reference to a request: free it outside the lock.
        drop(books);
        drop(record);
    }

    /// Changes an open entry; does nothing once it is closed. What `change` returns is the caller's to drop, unlocked.
    pub(crate) fn amend<R>(
        &self,
        ticket: Ticket,
        change: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        if ticket.is_none() {
            return None;
        }
        let mut books = self.books();
        books
            .open
            .get_mut(ticket.slot)
            .filter(|record| record.id == ticket.id)
            .map(change)
    }

    /// What the shard knows, for as long as nothing in it moves.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        // No code of others runs under the lock, so a poisoned one still holds true counts.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// Gives back what a past crowd of open entries needed, so that one bad hour is not paid for at every scrape.
    pub(crate) fn release_memory(&mut self) {
        const KEPT: usize = 1024;
        if self.open.capacity() > KEPT && self.open.len() < self.open.capacity() / 4 {
            self.open.shrink_to_fit();
        }
    }
}

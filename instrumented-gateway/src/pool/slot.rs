//! A connection's place in its pool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Shared;
use super::shelf::Shelf;

/// A connection's place in its pool, from before its socket is made until after it is closed.
#[derive(Debug)]
pub(crate) struct Slot {
    pool: Arc<Shared>,
    kind: Mutex<Kind>,
    /// Until there is a connection of which it is known what it speaks.
    connecting: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Counts against the maximum.
    Limited,
    /// Leaked by a drill, on purpose.
    Exempt,
    Released,
}

impl Slot {
    /// A place for a new connection; `None` where the pool's maximum is reached, which an exempt one does not count
    /// against.
    pub(super) fn take(pool: &Arc<Shared>, shelf: &mut Shelf, exempt: bool) -> Option<Arc<Self>> {
        let kind = if exempt { Kind::Exempt } else { Kind::Limited };
        if kind == Kind::Limited {
            if shelf.limited >= pool.limits.max_connections {
                return None;
            }
            shelf.limited += 1;
        }
        shelf.open += 1;
        shelf.connecting += 1;
        Some(Arc::new(Self {
            pool: Arc::clone(pool),
            kind: Mutex::new(kind),
            connecting: AtomicBool::new(true),
        }))
    }

    pub(super) fn pool(&self) -> &Arc<Shared> {
        &self.pool
    }

    /// There is a connection. Whether it carries many exchanges tells those who wait what to expect of the next; `None`
    /// where it was not asked.
    pub(super) fn established(&self, carries_streams: Option<bool>) {
        let mut shelf = self.pool.shelf();
        if self.connecting.swap(false, Ordering::AcqRel) {
            shelf.connecting -= 1;
        }
        shelf.expects_streams = carries_streams.unwrap_or(shelf.expects_streams);
        if carries_streams != Some(true) {
            self.pool.pass_on(shelf);
        }
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

    pub(super) fn exempt_in(&self, shelf: &mut Shelf) {
        let mut kind = self.kind();
        if *kind == Kind::Limited {
            *kind = Kind::Exempt;
            shelf.limited -= 1;
        }
    }

    /// Counts the connection against the maximum again; `false` where that is reached.
    pub(super) fn limit_in(&self, shelf: &mut Shelf, maximum: usize) -> bool {
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
        let before = std::mem::replace(&mut *self.kind(), Kind::Released);
        match before {
            Kind::Released => return,
            Kind::Exempt => {}
            Kind::Limited => shelf.limited -= 1,
        }
        shelf.open -= 1;
        if self.connecting.swap(false, Ordering::AcqRel) {
            shelf.connecting -= 1;
            // Nothing came of it: nobody else should wait for one that may never come.
            shelf.expects_streams = false;
        }
        self.pool.pass_on(shelf);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.release();
    }
}

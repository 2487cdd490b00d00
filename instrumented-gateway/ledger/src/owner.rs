//! Owners: the request that a held thing works for.
//!
//! An [`Owner`] is a guard: it holds the `request` entry, and its end is the moment from which whatever still names it
//! as owner is on the way to being orphaned. It must end last: among the fields of a struct, declare it after what it
//! owns, among the variables of a function before.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::account::Account;
use crate::clock::Clock;
use crate::entry::Entry;
use crate::outcome::RequestOutcome;

/// What tells one request from another, for listings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerId {
    /// The service's own identifier of the request.
    pub request_id: String,
    /// The trace that it belongs to, where the request carried one.
    pub trace_id: Option<String>,
}

/// A request, from its head received to its response ended. Dropping it ends it.
#[must_use = "dropping an owner ends its request"]
#[derive(Debug)]
pub struct Owner {
    entry: Option<Entry<RequestOutcome>>,
    reference: OwnerRef,
    clock: Clock,
}

/// Names an [`Owner`] in the entries it owns. Cloning is cheap and keeps the request's identifiers, not the request.
#[derive(Clone)]
pub struct OwnerRef(Arc<State>);

struct State {
    id: OwnerId,
    ended_at: OnceLock<Instant>,
}

impl Owner {
    /// Opens the `request` entry. Its site in listings is the caller's line.
    #[track_caller]
    pub fn begin(account: &Account<RequestOutcome>, id: OwnerId) -> Owner {
        Self::begin_at(Location::caller(), account, id)
    }

    pub(crate) fn begin_at(
        location: &'static Location<'static>,
        account: &Account<RequestOutcome>,
        id: OwnerId,
    ) -> Owner {
        let reference = OwnerRef(Arc::new(State {
            id,
            ended_at: OnceLock::new(),
        }));
        let entry = account.open_at(location, Some(&reference), None);
        Owner {
            entry: Some(entry),
            reference,
            clock: account.clock(),
        }
    }

    /// The reference to give to what works for this request.
    pub fn reference(&self) -> OwnerRef {
        self.reference.clone()
    }

    /// Ends the request now.
    pub fn end(mut self, outcome: RequestOutcome) {
        if let Some(entry) = self.entry.take() {
            entry.close(outcome);
        }
    }

    /// The outcome that dropping the guard will give; without it, `client_gone`.
    pub fn will_end(&self, outcome: RequestOutcome) {
        if let Some(entry) = &self.entry {
            entry.will_close(outcome);
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The entry first: a request never shows as orphaned by its own end.
        self.entry.take();
        // Set once by construction: there is one guard and it is dropped once.
        let _ = self.reference.0.ended_at.set(self.clock.now());
    }
}

impl OwnerRef {
    /// The request's identifiers.
    pub fn id(&self) -> &OwnerId {
        &self.0.id
    }

    /// When the request ended, if it has.
    pub fn ended_at(&self) -> Option<Instant> {
        self.0.ended_at.get().copied()
    }
}

impl fmt::Debug for OwnerRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OwnerRef")
            .field("id", self.id())
            .field("ended", &self.ended_at().is_some())
            .finish()
    }
}

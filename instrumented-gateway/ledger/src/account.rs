//! Accounts: what entries are counted under.
//!
//! An [`Account`] is a resource with an upstream, a route and a site. Getting one is a look-up by its labels; opening an
//! entry on it is not. Get it once, where the upstream or the route is configured, and keep it.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc as StdArc;
use std::time::Instant;

use crate::clock::Clock;
use crate::entry::Entry;
use crate::ledger::Core;
use crate::outcome::Outcome;
use crate::owner::OwnerRef;
use crate::registry::Identity;
use crate::shard::{Opening, Ticket};
use crate::site::site_of;
use crate::sync::Arc;

/// The labels of an account beside its resource. One that does not apply stays away, and is absent from the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    pub(crate) upstream: Option<StdArc<str>>,
    pub(crate) route: Option<StdArc<str>>,
    pub(crate) site: Option<&'static str>,
}

/// Where entries of one resource, upstream, route and site are counted. Cloning is cheap.
pub struct Account<O> {
    core: Arc<Core>,
    index: usize,
    outcome: PhantomData<fn() -> O>,
}

impl Labels {
    /// No upstream, no route, and the caller's file as the site.
    pub fn new() -> Self {
        Self::default()
    }

    /// The configured name of the upstream. An empty one is none, as Prometheus has it.
    #[must_use]
    pub fn upstream(mut self, name: impl Into<StdArc<str>>) -> Self {
        self.upstream = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// The configured path of the route, never the path of a request: that would be a series for each.
    #[must_use]
    pub fn route(mut self, path: impl Into<StdArc<str>>) -> Self {
        self.route = Some(path.into()).filter(|path| !path.is_empty());
        self
    }

    /// A name in place of the caller's file.
    #[must_use]
    pub fn site(mut self, name: &'static str) -> Self {
        self.site = Some(name);
        self
    }
}

impl<O: Outcome> Account<O> {
    pub(crate) fn new(core: Arc<Core>, index: usize) -> Self {
        Self {
            core,
            index,
            outcome: PhantomData,
        }
    }

    /// Opens an entry without owner or deadline. Listings show the caller's line.
    #[track_caller]
    pub fn open(&self) -> Entry<O> {
        self.open_at(Location::caller(), None, None)
    }

    /// Opens an entry that works for `owner` and should be closed by `deadline`. Listings show the caller's line.
    #[track_caller]
    pub fn open_for(&self, owner: Option<&OwnerRef>, deadline: Option<Instant>) -> Entry<O> {
        self.open_at(Location::caller(), owner, deadline)
    }

    /// The account with the caller's file as its site, for a library that is given an account and opens elsewhere.
    /// It is looked up by its labels: keep it.
    #[track_caller]
    #[must_use]
    pub fn here(&self) -> Account<O> {
        let identity = self.core.identity(self.index);
        let identity = Identity {
            site: site_of(Location::caller()).into(),
            ..(*identity).clone()
        };
        Self::new(Arc::clone(&self.core), self.core.register(identity))
    }

    /// The account of another route, alike in all else.
    #[cfg(not(loom))]
    pub(crate) fn on_route(&self, route: &str) -> Account<O> {
        let identity = self.core.identity(self.index);
        let identity = Identity {
            route: Some(route.into()).filter(|_| !route.is_empty()),
            ..(*identity).clone()
        };
        Self::new(Arc::clone(&self.core), self.core.register(identity))
    }

    pub(crate) fn open_at(
        &self,
        location: &'static Location<'static>,
        owner: Option<&OwnerRef>,
        deadline: Option<Instant>,
    ) -> Entry<O> {
        let shard = self.core.shard_of_this_thread();
        if self.core.counts_nothing() {
            return Entry::new(Arc::clone(shard), Ticket::NONE);
        }
        let opening = Opening {
            account: self.index,
            location,
            owner: owner.cloned(),
            deadline,
        };
        let ticket = shard.open(opening);
        Entry::new(Arc::clone(shard), ticket)
    }

    pub(crate) fn clock(&self) -> Clock {
        self.core.clock().clone()
    }
}

impl<O> Clone for Account<O> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            index: self.index,
            outcome: PhantomData,
        }
    }
}

impl<O> fmt::Debug for Account<O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.core.identity(self.index);
        formatter
            .debug_struct("Account")
            .field("resource", &identity.resource)
            .field("upstream", &identity.upstream)
            .field("route", &identity.route)
            .field("site", &identity.site)
            .finish()
    }
}

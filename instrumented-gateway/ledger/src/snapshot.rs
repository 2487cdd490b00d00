//! Everything counted, at one moment.
//!
//! Shards are locked one after the other, so writers of the others go on. Each entry lives in one shard, so for each
//! account opened = closed + open holds exactly all the same. Late entries are found by looking at each open one: that
//! needs no bookkeeping when owners end and deadlines move, which happens far more often than a scrape.

use std::sync::Arc as StdArc;
use std::time::{Duration, Instant};

use crate::ledger::Core;
use crate::registry::Identity;
use crate::shard::{Books, Record};

/// What a ledger counted, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The instant that ages and lateness refer to.
    pub at: Instant,
    /// One for each account, in the order in which they were registered, `other` among them.
    pub accounts: Vec<AccountSnapshot>,
    /// How many accounts there can be.
    pub accounts_limit: usize,
    /// How many look-ups fell into `other` because there were that many.
    pub accounts_refused: u64,
}

/// What one account counted. `opened` = the sum of `closed` + `open`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// The value of the label `resource`.
    pub resource: &'static str,
    /// The value of the label `upstream`.
    pub upstream: Option<StdArc<str>>,
    /// The value of the label `route`.
    pub route: Option<StdArc<str>>,
    /// The value of the label `site`.
    pub site: StdArc<str>,
    /// Entries opened so far.
    pub opened: u64,
    /// Entries closed so far, by outcome; every outcome of the resource is listed.
    pub closed: Vec<(&'static str, u64)>,
    /// Entries open now.
    pub open: u64,
    /// Of those, open more than the grace period after their deadline.
    pub overdue: u64,
    /// Of those, open more than the grace period after their owner's end.
    pub orphaned: u64,
    /// The age of the oldest open entry; `None` where none is open.
    pub oldest_age: Option<Duration>,
    /// The open entries by state, less states in which there are none. Their sum is `open`.
    pub states: Vec<(&'static str, u64)>,
}

impl Snapshot {
    pub(crate) fn take(core: &Core) -> Self {
        core.read_registry(|registry| {
            let mut accounts: Vec<_> = registry
                .identities()
                .iter()
                .map(|identity| AccountSnapshot::new(identity))
                .collect();
            let at = core.clock().now();
            // What is later than this is late; before the clock's first moment, nothing is.
            let late_before = at.checked_sub(core.grace());
            for shard in core.shards() {
                let mut books = shard.books();
                add_books(&mut accounts, &books, at, late_before);
                books.release_memory();
            }
            Self {
                at,
                accounts,
                accounts_limit: registry.limit(),
                accounts_refused: registry.refused(),
            }
        })
    }

    /// The sum over all accounts of a resource.
    pub fn open(&self, resource: &str) -> u64 {
        self.of(resource).map(|account| account.open).sum()
    }

    /// The open entries of a resource and an upstream in one state.
    pub fn open_in_state(&self, resource: &str, upstream: &str, state: &str) -> u64 {
        let accounts = self
            .of(resource)
            .filter(|account| account.upstream.as_deref() == Some(upstream));
        accounts.map(|account| account.open_in_state(state)).sum()
    }

    /// The accounts of a resource.
    pub fn of(&self, resource: &str) -> impl Iterator<Item = &AccountSnapshot> {
        self.accounts
            .iter()
            .filter(move |account| account.resource == resource)
    }
}

impl AccountSnapshot {
    fn new(identity: &Identity) -> Self {
        Self {
            resource: identity.resource,
            upstream: identity.upstream.clone(),
            route: identity.route.clone(),
            site: identity.site.clone(),
            opened: 0,
            closed: identity.words.iter().map(|word| (*word, 0)).collect(),
            open: 0,
            overdue: 0,
            orphaned: 0,
            oldest_age: None,
            states: Vec::new(),
        }
    }

    /// Entries closed so far, in whatever way.
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().map(|(_, count)| count).sum()
    }

    /// Entries that ended as `outcome`; zero for a word that the resource does not have.
    pub fn closed_as(&self, outcome: &str) -> u64 {
        self.closed
            .iter()
            .find(|(word, _)| *word == outcome)
            .map_or(0, |(_, count)| *count)
    }

    /// Open entries in a state.
    pub fn open_in_state(&self, state: &str) -> u64 {
        self.states
            .iter()
            .find(|(word, _)| *word == state)
            .map_or(0, |(_, count)| *count)
    }

    fn add_open(&mut self, record: &Record, at: Instant, late_before: Option<Instant>) {
        let is_late = |since: Option<Instant>| {
            since
                .zip(late_before)
                .is_some_and(|(since, late_before)| since < late_before)
        };
        self.open += 1;
        self.overdue += u64::from(is_late(record.deadline));
        self.orphaned += u64::from(is_late(
            record.owner.as_ref().and_then(|owner| owner.ended_at()),
        ));
        self.oldest_age = self
            .oldest_age
            .max(Some(at.saturating_duration_since(record.opened_at)));
        match self
            .states
            .iter_mut()
            .find(|(word, _)| *word == record.state)
        {
            Some((_, count)) => *count += 1,
            None => self.states.push((record.state, 1)),
        }
    }
}

fn add_books(
    accounts: &mut [AccountSnapshot],
    books: &Books,
    at: Instant,
    late_before: Option<Instant>,
) {
    for (account, tally) in accounts.iter_mut().zip(&books.tallies) {
        account.opened += tally.opened;
        for ((_, count), closed) in account.closed.iter_mut().zip(&tally.closed) {
            *count += closed.count;
        }
    }
    for (_, record) in &books.open {
        accounts[record.account].add_open(record, at, late_before);
    }
}

//! The ledger: a registry of accounts over a few shards of entries.
//!
//! It is a value, not a global: a process can have several, and a test has one of its own. Clones share everything.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc as StdArc, PoisonError};
use std::time::{Duration, Instant};

use crate::account::{Account, Labels};
use crate::clock::Clock;
use crate::closed::ClosedPlace;
use crate::listing::{Filter, Listing};
use crate::outcome::{FIXED_RESOURCES, Outcome, ResourceOutcome, ServiceOutcome};
use crate::registry::{Identity, Inserted, OTHER, Registry};
use crate::shard::Shard;
use crate::site::site_of;
use crate::snapshot::Snapshot;
use crate::sync::{Arc, RwLock, thread_number};

/// More shards than threads cost memory, fewer cost waiting: four for each processor, within these bounds.
const SHARDS_MIN: usize = 8;
const SHARDS_MAX: usize = 64;

/// What a ledger is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long after its owner's end, or its own deadline, an entry may stay open before it counts as orphaned or
    /// overdue. Above every bounded clean-up of the service, so that both are exactly zero in a correct program.
    pub grace: Duration,
    /// How many accounts there can be; what comes after falls into `other`.
    pub max_accounts: usize,
    /// Where the time comes from.
    pub clock: Clock,
    /// Whether entries are kept by nobody and every count stays zero: for measuring what counting costs.
    pub counts_nothing: bool,
}

/// Counts what a service holds. Cloning is cheap, clones share everything.
#[derive(Clone)]
pub struct Ledger {
    core: Arc<Core>,
}

pub(crate) struct Core {
    clock: Clock,
    grace: Duration,
    counts_nothing: bool,
    shards: Box<[Arc<Shard>]>,
    registry: RwLock<Registry>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(2),
            max_accounts: 1000,
            clock: Clock::system(),
            counts_nothing: false,
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Ledger {
    /// An empty ledger.
    pub fn new(settings: Settings) -> Self {
        let Settings {
            grace,
            max_accounts,
            clock,
            counts_nothing,
        } = settings;
        let count = shard_count();
        let shards = (0..count)
            .map(|index| Arc::new(Shard::new(index, count, clock.clone())))
            .collect();
        let registry = RwLock::new(Registry::new(max_accounts));
        Self {
            core: Arc::new(Core {
                clock,
                grace,
                counts_nothing,
                shards,
                registry,
            }),
        }
    }

    /// The present instant, by the ledger's clock.
    pub fn now(&self) -> Instant {
        self.core.clock.now()
    }

    /// How late an entry may be before it counts as orphaned or overdue.
    pub fn grace(&self) -> Duration {
        self.core.grace
    }

    /// The account of `O`'s resource with these labels, made where there is none. Without [`Labels::site`], the site is
    /// the caller's file. It is looked up by its labels: keep the result.
    #[track_caller]
    pub fn account<O: ResourceOutcome>(&self, labels: Labels) -> Account<O> {
        self.account_of(O::RESOURCE, false, labels, Location::caller())
    }

    /// The account of a resource that the service names by a word of its own, like `db_session`.
    ///
    /// # Panics
    /// If `word` is empty, `other`, or one of the resources that have outcomes of their own ([`ResourceOutcome`]).
    #[track_caller]
    pub fn service_account(&self, word: &'static str, labels: Labels) -> Account<ServiceOutcome> {
        let taken = FIXED_RESOURCES.contains(&word);
        assert!(
            !taken,
            "resource {word:?} has outcomes of its own: use Ledger::account"
        );
        let usable = !word.is_empty() && word != OTHER;
        assert!(
            usable,
            "resource {word:?} names nothing: choose a word for what is held"
        );
        self.account_of(word, true, labels, Location::caller())
    }

    /// What is counted at this moment: within each account, opened = closed + open.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.core)
    }

    /// The open entries that pass the filter, oldest first, at most `limit` of them.
    pub fn oldest(&self, filter: &Filter, limit: usize) -> Listing {
        Listing::take(&self.core, filter, limit)
    }

    /// For each account that passes the filter and each outcome that has happened (or the one that is asked for), where
    /// the last entry that ended so was opened. Most often closed first.
    pub fn last_closed(&self, filter: &Filter, outcome: Option<&str>) -> Vec<ClosedPlace> {
        ClosedPlace::take(&self.core, filter, outcome)
    }

    fn account_of<O: Outcome>(
        &self,
        resource: &'static str,
        own_word: bool,
        labels: Labels,
        caller: &Location<'_>,
    ) -> Account<O> {
        let Labels {
            upstream,
            route,
            site,
        } = labels;
        let site = site.map_or_else(|| site_of(caller).into(), Into::into);
        let identity = Identity {
            resource,
            upstream,
            route,
            site,
            words: O::WORDS,
            own_word,
        };
        Account::new(Arc::clone(&self.core), self.core.register(identity))
    }
}

impl Core {
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }

    pub(crate) fn counts_nothing(&self) -> bool {
        self.counts_nothing
    }

    pub(crate) fn shards(&self) -> &[Arc<Shard>] {
        &self.shards
    }

    pub(crate) fn register(&self, identity: Identity) -> usize {
        if let Some(index) = self.read_registry(|registry| registry.find(&identity)) {
            return index;
        }
        let mut registry = self
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match registry.insert(identity) {
            Inserted::Found(index) => index,
            Inserted::New(index) => {
                let outcomes = registry.identities()[index].words.len();
                self.shards
                    .iter()
                    .for_each(|shard| shard.add_account(outcomes));
                index
            }
        }
    }

    pub(crate) fn identity(&self, index: usize) -> StdArc<Identity> {
        self.read_registry(|registry| StdArc::clone(&registry.identities()[index]))
    }

    /// Runs `read` while no account can be added.
    pub(crate) fn read_registry<R>(&self, read: impl FnOnce(&Registry) -> R) -> R {
        read(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn shard_of_this_thread(&self) -> &Arc<Shard> {
        // The count is a power of two.
        &self.shards[thread_number() & (self.shards.len() - 1)]
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accounts = self
            .core
            .read_registry(|registry| registry.identities().len());
        formatter
            .debug_struct("Ledger")
            .field("accounts", &accounts)
            .field("grace", &self.core.grace)
            .finish_non_exhaustive()
    }
}

fn shard_count() -> usize {
    // Two are enough for a model, and it must stay small.
    if cfg!(loom) {
        return 2;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors * 4)
        .next_power_of_two()
        .clamp(SHARDS_MIN, SHARDS_MAX)
}

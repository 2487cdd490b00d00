//! Providers at work: each in a task of its own, its last word on a shelf where whoever needs it can look.
//!
//! A provider that fails keeps what it found last, says so once in the log and always in the metrics: a registry that
//! is down must not look like a fleet that is gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leak_detect::Timestamp;
use resource_ledger::{Labels as Account, Ledger, ServiceTaskOutcome, Task};
use tokio::sync::Notify;

use super::{Group, Provider};
use crate::clock;

/// Targets that one provider may tell of; those above are left out and counted.
const MAX_TARGETS_OF_PROVIDER: usize = 50_000;

/// Runs providers until it is dropped.
#[derive(Debug)]
pub struct Discovery {
    running: Vec<Running>,
    changed: Arc<Notify>,
    ledger: Ledger,
}

#[derive(Debug)]
struct Running {
    provider: Provider,
    outlet: Outlet,
    _task: Task<()>,
}

/// Where a provider puts what it has found. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Outlet {
    shelf: Arc<Mutex<Shelf>>,
    changed: Arc<Notify>,
    mechanism: &'static str,
    /// For whom it looks: a job's name.
    purpose: Arc<str>,
}

#[derive(Debug, Default)]
struct Shelf {
    groups: Arc<[Group]>,
    report: Report,
}

/// How a provider is doing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// `file`, `http`, `dns` or `kubernetes`.
    pub mechanism: &'static str,
    /// How often it could not find out what there is.
    pub failures: u64,
    /// Why not, where the last try failed; what was found before stands.
    pub error: Option<String>,
    /// When it found out last.
    pub succeeded_at: Option<Timestamp>,
    /// Targets that it tells of, before any relabelling.
    pub targets: usize,
    /// Targets that were left out because there were too many.
    pub left_out: usize,
}

impl Discovery {
    /// Begins to look. `changed` is notified whenever [`groups`](Self::groups) has changed; `purpose` stands in the log
    /// beside what goes wrong.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        providers: &[Provider],
        purpose: &str,
        changed: Arc<Notify>,
        ledger: &Ledger,
    ) -> Self {
        let mut discovery = Self {
            running: Vec::new(),
            changed,
            ledger: ledger.clone(),
        };
        discovery.replace(providers, purpose);
        discovery
    }

    /// Goes on with other providers; one that was there already runs on and forgets nothing.
    pub fn replace(&mut self, providers: &[Provider], purpose: &str) {
        let mut before = std::mem::take(&mut self.running);
        for provider in providers {
            let known = before.iter().position(|own| own.provider == *provider);
            self.running.push(match known {
                Some(index) => before.swap_remove(index),
                None => self.run(provider, purpose),
            });
        }
        self.changed.notify_one();
    }

    fn run(&self, provider: &Provider, purpose: &str) -> Running {
        let outlet = Outlet {
            shelf: Arc::default(),
            changed: Arc::clone(&self.changed),
            mechanism: provider.mechanism(),
            purpose: Arc::from(purpose),
        };
        let account = self.ledger.account::<ServiceTaskOutcome>(Account::new());
        let task = provider.clone().run(outlet.clone());
        Running {
            provider: provider.clone(),
            outlet,
            _task: self.ledger.spawn(account.open(), task),
        }
    }

    /// Everything that is known now: each provider's last word, in the order of the configuration.
    pub fn groups(&self) -> Vec<Arc<[Group]>> {
        let outlets = self.running.iter().map(|own| &own.outlet);
        outlets
            .map(|outlet| Arc::clone(&outlet.shelf().groups))
            .collect()
    }

    /// Where each provider puts what it finds.
    pub fn outlets(&self) -> Vec<Outlet> {
        self.running.iter().map(|own| own.outlet.clone()).collect()
    }
}

impl Outlet {
    /// This is all there is. What is above the limit of one provider is left out.
    pub fn found(&self, groups: Vec<Group>) {
        if self.shelf().report.error.take().is_some() {
            let (mechanism, purpose) = (self.mechanism, &*self.purpose);
            tracing::info!(mechanism, purpose, "discovery works again");
        }
        self.put(groups);
    }

    fn put(&self, mut groups: Vec<Group>) {
        let mut room = MAX_TARGETS_OF_PROVIDER;
        let mut left_out = 0;
        for group in &mut groups {
            left_out += group.targets.len().saturating_sub(room);
            group.targets.truncate(room);
            room -= group.targets.len();
        }
        let mut shelf = self.shelf();
        let first_left_out = left_out > 0 && shelf.report.left_out == 0;
        shelf.report.succeeded_at = Some(clock::now());
        shelf.report.targets = MAX_TARGETS_OF_PROVIDER - room;
        shelf.report.left_out = left_out;
        let is_new = *shelf.groups != *groups;
        if is_new {
            shelf.groups = groups.into();
        }
        drop(shelf);
        if is_new {
            self.changed.notify_one();
        }
        let (mechanism, purpose) = (self.mechanism, &*self.purpose);
        if first_left_out {
            let limit = MAX_TARGETS_OF_PROVIDER;
            tracing::warn!(
                mechanism,
                purpose,
                left_out,
                limit,
                "discovery found more targets than one provider may have"
            );
        }
    }

    /// This is there, and that is why it is not all: what was found before stands where nothing else is known.
    pub fn found_in_part(&self, groups: Vec<Group>, error: impl Into<String>) {
        let before = self.shelf().report.error.take();
        let succeeded_at = self.shelf().report.succeeded_at;
        self.put(groups);
        let mut shelf = self.shelf();
        shelf.report.error = before;
        shelf.report.succeeded_at = succeeded_at;
        drop(shelf);
        self.failed(error);
    }

    /// It could not be found out what there is: what was found before stands.
    pub fn failed(&self, error: impl Into<String>) {
        let error = error.into();
        let mut shelf = self.shelf();
        shelf.report.failures += 1;
        let is_new = shelf.report.error.as_ref() != Some(&error);
        if is_new {
            shelf.report.error = Some(error.clone());
        }
        drop(shelf);
        if is_new {
            let (mechanism, purpose) = (self.mechanism, &*self.purpose);
            tracing::warn!(
                mechanism,
                purpose,
                error,
                "discovery failed; what was found before stands"
            );
        }
    }

    /// How it is doing.
    pub fn report(&self) -> Report {
        let mut report = self.shelf().report.clone();
        report.mechanism = self.mechanism;
        report
    }

    /// Whether both are the same provider's.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shelf, &other.shelf)
    }

    /// What it has found.
    pub fn groups(&self) -> Arc<[Group]> {
        Arc::clone(&self.shelf().groups)
    }

    /// An outlet that nobody else looks at, for a provider under test.
    #[cfg(test)]
    pub(crate) fn alone(mechanism: &'static str) -> (Self, Arc<Notify>) {
        let changed = Arc::new(Notify::new());
        let outlet = Self {
            shelf: Arc::default(),
            changed: Arc::clone(&changed),
            mechanism,
            purpose: Arc::from("test"),
        };
        (outlet, changed)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

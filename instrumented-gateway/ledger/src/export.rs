//! The ledger as metrics, under names that dashboards depend on.
//!
//! Values are published from one snapshot, with `absolute` and `set` alone, into a recorder that the application owns:
//! there is no global recorder and no macro here. A recorder's renderer reads its counters before its gauges, so a
//! publication in between would tear them apart: [`Exporter::render`] does both under one lock.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString};

use crate::ledger::Ledger;
use crate::snapshot::{AccountSnapshot, Snapshot};

const OPENED: &str = "resource_ledger_opened_total";
const CLOSED: &str = "resource_ledger_closed_total";
const OPEN: &str = "resource_ledger_open";
const OVERDUE: &str = "resource_ledger_overdue";
const ORPHANED: &str = "resource_ledger_orphaned";
const OLDEST_AGE: &str = "resource_ledger_oldest_age_seconds";
const ACCOUNTS: &str = "resource_ledger_accounts";
const ACCOUNTS_LIMIT: &str = "resource_ledger_accounts_limit";
const ACCOUNTS_REFUSED: &str = "resource_ledger_accounts_refused_total";

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Publishes a ledger into a recorder.
#[derive(Debug)]
pub struct Exporter {
    ledger: Ledger,
    /// The keys of the accounts seen so far, in the order of the snapshot. Locked while anything is published.
    keys: Mutex<Vec<AccountKeys>>,
}

#[derive(Debug)]
struct AccountKeys {
    opened: Key,
    closed: Vec<Key>,
    open: Key,
    overdue: Key,
    orphaned: Key,
    oldest_age: Key,
}

impl Exporter {
    /// An exporter that has published nothing.
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            keys: Mutex::new(Vec::new()),
        }
    }

    /// Registers the help texts. Once, before the first publication.
    pub fn describe(&self, recorder: &dyn Recorder) {
        // No units: a renderer may append them, and the names are fixed.
        let counter = |name: &'static str, help: &'static str| {
            recorder.describe_counter(KeyName::from(name), None, help.into())
        };
        let gauge = |name: &'static str, help: &'static str| {
            recorder.describe_gauge(KeyName::from(name), None, help.into())
        };
        counter(OPENED, "Entries opened: things taken into hold.");
        counter(CLOSED, "Entries closed, by how they ended.");
        gauge(OPEN, "Entries open now: opened less closed, exactly.");
        gauge(
            OVERDUE,
            "Entries still open more than the grace period after their own deadline; zero in a correct program.",
        );
        gauge(
            ORPHANED,
            "Entries still open more than the grace period after their request ended; zero in a correct program.",
        );
        gauge(
            OLDEST_AGE,
            "Age of the oldest open entry in seconds; 0 when none is open.",
        );
        gauge(
            ACCOUNTS,
            "Accounts (resource, upstream, route, site) that exist.",
        );
        gauge(
            ACCOUNTS_LIMIT,
            "Accounts that can exist before the rest falls into `other`.",
        );
        counter(
            ACCOUNTS_REFUSED,
            "Look-ups of an account that fell into `other` because of the limit.",
        );
    }

    /// Writes the present values into the recorder. A renderer that runs at the same time may mix them with the ones
    /// before: where the application renders by itself, [`Exporter::render`] is exact.
    pub fn publish(&self, recorder: &dyn Recorder) {
        self.render(recorder, |_| ());
    }

    /// Writes the present values into the recorder and renders, with no other publication in between. What `render`
    /// publishes beside them from the snapshot that it is given agrees with them. It must not come back to this
    /// exporter: it would wait for itself.
    pub fn render<R>(&self, recorder: &dyn Recorder, render: impl FnOnce(&Snapshot) -> R) -> R {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.ledger.snapshot();
        for (index, account) in snapshot.accounts.iter().enumerate() {
            if index == keys.len() {
                keys.push(AccountKeys::new(account));
            }
            keys[index].publish(account, recorder);
        }
        publish_limits(&snapshot, recorder);
        render(&snapshot)
    }

    /// Publishes once in every `period`, for ever: for an exporter that serves by itself and offers no hook. The values
    /// are then correct to `period`, and a scrape in the middle of a publication can see a mixture.
    ///
    /// # Panics
    /// If `period` is zero, or outside a tokio runtime with its clock enabled.
    pub async fn publish_every(&self, period: Duration, recorder: &(dyn Recorder + Sync)) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.publish(recorder);
        }
    }
}

impl AccountKeys {
    fn new(account: &AccountSnapshot) -> Self {
        let labels = labels(account);
        let key = |name: &'static str| Key::from_parts(name, labels.clone());
        let closed = |(outcome, _): &(&'static str, u64)| {
            let outcome = Label::from_static_parts("outcome", outcome);
            Key::from_parts(CLOSED, [labels.clone(), vec![outcome]].concat())
        };
        Self {
            opened: key(OPENED),
            closed: account.closed.iter().map(closed).collect(),
            open: key(OPEN),
            overdue: key(OVERDUE),
            orphaned: key(ORPHANED),
            oldest_age: key(OLDEST_AGE),
        }
    }

    fn publish(&self, account: &AccountSnapshot, recorder: &dyn Recorder) {
        for (key, (_, count)) in self.closed.iter().zip(&account.closed) {
            recorder.register_counter(key, &METADATA).absolute(*count);
        }
        recorder
            .register_counter(&self.opened, &METADATA)
            .absolute(account.opened);
        let gauge = |key: &Key, value: f64| recorder.register_gauge(key, &METADATA).set(value);
        gauge(&self.open, account.open as f64);
        gauge(&self.overdue, account.overdue as f64);
        gauge(&self.orphaned, account.orphaned as f64);
        gauge(
            &self.oldest_age,
            account.oldest_age.unwrap_or_default().as_secs_f64(),
        );
    }
}

fn publish_limits(snapshot: &Snapshot, recorder: &dyn Recorder) {
    let gauge = |name: &'static str, value: usize| {
        recorder
            .register_gauge(&Key::from_static_name(name), &METADATA)
            .set(value as f64)
    };
    gauge(ACCOUNTS, snapshot.accounts.len());
    gauge(ACCOUNTS_LIMIT, snapshot.accounts_limit);
    recorder
        .register_counter(&Key::from_static_name(ACCOUNTS_REFUSED), &METADATA)
        .absolute(snapshot.accounts_refused);
}

fn labels(account: &AccountSnapshot) -> Vec<Label> {
    let mut labels = vec![Label::from_static_parts("resource", account.resource)];
    let optional = [
        ("upstream", &account.upstream),
        ("route", &account.route),
        ("site", &Some(account.site.clone())),
    ];
    labels.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some(Label::new(name, SharedString::from(value.clone()?)))),
    );
    labels
}

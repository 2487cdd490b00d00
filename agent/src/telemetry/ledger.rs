//! What the agent itself holds, as any service with a ledger exports it: its own tasks and connections, with the
//! names and meanings that its catalogue knows of others. A watched series never has one of these names here, so that
//! the two cannot be mixed up.

use resource_ledger::{AccountSnapshot, Ledger};

use crate::telemetry::text::{Exposition, Kind};

pub(super) fn write(exposition: &mut Exposition, ledger: &Ledger) {
    let snapshot = ledger.snapshot();
    let accounts: Vec<&AccountSnapshot> = snapshot
        .accounts
        .iter()
        .filter(|account| account.opened > 0)
        .collect();
    type Value = fn(&AccountSnapshot) -> f64;
    let families: [(&str, Kind, &str, Value); 5] = [
        (
            "resource_ledger_opened_total",
            Kind::Counter,
            "Entries opened.",
            |own| own.opened as f64,
        ),
        (
            "resource_ledger_open",
            Kind::Gauge,
            "Entries open now.",
            |own| own.open as f64,
        ),
        (
            "resource_ledger_overdue",
            Kind::Gauge,
            "Entries open after their own deadline and the grace.",
            |own| own.overdue as f64,
        ),
        (
            "resource_ledger_orphaned",
            Kind::Gauge,
            "Entries open after the end of their owner and the grace.",
            |own| own.orphaned as f64,
        ),
        (
            "resource_ledger_oldest_age_seconds",
            Kind::Gauge,
            "Age of the oldest open entry; 0 when none is open.",
            |own| own.oldest_age.map_or(0.0, |age| age.as_secs_f64()),
        ),
    ];
    for (name, kind, help, value) in families {
        let mut family = exposition.family(name, kind, help);
        for account in &accounts {
            family.sample(labels(account), value(account));
        }
    }
    let mut family = exposition.family(
        "resource_ledger_closed_total",
        Kind::Counter,
        "Entries closed, by how they ended.",
    );
    for account in &accounts {
        for (outcome, number) in &account.closed {
            family.sample(
                labels(account).into_iter().chain([("outcome", *outcome)]),
                *number as f64,
            );
        }
    }
}

fn labels(account: &AccountSnapshot) -> [(&str, &str); 4] {
    [
        ("resource", account.resource),
        ("upstream", account.upstream.as_deref().unwrap_or_default()),
        ("route", account.route.as_deref().unwrap_or_default()),
        ("site", &account.site),
    ]
}

//! One scrape's counters, sorted by what they explain.

use std::collections::BTreeMap;
use std::sync::Arc;

use leak_detect::Timestamp;

use crate::catalogue::Role;
use crate::engine::series::shared;
use crate::engine::target::slots::{Slot, Slots};
use crate::engine::traffic::Readings;
use crate::labels::Labels;

/// Outcomes of a body that was dropped before its end was read.
const UNREAD_OUTCOMES: [&str; 2] = ["abandoned", "unread"];

/// What a scrape says beside its levels.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) start: Option<Timestamp>,
    /// Entries opened, by resource and upstream.
    pub(super) opened: BTreeMap<(Arc<str>, Option<Arc<str>>), f64>,
    /// Counters of load, each summed over its series.
    pub(super) loads: Vec<(Arc<str>, f64)>,
    /// By signal: its limits, each with its labels.
    pub(super) limits: Vec<(Arc<str>, Labels, f64)>,
    pub(super) upstreams: BTreeMap<Arc<str>, Readings>,
}

impl Reading {
    /// Reads the explaining series that were seen at `since` or later.
    pub(super) fn renew(&mut self, slots: &Slots, since: Timestamp) {
        self.start = None;
        self.opened.clear();
        self.loads.clear();
        self.limits.clear();
        self.upstreams.clear();
        for slot in slots.explaining() {
            if slot.seen_at.is_some_and(|seen_at| seen_at >= since) {
                self.add(slot);
            }
        }
    }

    /// The sum of what only ever rises in one life.
    pub(super) fn counted(&self) -> f64 {
        let loads: f64 = self.loads.iter().map(|(_, total)| total).sum();
        loads + self.opened.values().sum::<f64>()
    }

    /// The total of one counter of load.
    pub(super) fn load(&self, name: &str) -> Option<f64> {
        let found = self.loads.iter().find(|(own, _)| **own == *name);
        found.map(|(_, total)| *total)
    }

    /// The limit of a series: the lowest of those of its signal that have the same values of the labels that both have.
    pub(super) fn limit(&self, signal: &str, labels: &Labels) -> Option<f64> {
        let of_signal = self.limits.iter().filter(|(own, _, _)| **own == *signal);
        let own = of_signal.filter(|(_, limits, _)| limits.agrees_with(labels));
        own.map(|(_, _, limit)| *limit).min_by(f64::total_cmp)
    }

    fn add_load(&mut self, name: &Arc<str>, value: f64) {
        match self.loads.iter_mut().find(|(own, _)| own == name) {
            Some((_, total)) => *total += value,
            None => self.loads.push((Arc::clone(name), value)),
        }
    }

    fn add(&mut self, sample: &Slot) {
        let value = sample.value;
        match &sample.role {
            // What was started anew may still be told of as it was before.
            Role::StartTime => self.start = self.start.max(Some(Timestamp::from_seconds(value))),
            Role::Opened => self.add_opened(sample),
            Role::Closed => self.add_closed(sample),
            // Programs say by zero or less that there is no limit.
            Role::Limit(signal) if value > 0.0 => {
                self.limits
                    .push((Arc::clone(signal), sample.labels.clone(), value));
            }
            Role::Load => self.add_load(&sample.name, value),
            Role::UpstreamResult => {
                if let Some(upstream) = self.upstream(sample) {
                    *upstream.calls.get_or_insert(0.0) += value;
                    if sample.labels.get("result") == Some("timed_out") {
                        *upstream.timed_out.get_or_insert(0.0) += value;
                    }
                }
            }
            Role::UpstreamRejected => {
                if let Some(upstream) = self.upstream(sample) {
                    *upstream.rejected.get_or_insert(0.0) += value;
                }
            }
            Role::Waiters => {
                if let Some(upstream) = self.upstream(sample) {
                    *upstream.waiters.get_or_insert(0.0) += value;
                }
            }
            Role::PoolState => {
                if let Some(upstream) = self.upstream(sample)
                    && sample.labels.get("state") == Some("idle")
                {
                    *upstream.idle.get_or_insert(0.0) += value;
                }
            }
            Role::Limit(_) | Role::OldestAge | Role::Exact(_) | Role::Level(_) => {}
        }
    }

    fn add_opened(&mut self, sample: &Slot) {
        let Some((resource, upstream)) = account(&sample.labels) else {
            return;
        };
        match &*resource {
            // The requests of users are the load of the whole process.
            "request" => self.add_load(&sample.name, sample.value),
            "response_body" => {
                if let Some(upstream) = self.upstream(sample) {
                    *upstream.bodies_opened.get_or_insert(0.0) += sample.value;
                }
            }
            _ => {}
        }
        *self.opened.entry((resource, upstream)).or_default() += sample.value;
    }

    fn add_closed(&mut self, sample: &Slot) {
        let value = sample.value;
        let (resource, outcome) = (sample.labels.get("resource"), sample.labels.get("outcome"));
        let (Some(resource), Some(outcome)) = (resource, outcome) else {
            return;
        };
        let place = (
            shared(&sample.labels, "route"),
            shared(&sample.labels, "site"),
        );
        let Some(upstream) = self.upstream(sample) else {
            return;
        };
        match (resource, outcome) {
            ("pool_connection", "undrained") => *upstream.undrained.get_or_insert(0.0) += value,
            ("pool_connection", "evicted") => *upstream.evicted.get_or_insert(0.0) += value,
            ("response_body", outcome) if UNREAD_OUTCOMES.contains(&outcome) => {
                *upstream.unread.entry(place).or_default() += value;
            }
            _ => {}
        }
    }

    fn upstream(&mut self, sample: &Slot) -> Option<&mut Readings> {
        Some(
            self.upstreams
                .entry(shared(&sample.labels, "upstream")?)
                .or_default(),
        )
    }
}

/// The account of a ledger's series: resource and upstream.
fn account(labels: &Labels) -> Option<(Arc<str>, Option<Arc<str>>)> {
    Some((shared(labels, "resource")?, shared(labels, "upstream")))
}

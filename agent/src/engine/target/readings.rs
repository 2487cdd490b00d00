//! One scrape's counters, sorted by what they explain.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use leak_detect::Timestamp;

use crate::catalogue::Role;
use crate::engine::series::shared;
use crate::engine::target::account;
use crate::engine::traffic::Readings;
use crate::labels::Labels;
use crate::scrape::Sample;

/// Outcomes of a body that was dropped before its end was read.
const UNREAD_OUTCOMES: [&str; 2] = ["abandoned", "unread"];

/// What a scrape says beside its levels.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    pub(super) start: Option<Timestamp>,
    /// Age in seconds of the oldest entry of an account, by the account's labels.
    pub(super) oldest_ages: HashMap<Labels, f64>,
    /// Entries opened, by the account's labels.
    pub(super) opened_by_account: HashMap<Labels, f64>,
    /// Entries opened, by resource and upstream.
    pub(super) opened: BTreeMap<(Arc<str>, Option<Arc<str>>), f64>,
    /// Counters of load, each summed over its series.
    pub(super) loads: HashMap<Arc<str>, f64>,
    /// By signal: the family of its limit and the limit.
    pub(super) limits: HashMap<Arc<str>, (Arc<str>, f64)>,
    pub(super) upstreams: BTreeMap<Arc<str>, Readings>,
}

impl Reading {
    pub(super) fn of(samples: &[(Role, &Sample)]) -> Self {
        let mut reading = Self::default();
        for (role, sample) in samples {
            if sample.value.is_finite() {
                reading.add(role, sample);
            }
        }
        reading
    }

    /// The sum of what only ever rises in one life.
    pub(super) fn counted(&self) -> f64 {
        self.loads.values().sum::<f64>() + self.opened.values().sum::<f64>()
    }

    fn add(&mut self, role: &Role, sample: &Sample) {
        let value = sample.value;
        match role {
            Role::StartTime => self.start = Some(Timestamp::from_seconds(value)),
            Role::OldestAge => {
                self.oldest_ages.insert(sample.labels.clone(), value);
            }
            Role::Opened => self.add_opened(sample),
            Role::Closed => self.add_closed(sample),
            Role::Limit(signal) => {
                self.limits
                    .insert(Arc::clone(signal), (Arc::clone(&sample.name), value));
            }
            Role::Load => *self.loads.entry(Arc::clone(&sample.name)).or_default() += value,
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
            Role::Exact(_) | Role::Level(_) => {}
        }
    }

    fn add_opened(&mut self, sample: &Sample) {
        let Some((resource, upstream)) = account(&sample.labels) else {
            return;
        };
        match &*resource {
            // The requests of users are the load of the whole process.
            "request" => *self.loads.entry(Arc::clone(&sample.name)).or_default() += sample.value,
            "response_body" => {
                if let Some(upstream) = self.upstream(sample) {
                    *upstream.bodies_opened.get_or_insert(0.0) += sample.value;
                }
            }
            _ => {}
        }
        self.opened_by_account
            .insert(sample.labels.clone(), sample.value);
        *self.opened.entry((resource, upstream)).or_default() += sample.value;
    }

    fn add_closed(&mut self, sample: &Sample) {
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

    fn upstream(&mut self, sample: &Sample) -> Option<&mut Readings> {
        Some(
            self.upstreams
                .entry(shared(&sample.labels, "upstream")?)
                .or_default(),
        )
    }
}

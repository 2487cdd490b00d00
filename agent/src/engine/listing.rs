//! Which targets the agent scrapes, as discovery tells it, and what a new configuration changes.
//!
//! A target that discovery no longer lists is let go slowly: for some minutes it only counts as silent, so that a
//! registry that hiccups or a provider that starts anew is no end of a life; then it is off the list, as of when it
//! vanished; hours later it is forgotten. One that was watched for less time than that, and of whose workload others
//! live and nothing leaks, is forgotten after as long as it was watched, or where thousands of short-lived ones come and go, they would be
//! most of what is remembered. What is stored of detectors, incidents and alerts is no matter of this.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use leak_detect::{Budget, Timestamp};

use crate::config::Config;
use crate::discovery::Target;
use crate::engine::overrides::Overrides;
use crate::engine::roster::TargetIndex;
use crate::engine::series::Series;
use crate::engine::target::TargetState;
use crate::engine::{Engine, book_settings, external_url, timing};
use crate::labels::Labels;

/// A target that comes back within this time was never away.
const LEAVES_AFTER: Duration = Duration::from_secs(5 * 60);
/// A target that has been away for so long is forgotten: later than its incidents end for want of it.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3 * 3600);

/// The targets that are scraped.
#[derive(Debug, Default)]
pub(super) struct Listing {
    scraped: HashMap<Labels, (TargetIndex, Arc<Target>)>,
    /// No longer scraped: since when, and whether they are off the list.
    leaving: BTreeMap<TargetIndex, Leaving>,
}

#[derive(Debug)]
struct Leaving {
    since: Timestamp,
    is_off: bool,
}

impl Listing {
    /// Whether the target is no longer scraped.
    pub(super) fn is_leaving(&self, index: TargetIndex) -> bool {
        self.leaving.contains_key(&index)
    }
}

impl Engine {
    /// From now on these targets are scraped, and no others.
    pub fn set_scraped(&mut self, targets: &[Arc<Target>], now: Timestamp) {
        let mut before = std::mem::take(&mut self.listing.scraped);
        for target in targets {
            let known = before.remove(&target.labels);
            let index = match known {
                Some((index, known)) if known == *target => index,
                _ => {
                    let index = self.list(Arc::clone(target));
                    self.listing.leaving.remove(&index);
                    index
                }
            };
            let listed = (index, Arc::clone(target));
            self.listing.scraped.insert(target.labels.clone(), listed);
        }
        for (index, _) in before.into_values() {
            let leaving = Leaving {
                since: now,
                is_off: false,
            };
            self.listing.leaving.insert(index, leaving);
        }
    }

    /// Takes off the list what has been away for long enough, and forgets what has been off it for long.
    pub(super) fn sweep_listing(&mut self, now: Timestamp) {
        let mut leaving = std::mem::take(&mut self.listing.leaving);
        leaving.retain(|index, own| {
            let away = now - own.since;
            if !own.is_off && away > LEAVES_AFTER.as_secs_f64() {
                own.is_off = true;
                self.unlist(*index, own.since);
            }
            let is_forgotten = away > self.remembered_for(*index, own.since);
            if own.is_off && is_forgotten {
                self.give_up(*index);
            }
            !(own.is_off && is_forgotten)
        });
        self.listing.leaving = leaving;
    }

    /// For how many seconds a target that has been away since then is remembered.
    fn remembered_for(&self, index: TargetIndex, since: Timestamp) -> f64 {
        let longest = FORGOTTEN_AFTER.as_secs_f64();
        let Some(state) = self.targets.at(index) else {
            return longest;
        };
        // The lives of a workload are remembered as long as one of its targets is.
        let is_last = self.targets.none_since(&state.workload).is_some();
        let may_leak = state.series().any(Series::is_suspect);
        if is_last || may_leak || self.book.has_living(&state.workload) {
            return longest;
        }
        match state.watched_since {
            Some(begun) => (since - begun).clamp(0.0, longest),
            None => 0.0,
        }
    }

    pub(super) fn is_listed(&self, state: &TargetState) -> bool {
        state.unlisted_since.is_none()
            && !self
                .targets
                .index_of(&state.target.labels)
                .is_some_and(|index| self.listing.is_leaving(index))
    }

    /// Goes on by another configuration: its alerting, overrides, limits and external labels. Detectors, incidents and
    /// alerts stay as they are. `signals` and `workload_by` are those of the start.
    pub fn reconfigure(&mut self, config: &Config, now: Timestamp) {
        self.alerting = config.alerting.clone();
        self.external_labels = config.global.external_labels.clone();
        self.external_url = external_url(config);
        self.evaluation_interval = config.global.evaluation_interval;
        self.series_limit = config.limits.series;
        let intervals = self.targets.values().map(|state| state.target.interval);
        let slowest = intervals.max().unwrap_or(self.evaluation_interval);
        self.book.set_settings(book_settings(config, slowest));
        self.alerts.set_timing(timing(config));
        let budget = config.alerting.false_alerts_per_year.ticket;
        self.budget = Budget {
            false_alerts_per_year: budget,
            ..self.budget
        };
        self.overrides = Overrides::new(&config.overrides);
        self.overrides_in_force = self.overrides.in_force(now);
        let (overrides, budget) = (&self.overrides, self.budget);
        for state in self.targets.values_mut() {
            state.change_series(|series| {
                series.overrides = overrides.met_by(&series.signal, &series.labels);
                let floor = overrides.ruling(&series.overrides, now).floor;
                series.set_terms(floor, budget);
            });
        }
        self.targets.all_have_news();
    }
}

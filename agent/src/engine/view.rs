//! What the engine shows: for the page, the API and the agent's own metrics. Nothing here can change anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use leak_detect::{Bucket, Interval, Timestamp, Verdict};

use crate::config::Override;
use crate::discovery::Target;
use crate::engine::Engine;
use crate::engine::series::Series;
use crate::engine::target::{Health, TargetState};
use crate::labels::Labels;

/// One target as it was seen last.
#[derive(Clone, Copy, Debug)]
pub struct TargetView<'a> {
    state: &'a TargetState,
}

impl<'a> TargetView<'a> {
    /// The target.
    pub fn target(&self) -> &'a Arc<Target> {
        &self.state.target
    }

    /// Labels of its workload.
    pub fn workload(&self) -> &'a Labels {
        &self.state.workload
    }

    /// How its last scrape went.
    pub fn health(&self) -> &'a Health {
        &self.state.health
    }

    /// When its process began, as far as that is known.
    pub fn life_began(&self) -> Option<Timestamp> {
        self.state.life_began()
    }

    /// Its watched series.
    pub fn series(&self) -> impl Iterator<Item = SeriesView<'a>> + use<'a> {
        let state = self.state;
        state
            .series()
            .map(move |series| SeriesView { state, series })
    }

    /// How many of its series are watched.
    pub fn series_watched(&self) -> usize {
        self.state.series_count()
    }
}

/// One watched series.
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    state: &'a TargetState,
    series: &'a Series,
}

impl<'a> SeriesView<'a> {
    /// The target that exposes it.
    pub fn target(&self) -> &'a Arc<Target> {
        &self.state.target
    }

    /// The metric family.
    pub fn signal(&self) -> &'a str {
        &self.series.signal
    }

    /// The series' own labels, the target's among them.
    pub fn labels(&self) -> &'a Labels {
        &self.series.labels
    }

    /// Its last value, in the signal's unit.
    pub fn value(&self) -> f64 {
        self.series.value
    }

    /// When it was seen last.
    pub fn seen_at(&self) -> Timestamp {
        self.series.seen_at
    }

    /// When its process began, as far as that is known.
    pub fn life_began(&self) -> Option<Timestamp> {
        self.state.life_began()
    }

    /// What its detector says; costs about as much as one test.
    pub fn verdict(&self) -> Verdict {
        self.series.verdict()
    }

    /// The value at which it is exhausted, in its own unit, where that is known.
    pub fn limit(&self) -> Option<f64> {
        self.state.limit_of(self.series).map(|(_, limit)| limit)
    }

    /// Seconds to its exhaustion with bounds, where it leaks, grows and has a limit.
    pub fn seconds_to_exhaustion(&self) -> Option<Interval> {
        match self.verdict() {
            Verdict::Leaking(case) => case.seconds_to(self.series.value, self.limit()?),
            Verdict::Healthy | Verdict::Undecided(_) => None,
        }
    }

    /// What is remembered of a level, from old to new; nothing for a count that is zero in a correct program.
    pub fn history(&self) -> Vec<Bucket> {
        self.series.history()
    }
}

/// What the engine has counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Samples in the bodies of all scrapes.
    pub samples: u64,
    /// Samples that were not taken in, by reason: `target_limit`, `series_limit`.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Series watched now.
    pub series_watched: usize,
    /// What the budget of false alerts is divided by.
    pub divisor: u64,
    /// When was evaluated last.
    pub last_evaluation: Option<Timestamp>,
    /// Incidents that had no room, one for each evaluation.
    pub incidents_refused: u64,
    /// Alerts that had no room, one for each evaluation.
    pub alerts_refused: u64,
    /// Overrides in force.
    pub overrides_active: usize,
    /// Overrides whose time is over.
    pub overrides_expired: usize,
}

impl Engine {
    /// All targets that are listed, in the order of their labels; over a history, also those that were.
    pub fn targets(&self) -> impl Iterator<Item = TargetView<'_>> {
        let is_history = self.playing.is_some();
        let states = self.targets.values();
        states
            .filter(move |state| is_history || self.is_listed(state))
            .map(|state| TargetView { state })
    }

    /// All watched series, target by target.
    pub fn series(&self) -> impl Iterator<Item = SeriesView<'_>> {
        self.targets.values().flat_map(|state| {
            state
                .series()
                .map(move |series| SeriesView { state, series })
        })
    }

    /// One watched series, by its target's labels, its signal and its labels.
    pub fn one_series(
        &self,
        target: &Labels,
        signal: &str,
        labels: &Labels,
    ) -> Option<SeriesView<'_>> {
        let state = self.targets.get(&target.to_string())?;
        Some(SeriesView {
            state,
            series: state.one(signal, labels)?,
        })
    }

    /// The overrides, each with whether its time is over.
    pub fn overrides(&self, now: Timestamp) -> impl Iterator<Item = (&Override, bool)> {
        self.overrides.iter(now)
    }

    /// What has been counted.
    pub fn counters(&self) -> Counters {
        let overrides_active = self.overrides_in_force;
        Counters {
            samples: self.samples,
            dropped: self.dropped.clone(),
            series_watched: self.watched,
            divisor: self.budget.divisor,
            last_evaluation: self.last_evaluation,
            incidents_refused: self.book.refused().0,
            alerts_refused: self.alerts.refused(),
            overrides_active,
            overrides_expired: self.overrides.len() - overrides_active,
        }
    }
}

//! Replay: the agent's judgement over a history, faster than time.
//!
//! A [`Player`] turns time slices into what scrapes and evaluations would have been: the same engine with the same
//! detectors, incidents and alerts as in `run`, at whole multiples of the evaluation interval. It sends nothing, stores
//! nothing and asks nobody; what it gives out are the changes of alerts, and the engine itself to be looked at. Time at
//! which nothing at all was measured is passed over: it says nothing about anybody.

mod explain;
mod run;
mod table;
mod targets;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::alert::{AlertName, AlertState};
use crate::catalogue::{Catalogue, Role};
use crate::clock;
use crate::config::Config;
use crate::discovery::Target;
use crate::engine::{Engine, Measured, TargetIndex};
use crate::history::{SeriesIndex, SeriesTable, Slice};
use crate::labels::Labels;
use crate::shard::Portion;

pub use explain::PictureError;
pub use run::{Outcome, ReplayError, run};
pub(crate) use targets::Targets;
pub use verdicts::VerdictLine;

/// Plays a history to an engine.
#[derive(Debug)]
pub struct Player {
    engine: Engine,
    targets: Targets,
    interval: Duration,
    /// The next evaluation.
    due: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Samples came in since the last evaluation.
    has_news: bool,
    /// Evaluations at which an alert changed, so far.
    alert_changes: u64,
    /// Alerts as they were told last.
    told: BTreeMap<(AlertName, Labels), AlertState>,
    /// Reused from stretch to stretch.
    rows: Vec<Row>,
    batch: Vec<Measured>,
}

/// One sample of a stretch: its target, the place of its slice in the stretch, and what was measured.
type Row = (TargetIndex, u32, Measured);

/// At most so many slices are given to the engine target by target.
const SLICES_AT_ONCE: usize = 16;

/// What a player has to know of a history beforehand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// How many series are judged in the whole of it: what the budget of false alerts is divided by, before rounding.
    pub watched_series: u64,
    /// The usual time between two samples of most targets; slower ones are found by their own samples.
    pub interval: Duration,
}

/// How many series of a table are judged: what the budget of false alerts is divided by, before rounding.
pub fn judged_series(table: &SeriesTable, catalogue: &Catalogue) -> u64 {
    let is_judged = |name: &str, labels: &Labels| {
        matches!(
            catalogue.role(name, labels),
            Some(Role::Exact(_) | Role::Level(_))
        )
    };
    table
        .iter()
        .filter(|(_, series)| is_judged(&series.name, &series.labels))
        .count() as u64
}

/// Whether a metric family tells something in a replay: what the catalogue knows, and which targets there are.
pub fn is_wanted(catalogue: &Catalogue, name: &str) -> bool {
    name == crate::history::UP || catalogue.knows(name)
}

impl Player {
    /// A player that has seen nothing.
    pub fn new(config: &Config, expected: Expected) -> Self {
        let Expected {
            watched_series,
            interval,
        } = expected;
        let targets = Targets::new(config.catalogue(), interval);
        Self {
            engine: Engine::playing(config, watched_series, interval, targets.patience()),
            targets,
            interval: config.global.evaluation_interval,
            due: None,
            last: None,
            has_news: false,
            alert_changes: 0,
            told: BTreeMap::new(),
            rows: Vec::new(),
            batch: Vec::new(),
        }
    }

    /// A player that judges the workloads of one portion, and passes over all others.
    pub(crate) fn of_portion(config: &Config, expected: Expected, portion: Portion) -> Self {
        let mut player = Self::new(config, expected);
        player.targets.restrict(portion, config.workload_by.clone());
        player
    }

    /// Meets the series of a table that it has not met, so that [`target_of`](Self::target_of) knows them. `play` does it
    /// by itself; a table that is whole from the beginning is best met at once, since `up` series name targets.
    pub fn meet(&mut self, table: &SeriesTable) {
        self.targets.meet(table);
    }

    /// The labels by which a series is known in its target.
    pub(crate) fn labels_of(&self, name: &str, labels: &Labels) -> Labels {
        self.targets.labels_of(name, labels).1
    }

    /// The target of a series that was met.
    pub fn target_of(&self, series: SeriesIndex) -> Option<&Arc<Target>> {
        self.targets.of(series)
    }

    /// Takes in a slice, after every evaluation that was due before it; what became of alerts in those. Series of the
    /// table that it has not met are met now. Slices come in order of time; one that is not later than the last is
    /// passed over.
    pub fn play(&mut self, table: &SeriesTable, slice: &Slice) -> Vec<VerdictLine> {
        if self.last.is_some_and(|last| slice.at <= last) {
            return Vec::new();
        }
        let lines = self.catch_up(slice.at);
        self.take_in(table, std::slice::from_ref(slice));
        lines
    }

    /// Takes in the first of some slices, after every evaluation that was due before it, and those after it up to the
    /// next evaluation; the others are given back. The same as to [`play`](Self::play) them one by one, and quicker: what
    /// is known of a target is looked at once for all of them. What became of alerts is not told.
    pub(crate) fn play_some<'s>(
        &mut self,
        table: &SeriesTable,
        slices: &'s [Slice],
    ) -> &'s [Slice] {
        let last = self.last;
        let known = slices.partition_point(|slice| last.is_some_and(|last| slice.at <= last));
        let slices = &slices[known..];
        let Some(first) = slices.first() else {
            return slices;
        };
        self.catch_up(first.at);
        let mut before = first.at;
        let together = slices.iter().take(SLICES_AT_ONCE).take_while(|slice| {
            let is_next = slice.at <= before + self.targets.patience();
            before = slice.at;
            is_next && self.due.is_none_or(|due| slice.at <= due)
        });
        let (together, rest) = slices.split_at(together.count());
        self.take_in(table, together);
        rest
    }

    /// Takes in slices between which nothing is judged, target by target.
    fn take_in(&mut self, table: &SeriesTable, slices: &[Slice]) {
        self.meet(table);
        self.rows.clear();
        for (number, slice) in (0..).zip(slices) {
            self.last = Some(slice.at);
            for (series, value) in &slice.samples {
                let place = self
                    .targets
                    .place(*series, slice.at, table, &mut self.engine);
                if let Some((target, Some(slot))) = place {
                    self.rows.push((target, number, (slot, *value)));
                }
            }
        }
        if slices.len() > 1 || !self.rows.is_sorted_by_key(|(target, ..)| *target) {
            self.rows
                .sort_by_key(|(target, number, (slot, _))| (*target, *number, *slot));
        }
        for own in self
            .rows
            .chunk_by(|one, other| (one.0, one.1) == (other.0, other.1))
        {
            self.batch.clear();
            self.batch
                .extend(own.iter().map(|(.., measured)| *measured));
            let (target, number, _) = own[0];
            self.engine
                .measured(target, slices[number as usize].at, &self.batch);
        }
        self.has_news = true;
    }

    /// Up to `until` it is not known who was there: nobody is taken to have been away.
    pub fn excuse(&mut self, until: Timestamp) {
        self.targets.excuse(until);
    }

    /// The evaluations that are due before `at`.
    fn catch_up(&mut self, at: Timestamp) -> Vec<VerdictLine> {
        let mut lines = Vec::new();
        let horizon = self.last.map(|last| last + self.targets.patience());
        while let Some(due) = self.due.filter(|due| *due < at) {
            let is_idle = !self.has_news && !self.engine.awaits_time();
            if is_idle || horizon.is_some_and(|horizon| due > horizon) {
                self.due = None;
                break;
            }
            lines.extend(self.evaluate(due));
            self.due = Some(due + self.interval);
        }
        if let (Some(last), Some(horizon)) = (self.last, horizon)
            && at > horizon
        {
            let gap = Duration::from_secs_f64((at - last).max(0.0));
            self.targets.pass_over(gap);
            self.engine.pass_over(gap);
        }
        if self.due.is_none() {
            self.due = Some(at_or_after(at, self.interval));
        }
        lines
    }

    /// The last evaluation; what became of alerts in it.
    pub fn finish(&mut self) -> Vec<VerdictLine> {
        match self.due.filter(|_| self.has_news) {
            Some(due) => self.evaluate(due),
            None => Vec::new(),
        }
    }

    /// Evaluates so often from the next evaluation on.
    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
        if let Some(last) = self.last.filter(|_| self.due.is_some()) {
            self.due = Some(at_or_after(last, interval));
        }
    }

    /// What it has found, to go on with in the present.
    pub(crate) fn into_parts(self) -> (Engine, Targets) {
        (self.engine, self.targets)
    }

    /// The engine as it stands.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How many targets the history has had so far.
    pub fn targets(&self) -> usize {
        self.targets.len()
    }

    fn evaluate(&mut self, now: Timestamp) -> Vec<VerdictLine> {
        self.has_news = false;
        self.targets.sweep(now, &mut self.engine);
        self.engine.evaluate(now);
        let mut lines = Vec::new();
        if self.engine.alert_changes() == self.alert_changes {
            return lines;
        }
        self.alert_changes = self.engine.alert_changes();
        for alert in self.engine.alerts() {
            let key = (alert.name, alert.labels.clone());
            let before = self.told.insert(key, alert.state);
            if before == Some(alert.state) || alert.state == AlertState::Pending {
                continue;
            }
            if let Some(incident) = self.engine.incident(&alert.incident) {
                lines.push(VerdictLine::new(now, alert, incident));
            }
        }
        lines
    }
}

/// The first whole multiple of `interval` that is not before `at`.
fn at_or_after(at: Timestamp, interval: Duration) -> Timestamp {
    let before = Timestamp::from_millis(at.millis().saturating_sub(1));
    before + clock::until_next(before, interval)
}

#[cfg(test)]
mod tests;

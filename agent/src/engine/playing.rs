//! The engine over a history: targets that come and go, samples without scrapes, nothing stored and nothing sent.
//!
//! The judgement is the same. What differs is what only people would read or a restart would need: an alert's words, the
//! state to be stored; and the budget, which is that of the whole history from beginning to end.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use leak_detect::{Budget, Timestamp};

use crate::config::Config;
use crate::discovery::Target;
use crate::engine::roster::TargetIndex;
use crate::engine::target::{Brought, Dropped};
use crate::engine::{Engine, book_settings};
use crate::incident::{Book, Incident};
use crate::labels::Labels;
use crate::workload;

/// Names one series of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotIndex(u32);

impl SlotIndex {
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// One value of one series of a target.
pub type Measured = (SlotIndex, f64);

/// How a history is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Playing {
    /// How long a value that explains others stands: not every series need have a sample at every instant.
    pub(super) lookback: Duration,
}

impl Engine {
    /// An engine for a history without targets yet. `watched_series` of the whole of it, rounded, divide the budget;
    /// `slowest` is the longest usual time between two samples of a target, `lookback` how long a value that explains
    /// others stands.
    pub fn playing(
        config: &Config,
        watched_series: u64,
        slowest: Duration,
        lookback: Duration,
    ) -> Self {
        let mut engine = Self::new(config, Vec::new(), None, Timestamp::default());
        engine.budget = Budget::new(
            engine.budget.false_alerts_per_year,
            watched_series,
            config.shards(),
        );
        engine.book = Book::new(book_settings(config, slowest), Vec::new());
        engine.playing = Some(Playing { lookback });
        engine
    }

    /// Lists a target, or lists it again.
    pub fn list(&mut self, target: Arc<Target>) -> TargetIndex {
        let lookback = self.playing.map(|playing| playing.lookback);
        self.list_as(target, lookback)
    }

    pub(super) fn list_as(
        &mut self,
        target: Arc<Target>,
        lookback: Option<Duration>,
    ) -> TargetIndex {
        let workload = workload::of_target(&target.labels, self.workload_by.as_deref());
        let index = self.targets.list(target, workload, lookback);
        self.restore_pending(index);
        index
    }

    /// Takes a target off the list: nothing of it has been seen since `since`.
    pub fn unlist(&mut self, target: TargetIndex, since: Timestamp) {
        if let Some(state) = self.targets.at(target) {
            self.comparison
                .ended(&state.workload, state.lives().collect());
        }
        self.targets.unlist(target, since);
    }

    /// Forgets a target that is not listed any more.
    pub fn give_up(&mut self, target: TargetIndex) {
        let before = self
            .targets
            .at(target)
            .map_or(0, |state| state.series_count());
        self.targets.give_up(target);
        if self.targets.at(target).is_none() {
            self.watched -= before;
        }
    }

    /// The number of a series of a target; `None` where it means nothing.
    pub fn slot(
        &mut self,
        target: TargetIndex,
        name: &Arc<str>,
        labels: &Labels,
    ) -> Option<SlotIndex> {
        let state = self.targets.at_mut(target)?;
        state.slot(name, labels, &self.catalogue).map(SlotIndex)
    }

    /// Takes in what a target showed at one instant, each series at most once.
    pub fn measured(&mut self, target: TargetIndex, at: Timestamp, values: &[Measured]) {
        self.samples += values.len() as u64;
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        batch.extend(values.iter().map(|(slot, value)| Brought {
            slot: slot.0,
            value: *value,
            at,
        }));
        self.with_terms(target, at, |state, terms| {
            let mut dropped = Dropped::default();
            state.take_in(at, &batch, terms, &mut dropped);
            dropped
        });
        self.batch = batch;
    }

    /// Nothing at all was seen for a while: that time does not count for those who are not listed.
    pub fn pass_over(&mut self, gap: Duration) {
        self.targets.pass_over(gap);
        self.pending_since = self.pending_since.map(|since| since + gap);
        for incident in self.book.living_mut() {
            incident.unlisted_since = incident.unlisted_since.map(|since| since + gap);
        }
    }

    /// Whether an evaluation can change something although no sample came in: an alert or an incident waits for time
    /// to pass.
    pub fn awaits_time(&self) -> bool {
        self.alerts.await_time() || self.book.living().any(Incident::awaits_time)
    }

    /// At how many evaluations an alert changed: while this stays, every alert is where it was.
    pub fn alert_changes(&self) -> u64 {
        self.alert_changes
    }

    /// What the living incidents want now, as one number: whether each is silent, and whether it pages.
    pub(super) fn wished(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for incident in self.book.living() {
            incident.id.hash(&mut hasher);
            incident.silenced.hash(&mut hasher);
            (incident.urgent.is_some() && !incident.ticket_only).hash(&mut hasher);
        }
        hasher.finish()
    }
}

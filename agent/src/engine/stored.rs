//! Targets that a store tells of: listed as its answers name them, fed with what it kept, never scraped.
//!
//! A target that the agent scrapes itself is left to the scraping, whatever a store says of the same job and instance:
//! nothing counts twice. What was found over a store's history is taken over whole, so that the first evaluation knows
//! as much as an agent that has watched all the while. State of targets that are not known yet waits for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::discovery::Target;
use crate::engine::playing::SlotIndex;
use crate::engine::roster::TargetIndex;
use crate::engine::saved::SavedTarget;
use crate::engine::siblings::Comparison;
use crate::engine::target::{Brought, Dropped};
use crate::engine::{Engine, Health};
use crate::labels::Labels;
use crate::shard::Shard;
use crate::workload;

/// Stands before the name of a source where the state is keyed by targets: up to when it was read.
const READ_UNTIL_STORED_AS: &str = "source ";

/// State of targets that are not known is kept for so long; time at which a store could not be asked does not count.
const PENDING_FOR: Duration = Duration::from_secs(3 * 3600);

impl Engine {
    /// Lists a target that a store tells of, or lists it again; `None` where the agent scrapes it itself,
    /// or another shard watches it. `lookback`: how
    /// long a value that explains others stands.
    pub fn list_stored(&mut self, target: Arc<Target>, lookback: Duration) -> Option<TargetIndex> {
        let is_ours = |shard: Shard| {
            shard.owns(&workload::of_target(
                &target.labels,
                self.workload_by.as_deref(),
            ))
        };
        if self.is_scraped(&target.labels) || !self.shard.is_none_or(is_ours) {
            return None;
        }
        Some(self.list_as(target, Some(lookback)))
    }

    /// Lists a part of a target that the agent scrapes, or lists it again. It is watched by the shard that scrapes, since
    /// no other sees it.
    pub fn list_part(&mut self, part: Arc<Target>, lookback: Duration) -> TargetIndex {
        self.list_as(part, Some(lookback))
    }

    /// Whether the agent scrapes a target with the job and instance of these labels.
    pub fn is_scraped(&self, labels: &Labels) -> bool {
        self.targets.is_scraped(labels)
    }

    /// Forgets a target that a store told of, now that it is scraped; one with the same labels goes on as it is.
    pub fn leave_to_scraping(&mut self, target: TargetIndex) {
        let state = self.targets.at(target);
        if state.is_some_and(|state| state.lookback.is_some()) {
            let since = self.last_evaluation.unwrap_or_default();
            self.unlist(target, since);
            self.give_up(target);
        }
    }

    /// Takes note of what a store says of its own scrape of a target: whether it was up, where that is known.
    pub fn told_of(&mut self, target: TargetIndex, at: Timestamp, source: &str, up: Option<bool>) {
        let Some(state) = self.targets.at_mut(target) else {
            return;
        };
        let before = state.health.error.take();
        state.health = Health {
            last_scrape: Some(at),
            error: match up {
                Some(true) => None,
                Some(false) => Some(format!("{source} says that its scrape failed (`up` is 0)")),
                None => before,
            },
            ..std::mem::take(&mut state.health)
        };
    }

    /// When a target showed something last.
    pub fn last_sample(&self, target: TargetIndex) -> Option<Timestamp> {
        self.targets.at(target)?.last_success
    }

    /// Takes in what a target showed at one instant, each series at most once; a value may be dated a little earlier.
    pub fn measured_late(
        &mut self,
        target: TargetIndex,
        at: Timestamp,
        values: &[(SlotIndex, f64, Timestamp)],
    ) {
        let brought = values.iter().map(|(slot, value, own)| Brought {
            slot: slot.number(),
            value: *value,
            at: *own,
        });
        let batch: Vec<Brought> = brought.collect();
        self.samples += batch.len() as u64;
        self.with_terms(target, at, |state, terms| {
            let mut dropped = Dropped::default();
            state.take_in(at, &batch, terms, &mut dropped);
            dropped
        });
    }

    /// Takes over the targets that are listed at the end of a history, and what their lives and instances say together;
    /// their incidents are found anew. The new number of each that was taken.
    pub fn adopt(
        &mut self,
        history: Engine,
        lookback: Duration,
        now: Timestamp,
    ) -> HashMap<TargetIndex, TargetIndex> {
        let mut moved = HashMap::new();
        for (index, state) in history.targets.into_listed() {
            let count = state.series_count();
            if self.is_scraped(&state.target.labels) {
                continue;
            }
            if self.watched + count > self.series_limit {
                *self.dropped.entry("series_limit").or_default() += count as u64;
                continue;
            }
            let own = self.list_as(Arc::clone(&state.target), Some(lookback));
            let Some(known) = self.targets.at_mut(own) else {
                continue;
            };
            let before = known.series_count();
            known.take_over(state);
            known.change_series(|series| {
                let floor = self.overrides.ruling(&series.overrides, now).floor;
                series.set_terms(floor, self.budget);
            });
            self.watched = self.watched + count - before;
            self.targets.has_news(own);
            moved.insert(index, own);
        }
        self.comparison.adopt(history.comparison);
        moved
    }

    /// Up to when a source was read, as far as the state knows.
    pub fn read_until(&self, source: &str) -> Option<Timestamp> {
        self.read_until.get(source).copied()
    }

    /// A source was read up to here, and everything of it taken in.
    pub fn has_read(&mut self, source: &str, until: Timestamp) {
        self.read_until.insert(source.to_owned(), until);
    }

    /// What is stored of it all beside targets that are known.
    pub(super) fn save_pending(&self) -> impl Iterator<Item = SavedTarget> {
        let read_until = self.read_until.iter().map(|(source, until)| SavedTarget {
            target: format!("{READ_UNTIL_STORED_AS}{source}"),
            life: Some((until.millis(), 0.0)),
            series: Vec::new(),
        });
        read_until.chain(self.pending.values().cloned())
    }

    /// Takes what was stored, of targets known or not.
    pub(super) fn take_saved(&mut self, saved: Vec<SavedTarget>) {
        for saved in saved {
            let source = saved.target.strip_prefix(READ_UNTIL_STORED_AS);
            match (source, saved.life) {
                (Some(source), Some((until, _))) => {
                    let until = Timestamp::from_millis(until);
                    self.read_until.insert(source.to_owned(), until);
                }
                (Some(_), None) => {}
                (None, _) => {
                    self.pending.insert(saved.target.clone(), saved);
                }
            }
        }
    }

    /// Gives a target, and its workload, what was stored of them.
    pub(super) fn restore_pending(&mut self, target: TargetIndex) {
        if self.pending.is_empty() {
            return;
        }
        let Some(state) = self.targets.at_mut(target) else {
            return;
        };
        let names = Comparison::stored_names(&state.workload);
        if let Some(saved) = self.pending.remove(&*state.key) {
            state.restore(saved);
        }
        for name in names {
            if let Some(saved) = self.pending.remove(&name) {
                self.comparison.restore(saved, &self.targets);
            }
        }
    }

    /// Drops the state of targets that have not come for long.
    pub(super) fn forget_pending(&mut self, now: Timestamp) {
        let since = *self.pending_since.get_or_insert(now);
        if now - since > PENDING_FOR.as_secs_f64() {
            self.pending.clear();
        }
    }
}

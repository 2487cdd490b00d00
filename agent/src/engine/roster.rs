//! The targets that the engine knows: by number, by labels and by workload, and which workloads have news.
//!
//! Numbers are never given out twice, so that whoever holds one may keep it. Only workloads with news are judged anew:
//! nothing else about them can have changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::discovery::Target;
use crate::engine::target::TargetState;
use crate::labels::Labels;

/// Names one target of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetIndex(pub(super) u32);

/// Every target.
#[derive(Debug, Default)]
pub(super) struct Roster {
    states: BTreeMap<TargetIndex, TargetState>,
    /// How many numbers were given out.
    numbers: u32,
    by_labels: HashMap<Labels, TargetIndex>,
    /// By the target's labels in exposition syntax.
    by_key: BTreeMap<Arc<str>, TargetIndex>,
    workloads: HashMap<Labels, Workload>,
    /// Listed targets that the agent scrapes itself, by job and instance.
    scraped: HashMap<(String, String), BTreeSet<TargetIndex>>,
    /// How often a workload has come or gone.
    workload_changes: u64,
    news: News,
}

/// What is new since the last evaluation.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Targets of which something has been learnt.
    pub(super) targets: Vec<TargetIndex>,
    /// Workloads whose list of targets has changed.
    pub(super) workloads: HashSet<Labels>,
}

/// The targets of one workload.
#[derive(Debug, Default)]
pub(super) struct Workload {
    /// Those that are listed, by their labels in exposition syntax.
    listed: BTreeMap<Arc<str>, TargetIndex>,
    /// Where none is: since when.
    pub(super) none_since: Option<Timestamp>,
}

impl Roster {
    /// Lists a target; one that is known already keeps its number and what is known of it.
    /// `lookback`: how long a value that explains others stands where a store tells of it; `None` where the agent scrapes
    /// it itself.
    pub(super) fn list(
        &mut self,
        target: Arc<Target>,
        workload: Labels,
        lookback: Option<Duration>,
    ) -> TargetIndex {
        let identity = lookback.is_none().then(|| identity(&target.labels));
        let index = self.list_as(target, workload, lookback);
        if let Some(identity) = identity {
            self.scraped.entry(identity).or_default().insert(index);
        }
        index
    }

    fn list_as(
        &mut self,
        target: Arc<Target>,
        workload: Labels,
        lookback: Option<Duration>,
    ) -> TargetIndex {
        if let Some(index) = self.by_labels.get(&target.labels).copied()
            && let Some(state) = self.states.get_mut(&index)
        {
            state.unlisted_since = None;
            state.lookback = lookback;
            state.target = target;
            let (key, workload) = (Arc::clone(&state.key), state.workload.clone());
            self.enlist(key, workload, index);
            return index;
        }
        let index = TargetIndex(self.numbers);
        self.numbers += 1;
        let state = TargetState::new(target, workload.clone(), lookback);
        self.by_labels.insert(state.target.labels.clone(), index);
        self.by_key.insert(Arc::clone(&state.key), index);
        self.enlist(Arc::clone(&state.key), workload, index);
        self.states.insert(index, state);
        index
    }

    fn enlist(&mut self, key: Arc<str>, workload: Labels, index: TargetIndex) {
        let known = self.workloads.len();
        let own = self.workloads.entry(workload.clone()).or_default();
        own.listed.insert(key, index);
        own.none_since = None;
        self.workload_changes += (self.workloads.len() - known) as u64;
        self.news.workloads.insert(workload);
    }

    /// Takes a target off the list: it has not been there since `since`. What is known of it stays until
    /// [`give_up`](Self::give_up).
    pub(super) fn unlist(&mut self, index: TargetIndex, since: Timestamp) {
        let Some(state) = self.states.get_mut(&index) else {
            return;
        };
        state.unlisted_since = Some(since);
        if state.lookback.is_none() {
            let identity = identity(&state.target.labels);
            if let Some(own) = self.scraped.get_mut(&identity) {
                own.remove(&index);
                if own.is_empty() {
                    self.scraped.remove(&identity);
                }
            }
        }
        let (key, workload) = (Arc::clone(&state.key), state.workload.clone());
        if let Some(own) = self.workloads.get_mut(&workload) {
            own.listed.remove(&key);
            if own.listed.is_empty() {
                own.none_since = Some(since);
            }
        }
        self.news.workloads.insert(workload);
    }

    /// Forgets a target that is not listed.
    pub(super) fn give_up(&mut self, index: TargetIndex) {
        if self
            .at(index)
            .is_none_or(|state| state.unlisted_since.is_none())
        {
            return;
        }
        if let Some(state) = self.states.remove(&index) {
            self.by_labels.remove(&state.target.labels);
            self.by_key.remove(&state.key);
            if let Some(own) = self.workloads.get(&state.workload)
                && own.listed.is_empty()
                && !self
                    .states
                    .values()
                    .any(|other| other.workload == state.workload)
            {
                self.workloads.remove(&state.workload);
                self.workload_changes += 1;
            }
        }
    }

    /// Whether a target with this job and instance is scraped by the agent itself.
    pub(super) fn is_scraped(&self, labels: &Labels) -> bool {
        !self.scraped.is_empty() && self.scraped.contains_key(&identity(labels))
    }

    pub(super) fn index_of(&self, labels: &Labels) -> Option<TargetIndex> {
        self.by_labels.get(labels).copied()
    }

    pub(super) fn at(&self, index: TargetIndex) -> Option<&TargetState> {
        self.states.get(&index)
    }

    pub(super) fn at_mut(&mut self, index: TargetIndex) -> Option<&mut TargetState> {
        self.states.get_mut(&index)
    }

    /// Those that are listed, each with its number.
    pub(super) fn into_listed(self) -> impl Iterator<Item = (TargetIndex, TargetState)> {
        self.states
            .into_iter()
            .filter(|(_, state)| state.unlisted_since.is_none())
    }

    /// By the labels in exposition syntax.
    pub(super) fn get(&self, key: &str) -> Option<&TargetState> {
        self.at(*self.by_key.get(key)?)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut TargetState> {
        self.at_mut(*self.by_key.get(key)?)
    }

    /// All of them in the order of their labels.
    pub(super) fn values(&self) -> impl Iterator<Item = &TargetState> {
        self.by_key.values().filter_map(|index| self.at(*index))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut TargetState> {
        self.states.values_mut()
    }

    /// The listed targets of a workload, in the order of their labels.
    pub(super) fn of_workload(&self, workload: &Labels) -> Vec<&TargetState> {
        let listed = self.workloads.get(workload).map(|own| own.listed.values());
        let states = listed.into_iter().flatten();
        states.filter_map(|index| self.at(*index)).collect()
    }

    /// The numbers of the listed targets of a workload, in the order of their labels.
    pub(super) fn indices_of(&self, workload: &Labels) -> Vec<TargetIndex> {
        let listed = self.workloads.get(workload).map(|own| own.listed.values());
        listed.into_iter().flatten().copied().collect()
    }

    /// Every workload, in any order.
    pub(super) fn workloads(&self) -> impl Iterator<Item = &Labels> {
        self.workloads.keys()
    }

    /// How often a workload has come or gone: while this stays, so do they.
    pub(super) fn workload_changes(&self) -> u64 {
        self.workload_changes
    }

    pub(super) fn knows_workload(&self, workload: &Labels) -> bool {
        self.workloads.contains_key(workload)
    }

    /// Since when no target of a workload has been listed.
    pub(super) fn none_since(&self, workload: &Labels) -> Option<Timestamp> {
        self.workloads.get(workload)?.none_since
    }

    /// Moves the beginnings of absences.
    pub(super) fn pass_over(&mut self, gap: Duration) {
        for own in self.workloads.values_mut() {
            own.none_since = own.none_since.map(|since| since + gap);
        }
    }

    /// Something has been learnt of a target.
    pub(super) fn has_news(&mut self, index: TargetIndex) {
        let Some(state) = self.states.get_mut(&index) else {
            return;
        };
        if !std::mem::replace(&mut state.has_news, true) {
            self.news.targets.push(index);
        }
    }

    /// Every workload counts as having news.
    pub(super) fn all_have_news(&mut self) {
        self.news.workloads.extend(self.workloads.keys().cloned());
    }

    /// What is new since this was asked last.
    pub(super) fn take_news(&mut self) -> News {
        let news = std::mem::take(&mut self.news);
        for index in &news.targets {
            if let Some(state) = self.at_mut(*index) {
                state.has_news = false;
            }
        }
        news
    }
}

fn identity(labels: &Labels) -> (String, String) {
    let label = |name| labels.get(name).unwrap_or_default().to_owned();
    (label("job"), label("instance"))
}

//! What the same series of all instances of a workload is called. Its hash is taken once, because it is looked up far more
//! often than made.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::labels::Labels;

/// A signal, and the labels of its series less those of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct SeriesName {
    /// Of the others, the same in every process.
    hash: u64,
    signal: Arc<str>,
    labels: Labels,
}

impl SeriesName {
    pub(in crate::engine) fn new(signal: Arc<str>, labels: Labels) -> Self {
        let mut hasher = DefaultHasher::new();
        (&signal, &labels).hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            signal,
            labels,
        }
    }

    pub(in crate::engine) fn signal(&self) -> &str {
        &self.signal
    }

    pub(in crate::engine) fn labels(&self) -> &Labels {
        &self.labels
    }
}

/// A cheap order, the same in every process: by hash first.
impl Ord for SeriesName {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_hash = self.hash.cmp(&other.hash);
        by_hash
            .then_with(|| self.signal.cmp(&other.signal))
            .then_with(|| self.labels.cmp_cheaply(&other.labels))
    }
}

impl PartialOrd for SeriesName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

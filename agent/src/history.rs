//! Histories: what was measured before anybody watched, as time slices of series.
//!
//! A history is a [`SeriesTable`] and a sequence of [`Slice`]s in order of time. The table may be whole from the
//! beginning (a file is read first and played then) or grow between slices (a store is asked for one range after the
//! other); an index never changes its meaning. Where the slices come from is the readers' business, what they mean is
//! [`replay`](crate::replay)'s.

pub mod openmetrics;
pub mod selector;
mod sort;
pub mod store;

use std::collections::HashMap;
use std::sync::Arc;

use leak_detect::Timestamp;

use crate::labels::Labels;

/// The series that Prometheus writes for each target that it scrapes.
pub(crate) const UP: &str = "up";

/// The labels that make a target where no `up` series tells.
pub(crate) const USUAL_LABELS: [&str; 9] = [
    "app",
    "cluster",
    "container",
    "instance",
    "job",
    "namespace",
    "node",
    "pod",
    "service",
];

/// Names one series of a [`SeriesTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesIndex(pub u32);

/// One series of a history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// Name of the metric family.
    pub name: Arc<str>,
    /// Its labels, those of its target among them, `__name__` not.
    pub labels: Labels,
}

/// All series of a history, each once.
#[derive(Clone, Debug, Default)]
pub struct SeriesTable {
    series: Vec<Series>,
    known: HashMap<Series, SeriesIndex>,
}

/// What all series together showed at one instant; those that showed nothing are absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// When.
    pub at: Timestamp,
    /// Values, at most one of each series; may be NaN or infinite.
    pub samples: Vec<(SeriesIndex, f64)>,
}

impl SeriesTable {
    /// The index of a series, which is added where it is new.
    ///
    /// # Panics
    /// Beyond 2^32 series, which no memory holds.
    pub fn intern(&mut self, series: Series) -> SeriesIndex {
        if let Some(index) = self.known.get(&series) {
            return *index;
        }
        let index = SeriesIndex(u32::try_from(self.series.len()).expect("fewer than 2^32 series"));
        self.known.insert(series.clone(), index);
        self.series.push(series);
        index
    }

    /// One series; `None` where no such index was given out.
    pub fn get(&self, index: SeriesIndex) -> Option<&Series> {
        self.series.get(index.0 as usize)
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// All series in the order of their indices.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SeriesIndex, &Series)> {
        self.series
            .iter()
            .enumerate()
            .map(|(place, series)| (SeriesIndex(place as u32), series))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_series_has_the_same_index_whatever_comes_between() {
        let series = |name: &str, instance: &str| Series {
            name: Arc::from(name),
            labels: [("instance", instance)].into_iter().collect(),
        };
        let mut table = SeriesTable::default();
        let first = table.intern(series("go_goroutines", "a:1"));
        let second = table.intern(series("go_goroutines", "b:1"));
        assert_eq!(table.intern(series("go_goroutines", "a:1")), first);
        assert_ne!(first, second);
        assert_eq!(table.get(second), Some(&series("go_goroutines", "b:1")));
        assert_eq!((table.len(), table.get(SeriesIndex(2))), (2, None));
    }
}

//! The targets of a history, from the labels of its series.
//!
//! The labels of a target are those of the `up` series with the same job and instance; where there is none, the usual
//! names as far as a series has them. Where several `up` series fit, the one with the most labels is the target's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::discovery::{ScrapeLimits, ScrapeSettings, Target};
use crate::history::{Series, SeriesIndex, SeriesTable, Slice};
use crate::labels::Labels;
use crate::scrape::Sample;

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

/// Every target of a history, and whose each series is.
#[derive(Debug)]
pub(super) struct Targets {
    by_labels: BTreeMap<Labels, Arc<Target>>,
    /// By the place of the series in its table.
    of_series: Vec<Arc<Target>>,
}

impl Targets {
    pub(super) fn of_table(table: &SeriesTable, interval: Duration) -> Self {
        let settings = Arc::new(ScrapeSettings {
            honor_labels: true,
            honor_timestamps: true,
            follow_redirects: false,
            enable_compression: false,
            limits: ScrapeLimits::default(),
        });
        let mut up: HashMap<(Option<&str>, Option<&str>), Vec<&Labels>> = HashMap::new();
        for (_, series) in table.iter().filter(|(_, series)| &*series.name == UP) {
            up.entry(identity(&series.labels))
                .or_default()
                .push(&series.labels);
        }
        let mut by_labels: BTreeMap<Labels, Arc<Target>> = BTreeMap::new();
        let mut of_series = Vec::with_capacity(table.len());
        for (_, series) in table.iter() {
            let labels = labels_of(series, up.get(&identity(&series.labels)));
            let target = by_labels
                .entry(labels)
                .or_insert_with_key(|labels| target(labels, interval, &settings));
            of_series.push(Arc::clone(target));
        }
        Self {
            by_labels,
            of_series,
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Target>> {
        self.by_labels.values().cloned().collect()
    }

    /// The samples of a slice, target by target.
    pub(super) fn sort(
        &self,
        table: &SeriesTable,
        slice: &Slice,
    ) -> Vec<(Arc<Target>, Vec<Sample>)> {
        let mut by_target: BTreeMap<&Labels, (Arc<Target>, Vec<Sample>)> = BTreeMap::new();
        for (index, value) in &slice.samples {
            let (Some(series), Some(target)) = (table.get(*index), self.of(*index)) else {
                continue;
            };
            by_target
                .entry(&target.labels)
                .or_insert_with(|| (Arc::clone(target), Vec::new()))
                .1
                .push(Sample {
                    name: Arc::clone(&series.name),
                    labels: series.labels.clone(),
                    value: *value,
                    at: None,
                });
        }
        by_target.into_values().collect()
    }

    fn of(&self, index: SeriesIndex) -> Option<&Arc<Target>> {
        self.of_series.get(index.0 as usize)
    }
}

fn identity(labels: &Labels) -> (Option<&str>, Option<&str>) {
    (labels.get("job"), labels.get("instance"))
}

fn labels_of(series: &Series, up: Option<&Vec<&Labels>>) -> Labels {
    up.into_iter()
        .flatten()
        .filter(|up| series.labels.includes(up))
        .max_by_key(|up| up.len())
        .map_or_else(
            || series.labels.retain(|name| USUAL_LABELS.contains(&name)),
            |up| (*up).clone(),
        )
}

fn target(labels: &Labels, interval: Duration, settings: &Arc<ScrapeSettings>) -> Arc<Target> {
    Arc::new(Target {
        job: Arc::from(labels.get("job").unwrap_or_default()),
        instance: Arc::from(labels.get("instance").unwrap_or_default()),
        labels: labels.clone(),
        discovered: labels.clone(),
        url: Arc::from(""),
        interval,
        timeout: interval,
        evidence: Vec::new(),
        evidence_address: None,
        settings: Arc::clone(settings),
    })
}

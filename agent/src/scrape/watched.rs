//! The watched series of one target: from what a body says to what the catalogue knows, under the labels it gets.
//!
//! Most lines of a body are of no interest and most of the others were there last time, so a series is looked up by
//! its text and its labels are built once. What a body no longer has is forgotten with the next success.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Notes, Sample, ScrapeError};
use crate::catalogue::Catalogue;
use crate::discovery::{ScrapeLimits, Target};
use crate::exposition::RawSample;
use crate::labels::Labels;

/// The series of one target that are watched.
pub(super) struct Watched {
    target: Arc<Target>,
    catalogue: Arc<Catalogue>,
    /// By their text in the body.
    pub(super) known: HashMap<Box<str>, Known>,
    /// Those of the scrape that is going on.
    seen: HashSet<Series>,
    scrape: u64,
}

type Series = (Arc<str>, Labels);

pub(super) struct Known {
    series: Series,
    /// The last scrape that had it.
    scrape: u64,
}

impl Watched {
    pub(super) fn new(target: Arc<Target>, catalogue: Arc<Catalogue>) -> Self {
        Self {
            target,
            catalogue,
            known: HashMap::new(),
            seen: HashSet::new(),
            scrape: 0,
        }
    }

    pub(super) fn begin(&mut self) {
        self.scrape += 1;
        self.seen.clear();
    }

    /// Forgets what a whole body no longer has.
    pub(super) fn complete(&mut self) {
        let scrape = self.scrape;
        self.known.retain(|_, known| known.scrape == scrape);
    }

    /// Forgets what may have been begun, so that bodies that fail halfway cannot pile up series.
    pub(super) fn fail(&mut self) {
        let scrape = self.scrape;
        self.known.retain(|_, known| known.scrape < scrape);
    }

    /// Adds a sample of the body, if it is watched.
    pub(super) fn take(
        &mut self,
        raw: &RawSample<'_>,
        samples: &mut Vec<Sample>,
        notes: &mut Notes,
    ) -> Result<(), ScrapeError> {
        if !self.catalogue.knows(&raw.name()) {
            return Ok(());
        }
        let known = self.known.get_mut(raw.series);
        let series = match &known {
            Some(known) => known.series.clone(),
            None => match self.series(raw)? {
                Some(series) => series,
                None => return Ok(()),
            },
        };
        if self.seen.contains(&series) {
            notes.duplicates += 1;
            return Ok(());
        }
        let limit = self.target.settings.limits.series;
        if limit.is_some_and(|limit| self.seen.len() as u64 >= limit) {
            notes.above_series_limit += 1;
            return Ok(());
        }
        match self.known.get_mut(raw.series) {
            Some(known) => known.scrape = self.scrape,
            None => {
                let known = Known {
                    series: series.clone(),
                    scrape: self.scrape,
                };
                self.known.insert(raw.series.into(), known);
            }
        }
        self.seen.insert(series.clone());
        let (name, labels) = series;
        samples.push(Sample {
            name,
            labels,
            value: raw.value,
            at: raw.at.filter(|_| self.target.settings.honor_timestamps),
        });
        Ok(())
    }

    /// The series as it is called here; `None` where its labels make it uninteresting.
    fn series(&self, raw: &RawSample<'_>) -> Result<Option<Series>, ScrapeError> {
        let labels = merge(raw, &self.target.labels, self.target.settings.honor_labels);
        let name = raw.name();
        check_limits(&name, &labels, &self.target.settings.limits)?;
        Ok(self
            .catalogue
            .role(&name, &labels)
            .map(|_| (Arc::from(name), labels)))
    }
}

/// The labels of a series and of its target. Where both have one of the same name, the target's wins and the other
/// becomes `exported_…`, unless `honor_labels`: then the series' own wins, also an empty one.
///
/// Source: Prometheus, "scrape_config", `honor_labels`.
fn merge(raw: &RawSample<'_>, target: &Labels, honor_labels: bool) -> Labels {
    let own: Vec<(String, String)> = raw
        .labels()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if honor_labels {
        let shared = target.pairs().iter().cloned();
        let own = own
            .into_iter()
            .map(|(name, value)| (Arc::from(name), Arc::from(value)));
        return shared.chain(own).collect();
    }
    let own: Labels = own.into_iter().collect();
    let mut merged = target.clone();
    for (name, value) in own.iter().filter(|(name, _)| !target.contains(name)) {
        merged = merged.with(name, value);
    }
    for (name, value) in own.iter().filter(|(name, _)| target.contains(name)) {
        let mut exported = format!("exported_{name}");
        while merged.contains(&exported) {
            exported.insert_str(0, "exported_");
        }
        merged = merged.with(exported, value);
    }
    merged
}

fn check_limits(name: &str, labels: &Labels, limits: &ScrapeLimits) -> Result<(), ScrapeError> {
    let exceeded = |what: &'static str, limit: u64, key: &'static str| ScrapeError::LabelLimit {
        series: super::error::excerpt(&format!("{name}{labels}")),
        what,
        limit,
        key,
    };
    if let Some(limit) = limits.labels
        && labels.len() as u64 > limit
    {
        return Err(exceeded("more labels", limit, "label_limit"));
    }
    for (label, value) in labels.iter() {
        if let Some(limit) = limits.label_name_bytes
            && label.len() as u64 > limit
        {
            return Err(exceeded(
                "a label name of more bytes",
                limit,
                "label_name_length_limit",
            ));
        }
        if let Some(limit) = limits.label_value_bytes
            && value.len() as u64 > limit
        {
            return Err(exceeded(
                "a label value of more bytes",
                limit,
                "label_value_length_limit",
            ));
        }
    }
    Ok(())
}

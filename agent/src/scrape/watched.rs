//! The watched series of one target: from what a body says to what the catalogue knows, under the labels it gets.
//!
//! Most lines of a body are of no interest, and of those no more is remembered than a hash; most of the others were
//! there last time, so a series is looked up by its text and its labels are built once, of texts that they share. What
//! a body no longer has is forgotten with the next success.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::{Notes, Sample, ScrapeError};
use crate::catalogue::Catalogue;
use crate::discovery::{ScrapeLimits, Target};
use crate::exposition::{Interest, RawSample, Unwanted};
use crate::labels::Labels;
use crate::relabel::{METRIC_NAME, Relabelling};

/// Series of one target that are remembered, watched or not.
const MAX_REMEMBERED: usize = 100_000;

/// Fewer texts than this are never looked through.
const FEW_TEXTS: usize = 64;

/// The series of one target that are watched.
pub(super) struct Watched {
    target: Arc<Target>,
    catalogue: Arc<Catalogue>,
    /// By a hash of their text in the body. A target that made two of its texts meet would only hide one of them.
    pub(super) known: HashMap<u64, Known>,
    /// Series of the body that nobody watches.
    pub(super) unwanted: Unwanted,
    /// Names and values of labels, each once.
    pub(super) texts: HashSet<Arc<str>>,
    /// How many of those there may be before they are looked through.
    texts_kept: usize,
    /// Those of the scrape that is going on, hashed with a key that no target knows.
    seen: HashSet<u64>,
    key: RandomState,
    scrape: u64,
}

type Series = (Arc<str>, Labels);

pub(super) struct Known {
    /// `None` where the job's relabelling leaves nothing that is watched.
    series: Option<Series>,
    /// The last scrape that had it.
    scrape: u64,
}

impl Watched {
    pub(super) fn new(target: Arc<Target>, catalogue: Arc<Catalogue>) -> Self {
        Self {
            target,
            catalogue,
            known: HashMap::new(),
            unwanted: Unwanted::default(),
            texts: HashSet::new(),
            texts_kept: 0,
            seen: HashSet::new(),
            key: RandomState::new(),
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
        self.forget_texts();
    }

    /// Forgets what may have been begun, so that bodies that fail halfway cannot pile up series.
    pub(super) fn fail(&mut self) {
        let scrape = self.scrape;
        self.known.retain(|_, known| known.scrape < scrape);
        self.forget_texts();
    }

    /// Forgets the texts that no series has any more, where there may be many such.
    fn forget_texts(&mut self) {
        self.seen.clear();
        if self.texts.len() > self.texts_kept.max(FEW_TEXTS) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.texts_kept = 2 * self.texts.len();
        }
    }

    /// Adds a sample of the body, if it is watched.
    pub(super) fn take(
        &mut self,
        raw: &RawSample<'_>,
        samples: &mut Vec<Sample>,
        notes: &mut Notes,
    ) -> Result<Interest, ScrapeError> {
        let rules = &self.target.settings.metric_relabelling;
        if !rules.may_rename() && !self.catalogue.knows(&raw.name()) {
            return Ok(Interest::Unwanted);
        }
        let relabels = !rules.is_empty();
        let text = raw.series_hash();
        let series = match self.known.get_mut(&text) {
            Some(known) if known.series.is_none() => {
                known.scrape = self.scrape;
                return Ok(Interest::Unwanted);
            }
            Some(known) => known.series.clone(),
            None => self.series(raw)?,
        };
        let Some(series) = series else {
            // Rules are not applied again to what they leave unwatched, as far as there is room to remember it.
            if relabels && self.known.len() < MAX_REMEMBERED {
                let known = Known {
                    series: None,
                    scrape: self.scrape,
                };
                self.known.insert(text, known);
            }
            return Ok(Interest::Unwanted);
        };
        let hash = self.key.hash_one(&series);
        if self.seen.contains(&hash) {
            notes.duplicates += 1;
            return Ok(Interest::Wanted);
        }
        let limit = self.target.settings.limits.series;
        if limit.is_some_and(|limit| self.seen.len() as u64 >= limit) {
            notes.above_series_limit += 1;
            return Ok(Interest::Wanted);
        }
        match self.known.get_mut(&text) {
            Some(known) => known.scrape = self.scrape,
            None => {
                let known = Known {
                    series: Some(series.clone()),
                    scrape: self.scrape,
                };
                self.known.insert(text, known);
            }
        }
        self.seen.insert(hash);
        let (name, labels) = series;
        samples.push(Sample {
            name,
            labels,
            value: raw.value,
            at: raw.at.filter(|_| self.target.settings.honor_timestamps),
        });
        Ok(Interest::Wanted)
    }

    /// The series as it is called here; `None` where its labels make it uninteresting.
    fn series(&mut self, raw: &RawSample<'_>) -> Result<Option<Series>, ScrapeError> {
        let settings = &self.target.settings;
        let own = shared(raw, &mut self.texts);
        let mut labels = merge(own, &self.target.labels, settings.honor_labels);
        let mut name = raw.name();
        if !settings.metric_relabelling.is_empty() {
            let Some(relabelled) = relabelled(&name, &labels, &settings.metric_relabelling) else {
                return Ok(None);
            };
            name = Cow::Owned(relabelled.0);
            labels = relabelled.1;
            if !self.catalogue.knows(&name) {
                return Ok(None);
            }
        }
        check_limits(&name, &labels, &settings.limits)?;
        let role = self.catalogue.role(&name, &labels);
        Ok(role.map(|_| (text(&name, &mut self.texts), labels)))
    }
}

/// The labels of a series in the body, of texts that series share.
fn shared(raw: &RawSample<'_>, texts: &mut HashSet<Arc<str>>) -> Vec<(Arc<str>, Arc<str>)> {
    raw.labels()
        .map(|(name, value)| (text(&name, texts), text(&value, texts)))
        .collect()
}

/// The one copy of a text.
fn text(text: &str, texts: &mut HashSet<Arc<str>>) -> Arc<str> {
    if let Some(known) = texts.get(text) {
        return Arc::clone(known);
    }
    let new: Arc<str> = Arc::from(text);
    texts.insert(Arc::clone(&new));
    new
}

/// Name and labels after the job's `metric_relabel_configs`; `None` where they drop the sample, or its name. Labels that
/// begin with `__` end here.
fn relabelled(name: &str, labels: &Labels, rules: &Relabelling) -> Option<(String, Labels)> {
    let relabelled = rules.apply(&labels.with(METRIC_NAME, name))?;
    let name = relabelled.get(METRIC_NAME)?.to_owned();
    Some((name, relabelled.retain(|label| !label.starts_with("__"))))
}

/// The labels of a series and of its target. Where both have one of the same name, the target's wins and the other
/// becomes `exported_…`, unless `honor_labels`: then the series' own wins, also an empty one.
///
/// Source: Prometheus, "scrape_config", `honor_labels`.
fn merge(own: Vec<(Arc<str>, Arc<str>)>, target: &Labels, honor_labels: bool) -> Labels {
    if honor_labels {
        return target.pairs().iter().cloned().chain(own).collect();
    }
    let own: Labels = own.into_iter().collect();
    let (taken, free): (Vec<_>, Vec<_>) = own
        .pairs()
        .iter()
        .cloned()
        .partition(|(name, _)| target.contains(name));
    let mut merged: Labels = target.pairs().iter().cloned().chain(free).collect();
    for (name, value) in taken {
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

//! What one scraped exporter tells of many, such as a kubelet of its containers: each a target of its own.
//!
//! The samples of parts are taken out of a scrape and given to the engine part by part; where several exporters tell of a
//! part, it has what they all say. A part that its exporters no longer tell of is let go like a target of a store. While
//! an exporter cannot be scraped nothing is known of its parts, and none of them is missing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use leak_detect::Timestamp;

use crate::catalogue::Catalogue;
use crate::config::Config;
use crate::discovery::Target;
use crate::engine::{Engine, SlotIndex, TargetIndex};
use crate::labels::Labels;
use crate::replay::Targets;
use crate::scrape::{Sample, Scrape};

/// What all scraped exporters tell of others.
#[derive(Debug)]
pub(super) struct Parts {
    catalogue: Catalogue,
    targets: Targets,
    /// By the labels of an exporter: the parts that its last good scrape told of.
    told: HashMap<Labels, Vec<u32>>,
}

/// One sample of a part.
type Brought = (SlotIndex, f64, Timestamp);

impl Parts {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            catalogue: config.catalogue(),
            targets: Targets::parts(config.catalogue(), config.global.scrape_interval),
            told: HashMap::new(),
        }
    }

    /// Gives the engine what the scrape tells of parts, and leaves what it tells of the exporter.
    pub(super) fn take(&mut self, engine: &mut Engine, scrape: &mut Scrape) {
        let exporter = &scrape.target.labels;
        let Ok(samples) = &mut scrape.result else {
            for number in self.told.get(exporter).into_iter().flatten() {
                self.targets.see(*number, scrape.at, engine);
            }
            return;
        };
        if !samples
            .iter()
            .any(|own| self.catalogue.tells_of_parts(&own.name))
        {
            self.told.remove(exporter);
            return;
        }
        let mut by_part: BTreeMap<u32, Vec<(Sample, Labels)>> = BTreeMap::new();
        let mut rest = Vec::with_capacity(samples.len());
        for sample in samples.drain(..) {
            match self.catalogue.part(&sample.name, &sample.labels, exporter) {
                Some(part) => {
                    let number = self.targets.number_of(part.target);
                    let own = by_part.entry(number).or_default();
                    own.push((sample, part.series));
                }
                None => rest.push(sample),
            }
        }
        *samples = rest;
        for (number, samples) in &by_part {
            if let Some(index) = self.targets.see(*number, scrape.at, engine) {
                let brought = brought(engine, index, samples, scrape.at);
                engine.told_of(index, scrape.at, "its exporter", Some(true));
                // Another exporter's scrape, begun later, may have ended before.
                let after = engine.last_sample(index).map(|last| last.shifted(0.001));
                let at = after.map_or(scrape.at, |after| after.max(scrape.at));
                engine.measured_late(index, at, &brought);
            }
        }
        let told = by_part.into_keys().collect();
        self.told.insert(exporter.clone(), told);
    }

    /// From now on these are scraped, and no others.
    pub(super) fn set_scraped(&mut self, targets: &[Arc<Target>]) {
        let listed: HashSet<&Labels> = targets.iter().map(|target| &target.labels).collect();
        self.told.retain(|exporter, _| listed.contains(exporter));
    }

    /// Before an evaluation: those of which nobody has told for long are not there any more.
    pub(super) fn sweep(&mut self, engine: &mut Engine, now: Timestamp) {
        self.targets.sweep(now, engine);
    }
}

/// Each series once: of several runs of one container that are told of at the same time, the newest sample.
fn brought(
    engine: &mut Engine,
    part: TargetIndex,
    samples: &[(Sample, Labels)],
    scraped_at: Timestamp,
) -> Vec<Brought> {
    let mut newest: BTreeMap<SlotIndex, (f64, Timestamp)> = BTreeMap::new();
    for (sample, labels) in samples {
        let Some(slot) = engine.slot(part, &sample.name, labels) else {
            continue;
        };
        let at = sample
            .at
            .filter(|own| *own <= scraped_at)
            .unwrap_or(scraped_at);
        let own = newest.entry(slot).or_insert((sample.value, at));
        if at > own.1 {
            *own = (sample.value, at);
        }
    }
    let dated = |(slot, (value, at))| (slot, value, at);
    newest.into_iter().map(dated).collect()
}

#[cfg(test)]
mod tests;

//! What an audit could not judge, as sentences: silence about it would be read as health.

use std::collections::BTreeMap;
use std::time::Duration;

use leak_detect::{Undecided, Verdict};

use super::coroner::Findings;
use super::report::counted;
use crate::engine::Engine;
use crate::history::store::{Listing, Unknown};
use crate::quantity::{count, duration};

/// What the store did not say.
pub(super) fn of_store(
    listing: &Listing,
    unknown: &[Unknown],
    step: Option<Duration>,
) -> Vec<String> {
    let mut blind = Vec::new();
    for (family, why) in &listing.unlisted {
        blind.push(format!(
            "The store could not list {family}, so nothing is known of it: {why}."
        ));
    }
    if !unknown.is_empty() {
        let seconds: f64 = unknown.iter().map(|own| own.to - own.from).sum();
        blind.push(format!(
            "{} of the store's answers were partial or failed, about {} of some series; the first: {} ({}).",
            count(unknown.len() as f64),
            duration(seconds),
            unknown[0].why,
            unknown[0].selector
        ));
    }
    if listing.dropped > 0 {
        blind.push(format!(
            "{} were above the limit of one audit and left out; audit in parts.",
            counted(listing.dropped, "series", "series")
        ));
    }
    if let Some(step) = step {
        blind.push(format!(
            "One value in {} was read: what comes and goes within that is not seen.",
            duration(step.as_secs_f64())
        ));
    }
    blind
}

/// What the targets do not tell.
pub(super) fn of_targets(findings: &Findings) -> Vec<String> {
    let mut blind = Vec::new();
    let targets = |number: usize| counted(number, "target", "targets");
    if findings.without_load > 0 {
        blind.push(format!(
            "{} of {} expose no counter of load that the catalogue knows: there, growth that follows load is harder to tell from a leak. Name the counter under `signals` in a configuration.",
            count(findings.without_load as f64),
            targets(findings.targets)
        ));
    }
    if findings.without_start > 0 {
        blind.push(format!(
            "{} of {} do not say when their process began: their restarts are not seen, unless Kubernetes counts them.",
            count(findings.without_start as f64),
            targets(findings.targets)
        ));
    }
    if findings.short > 0 {
        blind.push(format!(
            "{} of {} were seen for less than a day: slow leaks cannot show in them alone.",
            count(findings.short as f64),
            targets(findings.targets)
        ));
    }
    if findings.gaps.0 > 0 {
        blind.push(format!(
            "{} in the samples, {} in all: what happened in them is not known.",
            counted(findings.gaps.0, "gap", "gaps"),
            duration(findings.gaps.1)
        ));
    }
    blind
}

/// What the engine did not take in, and what stands undecided at the end.
pub(super) fn of_engine(engine: &Engine) -> Vec<String> {
    let mut blind = Vec::new();
    let refused: u64 = engine.counters().dropped.values().sum();
    if refused > 0 {
        blind.push(format!(
            "{} samples were above `limits.series` or the limit of a target and were not judged; raise it in a configuration.",
            count(refused as f64)
        ));
    }
    blind.extend(undecided(engine));
    blind
}

/// The series that stand undecided at the end, as sentences.
fn undecided(engine: &Engine) -> Vec<String> {
    let mut learning = 0;
    let mut standing: BTreeMap<&'static str, usize> = BTreeMap::new();
    for series in engine.series() {
        match series.verdict() {
            Verdict::Undecided(Undecided::Learning { .. }) => learning += 1,
            Verdict::Undecided(Undecided::Growing(growth)) => {
                *standing.entry(growth.standing).or_default() += 1;
            }
            _ => {}
        }
    }
    let mut told = Vec::new();
    if learning > 0 {
        told.push(format!(
            "{} had too few samples in their last life to be judged.",
            counted(learning, "series", "series")
        ));
    }
    if !standing.is_empty() {
        let parts: Vec<String> = standing
            .iter()
            .map(|(what, number)| format!("{what} {number}"))
            .collect();
        told.push(format!(
            "{} grew at the end of the range, and an innocent explanation stood: {}.",
            counted(standing.values().sum(), "series", "series"),
            parts.join(", ")
        ));
    }
    told
}

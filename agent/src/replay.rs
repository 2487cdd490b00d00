//! Replay: the agent's judgement over a history, faster than time.
//!
//! A [`Player`] turns time slices into what scrapes and evaluations would have been: the same engine with the same
//! detectors, incidents and alerts as in `run`, at whole multiples of the evaluation interval. It sends nothing, stores
//! nothing and asks nobody; what it gives out are the changes of alerts, and the engine itself to be looked at.

mod run;
mod targets;
mod verdicts;

use std::collections::BTreeMap;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::alert::{AlertName, AlertState};
use crate::catalogue::{Catalogue, Role};
use crate::clock;
use crate::config::Config;
use crate::engine::Engine;
use crate::history::{SeriesTable, Slice};
use crate::labels::Labels;
use crate::replay::targets::Targets;
use crate::scrape::{Notes, Scrape};

pub use run::{Outcome, ReplayError, run};
pub(crate) use targets::{UP, USUAL_LABELS};
pub use verdicts::VerdictLine;

/// Plays a history to an engine.
#[derive(Debug)]
pub struct Player {
    engine: Engine,
    targets: Targets,
    interval: Duration,
    /// The next evaluation.
    due: Option<Timestamp>,
    /// Samples came in since the last evaluation.
    has_news: bool,
    /// Alerts as they were told last.
    told: BTreeMap<(AlertName, Labels), AlertState>,
}

/// How many series of a table are judged: what the budget of false alerts is divided by, before rounding.
pub fn judged_series(table: &SeriesTable, catalogue: &Catalogue) -> u64 {
    let is_judged = |name: &str, labels: &Labels| {
        matches!(
            catalogue.role(name, labels),
            Some(Role::Exact(_) | Role::Level(_))
        )
    };
    table
        .iter()
        .filter(|(_, series)| is_judged(&series.name, &series.labels))
        .count() as u64
}

/// Whether a metric family tells something in a replay: what the catalogue knows, and which targets there are.
pub fn is_wanted(catalogue: &Catalogue, name: &str) -> bool {
    name == targets::UP || catalogue.knows(name)
}

impl Player {
    /// A player of a history whose series are all in `table`. `watched_series`: what the budget is divided by.
    pub fn new(config: &Config, table: &SeriesTable, watched_series: u64) -> Self {
        let targets = Targets::of_table(table, config.global.evaluation_interval);
        let engine = Engine::replaying(config, targets.all(), watched_series);
        Self {
            engine,
            targets,
            interval: config.global.evaluation_interval,
            due: None,
            has_news: false,
            told: BTreeMap::new(),
        }
    }

    /// Takes in a slice, after every evaluation that was due before it; what became of alerts in those.
    pub fn play(&mut self, table: &SeriesTable, slice: &Slice) -> Vec<VerdictLine> {
        let mut lines = Vec::new();
        while let Some(due) = self.due.filter(|due| *due < slice.at) {
            if !self.has_news && !self.engine.awaits_time() {
                self.due = None;
                break;
            }
            lines.extend(self.evaluate(due));
            self.due = Some(due + self.interval);
        }
        if self.due.is_none() {
            self.due = Some(at_or_after(slice.at, self.interval));
        }
        for (target, samples) in self.targets.sort(table, slice) {
            self.engine.scraped(&Scrape {
                target,
                at: slice.at,
                duration: Duration::ZERO,
                notes: Notes {
                    samples: samples.len() as u64,
                    ..Notes::default()
                },
                result: Ok(samples),
            });
        }
        self.has_news = true;
        lines
    }

    /// The last evaluation; what became of alerts in it.
    pub fn finish(&mut self) -> Vec<VerdictLine> {
        match self.due.filter(|_| self.has_news) {
            Some(due) => self.evaluate(due),
            None => Vec::new(),
        }
    }

    /// The engine as it stands.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    fn evaluate(&mut self, now: Timestamp) -> Vec<VerdictLine> {
        self.has_news = false;
        self.engine.evaluate(now);
        let mut lines = Vec::new();
        for alert in self.engine.alerts() {
            let key = (alert.name, alert.labels.clone());
            let before = self.told.insert(key, alert.state);
            if before == Some(alert.state) || alert.state == AlertState::Pending {
                continue;
            }
            if let Some(incident) = self.engine.incident(&alert.incident) {
                lines.push(VerdictLine::new(now, alert, incident));
            }
        }
        lines
    }
}

/// The first whole multiple of `interval` that is not before `at`.
fn at_or_after(at: Timestamp, interval: Duration) -> Timestamp {
    let before = Timestamp::from_millis(at.millis().saturating_sub(1));
    before + clock::until_next(before, interval)
}

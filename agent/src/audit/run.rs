//! One audit from the command line: asks, plays, grades, writes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::{Timestamp, Undecided, Verdict};
use resource_ledger::{Ledger, Settings};

use super::coroner::{Coroner, Death, FAMILIES, Findings};
use super::report::{Looked, Report, Told, counted};
use super::{grading, html, pictures, summary};
use crate::alert::AlertName;
use crate::clock;
use crate::command::AuditOptions;
use crate::config::{Config, ConfigError};
use crate::engine::Engine;
use crate::history::store::{Listing, Range, Store, StoreError, StoreSettings, Unknown, Wanted};
use crate::history::{SeriesIndex, SeriesTable, Slice};
use crate::incident::{Incident, IncidentId};
use crate::quantity::{count, duration};
use crate::replay::{Expected, Player, judged_series};
use crate::workload;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The range is empty.
    #[error("--from ({from}) is not before --to ({to})")]
    Range {
        /// The beginning.
        from: String,
        /// The end.
        to: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runtime cannot be made.
    #[error("no runtime")]
    Runtime(#[source] io::Error),
    /// Something cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file, or `-` for standard output.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl AuditError {
    /// Whether the command line or the configuration is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Config(_) | Self::Range { .. } | Self::Store(StoreError::Url(_))
        )
    }
}

/// Where no step is given, ranges up to so many seconds are read with a step of so many; the first that fits.
const STEPS: [(f64, u64); 4] = [(2.0, 15), (10.0, 30), (45.0, 60), (f64::INFINITY, 300)];

/// Ranges up to this, in seconds, are read sample by sample.
const RAW_SECONDS: f64 = 6.0 * 3600.0;

/// Where no step is given, it is chosen so that no more samples than this are read.
const SAMPLES: f64 = 200e6;

/// The longest usual time between two samples of a target, where the step is not longer.
const USUAL_INTERVAL: Duration = Duration::from_secs(60);

/// Asks the store, judges what it says and writes the report. The summary goes to standard output.
///
/// # Errors
/// The first thing that kept it from the end.
pub fn run(options: &AuditOptions) -> Result<(), AuditError> {
    let config = match &options.config {
        Some(path) => Config::load_for_history(path)?,
        None => Config::for_history(),
    };
    let now = clock::now();
    let (from, to) = (options.from.resolve(now), options.to.resolve(now));
    if from >= to {
        let shown = |at: Timestamp| crate::quantity::moment(at.seconds());
        return Err(AuditError::Range {
            from: shown(from),
            to: shown(to),
        });
    }
    let store = Store::new(&options.prometheus, StoreSettings::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(AuditError::Runtime)?;
    let report = runtime.block_on(audit(store, config, from, to, options.step))?;
    if let Some(path) = &options.html {
        std::fs::write(path, html::page(&report)).map_err(|source| AuditError::Write {
            path: path.clone(),
            source,
        })?;
    }
    let mut text = summary::text(&report);
    if let Some(path) = &options.html {
        text.push_str(&format!("\nThe whole report: {}\n", path.display()));
    }
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|source| AuditError::Write {
            path: PathBuf::from("-"),
            source,
        })
}

/// The whole audit.
async fn audit(
    store: Store,
    mut config: Config,
    from: Timestamp,
    to: Timestamp,
    step: Option<Duration>,
) -> Result<Report, AuditError> {
    let begun = clock::instant();
    let catalogue = config.catalogue();
    let guess = step.or_else(|| shortest_step(to - from));
    let mut range = Range {
        from,
        to,
        step: guess,
    };
    let progress = Progress::new();
    progress.say("asking which series there are");
    let wanted = Wanted::of_catalogue(&catalogue, FAMILIES);
    let listing = Arc::new(store.list(&wanted, &range).await?);
    if step.is_none() {
        range.step = guess.map(|guess| affordable(guess, listing.table.len(), to - from));
    }
    if let Some(step) = range.step {
        config.global.evaluation_interval = config.global.evaluation_interval.max(step);
    }
    let series = judged_series(&listing.table, &catalogue);
    let expected = Expected {
        watched_series: series,
        interval: range.step.unwrap_or_default().max(USUAL_INTERVAL),
    };
    let mut player = Player::new(&config, expected);
    player.meet(&listing.table);
    let workload_of = |target: &_| workload::of_target(target, config.workload_by.as_deref());
    let mut coroner = Coroner::new(
        &listing.table,
        &catalogue,
        |index| player.target_of(index),
        workload_of,
    );
    let is_for_player = known_to_player(&listing);
    let mut tickets = Tickets::default();
    let mut unknown: Vec<Unknown> = Vec::new();
    let mut samples = 0;
    let ledger = Ledger::new(Settings::default());
    let mut reader = store.read(Arc::clone(&listing), range, &ledger);
    while let Some(stretch) = reader.next().await {
        let stretch = stretch?;
        if !stretch.unknown.is_empty() {
            player.excuse(stretch.to);
        }
        for mut slice in stretch.slices {
            samples += slice.samples.len() as u64;
            for death in coroner.take(&slice) {
                explain(death, player.engine(), &listing.table);
            }
            slice
                .samples
                .retain(|(index, _)| is_for_player[index.0 as usize]);
            tickets.play(&mut player, &listing, &slice);
        }
        unknown.extend(stretch.unknown);
        progress.at((stretch.to - from) / (to - from), samples);
    }
    player.finish();
    tickets.gather(&player, true);
    let tolerance = range
        .step
        .map_or(600.0, |step| 600.0_f64.max(3.0 * step.as_secs_f64()));
    let findings = coroner.finish(to, tolerance);
    let counters = player.engine().counters();
    let workloads: BTreeSet<_> = player
        .engine()
        .targets()
        .filter(|target| target.series_watched() > 0)
        .map(|target| target.workload().clone())
        .collect();
    let per_year = config.alerting.false_alerts_per_year;
    let blind = blind(&findings, &listing, &unknown, &counters.dropped, range.step);
    let (mut leaks, deaths) = grading::grade(tickets.incidents, findings.deaths);
    for leak in &mut leaks {
        leak.first_action = player.engine().first_action_of(&leak.incident);
    }
    let mut report = Report {
        store: store.shown().to_owned(),
        from,
        to,
        step: range.step,
        looked: Looked {
            workloads: workloads.len(),
            targets: findings.targets,
            series,
            samples,
            seconds: 0.0,
            budget: (per_year.ticket, per_year.page),
            divisor: counters.divisor,
        },
        leaks,
        deaths,
        rollouts: findings.rollouts,
        blind,
    };
    progress.say("drawing");
    pictures::draw(&store, &mut report).await;
    report.looked.seconds = clock::instant().duration_since(begun).as_secs_f64();
    progress.end();
    Ok(report)
}

/// Why the detector had not convicted what had grown in a process that has just died, before it learns of the death.
fn explain(death: &mut Death, engine: &Engine, table: &SeriesTable) {
    let Some(target) = &death.target else { return };
    for grown in &mut death.grown {
        let series = table.get(grown.series);
        let view = series.and_then(|own| engine.one_series(target, &own.name, &own.labels));
        grown.standing = match view.map(|view| view.verdict()) {
            None => None,
            Some(Verdict::Healthy) => Some("it was judged healthy".to_owned()),
            Some(Verdict::Undecided(Undecided::Learning { samples })) => Some(format!(
                "still learned, after {} samples",
                count(samples as f64)
            )),
            Some(Verdict::Undecided(Undecided::Restarted { .. })) => {
                Some("still watched after an earlier conviction".to_owned())
            }
            Some(Verdict::Undecided(Undecided::Growing(growth))) => {
                Some(format!("not told from {}: {}", growth.standing, growth.why))
            }
            Some(Verdict::Leaking(_)) => Some("convicted by then".to_owned()),
        };
    }
}

fn shortest_step(range_seconds: f64) -> Option<Duration> {
    let days = range_seconds / 86_400.0;
    let (_, step) = STEPS.iter().find(|(longest, _)| days <= *longest)?;
    (range_seconds > RAW_SECONDS).then(|| Duration::from_secs(*step))
}

/// A step no shorter than `shortest`, in whole minutes from there, with which so many series are no more than
/// [`SAMPLES`].
fn affordable(shortest: Duration, series: usize, range_seconds: f64) -> Duration {
    let needed = range_seconds * series as f64 / SAMPLES;
    let minutes = (needed / 60.0).ceil().max(0.0) as u64;
    if needed <= shortest.as_secs_f64() {
        shortest
    } else {
        Duration::from_secs(60 * minutes)
    }
}

/// Which series the engine is shown: all but those of containers.
fn known_to_player(listing: &Listing) -> Vec<bool> {
    let own =
        |(_, series): (SeriesIndex, &crate::history::Series)| !FAMILIES.contains(&&*series.name);
    listing.table.iter().map(own).collect()
}

/// Who would have been told, incident by incident. Ended incidents are kept although the engine forgets them.
#[derive(Default)]
struct Tickets {
    incidents: BTreeMap<IncidentId, (Incident, Told)>,
}

impl Tickets {
    fn play(&mut self, player: &mut Player, listing: &Listing, slice: &Slice) {
        if slice.samples.is_empty() {
            return;
        }
        if !player.play(&listing.table, slice).is_empty() {
            self.gather(player, false);
        }
    }

    /// Looks at all alerts, and at the end at all incidents.
    fn gather(&mut self, player: &Player, is_end: bool) {
        let engine = player.engine();
        for alert in engine.alerts() {
            let Some(incident) = engine.incident(&alert.incident) else {
                continue;
            };
            let (_, told) = self
                .incidents
                .entry(alert.incident.clone())
                .or_insert_with(|| (incident.clone(), Told::default()));
            let at = if alert.name == AlertName::ResourceLeakUrgent {
                &mut told.paged_at
            } else {
                told.resolved_at = alert.resolved_at;
                &mut told.ticketed_at
            };
            *at = match (*at, alert.fired_at) {
                (Some(before), Some(fired)) => Some(before.min(fired)),
                (before, fired) => before.or(fired),
            };
        }
        for incident in engine.incidents() {
            if let Some((own, _)) = self.incidents.get_mut(&incident.id)
                && (is_end || own.state != incident.state)
            {
                own.clone_from(incident);
            }
        }
    }
}

/// What could not be judged.
fn blind(
    findings: &Findings,
    listing: &Listing,
    unknown: &[Unknown],
    dropped: &BTreeMap<&'static str, u64>,
    step: Option<Duration>,
) -> Vec<String> {
    let mut blind = Vec::new();
    for (family, why) in &listing.unlisted {
        blind.push(format!(
            "The store could not list {family}, so nothing is known of it: {why}."
        ));
    }
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
    let refused: u64 = dropped.values().sum();
    if refused > 0 {
        blind.push(format!(
            "{} samples were above `limits.series` or the limit of a target and were not judged; raise it in a configuration.",
            count(refused as f64)
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

/// What is told while it goes on, on a terminal only.
struct Progress {
    is_shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            is_shown: io::stderr().is_terminal(),
        }
    }

    fn say(&self, what: &str) {
        if self.is_shown {
            eprint!("\r\x1b[2K{what}");
        }
    }

    fn at(&self, share: f64, samples: u64) {
        self.say(&format!(
            "{:.0} %, {} samples",
            100.0 * share,
            count(samples as f64)
        ));
    }

    fn end(&self) {
        self.say("");
    }
}

//! One audit while it goes on: what the store says is shown to the engine and to the coroner, and who would have been
//! told is written down.

use std::collections::BTreeMap;
use std::sync::Arc;

use leak_detect::{Undecided, Verdict};

use super::coroner::{Coroner, Death, FAMILIES};
use super::report::{Looked, Report, Told};
use super::{blind, grading};
use crate::alert::AlertName;
use crate::config::Config;
use crate::engine::Engine;
use crate::history::store::{Listing, Range, Stretch, Unknown};
use crate::history::{Series, SeriesIndex, SeriesTable, Slice};
use crate::incident::{Incident, IncidentId};
use crate::quantity::count;
use crate::replay::{Expected, Player, judged_series};
use crate::workload;

/// Two reports of one death are no further apart than this, in seconds, and than three steps.
const TOLERANCE: f64 = 600.0;

/// An audit of one listing.
pub(super) struct Session {
    config: Config,
    listing: Arc<Listing>,
    range: Range,
    /// Levels and exact counts.
    judged: u64,
    player: Player,
    coroner: Coroner,
    /// By series: whether the engine is shown it.
    is_for_player: Vec<bool>,
    tickets: Tickets,
    unknown: Vec<Unknown>,
    samples: u64,
}

impl Session {
    pub(super) fn new(mut config: Config, listing: Arc<Listing>, range: Range) -> Self {
        let step = range.step.unwrap_or_default();
        config.global.evaluation_interval = config.global.evaluation_interval.max(step);
        let catalogue = config.catalogue();
        let judged = judged_series(&listing.table, &catalogue);
        let expected = Expected {
            watched_series: judged,
            interval: range.interval(),
        };
        let mut player = Player::new(&config, expected);
        player.meet(&listing.table);
        let workload_of = |target: &_| workload::of_target(target, config.workload_by.as_deref());
        let target_of = |index| player.target_of(index);
        let coroner = Coroner::new(&listing.table, &catalogue, target_of, workload_of);
        let own = |(_, series): (SeriesIndex, &Series)| !FAMILIES.contains(&&*series.name);
        Self {
            is_for_player: listing.table.iter().map(own).collect(),
            config,
            listing,
            range,
            judged,
            player,
            coroner,
            tickets: Tickets::default(),
            unknown: Vec::new(),
            samples: 0,
        }
    }

    /// Samples so far.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Takes in the next stretch.
    pub(super) fn play(&mut self, stretch: Stretch) {
        // Before its slices: who is missing in them may be in what could not be read.
        if !stretch.unknown.is_empty() {
            self.player.excuse(stretch.to);
        }
        for mut slice in stretch.slices {
            self.samples += slice.samples.len() as u64;
            for death in self.coroner.take(&slice) {
                explain(death, self.player.engine(), &self.listing.table);
            }
            let is_for_player = &self.is_for_player;
            slice
                .samples
                .retain(|(index, _)| is_for_player[index.0 as usize]);
            self.tickets.play(&mut self.player, &self.listing, &slice);
        }
        self.unknown.extend(stretch.unknown);
    }

    /// What was found, without its pictures; `store`: how it is named.
    pub(super) fn finish(mut self, store: &str) -> Report {
        self.player.finish();
        self.tickets.gather(&self.player, true);
        let engine = self.player.engine();
        let step = self.range.step.unwrap_or_default().as_secs_f64();
        let findings = self
            .coroner
            .finish(self.range.to, TOLERANCE.max(3.0 * step));
        let counters = engine.counters();
        let per_year = self.config.alerting.false_alerts_per_year;
        let mut blind = blind::of_store(&self.listing, &self.unknown, self.range.step);
        blind.extend(blind::of_targets(&findings));
        blind.extend(blind::of_engine(engine));
        let (mut leaks, deaths) = grading::grade(self.tickets.incidents, findings.deaths);
        for leak in &mut leaks {
            leak.first_action = engine.first_action_of(&leak.incident);
        }
        Report {
            store: store.to_owned(),
            from: self.range.from,
            to: self.range.to,
            step: self.range.step,
            looked: Looked {
                workloads: findings.workloads,
                targets: findings.targets,
                series: self.judged,
                samples: self.samples,
                seconds: 0.0,
                budget: (per_year.ticket, per_year.page),
                divisor: counters.divisor,
            },
            leaks,
            deaths,
            rollouts: findings.rollouts,
            blind,
        }
    }
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

//! What the incidents want: witnesses to be asked, pages to be raised, alerts to be sent.

use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::alert::{AlertName, Wanted, text};
use crate::discovery::{EvidenceKind, Target};
use crate::engine::Engine;
use crate::engine::effects::{EvidenceRequest, Question};
use crate::engine::sightings::CHURN_SIGNAL;
use crate::engine::target::TargetState;
use crate::impact::{self, Calls, Impact, Users};
use crate::incident::{Change, Family, Incident, IncidentId, SignalKind, Witness};
use crate::labels::Labels;

/// The first sending of an alert waits for its witness at most this long, and at most one evaluation.
const WITNESS_HOLD: Duration = Duration::from_secs(5);

impl Engine {
    /// Which leaking instances are to be asked where they leak.
    pub(super) fn ask(&mut self, now: Timestamp) -> Vec<EvidenceRequest> {
        let mut requests = Vec::new();
        let wanted: Vec<(IncidentId, Arc<Target>, Question)> = self
            .book
            .living()
            .filter(|incident| incident.wants_witness(now))
            .filter_map(|incident| {
                let (target, question) = self.witness_of(incident)?;
                Some((incident.id.clone(), target, question))
            })
            .collect();
        for (id, target, question) in wanted {
            let Some(incident) = self.book.get_mut(&id) else {
                continue;
            };
            incident.witness_asked(now);
            requests.push(EvidenceRequest {
                incident: id,
                target,
                question,
                resource: incident.resource.clone(),
                upstream: incident.upstream.clone(),
                route: incident.route.clone(),
            });
        }
        requests
    }

    /// The leaking instance with the most to tell, and what it is asked for.
    fn witness_of(&self, incident: &Incident) -> Option<(Arc<Target>, Question)> {
        let (state, _) = incident
            .instances
            .iter()
            .filter_map(|(key, instance)| Some((self.targets.get(key)?, instance.value)))
            .filter(|(state, _)| {
                state.target.evidence_address.is_some() && state.health.error.is_none()
            })
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        let offers = |kind| state.target.evidence.contains(&kind);
        let question = match incident.family {
            Family::Churn if offers(EvidenceKind::Ledger) => Question::Closed,
            Family::Held if offers(EvidenceKind::Ledger) => Question::Held,
            Family::Held | Family::Process if offers(EvidenceKind::Tasks) => Question::Tasks,
            Family::Held | Family::Process if offers(EvidenceKind::Pprof) => Question::Goroutines,
            _ => return None,
        };
        Some((Arc::clone(&state.target), question))
    }

    /// Which incidents of a workload can wait no longer, and which can again.
    pub(super) fn weigh_urgency(
        &mut self,
        now: Timestamp,
        workload: &Labels,
    ) -> Vec<(IncidentId, Change)> {
        let targets = &self.targets;
        let mut changes = Vec::new();
        if !self.book.has_living(workload) {
            return changes;
        }
        let states = targets.of_workload(workload);
        for id in self.book.living_of(workload) {
            let Some(incident) = self.book.get_mut(&id) else {
                continue;
            };
            if incident.family == Family::Churn {
                continue;
            }
            let users = users_of(incident, &states);
            incident.failing_share_before = users.failing_share_before;
            let known = incident.instances.keys().all(|key| {
                targets
                    .get(key)
                    .is_some_and(|state| state.last_success.is_some())
            });
            match impact::judge(incident.evidence.exhaustion.as_ref(), known, &users) {
                Impact::Urgent(urgency) => {
                    if incident.urgent.is_none() {
                        incident.note(now, format!("urgent: {}", urgency.sentence()));
                        changes.push((incident.id.clone(), Change::Urgent));
                    }
                    incident.urgent = Some(urgency);
                }
                Impact::Bearable => {
                    if incident.urgent.take().is_some() {
                        incident.note(now, "no longer urgent");
                        changes.push((incident.id.clone(), Change::Bearable));
                    }
                }
                Impact::Unknown => {}
            }
        }
        changes
    }

    /// The alerts that the living incidents want.
    pub(super) fn wishes(&self, now: Timestamp) -> Vec<Wanted> {
        let mut living: Vec<&Incident> = self
            .book
            .living()
            .filter(|incident| !incident.silenced)
            .collect();
        living.sort_by_key(|incident| incident.convicted_at);
        let hold = WITNESS_HOLD.min(self.evaluation_interval);
        let mut wishes = Vec::new();
        for incident in living {
            let hold_until = (incident.awaits_witness()
                || (incident.wants_witness(now) && self.witness_of(incident).is_some()))
            .then(|| incident.active_since + hold);
            let is_urgent = self.is_urgent_for_any(incident, now);
            for (name, holds) in alerts_of(incident, is_urgent) {
                wishes.push(Wanted {
                    name,
                    incident: incident.id.clone(),
                    labels: self.labels_of(incident, name),
                    annotations: if self.playing.is_some() {
                        Labels::empty()
                    } else {
                        self.annotations_of(incident, name, now)
                    },
                    generator_url: self.page_of(incident),
                    holds,
                    hold_until,
                });
            }
        }
        wishes
    }

    /// Finds the incidents that an override keeps from alerting.
    pub(super) fn silence(&mut self, now: Timestamp) {
        let overrides = &self.overrides;
        for incident in self.book.living_mut() {
            if overrides.len() == 0 {
                // One that silenced it may have been taken out of the configuration.
                incident.silenced = false;
                continue;
            }
            let labels = incident.identity().without("signal").or(&incident.workload);
            let met = overrides.met_by(&incident.signal, &labels);
            incident.silenced = overrides.ruling(&met, now).off;
        }
    }

    /// What identifies an alert: nothing in it changes while the incident lives.
    pub fn labels_of(&self, incident: &Incident, name: AlertName) -> Labels {
        let severities = &self.alerting.severities;
        let severity = if name.is_page() {
            &severities.page
        } else {
            &severities.ticket
        };
        incident
            .identity()
            .with("alertname", name.word())
            .with("severity", Arc::clone(severity))
            .or(&incident.workload)
            .or(&self.external_labels)
    }

    fn annotations_of(&self, incident: &Incident, name: AlertName, now: Timestamp) -> Labels {
        let labels = self.labels_of(incident, name);
        let annotations = text::annotations(incident, name, self.first_action_of(incident), now)
            .with("evidence_url", self.page_of(incident));
        let value = |wanted: &str| labels.get(wanted).or_else(|| annotations.get(wanted));
        let links = [
            ("runbook_url", &self.alerting.runbook_url),
            ("dashboard_url", &self.alerting.dashboard_url),
        ];
        links
            .into_iter()
            .filter_map(|(link, template)| Some((link, template.as_ref()?.render(value))))
            .fold(annotations.clone(), |all, (link, url)| all.with(link, url))
    }

    /// What to do first about an incident.
    pub fn first_action_of(&self, incident: &Incident) -> String {
        let of_signal = self
            .catalogue
            .first_action(&incident.signal)
            .unwrap_or_default();
        text::first_action(incident, of_signal)
    }

    /// The agent's page of an incident.
    pub fn page_of(&self, incident: &Incident) -> String {
        format!("{}/leaks/{}", self.external_url, incident.id)
    }
}

/// The alerts of an incident, each with whether its condition holds.
fn alerts_of(incident: &Incident, is_urgent: bool) -> Vec<(AlertName, bool)> {
    if incident.family == Family::Churn || incident.signal == CHURN_SIGNAL {
        return vec![(AlertName::ConnectionReuseLost, true)];
    }
    vec![
        (
            AlertName::ResourceLeakUrgent,
            is_urgent && !incident.ticket_only,
        ),
        (AlertName::ResourceLeak, true),
    ]
}

/// What the users of the incident's workload notice: of the upstreams it covers, all instances together.
fn users_of(incident: &Incident, states: &[&TargetState]) -> Users {
    let mut users = Users {
        failing_share_before: incident.failing_share_before,
        waiting_known: true,
        ..Users::default()
    };
    let (mut failing_before, mut calls_before) = (0.0, 0.0);
    let traffic = states
        .iter()
        .flat_map(|state| state.traffic())
        .filter(|(name, _)| incident.concerns_users_of(name));
    for (_, traffic) in traffic {
        if let Some(calls) = traffic.calls() {
            let sum = users.calls.get_or_insert(Calls {
                complete: true,
                ..Calls::default()
            });
            sum.failing += calls.failing;
            sum.all += calls.all;
            sum.complete &= calls.complete;
        }
        if let Some((failing, calls)) = traffic.calls_before(incident.onset) {
            failing_before += failing;
            calls_before += calls;
        }
        users.waiting_known &= traffic.waiting_is_known();
        if let Some(waiting) = traffic.waiting()
            && users.waiting.is_none_or(|(longest, _)| waiting.0 > longest)
        {
            users.waiting = Some(waiting);
        }
    }
    if users.failing_share_before.is_none() && calls_before > 0.0 {
        users.failing_share_before = Some(failing_before / calls_before);
    }
    users
}

/// A witness is asked at most so often.
const WITNESS_ATTEMPTS: u32 = 3;

/// Seconds from one attempt to the next.
const WITNESS_RETRY_SECONDS: f64 = 30.0;

impl Incident {
    fn wants_witness(&self, now: Timestamp) -> bool {
        match &self.witness {
            Witness::NotAsked => true,
            Witness::Asked(times) => {
                let waited = self
                    .witness_asked_at
                    .is_none_or(|at| now - at >= WITNESS_RETRY_SECONDS);
                *times < WITNESS_ATTEMPTS && waited
            }
            Witness::Answered | Witness::Failed(_) => false,
        }
    }

    /// Whether somebody has been asked a moment ago.
    fn awaits_witness(&self) -> bool {
        matches!(self.witness, Witness::Asked(1)) && self.witness_asked_at.is_some()
    }

    fn witness_asked(&mut self, now: Timestamp) {
        let before = match self.witness {
            Witness::Asked(times) => times,
            _ => 0,
        };
        self.witness = Witness::Asked(before + 1);
        self.witness_asked_at = Some(now);
    }

    /// An answer without places: asked again later, but not for ever.
    pub(super) fn witness_failed(&mut self, why: String) {
        if let Witness::Asked(times) = self.witness
            && times >= WITNESS_ATTEMPTS
        {
            self.witness = Witness::Failed(why);
        }
    }

    /// Whether a signal of this kind leaks in it.
    pub fn leaks(&self, kind: SignalKind) -> bool {
        self.signals.iter().any(|own| own.kind == kind)
    }
}

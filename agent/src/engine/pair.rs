//! The other member of a pair: what it told last, and what that means for the own judgement.
//!
//! The rules, for which there is no arbiter and no clock but the evaluations':
//! - What the other convicts lives here too, under the other's id, labels and times. Where both have convicted the same,
//!   the one that people were told of first stays, then the earlier, then the smaller id: both come to the same.
//! - Nothing ends here while the other is up and does not find it over. A member that has said nothing for
//!   `pair.down_after` is down, and does not count.
//! - A message that people hear for the first time waits until the other has been asked, at most [`HOLD`].
//! - Where only the other still convicts, the other sends; this one is silent until they agree.
//! - After a restart, what the other has ended meanwhile is over.

use std::collections::BTreeMap;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::alert::{Alert, AlertState, OutgoingAlert};
use crate::engine::{Engine, StateChange};
use crate::incident::{Change, Incident, IncidentId, State};
use crate::labels::Labels;
use crate::pair::{FORMAT, Report, Told, ToldAlert};

/// The longest that a first message waits for the other to be heard.
const HOLD: Duration = Duration::from_secs(5);

/// Incidents that ended within this time are told of.
const TELL_ENDED_FOR: Duration = Duration::from_secs(3600);

/// The other members, as the engine sees them.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    others: Vec<Other>,
    down_after: Duration,
    started_at: Timestamp,
    /// Whether every other has been asked since the start, with or without an answer.
    settled: bool,
    /// Since when there is something to send that nobody has heard.
    unsent_since: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct Other {
    /// When the last question began, whatever came of it.
    asked_at: Option<Timestamp>,
    heard_at: Option<Timestamp>,
    is_down: bool,
    told: BTreeMap<IncidentId, Told>,
}

impl Pair {
    pub(super) fn new(others: usize, down_after: Duration, started_at: Timestamp) -> Self {
        Self {
            others: vec![Other::default(); others],
            down_after,
            started_at,
            settled: others == 0,
            unsent_since: None,
        }
    }

    fn is_up(&self, other: &Other, now: Timestamp) -> bool {
        now - other.heard_at.unwrap_or(self.started_at) <= self.down_after.as_secs_f64()
    }

    fn up(&self, now: Timestamp) -> impl Iterator<Item = &Other> {
        self.others
            .iter()
            .filter(move |other| self.is_up(other, now))
    }

    /// Whether nobody who is up objects to the end of an incident that is over here.
    pub(super) fn agrees(&self, id: &IncidentId, now: Timestamp) -> bool {
        self.up(now)
            .all(|other| other.heard_at.is_some() && !other.convicts(id))
    }

    /// Whether somebody who is up finds an incident urgent by itself.
    pub(super) fn says_urgent(&self, id: &IncidentId, now: Timestamp) -> bool {
        self.up(now).any(|other| other.says_urgent(id))
    }

    /// Whether somebody who is up sends this alert, while it is over here.
    fn is_left_to_others(
        &self,
        alert: &Alert,
        incident: Option<&Incident>,
        now: Timestamp,
    ) -> bool {
        let Some(incident) = incident else {
            return false;
        };
        let is_over_here = incident.over || alert.name.is_page() && incident.urgent.is_none();
        is_over_here
            && self.up(now).any(|other| {
                other.convicts(&incident.id)
                    && (!alert.name.is_page() || other.says_urgent(&incident.id))
            })
    }

    /// Whether a first message has to wait.
    fn must_wait(&self, since: Timestamp, now: Timestamp) -> bool {
        now - since < HOLD.as_secs_f64()
            && self
                .up(now)
                .any(|other| other.asked_at.is_none_or(|asked| asked < since))
    }

    /// The earliest times of an alert among those who are up.
    fn times(&self, alert: &Alert, now: Timestamp) -> Option<(Timestamp, Option<Timestamp>)> {
        let told = self.up(now).filter_map(|other| {
            let told = other.told.get(&alert.incident)?;
            told.alerts.iter().find(|own| own.name == alert.name)
        });
        told.fold(None, |first, own| {
            Some(match first {
                None => (own.active_at, own.fired_at),
                Some((active_at, fired_at)) => (
                    own.active_at.min(active_at),
                    earlier(own.fired_at, fired_at),
                ),
            })
        })
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

impl Other {
    fn convicts(&self, id: &IncidentId) -> bool {
        self.told
            .get(id)
            .is_some_and(|told| told.incident.is_living() && !told.over)
    }

    fn says_urgent(&self, id: &IncidentId) -> bool {
        self.convicts(id) && self.told[id].incident.urgent.is_some()
    }
}

impl Engine {
    /// What the other members are told.
    pub fn report(&self, run: u64, shard: Option<String>, now: Timestamp) -> Report {
        let is_of_interest = |incident: &&Incident| {
            incident
                .ended_at
                .is_none_or(|at| now - at < TELL_ENDED_FOR.as_secs_f64())
        };
        let mut alerts: BTreeMap<&IncidentId, Vec<&Alert>> = BTreeMap::new();
        for alert in self.alerts.iter() {
            alerts.entry(&alert.incident).or_default().push(alert);
        }
        let incidents = self.book.iter().filter(is_of_interest).map(|incident| {
            let own = alerts.get(&incident.id).map_or(&[][..], |own| &**own);
            let told_alert = |alert: &&Alert| {
                (alert.state != AlertState::Resolved).then_some(ToldAlert {
                    name: alert.name,
                    active_at: alert.active_at,
                    fired_at: alert.fired_at,
                })
            };
            Told {
                incident: incident.clone(),
                over: incident.over,
                announced: own.iter().any(|alert| alert.last_sent_at.is_some()),
                alerts: own.iter().filter_map(told_alert).collect(),
            }
        });
        Report {
            format: FORMAT,
            run,
            shard,
            at: now,
            settled: self.pair.settled,
            incidents: incidents.collect(),
        }
    }

    /// Takes in what the member `other` answered to a question that began at `asked_at`; `None` where it did not answer.
    /// What happened to incidents by it.
    pub fn other_told(
        &mut self,
        other: usize,
        asked_at: Timestamp,
        report: Option<Report>,
        now: Timestamp,
    ) -> Vec<StateChange> {
        let was_settled = self.pair.settled;
        let Some(own) = self.pair.others.get_mut(other) else {
            return Vec::new();
        };
        own.asked_at = Some(asked_at);
        self.pair.settled |= self.pair.others.iter().all(|own| own.asked_at.is_some());
        // One that has just started remembers; to one that knows, that is no news.
        let Some(report) = report.filter(|report| report.settled || !was_settled) else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        let (living, ended): (Vec<&Told>, Vec<&Told>) = report
            .incidents
            .iter()
            .partition(|told| told.incident.is_living());
        for told in ended {
            self.over_there(told, was_settled, now, &mut changes);
        }
        let mut living = living;
        living.sort_by_key(|told| (told.incident.convicted_at, told.incident.id.clone()));
        for told in living {
            self.convicted_there(told, report.at, now, &mut changes);
        }
        self.has_news |= !changes.is_empty();
        let own = &mut self.pair.others[other];
        own.heard_at = Some(now);
        own.told = report
            .incidents
            .into_iter()
            .map(|told| (told.incident.id.clone(), told))
            .collect();
        changes
            .iter()
            .filter_map(|(id, change)| self.state_change(now, id, change))
            .collect()
    }

    /// Whether something waits to be sent until the others have been asked.
    pub fn is_holding(&self) -> bool {
        self.pair.unsent_since.is_some()
    }

    fn over_there(
        &mut self,
        told: &Told,
        was_settled: bool,
        now: Timestamp,
        changes: &mut Vec<(IncidentId, Change)>,
    ) {
        let id = &told.incident.id;
        match self.book.get(id) {
            None => self.book.take_over(told.incident.clone()),
            Some(own) if own.is_living() && !was_settled => {
                let State::Ended(end) = told.incident.state else {
                    return;
                };
                let leaked: Vec<(String, Option<String>)> = own
                    .signals
                    .iter()
                    .map(|signal| (signal.signal.clone(), signal.resource.clone()))
                    .collect();
                let instances: Vec<String> = own.instances.keys().cloned().collect();
                self.book
                    .end(id, told.incident.ended_at.unwrap_or(now), end);
                changes.push((id.clone(), Change::Ended(end)));
                self.begin_anew(now, id);
                self.forget_what_leaked(&instances, &leaked, now);
            }
            Some(_) => {}
        }
    }

    /// The detectors of what leaked remember it from before the restart; the other has seen that it is over.
    fn forget_what_leaked(
        &mut self,
        instances: &[String],
        leaked: &[(String, Option<String>)],
        now: Timestamp,
    ) {
        let has_leaked = |signal: &str, labels: &Labels| {
            let resource = labels.get("resource");
            leaked
                .iter()
                .any(|(own, of)| own == signal && of.as_deref() == resource)
        };
        for instance in instances {
            if let Some(pending) = self.pending.get_mut(instance) {
                pending
                    .series
                    .retain(|own| !has_leaked(&own.signal, &own.labels));
            }
            let Some(state) = self.targets.get_mut(instance) else {
                continue;
            };
            state.forget_stored(has_leaked);
            state.change_series(|series| {
                if has_leaked(&series.signal, &series.labels) {
                    series.acquit(now);
                }
            });
        }
    }

    fn convicted_there(
        &mut self,
        told: &Told,
        told_at: Timestamp,
        now: Timestamp,
        changes: &mut Vec<(IncidentId, Change)>,
    ) {
        let theirs = &told.incident;
        if let Some(own) = self.book.get(&theirs.id) {
            let is_stale = own.ended_at.is_none_or(|ended| told_at <= ended);
            if own.is_living() || is_stale || told.over {
                return;
            }
            self.share(theirs, "still convicted by the other of the pair", now);
            changes.push((theirs.id.clone(), Change::Returned));
            return;
        }
        let is_announced = |id: &IncidentId| {
            self.alerts
                .iter()
                .any(|alert| alert.incident == *id && alert.last_sent_at.is_some())
        };
        let rank = |announced: bool, incident: &Incident| {
            (!announced, incident.convicted_at, incident.id.clone())
        };
        let same: Vec<IncidentId> = self
            .book
            .iter()
            .filter(|own| own.is_living() && own.overlaps(theirs))
            .map(|own| own.id.clone())
            .collect();
        let is_second = same
            .iter()
            .filter_map(|id| self.book.get(id))
            .any(|own| rank(is_announced(&own.id), own) < rank(told.announced, theirs));
        if is_second {
            // The other comes to the same result, and takes ours.
            return;
        }
        for id in &same {
            self.book.remove(id);
        }
        self.share(theirs, "convicted by the other of the pair", now);
        changes.push((theirs.id.clone(), Change::Shared));
    }

    /// Takes the other's incident for an own one. Whether it is urgent is for each to judge.
    fn share(&mut self, theirs: &Incident, why: &str, now: Timestamp) {
        let mut own = theirs.clone();
        own.urgent = None;
        own.note(now, why);
        self.book.remove(&own.id);
        self.book.take_over(own);
    }

    /// What those who have just been given up knew of urgency counts as ours, until we know better.
    pub(super) fn take_over_from_the_down(&mut self, now: Timestamp) {
        let pair = &mut self.pair;
        pair.settled |= now - pair.started_at >= HOLD.as_secs_f64();
        for index in 0..pair.others.len() {
            let is_down = !pair.is_up(&pair.others[index], now);
            let other = &mut pair.others[index];
            let turned = is_down && !other.is_down;
            other.is_down = is_down;
            if !turned {
                continue;
            }
            for told in other.told.values() {
                if let Some(own) = self.book.get_mut(&told.incident.id)
                    && own.is_living()
                    && own.urgent.is_none()
                {
                    own.urgent.clone_from(&told.incident.urgent);
                }
            }
        }
    }

    /// Gives alerts the earlier of both members' times; whether one has changed.
    pub(super) fn align_alerts(&mut self, now: Timestamp) -> bool {
        if self.pair.others.is_empty() {
            return false;
        }
        let pair = &self.pair;
        self.alerts.align(|alert| pair.times(alert, now))
    }

    /// What has to be sent now, as far as it is for this member to send, and has not to wait.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<OutgoingAlert> {
        if self.pair.others.is_empty() {
            return self.alerts.due(now);
        }
        let (pair, book) = (&self.pair, &self.book);
        let is_ours = |alert: &Alert| {
            alert.state == AlertState::Resolved
                || !pair.is_left_to_others(alert, book.get(&alert.incident), now)
        };
        if self
            .alerts
            .iter()
            .any(|alert| alert.is_unsent() && is_ours(alert))
        {
            let since = pair.unsent_since.unwrap_or(now);
            if !pair.settled || pair.must_wait(since, now) {
                self.pair.unsent_since = Some(since);
                return Vec::new();
            }
        }
        let due = self.alerts.due_of(now, is_ours);
        self.pair.unsent_since = None;
        due
    }

    /// Whether each other member is up: `None` while it was never heard, and may be.
    pub fn others_up(&self, now: Timestamp) -> Vec<bool> {
        let others = self.pair.others.iter();
        others
            .map(|other| other.heard_at.is_some() && self.pair.is_up(other, now))
            .collect()
    }

    /// Whether the page of an incident is wanted: by the own judgement or another's.
    pub(super) fn is_urgent_for_any(&self, incident: &Incident, now: Timestamp) -> bool {
        incident.urgent.is_some() || self.pair.says_urgent(&incident.id, now)
    }
}

//! The life of an alert: pending, firing, resolved, with Prometheus' rules for what is sent when.
//!
//! Alertmanager keeps nothing over its restart and resolves what it hears no more of, so that sending again is the
//! delivery guarantee and `endsAt` a promise to come back. Labels identify an alert and never change while it lives;
//! `startsAt` is when it began to fire and stays, also in the resolved message. Nothing here knows a clock, a network,
//! or why an alert is wanted: wishes in, messages out.
//!
//! Source: Prometheus, `rules/alerting.go` and `notifier/notifier.go`; "Alertmanager: alerts API v2".

pub mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use leak_detect::Timestamp;
use serde::{Deserialize, Serialize};

use crate::incident::{IncidentId, stored};
use crate::labels::Labels;

/// How long a resolved alert is sent again: Prometheus' `resolvedRetention`.
pub const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);

/// How often the published text of an alert is renewed while nothing but its figures changes.
const PUBLISHED_EVERY: Duration = Duration::from_secs(5 * 60);

/// The three alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AlertName {
    /// A page: no time is left, or users are hit. First, so that the page goes out before the ticket it mutes.
    ResourceLeakUrgent,
    /// A ticket: something grows without bound.
    ResourceLeak,
    /// A ticket: connections are closed instead of reused.
    ConnectionReuseLost,
}

impl AlertName {
    /// The label `alertname`.
    pub fn word(self) -> &'static str {
        match self {
            Self::ResourceLeakUrgent => "ResourceLeakUrgent",
            Self::ResourceLeak => "ResourceLeak",
            Self::ConnectionReuseLost => "ConnectionReuseLost",
        }
    }

    /// Whether it wakes somebody.
    pub fn is_page(self) -> bool {
        self == Self::ResourceLeakUrgent
    }
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Wanted, but not for long enough.
    Pending,
    /// Sent, again and again.
    Firing,
    /// No longer wanted; sent as resolved for a while.
    Resolved,
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Which of the three.
    pub name: AlertName,
    /// The incident that it is about.
    pub incident: IncidentId,
    /// What identifies it; never changes.
    pub labels: Labels,
    /// What it says at present.
    pub annotations: Labels,
    /// The page that shows more.
    pub generator_url: String,
    /// Where it stands.
    pub state: AlertState,
    /// Since when it is wanted.
    #[serde(with = "stored::time")]
    pub active_at: Timestamp,
    /// Since when it fires: `startsAt`.
    #[serde(with = "stored::time_or_none")]
    pub fired_at: Option<Timestamp>,
    /// Since when it fires only because of `keep_firing_for`.
    #[serde(with = "stored::time_or_none")]
    pub keep_firing_since: Option<Timestamp>,
    /// When it was resolved.
    #[serde(with = "stored::time_or_none")]
    pub resolved_at: Option<Timestamp>,
    /// When it was sent last. Not stored: after a restart every alert is sent at once, with its old `startsAt`.
    #[serde(skip)]
    pub last_sent_at: Option<Timestamp>,
    /// Not to be sent for the first time before this: somebody is being asked where it leaks.
    #[serde(skip)]
    hold_until: Option<Timestamp>,
    /// The annotations as they are published, and since when. Not stored: after a restart they are published anew.
    #[serde(skip)]
    pub(crate) published: Option<(Timestamp, Labels)>,
}

/// An alert that its incident wants, at one evaluation. One that is not wanted at all is resolved at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Which of the three.
    pub name: AlertName,
    /// The incident that it is about.
    pub incident: IncidentId,
    /// What identifies it.
    pub labels: Labels,
    /// What it says.
    pub annotations: Labels,
    /// The page that shows more.
    pub generator_url: String,
    /// Whether its condition holds; a firing alert whose condition ceases fires on for `keep_firing_for`.
    pub holds: bool,
    /// If it is not sent yet, wait with the first sending until then at most.
    pub hold_until: Option<Timestamp>,
}

/// What goes to every Alertmanager.
#[derive(Clone, Debug, PartialEq)]
pub struct OutgoingAlert {
    /// What identifies it.
    pub labels: Labels,
    /// What it says.
    pub annotations: Labels,
    /// `startsAt`.
    pub starts_at: Timestamp,
    /// `endsAt`: a promise to send it again before, or when it was resolved.
    pub ends_at: Timestamp,
    /// `generatorURL`.
    pub generator_url: String,
    /// Whether it says that it is over.
    pub resolved: bool,
}

/// The times that rule the lives of alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From one evaluation to the next.
    pub evaluation_interval: Duration,
    /// `for`: how long an alert is wanted before it fires.
    pub pending: Duration,
    /// `keep_firing_for`: how long it fires on after its condition ceased.
    pub keep_firing_for: Duration,
    /// A firing alert is sent again when more than this has passed.
    pub resend_delay: Duration,
    /// How many alerts may live at once.
    pub limit: usize,
}

/// All alerts that live or have been resolved not long ago.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerts {
    timing: Timing,
    alerts: BTreeMap<(AlertName, Labels), Alert>,
    refused: u64,
}

impl Alerts {
    /// With what was stored.
    pub fn new(timing: Timing, saved: Vec<Alert>) -> Self {
        let alerts = saved
            .into_iter()
            .map(|alert| ((alert.name, alert.labels.clone()), alert))
            .collect();
        Self {
            timing,
            alerts,
            refused: 0,
        }
    }

    /// Goes on by other times.
    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    /// All of them, pages first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Alert> {
        self.alerts.values()
    }

    /// Whether one of them waits for time to pass.
    pub(crate) fn await_time(&self) -> bool {
        self.alerts
            .values()
            .any(|alert| alert.state == AlertState::Pending || alert.keep_firing_since.is_some())
    }

    /// How often an alert was not raised because too many lived: one for each evaluation that wanted it.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Moves every alert to where it stands now. Of two wishes with the same labels the first counts.
    ///
    /// Whether anything changed that must outlive a restart.
    pub fn evaluate(&mut self, now: Timestamp, wanted: Vec<Wanted>) -> bool {
        let mut wishes: BTreeMap<(AlertName, Labels), Wanted> = BTreeMap::new();
        for wish in wanted {
            wishes
                .entry((wish.name, wish.labels.clone()))
                .or_insert(wish);
        }
        let mut changed = false;
        let timing = self.timing;
        self.alerts.retain(|key, alert| {
            let (moved, keep) = alert.step(now, wishes.remove(key), timing);
            changed |= moved || !keep;
            keep
        });
        let mut living = self
            .alerts
            .values()
            .filter(|alert| alert.state != AlertState::Resolved)
            .count();
        for (key, wish) in wishes {
            if !wish.holds {
                continue;
            }
            if living >= self.timing.limit {
                self.refused += 1;
                continue;
            }
            living += 1;
            changed = true;
            self.alerts.insert(key, Alert::begin(now, wish, timing));
        }
        changed
    }

    /// What has to be sent now, pages first; it counts as sent.
    pub fn due(&mut self, now: Timestamp) -> Vec<OutgoingAlert> {
        self.due_of(now, |_| true)
    }

    /// What has to be sent now of those that are `wanted`; the rest stays due.
    pub(crate) fn due_of(
        &mut self,
        now: Timestamp,
        wanted: impl Fn(&Alert) -> bool,
    ) -> Vec<OutgoingAlert> {
        let timing = self.timing;
        self.alerts
            .values_mut()
            .filter(|alert| wanted(alert))
            .filter_map(|alert| alert.send(now, timing))
            .collect()
    }

    /// Moves the beginnings of alerts back to those that another agent knows: since when each is wanted, and since when
    /// it fires. Whether one has changed.
    pub(crate) fn align(
        &mut self,
        known: impl Fn(&Alert) -> Option<(Timestamp, Option<Timestamp>)>,
    ) -> bool {
        let mut changed = false;
        for alert in self.alerts.values_mut() {
            if alert.state == AlertState::Resolved {
                continue;
            }
            let Some((active_at, fired_at)) = known(alert) else {
                continue;
            };
            let first = fired_at.into_iter().chain(alert.fired_at).min();
            changed |= active_at < alert.active_at || first != alert.fired_at;
            alert.active_at = alert.active_at.min(active_at);
            alert.fired_at = first;
            if first.is_some() {
                alert.state = AlertState::Firing;
            }
        }
        changed
    }
}

impl Alert {
    /// Whether it is to be told of and nobody has heard of it, since it began or since the agent started.
    pub(crate) fn is_unsent(&self) -> bool {
        self.fired_at.is_some() && self.last_sent_at.is_none()
    }

    fn begin(now: Timestamp, wish: Wanted, timing: Timing) -> Self {
        let mut alert = Self {
            name: wish.name,
            incident: wish.incident,
            labels: wish.labels,
            annotations: wish.annotations,
            generator_url: wish.generator_url,
            state: AlertState::Pending,
            active_at: now,
            fired_at: None,
            keep_firing_since: None,
            resolved_at: None,
            last_sent_at: None,
            hold_until: wish.hold_until,
            published: None,
        };
        alert.fire_when_due(now, timing);
        alert.publish(now);
        alert
    }

    /// The words for whoever keeps each text as a series of its own, as Prometheus does: they are those of
    /// `annotations` of at most five minutes ago, so that a figure that moves all the time costs twelve series an hour.
    ///
    /// `None` until the alert fires, and while its first sending would wait.
    pub(crate) fn published(&self, now: Timestamp) -> Option<&Labels> {
        let is_held = self.hold_until.is_some_and(|until| now < until);
        let is_told = self.state == AlertState::Firing && !is_held;
        let (_, words) = self.published.as_ref().filter(|_| is_told)?;
        Some(words)
    }

    fn publish(&mut self, now: Timestamp) {
        let stands = self.published.as_ref().is_some_and(|(since, words)| {
            now - *since < PUBLISHED_EVERY.as_secs_f64()
                && self.fired_at.is_none_or(|fired| fired <= *since)
                && ["cause", "site"]
                    .iter()
                    .all(|name| words.get(name) == self.annotations.get(name))
        });
        if !stands {
            self.published = Some((now, self.annotations.clone()));
        }
    }

    /// One evaluation: whether its state changed, and whether it is kept.
    fn step(&mut self, now: Timestamp, wish: Option<Wanted>, timing: Timing) -> (bool, bool) {
        let before = self.state;
        match wish {
            Some(wish) if wish.holds => {
                if self.state == AlertState::Resolved {
                    *self = Self::begin(now, wish, timing);
                    return (true, true);
                }
                self.take(wish);
                let held_on = self.keep_firing_since.take().is_some();
                self.fire_when_due(now, timing);
                self.publish(now);
                (held_on || self.state != before, true)
            }
            Some(wish) if self.state == AlertState::Firing && !timing.keep_firing_for.is_zero() => {
                self.take(wish);
                self.publish(now);
                let first = self.keep_firing_since.is_none();
                let since = *self.keep_firing_since.get_or_insert(now);
                if now - since >= timing.keep_firing_for.as_secs_f64() {
                    self.resolve(now);
                }
                (first || self.state != before, true)
            }
            _ => match self.state {
                AlertState::Pending => (true, false),
                AlertState::Firing => {
                    self.resolve(now);
                    (true, true)
                }
                AlertState::Resolved => {
                    let age = self.resolved_at.map_or(f64::INFINITY, |at| now - at);
                    (false, age <= RESOLVED_RETENTION.as_secs_f64())
                }
            },
        }
    }

    /// The words of the present; what identifies it stays.
    fn take(&mut self, wish: Wanted) {
        self.incident = wish.incident;
        self.annotations = wish.annotations;
        self.generator_url = wish.generator_url;
        self.hold_until = wish.hold_until;
    }

    fn fire_when_due(&mut self, now: Timestamp, timing: Timing) {
        if self.state == AlertState::Pending && now - self.active_at >= timing.pending.as_secs_f64()
        {
            self.state = AlertState::Firing;
            self.fired_at = Some(now);
        }
    }

    fn resolve(&mut self, now: Timestamp) {
        self.state = AlertState::Resolved;
        self.resolved_at = Some(now);
        self.keep_firing_since = None;
    }

    fn send(&mut self, now: Timestamp, timing: Timing) -> Option<OutgoingAlert> {
        let starts_at = self.fired_at.filter(|_| self.is_due(now, timing))?;
        self.last_sent_at = Some(now);
        let ends_at = self
            .resolved_at
            .unwrap_or_else(|| now + 4 * timing.evaluation_interval.max(timing.resend_delay));
        Some(OutgoingAlert {
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            starts_at,
            ends_at,
            generator_url: self.generator_url.clone(),
            resolved: self.resolved_at.is_some(),
        })
    }

    fn is_due(&self, now: Timestamp, timing: Timing) -> bool {
        match (self.last_sent_at, self.resolved_at) {
            (None, None) => self.hold_until.is_none_or(|until| now >= until),
            (None, Some(_)) => true,
            (Some(sent), Some(resolved)) if resolved > sent => true,
            (Some(sent), _) => now - sent > timing.resend_delay.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests;

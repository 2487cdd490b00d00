//! One incident, copied out of the engine, and the picture of it.

use leak_detect::{Bucket, Tier, Verdict};

use super::peer::{self, PeerView};
use crate::agent::Seen;
use crate::alert::{Alert, AlertState};
use crate::config::Alerting;
use crate::engine::SeriesView;
use crate::incident::{Incident, IncidentId};
use crate::notify::Deliveries;
use crate::plot::{Line, Mark, Plot, Point};
use crate::quantity::Unit;
use crate::web::filter::encoded;
use crate::web::words;

/// Shorter than this, missing values are no gap, however often is scraped.
const SHORTEST_GAP_SECONDS: f64 = 15.0;

/// What the page of one incident shows.
pub(in crate::web) struct LeakView {
    pub(in crate::web) incident: Incident,
    /// The alerts of this incident.
    pub(in crate::web) alerts: Vec<Alert>,
    /// What to do first.
    pub(in crate::web) first_action: String,
    /// What the detector remembers of the carrying series, where it is one: the line from before the conviction.
    pub(in crate::web) history: Vec<Point>,
    /// By how many seconds the onset may be wrong, either way, where the detector still says so.
    pub(in crate::web) onset_uncertainty: Option<f64>,
    /// The limit of the carrying series, where it is a single one and has one.
    pub(in crate::web) limit: Option<f64>,
    /// The instances of the workload, those that leak first.
    pub(in crate::web) peers: Vec<PeerView>,
    /// Where to go from here.
    pub(in crate::web) links: Vec<Link>,
    /// The present, in unix seconds.
    pub(in crate::web) now: f64,
    /// Longer than this between two values, in seconds, and the line is broken.
    pub(in crate::web) gap_seconds: f64,
}

/// A place to go to from an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Link {
    /// What is there.
    pub(in crate::web) what: String,
    /// Its address: absolute.
    pub(in crate::web) address: String,
}

impl LeakView {
    /// A copy of one incident and the address of its page; `None` where it is not known.
    pub(in crate::web) fn of(seen: &Seen<'_>, id: &IncidentId) -> Option<(Self, String)> {
        let engine = seen.engine;
        let incident = engine.incident(id)?;
        let slowest = engine
            .targets()
            .map(|own| own.target().interval)
            .max()
            .unwrap_or_default();
        let carrying: Vec<SeriesView<'_>> = engine
            .targets()
            .filter(|own| {
                incident
                    .instances
                    .contains_key(&own.target().labels.to_string())
            })
            .flat_map(|own| own.series())
            .filter(|series| peer::carries(incident, series))
            .collect();
        let only = match carrying.as_slice() {
            [only] if incident.is_living() => Some(only),
            _ => None,
        };
        let uncertainty = |series: &SeriesView<'_>| match series.verdict() {
            Verdict::Leaking(case) => Some(case.onset_uncertainty_seconds),
            Verdict::Healthy | Verdict::Undecided(_) => None,
        };
        let alerts: Vec<Alert> = engine
            .alerts()
            .filter(|alert| alert.incident == *id)
            .cloned()
            .collect();
        let view = Self {
            first_action: engine.first_action_of(incident),
            history: only.map(|series| history(series)).unwrap_or_default(),
            onset_uncertainty: carrying.iter().filter_map(uncertainty).reduce(f64::max),
            limit: only.and_then(|series| series.limit()),
            peers: peer::peers(seen, incident),
            links: links(&alerts, &seen.config.alerting, &seen.notifier.deliveries()),
            alerts,
            now: seen.now.seconds(),
            gap_seconds: (slowest.as_secs_f64() * 5.0).max(SHORTEST_GAP_SECONDS),
            incident: incident.clone(),
        };
        Some((view, engine.page_of(incident)))
    }

    /// The unit of the carrying signal.
    pub(in crate::web) fn unit(&self) -> Unit {
        Unit::of_metric(&self.incident.signal)
    }

    /// The picture of the carrying signal.
    pub(in crate::web) fn plot(&self) -> Plot {
        let incident = &self.incident;
        let evidence = &incident.evidence;
        let is_level = words::is_level(incident);
        let ended = incident.ended_at.map(|at| at.seconds());
        let exhaustion = evidence
            .exhaustion
            .as_ref()
            .filter(|own| ended.is_none() && own.seconds.estimate.is_finite());
        let (own_limit, other) = match exhaustion {
            Some(own) if own.signal == incident.signal => (Some(own), None),
            other => (None, other),
        };
        let mut marks = vec![Mark {
            at: incident.convicted_at.seconds(),
            label: "convicted".to_owned(),
        }];
        let starts = peer::starts(&self.peers)
            .into_iter()
            .map(|(at, label)| Mark {
                at: at.seconds(),
                label,
            });
        marks.extend(starts);
        marks.sort_by(|left, right| left.at.total_cmp(&right.at));
        if let Some(ended) = ended {
            marks.push(Mark {
                at: ended,
                label: incident.state.word().to_owned(),
            });
        }
        let curve = incident
            .curve
            .points()
            .map(|(at, value)| Point::single(at.seconds(), value));
        let mut points = self.history.clone();
        if let (Tier::Exact, [], Some(first)) =
            (evidence.tier, &*points, incident.curve.points().next())
        {
            // What a correct program never has was none before it began.
            let began = incident.onset.seconds();
            points.extend((began < first.0.seconds()).then_some(Point::single(began, 0.0)));
        }
        let remembered = points.last().map_or(f64::NEG_INFINITY, |last| last.at);
        points.extend(curve.filter(|point| point.at > remembered));
        Plot {
            title: words::subject(incident),
            unit: self.unit(),
            points,
            gap_seconds: self.gap_seconds,
            // Of what is over there is no future, and what is churned does not grow.
            fit: (ended.is_none() && is_level).then_some(Line {
                start: evidence.fit_start.seconds(),
                start_value: evidence.fit_start_value,
                slope: evidence.fit_slope,
            }),
            limit: own_limit.map(|own| own.limit).or(self.limit),
            exhaustion: other.map(|own| Mark {
                at: self.now + own.seconds.estimate,
                label: format!("{} runs out", own.signal),
            }),
            onset: Some(incident.onset.seconds()),
            onset_uncertainty: self.onset_uncertainty.unwrap_or(0.0),
            marks,
            now: ended.map_or(self.now, |ended| ended.min(self.now)),
        }
    }
}

/// What is remembered of a series.
fn history(series: &SeriesView<'_>) -> Vec<Point> {
    let middle = |bucket: &Bucket| bucket.start.seconds() + bucket.seconds / 2.0;
    let point = |bucket: &Bucket| Point {
        at: middle(bucket),
        low: bucket.minimum,
        value: bucket.mean,
        high: bucket.maximum,
    };
    series.history().iter().map(point).collect()
}

/// The runbook, the dashboard, and a new silence in each Alertmanager, filled in for this incident.
fn links(alerts: &[Alert], alerting: &Alerting, told: &[Deliveries]) -> Vec<Link> {
    let Some(alert) = alerts
        .iter()
        .find(|alert| alert.state != AlertState::Resolved)
        .or(alerts.first())
    else {
        return Vec::new();
    };
    let annotated = [("runbook_url", "Runbook"), ("dashboard_url", "Dashboard")];
    let mut links: Vec<Link> = annotated
        .into_iter()
        .filter_map(|(name, what)| {
            let address = alert.annotations.get(name)?;
            is_web(address).then(|| Link {
                what: what.to_owned(),
                address: address.to_owned(),
            })
        })
        .collect();
    // Without the name and the severity of the alert: a silence for the ticket is one for the page.
    let labels = alerting.relabelling.apply(&alert.labels);
    let labels = labels.as_ref().unwrap_or(&alert.labels);
    let matchers: Vec<String> = labels
        .iter()
        .filter(|(name, _)| !matches!(*name, "alertname" | "severity"))
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            format!("{name}=\"{value}\"")
        })
        .collect();
    let filter = encoded(&format!("{{{}}}", matchers.join(",")));
    let many = told.len() > 1;
    links.extend(told.iter().map(|own| Link {
        what: match many {
            true => format!("Silence it in {}", own.alertmanager),
            false => "Silence it".to_owned(),
        },
        address: format!("{}/#/silences/new?filter={filter}", own.alertmanager),
    }));
    links
}

/// A template of a configuration, or a label in it, makes no link that runs something.
fn is_web(address: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| address.starts_with(scheme))
}

//! One incident, copied out of the engine, and the picture of it.

use leak_detect::{Bucket, Tier};

use crate::agent::Seen;
use crate::alert::Alert;
use crate::incident::{Incident, IncidentId};
use crate::plot::{Line, Mark, Plot, Point};
use crate::quantity::Unit;
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
    /// The present, in unix seconds.
    pub(in crate::web) now: f64,
    /// Longer than this between two values, in seconds, and the line is broken.
    pub(in crate::web) gap_seconds: f64,
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
        let view = Self {
            alerts: engine
                .alerts()
                .filter(|alert| alert.incident == *id)
                .cloned()
                .collect(),
            first_action: engine.first_action_of(incident),
            history: history(seen, incident),
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
            limit: own_limit.map(|own| own.limit),
            exhaustion: other.map(|own| Mark {
                at: self.now + own.seconds.estimate,
                label: format!("{} runs out", own.signal),
            }),
            onset: Some(incident.onset.seconds()),
            marks,
            now: ended.map_or(self.now, |ended| ended.min(self.now)),
        }
    }
}

/// The history of the series that carries a living incident, if it is a single one.
fn history(seen: &Seen<'_>, incident: &Incident) -> Vec<Point> {
    let identity = incident.identity().without("signal");
    let mut carrying = seen.engine.series().filter(|series| {
        series.signal() == incident.signal
            && series.labels().includes(&identity)
            && incident
                .instances
                .contains_key(&series.target().labels.to_string())
    });
    match (carrying.next(), carrying.next()) {
        (Some(only), None) if incident.is_living() => {
            let middle = |bucket: &Bucket| bucket.start.seconds() + bucket.seconds / 2.0;
            let point = |bucket: &Bucket| Point {
                at: middle(bucket),
                low: bucket.minimum,
                value: bucket.mean,
                high: bucket.maximum,
            };
            only.history().iter().map(point).collect()
        }
        _ => Vec::new(),
    }
}

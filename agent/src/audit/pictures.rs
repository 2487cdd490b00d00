//! The picture of each suspected leak: its signal around its time, asked of the store once more, a few hundred points.
//!
//! Of several leaking instances the highest one at each moment is drawn: with lives that end and begin anew that is the
//! saw-tooth that an engineer knows from the dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use leak_detect::Timestamp;

use super::report::{Leak, Report};
use crate::history::store::Store;
use crate::incident::{Incident, State};
use crate::labels::{Labels, write_escaped};
use crate::plot::{self, Line, Mark, Plot, Point, Size};
use crate::quantity::Unit;
use crate::web::words;

/// The most pictures in one report.
const PICTURES: usize = 200;

/// Points of a picture.
const POINTS: f64 = 300.0;

/// How much of the time before the onset is shown, as a share of the time after it.
const BEFORE: f64 = 0.35;

/// Deaths that are marked in one picture.
const DEATHS_MARKED: usize = 40;

/// Draws every leak of a report.
pub(super) async fn draw(store: &Store, report: &mut Report) {
    let (from, to, least) = (report.from, report.to, report.step.unwrap_or_default());
    let deaths: Vec<Timestamp> = report.deaths.iter().map(|own| own.death.at).collect();
    for (place, leak) in report.leaks.iter_mut().enumerate() {
        leak.picture = if place < PICTURES {
            picture(store, leak, &deaths, (from, to), least).await
        } else {
            Err(format!("only the first {PICTURES} are drawn"))
        };
    }
}

async fn picture(
    store: &Store,
    leak: &Leak,
    deaths: &[Timestamp],
    (from, to): (Timestamp, Timestamp),
    least: Duration,
) -> Result<String, String> {
    let incident = &leak.incident;
    let deaths: Vec<Timestamp> = leak
        .deaths
        .iter()
        .filter_map(|place| deaths.get(*place))
        .copied()
        .collect();
    let end = incident
        .ended_at
        .unwrap_or(to)
        .max(deaths.last().copied().unwrap_or(from))
        .min(to);
    let since = incident
        .onset
        .shifted(-(BEFORE * (end - incident.onset)).max(1800.0))
        .max(from);
    let step = Duration::from_secs(((end - since) / POINTS).ceil().max(15.0) as u64).max(least);
    let points = points(store, incident, since, end, step).await?;
    if points.is_empty() {
        return Err("the store has no samples of it any more".to_owned());
    }
    let plot = plot(leak, points, &deaths, end, step);
    plot::svg(&plot, Size::WIDE).map_err(|error| error.to_string())
}

fn plot(
    leak: &Leak,
    points: Vec<Point>,
    deaths: &[Timestamp],
    end: Timestamp,
    step: Duration,
) -> Plot {
    let incident = &leak.incident;
    let evidence = &incident.evidence;
    let mark = |at: Timestamp, label: &str| Mark {
        at: at.seconds(),
        label: label.to_owned(),
    };
    let mut marks: Vec<Mark> = leak
        .told
        .ticketed_at
        .map(|at| mark(at, "ticket"))
        .into_iter()
        .collect();
    // Without words: several of them in one place would be illegible, and the page says what they are.
    marks.extend(deaths.iter().take(DEATHS_MARKED).map(|at| mark(*at, "")));
    let exhaustion = evidence
        .exhaustion
        .as_ref()
        .filter(|own| own.signal == incident.signal);
    // A line of several instances together would stand above each of them.
    let is_one = incident.instances.len() == 1
        && incident.state == State::Growing
        && words::is_level(incident);
    Plot {
        title: words::subject(incident),
        unit: Unit::of_metric(&incident.signal),
        points,
        gap_seconds: (5.0 * step.as_secs_f64()).max(300.0),
        fit: is_one.then_some(Line {
            start: evidence.fit_start.seconds(),
            start_value: evidence.fit_start_value,
            slope: evidence.fit_slope,
        }),
        limit: exhaustion.map(|own| own.limit),
        exhaustion: None,
        onset: Some(incident.onset.seconds()),
        onset_uncertainty: 0.0,
        marks,
        now: end.seconds(),
    }
}

/// The carrying signal of the leaking instances: at each step the highest of them.
async fn points(
    store: &Store,
    incident: &Incident,
    from: Timestamp,
    to: Timestamp,
    step: Duration,
) -> Result<Vec<Point>, String> {
    let selector = selector(incident);
    let mut envelope: BTreeMap<Timestamp, Point> = BTreeMap::new();
    let read = async |function: &str| {
        let expression = format!("{function}_over_time({selector}[{}s])", step.as_secs());
        let rows = store.values(&expression, from, to, step).await;
        rows.map_err(|error| error.to_string())
    };
    let leaking: BTreeSet<&str> = incident
        .instances
        .values()
        .map(|own| &*own.instance)
        .collect();
    let own = |labels: &Labels| {
        labels
            .get("instance")
            .is_none_or(|instance| leaking.contains(instance))
    };
    let (highs, lows) = (read("max").await?, read("min").await?);
    for (labels, values) in highs.iter().filter(|(labels, _)| own(labels)) {
        let low = lows
            .iter()
            .find(|(other, _)| other == labels)
            .map(|(_, values)| values);
        for (at, high) in values {
            let low = low
                .and_then(|values| {
                    values
                        .binary_search_by_key(at, |own| own.0)
                        .ok()
                        .map(|place| values[place].1)
                })
                .unwrap_or(*high);
            let point = Point {
                at: at.seconds(),
                low,
                value: (low + high) / 2.0,
                high: *high,
            };
            let highest = envelope.entry(*at).or_insert(point);
            if point.high > highest.high {
                *highest = point;
            }
        }
    }
    Ok(envelope.into_values().collect())
}

/// The series of the carrying signal in the incident's workload.
fn selector(incident: &Incident) -> String {
    let mut text = String::from("{__name__=\"");
    // Writing to a String cannot fail.
    let _ = write_escaped(&mut text, &incident.signal);
    text.push('"');
    let identity = incident.identity().without("signal");
    for (name, value) in incident.workload.iter().chain(identity.iter()) {
        let _ = write!(text, ",{name}=\"");
        let _ = write_escaped(&mut text, value);
        text.push('"');
    }
    text.push('}');
    text
}

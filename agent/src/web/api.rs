//! The JSON interface: targets and alerts in the shape of Prometheus' HTTP API, so that its clients can read them,
//! and leaks in a shape of our own.
//!
//! Source: Prometheus, "HTTP API". Leaks carry times in unix seconds and growth in the signal's unit per second; what is not known is `null`.

use std::time::Duration;

use leak_detect::{Interval, Timestamp};
use serde_json::{Value, json};

use crate::alert::{Alert, AlertState};
use crate::discovery::Roll;
use crate::impact::Urgency;
use crate::incident::{Exhaustion, Incident, Moment, Place, Witness};
use crate::quantity::rfc3339;
use crate::source::{SourceState, SourceStatus};
use crate::web::view::{LeakView, TargetView};

/// What the API answers where something went right.
pub(super) fn success(data: Value) -> Value {
    json!({ "status": "success", "data": data })
}

/// What the API answers where something went wrong.
pub(super) fn failure(kind: &str, error: &str) -> Value {
    json!({ "status": "error", "errorType": kind, "error": error })
}

/// `data` of `/api/v1/alerts`: those that are pending or firing, each with what its incident holds.
pub(super) fn alerts(alerts: &[(Alert, Option<f64>)]) -> Value {
    let active = alerts
        .iter()
        .filter(|(alert, _)| alert.state != AlertState::Resolved);
    let list: Vec<Value> = active
        .map(|(alert, value)| {
            json!({
                "labels": alert.labels,
                "annotations": alert.annotations,
                "state": if alert.state == AlertState::Firing { "firing" } else { "pending" },
                "activeAt": rfc3339(alert.active_at.seconds()),
                "value": scientific(value.unwrap_or(1.0)),
            })
        })
        .collect();
    json!({ "alerts": list })
}

/// `data` of `/api/v1/targets`. Of the dropped targets of a job the first thousand are listed, and all are counted.
/// Beside Prometheus' own keys, the sources: the stores that are queried.
pub(super) fn targets(targets: &[TargetView], roll: &Roll, sources: &[SourceStatus]) -> Value {
    let dropped = roll.jobs.iter().flat_map(|own| &own.dropped_targets);
    let counts = roll
        .jobs
        .iter()
        .map(|own| (own.job.to_string(), json!(own.dropped)));
    json!({
        "sources": sources.iter().map(source).collect::<Vec<Value>>(),
        "activeTargets": targets.iter().map(target).collect::<Vec<Value>>(),
        "droppedTargets": dropped.map(|own| json!({
            "discoveredLabels": own.discovered,
            "scrapePool": &*own.job,
        })).collect::<Vec<Value>>(),
        "droppedTargetCounts": counts.collect::<serde_json::Map<String, Value>>(),
    })
}

fn target(own: &TargetView) -> Value {
    let target = &own.target;
    let last = own.last.as_ref();
    let error = last.and_then(|last| last.error.as_deref());
    json!({
        "discoveredLabels": target.discovered,
        "labels": target.labels,
        "scrapePool": &*target.job,
        "scrapeUrl": &*target.url,
        "globalUrl": &*target.url,
        "lastError": error.unwrap_or(""),
        "lastWarning": last.and_then(|last| last.warning.as_deref()).unwrap_or(""),
        "lastScrape": last.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |last| rfc3339(last.at.seconds())),
        "lastScrapeDuration": last.map_or(0.0, |last| last.seconds),
        "health": match (last, error) { (None, _) => "unknown", (Some(_), None) => "up", (Some(_), Some(_)) => "down" },
        "scrapeInterval": span(target.interval),
        "scrapeTimeout": span(target.timeout),
    })
}

fn source(own: &SourceStatus) -> Value {
    let error = match &own.state {
        SourceState::Down(error) => error,
        SourceState::Starting(_) | SourceState::Up => "",
    };
    let moment = |at: Option<Timestamp>| at.map(|at| rfc3339(at.seconds()));
    json!({
        "name": &*own.name,
        "url": &*own.url,
        "health": match own.state { SourceState::Starting(_) => "unknown", SourceState::Up => "up", SourceState::Down(_) => "down" },
        "lastError": error,
        "lastSuccess": moment(own.last_success),
        "lastQuery": moment(own.last_asked),
        "lastQueryDuration": own.duration_seconds,
        "historyRead": match own.state { SourceState::Starting(share) => share, _ => 1.0 },
        "samples": own.samples,
    })
}

/// One incident; the whole of it where a view is given, with its alerts and its curve.
pub(super) fn leak(incident: &Incident, first_action: &str, url: &str) -> Value {
    let evidence = &incident.evidence;
    json!({
        "id": incident.id,
        "url": url,
        "workload": incident.workload,
        "family": incident.family,
        "signal": incident.signal,
        "resource": incident.resource,
        "upstream": incident.upstream,
        "route": incident.route,
        "cause": incident.cause,
        "site": incident.place(),
        "state": incident.state.word(),
        "living": incident.is_living(),
        "urgent": incident.urgent.as_ref().map(Urgency::sentence),
        "ticket_only": incident.ticket_only,
        "silenced": incident.silenced,
        "onset": incident.onset.seconds(),
        "convicted_at": incident.convicted_at.seconds(),
        "ended_at": incident.ended_at.map(|at| at.seconds()),
        "value": finite(evidence.value),
        "peak": finite(evidence.peak),
        "growth_per_second": interval(evidence.growth_per_second),
        "exhaustion": evidence.exhaustion.as_ref().map(exhaustion),
        "samples": evidence.samples,
        "first_action": first_action,
        "places": incident.places.iter().map(place).collect::<Vec<Value>>(),
        "witness": witness(&incident.witness),
        "instances": incident.instances.values().map(|own| json!({
            "instance": own.instance,
            "since": own.since.seconds(),
            "value": finite(own.value),
            "cleared": own.cleared.map(|end| end.word()),
        })).collect::<Vec<Value>>(),
        "signals": incident.signals.iter().map(|own| json!({
            "signal": own.signal,
            "resource": own.resource,
            "since": own.since.seconds(),
            "value": finite(own.value),
            "growth_per_second": interval(own.growth_per_second),
        })).collect::<Vec<Value>>(),
        "ruled_out": evidence.ruled_out.iter().map(|(what, how)| json!({ "what": what, "how": how })).collect::<Vec<Value>>(),
        "timeline": incident.timeline.iter().map(moment).collect::<Vec<Value>>(),
    })
}

/// One incident with its alerts, its fit and its curve.
pub(super) fn whole_leak(view: &LeakView, url: &str) -> Value {
    let mut whole = leak(&view.incident, &view.first_action, url);
    let evidence = &view.incident.evidence;
    whole["fit"] = json!({
        "start": evidence.fit_start.seconds(),
        "start_value": finite(evidence.fit_start_value),
        "slope": finite(evidence.fit_slope),
    });
    let points = view
        .incident
        .curve
        .points()
        .map(|(at, value)| json!([at.seconds(), finite(value)]));
    whole["curve"] = Value::Array(points.collect());
    let listed: Vec<(Alert, Option<f64>)> = view
        .alerts
        .iter()
        .map(|alert| (alert.clone(), Some(evidence.value)))
        .collect();
    whole["alerts"] = alerts(&listed)["alerts"].take();
    whole
}

fn place(own: &Place) -> Value {
    json!({ "site": own.site, "count": own.count, "oldest_age_seconds": own.oldest_age_seconds, "kind": own.kind })
}

fn moment(own: &Moment) -> Value {
    json!({ "at": own.at.seconds(), "what": own.what })
}

fn witness(own: &Witness) -> Value {
    match own {
        Witness::NotAsked => json!({ "state": "not_asked" }),
        Witness::Asked(times) => json!({ "state": "asked", "times": times }),
        Witness::Answered => json!({ "state": "answered" }),
        Witness::Failed(why) => json!({ "state": "failed", "error": why }),
    }
}

fn exhaustion(own: &Exhaustion) -> Value {
    json!({ "signal": own.signal, "instance": own.instance, "limit": finite(own.limit), "seconds": interval(own.seconds) })
}

fn interval(own: Interval) -> Value {
    json!({ "low": finite(own.low), "estimate": finite(own.estimate), "high": finite(own.high) })
}

/// JSON has no infinity; what has no end is not known.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// As Go's `strconv.FormatFloat(value, 'e', -1, 64)` writes it, which is what Prometheus answers: `1e+00`.
fn scientific(value: f64) -> String {
    if !value.is_finite() {
        let word = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return word.to_owned();
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent
                .strip_prefix('-')
                .map_or(('+', exponent), |digits| ('-', digits));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// A duration as Prometheus writes it: `15s`, `1m`, `1m30s`, `250ms`.
fn span(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if millis >= size {
            text.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_written_as_prometheus_writes_them() {
        for (value, expected) in [
            (1.0, "1e+00"),
            (1234.5, "1.2345e+03"),
            (0.002, "2e-03"),
            (0.0, "0e+00"),
            (f64::NAN, "NaN"),
            (1e120, "1e+120"),
        ] {
            assert_eq!(scientific(value), expected);
        }
        for (millis, expected) in [
            (15_000, "15s"),
            (90_000, "1m30s"),
            (250, "250ms"),
            (3_600_000, "1h"),
            (0, "0s"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), expected);
        }
    }
}

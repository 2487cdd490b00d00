//! What leaks in one workload now: the detectors' convictions and suspicions, and lost reuse, as sightings.

use std::collections::BTreeSet;
use std::sync::Arc;

use leak_detect::{Evidence, Fit, Interval, RuledOut, Tier, Timestamp};

use crate::diagnosis::Context;
use crate::engine::overrides::Overrides;
use crate::engine::series::Series;
use crate::engine::target::TargetState;
use crate::engine::traffic::Traffic;
use crate::incident::{Churn, Incident, Sighting, SignalKind};
use crate::labels::Labels;

/// The metric family that carries a loss of reuse, and what is lost.
pub(super) const CHURN_SIGNAL: &str = crate::catalogue::CLOSED;
pub(super) const CHURN_RESOURCE: &str = "pool_connection";

/// Everything in a workload that leaks or may begin to; `words`: whether the cases say what was ruled out, which costs
/// more than all else.
pub(super) fn of_workload(
    states: &[&TargetState],
    overrides: &Overrides,
    now: Timestamp,
    words: bool,
) -> Vec<Sighting> {
    let mut sightings = Vec::new();
    for state in states {
        let by_connections = state.exhaustion_by_connections();
        for series in state.series() {
            if !series.is_suspect() {
                continue;
            }
            let ruling = overrides.ruling(&series.overrides, now);
            if !ruling.off {
                let mut sighting = of_series(state, series, words);
                sighting.ticket_only = ruling.ticket_only;
                if sighting.resource.as_deref() == Some("pool_connection")
                    && sighting.kind.is_exact()
                    && sighting.is_convicted()
                    && let Some((signal, limit, seconds)) = &by_connections
                {
                    sighting.limit = Some((Arc::clone(signal), *limit));
                    sighting.seconds_to_exhaustion = Some(*seconds);
                }
                sightings.push(sighting);
            }
        }
        for (upstream, traffic) in state.traffic() {
            let Some(mut sighting) = of_traffic(state, upstream, traffic) else {
                continue;
            };
            let labels = churn_labels(&state.target.labels, &sighting);
            let ruling = overrides.ruling(&overrides.met_by(CHURN_SIGNAL, &labels), now);
            sighting.ticket_only = ruling.ticket_only;
            if !ruling.off {
                sightings.push(sighting);
            }
        }
    }
    sightings
}

fn of_series(state: &TargetState, series: &Series, words: bool) -> Sighting {
    let evidence = series.case(words);
    let limit = state.limit_of(series);
    let seconds = limit
        .as_ref()
        .and_then(|(_, limit)| evidence.as_ref()?.seconds_to(series.value, *limit));
    Sighting {
        target: Arc::clone(&state.key),
        instance: Arc::clone(&state.target.instance),
        signal: Arc::clone(&series.signal),
        kind: series.kind,
        resource: series.label("resource"),
        upstream: series.label("upstream"),
        route: series.label("route"),
        site: series.label("site"),
        value: series.value,
        at: series.seen_at,
        load: if words && evidence.is_some() {
            series
                .life(state.number)
                .and_then(|life| life.highest_load())
        } else {
            None
        },
        evidence,
        limit,
        seconds_to_exhaustion: seconds,
        ticket_only: false,
        churn: None,
    }
}

fn of_traffic(state: &TargetState, upstream: &Arc<str>, traffic: &Traffic) -> Option<Sighting> {
    let reuse = traffic.reuse();
    let (churn, is_lost) = reuse.lost()?;
    let at = state.last_success?;
    let (route, site) = reuse.unread_place();
    Some(Sighting {
        target: Arc::clone(&state.key),
        instance: Arc::clone(&state.target.instance),
        signal: Arc::from(CHURN_SIGNAL),
        kind: SignalKind::Churn,
        resource: Some(Arc::from(CHURN_RESOURCE)),
        upstream: Some(Arc::clone(upstream)),
        route,
        site,
        value: churn.closes,
        at,
        evidence: is_lost.then(|| churn_evidence(&churn, at, reuse.churning_since())),
        load: None,
        limit: None,
        seconds_to_exhaustion: None,
        ticket_only: false,
        churn: Some(churn),
    })
}

fn churn_evidence(churn: &Churn, at: Timestamp, since: Option<Timestamp>) -> Evidence {
    let per_second = churn.closes / churn.window_seconds;
    // The closes are a count: its standard error is its root (Poisson).
    let error = 1.96 * churn.closes.sqrt() / churn.window_seconds;
    let onset = since.unwrap_or_else(|| at.shifted(-churn.window_seconds));
    let ruled_out = [
        (
            "load",
            "what counts is the share of exchanges, not their number",
        ),
        (
            "client or peer",
            "connections that the client or the upstream closed are not counted",
        ),
    ];
    Evidence {
        tier: Tier::Level,
        onset,
        onset_uncertainty_seconds: churn.window_seconds,
        convicted_at: at,
        growth_per_second: Interval {
            low: (per_second - error).max(0.0),
            estimate: per_second,
            high: per_second + error,
        },
        fit: Fit {
            start: onset,
            start_value: 0.0,
            slope: per_second,
        },
        samples: churn.exchanges as u64,
        scale_seconds: churn.window_seconds,
        baseline: 0.0,
        excess: churn.closes,
        peak_excess: churn.closes,
        still_growing: true,
        ruled_out: ruled_out
            .map(|(what, how)| RuledOut {
                what,
                how: how.to_owned(),
            })
            .into(),
    }
}

fn churn_labels(target: &Labels, sighting: &Sighting) -> Labels {
    let own = [
        ("resource", sighting.resource.as_deref()),
        ("upstream", sighting.upstream.as_deref()),
        ("route", sighting.route.as_deref()),
        ("site", sighting.site.as_deref()),
    ];
    own.into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .fold(target.clone(), |labels, (name, value)| {
            labels.with(name, value)
        })
}

/// What else the diagnosis asks about some upstreams of a workload: those of the instances that leak connections.
pub(super) fn context(states: &[&TargetState], upstreams: &BTreeSet<String>) -> Context {
    let is_meant = |upstream: &str| upstreams.is_empty() || upstreams.contains(upstream);
    let mut context = Context::default();
    for state in states {
        let overdue: f64 = state
            .series()
            .filter(|series| {
                series.kind == SignalKind::Overdue
                    && series.labels.get("resource") == Some("pool_connection")
                    && series.labels.get("upstream").is_none_or(is_meant)
            })
            .map(Series::excess)
            .sum();
        if overdue > 0.0 {
            context.overdue_connections += overdue;
            for idle in state
                .traffic()
                .filter(|(name, _)| is_meant(name))
                .filter_map(|(_, own)| own.idle())
            {
                *context.idle_connections.get_or_insert(0.0) += idle;
            }
        }
    }
    context
}

/// Whether more is held than before: of the carrying signal; `None` where nothing of it is convicted now.
pub(super) fn is_growing(incident: &Incident, sightings: &[Sighting]) -> Option<bool> {
    sightings
        .iter()
        .filter(|own| {
            let (resource, upstream) = (own.resource.as_deref(), own.upstream.as_deref());
            incident.is_carried_by(&own.signal, resource, upstream)
        })
        .filter_map(|own| Some(own.evidence.as_ref()?.still_growing))
        .reduce(|one, other| one || other)
}

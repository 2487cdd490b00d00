//! What the targets of an incident's workload show of its leak: the looks by which its end is judged.

use std::collections::BTreeSet;
use std::sync::Arc;

use leak_detect::{Timestamp, Verdict};

use crate::catalogue::LevelSpec;
use crate::engine::series::Series;
use crate::engine::target::TargetState;
use crate::incident::{Family, Incident, Look, SignalKind};

/// One look for each target that has been scraped since the agent started.
pub(super) fn of_incident(incident: &Incident, states: &[&TargetState]) -> Vec<Look> {
    states
        .iter()
        .filter_map(|state| {
            let at = state.last_success?;
            Some(match incident.family {
                Family::Churn => of_churn(incident, state, at),
                Family::Held if incident.signals.iter().any(|own| own.kind.is_exact()) => {
                    of_held(incident, state, at)
                }
                Family::Held | Family::Process => of_level(incident, state, at),
            })
        })
        .collect()
}

fn is_carried_by(incident: &Incident, series: &Series) -> bool {
    let label = |name| series.labels.get(name);
    incident.is_carried_by(&series.signal, label("resource"), label("upstream"))
}

/// Work of the kind that leaks: entries opened, of the incident's upstreams or of none.
fn opened(incident: &Incident, resource: Option<&str>, state: &TargetState) -> Option<f64> {
    state.opened(resource, |upstream| {
        upstream.is_none_or(|own| incident.concerns_users_of(own))
    })
}

fn carried(incident: &Incident, state: &TargetState) -> Option<f64> {
    let mut values = state
        .series()
        .filter(|series| is_carried_by(incident, series))
        .map(|series| series.value)
        .peekable();
    values.peek()?;
    Some(values.sum())
}

fn look(incident: &Incident, state: &TargetState, at: Timestamp) -> Look {
    Look {
        target: Arc::clone(&state.key),
        at,
        life_began: state.life_began().unwrap_or(at),
        carrier: carried(incident, state),
        excess: 0.0,
        clear: None,
        work: None,
    }
}

/// Entries that are held past their end: there are none of what leaked, or there are. A series that the scrape did not
/// bring says nothing.
fn of_held(incident: &Incident, state: &TargetState, at: Timestamp) -> Look {
    let mut excess = 0.0;
    let mut seen: BTreeSet<(String, Option<String>)> = BTreeSet::new();
    for series in state
        .series()
        .filter(|series| series.kind.is_exact() && series.seen_at == at)
    {
        let resource = series.labels.get("resource");
        let leaked = incident
            .signals
            .iter()
            .any(|own| own.kind.is_exact() && own.resource.as_deref() == resource);
        if leaked && incident.reaches(&series.signal, resource, series.labels.get("upstream")) {
            excess += series.excess();
            seen.insert((series.signal.to_string(), resource.map(str::to_owned)));
        }
    }
    let leaked = incident
        .instances
        .get(&*state.key)
        .map(|instance| &instance.leaked);
    let is_exposed = leaked.map_or(!seen.is_empty(), |leaked| leaked.is_subset(&seen));
    // What was first convicted as a level must also be released as one.
    let carried_level = incident
        .signals
        .first()
        .is_some_and(|first| first.kind == SignalKind::Open)
        && state
            .series()
            .any(|series| is_carried_by(incident, series) && series.is_leaking());
    let resource = incident.resource.as_deref().or_else(|| {
        incident
            .signals
            .iter()
            .find(|own| own.kind.is_exact())
            .and_then(|own| own.resource.as_deref())
    });
    Look {
        excess,
        clear: (is_exposed || excess > 0.0).then_some(excess == 0.0 && !carried_level),
        work: opened(incident, resource, state),
        ..look(incident, state, at)
    }
}

/// Whether a process that began after the conviction may still leak as the convicted one did: its detector has no case
/// against it yet, but it is not surely flat.
fn may_leak_alike(incident: &Incident, state: &TargetState, series: &Series) -> bool {
    if series.is_told_flat() {
        return false;
    }
    let (Some(life), Some(settings), Some(pace)) =
        (series.life(state.number), series.settings(), &incident.pace)
    else {
        return false;
    };
    life.began > incident.convicted_at
        && life.is_flat_beside(pace.growth_per_second, pace.load_per_second, &settings)
            != Some(true)
}

/// A level: what its detector says.
fn of_level(incident: &Incident, state: &TargetState, at: Timestamp) -> Look {
    let carriers: Vec<&Series> = state
        .series()
        .filter(|series| is_carried_by(incident, series))
        .collect();
    let mut clear = None;
    let mut excess = 0.0;
    for series in &carriers {
        if series.seen_at < at {
            continue;
        }
        // Without its words, which cost more than all else.
        if let Some(case) = series.case(false) {
            clear = Some(false);
            excess += case.excess;
            continue;
        }
        match series.verdict() {
            Verdict::Healthy if may_leak_alike(incident, state, series) => {}
            Verdict::Healthy => clear = clear.or(Some(true)),
            // Too little is known, or it still grows for an innocent reason: not clear, and no new proof either.
            Verdict::Undecided(_) if clear == Some(true) => clear = None,
            Verdict::Undecided(_) | Verdict::Leaking(_) => {}
        }
    }
    let spec = carriers.iter().find_map(|series| series.spec());
    let work = match incident.family {
        Family::Held => opened(incident, incident.resource.as_deref(), state),
        _ => spec.and_then(|spec: &LevelSpec| state.load(spec)),
    };
    Look {
        excess,
        clear,
        work,
        ..look(incident, state, at)
    }
}

/// Lost reuse: whether the exchanges of the last scrape kept their connections.
fn of_churn(incident: &Incident, state: &TargetState, at: Timestamp) -> Look {
    let mut clear = None;
    let (mut closes, mut exchanges) = (0.0, None);
    for (_, traffic) in state
        .traffic()
        .filter(|(upstream, _)| incident.concerns_users_of(upstream))
    {
        let reuse = traffic.reuse();
        closes += reuse.closes_in_last_scrape();
        *exchanges.get_or_insert(0.0) += reuse.exchanges_in_this_life();
        clear = match (clear, reuse.reuse_in_last_scrape()) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), _) | (_, Some(true)) => Some(true),
            (None, None) => None,
        };
    }
    Look {
        carrier: Some(closes),
        excess: closes,
        clear,
        work: exchanges,
        ..look(incident, state, at)
    }
}

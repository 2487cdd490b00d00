//! What an alert says: to somebody who has just been woken and knows this service from its name.
//!
//! First what is wrong and how much, then since when, how fast, when it runs out, what it looks like and where, what
//! else it could have been, and what to do. Figures have units and bounds; growth is by the hour. Every value from a
//! target stands in annotations only, which identify nothing.

use std::fmt::Write as _;

use leak_detect::{Interval, Timestamp};

use crate::alert::AlertName;
use crate::diagnosis::Cause;
use crate::incident::{End, Incident, SignalKind};
use crate::labels::Labels;
use crate::quantity::{self, Unit};

/// Instances named in an alert; the rest are counted.
const INSTANCES_NAMED: usize = 10;

/// Explanations that were ruled out, named in an alert.
const RULED_OUT_NAMED: usize = 4;

/// The annotations of one alert of an incident, but for its links.
pub fn annotations(
    incident: &Incident,
    name: AlertName,
    first_action: String,
    now: Timestamp,
) -> Labels {
    [
        ("summary", summary(incident, name)),
        ("description", description(incident, name, now)),
        ("cause", incident.cause.word().to_owned()),
        ("site", incident.place().unwrap_or_default().to_owned()),
        ("first_action", first_action),
        ("instances", instances(incident)),
    ]
    .into_iter()
    .collect()
}

/// One line: who, what, how much.
fn summary(incident: &Incident, name: AlertName) -> String {
    let what = format!(
        "{}: {}",
        workload_words(&incident.workload),
        what_is_wrong(incident)
    );
    match &incident.urgent {
        Some(urgency) if name.is_page() => format!("{what}; {}", urgency.sentence()),
        _ => what,
    }
}

fn what_is_wrong(incident: &Incident) -> String {
    let value = incident.evidence.value;
    let kind = incident
        .signals
        .first()
        .map_or(SignalKind::OtherLevel, |_| carrier_kind(incident));
    let amount = quantity::count(value);
    let things = things(incident.resource.as_deref(), value);
    let towards = incident
        .upstream
        .as_ref()
        .map(|upstream| format!(" towards {upstream}"))
        .unwrap_or_default();
    match kind {
        SignalKind::Orphaned => {
            format!("{amount} {things}{towards} live on after their request has ended")
        }
        SignalKind::Overdue => format!("{amount} {things}{towards} are past their deadline"),
        SignalKind::Open => {
            format!("{amount} {things}{towards} are open, and more are opened than closed")
        }
        SignalKind::Churn => format!(
            "connections{} are closed instead of reused",
            incident
                .upstream
                .as_ref()
                .map(|upstream| format!(" to {upstream}"))
                .unwrap_or_default()
        ),
        SignalKind::Descriptors
        | SignalKind::Threads
        | SignalKind::Memory
        | SignalKind::OtherLevel => format!(
            "{} grows without bound, {} now",
            incident.signal,
            Unit::of_metric(&incident.signal).text(value)
        ),
    }
}

fn carrier_kind(incident: &Incident) -> SignalKind {
    incident
        .signals
        .iter()
        .find(|own| own.signal == incident.signal)
        .map_or(SignalKind::OtherLevel, |own| own.kind)
}

fn things(resource: Option<&str>, count: f64) -> String {
    let (one, many) = match resource {
        Some("fan_out_task") => ("fan-out task", "fan-out tasks"),
        Some("response_body") => ("response body", "response bodies"),
        Some("pool_connection") => ("pool connection", "pool connections"),
        Some("request") => ("request", "requests"),
        Some(other) => return format!("entries of {other}"),
        None => ("entry", "entries"),
    };
    if count == 1.0 { one } else { many }.to_owned()
}

/// The workload's name: its job, with the namespace and service that it names; else all its labels.
fn workload_words(workload: &Labels) -> String {
    let parts: Vec<&str> = ["namespace", "job"]
        .iter()
        .filter_map(|name| workload.get(name))
        .collect();
    if parts.is_empty() {
        workload.to_string()
    } else {
        parts.join("/")
    }
}

fn description(incident: &Incident, name: AlertName, now: Timestamp) -> String {
    let mut text = String::new();
    if let Some(urgency) = incident.urgent.as_ref().filter(|_| name.is_page()) {
        let _ = write!(text, "Why now: {}. ", urgency.sentence());
    }
    let _ = write!(
        text,
        "Since {} ({} ago). {}",
        quantity::moment(incident.onset.seconds()),
        quantity::duration((now - incident.onset).max(0.0)),
        how_much(incident)
    );
    if incident.urgent.is_none() || !name.is_page() {
        text.push_str(&runs_out(incident));
    }
    let _ = write!(
        text,
        " It looks like {}: {}",
        incident.cause.word(),
        cause_sentence(incident.cause)
    );
    text.push_str(&where_it_is(incident));
    if incident.signals.len() > 1 {
        let others: Vec<String> = incident
            .signals
            .iter()
            .filter(|own| own.signal != incident.signal || own.resource != incident.resource)
            .map(|own| match &own.resource {
                Some(resource) => format!("{} of {resource}", own.signal),
                None => own.signal.clone(),
            })
            .collect();
        if !others.is_empty() {
            let _ = write!(text, " Leaking with it: {}.", others.join(", "));
        }
    }
    text.push_str(&ruled_out(incident));
    text
}

fn how_much(incident: &Incident) -> String {
    let unit = Unit::of_metric(
        incident
            .signal
            .strip_suffix("_total")
            .unwrap_or(&incident.signal),
    );
    let case = &incident.evidence;
    let leaking = incident
        .instances
        .values()
        .filter(|instance| instance.cleared.is_none())
        .count();
    let of = if leaking == 1 {
        "one instance".to_owned()
    } else {
        format!("{leaking} instances")
    };
    let bounds = |growth: Interval| {
        format!(
            "{} (between {} and {})",
            unit.growth(growth.estimate),
            unit.growth(growth.low),
            unit.growth(growth.high)
        )
    };
    if carrier_kind(incident) == SignalKind::Churn {
        return format!(
            "{} connections were closed in {} in {of}, {}.",
            quantity::count(case.peak.max(case.value)),
            quantity::duration(case.scale_seconds),
            bounds(case.growth_per_second)
        );
    }
    let pace = if incident.state == crate::incident::State::Stalled {
        "held, not growing at present".to_owned()
    } else {
        format!(
            "growing by {}",
            bounds(case.growth_per_second).trim_start_matches('+')
        )
    };
    format!("Now {} in {of}, {pace}.", unit.text(case.value))
}

fn runs_out(incident: &Incident) -> String {
    let Some(exhaustion) = &incident.evidence.exhaustion else {
        return String::new();
    };
    let limit = Unit::of_metric(&exhaustion.signal).text(exhaustion.limit);
    let seconds = exhaustion.seconds;
    if seconds.estimate <= 0.0 {
        return format!(
            " {} of {} is at its limit of {limit}.",
            exhaustion.signal, exhaustion.instance
        );
    }
    let latest = if seconds.high.is_finite() {
        format!(
            "between {} and {}",
            quantity::duration(seconds.low),
            quantity::duration(seconds.high)
        )
    } else {
        format!("{} at the earliest", quantity::duration(seconds.low))
    };
    format!(
        " At this pace {} of {} reaches its limit of {limit} in {} ({latest}).",
        exhaustion.signal,
        exhaustion.instance,
        quantity::duration(seconds.estimate)
    )
}

fn cause_sentence(cause: Cause) -> &'static str {
    match cause {
        Cause::TimeoutWithoutCancellation => {
            "the answer goes out at the deadline, but the tasks behind it are not cancelled and live on with all they hold."
        }
        Cause::FanOutWithoutDeadline => {
            "requests wait for every call of their fan-out, one does not come back, and no deadline ends the wait."
        }
        Cause::UnclosedBodies => {
            "responses are kept whose bodies are neither read nor dropped; each of them pins its connection."
        }
        Cause::IdleConnectionsUnbounded => {
            "idle connections outlive their limit, as with a new client for each request or a pool that limits nothing."
        }
        Cause::UndrainedBodies => {
            "response bodies are dropped before their end and their connections with them, so that every exchange pays for a new one."
        }
        Cause::IdlePoolTooSmall => {
            "more connections come back than the pool may keep, so that they are closed and opened again all the time."
        }
        Cause::Unknown => "something grows, and nothing that is counted says why.",
    }
}

fn where_it_is(incident: &Incident) -> String {
    let Some(place) = incident.places.first() else {
        return incident
            .site
            .as_ref()
            .map(|site| format!(" Where: {site}."))
            .unwrap_or_default();
    };
    let age = place
        .oldest_age_seconds
        .map(|seconds| format!(", the oldest for {}", quantity::duration(seconds)))
        .unwrap_or_default();
    let others = match incident.places.len() - 1 {
        0 => String::new(),
        1 => "; one more place in the evidence".to_owned(),
        more => format!("; {more} more places in the evidence"),
    };
    format!(
        " Where: {} ({} of them{age}{others}).",
        place.site,
        quantity::count(place.count as f64)
    )
}

fn ruled_out(incident: &Incident) -> String {
    let named: Vec<String> = incident
        .evidence
        .ruled_out
        .iter()
        .take(RULED_OUT_NAMED)
        .map(|(what, how)| format!("{what} ({how})"))
        .collect();
    if named.is_empty() {
        String::new()
    } else {
        format!(" Ruled out: {}.", named.join("; "))
    }
}

/// What to do first: what stops the bleeding, then what repairs it. `of_signal`: what the catalogue says of the signal.
pub fn first_action(incident: &Incident, of_signal: &str) -> String {
    let upstream = incident.upstream.as_deref().unwrap_or("the slow upstream");
    let place = incident
        .place()
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    let stop = match worst(incident) {
        Some(worst) => format!("Restart the leaking instances one at a time, {worst} first: that buys time and keeps this incident open."),
        None => "Restart the leaking instances one at a time: that buys time and keeps this incident open.".to_owned(),
    };
    match incident.cause {
        Cause::TimeoutWithoutCancellation => format!(
            "{stop} If {upstream} hangs, take it out of the route. Repair{place}: cancel the tasks when their request ends (a task set that aborts when dropped), instead of leaving them behind a timeout."
        ),
        Cause::FanOutWithoutDeadline => format!(
            "Take {upstream} out of the route or repair it: every request that calls it is held. Repair{place}: one deadline over the whole fan-out, passed on to each call."
        ),
        Cause::UnclosedBodies => format!(
            "{stop} Repair{place}: read each response body to its end or drop it, on every path, the error paths first."
        ),
        Cause::IdleConnectionsUnbounded => format!(
            "{stop} Repair{place}: one client for the whole process, with a limit and a time for idle connections."
        ),
        Cause::UndrainedBodies => format!(
            "Nothing runs out tonight; look for ports in TIME_WAIT and the upstream's accept rate. Repair{place}: read response bodies to their end, also of error answers, or ask the upstream for less."
        ),
        Cause::IdlePoolTooSmall => {
            "Raise the pool's idle limit to the number of connections that come back at the same time.".to_owned()
        }
        Cause::Unknown => format!("{of_signal} {stop}").trim().to_owned(),
    }
}

fn worst(incident: &Incident) -> Option<&str> {
    incident
        .instances
        .values()
        .filter(|instance| instance.cleared.is_none())
        .max_by(|a, b| a.value.total_cmp(&b.value))
        .map(|instance| &*instance.instance)
}

/// The leaking instances with what they hold, the worst first.
fn instances(incident: &Incident) -> String {
    let unit = Unit::of_metric(&incident.signal);
    let mut all: Vec<_> = incident.instances.values().collect();
    all.sort_by(|a, b| {
        b.value
            .total_cmp(&a.value)
            .then_with(|| a.instance.cmp(&b.instance))
    });
    let mut text = all
        .iter()
        .take(INSTANCES_NAMED)
        .map(|instance| match instance.cleared {
            Some(End::Released) => format!("{} (released)", instance.instance),
            Some(End::Replaced | End::Gone) => format!("{} (replaced)", instance.instance),
            None => format!("{} ({})", instance.instance, unit.text(instance.value)),
        })
        .collect::<Vec<_>>()
        .join(", ");
    if all.len() > INSTANCES_NAMED {
        let _ = write!(text, " and {} more", all.len() - INSTANCES_NAMED);
    }
    text
}

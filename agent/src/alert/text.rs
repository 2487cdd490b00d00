//! What an alert says: to somebody who has just been woken and knows this service from its name.
//!
//! First what is wrong and how much, then since when, how fast, when it runs out, what it looks like and where, what
//! else it could have been, and what to do. Figures have units and bounds; growth is by the hour. Every value from a
//! target stands in annotations only, which identify nothing.

use std::fmt::Write as _;

use leak_detect::{Interval, Tier, Timestamp};

use crate::alert::AlertName;
use crate::diagnosis::Cause;
use crate::incident::{End, Incident, SignalKind, State};
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
pub(crate) fn summary(incident: &Incident, name: AlertName) -> String {
    let what = format!(
        "{}: {}",
        workload_words(&incident.workload),
        what_is_wrong(incident)
    );
    match &incident.urgent {
        Some(urgency) if name.is_page() => format!("{what}; {}", urgency.words()),
        _ => what,
    }
}

fn what_is_wrong(incident: &Incident) -> String {
    let value = incident.evidence.value;
    let is_one = value == 1.0;
    let amount = quantity::count(value);
    let things = things(incident.resource.as_deref(), is_one);
    let towards = |word: &str| {
        incident
            .upstream
            .as_ref()
            .map(|upstream| format!(" {word} {upstream}"))
            .unwrap_or_default()
    };
    match carrier_kind(incident) {
        SignalKind::Orphaned => {
            let live_on = if is_one {
                "lives on after its request has ended"
            } else {
                "live on after their requests have ended"
            };
            format!("{amount} {things}{} {live_on}", towards("towards"))
        }
        SignalKind::Overdue => {
            let are_past = if is_one {
                "is past its deadline"
            } else {
                "are past their deadlines"
            };
            format!("{amount} {things}{} {are_past}", towards("towards"))
        }
        SignalKind::Open => format!(
            "{amount} {things}{} are open, and more are opened than closed",
            towards("towards")
        ),
        SignalKind::Churn => format!("connections{} are closed instead of reused", towards("to")),
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

/// What kind of signal carries the incident.
pub(crate) fn carrier_kind(incident: &Incident) -> SignalKind {
    incident
        .signals
        .iter()
        .find(|own| own.signal == incident.signal)
        .map_or(SignalKind::OtherLevel, |own| own.kind)
}

fn things(resource: Option<&str>, is_one: bool) -> String {
    let (one, many) = match resource {
        Some("fan_out_task") => ("fan-out task", "fan-out tasks"),
        Some("response_body") => ("response body", "response bodies"),
        Some("pool_connection") => ("pool connection", "pool connections"),
        Some("request") => ("request", "requests"),
        Some(other) if is_one => return format!("entry of {other}"),
        Some(other) => return format!("entries of {other}"),
        None => ("entry", "entries"),
    };
    if is_one { one } else { many }.to_owned()
}

/// The workload's name: its job, with the namespace that it names; else all its labels.
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

/// One fact a line, the most pressing first.
fn description(incident: &Incident, name: AlertName, now: Timestamp) -> String {
    let urgency = incident.urgent.as_ref().filter(|_| name.is_page());
    let lines = [
        urgency.map(|urgency| format!("Why now: {}.", urgency.sentence())),
        Some(how_much(incident)),
        Some(format!(
            "Since {}, {} ago.",
            quantity::moment(incident.onset.seconds()),
            quantity::duration((now - incident.onset).max(0.0)),
        )),
        runs_out(incident),
        Some(format!(
            "Looks like {}: {}",
            incident.cause,
            cause_sentence(incident.cause)
        )),
        where_it_is(incident),
        leaks_too(incident),
        ruled_out(incident),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn how_much(incident: &Incident) -> String {
    let case = &incident.evidence;
    let leaking = incident
        .instances
        .values()
        .filter(|instance| instance.cleared.is_none())
        .count();
    let of = match leaking {
        1 => "one instance".to_owned(),
        many => format!("{many} instances"),
    };
    if carrier_kind(incident) == SignalKind::Churn {
        return format!(
            "In {}, {} of {} exchanges lost their connection in {of}: {}.",
            quantity::duration(case.scale_seconds),
            quantity::count((case.growth_per_second.estimate * case.scale_seconds).round()),
            quantity::count(case.samples as f64),
            pace(Unit::Count, case.growth_per_second)
        );
    }
    let unit = Unit::of_metric(&incident.signal);
    let growth = match incident.state {
        State::Stalled => "held, not growing at present".to_owned(),
        _ => format!("growing by {}", pace(unit, case.growth_per_second)),
    };
    format!("{} in {of}, {growth}.", unit.text(case.value))
}

/// A growth by the hour with its bounds.
fn pace(unit: Unit, per_second: Interval) -> String {
    let hourly = |per_second: f64| unit.text(three_figures(per_second * 3600.0));
    if per_second.estimate <= 0.0 {
        return format!("at most {} an hour", hourly(per_second.high.max(0.0)));
    }
    format!(
        "{} an hour ({} to {})",
        hourly(per_second.estimate),
        hourly(per_second.low.max(0.0)),
        hourly(per_second.high)
    )
}

/// More figures than three say what nobody knows.
fn three_figures(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powf(value.abs().log10().floor() - 2.0);
    (value / scale).round() * scale
}

fn runs_out(incident: &Incident) -> Option<String> {
    let exhaustion = incident.evidence.exhaustion.as_ref()?;
    let limit = Unit::of_metric(&exhaustion.signal).text(exhaustion.limit);
    let seconds = exhaustion.seconds;
    let what = format!("{} of {}", exhaustion.signal, exhaustion.instance);
    if seconds.estimate <= 0.0 {
        return Some(format!("{what} is at its limit of {limit}."));
    }
    let bounds = if seconds.high.is_finite() {
        format!(
            "between {} and {}",
            quantity::duration(seconds.low),
            quantity::duration(seconds.high)
        )
    } else {
        format!("{} at the earliest", quantity::duration(seconds.low))
    };
    Some(format!(
        "At this pace {what} reaches its limit of {limit} in {} ({bounds}).",
        quantity::duration(seconds.estimate)
    ))
}

pub(crate) fn cause_sentence(cause: Cause) -> &'static str {
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

fn where_it_is(incident: &Incident) -> Option<String> {
    let Some(place) = incident.places.first() else {
        return incident.site.as_ref().map(|site| format!("Where: {site}."));
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
    Some(format!(
        "Where: {} ({} of them{age}{others}).",
        place.site,
        quantity::count(place.count as f64)
    ))
}

fn leaks_too(incident: &Incident) -> Option<String> {
    let others: Vec<String> = incident
        .signals
        .iter()
        .filter(|own| own.signal != incident.signal || own.resource != incident.resource)
        .map(|own| match &own.resource {
            Some(resource) => format!("{} of {resource}", own.signal),
            None => own.signal.clone(),
        })
        .collect();
    (!others.is_empty()).then(|| format!("Held by it, or with it: {}.", others.join(", ")))
}

fn ruled_out(incident: &Incident) -> Option<String> {
    let case = &incident.evidence;
    if case.ruled_out.is_empty() {
        return None;
    }
    if case.tier == Tier::Exact {
        let names: Vec<&str> = case.ruled_out.iter().map(|(what, _)| &**what).collect();
        return Some(format!(
            "Ruled out: {}. In a correct program this is zero at every scrape.",
            names.join(", ")
        ));
    }
    let named: Vec<String> = case
        .ruled_out
        .iter()
        .take(RULED_OUT_NAMED)
        .map(|(what, how)| format!("{what} ({how})"))
        .collect();
    Some(format!("Ruled out: {}.", named.join("; ")))
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
            // What a loss of reuse closes is a pace and nothing that is held.
            None if carrier_kind(incident) == SignalKind::Churn => instance.instance.clone(),
            None => format!("{} ({})", instance.instance, unit.text(instance.value)),
        })
        .collect::<Vec<_>>()
        .join(", ");
    if all.len() > INSTANCES_NAMED {
        let _ = write!(text, " and {} more", all.len() - INSTANCES_NAMED);
    }
    text
}

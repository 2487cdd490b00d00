//! What the words of the contract mean, for a person: causes, ends, signals.

use crate::alert::{AlertName, text};
use crate::diagnosis::Cause;
use crate::incident::{End, Incident, SignalKind, State, Witness};

/// What it looks like, as a sentence.
pub(crate) fn cause(cause: Cause) -> String {
    format!("It looks like this: {}", text::cause_sentence(cause))
}

/// What is wrong, as a sentence without a full stop: with figures while it lives, without them afterwards.
pub(super) fn headline(incident: &Incident) -> String {
    if incident.is_living() {
        text::summary(incident, AlertName::ResourceLeak)
    } else {
        subject(incident)
    }
}

/// What leaks where, in a few words: `gateway: fan-out tasks towards social on /home/{id}`.
pub(crate) fn subject(incident: &Incident) -> String {
    let things = signal(
        text::carrier_kind(incident),
        &incident.signal,
        incident.resource.as_deref(),
    );
    let things = things
        .split_once(',')
        .map_or(&*things, |(things, _)| things);
    let upstream = incident
        .upstream
        .as_ref()
        .map(|upstream| format!(" towards {upstream}"))
        .unwrap_or_default();
    let route = incident
        .route
        .as_ref()
        .map(|route| format!(" on {route}"))
        .unwrap_or_default();
    format!("{}: {things}{upstream}{route}", workload(incident))
}

/// Whether the signal is a level, and not a rate of closing: only a level has a growth and a future.
pub(crate) fn is_level(incident: &Incident) -> bool {
    text::carrier_kind(incident) != SignalKind::Churn
}

/// Where an incident stands, as a sentence without a full stop.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Growing => "growing",
        State::Stalled => "held, not growing",
        State::Ended(End::Released) => "released: what was held is gone",
        State::Ended(End::Replaced) => "replaced: the successors carry the load and stay flat",
        State::Ended(End::Gone) => "gone: no target of the workload has been listed for two hours",
    }
}

/// A ledger's resource in the plural, for people; a service's own word stays as it is.
pub(super) fn resource(word: &str) -> &str {
    match word {
        "fan_out_task" => "fan-out tasks",
        "response_body" => "response bodies",
        "pool_connection" => "pool connections",
        "request" => "requests",
        own => own,
    }
}

/// What is counted at a place.
pub(super) fn place_kind(kind: &str) -> &str {
    match kind {
        "task" => "live tasks of any kind",
        "closed" => "dropped unread since the start",
        word => resource(word),
    }
}

/// What a signal counts, for people: `fan-out tasks, orphaned`.
pub(super) fn signal(kind: SignalKind, signal: &str, of: Option<&str>) -> String {
    let things = match of {
        Some(own) => resource(own),
        None => match kind {
            SignalKind::Orphaned | SignalKind::Overdue | SignalKind::Open => {
                "entries of several resources"
            }
            SignalKind::Churn => "connections",
            SignalKind::Descriptors => "file descriptors",
            SignalKind::Threads => "threads or goroutines",
            SignalKind::Memory => "memory",
            SignalKind::OtherLevel => signal,
        },
    };
    let how = match kind {
        SignalKind::Orphaned => ", orphaned: open after their request has ended",
        SignalKind::Overdue => ", overdue: open after their own deadline",
        SignalKind::Churn => ", opened and closed instead of reused",
        SignalKind::Open => ", open",
        SignalKind::Descriptors
        | SignalKind::Threads
        | SignalKind::Memory
        | SignalKind::OtherLevel => "",
    };
    format!("{things}{how}")
}

/// The workload's labels on one line: `job gateway, namespace shop`, the job alone where there is no more.
pub(super) fn workload(incident: &Incident) -> String {
    let job = incident.workload.get("job");
    let others: Vec<String> = incident
        .workload
        .iter()
        .filter(|(name, _)| *name != "job")
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    match (job, others.as_slice()) {
        (Some(job), []) => job.to_owned(),
        (Some(job), others) => format!("{job} ({})", others.join(", ")),
        (None, others) => others.join(", "),
    }
}

/// What became of asking the target.
pub(super) fn witness(witness: &Witness) -> String {
    match witness {
        Witness::NotAsked => {
            "No target of this incident opts in to be asked (evidence: [ledger, tasks] of its job)."
                .to_owned()
        }
        Witness::Asked(_) => {
            "A leaking instance has been asked and has not answered yet.".to_owned()
        }
        Witness::Answered => "As a leaking instance said when it was asked.".to_owned(),
        Witness::Failed(why) => format!("A leaking instance was asked and could not tell: {why}."),
    }
}

/// The name of an innocent explanation, for people: `cache_filling` is `cache filling`.
pub(super) fn explanation(what: &str) -> String {
    what.replace('_', " ")
}

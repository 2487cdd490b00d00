//! Incidents: one leak, from its conviction to its end, however often the processes that hold it are restarted.
//!
//! An incident is keyed by its workload, its family and its upstream; what identifies it to people and to Alertmanager
//! (`signal`, `resource`, `upstream`, `route`) is frozen at its conviction, all else may be learned later. Detectors
//! say what leaks; this module says what is one leak, what only follows from it, and when it is over. It refuses to end
//! anything for want of data: a failed scrape, a gap, a restart of the agent or a quiet night say nothing about a leak.

mod book;
mod carrier;
mod curve;
mod ending;
mod sighting;
pub(crate) mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use leak_detect::{Interval, Tier, Timestamp};
use serde::{Deserialize, Serialize};

pub use book::{Book, BookSettings, Change, KEPT_AFTER_END, RETURNS_WITHIN, Refused};
pub use carrier::Rank;
pub use curve::Curve;
pub(crate) use ending::START_TIME_JITTER_SECONDS;
pub use ending::{Instance, Listed, Look};
pub use sighting::{Churn, Sighting, SignalKind};

use crate::diagnosis::Cause;
use crate::impact::Urgency;
use crate::labels::Labels;

/// Names one incident; letters, digits and hyphens only, so that it can stand in a URL. Never used again for another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct IncidentId(Arc<str>);

impl IncidentId {
    /// From a workload, what leaks in it and since when it is known: 16 hexadecimal digits (FNV-1a, 64 bits).
    pub(crate) fn new(workload: &Labels, family: Family, leaking: &Labels, at: Timestamp) -> Self {
        let text = format!("{workload}{}{leaking}{}", family.word(), at.millis());
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(Arc::from(format!("{hash:016x}")))
    }

    /// The id as it was given by somebody, say in a URL: it may name no incident.
    pub fn parse(text: &str) -> Option<Self> {
        let plausible = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plausible.then(|| Self(Arc::from(text)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for IncidentId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<IncidentId> for String {
    fn from(id: IncidentId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// Kinds of leak that are told apart within one workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Entries of a ledger that are held: tasks, bodies, connections.
    Held,
    /// Connections that are opened and closed instead of being reused; nothing grows.
    Churn,
    /// Levels of a whole process: descriptors, threads, memory.
    Process,
}

impl Family {
    /// The family's name, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Churn => "churn",
            Self::Process => "process",
        }
    }
}

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// More is held than ever.
    Growing,
    /// Held, not growing.
    Stalled,
    /// Over, and how.
    Ended(End),
}

impl State {
    /// The value of the label `state`: `growing`, `stalled` or how it ended.
    pub fn word(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::Stalled => "stalled",
            Self::Ended(end) => end.word(),
        }
    }
}

/// How an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The process that held it let go of it.
    Released,
    /// The process is gone, and its successors carried as much load as convicted it and stayed flat.
    Replaced,
    /// For two hours no target of the workload has been listed.
    Gone,
}

impl End {
    /// The end's name, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Replaced => "replaced",
            Self::Gone => "gone",
        }
    }
}

/// One leak. Times are the agent's; values are in the unit of `signal`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// Labels of the workload that leaks.
    pub workload: Labels,
    /// What kind of leak it is.
    pub family: Family,
    /// The metric family that carries it, frozen at conviction.
    pub signal: String,
    /// What leaks, frozen at conviction; `None` where several resources leak alike or the signal has none.
    pub resource: Option<String>,
    /// Towards which upstream, frozen at conviction; `None` where several are concerned, or none.
    pub upstream: Option<String>,
    /// On which route, frozen at conviction; `None` where several are concerned, or none.
    pub route: Option<String>,
    /// The site label of what leaks, as far as it is one; the witness's line, where there is one, is in `places`.
    pub site: Option<String>,
    /// What it looks like.
    pub cause: Cause,
    /// Where it stands.
    pub state: State,
    /// When the leak began, as well as can be told.
    #[serde(with = "stored::time")]
    pub onset: Timestamp,
    /// When it was convicted; of a leak that came back, for the first time.
    #[serde(with = "stored::time")]
    pub convicted_at: Timestamp,
    /// When it began to hold for the alert: the conviction, or the last time it came back.
    #[serde(with = "stored::time")]
    pub active_since: Timestamp,
    /// When it ended.
    #[serde(with = "stored::time_or_none")]
    pub ended_at: Option<Timestamp>,
    /// The leaking instances, by the labels of their targets in exposition syntax.
    pub instances: BTreeMap<String, Instance>,
    /// The case against the carrying signal.
    pub evidence: Findings,
    /// Everything that has leaked in this incident, the carrier among it, in the order of what explains what.
    pub signals: Vec<LeakingSignal>,
    /// Where it leaks, as a leaking instance told when asked; those that hold most first.
    pub places: Vec<Place>,
    /// Whether somebody was asked for places: how often, and with what result.
    pub witness: Witness,
    /// Why it cannot wait until the morning.
    pub urgent: Option<Urgency>,
    /// Whether an override keeps it from paging.
    pub ticket_only: bool,
    /// Whether an override keeps it from alerting at all.
    pub silenced: bool,
    /// What happened to it, in order; bounded.
    pub timeline: Vec<Moment>,
    /// What the carrying signal held over time, all leaking instances together; bounded.
    pub curve: Curve,
    /// The upstreams it covers; empty for the whole workload.
    pub(crate) upstreams: BTreeSet<String>,
    /// How fast one instance leaked when it was convicted as a level.
    #[serde(default)]
    pub(crate) pace: Option<Pace>,
    /// How often it came back after it had ended.
    pub(crate) returns: u32,
    /// Share of upstream calls refused or timed out before the onset, once that is known; 0 to 1.
    pub(crate) failing_share_before: Option<f64>,
    /// When its witness was asked last. Not stored: a restarted agent asks again.
    #[serde(skip)]
    pub(crate) witness_asked_at: Option<Timestamp>,
    /// Since when no target of its workload has been listed.
    #[serde(with = "stored::time_or_none")]
    pub(crate) unlisted_since: Option<Timestamp>,
    /// Whether it is over, as far as its targets show, and only another agent objects to its end.
    #[serde(skip)]
    pub(crate) over: bool,
}

/// How fast a level of one instance grew when it was convicted: what successors are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// In the unit of the carrying signal.
    pub(crate) growth_per_second: f64,
    /// The highest load under which it was measured, where that is known.
    pub(crate) load_per_second: Option<f64>,
}

/// One metric family (of one resource) that leaks in an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeakingSignal {
    /// The metric family.
    pub signal: String,
    /// The ledger's resource, where it is one.
    pub resource: Option<String>,
    /// What kind of signal it is.
    pub kind: SignalKind,
    /// When it was seen leaking first.
    #[serde(with = "stored::time")]
    pub since: Timestamp,
    /// What it holds now, all leaking instances together, in its unit.
    pub value: f64,
    /// Its growth per second, all leaking instances together.
    #[serde(with = "stored::interval")]
    pub growth_per_second: Interval,
}

/// The case against a signal: the detectors' evidence, summed over the leaking series and fit for storing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Which of the detector's tiers convicted.
    #[serde(with = "stored::tier")]
    pub tier: Tier,
    /// What is held now, all leaking instances together, in the signal's unit.
    pub value: f64,
    /// The most that was held.
    pub peak: f64,
    /// Growth per second, all leaking instances together.
    #[serde(with = "stored::interval")]
    pub growth_per_second: Interval,
    /// Where the line to draw begins.
    #[serde(with = "stored::time")]
    pub fit_start: Timestamp,
    /// The line's value there.
    pub fit_start_value: f64,
    /// The line's slope per second.
    pub fit_slope: f64,
    /// Samples the conviction rests on, all leaking instances together.
    pub samples: u64,
    /// Length of the window that convicted, in seconds.
    pub scale_seconds: f64,
    /// What else it could have been, and why it is not: explanation and reason.
    pub ruled_out: Vec<(String, String)>,
    /// When it runs out, where a limit is known.
    pub exhaustion: Option<Exhaustion>,
}

/// When a leaking signal runs out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exhaustion {
    /// What runs out, such as `process_open_fds`.
    pub signal: String,
    /// The instance that runs out first.
    pub instance: String,
    /// Its limit, in the signal's unit.
    pub limit: f64,
    /// Seconds from the last evaluation, with bounds; the upper one may be infinite.
    #[serde(with = "stored::interval")]
    pub seconds: Interval,
}

/// A place in the source that holds what leaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// `crate/src/file.rs:LINE`.
    pub site: String,
    /// How many it holds, or has closed where nothing is held.
    pub count: u64,
    /// Age of its oldest, where it is known.
    pub oldest_age_seconds: Option<f64>,
    /// What is counted: a resource, `task`, or `closed`.
    pub kind: String,
}

/// Whether a leaking instance has been asked where it leaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// No target of the incident opts in, or nobody was asked yet.
    #[default]
    NotAsked,
    /// Asked that often, without an answer so far.
    Asked(u32),
    /// It answered.
    Answered,
    /// It was asked as often as is decent; why the last answer was none.
    Failed(String),
}

/// Something that happened to an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    #[serde(with = "stored::time")]
    pub at: Timestamp,
    /// What, as a sentence without a full stop.
    pub what: String,
}

/// The most moments that an incident keeps; the first half of them is never given up.
const TIMELINE_LIMIT: usize = 64;

impl Incident {
    /// Whether it has not ended.
    pub fn is_living(&self) -> bool {
        !matches!(self.state, State::Ended(_))
    }

    /// Whether it may end or change by the passing of time alone.
    pub(crate) fn awaits_time(&self) -> bool {
        let is_unlisted = || self.instances.values().any(Instance::is_unlisted);
        self.is_living() && (self.over || self.unlisted_since.is_some() || is_unlisted())
    }

    /// `signal`, `resource`, `upstream` and `route`, as far as they are one.
    pub fn identity(&self) -> Labels {
        [
            ("signal", Some(&self.signal)),
            ("resource", self.resource.as_ref()),
            ("upstream", self.upstream.as_ref()),
            ("route", self.route.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.as_str())))
        .collect()
    }

    /// Where it leaks: the witness's first place, else the site label.
    pub fn place(&self) -> Option<&str> {
        self.places
            .first()
            .map(|place| &*place.site)
            .or(self.site.as_deref())
    }

    /// Writes down what happened.
    pub(crate) fn note(&mut self, at: Timestamp, what: impl Into<String>) {
        if self.timeline.len() >= TIMELINE_LIMIT {
            self.timeline.remove(TIMELINE_LIMIT / 2);
        }
        self.timeline.push(Moment {
            at,
            what: what.into(),
        });
    }

    /// Whether this signal of this resource has leaked in the incident.
    pub(crate) fn has_signal(&self, signal: &str, resource: Option<&str>) -> bool {
        self.signals
            .iter()
            .any(|own| own.signal == signal && own.resource.as_deref() == resource)
    }

    /// Whether a series of a signal belongs to this incident, by its upstream. What names none belongs to an incident
    /// of none, and to one of upstreams only where it has leaked in it from the first.
    pub(crate) fn reaches(
        &self,
        signal: &str,
        resource: Option<&str>,
        upstream: Option<&str>,
    ) -> bool {
        match upstream {
            Some(upstream) if self.family != Family::Process => self.upstreams.contains(upstream),
            _ => self.upstreams.is_empty() || self.has_signal(signal, resource),
        }
    }

    /// Whether a series is of the carrying signal.
    pub(crate) fn is_carried_by(
        &self,
        signal: &str,
        resource: Option<&str>,
        upstream: Option<&str>,
    ) -> bool {
        let is_resource = match &self.resource {
            Some(own) => resource == Some(own),
            None => self.has_signal(signal, resource),
        };
        self.signal == signal && is_resource && self.reaches(signal, resource, upstream)
    }

    /// Whether both are about the same leak, as far as two agents can tell that have convicted it each by itself.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.workload == other.workload
            && self.family == other.family
            && (self.upstreams.is_empty()
                || other.upstreams.is_empty()
                || !self.upstreams.is_disjoint(&other.upstreams))
    }

    /// Whether users of this upstream are users of what leaks.
    pub(crate) fn concerns_users_of(&self, upstream: &str) -> bool {
        self.upstreams.is_empty() || self.upstreams.contains(upstream)
    }
}

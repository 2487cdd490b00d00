//! What an incident is made of: one leaking series of one target, as the detectors see it now.

use std::sync::Arc;

use leak_detect::{Evidence, Interval, Timestamp};
use serde::{Deserialize, Serialize};

use crate::incident::Family;

/// What kind of signal a series is, as far as incidents care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// Entries of a ledger whose owner has ended.
    Orphaned,
    /// Entries of a ledger past their own deadline.
    Overdue,
    /// Open entries of a ledger, judged as a level.
    Open,
    /// Connections closed instead of reused.
    Churn,
    /// File descriptors.
    Descriptors,
    /// Threads, goroutines and other tasks of a runtime.
    Threads,
    /// Bytes held.
    Memory,
    /// Any other level of a process.
    OtherLevel,
}

impl SignalKind {
    /// The kind of a level that is no ledger's, from the unit its catalogue entry names.
    pub fn of_level(signal: &str, unit: &str) -> Self {
        match unit {
            "descriptors" => Self::Descriptors,
            "threads" | "goroutines" | "tasks" => Self::Threads,
            "bytes" => Self::Memory,
            _ if signal.ends_with("_bytes") => Self::Memory,
            _ => Self::OtherLevel,
        }
    }

    /// The family of incidents that it makes.
    pub fn family(self) -> Family {
        match self {
            Self::Orphaned | Self::Overdue | Self::Open => Family::Held,
            Self::Churn => Family::Churn,
            Self::Descriptors | Self::Threads | Self::Memory | Self::OtherLevel => Family::Process,
        }
    }

    /// Whether a detector of levels judges it.
    pub fn is_level(self) -> bool {
        !self.is_exact() && self != Self::Churn
    }

    /// Whether it is zero in a correct program.
    pub fn is_exact(self) -> bool {
        matches!(self, Self::Orphaned | Self::Overdue)
    }
}

/// One series of one target that leaks, or is above zero where a correct program never is.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The target's labels in exposition syntax: which instance.
    pub target: Arc<str>,
    /// The label `instance` of the target.
    pub instance: Arc<str>,
    /// The metric family.
    pub signal: Arc<str>,
    /// What kind of signal it is.
    pub kind: SignalKind,
    /// The label `resource`.
    pub resource: Option<Arc<str>>,
    /// The label `upstream`.
    pub upstream: Option<Arc<str>>,
    /// The label `route`.
    pub route: Option<Arc<str>>,
    /// The label `site`.
    pub site: Option<Arc<str>>,
    /// The last value, in the signal's unit.
    pub value: f64,
    /// Its time.
    pub at: Timestamp,
    /// The detector's case; `None` while an exact count is above zero and not convicted yet.
    pub evidence: Option<Evidence>,
    /// The highest load per second of its process, where it is known and a conviction is new.
    pub load: Option<f64>,
    /// The value at which it is exhausted, and what is exhausted then.
    pub limit: Option<(Arc<str>, f64)>,
    /// Seconds to exhaustion, where a limit is known and it grows.
    pub seconds_to_exhaustion: Option<Interval>,
    /// Whether an override forbids to page for it.
    pub ticket_only: bool,
    /// For churn: what is closed, and how much of what.
    pub churn: Option<Churn>,
}

/// How connections were closed instead of reused, over a trailing window of one target and upstream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Churn {
    /// Whether they were closed because a body was not read to its end; else because the idle pool was full.
    pub undrained: bool,
    /// Connections closed so.
    pub closes: f64,
    /// Exchanges in the same time.
    pub exchanges: f64,
    /// Length of the window, in seconds.
    pub window_seconds: f64,
}

impl Sighting {
    /// Whether the detector has convicted it.
    pub fn is_convicted(&self) -> bool {
        self.evidence.is_some()
    }
}

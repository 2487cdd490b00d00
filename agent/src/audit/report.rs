//! What an audit found, as values: everything that the terminal and the page show.

use std::time::Duration;

use leak_detect::Timestamp;

use super::coroner::{Death, DeathKind, Rollout};
use crate::incident::{End, Incident, State};

/// A whole audit.
#[derive(Debug)]
pub(super) struct Report {
    /// The store's address, without credentials.
    pub(super) store: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// One value a step; `None` for every sample.
    pub(super) step: Option<Duration>,
    pub(super) looked: Looked,
    /// What was ticketed, those that matter most first.
    pub(super) leaks: Vec<Leak>,
    /// In order of time.
    pub(super) deaths: Vec<GradedDeath>,
    /// In order of time.
    pub(super) rollouts: Vec<Rollout>,
    /// What could not be judged, each as a sentence.
    pub(super) blind: Vec<String>,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Looked {
    pub(super) workloads: usize,
    pub(super) targets: usize,
    /// Levels and exact counts.
    pub(super) series: u64,
    pub(super) samples: u64,
    /// How long reading and judging took, in seconds.
    pub(super) seconds: f64,
    /// Tickets and pages that may be false, a year, for the whole fleet.
    pub(super) budget: (f64, f64),
    /// What that is divided by.
    pub(super) divisor: u64,
}

/// When somebody would have been told.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Told {
    pub(super) ticketed_at: Option<Timestamp>,
    pub(super) paged_at: Option<Timestamp>,
    pub(super) resolved_at: Option<Timestamp>,
}

/// One incident that would have been ticketed.
#[derive(Debug)]
pub(super) struct Leak {
    pub(super) incident: Incident,
    pub(super) told: Told,
    pub(super) fate: Fate,
    /// The deaths of its instances after the ticket, as places in [`Report::deaths`].
    pub(super) deaths: Vec<usize>,
    /// What is done first about it.
    pub(super) first_action: String,
    /// An SVG document, or why there is none.
    pub(super) picture: Result<String, String>,
}

/// What became of a suspected leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Instances died of it.
    Deadly,
    /// It grows at the end of the range.
    Growing,
    /// Its instances were replaced by others that stayed flat.
    Replaced,
    /// Its workload is gone.
    Gone,
    /// It stopped growing, and nobody died.
    Stalled,
    /// What was held was let go, and nobody died.
    Released,
}

/// A death and what the tickets say to it.
#[derive(Debug, PartialEq)]
pub(super) struct GradedDeath {
    pub(super) death: Death,
    pub(super) grade: Grade,
}

/// What the tickets say to a death.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Grade {
    /// Its leak had been ticketed so many seconds before.
    Ticketed {
        /// Seconds from the ticket to the death.
        lead: f64,
        /// Its place in [`Report::leaks`].
        leak: usize,
    },
    /// Something had grown, and no ticket said so in time.
    Missed,
    /// Nothing had grown: no leak of what the catalogue knows.
    NoLeak,
    /// Not to be told, with the reason.
    Unknown(String),
}

impl Fate {
    pub(super) fn of(incident: &Incident, deaths: usize) -> Self {
        if deaths > 0 {
            return Self::Deadly;
        }
        match incident.state {
            State::Growing => Self::Growing,
            State::Stalled => Self::Stalled,
            State::Ended(End::Released) => Self::Released,
            State::Ended(End::Replaced) => Self::Replaced,
            State::Ended(End::Gone) => Self::Gone,
        }
    }

    /// Whether the ticket was likely false.
    pub(super) fn is_doubtful(self) -> bool {
        matches!(self, Self::Stalled | Self::Released)
    }

    /// What became of it, as the end of a sentence.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Deadly => "its instances died",
            Self::Growing => "still growing at the end of the range",
            Self::Replaced => "gone with its processes: their successors stayed flat",
            Self::Gone => "its workload is gone",
            Self::Stalled => "it stopped growing by itself, and nobody died",
            Self::Released => "what it held was let go by itself, and nobody died",
        }
    }
}

impl DeathKind {
    /// In a table.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::OutOfMemory => "killed for memory",
            Self::OutOfDescriptors => "out of descriptors",
            Self::ContainerRestarted => "container restarted",
            Self::Restarted => "restarted, cause unknown",
        }
    }

    pub(super) fn counted(self, number: usize) -> String {
        let (one, many) = match self {
            Self::OutOfMemory => ("killed for memory", "killed for memory"),
            Self::OutOfDescriptors => ("out of descriptors", "out of descriptors"),
            Self::ContainerRestarted => ("container restart", "container restarts"),
            Self::Restarted => ("restart of unknown cause", "restarts of unknown cause"),
        };
        counted(number, one, many)
    }

    pub(super) const ALL: [Self; 4] = [
        Self::OutOfMemory,
        Self::OutOfDescriptors,
        Self::ContainerRestarted,
        Self::Restarted,
    ];
}

impl Report {
    /// Suspected leaks, with their places.
    pub(super) fn suspects(&self) -> impl Iterator<Item = (usize, &Leak)> {
        self.leaks
            .iter()
            .enumerate()
            .filter(|(_, leak)| !leak.fate.is_doubtful())
    }

    /// Likely false alerts, with their places.
    pub(super) fn doubtful(&self) -> impl Iterator<Item = (usize, &Leak)> {
        self.leaks
            .iter()
            .enumerate()
            .filter(|(_, leak)| leak.fate.is_doubtful())
    }

    /// Seconds from ticket to death, shortest first.
    pub(super) fn leads(&self) -> Vec<f64> {
        let mut leads: Vec<f64> = self
            .deaths
            .iter()
            .filter_map(|own| match own.grade {
                Grade::Ticketed { lead, .. } => Some(lead),
                _ => None,
            })
            .collect();
        leads.sort_by(f64::total_cmp);
        leads
    }

    pub(super) fn count(&self, is_so: impl Fn(&GradedDeath) -> bool) -> usize {
        self.deaths.iter().filter(|own| is_so(own)).count()
    }

    /// How long the range is, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.to - self.from
    }
}

/// `1 leak`, `2,000 leaks`.
pub(super) fn counted(number: usize, one: &str, many: &str) -> String {
    let text = crate::quantity::count(number as f64);
    format!("{text} {}", if number == 1 { one } else { many })
}

/// A text without what a terminal or a reader could take for more than text: control characters but for line feeds, and
/// marks that turn the direction of writing.
pub(super) fn printable(text: &str) -> String {
    let is_hidden = |own: char| {
        (own.is_control() && own != '\n')
            || matches!(own, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|own| if is_hidden(own) { '\u{fffd}' } else { own })
        .collect()
}

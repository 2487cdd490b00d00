//! How one source does: for its metrics, the API, the page and the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use leak_detect::Timestamp;

use crate::config::Source;
use crate::source::feed::Taken;
use crate::source::reading::Told;

/// How one source does.
#[derive(Clone, Debug)]
pub(crate) struct SourceStatus {
    /// `name`.
    pub(crate) name: Arc<str>,
    /// `url`: without credentials.
    pub(crate) url: Arc<str>,
    pub(crate) state: SourceState,
    /// When an answer was whole last.
    pub(crate) last_success: Option<Timestamp>,
    /// When it was asked last, and how long the answers took, in seconds.
    pub(crate) last_asked: Option<Timestamp>,
    pub(crate) duration_seconds: f64,
    /// Samples taken in since the agent's start, those of the history included.
    pub(crate) samples: u64,
    /// Series of the last answers that were above a limit.
    pub(crate) dropped: u64,
    /// What went wrong since the agent's start, by kind.
    pub(crate) errors: BTreeMap<&'static str, u64>,
}

/// What a source is doing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SourceState {
    /// Its history is being read: so much of it, from 0 to 1.
    Starting(f64),
    /// The last answers were whole.
    Up,
    /// Something could not be read: what, and why.
    Down(String),
}

/// Every kind of error, so that each has its series from the start.
const KINDS: [&str; 12] = [
    "body_size_limit",
    "broken_off",
    "connection",
    "history",
    "partial",
    "redirect",
    "refused",
    "sample_limit",
    "silent",
    "status",
    "timeout",
    "unreadable",
];

impl SourceStatus {
    pub(super) fn new(source: &Source) -> Self {
        Self {
            name: Arc::clone(&source.name),
            url: Arc::clone(&source.url),
            state: SourceState::Starting(0.0),
            last_success: None,
            last_asked: None,
            duration_seconds: 0.0,
            samples: 0,
            dropped: 0,
            errors: KINDS.into_iter().map(|kind| (kind, 0)).collect(),
        }
    }

    /// Whether its history is still being read.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.state, SourceState::Starting(_))
    }

    /// Takes note of news before they are taken in.
    pub(super) fn take(&mut self, told: &Told, now: Timestamp) {
        match told {
            Told::Progress(share) => self.state = SourceState::Starting(*share),
            Told::History(past) => {
                self.last_asked = Some(now);
                self.samples += past.samples;
                for kind in &past.faults {
                    *self.errors.entry(kind).or_default() += 1;
                }
                tracing::info!(
                    source = %self.name,
                    series = past.series,
                    samples = past.samples,
                    unknown = past.faults.len(),
                    seconds = past.seconds,
                    "the history of a source is read"
                );
                self.enter(SourceState::Up);
            }
            Told::Increment(answer) => {
                self.last_asked = Some(now);
                self.duration_seconds = answer.seconds;
                for (_, fault) in &answer.unknown {
                    *self.errors.entry(fault.kind()).or_default() += 1;
                }
                match answer.unknown.first() {
                    None => {
                        self.last_success = Some(now);
                        self.enter(SourceState::Up);
                    }
                    Some((what, fault)) => {
                        self.enter(SourceState::Down(format!(
                            "nothing is known of {what}: {fault}"
                        )));
                    }
                }
            }
            Told::Failed { kind, error, .. } => {
                *self.errors.entry(kind).or_default() += 1;
                if matches!(self.state, SourceState::Starting(_)) {
                    tracing::warn!(source = %self.name, error, "the history of a source cannot be read yet");
                }
                self.enter(SourceState::Down(error.clone()));
            }
        }
    }

    /// Takes note of what was taken in.
    pub(super) fn took(&mut self, taken: &Taken) {
        self.samples += taken.samples;
        self.dropped += taken.dropped;
        if taken.is_silent {
            *self.errors.entry("silent").or_default() += 1;
            self.enter(SourceState::Down(
                "it answers, and has no new sample of any target".to_owned(),
            ));
        }
    }

    fn enter(&mut self, state: SourceState) {
        let was_up = self.state == SourceState::Up;
        match &state {
            SourceState::Up if !was_up => tracing::info!(source = %self.name, "a source is read"),
            SourceState::Down(error) if was_up => {
                tracing::warn!(source = %self.name, error, "a source is not known whole: nothing of it counts as gone");
            }
            _ => {}
        }
        self.state = state;
    }
}

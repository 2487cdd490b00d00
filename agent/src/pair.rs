//! What the members of a pair tell each other: their incidents, as each judges them by itself.
//!
//! Two agents of one configuration see the same leaks, each at its own scrapes. So that people hear of each leak once and
//! of its end only when it is over for both, each asks the other's web listener for a [`Report`] after every judgement
//! and merges it into its own book ([`engine`](crate::engine)): an incident that one convicts is adopted by the other,
//! with its id, its labels and its times, and ends only when both find that it is over, or one of them is down. Reports
//! are the sender's own judgement only, never what it holds on the other's word, so that two that have forgotten why
//! cannot hold up each other.

mod client;

use leak_detect::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::AlertName;
use crate::incident::{Incident, stored};

pub(crate) use client::{Asker, Peers, Said};

/// The version of the reports that this agent sends and understands.
pub const FORMAT: u32 = 1;

/// Where a member answers with its report.
pub const PATH: &str = "/api/v1/pair";

/// What one member of a pair tells the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`]; a report of another format is not understood.
    pub format: u32,
    /// Names this run of the agent, so that one that asks itself notices.
    pub run: u64,
    /// Its shard, as `i/n`; members of a pair have the same.
    pub shard: Option<String>,
    /// When it was made.
    #[serde(with = "stored::time")]
    pub at: Timestamp,
    /// Whether the sender has heard its own peers, or given up on them, since it started. Until then it only remembers.
    pub settled: bool,
    /// Those that live, and those that ended not long ago.
    pub incidents: Vec<Told>,
}

/// One incident in a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The incident as the sender has it.
    pub incident: Incident,
    /// Whether the sender finds by itself that it is over, and waits for the other to agree.
    pub over: bool,
    /// Whether Alertmanagers have been told of it in this life of the sender.
    pub announced: bool,
    /// Its alerts that are pending or firing.
    pub alerts: Vec<ToldAlert>,
}

/// One alert in a report.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldAlert {
    /// Which of the three.
    pub name: AlertName,
    /// Since when it is wanted.
    #[serde(with = "stored::time")]
    pub active_at: Timestamp,
    /// Since when it fires.
    #[serde(with = "stored::time_or_none")]
    pub fired_at: Option<Timestamp>,
}

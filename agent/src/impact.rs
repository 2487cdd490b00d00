//! Impact: whether a leak can wait until the morning, and whether connections are still reused.
//!
//! Thresholds on totals over trailing windows and on times to exhaustion; where the numbers come from is the engine's
//! business. "Not known" is an answer of its own: after a restart of the agent the windows are empty, and what was
//! urgent before stays so until the numbers say otherwise.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::incident::{Churn, Exhaustion};
use crate::quantity;

/// A leak is urgent while the lower bound of its exhaustion is below this.
pub const URGENT_EXHAUSTION: Duration = Duration::from_secs(4 * 3600);

/// The window over which failing upstream calls are counted.
pub const FAILING_WINDOW: Duration = Duration::from_secs(300);

/// Users are hit if at least this share of the upstream calls of the window fails...
pub const FAILING_SHARE: f64 = 0.01;

/// ...and at least that many...
pub const FAILING_CALLS: f64 = 10.0;

/// ...and at least this many times the share before the onset.
pub const FAILING_RISE: f64 = 3.0;

/// Users are hit if requests wait for a connection at every scrape for this long.
pub const WAITING: Duration = Duration::from_secs(120);

/// Reuse is lost if at least so many connections were closed for it in a window...
pub const CHURN_CLOSES: f64 = 30.0;

/// ...and at least this share of the window's exchanges.
pub const CHURN_SHARE: f64 = 0.5;

/// The trailing windows over which reuse is judged, shortest first: a total loss shows in the first although the last
/// is still full of healthy exchanges.
pub const CHURN_WINDOWS: [Duration; 4] = [
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];

/// Why a leak cannot wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Urgency {
    /// Something runs out soon.
    Exhaustion(Exhaustion),
    /// Upstream calls are refused or time out.
    UsersHit {
        /// Calls that failed so in the window.
        failing: f64,
        /// All calls of the window.
        calls: f64,
        /// The share that failed so before the onset; 0 where nothing is known.
        share_before: f64,
    },
    /// Requests have been waiting for a connection.
    Waiting {
        /// For how long at every scrape, in seconds.
        seconds: f64,
        /// How many wait now.
        waiters: f64,
    },
}

impl Urgency {
    /// The reason in a few words.
    pub fn words(&self) -> String {
        match self {
            Self::Exhaustion(exhaustion) if exhaustion.seconds.low <= 0.0 => {
                format!("{} is at its limit", exhaustion.signal)
            }
            Self::Exhaustion(exhaustion) => format!(
                "{} may reach its limit within {}",
                exhaustion.signal,
                quantity::duration(exhaustion.seconds.low)
            ),
            Self::UsersHit { failing, calls, .. } => format!(
                "{} % of upstream calls are refused or time out",
                percent(failing / calls.max(1.0))
            ),
            Self::Waiting { .. } => "requests wait for a connection".to_owned(),
        }
    }

    /// The reason as a sentence without a full stop.
    pub fn sentence(&self) -> String {
        match self {
            Self::Exhaustion(exhaustion) if exhaustion.seconds.low <= 0.0 => format!(
                "{} of {} is at its limit of {}",
                exhaustion.signal,
                exhaustion.instance,
                quantity::Unit::of_metric(&exhaustion.signal).text(exhaustion.limit)
            ),
            Self::Exhaustion(exhaustion) => format!(
                "{} of {} may reach its limit of {} within {}",
                exhaustion.signal,
                exhaustion.instance,
                quantity::Unit::of_metric(&exhaustion.signal).text(exhaustion.limit),
                quantity::duration(exhaustion.seconds.low)
            ),
            Self::UsersHit {
                failing,
                calls,
                share_before,
            } => format!(
                "users are hit: {} of {} upstream calls of the last {} were refused or timed out ({} %, before the leak {} %)",
                quantity::count(*failing),
                quantity::count(*calls),
                quantity::duration(FAILING_WINDOW.as_secs_f64()),
                percent(failing / calls.max(1.0)),
                percent(*share_before)
            ),
            Self::Waiting { seconds, waiters } => format!(
                "users are hit: requests have been waiting for a connection at every scrape for {} ({} wait now)",
                quantity::duration(*seconds),
                quantity::count(*waiters)
            ),
        }
    }
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 10.0 {
        format!("{percent:.1}")
    } else {
        format!("{percent:.0}")
    }
}

/// Upstream calls of a workload, of the upstreams that an incident covers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calls {
    /// Refused or timed out in the trailing window.
    pub failing: f64,
    /// All calls of the window, the refused ones among them.
    pub all: f64,
    /// Whether the window has been watched in full.
    pub complete: bool,
}

/// What is known of the users of an incident's workload.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Users {
    /// Upstream calls; `None` where none are counted.
    pub calls: Option<Calls>,
    /// Share of calls that failed before the onset, 0 to 1; `None` where it is not known.
    pub failing_share_before: Option<f64>,
    /// For how long requests have been waiting at every scrape, in seconds, and how many wait; the worst instance.
    pub waiting: Option<(f64, f64)>,
    /// Whether waiters have been watched for long enough to say that there are none.
    pub waiting_known: bool,
}

/// Whether a leak is urgent.
#[derive(Clone, Debug, PartialEq)]
pub enum Impact {
    /// It is, and why.
    Urgent(Urgency),
    /// It is not.
    Bearable,
    /// The windows are not full yet: what was so before stands.
    Unknown,
}

/// Judges a leak by when its signals run out and by what happens to users.
///
/// `exhaustion`: of the signal that runs out first, where limits are known; `exhaustion_known`: whether every leaking
/// signal has been measured since the agent started.
pub fn judge(exhaustion: Option<&Exhaustion>, exhaustion_known: bool, users: &Users) -> Impact {
    if let Some(exhaustion) = exhaustion
        && exhaustion.seconds.low < URGENT_EXHAUSTION.as_secs_f64()
    {
        return Impact::Urgent(Urgency::Exhaustion(exhaustion.clone()));
    }
    let share_before = users.failing_share_before.unwrap_or(0.0);
    if let Some(calls) = users.calls
        && calls.failing >= FAILING_CALLS
        && calls.failing >= FAILING_SHARE * calls.all
        && calls.failing >= FAILING_RISE * share_before * calls.all
    {
        return Impact::Urgent(Urgency::UsersHit {
            failing: calls.failing,
            calls: calls.all,
            share_before,
        });
    }
    if let Some((seconds, waiters)) = users.waiting
        && seconds >= WAITING.as_secs_f64()
    {
        return Impact::Urgent(Urgency::Waiting { seconds, waiters });
    }
    let known =
        exhaustion_known && users.calls.is_none_or(|calls| calls.complete) && users.waiting_known;
    if known {
        Impact::Bearable
    } else {
        Impact::Unknown
    }
}

/// Whether the closes of a window are a loss of reuse.
pub fn is_reuse_lost(churn: &Churn) -> bool {
    churn.closes >= CHURN_CLOSES && churn.closes >= CHURN_SHARE * churn.exchanges
}

#[cfg(test)]
mod tests;

//! Diagnosis: from what leaks in one workload to which mistake it looks like.
//!
//! A held thing holds others: a body holds its connection, a connection its descriptor, a task its call, everything
//! memory. So the cause is read from the first leaking resource in the order in which they explain each other, and from
//! whether its owners have ended. What was seen once is never taken back: a resource that is released before the others
//! would make the remaining ones look like another mistake.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::incident::SignalKind;

/// The mistakes that can be told apart, in the words of alerts and dashboards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The answer went out at the deadline, the tasks behind it live on.
    TimeoutWithoutCancellation,
    /// A request waits for every call, and one does not end.
    FanOutWithoutDeadline,
    /// Responses are kept, their bodies neither read nor dropped.
    UnclosedBodies,
    /// Idle connections outlive their limit.
    IdleConnectionsUnbounded,
    /// Bodies are dropped unread, and their connections with them.
    UndrainedBodies,
    /// More connections come back than the pool may keep.
    IdlePoolTooSmall,
    /// Something grows, and nothing finer is counted.
    Unknown,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::TimeoutWithoutCancellation,
        Self::FanOutWithoutDeadline,
        Self::UnclosedBodies,
        Self::IdleConnectionsUnbounded,
        Self::UndrainedBodies,
        Self::IdlePoolTooSmall,
        Self::Unknown,
    ];

    /// The value of the annotation and label `cause`.
    pub fn word(self) -> &'static str {
        match self {
            Self::TimeoutWithoutCancellation => "timeout_without_cancellation",
            Self::FanOutWithoutDeadline => "fan_out_without_deadline",
            Self::UnclosedBodies => "unclosed_bodies",
            Self::IdleConnectionsUnbounded => "idle_connections_unbounded",
            Self::UndrainedBodies => "undrained_bodies",
            Self::IdlePoolTooSmall => "idle_pool_too_small",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One leaking signal, as far as the diagnosis looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symptom<'a> {
    /// What kind of signal leaks.
    pub kind: SignalKind,
    /// Of which resource, where it is a ledger's.
    pub resource: Option<&'a str>,
}

/// What else is known of the workload and the upstream in question.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Context {
    /// For churn: whether connections are closed with bodies undrained; else for want of room in the idle pool.
    pub undrained: Option<bool>,
    /// Idle connections of the pool, where it reports its states.
    pub idle_connections: Option<f64>,
    /// Connections past their deadline.
    pub overdue_connections: f64,
}

/// The cause of an incident in which these signals leak.
pub fn diagnose(symptoms: &[Symptom<'_>], context: Context) -> Cause {
    let leaks = |kind: SignalKind, resource: &str| {
        symptoms
            .iter()
            .any(|own| own.kind == kind && own.resource == Some(resource))
    };
    let held =
        |resource| leaks(SignalKind::Orphaned, resource) || leaks(SignalKind::Overdue, resource);
    if leaks(SignalKind::Orphaned, "fan_out_task") {
        Cause::TimeoutWithoutCancellation
    } else if leaks(SignalKind::Overdue, "fan_out_task") {
        Cause::FanOutWithoutDeadline
    } else if held("response_body") {
        Cause::UnclosedBodies
    } else if leaks(SignalKind::Overdue, "pool_connection")
        && !leaks(SignalKind::Orphaned, "pool_connection")
        && overdue_are_idle(context)
    {
        Cause::IdleConnectionsUnbounded
    } else {
        match context.undrained {
            Some(true) => Cause::UndrainedBodies,
            Some(false) => Cause::IdlePoolTooSmall,
            None => Cause::Unknown,
        }
    }
}

/// A connection past its deadline is idle past its limit, or in use past its response's deadline. An idle one has no
/// owner and is never orphaned; beyond that the pool's own states tell, where there are any.
fn overdue_are_idle(context: Context) -> bool {
    context
        .idle_connections
        .is_none_or(|idle| idle >= context.overdue_connections)
}

#[cfg(test)]
mod tests;

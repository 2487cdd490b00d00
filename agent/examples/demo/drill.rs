//! The six faults that can be rehearsed, with what the agent is expected to say of each.

use std::time::Duration;

/// A fault that the gateway commits on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Drill {
    /// A new client, and so a new pool, for each request.
    ClientPerRequest,
    /// No timeouts: the fan-out waits for every call, and one upstream hangs.
    NoDeadline,
    /// Responses are kept, their bodies neither read nor dropped.
    UnclosedBodies,
    /// Bodies are dropped unread, and their connections with them.
    UndrainedBodies,
    /// The answer goes out at the deadline, tasks and calls live on.
    DetachedTasks,
    /// One response in a thousand is kept.
    SlowDrip,
}

impl Drill {
    /// Its name at the gateway's admin listener.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClientPerRequest => "client-per-request",
            Self::NoDeadline => "no-deadline",
            Self::UnclosedBodies => "unclosed-bodies",
            Self::UndrainedBodies => "undrained-bodies",
            Self::DetachedTasks => "detached-tasks",
            Self::SlowDrip => "slow-drip",
        }
    }

    /// The cause that the alert must name.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::ClientPerRequest => "idle_connections_unbounded",
            Self::NoDeadline => "fan_out_without_deadline",
            Self::UnclosedBodies | Self::SlowDrip => "unclosed_bodies",
            Self::UndrainedBodies => "undrained_bodies",
            Self::DetachedTasks => "timeout_without_cancellation",
        }
    }

    /// The alert that must fire. Its urgent sister may stand beside it.
    pub(crate) fn alertname(self) -> &'static str {
        match self {
            Self::UndrainedBodies => "ConnectionReuseLost",
            _ => "ResourceLeak",
        }
    }

    /// What happens, for the person who watches.
    pub(crate) fn story(self) -> &'static str {
        match self {
            Self::ClientPerRequest => {
                "each request now makes a client of its own, whose idle connection nobody limits or ends"
            }
            Self::NoDeadline => {
                "the fan-out now waits for every call without a deadline, and one upstream hangs"
            }
            Self::UnclosedBodies => {
                "responses of the upstream are now kept, their bodies neither read nor dropped"
            }
            Self::UndrainedBodies => {
                "bodies are now dropped unread, and each takes its connection with it"
            }
            Self::DetachedTasks => {
                "time-outs now answer the client but cancel nothing, and one upstream hangs"
            }
            Self::SlowDrip => {
                "one response in a thousand is now kept, its body neither read nor dropped"
            }
        }
    }

    /// Whether the fault shows only where an upstream does not answer.
    pub(crate) fn needs_hanging_upstream(self) -> bool {
        matches!(self, Self::NoDeadline | Self::DetachedTasks)
    }

    /// How long the alert may take.
    pub(crate) fn patience(self) -> Duration {
        match self {
            Self::SlowDrip => Duration::from_secs(600),
            _ => Duration::from_secs(120),
        }
    }
}

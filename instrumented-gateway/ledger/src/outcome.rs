//! How a held thing can end: one closed list of words per resource.
//!
//! The words are the values of the label `outcome`, and dashboards depend on them. They are typed per resource, so that
//! a body can never end as `peer_closed`. The traits are sealed: a service that counts something of its own uses
//! [`ServiceOutcome`] under a resource name of its own ([`Ledger::service_account`](crate::Ledger::service_account)).

mod sealed {
    pub trait Sealed {}
}

/// The ways in which one resource can end.
///
/// ```compile_fail,E0308
/// use resource_ledger::{BodyOutcome, ConnectionOutcome, Labels, Ledger};
/// let body = Ledger::default().account::<BodyOutcome>(Labels::new()).open();
/// body.close(ConnectionOutcome::PeerClosed); // a body has no such end
/// ```
pub trait Outcome: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The values of the label `outcome`, in the order of [`Outcome::index`].
    const WORDS: &'static [&'static str];
    /// What an entry ends as when it is dropped and nobody said otherwise.
    const DROPPED: Self;
    /// What an entry ends as when it is dropped by a panic. The same as `DROPPED` where the resource has no such word.
    const PANICKED: Self;

    /// The position in [`Outcome::WORDS`].
    fn index(self) -> usize;

    /// The value of the label `outcome`.
    fn word(self) -> &'static str {
        Self::WORDS[self.index()]
    }
}

/// An [`Outcome`] of a resource whose name is fixed.
pub trait ResourceOutcome: Outcome {
    /// The value of the label `resource`.
    const RESOURCE: &'static str;
}

/// An [`Outcome`] of something that runs, with a word for having come to its end.
pub trait RunOutcome: Outcome {
    /// What a task ends as when its future returned.
    const COMPLETED: Self;
}

/// The resources that have outcomes of their own.
pub(crate) const FIXED_RESOURCES: [&str; 6] = [
    BodyOutcome::RESOURCE,
    ConnectionOutcome::RESOURCE,
    TaskOutcome::RESOURCE,
    RequestOutcome::RESOURCE,
    ConnectionTaskOutcome::RESOURCE,
    ServiceTaskOutcome::RESOURCE,
];

/// How a `response_body` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyOutcome {
    /// The end was seen, or the body was known to be empty.
    Complete,
    /// A bounded drain read what was left.
    Drained,
    /// Dropped part-way.
    Abandoned,
    /// Dropped without having been polled.
    Unread,
    /// Reading it gave an error.
    Failed,
}

/// How a `pool_connection` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionOutcome {
    /// Idle for longer than its limit.
    IdleTimeout,
    /// Older than the pool allows.
    MaxLifetime,
    /// Has served as many requests as the pool allows.
    MaxRequests,
    /// The peer closed it while it was idle.
    PeerClosed,
    /// The client that it was serving left.
    ClientGone,
    /// It was never established.
    ConnectFailed,
    /// An input or output error, or a time-out in use.
    Error,
    /// A body was left on it that could not be drained within the bounds.
    Undrained,
    /// The response ended before the request body did.
    EarlyResponse,
    /// It became a tunnel.
    Upgraded,
    /// The pool made room.
    Evicted,
    /// The service is going down.
    Shutdown,
}

/// How a `fan_out_task` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskOutcome {
    /// It returned with what was asked for.
    Completed,
    /// It returned with a failure.
    Failed,
    /// It reached its deadline.
    TimedOut,
    /// It was aborted.
    Cancelled,
    /// It panicked.
    Panicked,
}

/// How a `request` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// The response was sent in full.
    Completed,
    /// The client left before that.
    ClientGone,
    /// A deadline passed.
    TimedOut,
    /// A limit refused it.
    Rejected,
    /// Anything else, a panic included.
    Failed,
}

/// How something that a service names by a word of its own ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceOutcome {
    /// It came to its end.
    Completed,
    /// It failed, or panicked.
    Failed,
    /// It was dropped and nobody said how it ended.
    Dropped,
}

/// How a `connection_task` (the driver of one connection) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionTaskOutcome {
    /// It returned.
    Completed,
    /// It returned with a failure.
    Failed,
    /// It was aborted.
    Cancelled,
    /// It panicked.
    Panicked,
}

/// How a `service_task` (accept loop, upkeep) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceTaskOutcome {
    /// It returned.
    Completed,
    /// It returned with a failure.
    Failed,
    /// It was aborted.
    Cancelled,
    /// It panicked.
    Panicked,
}

impl sealed::Sealed for BodyOutcome {}
impl Outcome for BodyOutcome {
    const WORDS: &'static [&'static str] =
        &["complete", "drained", "abandoned", "unread", "failed"];
    const DROPPED: Self = Self::Abandoned;
    const PANICKED: Self = Self::Abandoned;

    fn index(self) -> usize {
        self as usize
    }
}
impl ResourceOutcome for BodyOutcome {
    const RESOURCE: &'static str = "response_body";
}

impl sealed::Sealed for ConnectionOutcome {}
impl Outcome for ConnectionOutcome {
    const WORDS: &'static [&'static str] = &[
        "idle_timeout",
        "max_lifetime",
        "max_requests",
        "peer_closed",
        "client_gone",
        "connect_failed",
        "error",
        "undrained",
        "early_response",
        "upgraded",
        "evicted",
        "shutdown",
    ];
    const DROPPED: Self = Self::Error;
    const PANICKED: Self = Self::Error;

    fn index(self) -> usize {
        self as usize
    }
}
impl ResourceOutcome for ConnectionOutcome {
    const RESOURCE: &'static str = "pool_connection";
}

impl sealed::Sealed for TaskOutcome {}
impl Outcome for TaskOutcome {
    const WORDS: &'static [&'static str] =
        &["completed", "failed", "timed_out", "cancelled", "panicked"];
    const DROPPED: Self = Self::Cancelled;
    const PANICKED: Self = Self::Panicked;

    fn index(self) -> usize {
        self as usize
    }
}
impl ResourceOutcome for TaskOutcome {
    const RESOURCE: &'static str = "fan_out_task";
}
impl RunOutcome for TaskOutcome {
    const COMPLETED: Self = Self::Completed;
}

impl sealed::Sealed for RequestOutcome {}
impl Outcome for RequestOutcome {
    const WORDS: &'static [&'static str] = &[
        "completed",
        "client_gone",
        "timed_out",
        "rejected",
        "failed",
    ];
    const DROPPED: Self = Self::ClientGone;
    const PANICKED: Self = Self::Failed;

    fn index(self) -> usize {
        self as usize
    }
}
impl ResourceOutcome for RequestOutcome {
    const RESOURCE: &'static str = "request";
}

impl sealed::Sealed for ServiceOutcome {}
impl Outcome for ServiceOutcome {
    const WORDS: &'static [&'static str] = &["completed", "failed", "dropped"];
    const DROPPED: Self = Self::Dropped;
    const PANICKED: Self = Self::Failed;

    fn index(self) -> usize {
        self as usize
    }
}
impl RunOutcome for ServiceOutcome {
    const COMPLETED: Self = Self::Completed;
}

impl sealed::Sealed for ConnectionTaskOutcome {}
impl Outcome for ConnectionTaskOutcome {
    const WORDS: &'static [&'static str] = &["completed", "failed", "cancelled", "panicked"];
    const DROPPED: Self = Self::Cancelled;
    const PANICKED: Self = Self::Panicked;

    fn index(self) -> usize {
        self as usize
    }
}
impl ResourceOutcome for ConnectionTaskOutcome {
    const RESOURCE: &'static str = "connection_task";
}
impl RunOutcome for ConnectionTaskOutcome {
    const COMPLETED: Self = Self::Completed;
}

impl sealed::Sealed for ServiceTaskOutcome {}
impl Outcome for ServiceTaskOutcome {
    const WORDS: &'static [&'static str] = &["completed", "failed", "cancelled", "panicked"];
    const DROPPED: Self = Self::Cancelled;
    const PANICKED: Self = Self::Panicked;

    fn index(self) -> usize {
        self as usize
    }
}
impl ResourceOutcome for ServiceTaskOutcome {
    const RESOURCE: &'static str = "service_task";
}
impl RunOutcome for ServiceTaskOutcome {
    const COMPLETED: Self = Self::Completed;
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    /// Every variant's word is its name in snake case, and stands where its index points.
    #[track_caller]
    fn check<O: Outcome + Debug>(all: &[O]) {
        let words: Vec<String> = all
            .iter()
            .map(|outcome| snake_case(&format!("{outcome:?}")))
            .collect();
        assert_eq!(words, O::WORDS);
        all.iter()
            .zip(O::WORDS)
            .for_each(|(outcome, word)| assert_eq!(outcome.word(), *word));
    }

    fn snake_case(name: &str) -> String {
        let spaced = name.char_indices().flat_map(|(index, letter)| {
            let separator = (index > 0 && letter.is_uppercase()).then_some('_');
            separator.into_iter().chain(letter.to_lowercase())
        });
        spaced.collect()
    }

    #[test]
    fn every_outcome_has_its_word() {
        use BodyOutcome as Body;
        check(&[
            Body::Complete,
            Body::Drained,
            Body::Abandoned,
            Body::Unread,
            Body::Failed,
        ]);
        use ConnectionOutcome as Connection;
        check(&[
            Connection::IdleTimeout,
            Connection::MaxLifetime,
            Connection::MaxRequests,
            Connection::PeerClosed,
            Connection::ClientGone,
            Connection::ConnectFailed,
            Connection::Error,
            Connection::Undrained,
            Connection::EarlyResponse,
            Connection::Upgraded,
            Connection::Evicted,
            Connection::Shutdown,
        ]);
        use TaskOutcome as Task;
        check(&[
            Task::Completed,
            Task::Failed,
            Task::TimedOut,
            Task::Cancelled,
            Task::Panicked,
        ]);
        use RequestOutcome as Request;
        check(&[
            Request::Completed,
            Request::ClientGone,
            Request::TimedOut,
            Request::Rejected,
            Request::Failed,
        ]);
        check(&[
            ServiceOutcome::Completed,
            ServiceOutcome::Failed,
            ServiceOutcome::Dropped,
        ]);
        use ConnectionTaskOutcome as Driver;
        check(&[
            Driver::Completed,
            Driver::Failed,
            Driver::Cancelled,
            Driver::Panicked,
        ]);
        use ServiceTaskOutcome as Upkeep;
        check(&[
            Upkeep::Completed,
            Upkeep::Failed,
            Upkeep::Cancelled,
            Upkeep::Panicked,
        ]);
    }
}

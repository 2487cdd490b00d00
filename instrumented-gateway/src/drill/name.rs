//! Which drills there are, and how they are asked for: `unclosed-bodies:0.1`.

use std::fmt;
use std::str::FromStr;

/// One of the faults that can be rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drill {
    /// A new client, and so a new pool, for each request; nothing limits or expires its idle connections.
    ClientPerRequest,
    /// No time-outs, and the fan-out waits for every call.
    NoDeadline,
    /// The response is kept, its body neither read nor dropped.
    UnclosedBodies,
    /// The body is dropped unread, its connection with it.
    UndrainedBodies,
    /// The answer goes out at the deadline; tasks and calls live on.
    DetachedTasks,
    /// [`Drill::UnclosedBodies`], once in a thousand.
    SlowDrip,
}

/// The share of requests that a drill affects, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(pub(super) f64);

/// A drill to be started, as in `unclosed-bodies:0.1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrillRequest {
    /// Which one.
    pub drill: Drill,
    /// How much of it.
    pub share: Share,
}

/// Why a text names no drill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrillError {
    /// No drill has this name.
    #[error("no drill is called `{0}`; there are {list}", list = names())]
    Unknown(String),
    /// The share is not a number from 0 to 1.
    #[error("`{0}` is no share: a number from 0 to 1, such as 0.1")]
    Share(String),
}

/// Shares are added up in units of 2⁻³².
const SHARE_ONE: f64 = 4_294_967_296.0;
pub(super) const SHARE_BITS: u32 = 32;
impl Drill {
    /// All drills, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::ClientPerRequest,
        Self::NoDeadline,
        Self::UnclosedBodies,
        Self::UndrainedBodies,
        Self::DetachedTasks,
        Self::SlowDrip,
    ];

    /// Its name, as on the command line and in the label `drill`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientPerRequest => "client-per-request",
            Self::NoDeadline => "no-deadline",
            Self::UnclosedBodies => "unclosed-bodies",
            Self::UndrainedBodies => "undrained-bodies",
            Self::DetachedTasks => "detached-tasks",
            Self::SlowDrip => "slow-drip",
        }
    }

    /// The share of requests that it affects unless told otherwise.
    pub fn default_share(self) -> Share {
        match self {
            Self::SlowDrip => Share(0.001),
            _ => Share(1.0),
        }
    }
}

fn names() -> String {
    Drill::ALL.map(Drill::name).join(", ")
}

impl fmt::Display for Drill {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Drill {
    type Err = DrillError;

    fn from_str(text: &str) -> Result<Self, DrillError> {
        Self::ALL
            .into_iter()
            .find(|drill| drill.name() == text)
            .ok_or_else(|| DrillError::Unknown(text.to_owned()))
    }
}

impl Share {
    /// The number, 0 to 1.
    pub fn value(self) -> f64 {
        self.0
    }

    /// In units of 2⁻³².
    pub(super) fn step(self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1, times 2^32"
        )]
        let step = (self.0 * SHARE_ONE) as u64;
        step
    }
}

impl FromStr for Share {
    type Err = DrillError;

    fn from_str(text: &str) -> Result<Self, DrillError> {
        text.parse::<f64>()
            .ok()
            .filter(|share| (0.0..=1.0).contains(share))
            .map(Self)
            .ok_or_else(|| DrillError::Share(text.to_owned()))
    }
}

impl FromStr for DrillRequest {
    type Err = DrillError;

    fn from_str(text: &str) -> Result<Self, DrillError> {
        let (name, share) = match text.split_once(':') {
            Some((name, share)) => (name, Some(share)),
            None => (text, None),
        };
        let drill: Drill = name.parse()?;
        let share = share.map_or(Ok(drill.default_share()), str::parse)?;
        Ok(Self { drill, share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(Drill, f64), &str>) {
        let parsed = text.parse::<DrillRequest>();
        let parsed = parsed
            .map(|request| (request.drill, request.share.value()))
            .map_err(|error| error.to_string());
        assert_eq!(parsed, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_drill_is_a_name_and_perhaps_a_share() {
        check("no-deadline", Ok((Drill::NoDeadline, 1.0)));
        check("slow-drip", Ok((Drill::SlowDrip, 0.001)));
        check("unclosed-bodies:0.25", Ok((Drill::UnclosedBodies, 0.25)));
        for share in ["", "-0.1", "1.5", "NaN", "much"] {
            let error = format!("`{share}` is no share: a number from 0 to 1, such as 0.1");
            check(&format!("no-deadline:{share}"), Err(&error));
        }
        check(
            "leak",
            Err(
                "no drill is called `leak`; there are client-per-request, no-deadline, unclosed-bodies, \
                 undrained-bodies, detached-tasks, slow-drip",
            ),
        );
    }
}

//! Which of several leaking signals carries the incident: the one that explains the others.
//!
//! A task holds its call, a call its connection and its body, a body its connection, a connection its descriptor and
//! everything memory. Within one resource an entry whose owner has ended says more than one that is late, and that more
//! than a level that climbs.

use crate::incident::{Sighting, SignalKind};

/// The order in which signals explain each other; the least carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    what: u8,
    kind: u8,
}

impl Rank {
    /// The rank of a signal of this kind, and of this resource where it is a ledger's.
    pub fn of(kind: SignalKind, resource: Option<&str>) -> Self {
        let what = match kind {
            SignalKind::Orphaned | SignalKind::Overdue | SignalKind::Open | SignalKind::Churn => {
                match resource {
                    Some("fan_out_task") => 0,
                    Some("response_body") => 1,
                    Some("pool_connection") => 2,
                    Some("request") => 3,
                    _ => 4,
                }
            }
            SignalKind::Descriptors => 5,
            SignalKind::Threads => 6,
            SignalKind::Memory => 7,
            SignalKind::OtherLevel => 8,
        };
        let kind = match kind {
            SignalKind::Orphaned => 0,
            SignalKind::Overdue => 1,
            _ => 2,
        };
        Self { what, kind }
    }
}

impl Sighting {
    /// Its place in the order.
    pub fn rank(&self) -> Rank {
        Rank::of(self.kind, self.resource.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_others_comes_before_what_is_held() {
        use SignalKind::{Descriptors, Memory, Open, Orphaned, OtherLevel, Overdue, Threads};
        let order = [
            (Orphaned, Some("fan_out_task")),
            (Overdue, Some("fan_out_task")),
            (Open, Some("fan_out_task")),
            (Orphaned, Some("response_body")),
            (Overdue, Some("response_body")),
            (Open, Some("response_body")),
            (Orphaned, Some("pool_connection")),
            (Overdue, Some("pool_connection")),
            (Open, Some("pool_connection")),
            (Open, Some("request")),
            (Orphaned, Some("lease")),
            (Open, Some("lease")),
            (Descriptors, None),
            (Threads, None),
            (Memory, None),
            (OtherLevel, None),
        ];
        let ranks: Vec<Rank> = order
            .iter()
            .map(|(kind, resource)| Rank::of(*kind, *resource))
            .collect();
        assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]), "{ranks:?}");
    }
}

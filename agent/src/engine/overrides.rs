//! Overrides: what grows by design, or is known and not repaired yet. One whose time is over is listed and not obeyed.

use leak_detect::Timestamp;

use crate::config::{Override, OverrideMode};
use crate::labels::Labels;

/// The overrides of the configuration, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    all: Vec<Override>,
}

/// What an override says about a series now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Ruling {
    pub(super) off: bool,
    pub(super) ticket_only: bool,
    pub(super) floor: Option<f64>,
}

/// The overrides that a series meets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Met {
    /// By their place in the configuration, whether their time is over or not.
    pub(super) places: Vec<usize>,
    /// The floor among those in force.
    pub(super) floor: Option<f64>,
}

impl Overrides {
    pub(super) fn new(all: &[Override]) -> Self {
        Self { all: all.to_vec() }
    }

    /// Those that a series meets, by their place, whether their time is over or not.
    pub(super) fn met_by(&self, signal: &str, labels: &Labels) -> Vec<usize> {
        (0..self.all.len())
            .filter(|place| self.all[*place].concerns(signal, labels))
            .collect()
    }

    /// What the first of these that is in force says.
    pub(super) fn ruling(&self, met: &[usize], now: Timestamp) -> Ruling {
        met.iter()
            .filter_map(|place| self.all.get(*place))
            .find(|own| !own.expired(now))
            .map_or_else(Ruling::default, |own| Ruling {
                off: own.mode == Some(OverrideMode::Off),
                ticket_only: own.mode == Some(OverrideMode::TicketOnly),
                floor: own.floor,
            })
    }

    /// How many are in force: changes whenever one runs out.
    pub(super) fn in_force(&self, now: Timestamp) -> usize {
        self.all.iter().filter(|own| !own.expired(now)).count()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them, each with whether its time is over.
    pub(super) fn iter(&self, now: Timestamp) -> impl Iterator<Item = (&Override, bool)> {
        self.all.iter().map(move |own| (own, own.expired(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn the_first_in_force_counts_and_an_expired_one_is_only_listed() {
        let day = |day: i64| Timestamp::from_millis(day * 86_400_000);
        let overrides = Overrides::new(&[
            Override {
                matches: labels(&[("job", "db")]),
                signals: vec![Arc::from("process_resident_memory_bytes")],
                mode: Some(OverrideMode::Off),
                floor: None,
                until: Some(day(10)),
            },
            Override {
                matches: labels(&[("job", "db")]),
                signals: Vec::new(),
                mode: Some(OverrideMode::TicketOnly),
                floor: Some(500.0),
                until: None,
            },
        ]);
        let db = labels(&[("job", "db"), ("instance", "a:1")]);
        let memory = overrides.met_by("process_resident_memory_bytes", &db);
        let descriptors = overrides.met_by("process_open_fds", &db);
        assert!(
            overrides
                .met_by("process_open_fds", &labels(&[("job", "web")]))
                .is_empty()
        );
        assert!(overrides.ruling(&memory, day(9)).off);
        let later = Ruling {
            off: false,
            ticket_only: true,
            floor: Some(500.0),
        };
        assert_eq!(overrides.ruling(&memory, day(10)), later);
        assert_eq!(overrides.ruling(&descriptors, day(9)), later);
        let listed: Vec<bool> = overrides
            .iter(day(10))
            .map(|(_, expired)| expired)
            .collect();
        assert_eq!(listed, [true, false]);
    }
}

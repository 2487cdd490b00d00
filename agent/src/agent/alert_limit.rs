//! Whether `limits.alerts` leaves something out: counted each time, and said once each time that it begins.

use leak_detect::Timestamp;

/// Nothing was left out for so many seconds: longer than a target is away between two scrapes, as a rule.
const CLEARED_AFTER_SECONDS: f64 = 300.0;

/// What was left out so far, and when something was last.
#[derive(Debug, Default)]
pub(super) struct AlertLimit {
    refused: u64,
    reached_at: Option<Timestamp>,
}

/// The limit begins, or ceases, to leave something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Reached,
    Cleared,
}

impl AlertLimit {
    /// Looks at what was left out by all judgements so far, that of now among them.
    pub(super) fn turn(&mut self, now: Timestamp, refused: u64) -> Option<Turn> {
        if std::mem::replace(&mut self.refused, refused) < refused {
            return self
                .reached_at
                .replace(now)
                .is_none()
                .then_some(Turn::Reached);
        }
        self.reached_at
            .take_if(|reached_at| now - *reached_at >= CLEARED_AFTER_SECONDS)
            .map(|_| Turn::Cleared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_turns_are_told() {
        let mut limit = AlertLimit::default();
        let (reached, cleared) = (Some(Turn::Reached), Some(Turn::Cleared));
        for (seconds, refused, expected) in [
            (0.0, 0, None),
            (15.0, 2, reached),
            (30.0, 4, None),
            (45.0, 4, None),
            (60.0, 5, None),
            (359.0, 5, None),
            (360.0, 5, cleared),
            (375.0, 5, None),
            (390.0, 6, reached),
        ] {
            let turn = limit.turn(Timestamp::from_seconds(seconds), refused);
            assert_eq!(turn, expected, "after {seconds} s");
        }
    }
}

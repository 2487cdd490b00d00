//! Which samples come in order.
//!
//! Late and repeated samples are refused, and so is a leap into the future: one wrong time stamp must not make all true
//! ones late. Where a dozen refused samples in a row are in order among themselves, it is the clock that has changed,
//! and they are taken from then on.

use crate::snapshot::{Reader, RestoreError, Writer};
use crate::time::Timestamp;

/// A longer step forward is a leap, in seconds.
const LONGEST_STEP_SECONDS: f64 = 30.0 * 86_400.0;

/// Refused samples in a row, in order among themselves, that set the clock anew.
const REFUSED_TO_BEGIN_ANEW: u8 = 12;

/// Start times that differ by no more are the same: exporters compute them anew at each scrape.
const START_TIME_JITTER_SECONDS: f64 = 5.0;

/// Whether a process that says it started `at` is another one than that known since `known`: its start or, where that
/// was never told, its first sample.
pub(crate) fn is_another_start(known: Option<Timestamp>, at: Timestamp) -> bool {
    known.is_some_and(|known| at - known > START_TIME_JITTER_SECONDS)
}

/// Where a sample stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Next,
    Refused,
    /// The next one by a clock that has been set.
    Anew,
}

/// The last sample taken, and those refused since.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Order {
    last: Option<Timestamp>,
    refused: Option<(Timestamp, u8)>,
}

impl Order {
    /// The time of the last sample taken.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// Places a sample, and takes it unless it is refused.
    pub(crate) fn place(&mut self, at: Timestamp) -> Place {
        let follows = |earlier: Timestamp| at > earlier && at - earlier <= LONGEST_STEP_SECONDS;
        let place = match (self.last, self.refused) {
            (None, _) => Place::Next,
            (Some(last), _) if follows(last) => Place::Next,
            (_, Some((earlier, count))) if follows(earlier) => {
                self.refused = Some((at, count + 1));
                if count + 1 >= REFUSED_TO_BEGIN_ANEW {
                    Place::Anew
                } else {
                    Place::Refused
                }
            }
            _ => {
                self.refused = Some((at, 1));
                Place::Refused
            }
        };
        if place != Place::Refused {
            self.last = Some(at);
            self.refused = None;
        }
        place
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.option(self.last, Writer::time);
        writer.option(self.refused, |writer, (at, count)| {
            writer.time(at);
            writer.u8(count);
        });
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, RestoreError> {
        let last = reader.option(Reader::time)?;
        let refused = reader
            .option(|reader| Ok((reader.time()?, reader.u8()?.min(REFUSED_TO_BEGIN_ANEW))))?;
        Ok(Self { last, refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places of samples at these seconds: `n` next, `-` refused, `A` anew.
    #[track_caller]
    fn check(seconds: impl IntoIterator<Item = i64>, expected: &str) {
        let mut order = Order::default();
        let letter = |place| match place {
            Place::Next => 'n',
            Place::Refused => '-',
            Place::Anew => 'A',
        };
        let found: String = seconds
            .into_iter()
            .map(|at| letter(order.place(Timestamp::from_millis(at * 1000))))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_late_or_repeated_is_refused() {
        check([10, 20, 20, 15, 30], "nn--n");
    }

    #[test]
    fn one_leap_into_the_future_does_not_make_the_rest_late() {
        check([10, 4_000_000_000, 20, 30], "n-nn");
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed_after_a_dozen_samples() {
        check([10_000].into_iter().chain(0..14), "n-----------Ann");
    }

    #[test]
    fn a_clock_that_leapt_and_stays_is_followed_after_a_dozen_samples() {
        check(
            [10].into_iter()
                .chain((0..14).map(|sample| 4_000_000_000 + sample)),
            "n-----------Ann",
        );
    }

    #[test]
    fn a_repeated_late_sample_never_sets_the_clock() {
        check(
            [10].into_iter().chain([5; 30]),
            &format!("n{}", "-".repeat(30)),
        );
    }
}

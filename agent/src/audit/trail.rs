//! What one level did in one life of its process, in constant memory: its lower envelope in a few dozen pieces.
//!
//! This is not the detector, on purpose: it decides whether a level had grown when its process died, by a rule so
//! simple that anybody can check it on a plot, so that the detector is graded by something else than itself.

use leak_detect::Timestamp;

/// Pieces of a life.
const PIECES: usize = 32;

/// The shortest piece, in milliseconds.
const SHORTEST_MILLIS: i64 = 15_000;

/// Pieces with samples that a life must have to be judged.
const PIECES_NEEDED: usize = 8;

/// The lower envelope of one life.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    start: i64,
    width: i64,
    /// The least value of each piece; infinite where there is none.
    lows: [f32; PIECES],
    last: i64,
}

/// How far a level had grown, in its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// Its envelope early in that life.
    pub(super) from: f64,
    /// Its envelope at the end.
    pub(super) to: f64,
    /// How long the life was seen, in seconds.
    pub(super) seconds: f64,
}

/// What became of a level in one life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Course {
    /// It grew, in more than one step.
    Grew(Growth),
    /// It did not.
    Flat,
    /// Too little was seen.
    Unseen,
}

impl Trail {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            start: at.millis(),
            width: SHORTEST_MILLIS,
            lows: [f32::INFINITY; PIECES],
            last: at.millis(),
        }
    }

    /// Adds a value; one before the beginning, or that is no number, counts for nothing.
    pub(super) fn push(&mut self, at: Timestamp, value: f64) {
        let since = at.millis() - self.start;
        if since < 0 || !value.is_finite() {
            return;
        }
        while since / self.width >= PIECES as i64 {
            for piece in 0..PIECES / 2 {
                self.lows[piece] = self.lows[2 * piece].min(self.lows[2 * piece + 1]);
            }
            self.lows[PIECES / 2..].fill(f32::INFINITY);
            self.width *= 2;
        }
        let piece = (since / self.width) as usize;
        self.lows[piece] = self.lows[piece].min(value as f32);
        self.last = self.last.max(at.millis());
    }

    /// How long it was seen, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        (self.last - self.start) as f64 / 1000.0
    }

    /// Whether it grew by at least `absolute` units and this share of where it stood: its envelope at the end against
    /// that of its second and third eighth, with some of the growth done by the middle.
    pub(super) fn course(&self, absolute: f64, relative: f64) -> Course {
        let lows: Vec<f64> = self
            .lows
            .iter()
            .map(|low| f64::from(*low))
            .filter(|low| low.is_finite())
            .collect();
        if lows.len() < PIECES_NEEDED {
            return Course::Unseen;
        }
        let part = |from: usize, to: usize| {
            let mut part = lows[from * lows.len() / 8..to * lows.len() / 8].to_vec();
            part.sort_by(f64::total_cmp);
            part[part.len() / 2]
        };
        let (early, middle) = (part(1, 3), part(3, 5));
        let late = lows[lows.len() * 7 / 8..]
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min);
        let rise = late - early;
        if rise >= absolute && rise >= relative * early && middle - early >= 0.15 * rise {
            Course::Grew(Growth {
                from: early,
                to: late,
                seconds: self.seconds(),
            })
        } else {
            Course::Flat
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: impl Fn(f64) -> f64, samples: i64, expected: &str) {
        let mut trail = Trail::new(Timestamp::from_millis(0));
        for index in 0..samples {
            let at = Timestamp::from_millis(index * 60_000);
            trail.push(at, value(index as f64 / samples as f64));
        }
        let got = match trail.course(50.0, 0.25) {
            Course::Grew(growth) => format!(
                "grew from {:.0} to {:.0} in {:.0} h",
                growth.from,
                growth.to,
                growth.seconds / 3600.0
            ),
            Course::Flat => "flat".to_owned(),
            Course::Unseen => "unseen".to_owned(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn a_leak_grew_and_what_is_none_did_not() {
        let day = |share: f64| (share * 7.0 * std::f64::consts::TAU).sin();
        check(
            |share| 100.0 + 900.0 * share,
            1440,
            "grew from 300 to 900 in 24 h",
        );
        check(|share| 100.0 + 40.0 * day(share), 10_080, "flat");
        check(
            |share| 100.0 + 40.0 * day(share) + 300.0 * share,
            10_080,
            "grew from 137 to 349 in 168 h",
        );
        check(
            |share| if share > 0.9 { 1000.0 } else { 100.0 },
            1440,
            "flat",
        );
        check(
            |share| if share > 0.7 { 1000.0 } else { 100.0 },
            1440,
            "flat",
        );
        check(|share| 1000.0 * (1.0 - (-20.0 * share).exp()), 1440, "flat");
        check(|_| f64::NAN, 1440, "unseen");
        check(|share| share, 3, "unseen");
    }

    #[test]
    fn time_that_goes_back_changes_nothing() {
        let mut trail = Trail::new(Timestamp::from_millis(1_000_000));
        trail.push(Timestamp::from_millis(0), 1.0);
        assert_eq!(
            (trail.seconds(), trail.course(0.0, 0.0)),
            (0.0, Course::Unseen)
        );
    }
}

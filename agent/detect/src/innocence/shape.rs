//! The shapes that are no leak's: a step or a few, a filling up, a burst.

use crate::innocence::{Case, Findings, Standing};

/// Greatest share of the climb that may lie between two neighbouring parts, or within two rows: of things that are
/// counted, which may leak in bursts, and of an amount, which an allocator takes in pieces.
const GREATEST_SHARE_OF_COUNTS: f32 = 0.7;
const GREATEST_SHARE_OF_BYTES: f32 = 0.52;

/// A climb that has never jumped by so much within two rows is smooth; an amount's should be.
const SMOOTH_JUMP: f32 = 0.25;

/// Least share that the newest of its three moves must have, and that together with half of the one before it: it still
/// climbs and does not fill up. A straight line has a third and a half; what fills with a time constant, watched for as
/// long, has 0.25 and 0.42. A leak in bursts has them unevenly.
const LEAST_SHARES_OF_SMOOTH: [f32; 2] = [0.28, 0.44];
const LEAST_SHARES_OF_UNEVEN: [f32; 2] = [0.1, 0.36];

/// It has stopped when it pauses for so many times its longest pause before.
const LONGEST_PAUSE: f64 = 1.5;

/// The lower envelope may fall back by this share of the climb from one part to the next.
const LEAST_LOW_SHARE: f32 = -0.1;

/// A climb must leave less unexplained than this share of what so many steps leave at best. A count steps with a deploy
/// or an upstream; memory also with each arena that an allocator adds, the floors of a collector seldom.
const STEPS_OF_COUNTS: (usize, f32) = (2, 0.7);
const STEPS_OF_BYTES: (usize, f32) = (3, 1.2);
const STEPS_OF_FLOORS: usize = 2;
/// Rows for each step of floors.
const FLOORS_A_STEP: usize = 4;

impl Case<'_> {
    /// A step lies between two parts, a filling up slows down, a burst's lower envelope falls back.
    pub(super) fn shape(&self, findings: &mut Findings) -> Option<Standing> {
        let shares = |column| {
            self.climb.parts(self.window, column).map(|parts| {
                let whole = parts[3] - parts[0];
                [1, 2, 3].map(|part| {
                    if whole > 0.0 {
                        ((parts[part] - parts[part - 1]) / whole) as f32
                    } else {
                        0.0
                    }
                })
            })
        };
        let (Some(mean), Some(low)) = (shares(&self.climb.mean), shares(&self.climb.low)) else {
            return Some(Standing::Step);
        };
        let jump = self.climb.largest_jump() as f32;
        // Floors are few: two rows are a good part of them.
        let step = if self.window.cycle_seconds.is_some() {
            0.0
        } else {
            jump
        };
        findings.greatest_share = mean.into_iter().fold(step, f32::max);
        findings.newest_share = mean[2];
        findings.least_low_share = low.into_iter().fold(1.0, f32::min);
        let counted = self.settings.integer;
        let greatest = if counted {
            GREATEST_SHARE_OF_COUNTS
        } else {
            GREATEST_SHARE_OF_BYTES
        };
        let [least_newest, least_late] = if jump < SMOOTH_JUMP || !counted {
            LEAST_SHARES_OF_SMOOTH
        } else {
            LEAST_SHARES_OF_UNEVEN
        };
        if findings.greatest_share > greatest {
            Some(Standing::Step)
        } else if mean[2] < least_newest
            || mean[2] + 0.5 * mean[1] < least_late
            || self.climb.share_of_longest_pause(self.window) > LONGEST_PAUSE
        {
            Some(Standing::Filling)
        } else {
            (findings.least_low_share < LEAST_LOW_SHARE).then_some(Standing::Burst)
        }
    }

    /// Whether a few steps tell it better than a climb does. The dearest test, and so the last.
    pub(super) fn steps(&self, findings: &mut Findings) -> Option<Standing> {
        let counted = self.settings.integer;
        let (mut steps, share) = if counted {
            STEPS_OF_COUNTS
        } else {
            STEPS_OF_BYTES
        };
        if self.window.cycle_seconds.is_some() {
            steps = STEPS_OF_FLOORS.min(self.window.rows / FLOORS_A_STEP);
        }
        let found = self.climb.share_of_steps(self.window, steps, counted);
        findings.share_of_steps = (found as f32).min(f32::MAX);
        (findings.share_of_steps > share).then_some(Standing::Step)
    }
}

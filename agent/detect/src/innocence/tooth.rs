//! Whether an amount's climb is one tooth of a saw that was there before, only slower.
//!
//! What a collector, a rotation or a compaction gives back is made by work: with less of it a tooth takes longer, and seen
//! alone it is a climb above all recent floors. But it ends no higher than teeth ended before. So below the usual tops a
//! climb counts only where the level has fallen as deep as usual since it began, and yet climbed.

use std::ops::Range;

use crate::innocence::{Case, Findings, Standing};
use crate::statistics::ROWS;

/// A fall by this share of the usual swing is one from a top to a floor.
const FALL_SHARE: f64 = 0.75;

/// Falls in a climb after which it is no tooth.
const LEAST_FALLS: usize = 3;

impl Case<'_> {
    pub(super) fn tooth(&self, findings: &mut Findings) -> Option<Standing> {
        if self.settings.integer {
            return None;
        }
        let base = self.base_rows();
        let top = median(&self.window.high[base.clone()]);
        let swing = top - median(&self.window.low[base]);
        let deep = FALL_SHARE * swing;
        (findings.now < top
            && self.falls(self.climb.onset + 1..self.window.rows, deep) < LEAST_FALLS)
            .then_some(Standing::EarlierHigh)
    }

    /// How often the level fell so deep in some rows.
    fn falls(&self, rows: Range<usize>, deep: f64) -> usize {
        let window = self.window;
        let floors = window.cycle_seconds.is_some();
        let (mut top, mut falls) = (0.0_f64, 0);
        for row in rows {
            // Each floor has the top before it.
            top = if floors {
                window.high[row]
            } else {
                top.max(window.high[row])
            };
            if top - window.low[row] >= deep {
                falls += 1;
                top = window.low[row];
            }
        }
        falls
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = [0.0; ROWS];
    let sorted = &mut sorted[..values.len()];
    sorted.copy_from_slice(values);
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

//! Whether what has come on top stands still, or comes and goes as what is in flight does.
//!
//! A slow upstream lets more requests wait at a time, each of which comes and goes: so much more of them scatters more,
//! by the square root at least (their number is Poisson's where they come independently; what makes them come together
//! makes them scatter more still). What is leaked stands still. So a climb whose scatter within its buckets has not grown
//! is not in flight, however short the time.

use std::ops::Range;

use crate::innocence::{Case, Findings, Standing};
use crate::window::mean_of;

/// A slow upstream has recovered or been given up after so long, and what fills up is full; sooner where what has come on
/// top stands still, or is memory, of which a request holds little.
const OUTAGE_SECONDS: f64 = 2400.0;
const SHORT_OUTAGE_SECONDS: f64 = 1500.0;

/// Rows of the scale itself from which a scatter is told.
const LEAST_ROWS: usize = 6;

/// How often what is in flight must turn over in a bucket, and be sampled, to scatter there.
const LEAST_TURNOVERS: f64 = 4.0;

/// The mean square of the range of n independent values is about this many variances times log2(n).
const RANGE_SQUARES: f64 = 2.5;

/// What stands still has, surely by so many standard errors, gained less than this share of the scatter to expect.
const STILL_SHARE: f64 = 0.6;
const SURE_ERRORS: f64 = 3.0;

impl Case<'_> {
    pub(super) fn slow_upstream(&self, findings: &mut Findings) -> Option<Standing> {
        let ruled_out = findings.steep
            || self.past.charged
            || findings.seconds >= OUTAGE_SECONDS
            || (findings.seconds >= SHORT_OUTAGE_SECONDS
                && (!self.settings.integer || self.stands_still(findings)));
        (!ruled_out).then_some(Standing::SlowUpstream)
    }

    fn stands_still(&self, findings: &Findings) -> bool {
        let window = self.window;
        let newest = self.climb.newest()..window.rows;
        let more = findings.unexplained;
        // By Little's law each of what is more would stay for as long as it takes as many to arrive.
        let turnovers = window.bucket_seconds * mean_of(&window.load[newest.clone()]) / more;
        let chances = turnovers.min(mean_of(&window.counts[newest.clone()]));
        if !window.loaded || chances < LEAST_TURNOVERS {
            return false;
        }
        let Some((now, error)) = self.scatter(newest) else {
            return false;
        };
        let (before, error_before) = self.scatter(self.base_rows()).unwrap_or_default();
        let gained = now - before + SURE_ERRORS * (error + error_before).sqrt();
        gained < STILL_SHARE * RANGE_SQUARES * chances.log2() * more
    }

    /// Mean square of the range within the scale's own buckets among some rows, with the square of its standard error.
    fn scatter(&self, rows: Range<usize>) -> Option<(f64, f64)> {
        let window = self.window;
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for row in rows.filter(|row| window.seconds[*row] == window.bucket_seconds) {
            let square = (window.high[row] - window.low[row]).powi(2);
            count += 1.0;
            sum += square;
            squares += square * square;
        }
        let mean = sum / count;
        let variance = (squares - count * mean * mean).max(0.0) / (count - 1.0);
        (count >= LEAST_ROWS as f64).then_some((mean, variance / count))
    }
}

//! The last buckets of one scale, by number.
//!
//! Columns instead of rows: 18 bytes a bucket. Sums are kept in double precision while a bucket fills and rounded to
//! single only when it closes.

use crate::snapshot::{Reader, RestoreError, Writer};

/// Buckets that each scale keeps.
pub(crate) const BUCKETS: usize = 24;

/// A load that is not known.
const UNKNOWN: f32 = -1.0;

/// A closed bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    pub(crate) minimum: f64,
    pub(crate) mean: f64,
    pub(crate) maximum: f64,
    /// Mean rate of the load, per second, where it is known.
    pub(crate) load: Option<f64>,
    pub(crate) samples: u32,
}

/// A bucket that still fills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Open {
    pub(super) minimum: f64,
    pub(super) maximum: f64,
    pub(super) sum: f64,
    /// Amount of load, and the seconds in which it came.
    pub(super) load: f64,
    pub(super) load_seconds: f64,
    pub(super) samples: u32,
}

impl Open {
    const EMPTY: Self = Self {
        minimum: f64::INFINITY,
        maximum: f64::NEG_INFINITY,
        sum: 0.0,
        load: 0.0,
        load_seconds: 0.0,
        samples: 0,
    };

    fn is_finite(&self) -> bool {
        [
            self.minimum,
            self.maximum,
            self.sum,
            self.load,
            self.load_seconds,
        ]
        .iter()
        .all(|number| number.is_finite())
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        self.sum += other.sum;
        self.load += other.load;
        self.load_seconds += other.load_seconds;
        self.samples = self.samples.saturating_add(other.samples);
    }
}

/// Bucket `n` covers `[n, n + 1)` bucket lengths after the origin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ring {
    minimum: [f32; BUCKETS],
    mean: [f32; BUCKETS],
    maximum: [f32; BUCKETS],
    load: [f32; BUCKETS],
    /// Zero where a bucket is empty.
    samples: [u16; BUCKETS],
    /// Number of the bucket after the newest closed one; -1 before any.
    pub(super) next: i64,
    pub(super) open: Open,
}

impl Ring {
    pub(super) const EMPTY: Self = Self {
        minimum: [0.0; BUCKETS],
        mean: [0.0; BUCKETS],
        maximum: [0.0; BUCKETS],
        load: [UNKNOWN; BUCKETS],
        samples: [0; BUCKETS],
        next: -1,
        open: Open::EMPTY,
    };

    /// Closes what has filled as bucket `number`; those passed over are empty.
    pub(super) fn close(&mut self, number: i64) {
        let skipped = if self.next < 0 {
            0
        } else {
            (number - self.next).clamp(0, BUCKETS as i64)
        };
        for gap in number - skipped..number {
            self.set(gap, 0, [0.0, 0.0, 0.0, UNKNOWN]);
        }
        let open = std::mem::replace(&mut self.open, Open::EMPTY);
        self.next = number + 1;
        let mean = open.sum / f64::from(open.samples.max(1));
        let load = open.load / open.load_seconds;
        let load = if load.is_finite() {
            load as f32
        } else {
            UNKNOWN
        };
        let samples = open.samples.min(u32::from(u16::MAX)) as u16;
        self.set(
            number,
            samples,
            [open.minimum as f32, mean as f32, open.maximum as f32, load],
        );
    }

    fn set(&mut self, number: i64, samples: u16, [minimum, mean, maximum, load]: [f32; 4]) {
        let slot = slot(number);
        self.samples[slot] = samples;
        (
            self.minimum[slot],
            self.mean[slot],
            self.maximum[slot],
            self.load[slot],
        ) = (minimum, mean, maximum, load);
    }

    /// Numbers of the buckets that may be remembered.
    pub(super) fn numbers(&self) -> std::ops::Range<i64> {
        let next = self.next.max(0);
        (next - BUCKETS as i64).max(0)..next
    }

    /// A bucket of [`numbers`](Self::numbers); `None` where it is empty.
    pub(super) fn cell(&self, number: i64) -> Option<Cell> {
        let slot = slot(number);
        (self.samples[slot] > 0).then(|| Cell {
            minimum: f64::from(self.minimum[slot]),
            mean: f64::from(self.mean[slot]),
            maximum: f64::from(self.maximum[slot]),
            load: (self.load[slot] >= 0.0).then_some(f64::from(self.load[slot])),
            samples: u32::from(self.samples[slot]),
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u64(self.next as u64);
        writer.option(
            (self.open.samples > 0).then_some(&self.open),
            |writer, open| {
                for number in [
                    open.minimum,
                    open.maximum,
                    open.sum,
                    open.load,
                    open.load_seconds,
                ] {
                    writer.f64(number);
                }
                writer.u32(open.samples);
            },
        );
        for slot in 0..BUCKETS {
            writer.u16(self.samples[slot]);
            if self.samples[slot] > 0 {
                for column in [&self.minimum, &self.mean, &self.maximum, &self.load] {
                    writer.f32(column[slot]);
                }
            }
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, RestoreError> {
        let mut ring = Self {
            next: reader.u64()? as i64,
            ..Self::EMPTY
        };
        let open = reader.option(|reader| {
            let (minimum, maximum, sum) = (reader.f64()?, reader.f64()?, reader.f64()?);
            Ok(Open {
                minimum,
                maximum,
                sum,
                load: reader.f64()?,
                load_seconds: reader.f64()?,
                samples: reader.u32()?,
            })
        })?;
        ring.open = open.unwrap_or(Open::EMPTY);
        // One that is empty is written as none.
        let mut numbers = open.is_none_or(|open| open.is_finite() && open.samples > 0);
        for slot in 0..BUCKETS {
            ring.samples[slot] = reader.u16()?;
            if ring.samples[slot] > 0 {
                for column in [
                    &mut ring.minimum,
                    &mut ring.mean,
                    &mut ring.maximum,
                    &mut ring.load,
                ] {
                    column[slot] = reader.f32()?;
                    numbers &= column[slot].is_finite();
                }
            }
        }
        if !numbers {
            return Err(reader.damaged());
        }
        Ok(ring)
    }
}

fn slot(number: i64) -> usize {
    number.rem_euclid(BUCKETS as i64) as usize
}

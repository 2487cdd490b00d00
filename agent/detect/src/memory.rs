//! What the level tier remembers of a series: buckets at several resolutions, constant in size whatever its age.
//!
//! Each scale is a ring of the last 24 buckets and each scale's bucket is four times as long as that of the scale
//! below, so that seven scales reach from minutes to weeks at a constant cost per sample. The finest bucket takes its
//! length from the pace of the first samples. A bucket keeps the lowest, mean and highest value, the number of samples
//! and the load's mean rate. Sums are kept exactly until a bucket closes; only then is it rounded to single precision.

use crate::snapshot::{Reader, RestoreError, Writer};
use crate::time::Timestamp;

/// Number of scales.
pub(crate) const SCALES: usize = 7;

/// Buckets that each scale keeps.
pub(crate) const BUCKETS: usize = 24;

/// A bucket is this many of the scale below: 2 to the power of this.
const RATIO_BITS: u32 = 2;

/// Samples that set the pace.
const PACE_SAMPLES: usize = 5;

/// The finest bucket holds this many samples, and is at least so long.
const SAMPLES_A_BUCKET: i64 = 4;
const LEAST_BUCKET_MILLIS: i64 = 10_000;

/// A load that is not known.
const UNKNOWN: f32 = -1.0;

/// A stretch of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// When it begins.
    pub start: Timestamp,
    /// Its length, in seconds.
    pub seconds: f64,
    /// The lowest sample.
    pub minimum: f64,
    /// The mean of the samples.
    pub mean: f64,
    /// The highest sample.
    pub maximum: f64,
    /// Number of samples; at least one.
    pub samples: u32,
    /// The load's mean rate, in its unit per second, where it is known.
    pub load_per_second: Option<f64>,
}

/// One sample with the load since the one before.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    pub(crate) value: f64,
    /// Amount of load, and the seconds in which it came; no seconds where it is not known.
    pub(crate) load: f64,
    pub(crate) load_seconds: f64,
}

/// A closed bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    pub(crate) minimum: f32,
    pub(crate) mean: f32,
    pub(crate) maximum: f32,
    pub(crate) load: f32,
    pub(crate) samples: u32,
}

impl Cell {
    const EMPTY: Self = Self {
        minimum: 0.0,
        mean: 0.0,
        maximum: 0.0,
        load: UNKNOWN,
        samples: 0,
    };

    /// The load's rate, where it is known.
    pub(crate) fn load(&self) -> Option<f64> {
        (self.load >= 0.0).then_some(f64::from(self.load))
    }
}

/// A bucket that still fills.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Open {
    minimum: f64,
    maximum: f64,
    sum: f64,
    load: f64,
    load_seconds: f64,
    samples: u32,
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

    fn take(&mut self, sample: &Sample) {
        self.merge(&Self {
            minimum: sample.value,
            maximum: sample.value,
            sum: sample.value,
            load: sample.load,
            load_seconds: sample.load_seconds,
            samples: 1,
        });
    }

    fn merge(&mut self, other: &Self) {
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        self.sum += other.sum;
        self.load += other.load;
        self.load_seconds += other.load_seconds;
        self.samples = self.samples.saturating_add(other.samples);
    }

    fn close(&self) -> Cell {
        let load = if self.load_seconds > 0.0 {
            (self.load / self.load_seconds) as f32
        } else {
            UNKNOWN
        };
        Cell {
            minimum: self.minimum as f32,
            mean: (self.sum / f64::from(self.samples)) as f32,
            maximum: self.maximum as f32,
            load: if load.is_finite() { load } else { UNKNOWN },
            samples: self.samples,
        }
    }
}

/// The last buckets of one scale, by number: bucket `n` covers `[n, n + 1)` bucket lengths after the origin.
#[derive(Debug, Clone, PartialEq)]
struct Ring {
    cells: [Cell; BUCKETS],
    /// Number of the bucket after the newest closed one; -1 before any.
    next: i64,
    open: Open,
}

impl Ring {
    const EMPTY: Self = Self {
        cells: [Cell::EMPTY; BUCKETS],
        next: -1,
        open: Open::EMPTY,
    };

    fn close(&mut self, number: i64) {
        let skipped = if self.next < 0 {
            0
        } else {
            (number - self.next).min(BUCKETS as i64)
        };
        for gap in number - skipped..number {
            self.cells[slot(gap)] = Cell::EMPTY;
        }
        self.cells[slot(number)] = self.open.close();
        self.open = Open::EMPTY;
        self.next = number + 1;
    }
}

fn slot(number: i64) -> usize {
    number.rem_euclid(BUCKETS as i64) as usize
}

/// All scales of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memory {
    origin: Timestamp,
    /// Length of the finest bucket; 0 until the pace is known.
    bucket_millis: i64,
    /// Number of the finest bucket that is filling.
    number: i64,
    rings: [Ring; SCALES],
    pace: [Sample; PACE_SAMPLES],
    paced: u8,
}

/// The scales whose bucket a sample closed: all below this number.
pub(crate) type ClosedScales = usize;

impl Memory {
    pub(crate) const EMPTY: Self = Self {
        origin: Timestamp::from_millis(0),
        bucket_millis: 0,
        number: 0,
        rings: [Ring::EMPTY; SCALES],
        pace: [Sample {
            at: Timestamp::from_millis(0),
            value: 0.0,
            load: 0.0,
            load_seconds: 0.0,
        }; PACE_SAMPLES],
        paced: 0,
    };

    /// Takes a sample later than all before, and says which scales it closed a bucket of.
    pub(crate) fn push(&mut self, sample: Sample) -> ClosedScales {
        if self.bucket_millis > 0 {
            return self.take(&sample);
        }
        self.pace[usize::from(self.paced)] = sample;
        self.paced += 1;
        if usize::from(self.paced) < PACE_SAMPLES {
            return 0;
        }
        self.set_pace();
        let pace = self.pace;
        pace.iter()
            .map(|sample| self.take(sample))
            .max()
            .unwrap_or(0)
    }

    /// The finest bucket's length from the median step between the first samples.
    fn set_pace(&mut self) {
        let mut steps = [0; PACE_SAMPLES - 1];
        for (step, pair) in steps.iter_mut().zip(self.pace.windows(2)) {
            *step = pair[1].at.millis().saturating_sub(pair[0].at.millis());
        }
        steps.sort_unstable();
        self.bucket_millis = steps[(PACE_SAMPLES - 1) / 2]
            .saturating_mul(SAMPLES_A_BUCKET)
            .clamp(LEAST_BUCKET_MILLIS, 86_400_000);
        self.origin = self.pace[0].at;
    }

    fn take(&mut self, sample: &Sample) -> ClosedScales {
        let number = sample.at.millis().saturating_sub(self.origin.millis()) / self.bucket_millis;
        let closed = if number > self.number {
            self.close(number)
        } else {
            0
        };
        self.rings[0].open.take(sample);
        closed
    }

    /// Closes the finest bucket, and each coarser one that ends before bucket `number` of the finest begins.
    fn close(&mut self, number: i64) -> ClosedScales {
        let mut closed = 0;
        let mut shift = 0;
        while closed < SCALES && number >> shift != self.number >> shift {
            let filled = self.rings[closed].open;
            self.rings[closed].close(self.number >> shift);
            closed += 1;
            shift += RATIO_BITS;
            if closed < SCALES {
                self.rings[closed].open.merge(&filled);
            }
        }
        self.number = number;
        closed
    }

    /// Length of a bucket of a scale, in seconds; 0 until the pace is known.
    pub(crate) fn bucket_seconds(&self, scale: usize) -> f64 {
        (self.bucket_millis << (RATIO_BITS * scale as u32)) as f64 / 1000.0
    }

    /// When the bucket after the newest closed one of a scale begins.
    pub(crate) fn end(&self, scale: usize) -> Timestamp {
        self.begin(scale, self.rings[scale].next.max(0))
    }

    fn begin(&self, scale: usize, number: i64) -> Timestamp {
        Timestamp::from_millis(self.origin.millis().saturating_add(
            number.saturating_mul(self.bucket_millis << (RATIO_BITS * scale as u32)),
        ))
    }

    /// The closed buckets of a scale from old to new, at most 24, with the number of bucket lengths from their start to
    /// the [`end`](Self::end) of the scale. Empty ones are left out.
    pub(crate) fn closed(&self, scale: usize) -> impl DoubleEndedIterator<Item = (i64, &Cell)> {
        let ring = &self.rings[scale];
        (0..BUCKETS as i64)
            .rev()
            .map(move |back| (back + 1, ring.next - 1 - back))
            .filter(|(_, number)| *number >= 0)
            .map(move |(back, number)| (back, &ring.cells[slot(number)]))
            .filter(|(_, cell)| cell.samples > 0)
    }

    /// All that is remembered, from old to new without overlap: coarse for long ago, fine for what is recent.
    pub(crate) fn history(&self) -> Vec<Bucket> {
        let mut buckets = Vec::new();
        if self.bucket_millis == 0 {
            return buckets;
        }
        let mut until = self.begin(0, self.number);
        for scale in 0..SCALES {
            let seconds = self.bucket_seconds(scale);
            let ring = &self.rings[scale];
            let mut oldest = until;
            for back in 0..BUCKETS as i64 {
                let number = ring.next - 1 - back;
                let (start, cell) = (self.begin(scale, number), &ring.cells[slot(number)]);
                if number < 0 || start.shifted(seconds) > until {
                    continue;
                }
                oldest = start;
                if cell.samples > 0 {
                    buckets.push(Bucket {
                        start,
                        seconds,
                        minimum: f64::from(cell.minimum),
                        mean: f64::from(cell.mean),
                        maximum: f64::from(cell.maximum),
                        samples: cell.samples,
                        load_per_second: cell.load(),
                    });
                }
            }
            until = until.min(oldest);
        }
        buckets.reverse();
        buckets
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.time(self.origin);
        writer.u64(self.bucket_millis as u64);
        writer.u64(self.number as u64);
        writer.u8(self.paced);
        for sample in &self.pace[..usize::from(self.paced)] {
            writer.time(sample.at);
            for number in [sample.value, sample.load, sample.load_seconds] {
                writer.f64(number);
            }
        }
        for ring in &self.rings {
            writer.u64(ring.next as u64);
            writer.option(
                (ring.open.samples > 0).then_some(&ring.open),
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
            for cell in &ring.cells {
                writer.u32(cell.samples);
                if cell.samples > 0 {
                    for number in [cell.minimum, cell.mean, cell.maximum, cell.load] {
                        writer.f32(number);
                    }
                }
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, RestoreError> {
        let mut memory = Self {
            origin: reader.time()?,
            bucket_millis: reader.u64()? as i64,
            number: reader.u64()? as i64,
            ..Self::EMPTY
        };
        let paced = reader.length(PACE_SAMPLES)?;
        if !(0..=86_400_000).contains(&memory.bucket_millis)
            || memory.number < 0
            || (memory.bucket_millis > 0) != (paced == PACE_SAMPLES)
        {
            return Err(reader.damaged());
        }
        memory.paced = paced as u8;
        for sample in &mut memory.pace[..paced] {
            *sample = Sample {
                at: reader.time()?,
                value: reader.f64()?,
                load: reader.f64()?,
                load_seconds: reader.f64()?,
            };
        }
        for ring in &mut memory.rings {
            ring.next = reader.u64()? as i64;
            if ring.next < -1 || ring.next > memory.number.max(0) {
                return Err(reader.damaged());
            }
            let open = reader.option(|reader| {
                let (minimum, maximum) = (reader.f64()?, reader.f64()?);
                Ok(Open {
                    minimum,
                    maximum,
                    sum: reader.f64()?,
                    load: reader.f64()?,
                    load_seconds: reader.f64()?,
                    samples: reader.u32()?,
                })
            })?;
            ring.open = open.unwrap_or(Open::EMPTY);
            for cell in &mut ring.cells {
                let samples = reader.u32()?;
                if samples > 0 {
                    *cell = Cell {
                        minimum: reader.f32()?,
                        mean: reader.f32()?,
                        maximum: reader.f32()?,
                        load: reader.f32()?,
                        samples,
                    };
                }
            }
        }
        Ok(memory)
    }
}

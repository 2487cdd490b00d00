//! What the level tier remembers of a series: buckets at several resolutions, constant in size whatever its age.
//!
//! Each scale is a ring of the last 24 buckets and each scale's bucket is four times as long as that of the scale
//! below, so that seven scales reach from minutes to weeks at a constant cost per sample. The finest bucket takes its
//! length from the pace of the first samples. A bucket keeps the lowest, mean and highest value, the number of samples
//! and the load's mean rate.

mod ring;
mod stretch;

pub(crate) use crate::memory::ring::{BUCKETS, Cell};
use crate::memory::ring::{Open, Ring};
pub(crate) use crate::memory::stretch::Stretches;
use crate::snapshot::{Reader, RestoreError, Writer};
use crate::time::Timestamp;

/// Number of scales.
pub(crate) const SCALES: usize = 7;

/// A bucket is this many of the scale below: 2 to the power of this.
const RATIO_BITS: u32 = 2;

/// Samples that set the pace.
const PACE_SAMPLES: usize = 4;

/// The finest bucket holds this many samples, and is at least and at most so long.
const SAMPLES_A_BUCKET: i64 = 4;
const LEAST_BUCKET_MILLIS: i64 = 10_000;
const MOST_BUCKET_MILLIS: i64 = 86_400_000;

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
    /// Number of samples, at least one; what is beyond 65,535 is not counted.
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

    /// Takes a sample later than all before, and says of how many scales, from the finest, it closed a bucket.
    pub(crate) fn push(&mut self, sample: Sample) -> usize {
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
        let step = steps[steps.len() / 2];
        self.bucket_millis = step
            .saturating_mul(SAMPLES_A_BUCKET)
            .clamp(LEAST_BUCKET_MILLIS, MOST_BUCKET_MILLIS);
        self.origin = self.pace[0].at;
    }

    fn take(&mut self, sample: &Sample) -> usize {
        let number = sample.at.millis().saturating_sub(self.origin.millis()) / self.bucket_millis;
        let closed = if number > self.number {
            self.close(number)
        } else {
            0
        };
        self.rings[0].open.merge(&Open {
            minimum: sample.value,
            maximum: sample.value,
            sum: sample.value,
            load: sample.load,
            load_seconds: sample.load_seconds,
            samples: 1,
        });
        closed
    }

    /// Closes the finest bucket, and each coarser one that ends before bucket `number` of the finest begins.
    fn close(&mut self, number: i64) -> usize {
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
        self.bucket_millis_of(scale) as f64 / 1000.0
    }

    fn bucket_millis_of(&self, scale: usize) -> i64 {
        self.bucket_millis << (RATIO_BITS * scale as u32)
    }

    /// When the bucket after the newest closed one of a scale begins.
    pub(crate) fn end(&self, scale: usize) -> Timestamp {
        self.begin(scale, self.rings[scale].next.max(0))
    }

    fn begin(&self, scale: usize, number: i64) -> Timestamp {
        Timestamp::from_millis(
            self.origin
                .millis()
                .saturating_add(number.saturating_mul(self.bucket_millis_of(scale))),
        )
    }

    /// The closed buckets of a scale from old to new, at most 24, with their beginning. Empty ones are left out.
    pub(crate) fn closed(
        &self,
        scale: usize,
    ) -> impl DoubleEndedIterator<Item = (Timestamp, Cell)> {
        let ring = &self.rings[scale];
        ring.numbers().filter_map(move |number| {
            ring.cell(number)
                .map(|cell| (self.begin(scale, number), cell))
        })
    }

    /// Where a scale hands over to the next coarser one, so that no time is left out or told twice: the given beginning
    /// of one of its buckets or, where that lies within a remembered coarser bucket that began no earlier than `since`,
    /// the end of that.
    pub(crate) fn handover(
        &self,
        coarser: usize,
        oldest: Timestamp,
        since: Timestamp,
    ) -> Timestamp {
        let ring = &self.rings[coarser];
        let number = oldest.millis().saturating_sub(self.origin.millis())
            / self.bucket_millis_of(coarser).max(1);
        let begin = self.begin(coarser, number);
        let told = begin < oldest
            && begin >= since
            && ring.numbers().contains(&number)
            && ring.cell(number).is_some();
        if told {
            self.begin(coarser, number + 1)
        } else {
            oldest
        }
    }

    /// All that is remembered, from old to new without overlap: coarse for long ago, fine for what is recent.
    pub(crate) fn history(&self) -> Vec<Bucket> {
        let mut buckets: Vec<Bucket> = Vec::new();
        let mut until = self.end(0);
        for scale in 0..SCALES {
            let seconds = self.bucket_seconds(scale);
            if scale > 0 {
                until = self.handover(scale, until, self.origin);
                while buckets.last().is_some_and(|bucket| bucket.start < until) {
                    buckets.pop();
                }
            }
            let closed = self
                .closed(scale)
                .rev()
                .filter(|(start, _)| start.shifted(seconds) <= until);
            buckets.extend(closed.map(|(start, cell)| Bucket {
                start,
                seconds,
                minimum: cell.minimum,
                mean: cell.mean,
                maximum: cell.maximum,
                samples: cell.samples,
                load_per_second: cell.load,
            }));
            until = buckets
                .last()
                .map_or(until, |bucket| bucket.start.min(until));
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
            ring.write(writer);
        }
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, RestoreError> {
        let (origin, bucket_millis, number) =
            (reader.time()?, reader.u64()? as i64, reader.u64()? as i64);
        let mut memory = Self {
            origin,
            bucket_millis,
            number,
            ..Self::EMPTY
        };
        let paced = reader.length(PACE_SAMPLES)?;
        let paces = 0..=MOST_BUCKET_MILLIS;
        if !paces.contains(&bucket_millis)
            || number < 0
            || (bucket_millis > 0) != (paced == PACE_SAMPLES)
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
        for (scale, ring) in memory.rings.iter_mut().enumerate() {
            *ring = Ring::read(reader)?;
            if !(-1..=number >> (RATIO_BITS * scale as u32)).contains(&ring.next) {
                return Err(reader.damaged());
            }
        }
        Ok(memory)
    }
}

#[cfg(test)]
mod tests;

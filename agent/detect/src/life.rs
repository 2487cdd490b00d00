//! One life of one process, as its detector remembers it: a profile of eight parts, fit to be kept and compared.
//!
//! A life is what lies between two starts of a process. Its level is kept by age, not by the calendar, because what a
//! process leaks goes with its age, whoever its predecessor was. 144 bytes, whatever its length, so that a workload can
//! keep those of processes that are long gone. It says nothing by itself: [`crate::lives`] compares.

use crate::memory::{Bucket, Stretches};
use crate::snapshot::{Reader, RestoreError, Writer};
use crate::time::Timestamp;

/// Parts of equal length into which a life is cut.
pub(crate) const LIFE_PARTS: usize = 8;

/// Fewest samples in a part, on average.
const LEAST_SAMPLES_A_PART: u32 = 3;

/// Fewest buckets of which a profile is made.
const LEAST_BUCKETS: usize = 8;

/// Least share of a part that must have been seen.
const LEAST_COVERED: f64 = 0.5;

/// A load that is not known.
const UNKNOWN: f32 = -1.0;

/// One column of a profile.
pub(crate) type Profile = [f32; LIFE_PARTS];

/// A life of a process, or as much of it as has passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Life {
    /// Which instance of the workload, by a number of the caller's.
    pub instance: u64,
    /// When the process started, as it tells itself, or its first sample.
    pub began: Timestamp,
    /// The stretch that the profile covers.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// Samples in it.
    pub samples: u32,
    pub(crate) mean: Profile,
    pub(crate) low: Profile,
    /// Mean rate of the load per second; negative where it is not known.
    pub(crate) load: Profile,
}

impl Life {
    /// The profile of a life from the buckets that lie in it, from old to new. `None` where they are too few, or where
    /// too much is missing.
    pub(crate) fn read(instance: u64, began: Timestamp, buckets: &[Bucket]) -> Option<Self> {
        let (oldest, newest) = (buckets.first()?, buckets.last()?);
        let (from, until) = (oldest.start, newest.start.shifted(newest.seconds));
        let samples: u32 = buckets.iter().map(|bucket| bucket.samples).sum();
        if buckets.len() < LEAST_BUCKETS || samples < LEAST_SAMPLES_A_PART * LIFE_PARTS as u32 {
            return None;
        }
        let mut life = Self {
            instance,
            began,
            from,
            until,
            samples,
            mean: [0.0; LIFE_PARTS],
            low: [0.0; LIFE_PARTS],
            load: [UNKNOWN; LIFE_PARTS],
        };
        let seconds = life.part_seconds();
        let mut stretches = Stretches::of(buckets, from);
        for part in 0..LIFE_PARTS {
            let begin = seconds * part as f64;
            let stretch = stretches.read(begin, begin + seconds);
            if stretch.covered < LEAST_COVERED * seconds {
                return None;
            }
            life.mean[part] = stretch.mean() as f32;
            life.low[part] = stretch.low as f32;
            if let Some(load) = stretch.load_per_second() {
                life.load[part] = load as f32;
            }
        }
        Some(life)
    }

    /// Length of the profile, in seconds.
    pub fn seconds(&self) -> f64 {
        self.until - self.from
    }

    /// Length of one part, in seconds.
    pub(crate) fn part_seconds(&self) -> f64 {
        self.seconds() / LIFE_PARTS as f64
    }

    /// The middle of a part.
    pub(crate) fn middle(&self, part: usize) -> Timestamp {
        self.from.shifted(self.part_seconds() * (part as f64 + 0.5))
    }

    /// Whether the load is known throughout.
    pub(crate) fn is_loaded(&self) -> bool {
        self.load.iter().all(|load| *load >= 0.0)
    }

    /// Mean load per second over its profile, where it is known.
    pub fn mean_load(&self) -> Option<f64> {
        let sum: f64 = self.load.iter().map(|load| f64::from(*load)).sum();
        self.is_loaded().then_some(sum / LIFE_PARTS as f64)
    }

    /// The highest load per second of a part of its profile, where it is known.
    pub fn highest_load(&self) -> Option<f64> {
        let loads = self.load.iter().map(|load| f64::from(*load));
        self.is_loaded().then(|| loads.fold(0.0, f64::max))
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.instance);
        for time in [self.began, self.from, self.until] {
            writer.time(time);
        }
        writer.u32(self.samples);
        for value in self.mean.iter().chain(&self.low).chain(&self.load) {
            writer.f32(*value);
        }
    }

    pub(crate) fn read_from(reader: &mut Reader) -> Result<Self, RestoreError> {
        let instance = reader.u64()?;
        let (began, from, until) = (reader.time()?, reader.time()?, reader.time()?);
        if until <= from {
            return Err(reader.damaged());
        }
        let samples = reader.u32()?;
        let mut profile = || -> Result<Profile, RestoreError> {
            let mut profile = [0.0; LIFE_PARTS];
            for value in &mut profile {
                *value = reader.f32()?;
            }
            Ok(profile)
        };
        Ok(Self {
            instance,
            began,
            from,
            until,
            samples,
            mean: profile()?,
            low: profile()?,
            load: profile()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(levels: impl IntoIterator<Item = f64>) -> Vec<Bucket> {
        let bucket = |(index, mean): (usize, f64)| Bucket {
            start: Timestamp::from_seconds(60.0 * index as f64),
            seconds: 60.0,
            minimum: mean - 1.0,
            mean,
            maximum: mean + 1.0,
            samples: 4,
            load_per_second: Some(10.0),
        };
        levels.into_iter().enumerate().map(bucket).collect()
    }

    #[test]
    fn a_profile_is_cut_into_eight_parts_of_equal_length() {
        let began = Timestamp::from_seconds(-30.0);
        let life = Life::read(7, began, &buckets((0..16).map(f64::from))).expect("long enough");
        assert_eq!(life.seconds(), 960.0);
        assert_eq!(life.mean, [0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5, 14.5]);
        assert_eq!(life.low, [-1.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0]);
        assert_eq!(life.load, [10.0; LIFE_PARTS]);
        assert_eq!(life.middle(0).seconds(), 60.0);
    }

    #[test]
    fn what_is_short_or_full_of_holes_is_no_profile() {
        let began = Timestamp::default();
        assert_eq!(Life::read(7, began, &buckets([1.0; 7])), None);
        let mut holed = buckets([1.0; 32]);
        holed.drain(8..14);
        assert_eq!(Life::read(7, began, &holed), None);
    }

    #[test]
    fn a_life_is_written_and_read() {
        let life = Life::read(7, Timestamp::default(), &buckets([3.0; 16])).expect("long enough");
        let mut writer = Writer::new(b'T', 1);
        life.write(&mut writer);
        let bytes = writer.finish();
        let (mut reader, _) = Reader::new(&bytes, b'T', 1).expect("just written");
        assert_eq!(Life::read_from(&mut reader), Ok(life));
        assert_eq!(reader.finish(), Ok(()));
    }
}

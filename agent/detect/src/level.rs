//! The level tier: any gauge that must not grow for ever, judged by statistics at several time scales at once.
use crate::budget::Budget;
use crate::memory::{Bucket, Memory, Sample};
use crate::snapshot::{Reader, RestoreError, Writer};
use crate::time::Timestamp;
use crate::verdict::{Undecided, Verdict};

/// Levels beyond this are no measurements.
const LARGEST_LEVEL: f64 = 1e30;

const SNAPSHOT_KIND: u8 = b'L';
const SNAPSHOT_VERSION: u8 = 1;

/// What is told to a level detector about its series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelSettings {
    /// Growth below this is never a leak, in the series' unit.
    pub absolute_floor: f64,
    /// Growth below this share of the level before it is never a leak.
    pub relative_floor: f64,
    /// Whether the series counts things (`true`) or measures an amount such as bytes (`false`).
    pub integer: bool,
    /// False alerts a year that this series may cause: [`Budget::per_series_year`].
    pub false_alerts_per_year: f64,
}

impl LevelSettings {
    /// Things that are counted: descriptors, threads, goroutines, connections, entries. At least 16 and a fifth more.
    pub fn count() -> Self {
        Self {
            absolute_floor: 16.0,
            relative_floor: 0.2,
            integer: true,
            false_alerts_per_year: Budget::new(12.0, 64, 1).per_series_year(),
        }
    }

    /// Bytes of memory. At least 16 MiB and a tenth more.
    pub fn bytes() -> Self {
        Self {
            absolute_floor: 16.0 * 1_048_576.0,
            relative_floor: 0.1,
            integer: false,
            ..Self::count()
        }
    }
}

/// Watches one gauge that must not grow for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelDetector {
    settings: LevelSettings,
    memory: Memory,
    last: Option<Timestamp>,
    /// The load's counter at the last sample that had one.
    load: Option<(Timestamp, f64)>,
    /// When the present life of the process began, where that was told.
    life: Option<Timestamp>,
    samples: u64,
}

impl LevelDetector {
    /// A detector that has seen nothing.
    pub fn new(settings: LevelSettings) -> Self {
        Self {
            settings,
            memory: Memory::EMPTY,
            last: None,
            load: None,
            life: None,
            samples: 0,
        }
    }

    /// Takes a sample of the level and, where there is one, of a counter of its load (requests, opened entries), as the
    /// process counts it since its start. What is no measurement and what is not later than the last sample is passed
    /// over.
    pub fn observe(&mut self, at: Timestamp, value: f64, load_total: Option<f64>) {
        if !(0.0..=LARGEST_LEVEL).contains(&value) || self.last.is_some_and(|last| at <= last) {
            return;
        }
        self.last = Some(at);
        self.samples += 1;
        let (load, load_seconds) = self.load_since(at, load_total);
        self.memory.push(Sample {
            at,
            value,
            load,
            load_seconds,
        });
    }

    /// Says when the process started. May be called at every scrape: only a change is a restart.
    pub fn restarted(&mut self, at: Timestamp) {
        if self.life.is_none_or(|life| at > life) {
            self.life = Some(at);
            self.samples = 0;
            self.load = None;
        }
    }

    /// What the samples so far say.
    pub fn verdict(&self) -> Verdict {
        Verdict::Undecided(Undecided::Learning {
            samples: self.samples,
        })
    }

    /// Whether a conviction stands: [`verdict`](Self::verdict) without the cost of its evidence.
    pub fn is_leaking(&self) -> bool {
        false
    }

    /// All that is remembered, from old to new without overlap: coarse for long ago, fine for what is recent. At most
    /// 168 buckets.
    pub fn history(&self) -> Vec<Bucket> {
        self.memory.history()
    }

    /// The settings.
    pub fn settings(&self) -> &LevelSettings {
        &self.settings
    }

    /// Replaces the settings: they hold from the next test on.
    pub fn set_settings(&mut self, settings: LevelSettings) {
        self.settings = settings;
    }

    /// Load since the last sample that had one, and in how many seconds.
    fn load_since(&mut self, at: Timestamp, total: Option<f64>) -> (f64, f64) {
        let Some(total) = total.filter(|total| (0.0..=LARGEST_LEVEL).contains(total)) else {
            return (0.0, 0.0);
        };
        match self.load.replace((at, total)) {
            // A counter that fell began anew.
            Some((before, earlier)) => (
                if total >= earlier {
                    total - earlier
                } else {
                    total
                },
                at - before,
            ),
            None => (0.0, 0.0),
        }
    }
}

impl LevelDetector {
    /// The detector as versioned bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut writer = Writer::new(SNAPSHOT_KIND, SNAPSHOT_VERSION);
        writer.f64(self.settings.absolute_floor);
        writer.f64(self.settings.relative_floor);
        writer.bool(self.settings.integer);
        writer.f64(self.settings.false_alerts_per_year);
        self.memory.write(&mut writer);
        writer.option(self.last, Writer::time);
        writer.option(self.load, |writer, (at, total)| {
            writer.time(at);
            writer.f64(total);
        });
        writer.option(self.life, Writer::time);
        writer.u64(self.samples);
        writer.finish()
    }

    /// The detector that [`snapshot`](Self::snapshot) wrote: it gives the same verdicts from here on.
    ///
    /// # Errors
    ///
    /// The bytes are of something else, of a later version, or damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let (mut reader, _) = Reader::new(bytes, SNAPSHOT_KIND, SNAPSHOT_VERSION)?;
        let settings = LevelSettings {
            absolute_floor: reader.f64()?,
            relative_floor: reader.f64()?,
            integer: reader.bool()?,
            false_alerts_per_year: reader.f64()?,
        };
        let detector = Self {
            settings,
            memory: Memory::read(&mut reader)?,
            last: reader.option(Reader::time)?,
            load: reader.option(|reader| Ok((reader.time()?, reader.f64()?)))?,
            life: reader.option(Reader::time)?,
            samples: reader.u64()?,
        };
        reader.finish()?;
        Ok(detector)
    }
}

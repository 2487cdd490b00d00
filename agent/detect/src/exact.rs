//! The exact tier: counts of what a correct program never has, entries orphaned or overdue past their grace.
//!
//! Zero at every scrape is what the ledger promises of a correct program, so there is nothing to estimate: the third
//! consecutive scrape above zero convicts, however small the number and whatever load or level do, and three scrapes at
//! zero release. One leaked entry an hour is found at the first. The age of the oldest entry dates the onset and never
//! convicts, for a healthy WebSocket ages too. A missing scrape is no evidence either way; a new life of the process
//! starts the count of scrapes again but does not lift a conviction.

mod trail;

use crate::exact::trail::Trail;
use crate::order::{Order, Place, is_another_start};
use crate::snapshot::{Reader, RestoreError, Writer};
use crate::time::Timestamp;
use crate::verdict::{Evidence, Growth, RuledOut, Tier, Undecided, Verdict};

/// Consecutive scrapes above zero that convict.
const SCRAPES_TO_CONVICT: u32 = 3;

/// Consecutive scrapes at zero that release.
const SCRAPES_TO_RELEASE: u32 = 3;

/// An entry is orphaned or overdue some time after it was opened: its deadline and the grace. An oldest entry that was
/// opened longer than this before the last scrape at zero is not the leaked one.
const ONSET_LOOKBACK_SECONDS: f64 = 600.0;

/// A leak is stalled when it has not risen for this many times its usual time between rises: under a steady random
/// leak, three in ten thousand pauses are as long.
const STALLED_AFTER_GAPS: f64 = 8.0;

/// The usual time between rises of a leak that has risen only once, in scrapes.
const GAP_OF_A_SINGLE_RISE_SCRAPES: f64 = 8.0;

/// Counts beyond this are no counts of anything.
const LARGEST_COUNT: f64 = 1e15;

const SNAPSHOT_KIND: u8 = b'E';
const SNAPSHOT_VERSION: u8 = 1;

/// Watches one series that is zero in a correct program: `resource_ledger_orphaned` or `resource_ledger_overdue`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExactDetector {
    order: Order,
    /// The value of the last sample taken.
    value: f64,
    /// Samples taken in all, and the time of the first: their quotient is the scrape interval.
    taken: u64,
    first_at: Timestamp,
    /// When the process started, as told.
    started: Option<Timestamp>,
    last_zero: Option<Timestamp>,
    zeros: u32,
    /// The oldest age as last told.
    oldest: Option<(Timestamp, f64)>,
    run: Option<Run>,
}

/// A time above zero: a suspicion, then a conviction.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    /// Consecutive samples above zero in this life of the process.
    positives: u32,
    samples: u64,
    onset: Timestamp,
    onset_uncertainty_seconds: f64,
    /// Whether the oldest age has dated the onset.
    dated: bool,
    /// The last sample at zero, or the start of the process, before the run.
    zero_before: Option<Timestamp>,
    convicted_at: Option<Timestamp>,
    /// Highest value of the run, and of the run in this life of the process.
    peak: f64,
    high: f64,
    /// Rises to a new high in this life.
    rises: u32,
    first_rise: Timestamp,
    last_rise: Timestamp,
    trail: Trail,
}

impl Run {
    fn begin(at: Timestamp, last_zero: Option<Timestamp>) -> Self {
        let zero_before = last_zero.filter(|zero| *zero < at);
        let mut trail = Trail::default();
        if let Some(zero) = zero_before {
            trail.push(zero, 0.0);
        }
        // Until the oldest age dates it, the onset lies somewhere between the last scrape at zero and this one.
        let uncertainty = zero_before.map_or(0.0, |zero| (at - zero) / 2.0);
        Self {
            positives: 0,
            samples: 0,
            onset: at.shifted(-uncertainty),
            onset_uncertainty_seconds: uncertainty,
            dated: false,
            zero_before,
            convicted_at: None,
            peak: 0.0,
            high: 0.0,
            rises: 0,
            first_rise: at,
            last_rise: at,
            trail,
        }
    }

    fn above_zero(&mut self, at: Timestamp, value: f64) {
        self.positives = self.positives.saturating_add(1);
        self.samples = self.samples.saturating_add(1);
        self.trail.push(at, value);
        self.peak = self.peak.max(value);
        if value > self.high {
            self.high = value;
            if self.rises == 0 {
                self.first_rise = at;
            }
            self.rises = self.rises.saturating_add(1);
            self.last_rise = at;
        }
        if self.positives >= SCRAPES_TO_CONVICT && self.convicted_at.is_none() {
            self.convicted_at = Some(at);
        }
    }

    /// A new life of a convicted process: what it held is gone, the conviction is not.
    fn restart(&mut self, at: Timestamp) {
        self.positives = 0;
        self.high = 0.0;
        self.rises = 0;
        self.trail = Trail::default();
        (self.first_rise, self.last_rise) = (at, at);
    }
}

impl ExactDetector {
    /// A detector that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a sample. What is no count (NaN, infinite, negative, absurd) and what is out of order is passed over.
    pub fn observe(&mut self, at: Timestamp, value: f64) {
        if !(0.0..=LARGEST_COUNT).contains(&value) {
            return;
        }
        match self.order.place(at) {
            Place::Refused => return,
            Place::Anew => self.set_clock(at),
            Place::Next => {}
        }
        if self.taken == 0 {
            self.first_at = at;
        }
        self.taken = self.taken.saturating_add(1);
        self.value = value;
        if value > 0.0 {
            self.zeros = 0;
            let last_zero = self.last_zero;
            self.run
                .get_or_insert_with(|| Run::begin(at, last_zero))
                .above_zero(at, value);
        } else {
            self.at_zero(at);
        }
        self.date_onset();
    }

    /// Takes the age of the oldest open entry of the same account, in seconds; before or after the sample of that time.
    pub fn observe_oldest_age(&mut self, at: Timestamp, seconds: f64) {
        if seconds.is_finite() && seconds >= 0.0 {
            self.oldest = Some((at, seconds));
            self.date_onset();
        }
    }

    /// Says when the process started, as it tells itself. May be called at every scrape: only a change is a restart, and
    /// what the last process held is gone with it.
    pub fn restarted(&mut self, at: Timestamp) {
        let known = self.started.or((self.taken > 0).then_some(self.first_at));
        if is_another_start(known, at) {
            self.last_zero = Some(at);
            self.zeros = 0;
            self.abandon_run(at);
            self.started = Some(at);
        } else {
            self.started = self.started.or(Some(at));
        }
    }

    /// Ends a suspicion; a conviction goes on from zero.
    fn abandon_run(&mut self, at: Timestamp) {
        match &mut self.run {
            Some(run) if run.convicted_at.is_some() => run.restart(at),
            _ => self.run = None,
        }
    }

    /// Starts over with a clock that was set: earlier times cannot be compared.
    fn set_clock(&mut self, at: Timestamp) {
        self.abandon_run(at);
        (self.started, self.last_zero, self.oldest) = (None, None, None);
        (self.taken, self.zeros) = (0, 0);
    }

    /// What the samples so far say.
    pub fn verdict(&self) -> Verdict {
        match (&self.run, self.order.last()) {
            (_, None) => Verdict::Undecided(Undecided::Learning { samples: 0 }),
            (None, Some(_)) => Verdict::Healthy,
            (Some(run), Some(at)) => match run.convicted_at {
                Some(convicted_at) => Verdict::Leaking(Evidence {
                    ruled_out: ruled_out(),
                    ..self.evidence(run, convicted_at, at)
                }),
                None => Verdict::Undecided(Undecided::Growing(Growth {
                    onset: run.onset,
                    growth_per_second: run.trail.growth(),
                    fit: run.trail.fit(at),
                    standing: "noise",
                    why: format!(
                        "above zero at {} scrapes in a row; {SCRAPES_TO_CONVICT} convict",
                        run.positives
                    ),
                })),
            },
        }
    }

    /// The evidence of a standing conviction without the words of what was ruled out.
    pub fn case(&self) -> Option<Evidence> {
        let run = self.run.as_ref()?;
        Some(self.evidence(run, run.convicted_at?, self.order.last()?))
    }

    /// Whether a conviction stands: [`verdict`](Self::verdict) without the cost of its evidence.
    pub fn is_leaking(&self) -> bool {
        self.run
            .as_ref()
            .is_some_and(|run| run.convicted_at.is_some())
    }

    fn at_zero(&mut self, at: Timestamp) {
        self.last_zero = Some(at);
        self.zeros = self.zeros.saturating_add(1);
        let Some(run) = &mut self.run else { return };
        run.positives = 0;
        run.trail.push(at, 0.0);
        if run.convicted_at.is_none() || self.zeros >= SCRAPES_TO_RELEASE {
            self.run = None;
        }
    }

    /// Dates the onset by the age of the oldest entry, if that was told for the time of the present sample.
    fn date_onset(&mut self) {
        let (Some(run), Some((at, age))) = (&mut self.run, self.oldest) else {
            return;
        };
        if run.dated || self.order.last() != Some(at) || self.value == 0.0 || age == 0.0 {
            return;
        }
        let opened = at.shifted(-age);
        // Where a scrape at zero is known, an entry much older than that is a healthy one of the same account.
        if run
            .zero_before
            .is_none_or(|zero| zero - opened <= ONSET_LOOKBACK_SECONDS)
        {
            run.onset = opened;
            run.onset_uncertainty_seconds = 1.0;
        }
        run.dated = true;
    }

    fn evidence(&self, run: &Run, convicted_at: Timestamp, at: Timestamp) -> Evidence {
        Evidence {
            tier: Tier::Exact,
            onset: run.onset,
            onset_uncertainty_seconds: run.onset_uncertainty_seconds,
            convicted_at,
            growth_per_second: run.trail.growth(),
            fit: run.trail.fit(at),
            samples: run.samples,
            scale_seconds: (convicted_at - run.onset).max(0.0),
            baseline: 0.0,
            excess: self.value,
            peak_excess: run.peak,
            still_growing: self.still_growing(run, at),
            ruled_out: Vec::new(),
        }
    }

    fn still_growing(&self, run: &Run, now: Timestamp) -> bool {
        let interval = (now - self.first_at) / self.taken.saturating_sub(1).max(1) as f64;
        let gap = match run.rises {
            0 => return false,
            1 => GAP_OF_A_SINGLE_RISE_SCRAPES * interval,
            rises => ((run.last_rise - run.first_rise) / f64::from(rises - 1)).max(interval),
        };
        now - run.last_rise <= STALLED_AFTER_GAPS * gap
    }
}

fn ruled_out() -> Vec<RuledOut> {
    let rows = [
        (
            "noise",
            "a correct program counts none at every scrape; this was above zero at three in a row",
        ),
        (
            "load",
            "load moves what is open; what is past its own end counts here only after its grace",
        ),
        (
            "slow upstream",
            "a slow upstream delays an end, it does not move the deadline or outlive the owner",
        ),
        (
            "warm-up",
            "nothing is past its end because a process is young",
        ),
    ];
    rows.map(|(what, how)| RuledOut {
        what,
        how: how.to_owned(),
    })
    .into()
}

impl ExactDetector {
    /// The detector as versioned bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut writer = Writer::new(SNAPSHOT_KIND, SNAPSHOT_VERSION);
        self.order.write(&mut writer);
        writer.f64(self.value);
        writer.u64(self.taken);
        writer.time(self.first_at);
        writer.option(self.started, Writer::time);
        writer.option(self.last_zero, Writer::time);
        writer.u32(self.zeros);
        writer.option(self.oldest, |writer, (at, age)| {
            writer.time(at);
            writer.f64(age);
        });
        writer.option(self.run.as_ref(), |writer, run| run.write(writer));
        writer.finish()
    }

    /// The detector that [`snapshot`](Self::snapshot) wrote: it gives the same verdicts from here on.
    ///
    /// # Errors
    ///
    /// The bytes are of something else, of a later version, or damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let (mut reader, _) = Reader::new(bytes, SNAPSHOT_KIND, SNAPSHOT_VERSION)?;
        let detector = Self {
            order: Order::read(&mut reader)?,
            value: reader.f64()?,
            taken: reader.u64()?,
            first_at: reader.time()?,
            started: reader.option(Reader::time)?,
            last_zero: reader.option(Reader::time)?,
            zeros: reader.u32()?,
            oldest: reader.option(|reader| Ok((reader.time()?, reader.f64()?)))?,
            run: reader.option(Run::read)?,
        };
        reader.finish()?;
        Ok(detector)
    }
}

impl Run {
    fn write(&self, writer: &mut Writer) {
        writer.u32(self.positives);
        writer.u64(self.samples);
        writer.time(self.onset);
        writer.f64(self.onset_uncertainty_seconds);
        writer.bool(self.dated);
        writer.option(self.zero_before, Writer::time);
        writer.option(self.convicted_at, Writer::time);
        writer.f64(self.peak);
        writer.f64(self.high);
        writer.u32(self.rises);
        writer.time(self.first_rise);
        writer.time(self.last_rise);
        self.trail.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, RestoreError> {
        Ok(Self {
            positives: reader.u32()?,
            samples: reader.u64()?,
            onset: reader.time()?,
            onset_uncertainty_seconds: reader.f64()?,
            dated: reader.bool()?,
            zero_before: reader.option(Reader::time)?,
            convicted_at: reader.option(Reader::time)?,
            peak: reader.f64()?,
            high: reader.f64()?,
            rises: reader.u32()?,
            first_rise: reader.time()?,
            last_rise: reader.time()?,
            trail: Trail::read(reader)?,
        })
    }
}

#[cfg(test)]
mod tests;

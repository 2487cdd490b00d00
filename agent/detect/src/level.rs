//! The level tier: any gauge that must not grow for ever, judged by statistics at several time scales at once.
//!
//! Whenever a bucket of a scale closes, the past is looked at as that scale sees it: is the lower envelope at a new
//! high, is there a climb that noise does not make, and does every innocent explanation fail, twice in a row? Then the
//! series is convicted, and stays so while it holds what it took, growing or not. Tests are as rare as buckets, so a
//! sample costs little; what is remembered is constant in size. A restart ends a conviction but leaves a charge: the
//! next life is acquitted only when it has stayed flat for as long as the last one needed to be convicted.

mod conviction;
mod life;
mod settings;
mod snapshots;

use crate::budget::{SHARES, level_per_test};
use crate::climb::Climb;
use crate::innocence::{Case, Findings, Past, Standing};
use crate::level::conviction::{Charge, Conviction};
pub use crate::level::settings::LevelSettings;
use crate::memory::{Bucket, Memory, SCALES, Sample};
use crate::order::{Order, Place, is_another_start};
use crate::time::Timestamp;
use crate::verdict::{Evidence, Fit, Growth, Interval, Undecided, Verdict};
use crate::window::{LEAST_ROWS, Window};

/// Levels beyond this are no measurements.
const LARGEST_LEVEL: f64 = 1e30;

/// Consecutive tests of a scale at which no explanation stands that convict.
const TESTS_TO_CONVICT: u8 = 2;

/// Standard errors on either side of a growth that enclose it in about 95 of 100 cases.
const GROWTH_ERRORS: f64 = 2.1;

/// Watches one gauge that must not grow for ever.
///
/// ```
/// use leak_detect::{LevelDetector, LevelSettings, Timestamp};
///
/// let mut goroutines = LevelDetector::new(LevelSettings::count());
/// for second in 0..300 {
///     let at = Timestamp::from_seconds(1_700_000_000.0 + f64::from(second));
///     // Of fifty requests a second each leaves one behind.
///     goroutines.observe(at, f64::from(20 + 50 * second), Some(f64::from(50 * second)));
/// }
/// assert!(goroutines.is_leaking());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LevelDetector {
    settings: LevelSettings,
    memory: Memory,
    order: Order,
    /// The load's counter at the last sample that had one.
    load: Option<(Timestamp, f64)>,
    /// When the present life of the process began, as told, and its first sample.
    started: Option<Timestamp>,
    first: Option<Timestamp>,
    /// Nothing before this is judged: the first sample of this life, or a release.
    since: Timestamp,
    /// Samples in this life.
    samples: u64,
    /// The highest lower envelope of earlier lives that were not convicted, with the load then where it is known.
    earlier_lives: Option<(f64, Option<f64>)>,
    charge: Option<Charge>,
    /// Consecutive tests of each scale at which no explanation stood.
    passes: [u8; SCALES],
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Watching(Option<Suspicion>),
    Convicted(Conviction),
}

/// A climb for which an innocent explanation stands.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Suspicion {
    scale: usize,
    standing: Standing,
    findings: Findings,
    onset: Timestamp,
    growth: Interval,
    fit: Fit,
}

impl LevelDetector {
    /// A detector that has seen nothing.
    pub fn new(settings: LevelSettings) -> Self {
        Self {
            settings: settings.finite(),
            memory: Memory::EMPTY,
            order: Order::default(),
            load: None,
            started: None,
            first: None,
            since: Timestamp::default(),
            samples: 0,
            earlier_lives: None,
            charge: None,
            passes: [0; SCALES],
            state: State::Watching(None),
        }
    }

    /// Takes a sample of the level and, where there is one, of a counter of its load (requests, opened entries) as the
    /// process counts it since its start. What is no measurement (NaN, infinite, negative, beyond 1e30) and what is out
    /// of order is passed over.
    pub fn observe(&mut self, at: Timestamp, value: f64, load_total: Option<f64>) {
        if !(0.0..=LARGEST_LEVEL).contains(&value) {
            return;
        }
        match self.order.place(at) {
            Place::Refused => return,
            Place::Anew => self.forget(),
            Place::Next => {}
        }
        let (load, load_seconds) = self.load_since(at, load_total);
        self.samples = self.samples.saturating_add(1);
        if self.first.is_none() {
            self.first = Some(at);
            self.since = at;
        }
        let closed = self.memory.push(Sample {
            at,
            value,
            load,
            load_seconds,
        });
        for scale in 0..closed {
            self.test(scale);
        }
    }

    /// Says when the process started, as it tells itself. May be called at every scrape: only a change is a restart.
    pub fn restarted(&mut self, at: Timestamp) {
        if is_another_start(self.started.or(self.first), at) {
            self.begin_life(at);
            self.started = Some(at);
        } else {
            self.started = self.started.or(Some(at));
        }
    }

    /// What the samples so far say.
    pub fn verdict(&self) -> Verdict {
        let suspicion = match &self.state {
            State::Convicted(conviction) => {
                return Verdict::Leaking(conviction.evidence(&self.settings));
            }
            State::Watching(suspicion) => suspicion,
        };
        match (self.charge, suspicion) {
            (Some(charge), _) => Verdict::Undecided(Undecided::Restarted {
                at: charge.restarted_at,
            }),
            (None, _) if !self.has_learnt() => Verdict::Undecided(Undecided::Learning {
                samples: self.samples,
            }),
            (None, Some(suspicion)) => Verdict::Undecided(Undecided::Growing(Growth {
                onset: suspicion.onset,
                growth_per_second: suspicion.growth,
                fit: suspicion.fit,
                standing: suspicion.standing.word(&self.settings),
                why: suspicion.findings.sentence(suspicion.standing),
            })),
            (None, None) => Verdict::Healthy,
        }
    }

    /// The evidence of a standing conviction without the words of what was ruled out, which cost more than all else.
    pub fn case(&self) -> Option<Evidence> {
        match &self.state {
            State::Convicted(conviction) => Some(conviction.case()),
            State::Watching(_) => None,
        }
    }

    /// Whether a conviction stands: [`verdict`](Self::verdict) without the cost of its evidence.
    pub fn is_leaking(&self) -> bool {
        matches!(self.state, State::Convicted(_))
    }

    /// All that is remembered, from old to new without overlap: coarse for long ago, fine for what is recent. At most
    /// 168 buckets; the one that still fills is not among them.
    pub fn history(&self) -> Vec<Bucket> {
        self.memory.history()
    }

    /// The settings.
    pub fn settings(&self) -> &LevelSettings {
        &self.settings
    }

    /// Replaces the settings: they hold from the next test on.
    pub fn set_settings(&mut self, settings: LevelSettings) {
        self.settings = settings.finite();
    }

    fn has_learnt(&self) -> bool {
        let needed = LEAST_ROWS as f64 * self.memory.bucket_seconds(0);
        needed > 0.0
            && self
                .first
                .is_some_and(|first| self.memory.end(0) - first >= needed)
    }

    /// Load since the last sample that had one, and in how many seconds.
    fn load_since(&mut self, at: Timestamp, total: Option<f64>) -> (f64, f64) {
        let Some(total) = total.filter(|total| (0.0..=LARGEST_LEVEL).contains(total)) else {
            return (0.0, 0.0);
        };
        match self.load.replace((at, total)) {
            Some((before, earlier)) if total >= earlier => (total - earlier, at - before),
            Some((before, _)) => {
                // A counter that fell began anew with its process, where no start time says better.
                if self.started.is_none() {
                    self.begin_life(at);
                    self.load = Some((at, total));
                }
                (total, at - before)
            }
            None => (0.0, 0.0),
        }
    }

    fn begin_life(&mut self, at: Timestamp) {
        if let State::Convicted(conviction) = &self.state {
            self.charge = Some(conviction.charge(at));
        } else if let Some(charge) = &mut self.charge {
            charge.restarted_at = at;
        } else {
            self.note_life();
        }
        self.first = None;
        self.samples = 0;
        self.load = None;
        self.passes = [0; SCALES];
        self.state = State::Watching(None);
    }

    /// Keeps the highest lower envelope of a life that ends.
    fn note_life(&mut self) {
        for scale in 0..SCALES {
            for (_, cell) in self
                .memory
                .closed(scale)
                // One sample alone may be garbage; at a coarser scale it is not alone.
                .filter(|(begin, cell)| *begin >= self.since && cell.samples > 1)
            {
                if self
                    .earlier_lives
                    .is_none_or(|(highest, _)| cell.minimum > highest)
                {
                    self.earlier_lives = Some((cell.minimum, cell.load));
                }
            }
        }
    }

    /// Starts over with a clock that was set: the past cannot be compared. A conviction stands.
    fn forget(&mut self) {
        self.memory = Memory::EMPTY;
        self.load = None;
        self.started = None;
        self.first = None;
        self.samples = 0;
        self.passes = [0; SCALES];
        if let State::Watching(suspicion) = &mut self.state {
            *suspicion = None;
        }
    }

    fn test(&mut self, scale: usize) {
        if let State::Convicted(conviction) = &mut self.state {
            if conviction.follow(&self.memory, scale, self.since, &self.settings) {
                self.state = State::Watching(None);
                self.since = self.memory.end(0);
            }
            return;
        }
        let found = self.look(scale);
        match found {
            Some((suspicion, None)) if suspicion.standing != Standing::Noise => {
                self.passes[scale] = 0;
                self.state = State::Watching(Some(suspicion));
            }
            Some((_, Some(conviction))) => {
                self.passes[scale] = self.passes[scale].saturating_add(1);
                if self.passes[scale] >= TESTS_TO_CONVICT {
                    self.state = State::Convicted(conviction);
                    self.charge = None;
                }
            }
            _ => {
                self.passes[scale] = 0;
                if matches!(&self.state, State::Watching(Some(suspicion)) if suspicion.scale == scale)
                {
                    self.state = State::Watching(None);
                }
                self.acquit();
            }
        }
    }

    /// Looks at the past as a scale sees it and, where an amount falls back again and again, at its floors alone.
    fn look(&self, scale: usize) -> Option<(Suspicion, Option<Conviction>)> {
        let rises = Window::is_worth_reading(&self.memory, scale, self.since);
        let floors_rise = !self.settings.integer
            && Window::has_rising_floors(
                &self.memory,
                scale,
                self.since,
                0.25 * self.settings.absolute_floor,
            );
        if !rises && !floors_rise {
            return None;
        }
        let mut window = Window::read(&self.memory, scale, self.since)?;
        let found = rises.then(|| self.suspect(&mut window, scale)).flatten();
        if !floors_rise || matches!(found, Some((_, Some(_)))) {
            return found;
        }
        let Some(mut floors) = window.floors().filter(Window::ends_on_a_new_high) else {
            return found;
        };
        floors.run_loads();
        self.judge(&floors, scale).or(found)
    }

    /// Judges the climb that a window shows, if it shows one: a suspicion, or a conviction where nothing explains it.
    fn suspect(
        &self,
        window: &mut Window,
        scale: usize,
    ) -> Option<(Suspicion, Option<Conviction>)> {
        let least = 0.5 * self.settings.absolute_floor;
        if !window.is_new_high(least) {
            return None;
        }
        window.run_loads();
        self.judge(window, scale)
    }

    fn judge(&self, window: &Window, scale: usize) -> Option<(Suspicion, Option<Conviction>)> {
        let least = 0.5 * self.settings.absolute_floor;
        let climb =
            Climb::find(window, self.settings.quantum()).filter(|climb| climb.rise() > least)?;
        let past = Past {
            born: self.started.unwrap_or(window.end).min(self.first?),
            since: self.since,
            earlier_lives: self.earlier_lives,
            charged: self.charge.is_some(),
        };
        let level_per_test = level_per_test(
            self.settings.false_alerts_per_year,
            SHARES,
            window.bucket_seconds,
        );
        let settings = &self.settings;
        let case = Case {
            memory: &self.memory,
            scale,
            window,
            climb: &climb,
            past,
            settings,
            level_per_test,
        };
        let (findings, standing) = case.judge();
        let onset = window.begin(climb.onset);
        let growth = interval(&climb);
        let fit = Fit {
            start: onset,
            start_value: climb.mean[climb.onset],
            slope: climb.slope,
        };
        let suspicion = Suspicion {
            scale,
            standing: standing.unwrap_or(Standing::Noise),
            findings,
            onset,
            growth,
            fit,
        };
        let conviction = standing
            .is_none()
            .then(|| Conviction::new(&case, findings, growth, fit, self.charge));
        Some((suspicion, conviction))
    }

    /// Drops a charge when this life has been flat for long enough.
    fn acquit(&mut self) {
        if let (Some(charge), Some(first), State::Watching(None)) =
            (self.charge, self.first, &self.state)
            && self.memory.end(0) - first >= charge.acquitted_after_seconds
        {
            self.charge = None;
        }
    }
}

/// Growth per second of a climb, with its bounds.
fn interval(climb: &Climb) -> Interval {
    let error = GROWTH_ERRORS * climb.error;
    Interval {
        low: climb.slope - error,
        estimate: climb.slope,
        high: climb.slope + error,
    }
}

#[cfg(test)]
mod tests;

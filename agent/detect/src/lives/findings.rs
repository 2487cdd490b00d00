//! The figures by which a climb that lives share was judged, and how they read.

use crate::level::LevelSettings;
use crate::verdict::RuledOut;

/// Which explanation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Noise,
    Disagreement,
    Load,
    Step,
    WarmUp,
    Filling,
    BatchJob,
}

impl Standing {
    pub(super) const ALL: [Self; 7] = [
        Self::Noise,
        Self::Disagreement,
        Self::Load,
        Self::Step,
        Self::WarmUp,
        Self::Filling,
        Self::BatchJob,
    ];

    /// Its place among all, and back: for snapshots.
    pub(super) fn place(self) -> u8 {
        Self::ALL.iter().position(|own| *own == self).unwrap_or(0) as u8
    }

    pub(super) fn at(place: u8) -> Option<Self> {
        Self::ALL.get(usize::from(place)).copied()
    }

    pub(super) fn word(self, settings: &LevelSettings) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Disagreement => "one life alone",
            Self::Load => "load",
            Self::Step => "step",
            Self::WarmUp => "warm-up",
            Self::Filling if settings.integer => "pool filling",
            Self::Filling => "filling cache",
            Self::BatchJob => "batch job",
        }
    }
}

/// The figures by which a common climb was judged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Findings {
    pub(super) lives: u32,
    pub(super) instances: u32,
    pub(super) t: f64,
    pub(super) chance: f64,
    pub(super) level_per_test: f64,
    pub(super) alike: u32,
    pub(super) voices: u32,
    /// Rise in a life of typical length, what the floors ask of it, and the share of it that load in full proportion
    /// leaves.
    pub(super) rise: f64,
    pub(super) floor: f64,
    pub(super) loaded: bool,
    pub(super) beyond_load: f64,
    /// Share of the earlier lives' rise that their successors begin below it, and over how many successions.
    pub(super) falls_back: f64,
    pub(super) successions: u32,
    pub(super) greatest_share: f64,
    pub(super) newest_share: f64,
    /// The typical and the longest life, and all together.
    pub(super) seconds: f64,
    pub(super) longest_seconds: f64,
    pub(super) total_seconds: f64,
    /// Share of the ended lives that were succeeded at once.
    pub(super) succeeded_share: f64,
}

impl Findings {
    /// Every explanation by name, with the reason why it does not hold.
    pub(super) fn ruled_out(&self, settings: &LevelSettings) -> Vec<RuledOut> {
        Standing::ALL
            .into_iter()
            .map(|explanation| RuledOut {
                what: explanation.word(settings),
                how: self.sentence(explanation),
            })
            .collect()
    }

    /// The figures of one explanation, as a sentence.
    pub(super) fn sentence(&self, explanation: Standing) -> String {
        let (lives, instances) = (self.lives, self.instances);
        match explanation {
            Standing::Noise => format!(
                "over {lives} lives of {instances} instances the common climb is {:.1} standard errors, by noise alone in 1 of {:.0e} tests; 1 of {:.0e} is allowed",
                self.t,
                1.0 / self.chance.max(1e-99),
                1.0 / self.level_per_test.max(1e-99)
            ),
            Standing::Disagreement => format!(
                "of {} lives that can tell {} climb alike, the newest among them",
                self.voices, self.alike
            ),
            Standing::Load => format!(
                "{} lives begin lower than their elders stood, by {:.0} % of what those had gained; {}",
                self.successions,
                100.0 * self.falls_back,
                if self.loaded {
                    format!(
                        "load in full proportion leaves {:.0} % of the rise",
                        100.0 * self.beyond_load
                    )
                } else {
                    "no load is known, but none falls back with a restart".to_owned()
                }
            ),
            Standing::Step => format!(
                "of three moves between the quarters of a life the largest holds {:.0} % of the rise",
                100.0 * self.greatest_share
            ),
            Standing::WarmUp | Standing::Filling => format!(
                "lives of {:.0} min, at most {:.0}, climb to their ends: the newest of three moves holds {:.0} % of the rise, where a straight line's has 33 %",
                self.seconds / 60.0,
                self.longest_seconds / 60.0,
                100.0 * self.newest_share
            ),
            Standing::BatchJob => format!(
                "{:.0} % of the ended lives were succeeded at once",
                100.0 * self.succeeded_share
            ),
        }
    }
}
